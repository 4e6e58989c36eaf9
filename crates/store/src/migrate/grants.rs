//! Privileges of the database role that runs the service. Only the owner of the tables may change table definitions or
//! written audit rows.

use chrono::TimeDelta;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

use crate::{Result, StoreError, jobs::seconds};

/// Advisory lock while privileges are written: PostgreSQL refuses concurrent changes of one table's privileges.
const GRANT_LOCK: i64 = 0x6772_616e_7473;
/// Tables to which the service only appends.
const APPEND_ONLY: &str = "audit_log, security_events, audit_blocks";
/// Tables that the service only reads.
const READ_ONLY: &str = "_sqlx_migrations, audit_retention";
/// Columns of audit rows that the service updates to count equal rows.
const COUNT_COLUMNS: [&str; 2] = ["occurrences", "last_at"];
/// Columns of security events that the service updates with the action taken and an admin's acknowledgement.
const ACTION_COLUMNS: [&str; 5] =
    ["action_taken", "action_detail", "acknowledged_at", "acknowledged_by", "acknowledgement"];

/// Query for privileges that a role must not have; it returns no row if there are none.
const EXCESS_PRIVILEGES_QUERY: &str = "
    SELECT what FROM (VALUES
        ('is the owner of the tables, or a member of its role',
            EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace(current_schema())
                AND relname = 'audit_log' AND pg_has_role($1, relowner, 'MEMBER'))),
        ('may create tables', has_schema_privilege($1, current_schema(), 'CREATE')),
        ('may remove audit rows', has_table_privilege($1, 'audit_log', 'DELETE, TRUNCATE')
            OR has_table_privilege($1, 'security_events', 'DELETE, TRUNCATE')),
        ('may change the audit chain', has_table_privilege($1, 'audit_blocks', 'UPDATE, DELETE, TRUNCATE')
            OR has_table_privilege($1, 'audit_checkpoints', 'DELETE, TRUNCATE')),
        ('may change audit rows', has_column_privilege($1, 'audit_log', 'event_type', 'UPDATE')
            OR has_column_privilege($1, 'security_events', 'event_type', 'UPDATE')),
        ('may change the retention', has_table_privilege($1, 'audit_retention', 'INSERT, UPDATE, DELETE'))
    ) AS excess (what, has) WHERE has";

/// Grants `role` the privileges the service needs, also on tables of later migrations, and revokes those it must not
/// have.
pub(crate) async fn grant(options: PgConnectOptions, role: &str) -> Result<()> {
    let mut connection = PgConnection::connect_with(&options).await?;
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(GRANT_LOCK).execute(&mut *tx).await?;
    let there = sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)");
    if !there.bind(role).fetch_one(&mut *tx).await? {
        return Err(StoreError::Role(format!("there is no database role {role}")));
    }
    let schema: String = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut *tx).await?;
    let counted = existing_columns(&mut tx, "audit_log", &COUNT_COLUMNS).await?;
    let acted =
        existing_columns(&mut tx, "security_events", &[&COUNT_COLUMNS[..], &ACTION_COLUMNS].concat()).await?;
    let (role_name, schema) = (quote_identifier(role), quote_identifier(&schema));
    let statements = format!(
        "REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role_name};
         GRANT USAGE ON SCHEMA {schema} TO {role_name};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role_name};
         GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role_name};
         ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role_name};
         ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {role_name};
         REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {READ_ONLY} FROM {role_name};
         REVOKE UPDATE, DELETE, TRUNCATE ON {APPEND_ONLY} FROM {role_name};
         REVOKE DELETE, TRUNCATE ON audit_checkpoints FROM {role_name};
         GRANT UPDATE ({counted}) ON audit_log TO {role_name};
         GRANT UPDATE ({acted}) ON security_events TO {role_name};
         GRANT EXECUTE ON FUNCTION prune_audit_log(interval, bigint), prune_security_events(interval, bigint)
            TO {role_name};"
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await?;
    let excess: Vec<String> =
        sqlx::query_scalar(EXCESS_PRIVILEGES_QUERY).bind(role).fetch_all(&mut *tx).await?;
    if !excess.is_empty() {
        return Err(StoreError::Role(format!("the database role {role} {}", excess.join(", and "))));
    }
    tx.commit().await?;
    Ok(connection.close().await?)
}

/// Sets the age after which audit rows may be removed; `None` forbids removal.
pub(crate) async fn keep_audit(connection: &mut PgConnection, age: Option<TimeDelta>) -> Result<()> {
    sqlx::query!(
        "UPDATE audit_retention SET least_age = make_interval(secs => $1)",
        age.map(seconds) as Option<f64>,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the privileges that the connection's role has and the service's role must not have, as parts of a sentence.
pub(crate) async fn excess_privileges(connection: &mut PgConnection) -> Result<Vec<String>> {
    let role: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *connection).await?;
    Ok(sqlx::query_scalar(EXCESS_PRIVILEGES_QUERY).bind(role).fetch_all(connection).await?)
}

/// Returns whether the connection's role may apply migrations.
pub(crate) async fn may_migrate(connection: &mut PgConnection) -> Result<bool> {
    let may = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
    Ok(sqlx::query_scalar(may).fetch_one(connection).await?)
}

/// Returns the columns in `wanted` that the table has, as a list for a statement.
async fn existing_columns(connection: &mut PgConnection, table: &str, wanted: &[&str]) -> Result<String> {
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = to_regclass($1) AND attname = ANY($2) AND NOT attisdropped ORDER BY attnum",
    )
    .bind(table)
    .bind(wanted)
    .fetch_all(connection)
    .await?;
    Ok(found.join(", "))
}

/// Returns `name` as a quoted identifier.
fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
