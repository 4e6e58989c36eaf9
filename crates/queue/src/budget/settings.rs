//! Limits of one installation, as configured.

use std::time::Duration;

use domain::InstallationId;

use crate::{Queue, QueueError, queue::millis, scripts};

/// Limits of one installation. The defaults are GitHub's documented limits with a margin; tests use smaller ones.
/// Writing clamps values to their ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Whether GitHub limits this installation. If false (GitHub Enterprise Server with limits off), windows, points,
    /// registrations and the mutation rate do not apply. Concurrency, team caps, pauses and the breaker do.
    pub enabled: bool,
    /// Points per minute and endpoint, at least 10. A write costs 5, a read 1.
    pub points_per_minute: u32,
    /// Length of that minute: 10 ms to a day. After such a time without a secondary limit, the mutation rate grows.
    pub minute: Duration,
    /// Runner registrations per `registrations_period`, at least 2.
    pub registrations: u32,
    /// Period of the registration limit: 10 ms to a day.
    pub registrations_period: Duration,
    /// Maximum number of concurrent jobs, at least 1.
    pub concurrency: u32,
    /// Part of the primary window reserved for deprovision jobs and urgent calls, in percent, at most 90.
    pub reserve_percent: u32,
    /// Maximum number of one team's running jobs over all lanes, at least 1. Jobs without a team are not counted.
    pub team_running: u32,
    /// Limits of the circuit breaker.
    pub breaker: BreakerSettings,
    /// Time after which a probe without a response counts as lost and the next one is sent. At most a day.
    pub probe: Duration,
}

/// Conditions under which GitHub counts as down. Writing clamps values to their ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Number of failed responses that open it: 1 to 100.
    pub bad: u32,
    /// Number of latest responses considered: 1 to 100.
    pub answers: u32,
    /// Age at which a response no longer counts. At most a day.
    pub within: Duration,
    /// First pause. At most a day.
    pub pause: Duration,
    /// Longest pause; each failed probe doubles the pause up to this. At most a day.
    pub longest: Duration,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            points_per_minute: 900,
            minute: Duration::from_mins(1),
            registrations: 1_500,
            registrations_period: Duration::from_mins(5),
            concurrency: 80,
            reserve_percent: 10,
            team_running: 40,
            breaker: BreakerSettings::default(),
            probe: Duration::from_secs(30),
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            bad: 5,
            answers: 20,
            within: Duration::from_mins(1),
            pause: Duration::from_secs(5),
            longest: Duration::from_mins(1),
        }
    }
}

impl BudgetSettings {
    /// Values in the order of `SETTINGS` in `budget.lua`.
    fn args(&self) -> [u64; 14] {
        let ms = |duration: Duration, least: u64| millis(duration).clamp(least, 86_400_000);
        let number = |value: u32, least: u32, most: u32| u64::from(value.clamp(least, most));
        [
            u64::from(self.enabled),
            number(self.points_per_minute, 10, 1_000_000),
            ms(self.minute, 10),
            number(self.registrations, 2, 1_000_000),
            ms(self.registrations_period, 10),
            number(self.concurrency, 1, 1_000_000),
            number(self.reserve_percent, 0, 90),
            number(self.team_running, 1, 1_000_000),
            number(self.breaker.bad, 1, 100),
            number(self.breaker.answers, 1, 100),
            ms(self.breaker.within, 1),
            ms(self.breaker.pause, 1),
            ms(self.breaker.longest, 1),
            ms(self.probe, 1),
        ]
    }
}

/// Settings of the budget of one installation, alone or in an App pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationBudget {
    /// The installation.
    pub installation: InstallationId,
    /// Its limits.
    pub settings: BudgetSettings,
    /// Its place in a pool.
    pub place: PoolPlace,
}

/// Place of an installation in an App pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PoolPlace {
    /// It is the first App, whose name the pool has. The further Apps, at most 15; none if it is alone.
    First(Vec<InstallationId>),
    /// It is a further App of this pool.
    Further(InstallationId),
}

/// Most further Apps of a pool: a claim reads the budgets of all of them.
const MAX_FURTHER_APPS: usize = 15;

/// Most budgets written by one call of the script.
const MAX_BUDGETS: usize = 100;

impl InstallationBudget {
    /// Returns the budget of an installation that is alone.
    pub fn alone(installation: &InstallationId, settings: &BudgetSettings) -> Self {
        let place = PoolPlace::First(Vec::new());
        Self { installation: installation.clone(), settings: settings.clone(), place }
    }

    fn args(&self) -> impl Iterator<Item = String> {
        let (apps, pool) = match &self.place {
            PoolPlace::First(apps) => {
                let names = apps.iter().take(MAX_FURTHER_APPS).map(InstallationId::as_str);
                (names.collect::<Vec<_>>().join(" "), String::new())
            }
            PoolPlace::Further(pool) => (String::new(), pool.to_string()),
        };
        let values = self.settings.args().map(|value| value.to_string());
        [self.installation.to_string(), apps, pool].into_iter().chain(values)
    }
}

impl Queue {
    /// Writes these limits where they differ, and then wakes a worker. `only_missing` leaves installations alone that
    /// have limits: Redis may lose them, and a process that started later may have written newer ones.
    ///
    /// A further App stays in its pool until no process has written it for a quarter of an hour: while settings are rolled
    /// out, the processes that do not know it must not take it from the others.
    pub async fn write_budgets(
        &self,
        budgets: &[InstallationBudget],
        only_missing: bool,
    ) -> Result<(), QueueError> {
        for some in budgets.chunks(MAX_BUDGETS) {
            let mut args = vec![u8::from(only_missing).to_string()];
            args.extend(some.iter().flat_map(InstallationBudget::args));
            self.run::<u8>(&scripts::SETTINGS, &args).await?;
        }
        Ok(())
    }

    /// Writes the limits of an installation that is alone if they differ, and then wakes a worker.
    pub async fn set_budget(
        &self,
        installation: &InstallationId,
        settings: &BudgetSettings,
    ) -> Result<(), QueueError> {
        self.write_budgets(&[InstallationBudget::alone(installation, settings)], false).await
    }

    /// Writes the limits of an installation that is alone if Redis has none.
    pub async fn restore_budget(
        &self,
        installation: &InstallationId,
        settings: &BudgetSettings,
    ) -> Result<(), QueueError> {
        self.write_budgets(&[InstallationBudget::alone(installation, settings)], true).await
    }
}

#[cfg(test)]
mod tests {
    use super::BudgetSettings;

    #[test]
    fn script_has_the_defaults_of_the_settings_in_their_order() {
        let script = include_str!("../../scripts/lib/budget.lua");
        let table = |name: &str| {
            let from = script.split_once(&format!("local {name} = {{")).unwrap().1;
            from.split_once('}').unwrap().0.replace(['\n', ' ', '\''], "")
        };
        let (names, values) = (table("SETTINGS"), BudgetSettings::default().args());
        let pairs: Vec<String> =
            names.split_terminator(',').zip(values).map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(table("DEFAULTS").split_terminator(',').collect::<Vec<_>>(), pairs);
        assert_eq!(pairs.len(), values.len());
    }
}
