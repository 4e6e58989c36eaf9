//! Oracles about counters, the queue, callers and processes.

use std::time::Duration;

use super::Verdict;
use crate::evidence::Evidence;

/// Time from the end of a lease until its job runs again: the expiry wakes a worker, and rescued jobs go first.
const MAX_RESTART: Duration = Duration::from_secs(5);
/// Time from the last loss of Redis, if the lease was lost with it. The requeue step notices the loss within 1 s, waits
/// 15 s for a possible running worker, and requeues the job.
const MAX_RESTART_AFTER_LOSS: Duration = Duration::from_secs(20);

/// The service's counts of live runners and open jobs equal a recount.
pub(super) fn equal_recounts(evidence: &Evidence) -> Verdict {
    let mut offenders = evidence.settled.behind.clone();
    for team in &evidence.teams {
        let live = evidence.runners.iter().filter(|row| row.is_live() && row.team == team.id).count();
        let told = evidence.counted.iter().find(|(id, _)| *id == team.id).map(|(_, count)| *count);
        if told.and_then(|told| usize::try_from(told).ok()) != Some(live) {
            offenders.push(format!("{} has {live} live runners and the API reports {told:?}", team.name));
        }
    }
    let open = evidence.jobs.iter().filter(|job| !job.is_final).count();
    if usize::try_from(evidence.queued).ok() != Some(open) {
        offenders.push(format!("{open} jobs are open and the queue is said to hold {}", evidence.queued));
    }
    let looked_at = evidence.settled.compared.min(1) * (evidence.settled.compared + evidence.teams.len());
    Verdict::new("counters of teams and lanes equal a recount", looked_at, offenders)
}

/// At every moment, each counter in Redis (waiting, running and parked jobs of a team) and each set of a lane equals
/// a count of the job hashes.
pub(super) fn redis_counts_right(evidence: &Evidence) -> Verdict {
    let (looks, offenders) = (evidence.looks.counted, evidence.looks.miscounts.clone());
    Verdict::new("the queue's counters equal a recount at any moment", looks, offenders)
}

/// No job waits, is delayed, parked, leased or counted in Redis once every job is final.
pub(super) fn queue_is_empty(evidence: &Evidence) -> Verdict {
    let left = evidence.leftovers.iter().map(|key| format!("{key} is left"));
    Verdict::new("the queue is empty at the end", evidence.jobs.len(), left.collect())
}

/// Every response to a caller is in the contract, and equal keys led to equal jobs.
pub(super) fn responses_match_the_rows(evidence: &Evidence) -> Verdict {
    let answers = evidence.responses.answers.values().sum();
    Verdict::new("callers got only answers the contract knows", answers, evidence.responses.broken.clone())
}

/// Every webhook that was acknowledged to GitHub is stored, and none waits.
pub(super) fn webhooks_are_settled(evidence: &Evidence) -> Verdict {
    let lost = evidence.arrived.iter().filter(|id| !evidence.inbox.contains_key(id));
    let lost = lost.map(|id| format!("webhook {id} was accepted and is not kept"));
    let open = evidence.inbox.iter().filter(|(_, state)| matches!(state.as_str(), "pending" | "failed"));
    let offenders = lost.chain(open.map(|(id, state)| format!("webhook {id} is {state}"))).collect();
    // A run without webhooks proves that nothing depends on them.
    let looked_at = if evidence.has_webhooks { evidence.arrived.len() } else { 1 };
    Verdict::new("webhooks are kept and acted upon", looked_at, offenders)
}

/// The jobs of a killed worker are started again in time, excluding outages of a store and waits for GitHub's limits.
pub(super) fn orphans_are_taken_up(evidence: &Evidence) -> Verdict {
    let mut offenders: Vec<String> = evidence
        .executed_faults
        .abandoned
        .iter()
        .map(|job| format!("job {job} was not taken up again"))
        .collect();
    for (all, outside, lost) in evidence.recoveries() {
        let most = evidence.scaled(if lost { MAX_RESTART_AFTER_LOSS } else { evidence.lease + MAX_RESTART });
        if outside > most {
            let [all, outside, most] = [all, outside, most].map(|time| time.as_secs_f64());
            offenders.push(format!(
                "a job was taken up after {all:.1} s, {outside:.1} s of them undisturbed, of {most} s"
            ));
        }
    }
    let looked_at = evidence.executed_faults.recoveries.len();
    Verdict::new("what a killed worker ran is soon taken up", looked_at, offenders)
}

/// No process exited unexpectedly, and every fault could be carried out.
pub(super) fn processes_lived(evidence: &Evidence) -> Verdict {
    let mut offenders = evidence.surprises.clone();
    offenders.extend(evidence.executed_faults.failed.iter().cloned());
    let faults = evidence.executed_faults.done.values().sum();
    Verdict::new("no process ends unless it is killed", faults, offenders)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn orphans_taken_up_late_are_found() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let mut evidence = Evidence { lease: Duration::from_secs(3), ..Evidence::default() };
        evidence.executed_faults.recoveries =
            vec![(at(0), at(8)), (at(10), at(19)), (at(20), at(45)), (at(50), at(75))];
        evidence.executed_faults.lost = vec![at(22), at(25), at(54)];
        assert_eq!(orphans_are_taken_up(&evidence).offenders.len(), 2);
        evidence.excused.spans = vec![(at(12), at(15)), (at(60), at(61))];
        assert_eq!(orphans_are_taken_up(&evidence).offenders.len(), 0);
    }

    #[test]
    fn queue_miscounts_and_left_over_keys_are_found() {
        let mut evidence = Evidence { queued: 1, ..Evidence::default() };
        evidence.settled.behind.push("the queue tells of 1 jobs, and 0 rows are open".to_owned());
        evidence.looks.miscounts.push("default w:red is 0 and counts 1".to_owned());
        evidence.leftovers.push("{rts}:counts:default".to_owned());
        assert_eq!(equal_recounts(&evidence).offenders.len(), 2);
        assert!(!redis_counts_right(&evidence).holds() && !queue_is_empty(&evidence).holds());
    }
}
