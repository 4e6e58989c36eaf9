//! The search for the canary, everywhere but where it may be.

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Row};

use crate::{canary_search::CanarySearch, environment::Environment, redis_snapshot::RedisSnapshot};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Texts it was looked for in.
    pub(crate) searched: usize,
    /// Where it was found.
    pub(crate) leaks: Vec<String>,
}

impl Search {
    /// Looks through logs, metrics, every column of every row, and Redis.
    pub(crate) async fn everywhere(stage: &Environment, inside: &RedisSnapshot) -> anyhow::Result<Self> {
        let (mut search, needles) = (Self::default(), CanarySearch::of(&stage.canary));
        for path in stage.logs() {
            let text = String::from_utf8_lossy(&tokio::fs::read(&path).await?).into_owned();
            search.look(&needles, &path.display().to_string(), &text);
        }
        for slot in &stage.slots {
            let url = format!("http://{}/metrics", slot.recipe.address);
            let text = stage.client.get(&url).send().await?.error_for_status()?.text().await?;
            search.look(&needles, &format!("metrics of {}", slot.name()), &text);
        }
        search.rows(stage, &needles).await?;
        for (key, text) in inside.texts() {
            search.look(&needles, &format!("redis key {key}"), &text);
        }
        Ok(search)
    }

    /// What is sealed is looked through as well: Postgres tells bytes in hex, and sealed they show nothing.
    async fn rows(&mut self, stage: &Environment, needles: &CanarySearch) -> anyhow::Result<()> {
        let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
        for table in sqlx::query_scalar::<_, String>(tables).fetch_all(&stage.sql).await? {
            let query = format!("SELECT t::text FROM \"{table}\" t");
            let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(&stage.sql);
            while let Some(row) = rows.try_next().await? {
                self.look(needles, &format!("table {table}"), &row.try_get::<String, _>(0)?);
            }
        }
        Ok(())
    }

    fn look(&mut self, needles: &CanarySearch, place: &str, text: &str) {
        self.searched += 1;
        if needles.in_text(text) {
            self.leaks.push(place.to_owned());
        }
    }
}
