//! The comparison of the live runners with GitHub's list as one sync run has read it.
//!
//! A runner that is missing from a list is no proof of its end: the list changes while it is read. The comparison counts
//! misses and names the runners that a job must check.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{Deviation, DriftRules, REGISTRATION_GRACE, Remedy, SeenRunner, StatusChange};
use crate::{DriftResponse, RunnerId, RunnerStatus, TeamId};

/// Number of consecutive complete runs that must have missed a runner before it is checked.
pub const MISSES_BEFORE_CHECK: i16 = 2;
/// Number of consecutive runs, complete or not, that must have missed a runner before it is checked. The list of many
/// busy runners changes while it is read, so complete runs are rare there.
pub const MISSES_OF_ANY_KIND: i16 = 3;
/// Number of removals that never needs an admin's approval.
pub const BLAST_RADIUS_MIN: usize = 5;
/// Maximum percentage of live runners that one run may remove without an admin's approval.
pub const BLAST_RADIUS_PERCENT: usize = 20;

/// One live runner, reduced to the fields a sync run compares.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "they are columns of a row")]
pub struct LiveRunner {
    /// Id of the runner.
    pub id: RunnerId,
    /// GitHub's id of the runner.
    pub github_id: i64,
    /// Team of the runner.
    pub team: TeamId,
    /// Weight of the team.
    pub weight: f64,
    /// The team's response to drift.
    pub response: DriftResponse,
    /// Name of the runner.
    pub name: String,
    /// Labels bound at the request.
    pub labels: Vec<String>,
    /// Recorded status.
    pub status: RunnerStatus,
    /// Whether it runs a workflow job, as last recorded.
    pub busy: bool,
    /// Whether GitHub removes it by itself after one workflow job or if it stays unused.
    pub ephemeral: bool,
    /// Number of consecutive complete runs that did not list it.
    pub missed: i16,
    /// Number of consecutive runs of any kind that did not list it.
    pub unlisted: i16,
    /// Fingerprint of the deviation that was reported last.
    pub drift_seen: Option<String>,
    /// Whether it registered itself in violation of the policy and must be removed.
    pub refused: bool,
    /// Whether its removal is already under way.
    pub leaving: bool,
    /// Time at which the config was issued.
    pub registered_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// A runner that needs a check or a removal job.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// The runner.
    pub runner: RunnerId,
    /// Team of the runner.
    pub team: TeamId,
    /// Weight of the team.
    pub weight: f64,
    /// Whether it counts towards the limit of removals: the job may delete it on GitHub, or it vanished before its
    /// normal end.
    pub may_remove: bool,
}

/// A live runner that a run did not list.
#[derive(Clone, Debug, PartialEq)]
pub struct Absence {
    /// The runner. An unlisted ephemeral runner has reached its normal end: its check is a GET, and it never counts as
    /// a removal.
    pub suspect: Suspect,
    /// Number of consecutive complete runs that missed it, this one included.
    pub missed: i16,
    /// Number of consecutive runs of any kind that missed it, this one included.
    pub unlisted: i16,
}

impl Absence {
    /// Returns whether enough runs have missed it for a check.
    pub const fn is_due(&self) -> bool {
        self.missed >= MISSES_BEFORE_CHECK || self.unlisted >= MISSES_OF_ANY_KIND
    }

    /// Lowers the counters to one below the limits once a check was requested. The next run requests another check if
    /// it still misses the runner. Runners without any check yet come first.
    pub fn record_check(&mut self) {
        self.missed = self.missed.min(MISSES_BEFORE_CHECK - 1);
        self.unlisted = self.unlisted.min(MISSES_OF_ANY_KIND - 1);
    }
}

/// Result of one sync run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncFindings {
    /// Changes of rows.
    pub changes: Vec<StatusChange>,
    /// Runners that are listed again after earlier runs missed them.
    pub back: Vec<RunnerId>,
    /// Runners that are not listed.
    pub absences: Vec<Absence>,
    /// Listed runners to check. After all rows are compared, those with unreported deviations come first.
    pub suspects: Vec<Suspect>,
    /// Runners to remove, because they registered themselves in violation of the policy.
    pub refused: Vec<Suspect>,
    /// Number of live runners.
    pub live: usize,
    /// Suspects whose deviation has been reported before.
    repeated: Vec<Suspect>,
}

impl SyncFindings {
    /// Sorts the findings by urgency: first the runners missed most often and the new deviations.
    #[must_use]
    pub fn by_urgency(mut self) -> Self {
        self.suspects.append(&mut self.repeated);
        self.absences.sort_by_key(|absence| std::cmp::Reverse((absence.unlisted, absence.missed)));
        self
    }

    /// Returns the runners that may be checked or removed after this run.
    fn counted(&self) -> impl Iterator<Item = &Suspect> {
        let due = self.absences.iter().filter(|absence| absence.is_due()).map(|absence| &absence.suspect);
        due.chain(&self.suspects).chain(&self.repeated).chain(&self.refused)
    }

    /// Returns how many runners this run may remove.
    pub fn removals(&self) -> usize {
        self.counted().filter(|suspect| suspect.may_remove).count()
    }

    /// Returns whether the number of removals exceeds the limit of one run. `allowed` is the number an admin has
    /// approved; slightly more may have been found since.
    pub fn is_too_much(&self, allowed: Option<usize>) -> bool {
        let removals = self.removals();
        let much = removals > BLAST_RADIUS_MIN && removals * 100 > self.live * BLAST_RADIUS_PERCENT;
        much && allowed.is_none_or(|allowed| removals > allowed + BLAST_RADIUS_MIN.max(allowed / 10))
    }
}

/// One sync run: the runners it listed, and whether the list is complete.
#[derive(Clone, Debug)]
pub struct SyncPass<'p> {
    /// Listed runners, by GitHub's id.
    pub seen: &'p HashMap<i64, &'p SeenRunner>,
    /// Whether every page arrived and the counts agree. An absence then rarely comes from a shift between pages.
    pub complete: bool,
    /// Start of the run, by the database's clock; rows changed later are left to the next run.
    pub began: DateTime<Utc>,
    /// Drift settings of the deployment.
    pub rules: DriftRules,
}

impl SyncPass<'_> {
    /// Compares live rows with the list and adds the results to `findings`.
    pub fn compare(&self, rows: &[LiveRunner], findings: &mut SyncFindings) {
        findings.live += rows.len();
        for row in rows {
            match self.seen.get(&row.github_id) {
                Some(seen) => self.found(row, seen, findings),
                None => self.not_found(row, findings),
            }
        }
    }

    fn found(&self, row: &LiveRunner, seen: &SeenRunner, findings: &mut SyncFindings) {
        if row.missed > 0 || row.unlisted > 0 {
            findings.back.push(row.id);
        }
        let deviation = Deviation::of(&row.name, &row.labels, seen);
        if !matches!(deviation, Some(Deviation::Name { .. })) && row.updated_at <= self.began {
            findings.changes.extend(StatusChange::observed(row.id, row.status, row.busy, seen.observation()));
        }
        // Repeated by every run until the runner is gone, because a removal may meet another job or be held.
        if row.refused && !row.leaving && !matches!(deviation, Some(Deviation::Name { .. })) {
            findings.refused.push(suspect(row, true));
        }
        let Some(deviation) = deviation else {
            // The reported deviation is over. The check clears it, so that the next one is reported again.
            if row.drift_seen.is_some() {
                findings.suspects.push(suspect(row, false));
            }
            return;
        };
        if row.refused && matches!(deviation, Deviation::Labels { .. }) {
            return;
        }
        let reported = row.drift_seen.as_deref() == Some(deviation.fingerprint().as_str());
        let remedy = match deviation {
            Deviation::Name { .. } => Remedy::Record,
            Deviation::Labels { .. } => self.rules.remedy(row.response, seen.busy),
        };
        // The check decides again: a runner that is busy now may be idle by then.
        let may_remove = matches!(deviation, Deviation::Labels { .. })
            && self.rules.remedy(row.response, false) == Remedy::Delete;
        if !reported {
            findings.suspects.push(suspect(row, may_remove));
        } else if matches!(remedy, Remedy::Repair | Remedy::Delete) {
            findings.repeated.push(suspect(row, may_remove));
        }
    }

    fn not_found(&self, row: &LiveRunner, findings: &mut SyncFindings) {
        // A runner registered after the run began cannot be on pages that were read earlier.
        if row.registered_at > self.began - REGISTRATION_GRACE {
            return;
        }
        findings.absences.push(Absence {
            suspect: suspect(row, !row.ephemeral),
            missed: row.missed.saturating_add(i16::from(self.complete)),
            unlisted: row.unlisted.saturating_add(1),
        });
    }
}

const fn suspect(row: &LiveRunner, may_remove: bool) -> Suspect {
    Suspect { runner: row.id, team: row.team, weight: row.weight, may_remove }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::sync::tests::{labels, seen};
    use RunnerStatus::{Active, Pending};

    fn row(status: RunnerStatus) -> LiveRunner {
        LiveRunner {
            id: RunnerId::new(),
            github_id: 7,
            team: TeamId::new(),
            weight: 1.0,
            response: DriftResponse::Delete,
            name: "ci-1".into(),
            labels: labels(&["a"]),
            status,
            busy: false,
            ephemeral: true,
            missed: 0,
            unlisted: 0,
            drift_seen: None,
            refused: false,
            leaving: false,
            registered_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    fn compare(rows: &[LiveRunner], found: &[SeenRunner], complete: bool) -> SyncFindings {
        let seen = found.iter().map(|seen| (seen.github_id, seen)).collect();
        let began = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let mut findings = SyncFindings::default();
        SyncPass { seen: &seen, complete, began, rules: DriftRules::default() }.compare(rows, &mut findings);
        findings.by_urgency()
    }

    #[test]
    fn absence_is_checked_after_two_complete_runs_or_three_of_any_kind() {
        for (missed, unlisted, complete, due) in [
            (0, 0, true, false),
            (1, 1, true, true),
            (0, 1, false, false),
            (0, 2, false, true),
            (1, 1, false, false),
            (1, 2, false, true),
        ] {
            let absent = LiveRunner { missed, unlisted, ..row(Active) };
            let findings = compare(std::slice::from_ref(&absent), &[], complete);
            assert_eq!(findings.absences[0].is_due(), due, "{missed} {unlisted} {complete}");
            assert!(findings.changes.is_empty(), "a missing runner is deleted only after a lookup of it");
        }
        let fresh = LiveRunner { registered_at: DateTime::UNIX_EPOCH + TimeDelta::days(1), ..row(Pending) };
        assert!(compare(&[fresh], &[], true).absences.is_empty());
    }

    #[test]
    fn ended_ephemeral_runners_never_count_as_removals() {
        let ended = |ephemeral| LiveRunner { ephemeral, missed: 1, unlisted: 1, ..row(Active) };
        let fleet = vec![ended(true); 30];
        let findings = compare(&fleet, &[], true);
        assert_eq!((findings.absences.len(), findings.removals()), (30, 0));
        assert!(!findings.is_too_much(None));
        let findings = compare(&vec![ended(false); 30], &[], true);
        assert_eq!(findings.removals(), 30);
        assert!(findings.is_too_much(None));
    }

    #[test]
    fn unchecked_absences_come_before_checked_ones() {
        let waits = LiveRunner { unlisted: 3, ..row(Active) };
        let mut had = compare(&[row(Active)], &[], false).absences.remove(0);
        (had.missed, had.unlisted) = (9, 9);
        had.record_check();
        let had = LiveRunner { missed: had.missed, unlisted: had.unlisted, ..row(Active) };
        let findings = compare(&[had, waits.clone()], &[], true);
        assert!(findings.absences.iter().all(Absence::is_due), "a check may have failed");
        assert_eq!(findings.absences[0].suspect.runner, waits.id);
    }

    #[test]
    fn row_changed_during_a_run_is_left_to_the_next_run() {
        let moved = LiveRunner { updated_at: DateTime::UNIX_EPOCH + TimeDelta::days(2), ..row(Pending) };
        let findings = compare(&[moved], &[seen(&[("a", false)])], true);
        assert!(findings.changes.is_empty());
        let findings = compare(&[row(Pending)], &[seen(&[("a", false)])], true);
        assert_eq!((findings.changes[0].from, findings.changes[0].to), (Some(Pending), Active));
    }

    #[test]
    fn reported_drift_is_checked_again_only_to_act() {
        let drifted = seen(&[("b", false)]);
        let fingerprint = Deviation::of("ci-1", &labels(&["a"]), &drifted).unwrap().fingerprint();
        let known = LiveRunner { drift_seen: Some(fingerprint), ..row(Active) };
        assert_eq!(
            compare(std::slice::from_ref(&known), std::slice::from_ref(&drifted), false).removals(),
            1
        );
        let observed = LiveRunner { response: DriftResponse::Observe, ..known.clone() };
        assert!(compare(&[observed], std::slice::from_ref(&drifted), true).suspects.is_empty());
        let busy = [SeenRunner { busy: true, ..drifted }];
        assert!(compare(std::slice::from_ref(&known), &busy, true).suspects.is_empty());
        assert_eq!(compare(&[row(Active)], &busy, true).removals(), 1, "it may be idle when it is checked");
        let over = compare(&[known], &[seen(&[("A", false)])], true);
        assert_eq!((over.suspects.len(), over.removals()), (1, 0));
    }

    #[test]
    fn removals_of_refused_runners_are_repeated_until_gone() {
        let refused = LiveRunner { refused: true, ..row(Active) };
        for there in [seen(&[("a", false)]), seen(&[("prod", false)])] {
            let findings = compare(std::slice::from_ref(&refused), &[there], false);
            assert_eq!((findings.refused.len(), findings.removals()), (1, 1));
            assert!(findings.suspects.is_empty(), "one check is enough");
        }
        let leaving = LiveRunner { leaving: true, ..refused.clone() };
        assert!(compare(&[leaving], &[seen(&[("prod", false)])], true).refused.is_empty());
        let renamed = SeenRunner { name: "other".into(), ..seen(&[]) };
        let findings = compare(&[refused], &[renamed], true);
        assert_eq!((findings.refused.len(), findings.suspects.len()), (0, 1));
    }

    #[test]
    fn blast_radius_counts_only_possible_removals() {
        let suspects = |n| {
            (0..n).map(|_| Suspect { may_remove: true, ..suspect(&row(Active), true) }).collect::<Vec<_>>()
        };
        let found = |n, live| SyncFindings { suspects: suspects(n), live, ..SyncFindings::default() };
        let of = |n, live| found(n, live).is_too_much(None);
        assert!(!of(5, 5));
        assert!(of(6, 6));
        assert!(of(6, 29));
        assert!(!of(6, 30));
        assert!(!of(2000, 10_000));
        assert!(of(2001, 10_000));
        for (shown, found_now, stops) in [(6, 11, false), (6, 12, true), (300, 330, false), (300, 331, true)]
        {
            assert_eq!(found(found_now, found_now).is_too_much(Some(shown)), stops, "{shown} {found_now}");
        }
    }
}
