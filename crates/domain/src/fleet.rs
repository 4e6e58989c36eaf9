//! What is concluded from what GitHub says of our runners. Do no harm: what was merely not seen is looked at again,
//! never taken for gone.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{DriftResponse, RunnerId, RunnerStatus, TeamId, is_system_label, lane::words};

words! {
    /// By whom a change of a runner's status was noticed or made.
    Source {
        /// A pass over the whole fleet, or what it sent.
        Sync = "sync",
        /// A webhook.
        Webhook = "webhook",
        /// A look at this one runner that somebody asked for.
        Refresh = "refresh",
        /// A request.
        Api = "api",
        /// A job that makes or removes runners.
        Job = "job",
    }
}

/// Complete passes in a row that must have missed a runner before anybody goes to look for it.
pub const MISSES: i16 = 2;
/// How long after its registration GitHub may still not know a runner that never came online.
pub const SETTLING: TimeDelta = TimeDelta::seconds(60);
/// A pass that would send after no more runners than this always may.
pub const FEW: usize = 5;
/// Of one hundred live runners, most that one pass may send after.
pub const SHARE: usize = 20;
/// How long an admin's word lets a pass send after more.
pub const WORD: TimeDelta = TimeDelta::minutes(15);

/// What somebody saw of one runner on GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It is there.
    There {
        /// GitHub calls it online.
        online: bool,
        /// It runs a workflow job.
        busy: bool,
    },
    /// GitHub says that it is not there, on proof.
    Gone,
}

/// Where an observation leads. None: it stays where it is.
///
/// A `pending` runner that GitHub lists as offline has never been online: it stays `pending`. A `requested` one belongs
/// to its job alone.
pub const fn transition(from: RunnerStatus, seen: Observation) -> Option<RunnerStatus> {
    use RunnerStatus::{Active, Deleted, Offline, Pending, Requested};
    match (from, seen) {
        (Pending | Active | Offline, Observation::Gone) => Some(Deleted),
        // It cannot be busy without having been online, so a pending one was, between two looks.
        (Pending, Observation::There { online: true, .. } | Observation::There { busy: true, .. })
        | (Offline, Observation::There { online: true, .. }) => Some(Active),
        (Active, Observation::There { online: false, .. }) => Some(Offline),
        (Requested | Deleted | Pending | Active | Offline, _) => None,
    }
}

/// A label as GitHub tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenLabel {
    /// Its text.
    pub name: String,
    /// GitHub put it there.
    pub read_only: bool,
    /// GitHub says that somebody else did. It need not say either.
    pub custom: bool,
}

/// A runner as GitHub tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRunner {
    /// GitHub's id.
    pub github_id: i64,
    /// Its name.
    pub name: String,
    /// GitHub calls it online.
    pub online: bool,
    /// It runs a workflow job.
    pub busy: bool,
    /// Its group, if GitHub tells.
    pub runner_group_id: Option<i64>,
    /// Its labels.
    pub labels: Vec<SeenLabel>,
}

impl SeenRunner {
    /// What of it decides about its status.
    pub const fn observation(&self) -> Observation {
        Observation::There { online: self.online, busy: self.busy }
    }
}

/// In what a runner on GitHub is not what it was made to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "deviation", rename_all = "snake_case")]
pub enum Deviation {
    /// GitHub's id belongs to another name: nothing about it is ours to touch.
    Name {
        /// The name GitHub tells.
        found: String,
    },
    /// Its labels were changed.
    Labels {
        /// Ours that are not there.
        missing: Vec<String>,
        /// Those there that are not ours, in lower case.
        extra: Vec<String>,
    },
}

impl Deviation {
    /// The first deviation of what is `seen` from the `name` and `labels` it was made with. Labels compare without
    /// case; what GitHub itself gave, or does not call anybody's, is none of anybody's doing.
    pub fn of(name: &str, labels: &[String], seen: &SeenRunner) -> Option<Self> {
        if seen.name != name {
            return Some(Self::Name { found: seen.name.chars().take(200).collect() });
        }
        let theirs: HashSet<String> = seen.labels.iter().map(|label| label.name.to_lowercase()).collect();
        let ours: HashSet<String> = labels.iter().map(|label| label.to_lowercase()).collect();
        let missing: Vec<String> = labels
            .iter()
            .filter(|label| !is_system_label(label) && !theirs.contains(&label.to_lowercase()))
            .cloned()
            .collect();
        let mut extra: Vec<String> = seen
            .labels
            .iter()
            .filter(|label| label.custom)
            .map(|label| label.name.to_lowercase())
            .filter(|label| !ours.contains(label))
            .collect();
        extra.sort_unstable();
        (!missing.is_empty() || !extra.is_empty()).then_some(Self::Labels { missing, extra })
    }

    /// The same for the same deviation, so that each is told once: 64 hexadecimal characters.
    pub fn fingerprint(&self) -> String {
        let text = match self {
            Self::Name { found } => format!("name\n{found}"),
            Self::Labels { missing, extra } => {
                let mut gone: Vec<String> = missing.iter().map(|label| label.to_lowercase()).collect();
                gone.sort_unstable();
                format!("labels\n-{}\n+{}", gone.join("\n-"), extra.join("\n+"))
            }
        };
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        })
    }
}

/// What the operator allows on drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftRules {
    /// Drift is acted upon, not only recorded.
    pub enforce: bool,
    /// Also on runners that run a workflow job.
    pub delete_busy: bool,
}

impl Default for DriftRules {
    fn default() -> Self {
        Self { enforce: true, delete_busy: false }
    }
}

/// What is done about changed labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It is recorded.
    Record,
    /// It is recorded: the runner runs a workflow job.
    Spare,
    /// The labels are set back.
    Repair,
    /// The runner is deleted.
    Delete,
}

impl DriftRules {
    /// What a team's response comes to for one runner.
    pub const fn remedy(self, response: DriftResponse, busy: bool) -> Remedy {
        match response {
            DriftResponse::Observe => Remedy::Record,
            _ if !self.enforce => Remedy::Record,
            DriftResponse::Delete if busy && self.delete_busy => Remedy::Delete,
            _ if busy => Remedy::Spare,
            DriftResponse::Repair => Remedy::Repair,
            DriftResponse::Delete => Remedy::Delete,
        }
    }
}

/// One live runner of ours, as far as a pass compares it.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveRunner {
    /// Our id.
    pub id: RunnerId,
    /// GitHub's.
    pub github_id: i64,
    /// Its team.
    pub team: TeamId,
    /// That team's weight.
    pub weight: f64,
    /// That team's answer to drift.
    pub response: DriftResponse,
    /// Its name.
    pub name: String,
    /// Labels it was made with.
    pub labels: Vec<String>,
    /// Where it stands.
    pub status: RunnerStatus,
    /// Runs a workflow job, as far as we know.
    pub busy: bool,
    /// Complete passes in a row that did not list it.
    pub missed: i16,
    /// The deviation told last.
    pub drift_seen: Option<String>,
    /// It registered itself against the policy, and is to go.
    pub refused: bool,
    /// Its removal is under way already.
    pub leaving: bool,
    /// Config issued.
    pub registered_at: DateTime<Utc>,
    /// Last changed.
    pub updated_at: DateTime<Utc>,
}

/// A change of one row, made only if the row still stands where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Which.
    pub runner: RunnerId,
    /// From where; none: from anywhere but `deleted`.
    pub from: Option<RunnerStatus>,
    /// To where; the same as `from` when only `busy` changes.
    pub to: RunnerStatus,
    /// Runs a workflow job.
    pub busy: bool,
    /// Why, for the trail.
    pub detail: Option<String>,
}

impl Shift {
    /// To `deleted` from wherever it is.
    pub fn deleted(runner: RunnerId, detail: impl Into<String>) -> Self {
        Self { runner, from: None, to: RunnerStatus::Deleted, busy: false, detail: Some(detail.into()) }
    }

    /// What an observation changes; none: nothing.
    pub fn observed(
        runner: RunnerId,
        (from, was_busy): (RunnerStatus, bool),
        seen: Observation,
    ) -> Option<Self> {
        let to = transition(from, seen);
        let busy = matches!(seen, Observation::There { busy: true, .. });
        let known = matches!(from, RunnerStatus::Requested | RunnerStatus::Deleted);
        (to.is_some() || (!known && busy != was_busy)).then(|| Self {
            runner,
            from: Some(from),
            to: to.unwrap_or(from),
            busy,
            detail: None,
        })
    }
}

/// A runner that somebody must look at on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// Which.
    pub runner: RunnerId,
    /// Its team.
    pub team: TeamId,
    /// That team's weight.
    pub weight: f64,
    /// Whether looking at it may end with its removal.
    pub may_remove: bool,
}

/// What one pass found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Changes of rows.
    pub shifts: Vec<Shift>,
    /// Seen again after they were missed.
    pub back: Vec<RunnerId>,
    /// Not listed by this complete pass.
    pub missing: Vec<RunnerId>,
    /// To be looked at.
    pub suspects: Vec<Suspect>,
    /// To be removed: they registered themselves against the policy.
    pub refused: Vec<Suspect>,
    /// How many of ours are live.
    pub live: usize,
}

impl Findings {
    /// How many runners this may cost.
    pub fn removals(&self) -> usize {
        self.refused.len() + self.suspects.iter().filter(|suspect| suspect.may_remove).count()
    }

    /// Whether that is more than one pass may send after. `allowed`: an admin was shown so many and has agreed; a few
    /// more may have been found since.
    pub fn is_too_much(&self, allowed: Option<usize>) -> bool {
        let removals = self.removals();
        let much = removals > FEW && removals * 100 > self.live * SHARE;
        much && allowed.is_none_or(|allowed| removals > allowed + FEW.max(allowed / 10))
    }
}

/// One pass: what was seen of the fleet, and whether that is all of it.
#[derive(Clone, Debug)]
pub struct Pass<'p> {
    /// What was seen, by GitHub's id.
    pub seen: &'p HashMap<i64, SeenRunner>,
    /// Every page arrived and the counts agree. Only then does absence mean anything.
    pub complete: bool,
    /// When it began, by the stores' clock: rows changed since are left to the next one.
    pub began: DateTime<Utc>,
    /// What the operator allows.
    pub rules: DriftRules,
}

impl Pass<'_> {
    /// Compares the live rows with what was seen.
    pub fn compare(&self, rows: &[LiveRunner]) -> Findings {
        let mut findings = Findings { live: rows.len(), ..Findings::default() };
        for row in rows {
            match self.seen.get(&row.github_id) {
                Some(seen) => self.found(row, seen, &mut findings),
                None => self.not_found(row, &mut findings),
            }
        }
        findings
    }

    fn found(&self, row: &LiveRunner, seen: &SeenRunner, findings: &mut Findings) {
        if row.missed > 0 {
            findings.back.push(row.id);
        }
        let deviation = Deviation::of(&row.name, &row.labels, seen);
        if !matches!(deviation, Some(Deviation::Name { .. })) && row.updated_at <= self.began {
            findings.shifts.extend(Shift::observed(row.id, (row.status, row.busy), seen.observation()));
        }
        // By every pass until it is gone: an order may have met another job, or been held back.
        if row.refused && !row.leaving && !matches!(deviation, Some(Deviation::Name { .. })) {
            findings.refused.push(suspect(row, true));
        }
        let Some(deviation) = deviation else {
            // What was told is over: the check forgets it, so that the next drift is told again.
            if row.drift_seen.is_some() {
                findings.suspects.push(suspect(row, false));
            }
            return;
        };
        if row.refused && matches!(deviation, Deviation::Labels { .. }) {
            return;
        }
        let told = row.drift_seen.as_deref() == Some(deviation.fingerprint().as_str());
        let remedy = match deviation {
            Deviation::Name { .. } => Remedy::Record,
            Deviation::Labels { .. } => self.rules.remedy(row.response, seen.busy),
        };
        if !told || matches!(remedy, Remedy::Repair | Remedy::Delete) {
            // The check decides anew: who is busy now may be idle by then.
            let may_remove = matches!(deviation, Deviation::Labels { .. })
                && self.rules.remedy(row.response, false) == Remedy::Delete;
            findings.suspects.push(suspect(row, may_remove));
        }
    }

    fn not_found(&self, row: &LiveRunner, findings: &mut Findings) {
        // A runner registered meanwhile cannot be on pages that came before it.
        if !self.complete || row.registered_at > self.began - SETTLING {
            return;
        }
        findings.missing.push(row.id);
        if row.missed + 1 >= MISSES {
            findings.suspects.push(suspect(row, true));
        }
    }
}

const fn suspect(row: &LiveRunner, may_remove: bool) -> Suspect {
    Suspect { runner: row.id, team: row.team, weight: row.weight, may_remove }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RunnerStatus::{Active, Deleted, Offline, Pending, Requested};

    fn there(online: bool, busy: bool) -> Observation {
        Observation::There { online, busy }
    }

    #[test]
    fn every_state_meets_every_observation() {
        let idle = there(true, false);
        let away = there(false, false);
        for (from, seen, to) in [
            (Requested, idle, None),
            (Requested, Observation::Gone, None),
            (Pending, away, None),
            (Pending, idle, Some(Active)),
            (Pending, there(false, true), Some(Active)),
            (Pending, Observation::Gone, Some(Deleted)),
            (Active, idle, None),
            (Active, away, Some(Offline)),
            (Active, there(false, true), Some(Offline)),
            (Active, Observation::Gone, Some(Deleted)),
            (Offline, away, None),
            (Offline, there(false, true), None),
            (Offline, idle, Some(Active)),
            (Offline, Observation::Gone, Some(Deleted)),
            (Deleted, idle, None),
            (Deleted, Observation::Gone, None),
        ] {
            assert_eq!(transition(from, seen), to, "{from} {seen:?}");
            assert!(to.is_none_or(|to| from.may_become(to)), "{from} {seen:?}");
        }
    }

    fn seen(labels: &[(&str, bool)]) -> SeenRunner {
        SeenRunner {
            github_id: 7,
            name: "ci-1".into(),
            online: true,
            busy: false,
            runner_group_id: Some(1),
            labels: labels
                .iter()
                .map(|(name, read_only)| SeenLabel {
                    name: (*name).into(),
                    read_only: *read_only,
                    custom: !*read_only,
                })
                .collect(),
        }
    }

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn case_and_githubs_own_labels_are_no_drift() {
        let ours = labels(&["Team-Red", "gpu", "self-hosted"]);
        let same = seen(&[("team-red", false), ("GPU", false), ("Linux", true), ("X64", true)]);
        assert_eq!(Deviation::of("ci-1", &ours, &same), None);
        let drifted = seen(&[("team-red", false), ("Prod", false), ("b", false)]);
        let deviation = Deviation::of("ci-1", &ours, &drifted).unwrap();
        let expected = Deviation::Labels { missing: labels(&["gpu"]), extra: labels(&["b", "prod"]) };
        assert_eq!(deviation, expected);
        let renamed = SeenRunner { name: "other".into(), ..drifted };
        assert_eq!(Deviation::of("ci-1", &ours, &renamed), Some(Deviation::Name { found: "other".into() }));
    }

    #[test]
    fn a_label_of_which_github_does_not_say_who_gave_it_is_no_drift() {
        let untold = |name: &str| SeenLabel { name: name.into(), read_only: false, custom: false };
        let names = ["GPU", "self-hosted", "Linux", "X64", "RISCV64"];
        let there = SeenRunner { labels: names.map(untold).to_vec(), ..seen(&[]) };
        assert_eq!(Deviation::of("ci-1", &labels(&["gpu"]), &there), None);
        let missing = Deviation::Labels { missing: labels(&["b"]), extra: Vec::new() };
        assert_eq!(Deviation::of("ci-1", &labels(&["gpu", "b"]), &there), Some(missing));
    }

    #[test]
    fn a_fingerprint_is_of_the_deviation_and_not_of_its_order() {
        let of = |missing: &[&str], extra: &[&str]| {
            Deviation::Labels { missing: labels(missing), extra: labels(extra) }.fingerprint()
        };
        assert_eq!(of(&["A", "b"], &[]), of(&["B", "a"], &[]));
        assert_ne!(of(&["a"], &[]), of(&[], &["a"]));
        assert_eq!(of(&["a"], &[]).len(), 64);
    }

    #[test]
    fn the_busy_are_spared_unless_the_operator_says_otherwise() {
        let usual = DriftRules::default();
        assert_eq!(usual.remedy(DriftResponse::Delete, false), Remedy::Delete);
        assert_eq!(usual.remedy(DriftResponse::Delete, true), Remedy::Spare);
        assert_eq!(usual.remedy(DriftResponse::Repair, true), Remedy::Spare);
        assert_eq!(usual.remedy(DriftResponse::Observe, false), Remedy::Record);
        let hard = DriftRules { delete_busy: true, ..usual };
        assert_eq!(hard.remedy(DriftResponse::Delete, true), Remedy::Delete);
        assert_eq!(hard.remedy(DriftResponse::Repair, true), Remedy::Spare);
        let soft = DriftRules { enforce: false, delete_busy: true };
        assert_eq!(soft.remedy(DriftResponse::Delete, true), Remedy::Record);
    }

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
            missed: 0,
            drift_seen: None,
            refused: false,
            leaving: false,
            registered_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    fn compare(rows: &[LiveRunner], found: &[SeenRunner], complete: bool) -> Findings {
        let seen = found.iter().map(|seen| (seen.github_id, seen.clone())).collect();
        let began = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        Pass { seen: &seen, complete, began, rules: DriftRules::default() }.compare(rows)
    }

    #[test]
    fn absence_means_something_only_twice_and_only_in_complete_passes() {
        let once = row(Active);
        let twice = LiveRunner { missed: 1, ..row(Active) };
        assert_eq!(
            compare(std::slice::from_ref(&twice), &[], false),
            Findings { live: 1, ..Findings::default() }
        );
        let findings = compare(&[once.clone(), twice.clone()], &[], true);
        assert_eq!(findings.missing, [once.id, twice.id]);
        assert_eq!(findings.suspects.len(), 1);
        assert_eq!((findings.suspects[0].runner, findings.suspects[0].may_remove), (twice.id, true));
        assert!(findings.shifts.is_empty(), "only a look at the runner itself proves that it is gone");
        let fresh = LiveRunner { registered_at: DateTime::UNIX_EPOCH + TimeDelta::days(1), ..row(Pending) };
        assert!(compare(&[fresh], &[], true).missing.is_empty());
    }

    #[test]
    fn a_row_that_moved_during_the_pass_is_left_to_the_next() {
        let moved = LiveRunner { updated_at: DateTime::UNIX_EPOCH + TimeDelta::days(2), ..row(Pending) };
        let findings = compare(&[moved], &[seen(&[("a", false)])], true);
        assert!(findings.shifts.is_empty());
        let findings = compare(&[row(Pending)], &[seen(&[("a", false)])], true);
        assert_eq!((findings.shifts[0].from, findings.shifts[0].to), (Some(Pending), Active));
    }

    #[test]
    fn a_drift_that_was_told_is_looked_at_again_only_to_act() {
        let drifted = seen(&[("b", false)]);
        let told = Deviation::of("ci-1", &labels(&["a"]), &drifted).unwrap().fingerprint();
        let known = LiveRunner { drift_seen: Some(told), ..row(Active) };
        assert_eq!(
            compare(std::slice::from_ref(&known), std::slice::from_ref(&drifted), false).removals(),
            1
        );
        let observed = LiveRunner { response: DriftResponse::Observe, ..known.clone() };
        assert!(compare(&[observed], std::slice::from_ref(&drifted), true).suspects.is_empty());
        let busy = [SeenRunner { busy: true, ..drifted }];
        assert!(compare(std::slice::from_ref(&known), &busy, true).suspects.is_empty());
        assert_eq!(
            compare(&[row(Active)], &busy, true).removals(),
            1,
            "it may be idle by the time it is looked at"
        );
        let over = compare(&[known], &[seen(&[("A", false)])], true);
        assert_eq!((over.suspects.len(), over.removals()), (1, 0));
    }

    #[test]
    fn what_the_policy_refused_is_ordered_until_it_goes() {
        let refused = LiveRunner { refused: true, ..row(Active) };
        for there in [seen(&[("a", false)]), seen(&[("prod", false)])] {
            let findings = compare(std::slice::from_ref(&refused), &[there], false);
            assert_eq!((findings.refused.len(), findings.removals()), (1, 1));
            assert!(findings.suspects.is_empty(), "one order is enough");
        }
        let leaving = LiveRunner { leaving: true, ..refused.clone() };
        assert!(compare(&[leaving], &[seen(&[("prod", false)])], true).refused.is_empty());
        let renamed = SeenRunner { name: "other".into(), ..seen(&[]) };
        let findings = compare(&[refused], &[renamed], true);
        assert_eq!((findings.refused.len(), findings.suspects.len()), (0, 1));
    }

    #[test]
    fn the_blast_radius_counts_only_what_may_be_removed() {
        let suspects = |n| {
            (0..n).map(|_| Suspect { may_remove: true, ..suspect(&row(Active), true) }).collect::<Vec<_>>()
        };
        let found = |n, live| Findings { suspects: suspects(n), live, ..Findings::default() };
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
