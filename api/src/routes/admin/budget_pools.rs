//! Sums of the budgets of App pools.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::budget::InstallationView;

/// Sum of the budgets of an App pool.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolBudget)]
pub(crate) struct PoolView {
    /// The pool, by the name of its first installation.
    pub(crate) pool: String,
    /// Its installations, by name.
    pub(crate) installations: Vec<String>,
    /// Number of installations that no pause stops.
    pub(crate) usable: usize,
    /// Sums of the primary windows, by resource. Their ends differ.
    pub(crate) windows: Vec<PoolWindow>,
    /// Sum of the points allowed in a minute on one endpoint; null without limits.
    pub(crate) points_limit: Option<u64>,
    /// Sum of the writes allowed in a minute.
    pub(crate) mutation_rate_per_minute: u64,
    /// Runners registered in the last five minutes, by all Apps.
    pub(crate) registrations_used: u64,
    /// Registrations that GitHub allows the organization in five minutes, however many Apps it has; null without
    /// limits.
    pub(crate) registrations_limit: Option<u64>,
    /// Running jobs.
    pub(crate) running: u64,
}

/// Sum of the primary windows of one resource.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PoolBudgetWindow)]
pub(crate) struct PoolWindow {
    /// `x-ratelimit-resource`.
    pub(crate) resource: String,
    /// Requests allowed in the windows.
    pub(crate) limit: u64,
    /// Requests left.
    pub(crate) remaining: u64,
}

/// Returns the sum of each pool with several Apps.
pub(super) fn pools(budgets: &[InstallationView]) -> Vec<PoolView> {
    let mut by_pool: BTreeMap<&str, Vec<&InstallationView>> = BTreeMap::new();
    for budget in budgets {
        by_pool.entry(&budget.pool).or_default().push(budget);
    }
    let several = by_pool.into_iter().filter(|(_, apps)| apps.len() > 1);
    several.map(|(pool, apps)| PoolView::sum(pool, &apps)).collect()
}

impl PoolView {
    fn sum(pool: &str, apps: &[&InstallationView]) -> Self {
        let whole_pool = |app: &&&InstallationView| app.installation == pool;
        let held = apps.iter().filter(whole_pool).any(|app| is_held_by_admin(app));
        let usable = apps.iter().filter(|app| !held && app.pauses.is_empty()).count();
        let mut windows: BTreeMap<&str, PoolWindow> = BTreeMap::new();
        for window in apps.iter().flat_map(|app| &app.windows) {
            let (resource, limit, remaining) = (window.resource.clone(), 0, 0);
            let sum = windows.entry(&window.resource).or_insert(PoolWindow { resource, limit, remaining });
            sum.limit += window.limit;
            sum.remaining += window.remaining;
        }
        Self {
            pool: pool.to_owned(),
            installations: apps.iter().map(|app| app.installation.clone()).collect(),
            usable,
            windows: windows.into_values().collect(),
            points_limit: apps.iter().map(|app| app.points_limit).sum(),
            mutation_rate_per_minute: apps.iter().map(|app| app.mutation_rate_per_minute).sum(),
            registrations_used: apps.iter().map(|app| app.registrations_used).sum(),
            registrations_limit: apps.iter().find_map(|app| app.registrations_limit),
            running: apps.iter().map(|app| app.running).sum(),
        }
    }
}

/// Whether an administrator has paused the installation, and with it the pool that has its name.
fn is_held_by_admin(app: &InstallationView) -> bool {
    app.pauses.iter().any(|pause| pause.reason == "admin")
}
