//! Migrations, applied on a connection of their own. Their statements have no time limit. Each waits only briefly for
//! its locks and is tried again, so that readers and writers are hardly delayed.

pub(crate) mod grants;
mod transactions;

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection,
    migrate::{Migrate, MigrateError, Migration},
    postgres::PgConnectOptions,
};
use tokio::time::{Instant, sleep};

use crate::{Result as StoreResult, StoreError, pool::MIGRATIONS};

/// Table in which sqlx records the applied migrations.
const TABLE: &str = "_sqlx_migrations";
/// Longest wait of a statement for its lock; later transactions queue behind it meanwhile.
const LOCK_TIMEOUT: &str = "300ms";
/// Pause before a lock is requested again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Longest time the locks of one migration are requested before the migration fails.
pub(crate) const MAX_LOCK_WAIT: Duration = Duration::from_mins(15);
/// Pause between two log lines about one wait.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// State of a database's tables, compared with the migrations of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Migrations of this program are missing.
    Older {
        /// Number of missing migrations.
        missing: usize,
        /// Version of the first missing one.
        first: i64,
    },
    /// All migrations of this program are applied, perhaps more.
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

/// Applies the missing migrations. Any number of processes may call it at once: one works, the others wait. `lock_wait`
/// is the longest time for which the locks of one migration are requested.
///
/// # Errors
/// `MigrationBlocked` after that time.
pub(crate) async fn run(options: PgConnectOptions, lock_wait: Duration) -> StoreResult<()> {
    let options = options.options([("statement_timeout", "0"), ("lock_timeout", LOCK_TIMEOUT)]);
    let mut connection = PgConnection::connect_with(&options).await?;
    lock(&mut connection).await?;
    // The lock ends with its connection, even if the process dies.
    let done = bring_up_to_date(&mut connection, lock_wait).await;
    connection.close().await?;
    done
}

async fn bring_up_to_date(connection: &mut PgConnection, lock_wait: Duration) -> StoreResult<()> {
    apply_missing(connection, lock_wait).await?;
    if let Some(offset) = transactions::raise(connection).await? {
        tracing::warn!(
            offset,
            "the server counts its transactions anew; audit rows continue above the chained ones"
        );
    }
    Ok(())
}

/// Waits in short spans for the lock that keeps migrating processes apart. A long wait would be an open statement, and
/// an index that another process builds concurrently waits for the end of open statements.
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

async fn apply_missing(connection: &mut PgConnection, lock_wait: Duration) -> StoreResult<()> {
    connection.ensure_migrations_table(TABLE).await?;
    let applied = connection.list_applied_migrations(TABLE).await?;
    for migration in MIGRATIONS.iter() {
        match applied.iter().find(|one| one.version == migration.version) {
            Some(one) if one.checksum == migration.checksum => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version).into()),
            None => apply_with_retries(connection, migration, lock_wait).await?,
        }
    }
    Ok(())
}

/// Applies one migration, and tries again while another transaction holds a lock it needs.
async fn apply_with_retries(
    connection: &mut PgConnection,
    migration: &Migration,
    lock_wait: Duration,
) -> StoreResult<()> {
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
            Err(error) if is_lock_conflict(&error) => {
                let waited = wait.since.elapsed();
                if waited >= lock_wait {
                    return Err(StoreError::MigrationBlocked { version, waited, source: error });
                }
                if wait.is_due() {
                    let waited = waited.as_secs();
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
        run_statement(connection, &statement)
            .await
            .map_err(|error| MigrateError::ExecuteMigration(error, migration.version))?;
    }
    // Despite its name, `skip` records the migration as applied.
    connection.skip(TABLE, migration).await
}

/// Runs one statement of a migration outside a transaction. Concurrent builds and validations block no other
/// transaction, so they have no lock time-out.
async fn run_statement(connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    let unlimited = statement.contains(" CONCURRENTLY ") || statement.contains(" VALIDATE CONSTRAINT ");
    let limit = if unlimited { "0" } else { LOCK_TIMEOUT };
    connection.execute(AssertSqlSafe(format!("SET lock_timeout = '{limit}'"))).await?;
    if let Some(index) = concurrent_index(statement) {
        drop_invalid(connection, index).await?;
    }
    let done = connection.execute(AssertSqlSafe(statement.to_owned())).await.map(drop);
    connection.execute(AssertSqlSafe(format!("SET lock_timeout = '{LOCK_TIMEOUT}'"))).await?;
    done
}

/// Drops an index whose build was interrupted: every write maintains it, no query uses it, and `IF NOT EXISTS` would
/// keep it.
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

/// Returns the name of the index that a statement builds concurrently.
fn concurrent_index(statement: &str) -> Option<&str> {
    let mut words = statement.split_whitespace();
    if words.next() != Some("CREATE") {
        return None;
    }
    words.find(|word| *word == "CONCURRENTLY")?;
    words.find(|word| !["IF", "NOT", "EXISTS"].contains(word))
}

/// Returns the statements of a migration without a transaction; each ends with a semicolon at the end of a line. The
/// server would run several statements sent together in one transaction.
fn statements(sql: &str) -> Vec<String> {
    let lines: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let one = |part: &str| Some(part.trim().to_owned()).filter(|part| !part.is_empty());
    lines.join("\n").split(";\n").filter_map(|part| one(part.trim_end_matches(';'))).collect()
}

/// Returns whether another transaction held a lock for too long or waited for one of the migration's locks. A later
/// attempt may succeed.
fn is_lock_conflict(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// A wait that is logged at intervals.
struct Wait {
    since: Instant,
    logged: Option<Instant>,
}

impl Wait {
    fn new() -> Self {
        Self { since: Instant::now(), logged: None }
    }

    /// Returns whether the next log line is due.
    fn is_due(&mut self) -> bool {
        let due = self.logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL);
        if due {
            self.logged = Some(Instant::now());
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
