//! Facts about the database server, for the operator's checks.

use sqlx::PgConnection;

use crate::{Result, migrate::grants};

/// The database server, and the role that the service uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Version, such as 150004 for 15.4.
    pub version: i32,
    /// Whether the server takes no writes: it is a replica, or transactions are read-only by default.
    pub read_only: bool,
    /// Whether statements of this role have a time limit.
    pub limits_statements: bool,
    /// Privileges that the role should not have, as parts of a sentence.
    pub excess: Vec<String>,
}

/// Returns facts about the server and the connection's role. The tables must exist.
pub(crate) async fn read(connection: &mut PgConnection) -> Result<DatabaseFacts> {
    let server = "SELECT current_setting('server_version_num')::int,
        pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
        current_setting('statement_timeout') <> '0'";
    let (version, read_only, limits_statements) = sqlx::query_as(server).fetch_one(&mut *connection).await?;
    let excess = grants::excess_privileges(connection).await?;
    Ok(DatabaseFacts { version, read_only, limits_statements, excess })
}
