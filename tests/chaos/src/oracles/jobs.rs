//! Oracles about jobs: all final, one config each, consistent counters.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use uuid::Uuid;

use super::Verdict;
use crate::evidence::{CallRow, Evidence, JobRow};

/// Largest number of rescues.
const MAX_RESCUES: i32 = 3;

/// Time after its deadline by which a job must end, excluding outages of a store and waits for GitHub. Queued jobs are
/// expired by the next check, every 5 s on two schedulers, one of which may be dead or frozen. A job of a dead worker
/// waits
/// for its lease of 3 s first. A GitHub request in flight is awaited: 5 s with a latency fault.
const MAX_OVERRUN: Duration = Duration::from_secs(15);

/// Every accepted job is final.
pub(super) fn accepted_are_final(evidence: &Evidence) -> Verdict {
    let jobs: HashMap<Uuid, &JobRow> = evidence.jobs.iter().map(|job| (job.id, job)).collect();
    let keys: HashMap<&str, Uuid> = evidence.keys.iter().map(|(key, job)| (key.as_str(), *job)).collect();
    let mut offenders = Vec::new();
    for job in evidence.jobs.iter().filter(|job| !job.is_final) {
        offenders.push(format!("{} job {} is still {} ({:?})", job.kind, job.id, job.state, job.blocked_on));
    }
    for (id, key) in &evidence.responses.accepted {
        if !jobs.contains_key(id) {
            offenders.push(format!("job {id} was accepted for key {key} and does not exist"));
        }
        if let Some(other) = keys.get(key.as_str()).filter(|other| *other != id) {
            offenders.push(format!("key {key} was answered with job {id} and belongs to {other}"));
        }
    }
    for (key, id) in &evidence.keys {
        if !jobs.contains_key(id) {
            offenders.push(format!("key {key} belongs to job {id}, which does not exist"));
        }
    }
    let looked_at = evidence.responses.accepted.len().min(evidence.jobs.len());
    Verdict::new("every accepted operation is final", looked_at, offenders)
}

/// No job acts after its deadline, and unfinished jobs expire soon after it.
pub(super) fn ended_in_time(evidence: &Evidence) -> Verdict {
    let mut offenders = Vec::new();
    for job in &evidence.jobs {
        let Some(late) = job.late else { continue };
        let free = evidence.free(late);
        if free > evidence.scaled(MAX_OVERRUN) {
            let [all, free] = [late.1 - late.0, free].map(|time| time.as_secs_f64());
            offenders.push(format!(
                "{} job {} is {} {all:.1} s past its deadline, {free:.1} s of them outside pauses and outages",
                job.kind, job.id, job.state
            ));
        }
    }
    Verdict::new("every job is final by its deadline", evidence.jobs.len(), offenders)
}

/// No job hands out two configs, and each succeeded job was delivered by exactly one generation.
pub(super) fn one_config_each(evidence: &Evidence) -> Verdict {
    let mut delivered: HashMap<Uuid, Vec<&CallRow>> = HashMap::new();
    for call in evidence.calls.iter().filter(|call| call.state == "delivered") {
        delivered.entry(call.job).or_default().push(call);
    }
    let mut offenders = Vec::new();
    for (job, configs) in evidence.responses.configs.iter().filter(|(_, configs)| configs.len() > 1) {
        offenders.push(format!("job {job} handed {} different configs out", configs.len()));
    }
    let provisions = || evidence.jobs.iter().filter(|job| job.kind == "provision");
    for job in provisions() {
        let calls = delivered.get(&job.id).map_or(0, Vec::len);
        if calls != usize::from(job.state == "succeeded") {
            offenders
                .push(format!("job {} is {} and was delivered by {calls} generations", job.id, job.state));
        }
        if job.state != "succeeded" && evidence.responses.configs.contains_key(&job.id) {
            offenders.push(format!("job {} is {} and its config was handed out", job.id, job.state));
        }
    }
    for job in provisions().filter(|job| job.state == "succeeded") {
        let row = evidence.runners.iter().find(|row| Some(row.id) == job.runner);
        let call = delivered.get(&job.id).and_then(|calls| calls.first());
        if let (Some(row), Some(call)) = (row, call)
            && (row.github_id != call.github_id || row.name != call.name)
        {
            offenders.push(format!("job {} delivered {call:?} and its row is {row:?}", job.id));
        }
    }
    Verdict::new("at most one config per job, by one generation", evidence.responses.configs.len(), offenders)
}

/// A final state never changes.
pub(super) fn finals_never_change(evidence: &Evidence) -> Verdict {
    Verdict::new("final states never change", evidence.seen.finals(), evidence.seen.changed.clone())
}

/// Every start increases the fence by one, and one of attempts, snoozes or rescues; no count is given back here.
pub(super) fn counters_fit(evidence: &Evidence) -> Verdict {
    let wrong = |job: &&JobRow| {
        let starts = i64::from(job.attempts) + i64::from(job.snoozes) + i64::from(job.rescues);
        let negative = job.attempts < 0 || job.snoozes < 0 || job.rescues < 0;
        let unstarted = job.state == "succeeded" && job.fence == 0;
        negative || unstarted || starts != job.fence || job.rescues > MAX_RESCUES
    };
    let offenders = evidence.jobs.iter().filter(wrong).map(|job| format!("{job:?}")).collect();
    Verdict::new("fences equal starts, rescues stay within three", evidence.jobs.len(), offenders)
}

/// Only a job whose worker died three times, or could not renew its lease, is poisoned; the queue cannot tell these
/// apart.
pub(super) fn poison_is_deserved(evidence: &Evidence) -> Verdict {
    let lost: HashSet<_> = evidence.executed_faults.deaths.union(&evidence.cut_off).collect();
    let deaths = |job: &JobRow| lost.iter().filter(|(id, _)| *id == job.id).count();
    let enough = usize::try_from(MAX_RESCUES).unwrap_or(usize::MAX);
    let poisoned = evidence.jobs.iter().filter(|job| job.code.as_deref() == Some("job_poisoned"));
    let offenders = poisoned
        .filter(|job| deaths(job) < enough)
        .map(|job| {
            format!("{} job {} is poison after {} deaths of its worker", job.kind, job.id, deaths(job))
        })
        .collect();
    Verdict::new("poison is what saw three workers die", lost.len(), offenders)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn job(state: &str) -> JobRow {
        let kind = "provision".to_owned();
        let is_final = !matches!(state, "queued" | "running");
        JobRow {
            id: Uuid::now_v7(),
            kind,
            state: state.to_owned(),
            is_final,
            attempts: 1,
            fence: 1,
            ..JobRow::default()
        }
    }

    fn delivered(job: &JobRow) -> CallRow {
        CallRow { job: job.id, state: "delivered".to_owned(), ..CallRow::default() }
    }

    #[test]
    fn open_or_lost_jobs_are_found() {
        let mut evidence = Evidence { jobs: vec![job("running"), job("expired")], ..Evidence::default() };
        evidence.responses.accepted.insert(Uuid::now_v7(), "key".to_owned());
        assert_eq!(accepted_are_final(&evidence).offenders.len(), 2);
    }

    #[test]
    fn jobs_that_end_too_late_are_found() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let late = |from, until| JobRow { late: Some((at(from), at(until))), ..job("expired") };
        let mut evidence = Evidence {
            jobs: vec![late(0, 16), late(0, 15), late(20, 40), job("succeeded")],
            ..Evidence::default()
        };
        assert_eq!(ended_in_time(&evidence).offenders.len(), 2);
        evidence.executed_faults.disturbed = vec![(at(21), at(30))];
        assert_eq!(ended_in_time(&evidence).offenders.len(), 1);
        assert!(!ended_in_time(&Evidence::default()).holds(), "nothing was looked at");
    }

    #[test]
    fn second_config_is_found() {
        let (twice, lost, fine) = (job("succeeded"), job("succeeded"), job("succeeded"));
        let calls = vec![delivered(&twice), delivered(&twice), delivered(&fine)];
        let mut evidence = Evidence { calls, ..Evidence::default() };
        evidence.responses.configs.insert(fine.id, HashSet::from([1, 2]));
        evidence.jobs = vec![twice, lost, fine];
        assert_eq!(one_config_each(&evidence).offenders.len(), 3);
    }

    #[test]
    fn counters_that_do_not_add_up_are_found() {
        let jobs = vec![
            job("failed"),
            JobRow { fence: 2, ..job("failed") },
            JobRow { rescues: 4, fence: 5, ..job("failed") },
        ];
        assert_eq!(counters_fit(&Evidence { jobs, ..Evidence::default() }).offenders.len(), 2);
    }

    #[test]
    fn undeserved_poison_is_found() {
        let poison = JobRow { code: Some("job_poisoned".to_owned()), ..job("failed") };
        let mut evidence = Evidence { jobs: vec![poison.clone()], ..Evidence::default() };
        evidence.executed_faults.deaths.extend([(poison.id, 1), (poison.id, 2)]);
        evidence.cut_off.insert((poison.id, 2));
        assert!(!poison_is_deserved(&evidence).holds());
        evidence.cut_off.insert((poison.id, 4));
        assert!(poison_is_deserved(&evidence).holds());
    }
}
