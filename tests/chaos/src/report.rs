//! What a run tells.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use crate::{
    evidence::Evidence,
    oracles::{self, Verdict},
    plan::Plan,
};

/// Most offenders listed of one oracle.
const LISTED: usize = 12;

/// What was done, what it led to, and what the oracles say.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed: `--seed` with it gives the same schedule.
    pub seed: u64,
    /// Every oracle's verdict.
    pub verdicts: Vec<Verdict>,
    /// Logs and events of the run, kept when something failed.
    pub folder: PathBuf,
    took: Duration,
    settled: bool,
    /// Title, then name and figure of each line.
    tables: Vec<(&'static str, Vec<(String, String)>)>,
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        evidence: &Evidence,
        settled: bool,
        took: Duration,
        folder: PathBuf,
    ) -> Self {
        let tables = vec![
            ("operations", figures(&evidence.told.operations)),
            ("faults", figures(&evidence.deeds.done)),
            ("answers", figures(&evidence.told.answers)),
            ("jobs", jobs(evidence)),
            ("figures", others(evidence)),
        ];
        Self { seed: plan.seed, verdicts: oracles::all(evidence), folder, took, settled, tables }
    }

    /// Whether every promise was kept.
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
            for offender in verdict.offenders.iter().take(LISTED) {
                writeln!(f, "      {offender}")?;
            }
            let more = verdict.offenders.len().saturating_sub(LISTED);
            if more > 0 {
                writeln!(f, "      and {more} more")?;
            }
        }
        if !self.settled {
            writeln!(f, "\nNot everything was settled in time; see the events.")?;
        }
        let word = if self.passed() { "passed" } else { "FAILED" };
        write!(f, "\n{word}: seed {}, {:.1} s", self.seed, self.took.as_secs_f64())?;
        if self.passed() { Ok(()) } else { write!(f, "; logs and events are in {}", self.folder.display()) }
    }
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
    let mut recoveries = evidence.deeds.recoveries.clone();
    recoveries.sort_unstable();
    let at = |share: usize| match recoveries.len() {
        0 => "-".to_owned(),
        count => format!("{:.2} s", recoveries[((count - 1) * share) / 100].as_secs_f64()),
    };
    let sum = |of: fn(&crate::evidence::JobRow) -> i32| -> i64 {
        evidence.jobs.iter().map(|job| i64::from(of(job))).sum()
    };
    let summary = &evidence.ledger.summary;
    let mut lines = vec![
        ("jobs running at a kill -9".to_owned(), recoveries.len().to_string()),
        ("their next start, median".to_owned(), at(50)),
        ("their next start, slowest".to_owned(), at(100)),
        ("rescues".to_owned(), sum(|job| job.rescues).to_string()),
        ("snoozes".to_owned(), sum(|job| job.snoozes).to_string()),
        ("attempts".to_owned(), sum(|job| job.attempts).to_string()),
        ("requests without an answer".to_owned(), evidence.told.hangups.to_string()),
        ("operations given up".to_owned(), evidence.told.unknown.len().to_string()),
        ("configs handed out".to_owned(), evidence.told.handed_out.to_string()),
        ("requests to GitHub".to_owned(), summary.requests.to_string()),
        ("looks while Postgres was away".to_owned(), evidence.seen.blind.to_string()),
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
