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
    /// Change of the order of texts under the indexes.
    pub sorting: Option<ChangedSorting>,
}

/// An order of texts that has changed since the database was made, as after an upgrade of the operating system. Indexes
/// of texts may then miss rows, and unique ones may accept duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedSorting {
    /// Name of the database, as SQL writes it.
    pub database: String,
    /// Version of the order when the database was made or last refreshed.
    pub recorded: String,
    /// Version that the server uses; `None` if its C library has none.
    pub actual: Option<String>,
}

/// First version of PostgreSQL that records the version of a database's order.
const RECORDS_SORTING: i32 = 150_000;

/// Returns facts about the server and the connection's role. The tables must exist.
pub(crate) async fn read(connection: &mut PgConnection) -> Result<DatabaseFacts> {
    let server = "SELECT current_setting('server_version_num')::int,
        pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
        current_setting('statement_timeout') <> '0'";
    let (version, read_only, limits_statements) = sqlx::query_as(server).fetch_one(&mut *connection).await?;
    let excess = grants::excess_privileges(connection).await?;
    let sorting = if version >= RECORDS_SORTING { changed_sorting(connection).await? } else { None };
    Ok(DatabaseFacts { version, read_only, limits_statements, excess, sorting })
}

async fn changed_sorting(connection: &mut PgConnection) -> Result<Option<ChangedSorting>> {
    let changed = "SELECT quote_ident(datname), datcollversion, pg_database_collation_actual_version(oid)
        FROM pg_database WHERE datname = current_database() AND datcollversion IS NOT NULL
            AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)";
    let row: Option<(String, String, Option<String>)> =
        sqlx::query_as(changed).fetch_optional(connection).await?;
    Ok(row.map(|(database, recorded, actual)| ChangedSorting { database, recorded, actual }))
}
