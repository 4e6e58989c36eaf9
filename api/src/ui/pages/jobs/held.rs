//! Pauses that hold queued jobs.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{BlockedOn, PauseCause, PausePicture, PauseScope, QueuePicture};

use crate::{routes::jobs::view::JobView, ui::snapshot::Snapshot};

/// The pause for whose end a queued job waits.
pub(super) struct Hold {
    /// What it waits for, as `waits for` goes on.
    pub(super) cause: String,
    /// End of the pause; `None` if an operator must act first.
    pub(super) until: Option<DateTime<Utc>>,
    /// Reason that the admin gave.
    pub(super) reason: Option<String>,
}

impl Hold {
    /// Returns the pause that holds a job. A list reads no place in the queue for each job, so the newest state of the
    /// service says it. Only those who see everything read author and reason.
    pub(super) fn of(job: &JobView, snapshot: Option<&Snapshot>, sees_everything: bool) -> Option<Self> {
        let may_be_held = matches!(job.blocked_on, Some(BlockedOn::Worker | BlockedOn::Paused));
        let snapshot = snapshot.filter(|_| may_be_held)?;
        let pause = find(job, snapshot.picture.queue.as_ref()?)?;
        let ends = TimeDelta::from_std(pause.left).ok();
        let until = ends.and_then(|left| snapshot.picture.at.checked_add_signed(left));
        let told = |text: &Option<String>| text.clone().filter(|_| sees_everything);
        Some(match pause.cause {
            PauseCause::Admin => {
                let by = told(&pause.by).map_or_else(String::new, |by| format!(" by {by}"));
                Self {
                    cause: format!("the end of a pause of {}{by}", object(pause)),
                    until,
                    reason: told(&pause.reason),
                }
            }
            PauseCause::Suspended => Self::open(format!("GitHub, which has suspended {}", object(pause))),
            PauseCause::Refused => Self::open(format!("an operator: GitHub refuses {}", object(pause))),
            PauseCause::Window | PauseCause::SecondaryLimit => {
                Self { cause: "GitHub's limit".to_owned(), until, reason: None }
            }
            PauseCause::Outage => Self { cause: "GitHub, which is failing".to_owned(), until, reason: None },
        })
    }

    const fn open(cause: String) -> Self {
        Self { cause, until: None, reason: None }
    }
}

/// Returns the pause that holds a job: an admin's of its installation or lane, else one that stops every App of its
/// installation.
fn find<'q>(job: &JobView, queue: &'q QueuePicture) -> Option<&'q PausePicture> {
    let of = |scope: PauseScope| move |pause: &&PausePicture| pause.scope == scope;
    let mut of_installation =
        queue.pauses.iter().filter(of(PauseScope::Installation(job.installation.clone())));
    let by_admin = of_installation.clone().find(|pause| pause.cause == PauseCause::Admin);
    by_admin
        .or_else(|| queue.pauses.iter().find(of(PauseScope::Lane(job.kind.lane()))))
        .or_else(|| of_installation.next().filter(|_| queue.pool_goes_on(&job.installation).is_none()))
}

fn object(pause: &PausePicture) -> String {
    match &pause.scope {
        PauseScope::Installation(name) => format!("installation {name}"),
        PauseScope::Lane(lane) => format!("the {lane} lane"),
    }
}
