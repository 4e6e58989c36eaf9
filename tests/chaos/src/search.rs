//! Search for the canary in all outputs that must not contain it.

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Row};

use crate::{canary_search::CanarySearch, environment::Environment, redis_snapshot::RedisSnapshot};

/// Result of the search.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Number of texts searched.
    pub(crate) searched: usize,
    /// Places where it was found.
    pub(crate) leaks: Vec<String>,
}

impl Search {
    /// Searches logs, metrics, every column of every row, and Redis.
    pub(crate) async fn everywhere(
        environment: &Environment,
        inside: &RedisSnapshot,
    ) -> anyhow::Result<Self> {
        let (mut search, needles) = (Self::default(), CanarySearch::of(&environment.canary));
        for path in environment.logs() {
            let text = String::from_utf8_lossy(&tokio::fs::read(&path).await?).into_owned();
            search.check_text(&needles, &path.display().to_string(), &text);
        }
        for slot in &environment.slots {
            let url = format!("http://{}/metrics", slot.recipe.address);
            let text = environment.client.get(&url).send().await?.error_for_status()?.text().await?;
            search.check_text(&needles, &format!("metrics of {}", slot.name()), &text);
        }
        search.rows(environment, &needles).await?;
        for (key, text) in inside.texts() {
            search.check_text(&needles, &format!("redis key {key}"), &text);
        }
        Ok(search)
    }

    /// Searches sealed columns as well: PostgreSQL returns bytes as hex, and sealed data must not contain the canary.
    async fn rows(&mut self, environment: &Environment, needles: &CanarySearch) -> anyhow::Result<()> {
        let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
        for table in sqlx::query_scalar::<_, String>(tables).fetch_all(&environment.sql).await? {
            let query = format!("SELECT t::text FROM \"{table}\" t");
            let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(&environment.sql);
            while let Some(row) = rows.try_next().await? {
                self.check_text(needles, &format!("table {table}"), &row.try_get::<String, _>(0)?);
            }
        }
        Ok(())
    }

    fn check_text(&mut self, needles: &CanarySearch, place: &str, text: &str) {
        self.searched += 1;
        if needles.in_text(text) {
            self.leaks.push(place.to_owned());
        }
    }
}
