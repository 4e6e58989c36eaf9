//! Choice of failed jobs in a query string or a form: all of one cause, or those that are selected.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{FieldError, NO_CONTROLS, Problem, ProblemCode, is_clean, sanitized};
use operations::BatchSelector;
use store::FailureSelection;
use url::form_urlencoded::{self, Serializer};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::filtered_team,
    routes::admin::failures::Failure,
    ui::{UiResult, pages::times},
};

/// Failed jobs that were chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Code of the cause; `None` if jobs are named.
    pub(super) code: Option<String>,
    /// Explanation of the cause, if the code has several.
    pub(super) detail: Option<String>,
    /// Begin of the list that was shown, as a time.
    pub(super) since: Option<String>,
    pub(super) team: Option<String>,
    /// The named jobs.
    pub(super) jobs: Vec<Uuid>,
}

impl Choice {
    /// Returns all jobs of a cause.
    pub(super) fn of_cause(failure: &Failure, since: DateTime<Utc>, team: Option<&str>) -> Self {
        let has_details = failure.code == ProblemCode::GithubRefused.as_str();
        Self {
            code: Some(failure.code.clone()),
            detail: failure.detail.clone().filter(|_| has_details),
            since: Some(since.to_rfc3339_opts(SecondsFormat::Micros, true)),
            team: team.map(str::to_owned),
            jobs: Vec::new(),
        }
    }

    /// Reads a query string. Other fields of a form are left out.
    ///
    /// # Errors
    /// `validation_failed` at the wrong field.
    pub(super) fn read(query: &str) -> Result<Self, Problem> {
        let mut choice = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !is_clean(&name) || !is_clean(&value) {
                let error = FieldError::new(format!("query:{}", sanitized(&name)), NO_CONTROLS);
                return Err(Problem::invalid(vec![error]));
            }
            let text = Some(value.clone().into_owned()).filter(|text| !text.is_empty());
            match name.as_ref() {
                "code" => choice.code = text,
                "detail" => choice.detail = text,
                "since" => choice.since = text,
                "team" => choice.team = text,
                "job" => {
                    let id = value.parse().map_err(|_| Problem::field("query:job", "an id of a job"))?;
                    choice.jobs.push(id);
                }
                _ => {}
            }
        }
        Ok(choice)
    }

    /// Returns the fields of the choice, in order.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let texts =
            [("code", &self.code), ("detail", &self.detail), ("since", &self.since), ("team", &self.team)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?)));
        texts.chain(self.jobs.iter().map(|id| ("job", id.to_string()))).collect()
    }

    /// Returns the choice as a query string.
    pub(super) fn query(&self) -> String {
        Serializer::new(String::new()).extend_pairs(self.fields()).finish()
    }

    /// Returns the jobs of a cause.
    ///
    /// # Errors
    /// `validation_failed` without a cause, and for an unreadable time.
    pub(super) fn cause(&self) -> Result<FailureSelection, Problem> {
        let code = self.code.clone().ok_or_else(|| Problem::field("query:code", "the code of a cause"))?;
        let since = self.since.as_deref().unwrap_or(super::DEFAULT_SPAN);
        Ok(FailureSelection {
            code,
            detail: self.detail.clone(),
            since: times::since("query:since", since, Utc::now())?,
        })
    }

    /// Returns the selector of a batch.
    ///
    /// # Errors
    /// `validation_failed` if nothing or too much is chosen.
    pub(super) async fn selector(&self, app: &AppState) -> UiResult<BatchSelector> {
        if !self.jobs.is_empty() {
            let mut ids = self.jobs.clone();
            ids.sort_unstable();
            ids.dedup();
            return Ok(BatchSelector { ids: Some(ids), ..BatchSelector::default() });
        }
        if self.code.is_none() {
            return Err(Problem::field("query:job", "select at least one job of the list").into());
        }
        Ok(BatchSelector {
            failures: Some(self.cause()?),
            team: filtered_team(app, self.team.as_deref()).await?,
            ..BatchSelector::default()
        })
    }

    /// Returns the page that the choice was made on.
    pub(super) fn origin(&self) -> String {
        if self.code.is_some() {
            format!("/failures/jobs?{}", Self { jobs: Vec::new(), ..self.clone() }.query())
        } else {
            "/failures".to_owned()
        }
    }
}

/// Returns one pair of a query string.
pub(super) fn pair(name: &str, value: &str) -> String {
    Serializer::new(String::new()).append_pair(name, value).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_survives_its_query_string() {
        let id = Uuid::now_v7();
        let choice = Choice {
            code: Some("github_refused".into()),
            detail: Some("GitHub: \"no\" & <b>".into()),
            since: Some("2026-01-31T12:00:00Z".into()),
            team: None,
            jobs: vec![id],
        };
        assert_eq!(Choice::read(&choice.query()).unwrap(), choice);
        assert_eq!(Choice::read("x=1&code=").unwrap(), Choice::default());
        assert_eq!(Choice::read("job=x").unwrap_err().errors[0].pointer, "query:job");
        assert_eq!(Choice::read("detail=%00").unwrap_err().errors[0].pointer, "query:detail");
    }
}
