//! Runners that are left over: never used, or offline for a long time.

use chrono::TimeDelta;
use domain::Runner;

use super::{RunnerRow, Runners, runner_rows};
use crate::{Result, jobs::seconds, readable::ReadablePages};

/// One page of leftover runners, oldest first, without those with a removal job that is open or ended within the last
/// hour.
macro_rules! leftover_rows {
    ($condition:tt, $order:tt, $age:expr, $most:expr, $pages:ident $(,)?) => {
        runner_rows!(
            "WHERE " + $condition + "
                    AND NOT EXISTS (SELECT FROM jobs WHERE jobs.runner_id = runners.id AND kind = 'deprovision'
                        AND (finished_at IS NULL OR finished_at > now() - interval '1 hour'))
                 ORDER BY " + $order + ", runners.id LIMIT $2 OFFSET $3",
            seconds($age),
            $most,
            $pages.offset(),
        )
    };
}

impl Runners<'_> {
    /// Returns unused runners: the config was issued longer than `life` ago and they were never online. Oldest first,
    /// without those with a removal job that is open or ended within the last hour. A self-registered runner has used
    /// its token once it has a GitHub id; before that it has at least 70 minutes. It looks for them behind runners that
    /// this version cannot read.
    pub async fn unused(&mut self, life: TimeDelta, most: i64) -> Result<Vec<Runner>> {
        let mut pages = ReadablePages::new(most);
        loop {
            let rows = leftover_rows!(
                "runners.status = 'pending' AND (NOT registers_itself OR github_runner_id IS NULL)
                    AND registered_at < now()
                        - make_interval(secs => CASE WHEN registers_itself THEN greatest($1::float8, 4200) ELSE $1::float8 END)",
                "registered_at",
                life,
                most,
                pages,
            )
            .fetch_all(&mut *self.0)
            .await?;
            if !pages.add(rows) {
                return Ok(pages.into_found());
            }
        }
    }

    /// Returns stale runners: offline for longer than `age`. Oldest first, without those with a removal job that is open
    /// or ended within the last hour. It looks for them behind runners that this version cannot read.
    pub async fn stale(&mut self, age: TimeDelta, most: i64) -> Result<Vec<Runner>> {
        let mut pages = ReadablePages::new(most);
        loop {
            let rows = leftover_rows!(
                "runners.status = 'offline' AND offline_since < now() - make_interval(secs => $1)",
                "offline_since",
                age,
                most,
                pages,
            )
            .fetch_all(&mut *self.0)
            .await?;
            if !pages.add(rows) {
                return Ok(pages.into_found());
            }
        }
    }
}
