//! Course of one primary window: what is left, who used it, and what will be left at this pace.

use std::collections::BTreeMap;

use domain::TeamId;

use crate::{
    routes::admin::budget::WindowView,
    ui::{
        format::{number, span},
        pages::words,
    },
};

/// Length of GitHub's primary windows, in seconds.
const WINDOW: u64 = 3600;
/// Seconds of a window before which its pace says nothing.
const MIN_ELAPSED: u64 = 120;
/// Width and height of the drawing.
const SIZE: (u64, u64) = (600, 120);

/// A window with its course.
pub(super) struct WindowPanel {
    pub(super) view: WindowView,
    /// Spending by lane, with the rest that no lane has used.
    pub(super) lanes: Vec<Spender>,
    /// Spending by team, largest first.
    pub(super) teams: Vec<Spender>,
    pub(super) forecast: Forecast,
}

/// Use of a window by one lane or team.
pub(super) struct Spender {
    pub(super) name: String,
    pub(super) link: Option<String>,
    pub(super) spent: u64,
    pub(super) percent: u64,
}

impl Spender {
    /// Returns the width of the bar in a drawing 100 wide.
    pub(super) fn width(&self) -> u64 {
        self.percent.min(100)
    }
}

/// Where the window's course leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forecast {
    /// Too early to say.
    Unknown,
    /// This many requests are left when it opens again.
    Left(u64),
    /// It is empty after this many seconds, this long before it opens again.
    Empty { after: u64, before_reset: u64 },
}

impl Forecast {
    /// Returns the forecast if the requests of the rest of the window come at the pace of its past.
    fn of(limit: u64, remaining: u64, reset_in: u64) -> Self {
        let (used, elapsed) = (limit.saturating_sub(remaining), WINDOW.saturating_sub(reset_in));
        if remaining == 0 {
            return Self::Empty { after: 0, before_reset: reset_in };
        }
        if elapsed < MIN_ELAPSED {
            return Self::Unknown;
        }
        let more = used.saturating_mul(reset_in) / elapsed;
        if let Some(left) = remaining.checked_sub(more) {
            return Self::Left(left);
        }
        let after = remaining.saturating_mul(elapsed).checked_div(used).unwrap_or_default();
        Self::Empty { after, before_reset: reset_in.saturating_sub(after) }
    }

    /// Returns the forecast in a sentence.
    pub(super) fn sentence(&self) -> String {
        match *self {
            Self::Unknown => "The window has just opened; its pace is not known yet.".to_owned(),
            Self::Left(left) => format!("At this pace {} requests will be left then.", number(left)),
            Self::Empty { after: 0, before_reset } => {
                format!("It is empty. Jobs wait {} until it opens.", span(before_reset))
            }
            Self::Empty { after, before_reset } => format!(
                "At this pace it is empty in {}, {} before it opens again.",
                span(after),
                span(before_reset)
            ),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty { .. })
    }
}

impl WindowPanel {
    pub(super) fn new(view: WindowView, names: &BTreeMap<TeamId, String>) -> Self {
        let used = view.limit.saturating_sub(view.remaining);
        let spender = |name: String, link: Option<String>, spent: u64| Spender {
            name,
            link,
            spent,
            percent: words::percent(spent, used.max(spent)),
        };
        let mut lanes: Vec<Spender> =
            view.lanes.iter().map(|one| spender(one.lane.to_string(), None, one.spent)).collect();
        let known: u64 = view.lanes.iter().map(|one| one.spent).sum();
        if used > known {
            lanes.push(spender("sync runs and others".to_owned(), None, used - known));
        }
        let teams = view.teams.iter().map(|one| {
            let name = names.get(&one.team_id).cloned().unwrap_or_else(|| one.team_id.to_string());
            spender(name, Some(format!("/teams/{}", one.team_id)), one.spent)
        });
        let (teams, forecast) =
            (teams.collect(), Forecast::of(view.limit, view.remaining, view.reset_in_seconds));
        Self { view, lanes, teams, forecast }
    }

    pub(super) fn remaining(&self) -> String {
        number(self.view.remaining)
    }

    pub(super) fn limit(&self) -> String {
        number(self.view.limit)
    }

    pub(super) fn opens_in(&self) -> String {
        span(self.view.reset_in_seconds)
    }

    /// Returns the points of the line from the begin of the window to now.
    pub(super) fn past(&self) -> String {
        let (x, y) = self.now();
        format!("0,0 {x},{y}")
    }

    /// Returns the points of the line from now to the end of the window.
    pub(super) fn future(&self) -> String {
        let (x, y) = self.now();
        let (width, height) = SIZE;
        match self.forecast {
            Forecast::Unknown => String::new(),
            Forecast::Left(left) => format!("{x},{y} {width},{}", self.height(left)),
            Forecast::Empty { before_reset, .. } => {
                let end = width.saturating_sub(before_reset.min(WINDOW) * width / WINDOW);
                format!("{x},{y} {end},{height} {width},{height}")
            }
        }
    }

    /// Returns the place of the present in the drawing.
    pub(super) fn now(&self) -> (u64, u64) {
        let elapsed = WINDOW.saturating_sub(self.view.reset_in_seconds);
        (elapsed * SIZE.0 / WINDOW, self.height(self.view.remaining))
    }

    pub(super) fn now_x(&self) -> u64 {
        self.now().0
    }

    pub(super) fn now_y(&self) -> u64 {
        self.now().1
    }

    /// Returns the distance of a number of requests from the top of the drawing.
    fn height(&self, left: u64) -> u64 {
        let height = SIZE.1;
        let filled = left.min(self.view.limit).saturating_mul(height).checked_div(self.view.limit);
        height - filled.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(remaining: u64, reset_in_seconds: u64) -> WindowPanel {
        let view = WindowView {
            resource: "core".to_owned(),
            limit: 5000,
            remaining,
            reset_in_seconds,
            lanes: Vec::new(),
            teams: Vec::new(),
        };
        WindowPanel::new(view, &BTreeMap::new())
    }

    #[test]
    fn pace_of_the_past_gives_the_forecast() {
        assert_eq!(Forecast::of(5000, 4990, 3550), Forecast::Unknown);
        assert_eq!(Forecast::of(5000, 4000, 1800), Forecast::Left(3000));
        assert_eq!(Forecast::of(5000, 1000, 1800), Forecast::Empty { after: 450, before_reset: 1350 });
        assert_eq!(Forecast::of(5000, 0, 600), Forecast::Empty { after: 0, before_reset: 600 });
        assert_eq!(Forecast::of(5000, 5000, 1800), Forecast::Left(5000));
        assert_eq!(Forecast::of(0, 0, 5000), Forecast::Empty { after: 0, before_reset: 5000 });
    }

    #[test]
    fn course_is_drawn_within_its_frame() {
        let half = panel(2500, 1800);
        assert_eq!((half.past().as_str(), half.future().as_str()), ("0,0 300,60", "300,60 600,120"));
        let soon = panel(1000, 1800);
        assert_eq!(soon.future(), "300,96 375,120 600,120");
        assert_eq!(panel(5000, 9000).past(), "0,0 0,0");
        assert_eq!(half.lanes[0].percent, 100, "what no lane has used is shown");
    }
}
