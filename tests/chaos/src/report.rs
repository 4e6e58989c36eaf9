//! Report of a run.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use crate::{
    evidence::Evidence,
    oracles::{self, Verdict},
    plan::Plan,
};

/// Most violations listed for one oracle.
const MAX_VIOLATIONS: usize = 12;

/// Actions, their results, and the oracles' verdicts.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed; `--seed` with it gives the same schedule.
    pub seed: u64,
    /// Every oracle's verdict.
    pub verdicts: Vec<Verdict>,
    /// Folder of logs and events, kept when something failed.
    pub folder: PathBuf,
    took: Duration,
    settled: bool,
    operations: usize,
    faults: usize,
    /// Title, then name and figure of each line.
    tables: Vec<(&'static str, Vec<(String, String)>)>,
}

impl Report {
    pub(crate) fn new(plan: &Plan, evidence: &Evidence, took: Duration, folder: PathBuf) -> Self {
        let tables = vec![
            ("operations", figures(&evidence.responses.operations)),
            ("faults", figures(&evidence.executed_faults.done)),
            ("answers", figures(&evidence.responses.answers)),
            ("jobs", jobs(evidence)),
            ("figures", others(evidence)),
        ];
        let operations = evidence.responses.operations.values().sum();
        let faults = evidence.executed_faults.done.values().sum();
        let (verdicts, settled) = (oracles::all(evidence), evidence.settled.in_time);
        Self { seed: plan.seed, verdicts, folder, took, settled, operations, faults, tables }
    }

    /// Returns whether every invariant held.
    pub fn passed(&self) -> bool {
        self.settled && self.verdicts.iter().all(Verdict::holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, lines) in &self.tables {
            writeln!(f, "\n{title}")?;
            for (name, figure) in lines {
                writeln!(f, "  {name:<44} {figure:>12}")?;
            }
        }
        writeln!(f, "\noracles")?;
        for verdict in &self.verdicts {
            let word = if verdict.holds() { "ok" } else { "FAILED" };
            writeln!(f, "  {:<58} {:>8} looked at  {word}", verdict.promise, verdict.looked_at)?;
            if verdict.looked_at == 0 {
                writeln!(f, "      nothing was looked at, so nothing is proved")?;
            }
            for offender in verdict.offenders.iter().take(MAX_VIOLATIONS) {
                writeln!(f, "      {offender}")?;
            }
            let more = verdict.offenders.len().saturating_sub(MAX_VIOLATIONS);
            if more > 0 {
                writeln!(f, "      and {more} more")?;
            }
        }
        if !self.settled {
            writeln!(f, "\nNot everything was settled in time; see the events.")?;
        }
        if !self.passed() {
            writeln!(f, "\nLogs and events are in {}", self.folder.display())?;
        }
        let word = if self.passed() { "passed" } else { "FAILED" };
        let kept = self.verdicts.iter().filter(|verdict| verdict.holds()).count();
        let (oracles, took) = (self.verdicts.len(), self.took.as_secs_f64());
        write!(
            f,
            "\n{word}: seed {}, {took:.0} s, {} operations, {} faults, {kept} of {oracles} promises kept",
            self.seed, self.operations, self.faults
        )
    }
}

/// Returns the median, the 90th percentile and the maximum.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at =
        |share: usize| times.get(times.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    let [median, tenth, slowest] = [50, 90, 100].map(|share| at(share).as_secs_f64());
    format!("{median:.1} s, {tenth:.1} s, {slowest:.1} s")
}

fn figures<K: fmt::Display>(counts: &BTreeMap<K, usize>) -> Vec<(String, String)> {
    counts.iter().map(|(name, count)| (name.to_string(), count.to_string())).collect()
}

fn jobs(evidence: &Evidence) -> Vec<(String, String)> {
    let mut counts = BTreeMap::new();
    for job in &evidence.jobs {
        let code = job.code.as_deref().unwrap_or_default();
        let line = format!("{} {} {code}", job.kind, job.state);
        *counts.entry(line.trim_end().to_owned()).or_default() += 1;
    }
    for call in &evidence.calls {
        *counts.entry(format!("github call {}", call.state)).or_default() += 1;
    }
    figures(&counts)
}

fn others(evidence: &Evidence) -> Vec<(String, String)> {
    let recoveries = evidence.recoveries();
    let all: Vec<_> = recoveries.iter().map(|one| one.0).collect();
    let outside = recoveries.iter().map(|one| one.1).collect();
    let leased = recoveries.iter().filter(|one| !one.2).map(|one| one.1).collect();
    let late: Vec<_> = evidence.jobs.iter().filter_map(|job| job.late).collect();
    let [latest, waited] = [
        late.iter().map(|span| span.1 - span.0).max().unwrap_or_default(),
        late.iter().map(|span| evidence.free(*span)).max().unwrap_or_default(),
    ]
    .map(|time| format!("{:.1} s", time.as_secs_f64()));
    let sum = |of: fn(&crate::evidence::JobRow) -> i32| -> i64 {
        evidence.jobs.iter().map(|job| i64::from(of(job))).sum()
    };
    let summary = &evidence.ledger.summary;
    let mut lines = vec![
        ("jobs running at a kill -9".to_owned(), all.len().to_string()),
        ("their next start".to_owned(), spread(all)),
        ("the same outside pauses and outages".to_owned(), spread(outside)),
        ("and with the lease still known".to_owned(), spread(leased)),
        ("ended past their deadline".to_owned(), late.len().to_string()),
        ("the latest of them".to_owned(), latest),
        ("the same outside pauses and outages".to_owned(), waited),
        ("fullest minute without a loss, points".to_owned(), oracles::fullest_minute(evidence)),
        ("looks with the primary window used up".to_owned(), evidence.excused.used_up.to_string()),
        ("windows begun after such a one".to_owned(), evidence.excused.renewed.to_string()),
        ("clocks of PostgreSQL and Redis at first".to_owned(), evidence.clocks.to_string()),
        ("looks into Redis".to_owned(), evidence.looks.counted.to_string()),
        ("webhooks arrived".to_owned(), evidence.arrived.len().to_string()),
        ("strangers turned away".to_owned(), evidence.responses.turned_away.to_string()),
        ("sent without a key, end unknown".to_owned(), evidence.responses.unclear.to_string()),
        ("rescues".to_owned(), sum(|job| job.rescues).to_string()),
        ("snoozes".to_owned(), sum(|job| job.snoozes).to_string()),
        ("attempts".to_owned(), sum(|job| job.attempts).to_string()),
        ("requests without an answer".to_owned(), evidence.responses.hangups.to_string()),
        ("operations given up".to_owned(), evidence.responses.unknown.len().to_string()),
        ("configs handed out".to_owned(), evidence.responses.handed_out.to_string()),
        ("requests to GitHub".to_owned(), summary.requests.to_string()),
        ("looks while Postgres was away".to_owned(), evidence.seen.blind.to_string()),
        ("slowness of the machine".to_owned(), format!("{:.1} x", evidence.slowness.max(1.0))),
    ];
    for (kind, count) in &summary.violations {
        lines.push((format!("GitHub's ledger: {kind:?}"), count.to_string()));
    }
    let mut fullest: Vec<_> = evidence.seen.fullest.iter().collect();
    fullest.sort();
    for (team, most) in fullest {
        let quota = evidence.teams.iter().find(|one| one.name == *team).and_then(|one| one.most);
        let quota = quota.map_or("any".to_owned(), |quota| quota.to_string());
        lines.push((format!("most runners of {team}"), format!("{most} of {quota}")));
    }
    lines
}
