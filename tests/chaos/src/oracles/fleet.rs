//! Oracles about runners: GitHub matches the rows, and no team exceeds its quota.

use std::collections::{BTreeSet, HashMap};

use super::Verdict;
use crate::{
    churn::is_unmanaged,
    evidence::{Evidence, RunnerRow},
    history::most_at_once,
    people::Team,
};

/// Every runner on GitHub belongs to a live row: the service is its only creator.
pub(super) fn nothing_stray(evidence: &Evidence) -> Verdict {
    let live: HashMap<i64, &RunnerRow> = evidence
        .runners
        .iter()
        .filter(|row| row.is_live())
        .filter_map(|row| row.github_id.map(|id| (id, row)))
        .collect();
    let mut offenders = Vec::new();
    let ours = || evidence.github.iter().filter(|runner| !is_unmanaged(&runner.name));
    for runner in ours() {
        match i64::try_from(runner.id).ok().and_then(|id| live.get(&id)) {
            None => {
                let calls: Vec<_> = evidence.calls.iter().filter(|call| call.name == runner.name).collect();
                offenders
                    .push(format!("{} ({}) belongs to no row; its calls: {calls:?}", runner.name, runner.id));
            }
            Some(row) if row.name != runner.name => {
                offenders.push(format!("{} ({}) belongs to {row:?}", runner.name, runner.id));
            }
            Some(_) => {}
        }
    }
    Verdict::new("every runner on GitHub belongs to a live row", ours().count(), offenders)
}

/// Unmanaged runners are left alone, by complete and incomplete sync runs.
pub(super) fn unmanaged_are_untouched(evidence: &Evidence) -> Verdict {
    let there: BTreeSet<&str> = evidence.github.iter().map(|runner| runner.name.as_str()).collect();
    let gone = evidence.unmanaged.iter().filter(|name| !there.contains(name.as_str()));
    let offenders = gone.map(|name| format!("{name} was removed from GitHub")).collect();
    Verdict::new("unmanaged runners are left alone", evidence.unmanaged.len(), offenders)
}

/// Every row with a delivered config has its runner on GitHub; no row waits for a finished job.
pub(super) fn pending_exist(evidence: &Evidence) -> Verdict {
    let there = |row: &&RunnerRow| {
        evidence.github.iter().any(|runner| i64::try_from(runner.id).ok() == row.github_id)
    };
    let live = || evidence.runners.iter().filter(|row| row.is_live());
    let offenders = live()
        .filter(|row| !there(row) || row.status == "requested")
        .map(|row| format!("{row:?} has no runner on GitHub"))
        .collect();
    Verdict::new("every live row has its runner on GitHub", live().count(), offenders)
}

/// No team ever exceeds its quota.
pub(super) fn quota_holds(evidence: &Evidence) -> Verdict {
    // Observations count only if some team reached its quota.
    let full = |team: &&Team| evidence.seen.fullest.get(team.name).copied() >= team.most.map(i64::from);
    let tried = evidence.teams.iter().filter(|team| team.most.is_some()).any(|team| full(&team));
    let looks = usize::try_from(evidence.seen.looks).unwrap_or(usize::MAX);
    // Observations may have gaps; the history has none.
    let looked_at = if tried { looks.saturating_add(evidence.lives.len()) } else { 0 };
    let mut offenders = evidence.seen.exceeded.clone();
    let fullest = most_at_once(&evidence.lives);
    for team in &evidence.teams {
        let (live, most) =
            (fullest.get(&team.id).copied().unwrap_or(0), team.most.map_or(i64::MAX, i64::from));
        if live > most {
            offenders.push(format!("{} had {live} runners of {most} at once by their history", team.name));
        }
    }
    for team in &evidence.teams {
        let live = evidence.runners.iter().filter(|row| row.is_live() && row.team == team.id).count();
        if team.most.is_some_and(|most| i64::try_from(live).is_ok_and(|live| live > i64::from(most))) {
            offenders.push(format!("{} has {live} runners of {:?} at the end", team.name, team.most));
        }
    }
    Verdict::new("no quota is exceeded at any moment", looked_at, offenders)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::history::Life;

    fn row(status: &str, github_id: Option<i64>) -> RunnerRow {
        RunnerRow { id: Uuid::now_v7(), status: status.to_owned(), github_id, ..RunnerRow::default() }
    }

    #[test]
    fn row_without_its_runner_is_found() {
        let runners = vec![row("pending", Some(1)), row("requested", None), row("deleted", Some(2))];
        assert_eq!(pending_exist(&Evidence { runners, ..Evidence::default() }).offenders.len(), 2);
    }

    #[test]
    fn unmanaged_runner_that_is_gone_is_found() {
        let unmanaged = ["unmanaged-1".to_owned()].into();
        let evidence = Evidence { unmanaged, ..Evidence::default() };
        assert_eq!(unmanaged_are_untouched(&evidence).offenders.len(), 1);
    }

    #[test]
    fn quota_exceeded_at_the_end_is_found() {
        let team = Team { id: Uuid::nil(), name: "coral", most: Some(1), floods: false };
        let runners = vec![row("pending", Some(1)), row("requested", None), row("deleted", None)];
        let evidence = Evidence { runners, teams: vec![team], ..Evidence::default() };
        assert_eq!(quota_holds(&evidence).offenders.len(), 1);
    }

    #[test]
    fn quota_exceeded_between_two_samples_is_found() {
        let team = Team { id: Uuid::nil(), name: "coral", most: Some(1), floods: false };
        let life = |from, until| Life { team: team.id, from, until: Some(until) };
        let lives = |second| vec![life(0, 5), life(second, 9)];
        let exceeded = |second| {
            let evidence =
                Evidence { lives: lives(second), teams: vec![team.clone()], ..Evidence::default() };
            quota_holds(&evidence).offenders.len()
        };
        assert_eq!((exceeded(4), exceeded(5)), (1, 0));
    }
}
