//! Counters equal recounts, the queue is empty, callers and processes had no bad surprise.

use std::time::Duration;

use super::Verdict;
use crate::evidence::Evidence;

/// From the end of a lease until its job runs again: somebody is woken by it, and those that died with it go first.
const TAKEN_UP: Duration = Duration::from_secs(5);
/// From the last loss of Redis, when the lease was lost with it: the sweep sees that within 1 s, gives whoever may still run
/// the job the time of a lease, 15 s there, and puts it back.
const FOUND: Duration = Duration::from_secs(20);

/// What the service counts is what a recount gives: of live runners, and of open jobs while it came to rest.
pub(super) fn equal_recounts(evidence: &Evidence) -> Verdict {
    let mut offenders = evidence.settled.behind.clone();
    for team in &evidence.teams {
        let live = evidence.runners.iter().filter(|row| row.is_live() && row.team == team.id).count();
        let told = evidence.counted.iter().find(|(id, _)| *id == team.id).map(|(_, count)| *count);
        if told.and_then(|told| usize::try_from(told).ok()) != Some(live) {
            offenders.push(format!("{} has {live} live runners and is said to have {told:?}", team.name));
        }
    }
    let open = evidence.jobs.iter().filter(|job| !job.is_final).count();
    if usize::try_from(evidence.queued).ok() != Some(open) {
        offenders.push(format!("{open} jobs are open and the queue is said to hold {}", evidence.queued));
    }
    let looked_at = evidence.settled.compared.min(1) * (evidence.settled.compared + evidence.teams.len());
    Verdict::new("counters of teams and lanes equal a recount", looked_at, offenders)
}

/// At every moment each counter in Redis (jobs of a team that wait, run, stand aside) and each set of a lane says what the
/// jobs' own hashes say.
pub(super) fn redis_counts_right(evidence: &Evidence) -> Verdict {
    let (looks, offenders) = (evidence.looks.counted, evidence.looks.miscounts.clone());
    Verdict::new("the queue's counters equal a recount at any moment", looks, offenders)
}

/// Nothing in Redis waits, is delayed, stands aside, is leased or is counted once every job is final.
pub(super) fn queue_is_empty(evidence: &Evidence) -> Verdict {
    let left = evidence.leftovers.iter().map(|key| format!("{key} is left"));
    Verdict::new("the queue is empty at the end", evidence.jobs.len(), left.collect())
}

/// No caller saw an answer the contract does not know, and equal keys led to equal jobs.
pub(super) fn responses_match_the_rows(evidence: &Evidence) -> Verdict {
    let answers = evidence.told.answers.values().sum();
    Verdict::new("callers got only answers the contract knows", answers, evidence.told.broken.clone())
}

/// Every webhook GitHub was told of that it arrived is kept, and none waits.
pub(super) fn webhooks_are_settled(evidence: &Evidence) -> Verdict {
    let lost = evidence.arrived.iter().filter(|id| !evidence.inbox.contains_key(id));
    let lost = lost.map(|id| format!("webhook {id} was accepted and is not kept"));
    let open = evidence.inbox.iter().filter(|(_, state)| matches!(state.as_str(), "pending" | "failed"));
    let offenders = lost.chain(open.map(|(id, state)| format!("webhook {id} is {state}"))).collect();
    // A run without webhooks proves that nothing depends on them.
    let looked_at = if evidence.has_webhooks { evidence.arrived.len() } else { 1 };
    Verdict::new("webhooks are kept and acted upon", looked_at, offenders)
}

/// What a killed worker ran was taken up again in time, times not counted in which a store was away or GitHub's limits were
/// in the way.
pub(super) fn orphans_are_taken_up(evidence: &Evidence) -> Verdict {
    let mut offenders: Vec<String> =
        evidence.deeds.abandoned.iter().map(|job| format!("job {job} was not taken up again")).collect();
    for (all, outside, lost) in evidence.recoveries() {
        let most = evidence.scaled(if lost { FOUND } else { evidence.lease + TAKEN_UP });
        if outside > most {
            let [all, outside, most] = [all, outside, most].map(|time| time.as_secs_f64());
            offenders.push(format!(
                "a job was taken up after {all:.1} s, {outside:.1} s of them undisturbed, of {most} s"
            ));
        }
    }
    let looked_at = evidence.deeds.recoveries.len();
    Verdict::new("what a killed worker ran is soon taken up", looked_at, offenders)
}

/// No process ended that nobody killed, and every fault could be carried out.
pub(super) fn processes_lived(evidence: &Evidence) -> Verdict {
    let mut offenders = evidence.surprises.clone();
    offenders.extend(evidence.deeds.failed.iter().cloned());
    let faults = evidence.deeds.done.values().sum();
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
        evidence.deeds.recoveries =
            vec![(at(0), at(8)), (at(10), at(19)), (at(20), at(45)), (at(50), at(75))];
        evidence.deeds.lost = vec![at(22), at(25), at(54)];
        assert_eq!(orphans_are_taken_up(&evidence).offenders.len(), 2);
        evidence.held.spans = vec![(at(12), at(15)), (at(60), at(61))];
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
