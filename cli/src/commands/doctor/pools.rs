//! Checks of App pools: whether their Apps are different ones and see the same runners.

use std::{collections::BTreeMap, sync::Arc};

use github::{Credential, GitHub, Listing, NoopObserver};
use installations::Installation;
use operations::doctor::Finding;

/// An App of a pool and the runners that it sees; `None` if it could not be asked.
struct Seen<'i> {
    app: &'i str,
    runners: Option<u64>,
}

/// Checks every pool with several Apps, with one request for each App.
pub(super) async fn examine(installations: &[Installation]) -> Vec<Finding> {
    let mut pools: BTreeMap<&str, Vec<&Installation>> = BTreeMap::new();
    for one in installations {
        pools.entry(one.pool.as_ref().unwrap_or(&one.id).as_str()).or_default().push(one);
    }
    let mut findings = Vec::new();
    for (pool, apps) in pools.into_iter().filter(|(_, apps)| apps.len() > 1) {
        findings.extend(twice(pool, &apps));
        let mut seen = Vec::new();
        for one in apps {
            seen.push(Seen { app: one.id.as_str(), runners: count(one).await });
        }
        findings.push(judge(pool, &seen));
    }
    findings
}

/// Returns a fault for each credential that a pool has twice: its budget would be spent twice.
fn twice(pool: &str, apps: &[&Installation]) -> Vec<Finding> {
    let credential = |one: &Installation| match &one.github.credential {
        Credential::App { app_id, installation_id, .. } => Some((app_id.clone(), *installation_id)),
        Credential::Pat(_) => None,
    };
    let mut known = BTreeMap::new();
    let mut findings = Vec::new();
    for one in apps {
        let Some(credential) = credential(one) else { continue };
        if let Some(first) = known.insert(credential, &one.id) {
            let detail = format!("pool {pool}: {first} and {} are one App", one.id);
            let repair = "Remove one of the tables: both would spend the limits of one App. A pool needs different Apps.";
            findings.push(Finding::fail("github", detail, repair));
        }
    }
    findings
}

async fn count(one: &Installation) -> Option<u64> {
    let github = GitHub::new(one.github.clone(), Arc::new(NoopObserver)).ok()?;
    // What GitHub refuses is found by the checks of the installation itself.
    match github.list_runners(1, 1, None).await.ok()? {
        Listing::Page(page) => Some(page.total_count),
        Listing::NotModified => None,
    }
}

fn judge(pool: &str, seen: &[Seen<'_>]) -> Finding {
    let counts: Vec<u64> = seen.iter().filter_map(|one| one.runners).collect();
    let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
    let shown: Vec<String> = seen
        .iter()
        .map(|one| {
            let runners = one.runners.map_or_else(|| "none".to_owned(), |number| number.to_string());
            format!("{} {runners}", one.app)
        })
        .collect();
    let shown = shown.join(", ");
    if counts.len() < seen.len() {
        let detail = format!("pool {pool}: not every App can list the runners ({shown})");
        let repair = "Repair that App, see its own checks. Until then the others of the pool do its work.";
        return Finding::warn("github", detail, repair);
    }
    // A runner may come or go between two requests.
    let tolerated = most.unwrap_or_default() / 10 + 5;
    if most.unwrap_or_default() - least.unwrap_or_default() > tolerated {
        let detail = format!("pool {pool}: its Apps see different numbers of runners ({shown})");
        let repair = "Install all Apps of a pool on one organization, with the same permissions: removals go through any of them.";
        return Finding::fail("github", detail, repair);
    }
    Finding::ok("github", format!("pool {pool}: its Apps see the same runners ({shown})"))
}

#[cfg(test)]
mod tests {
    use operations::doctor::Level;

    use super::*;

    fn level(counts: &[Option<u64>]) -> Level {
        let names = ["acme", "acme-2", "acme-3"];
        let seen = |(app, runners): (&&'static str, &Option<u64>)| Seen { app, runners: *runners };
        judge("acme", &names.iter().zip(counts).map(seen).collect::<Vec<_>>()).level
    }

    #[test]
    fn apps_that_see_other_runners_are_a_fault() {
        assert_eq!(level(&[Some(120), Some(118)]), Level::Ok);
        assert_eq!(level(&[Some(120), Some(120), Some(0)]), Level::Fail);
        assert_eq!(level(&[Some(120), None]), Level::Warn);
    }
}
