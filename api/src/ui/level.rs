//! Levels of a verdict as people see them: a word, a shape, and a colour.

use domain::{VerdictCode, VerdictLevel};

/// Returns the word of a level.
pub(crate) const fn word(level: VerdictLevel) -> &'static str {
    match level {
        VerdictLevel::Ok => "Moving",
        VerdictLevel::Note => "Note",
        VerdictLevel::Slow => "Slow",
        VerdictLevel::Stopped => "Stopped",
    }
}

/// Returns the shape of a level, for titles. Colour is never the only sign.
pub(crate) const fn shape(level: VerdictLevel) -> &'static str {
    match level {
        VerdictLevel::Ok => "●",
        VerdictLevel::Note => "◆",
        VerdictLevel::Slow => "▲",
        VerdictLevel::Stopped => "■",
    }
}

/// Returns the page that shows the facts behind a verdict.
pub(crate) const fn page(code: VerdictCode) -> &'static str {
    match code {
        VerdictCode::DatabaseAway => "/health/ready",
        VerdictCode::QueueAway
        | VerdictCode::NoWorker
        | VerdictCode::NoCredential
        | VerdictCode::SlotsFull
        | VerdictCode::Stuck => "/workers",
        VerdictCode::NoLeader => "/workers#schedulers",
        VerdictCode::InstallationSuspended => "/security?event_type=installation_suspended",
        VerdictCode::OperatorNeeded => "/failures",
        VerdictCode::GithubOutage => "/budget#breaker",
        VerdictCode::WindowEmpty => "/budget#window",
        VerdictCode::SecondaryLimit | VerdictCode::MinuteLimit | VerdictCode::AppUnusable => "/budget",
        VerdictCode::Paused | VerdictCode::TeamLimit | VerdictCode::Moving => "/lanes",
        VerdictCode::RemovalsHeld | VerdictCode::SyncBehind => "/fleet",
    }
}

/// Returns the icon of the browser's tab: the shape of the level in its colour.
pub(super) fn favicon(level: VerdictLevel) -> String {
    let (colour, shape) = match level {
        VerdictLevel::Ok => ("#1f9d57", r#"<circle cx="8" cy="8" r="6"/>"#),
        VerdictLevel::Note => ("#3b6fe0", r#"<path d="M8 1l7 7-7 7-7-7z"/>"#),
        VerdictLevel::Slow => ("#d18700", r#"<path d="M8 1l7.5 13.5H.5z"/>"#),
        VerdictLevel::Stopped => ("#d4342a", r#"<rect x="2" y="2" width="12" height="12" rx="1"/>"#),
    };
    format!(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="{colour}">{shape}</svg>"#)
}
