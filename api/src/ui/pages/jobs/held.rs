//! Waiting jobs whose lane is paused.

use domain::{BlockedOn, PauseScope};

use crate::{routes::jobs::view::JobView, ui::snapshot::Snapshot};

/// Says of queued jobs in a paused lane that they wait for the end of the pause: a list reads no place in the queue for
/// each job.
pub(super) fn mark_paused(jobs: &mut [JobView], snapshot: Option<&Snapshot>) {
    let queue = snapshot.and_then(|snapshot| snapshot.picture.queue.as_ref());
    let pauses = queue.map_or(&[][..], |queue| &queue.pauses);
    for job in jobs {
        let scope = PauseScope::Lane(job.kind.lane());
        let is_held = pauses.iter().any(|pause| pause.scope == scope);
        if is_held && job.blocked_on == Some(BlockedOn::Worker) {
            job.blocked_on = Some(BlockedOn::Paused);
        }
    }
}
