//! Replay of a team's past requests against the draft of its policy. Nothing is written.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Problem, Replayed, Team, TeamId};
use store::{Lists, PastRequestRow, StoreError, TeamDraft};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{Operations, ProvisionRules, Result, teams::policy};

/// Rows that are read at a time.
const PAGE: i64 = 1_000;
/// Most requests of one replay.
const MAX_REQUESTS: usize = 200_000;
/// Longest time of one replay.
const MAX_TIME: Duration = Duration::from_secs(20);
/// Most examples of each kind.
const MAX_EXAMPLES: usize = 20;

/// Result of a replay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// Number of requests that were looked at.
    pub examined: u64,
    /// Whether all requests since the time were looked at.
    pub complete: bool,
    /// Accepted requests that the draft refuses.
    pub newly_refused: Found,
    /// Refused requests that the draft allows.
    pub newly_allowed: Found,
    /// Number of refused requests of which the audit log has only a part.
    pub unclear: u64,
}

/// Requests about which the draft decides otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Number of requests.
    pub count: u64,
    /// The newest of them.
    pub examples: Vec<ReplayedRequest>,
}

/// A request about which the draft decides otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayedRequest {
    /// The request.
    pub row: PastRequestRow,
    /// Refusal by the draft.
    pub refusal: Option<Problem>,
}

impl Found {
    fn add(&mut self, row: PastRequestRow, refusal: Option<Problem>) {
        self.count += occurrences(&row);
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(ReplayedRequest { row, refusal });
        }
    }
}

fn occurrences(row: &PastRequestRow) -> u64 {
    u64::try_from(row.occurrences).unwrap_or(1).max(1)
}

/// A draft of a team's policy beside the policy.
#[derive(Clone, Debug)]
pub struct ReplayDraft {
    draft: Team,
    stored: Team,
    default_group: i64,
}

impl Operations<'_> {
    /// Returns the draft of a team's policy, ready to replay requests.
    ///
    /// # Errors
    /// `not_found`, `validation_failed` for the draft, `github_unavailable`; database errors.
    pub async fn replay_draft(
        &self,
        rules: &ProvisionRules<'_>,
        team: TeamId,
        draft: &TeamDraft,
    ) -> Result<ReplayDraft> {
        policy::check(draft, true, true)?;
        let stored = self.store.conn().await?.teams().policy(team).await?;
        let stored = stored.ok_or_else(|| Problem::not_found("team"))?;
        let default_group = rules.default_group(&stored.installation)?;
        Ok(ReplayDraft { draft: draft_team(&stored, draft), stored, default_group })
    }
}

impl ReplayDraft {
    /// Replays the requests of the team since a time, newest first, until all are read or a bound is reached.
    ///
    /// # Errors
    /// Database errors.
    pub async fn run(&self, lists: &mut Lists, since: DateTime<Utc>) -> Result<Replay, StoreError> {
        let until = Instant::now() + MAX_TIME;
        let mut replay = Replay::default();
        let mut before: Option<Uuid> = None;
        let mut read = 0;
        while read < MAX_REQUESTS && Instant::now() < until {
            let rows = lists.audit().past_requests(self.stored.id, since, before, PAGE).await?;
            read += rows.len();
            before = rows.last().map(|row| row.id);
            let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < PAGE);
            for row in rows {
                replay.add(self, row);
            }
            if is_last {
                replay.complete = true;
                break;
            }
        }
        Ok(replay)
    }
}

impl Replay {
    fn add(&mut self, with: &ReplayDraft, row: PastRequestRow) {
        self.examined += occurrences(&row);
        match with.draft.replay(&with.stored, &row.request, with.default_group) {
            Replayed::Same => {}
            Replayed::Refused(problem) => self.newly_refused.add(row, Some(problem)),
            Replayed::Allowed => self.newly_allowed.add(row, None),
            Replayed::Unclear => self.unclear += occurrences(&row),
        }
    }
}

/// Returns the team with the policy of the draft.
fn draft_team(stored: &Team, draft: &TeamDraft) -> Team {
    let draft = policy::normalize(draft.clone());
    Team {
        required_labels: draft.required_labels,
        optional_label_patterns: draft.optional_label_patterns,
        add_self_hosted: draft.add_self_hosted,
        allowed_runner_group_ids: draft.allowed_runner_group_ids,
        ..stored.clone()
    }
}
