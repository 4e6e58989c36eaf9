//! Counters equal recounts, the queue is empty, callers and processes had no bad surprise.

use super::Verdict;
use crate::evidence::Evidence;

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
    Verdict::new("the queue is empty at the end", 1, evidence.queued.clone())
}

/// No caller saw an answer the contract does not know, and equal keys led to equal jobs.
pub(super) fn callers_were_told_right(evidence: &Evidence) -> Verdict {
    let answers = evidence.told.answers.values().sum();
    Verdict::new("callers got only answers the contract knows", answers, evidence.told.broken.clone())
}

/// No process ended that nobody killed, every fault could be carried out, and what a dead worker ran was taken up.
pub(super) fn processes_lived(evidence: &Evidence) -> Verdict {
    let mut offenders = evidence.surprises.clone();
    offenders.extend(evidence.deeds.failed.iter().cloned());
    offenders.extend(evidence.deeds.abandoned.iter().map(|job| format!("job {job} was not taken up again")));
    let faults = evidence.deeds.done.values().sum();
    Verdict::new("no process ends unless it is killed", faults, offenders)
}
