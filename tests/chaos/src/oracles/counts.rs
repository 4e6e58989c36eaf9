//! Counters equal recounts, the queue is empty, callers and processes had no bad surprise.

use std::time::Duration;

use super::Verdict;
use crate::evidence::Evidence;

/// Longest time until a dead worker's job starts again.
const TAKEN_UP: Duration = Duration::from_secs(20);

/// What the service counts is what a recount gives.
pub(super) fn equal_recounts(evidence: &Evidence) -> Verdict {
    let mut offenders = Vec::new();
    for team in &evidence.teams {
        let live = evidence.runners.iter().filter(|row| row.is_live() && row.team == team.id).count();
        let told = evidence.counted.iter().find(|(id, _)| *id == team.id).map(|(_, count)| *count);
        if told.and_then(|told| usize::try_from(told).ok()) != Some(live) {
            offenders.push(format!("{} has {live} live runners and is said to have {told:?}", team.name));
        }
    }
    Verdict::new("the teams' counters equal a recount", evidence.teams.len(), offenders)
}

/// Nothing waits, is delayed or is leased once every job is final.
pub(super) fn queue_is_empty(evidence: &Evidence) -> Verdict {
    Verdict::new("the queue is empty at the end", evidence.jobs.len(), evidence.queued.clone())
}

/// No caller saw an answer the contract does not know, and equal keys led to equal jobs.
pub(super) fn callers_were_told_right(evidence: &Evidence) -> Verdict {
    let answers = evidence.told.answers.values().sum();
    Verdict::new("callers got only answers the contract knows", answers, evidence.told.broken.clone())
}

/// Every webhook GitHub was told of that it arrived is kept, and none waits.
pub(super) fn webhooks_are_settled(evidence: &Evidence) -> Verdict {
    let lost = evidence.arrived.iter().filter(|id| !evidence.inbox.contains_key(id));
    let lost = lost.map(|id| format!("webhook {id} was accepted and is not kept"));
    let open = evidence.inbox.iter().filter(|(_, state)| matches!(state.as_str(), "pending" | "failed"));
    let offenders = lost.chain(open.map(|(id, state)| format!("webhook {id} is {state}"))).collect();
    Verdict::new("webhooks are kept and acted upon", evidence.arrived.len(), offenders)
}

/// What a killed worker ran was taken up again in time, times in which nobody could do anything not counted.
pub(super) fn orphans_are_taken_up(evidence: &Evidence) -> Verdict {
    let mut offenders: Vec<String> =
        evidence.deeds.abandoned.iter().map(|job| format!("job {job} was not taken up again")).collect();
    let slow = evidence.recoveries().into_iter().filter(|(_, outside)| *outside > TAKEN_UP);
    offenders.extend(slow.map(|(all, outside)| {
        let [all, outside] = [all, outside].map(|time| time.as_secs_f64());
        format!("a job was taken up after {all:.1} s, {outside:.1} s of them outside pauses and outages")
    }));
    Verdict::new(
        "what a killed worker ran is taken up within 20 s",
        evidence.deeds.recoveries.len(),
        offenders,
    )
}

/// No process ended that nobody killed, and every fault could be carried out.
pub(super) fn processes_lived(evidence: &Evidence) -> Verdict {
    let mut offenders = evidence.surprises.clone();
    offenders.extend(evidence.deeds.failed.iter().cloned());
    let faults = evidence.deeds.done.values().sum();
    Verdict::new("no process ends unless it is killed", faults, offenders)
}
