//! A database per test, copied from a template that is migrated once per server. Tests read it as its owner; the
//! service uses a role with the same privileges as in production.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    str::FromStr,
};

use domain::Secret;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use store::Store;
use url::Url;
use uuid::Uuid;

/// Advisory lock held while the template is made; no other code uses this number.
const TEMPLATE_LOCK: i64 = 0x5275_6e6e_6572;

/// Name and password of the role that the service uses in tests.
const SERVICE_ROLE: &str = "rts_test_service";

/// A database that exists for one test.
#[derive(Clone, Debug)]
pub struct Database {
    name: String,
    url: String,
    server: String,
}

/// Returns a new copy of the migrated template.
///
/// # Panics
/// When `TEST_DATABASE_URL` is not set or its server refuses.
pub async fn copy_of() -> Database {
    copy_on(&crate::server("TEST_DATABASE_URL")).await
}

pub(crate) async fn copy_on(server: &str) -> Database {
    let mut admin = connect_admin(server).await;
    let template = template(&mut admin, server).await;
    let database = Database::named(server, &fresh_name());
    let sql = format!("CREATE DATABASE {} TEMPLATE {template} STRATEGY FILE_COPY", database.name);
    run(&mut admin, sql).await;
    database
}

/// Returns a new database without tables.
///
/// # Panics
/// When `TEST_DATABASE_URL` is not set or its server refuses.
pub async fn empty() -> Database {
    let server = crate::server("TEST_DATABASE_URL");
    let database = Database::named(&server, &fresh_name());
    let mut admin = connect_admin(&server).await;
    run(&mut admin, format!("CREATE DATABASE {}", database.name)).await;
    database
}

impl Database {
    fn named(server: &str, name: &str) -> Self {
        let mut url = Url::parse(server).expect("a URL in TEST_DATABASE_URL");
        url.set_path(name);
        Self { name: name.to_owned(), url: url.into(), server: server.to_owned() }
    }

    /// Returns the database's name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL of the database for its owner.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns a store that connects as the owner, with its own pool.
    ///
    /// # Panics
    /// When the URL is invalid.
    pub fn store(&self, connections: u32) -> Store {
        Store::new(&Secret::new(self.url.as_str()), connections).unwrap()
    }

    /// Returns the URL of the database for the service's role.
    ///
    /// # Panics
    /// When the server's URL has no host.
    pub fn service_url(&self) -> String {
        let mut url = Url::parse(&self.url).unwrap();
        url.set_username(SERVICE_ROLE).and_then(|()| url.set_password(Some(SERVICE_ROLE))).unwrap();
        url.into()
    }

    /// Returns the name of the service's role.
    pub fn service_role(&self) -> &'static str {
        SERVICE_ROLE
    }

    /// Returns a store that connects as the service's role, with its own pool. Each process makes its own.
    ///
    /// # Panics
    /// When the URL is invalid.
    pub fn service_store(&self, connections: u32) -> Store {
        Store::new(&Secret::new(self.service_url()), connections).unwrap()
    }

    /// Returns a plain connection pool of the owner, to read rows.
    ///
    /// # Panics
    /// When the URL is invalid.
    pub fn pool(&self) -> PgPool {
        let options = PgConnectOptions::from_str(&self.url).unwrap();
        PgPoolOptions::new().max_connections(3).connect_lazy_with(options)
    }

    /// Returns a copy of the database as it is now, like a backup. All connections to the database are closed.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn back_up(&self) -> Self {
        let copy = Self::named(&self.server, &fresh_name());
        let mut admin = connect_admin(&self.server).await;
        // A template must have no connection, and pools connect again at once.
        let allow = |yes: bool| format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {yes}", self.name);
        run(&mut admin, allow(false)).await;
        let close = format!(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        run(&mut admin, close).await;
        run(&mut admin, format!("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", copy.name, self.name))
            .await;
        run(&mut admin, allow(true)).await;
        copy
    }

    /// Puts a backup in the place of this database.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn restore(&self, backup: Self) {
        self.remove().await;
        let mut admin = connect_admin(&self.server).await;
        run(&mut admin, format!("ALTER DATABASE {} RENAME TO {}", backup.name, self.name)).await;
    }

    /// Removes the database and closes all connections to it.
    pub async fn remove(&self) {
        let mut admin = connect_admin(&self.server).await;
        run(&mut admin, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await;
    }
}

fn fresh_name() -> String {
    format!("t_{}", Uuid::new_v4().simple())
}

async fn connect_admin(server: &str) -> PgConnection {
    PgConnection::connect(server).await.expect("the PostgreSQL of TEST_DATABASE_URL")
}

async fn run(admin: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(admin).await.unwrap();
}

/// Returns the template with the current migrations. The first caller makes it under a lock; it gets its final name
/// once
/// it is complete.
async fn template(admin: &mut PgConnection, server: &str) -> String {
    let mut hash = DefaultHasher::new();
    store::MIGRATIONS.iter().for_each(|step| (step.version, &step.checksum).hash(&mut hash));
    let name = format!("rts_template_{:016x}", hash.finish());
    if exists(admin, &name).await {
        return name;
    }
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut *admin).await.unwrap();
    if !exists(admin, &name).await {
        let building = Database::named(server, &format!("{name}_building"));
        run(admin, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", building.name)).await;
        run(admin, format!("CREATE DATABASE {}", building.name)).await;
        let store = building.store(1);
        store.migrate().await.unwrap();
        let role = format!(
            "DO $$ BEGIN CREATE ROLE {SERVICE_ROLE} LOGIN PASSWORD '{SERVICE_ROLE}'; EXCEPTION WHEN duplicate_object THEN END $$"
        );
        run(admin, role).await;
        store.grant_to(SERVICE_ROLE).await.unwrap();
        store.close().await;
        run(admin, format!("ALTER DATABASE {} RENAME TO {name}", building.name)).await;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(TEMPLATE_LOCK).execute(admin).await.unwrap();
    name
}

async fn exists(admin: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(admin)
        .await
        .unwrap()
}
