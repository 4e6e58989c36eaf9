//! Migrations: applied on a connection of their own, without a limit on a statement's time, and with locks that are
//! waited for so shortly, and again and again, that readers and writers hardly notice.

pub(crate) mod grants;

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection,
    migrate::{Migrate, MigrateError, Migration},
    postgres::PgConnectOptions,
};
use tokio::time::{Instant, sleep};

use crate::{Result as StoreResult, pool::MIGRATIONS};

/// Where sqlx notes what was applied.
const TABLE: &str = "_sqlx_migrations";
/// How long a statement may wait for its lock; everybody else waits behind it meanwhile.
const LOCK_TIMEOUT: &str = "300ms";
/// Pause before a lock is asked for again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long the locks of one migration are asked for before the migration fails.
const MAX_LOCK_WAIT: Duration = Duration::from_mins(15);
/// How often a wait is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How the tables of a database compare with those a program was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Migrations of this program were not applied yet: how many, and the first of them.
    Older {
        /// How many.
        missing: usize,
        /// The version of the first one.
        first: i64,
    },
    /// Everything this program needs is there, and perhaps more.
    Ready,
}

/// Compares the applied versions with those of this program.
pub(crate) async fn schema(connection: &mut PgConnection) -> StoreResult<Schema> {
    let there = sqlx::query_scalar::<_, bool>("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
    let mut applied: Vec<i64> = Vec::new();
    if there.fetch_one(&mut *connection).await? {
        let versions = "SELECT version FROM _sqlx_migrations WHERE success";
        applied = sqlx::query_scalar(versions).fetch_all(connection).await?;
    }
    let missing: Vec<i64> =
        MIGRATIONS.iter().map(|one| one.version).filter(|version| !applied.contains(version)).collect();
    Ok(match missing.first() {
        Some(first) => Schema::Older { missing: missing.len(), first: *first },
        None => Schema::Ready,
    })
}

/// Applies what is missing. Any number of processes may call it at once: one works, the others wait.
pub(crate) async fn run(options: PgConnectOptions) -> StoreResult<()> {
    let options = options.options([("statement_timeout", "0"), ("lock_timeout", LOCK_TIMEOUT)]);
    let mut connection = PgConnection::connect_with(&options).await?;
    lock(&mut connection).await?;
    // The lock ends with its connection, whatever happens in between.
    let done = apply_missing(&mut connection).await;
    connection.close().await?;
    done
}

/// Waits for the lock that keeps migrating processes apart, in short spans: a long wait would be an open statement, and
/// an index that another process builds concurrently waits for the end of those.
async fn lock(connection: &mut PgConnection) -> StoreResult<()> {
    let mut wait = Wait::new();
    loop {
        match connection.lock().await {
            Ok(()) => return Ok(()),
            Err(error) if is_lock_conflict(&error) => {
                if wait.is_due() {
                    tracing::info!("another process is migrating the database; waiting for it to finish");
                }
                sleep(RETRY_PAUSE / 4).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn apply_missing(connection: &mut PgConnection) -> StoreResult<()> {
    connection.ensure_migrations_table(TABLE).await?;
    let applied = connection.list_applied_migrations(TABLE).await?;
    for migration in MIGRATIONS.iter() {
        match applied.iter().find(|one| one.version == migration.version) {
            Some(one) if one.checksum == migration.checksum => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version).into()),
            None => apply_patiently(connection, migration).await?,
        }
    }
    Ok(())
}

/// Applies one migration, again and again while somebody holds a lock it needs.
async fn apply_patiently(connection: &mut PgConnection, migration: &Migration) -> StoreResult<()> {
    let (version, description) = (migration.version, &*migration.description);
    tracing::info!(version, description, "applying a migration");
    let mut wait = Wait::new();
    loop {
        let started = Instant::now();
        match apply(connection, migration).await {
            Ok(()) => {
                let seconds = started.elapsed().as_secs_f32();
                tracing::info!(version, description, seconds, "a migration was applied");
                return Ok(());
            }
            Err(error) if is_lock_conflict(&error) && wait.since.elapsed() < MAX_LOCK_WAIT => {
                if wait.is_due() {
                    let waited = wait.since.elapsed().as_secs();
                    tracing::warn!(
                        version,
                        waited,
                        "a migration waits for a table that a long transaction uses; end that transaction (pg_stat_activity) or wait"
                    );
                }
                sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn apply(connection: &mut PgConnection, migration: &Migration) -> Result<(), MigrateError> {
    if !migration.no_tx {
        return connection.apply(TABLE, migration).await.map(drop);
    }
    for statement in statements(migration.sql.as_str()) {
        step(connection, &statement)
            .await
            .map_err(|error| MigrateError::ExecuteMigration(error, migration.version))?;
    }
    // Despite its name: notes that it was applied.
    connection.skip(TABLE, migration).await
}

/// Runs one statement of a migration without a transaction. What builds or validates concurrently holds nobody up, so it
/// may wait as long as it takes.
async fn step(connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    let patient = statement.contains(" CONCURRENTLY ") || statement.contains(" VALIDATE CONSTRAINT ");
    let limit = if patient { "0" } else { LOCK_TIMEOUT };
    connection.execute(AssertSqlSafe(format!("SET lock_timeout = '{limit}'"))).await?;
    if let Some(index) = concurrent_index(statement) {
        drop_invalid(connection, index).await?;
    }
    let done = connection.execute(AssertSqlSafe(statement.to_owned())).await.map(drop);
    connection.execute(AssertSqlSafe(format!("SET lock_timeout = '{LOCK_TIMEOUT}'"))).await?;
    done
}

/// Drops an index whose build was cut short: it costs every write, serves no query, and `IF NOT EXISTS` would keep it.
async fn drop_invalid(connection: &mut PgConnection, index: &str) -> Result<(), sqlx::Error> {
    let invalid = sqlx::query_scalar::<_, bool>(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)",
    );
    if invalid.bind(index).fetch_one(&mut *connection).await? {
        tracing::warn!(index, "the index of an interrupted migration is built again");
        connection.execute(AssertSqlSafe(format!("DROP INDEX CONCURRENTLY IF EXISTS {index}"))).await?;
    }
    Ok(())
}

/// The index a statement builds concurrently.
fn concurrent_index(statement: &str) -> Option<&str> {
    let mut words = statement.split_whitespace();
    if words.next() != Some("CREATE") {
        return None;
    }
    words.find(|word| *word == "CONCURRENTLY")?;
    words.find(|word| !["IF", "NOT", "EXISTS"].contains(word))
}

/// The statements of a migration without a transaction: each ends with a semicolon at the end of its line. The server
/// would take several sent together for one transaction.
fn statements(sql: &str) -> Vec<String> {
    let lines: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let one = |part: &str| Some(part.trim().to_owned()).filter(|part| !part.is_empty());
    lines.join("\n").split(";\n").filter_map(|part| one(part.trim_end_matches(';'))).collect()
}

/// Somebody else held a lock for too long, or waited for one of ours: later it works.
fn is_lock_conflict(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// A wait that is told now and then.
struct Wait {
    since: Instant,
    said: Option<Instant>,
}

impl Wait {
    fn new() -> Self {
        Self { since: Instant::now(), said: None }
    }

    /// Whether it is time to say that it goes on.
    fn is_due(&mut self) -> bool {
        let due = self.said.is_none_or(|said| said.elapsed() >= LOG_INTERVAL);
        if due {
            self.said = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_without_a_transaction_are_sent_one_by_one() {
        let sql = "-- no-transaction\n-- Why; really.\nCREATE INDEX CONCURRENTLY a ON t (x);\n\nALTER TABLE t\n    VALIDATE CONSTRAINT c;\n";
        let found = statements(sql);
        assert_eq!(
            found,
            ["CREATE INDEX CONCURRENTLY a ON t (x)", "ALTER TABLE t\n    VALIDATE CONSTRAINT c"]
        );
        assert_eq!(concurrent_index(&found[0]), Some("a"));
        assert_eq!(concurrent_index("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS b ON t (x)"), Some("b"));
        assert_eq!(concurrent_index(&found[1]), None);
    }

    #[test]
    fn large_tables_are_not_locked_by_new_migrations() {
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > 10) {
            let builds = statements(migration.sql.as_str());
            for index in builds
                .iter()
                .filter(|one| one.contains("CREATE INDEX") || one.contains("CREATE UNIQUE INDEX"))
            {
                let new_table = builds.iter().any(|one| {
                    let table = index.split(" ON ").nth(1).and_then(|rest| rest.split_whitespace().next());
                    table.is_some_and(|table| one.starts_with(&format!("CREATE TABLE {table} ")))
                });
                assert!(new_table || index.contains("CONCURRENTLY"), "{}: {index}", migration.version);
            }
        }
    }
}
