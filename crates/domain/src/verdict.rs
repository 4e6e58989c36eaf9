//! Verdict: one sentence about the state of the service, its level, and the page to look at.
//!
//! [`Verdict::of`] checks the conditions in a fixed order; the first that holds decides. It reads nothing: a
//! [`Picture`] has all facts.

mod conditions;
mod picture;
mod sentence;
mod text;

use crate::string_enum::string_enum;

pub use self::picture::{
    BreakerPicture, BudgetPicture, InstallationPicture, LanePicture, LeaderPicture, PauseCause, PausePicture,
    PauseScope, Picture, QueuePicture, SyncPicture, TeamPicture, UnacknowledgedEvents, WindowPicture,
    WorkerPicture,
};
pub use self::sentence::SentencePart;

string_enum! {
    /// Level of a verdict, from good to bad.
    VerdictLevel {
        /// Jobs start and end.
        Ok = "ok",
        /// Jobs start and end; an operator should look at something.
        Note = "note",
        /// Jobs wait longer than they should.
        Slow = "slow",
        /// Jobs of at least one installation do not start.
        Stopped = "stopped",
    }
}

string_enum! {
    /// Condition that decided a verdict, in the order in which conditions are checked.
    VerdictCode {
        /// The database does not answer.
        DatabaseAway = "database_away",
        /// Redis does not answer.
        QueueAway = "queue_away",
        /// GitHub has suspended an installation.
        InstallationSuspended = "installation_suspended",
        /// GitHub refuses calls until an operator changes a key, a permission or a setting.
        OperatorNeeded = "operator_needed",
        /// The circuit breaker is not closed.
        GithubOutage = "github_outage",
        /// An admin paused a lane or an installation with waiting jobs.
        Paused = "paused",
        /// GitHub reported a secondary limit.
        SecondaryLimit = "secondary_limit",
        /// GitHub's hourly window is used up.
        WindowEmpty = "window_empty",
        /// Jobs wait and no worker takes jobs.
        NoWorker = "no_worker",
        /// Jobs wait and no live worker has the credential of their installation.
        NoCredential = "no_credential",
        /// The points or registrations of the minute are used up.
        MinuteLimit = "minute_limit",
        /// All slots of all workers are busy.
        SlotsFull = "slots_full",
        /// Most waiting jobs are of one team, and that team's own limit holds them.
        TeamLimit = "team_limit",
        /// Slots are free, jobs could start, and none has started for a minute.
        Stuck = "stuck",
        /// GitHub has suspended or refuses one App of a pool; the others go on.
        AppUnusable = "app_unusable",
        /// A sync run holds removals until an admin approves them.
        RemovalsHeld = "removals_held",
        /// The last comparison with GitHub is older than three intervals.
        SyncBehind = "sync_behind",
        /// No scheduler leads.
        NoLeader = "no_leader",
        /// None of the others.
        Moving = "moving",
    }
}

impl VerdictCode {
    /// Returns the level of a verdict with this code.
    pub const fn level(self) -> VerdictLevel {
        match self {
            Self::DatabaseAway
            | Self::QueueAway
            | Self::InstallationSuspended
            | Self::OperatorNeeded
            | Self::NoWorker
            | Self::NoCredential
            | Self::Stuck => VerdictLevel::Stopped,
            Self::GithubOutage
            | Self::Paused
            | Self::SecondaryLimit
            | Self::WindowEmpty
            | Self::MinuteLimit
            | Self::SlotsFull
            | Self::NoLeader => VerdictLevel::Slow,
            Self::TeamLimit | Self::AppUnusable | Self::RemovalsHeld | Self::SyncBehind => VerdictLevel::Note,
            Self::Moving => VerdictLevel::Ok,
        }
    }

    /// Returns the path of the call that shows the facts behind a verdict with this code.
    pub const fn link(self) -> &'static str {
        match self {
            Self::DatabaseAway => "/health/ready",
            Self::QueueAway | Self::NoWorker | Self::NoCredential | Self::SlotsFull | Self::Stuck => {
                "/api/v1/admin/workers"
            }
            Self::InstallationSuspended => "/api/v1/admin/security-events?event_type=installation_suspended",
            Self::OperatorNeeded => "/api/v1/admin/failures",
            Self::GithubOutage
            | Self::SecondaryLimit
            | Self::WindowEmpty
            | Self::MinuteLimit
            | Self::AppUnusable => "/api/v1/admin/budget",
            Self::Paused | Self::TeamLimit | Self::Moving => "/api/v1/admin/queues",
            Self::RemovalsHeld | Self::SyncBehind | Self::NoLeader => "/api/v1/admin/sync/status",
        }
    }
}

/// State of the service in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Condition that decided it.
    pub code: VerdictCode,
    /// The sentence for people, with numbers and times in UTC.
    pub sentence: String,
    /// The parts of the sentence, for readers that show times in another zone.
    pub parts: Vec<SentencePart>,
    /// Name of the installation or team that it is about, where a page shows only that one.
    pub subject: Option<String>,
    /// Second sentence: severe security events that no admin has acknowledged.
    pub notice: Option<String>,
}

impl Verdict {
    /// Path of the call that shows the events of a [`Self::notice`].
    pub const NOTICE_LINK: &'static str = "/api/v1/admin/security-events?acknowledged=false";

    /// Returns the verdict on a picture.
    pub fn of(picture: &Picture) -> Self {
        let (code, marked) = conditions::first(picture);
        let parts = sentence::parts(&marked, picture.at);
        let sentence = parts.iter().map(ToString::to_string).collect();
        let subject = conditions::subject(picture, code);
        Self { code, sentence, parts, subject, notice: text::unacknowledged(picture.events) }
    }

    /// Returns the level.
    pub const fn level(&self) -> VerdictLevel {
        self.code.level()
    }
}

#[cfg(test)]
mod tests;
