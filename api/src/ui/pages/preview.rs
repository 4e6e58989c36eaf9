//! Previews of actions: a page that lists what happens to whom, with the form that does it.

use askama::Template;
use axum::response::Response;
use domain::Caller;
use store::{IncidentScope, IncidentTarget};

use super::{
    input::{Refusal, form_page},
    words::natural,
};
use crate::{
    app::AppState,
    error::ApiError,
    ui::{UiError, UiResult, format::number, frame::Frame, page},
};

/// Reason that an action asks for.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    /// Name of the field.
    pub(crate) field: &'static str,
    pub(crate) label: &'static str,
    /// Fewest characters.
    pub(crate) min: u32,
    pub(crate) value: String,
}

/// A form field that keeps its value.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// A preview of an action.
#[derive(Template)]
#[template(path = "preview.html")]
pub(crate) struct Preview {
    frame: Frame,
    heading: String,
    sentences: Vec<String>,
    /// Path that the form is sent to.
    action: String,
    /// Path of the page to go back to.
    back: String,
    button: String,
    keep: &'static str,
    is_dangerous: bool,
    reason: Option<Reason>,
    hidden: Vec<Hidden>,
    /// Text that must be typed, so that a click alone does nothing.
    typed: Option<String>,
    refusal: Option<Refusal>,
}

impl Preview {
    /// Returns a preview without a reason. `action` and `back` are paths.
    pub(crate) fn new(frame: Frame, heading: impl Into<String>, action: String, back: String) -> Self {
        Self {
            frame,
            heading: heading.into(),
            sentences: Vec::new(),
            action,
            back,
            button: String::new(),
            keep: "Do not",
            is_dangerous: false,
            reason: None,
            hidden: Vec::new(),
            typed: None,
            refusal: None,
        }
    }

    /// Sets the button that does it and the link that does not.
    #[must_use]
    pub(crate) fn button(self, button: impl Into<String>, keep: &'static str) -> Self {
        Self { button: button.into(), keep, ..self }
    }

    /// Adds a sentence about what happens.
    #[must_use]
    pub(crate) fn says(mut self, sentence: impl Into<String>) -> Self {
        self.sentences.push(sentence.into());
        self
    }

    /// Asks for a reason of at least `min` characters.
    #[must_use]
    pub(crate) fn reason(self, field: &'static str, label: &'static str, min: u32) -> Self {
        Self { reason: Some(Reason { field, label, min, value: String::new() }), ..self }
    }

    /// Marks an action that takes something away.
    #[must_use]
    pub(crate) fn dangerous(self) -> Self {
        Self { is_dangerous: true, ..self }
    }

    /// Asks for a text to be typed.
    #[must_use]
    pub(crate) fn typed(self, text: impl Into<String>) -> Self {
        Self { typed: Some(text.into()), ..self }
    }

    /// Adds a field that the form sends along.
    #[must_use]
    pub(crate) fn hidden(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.hidden.push(Hidden { name, value: value.to_string() });
        self
    }

    /// Shows the preview.
    pub(crate) fn show(self) -> UiResult<Response> {
        page(&self)
    }

    /// Shows the preview again with the reason that was entered, and says why nothing was done.
    ///
    /// # Errors
    /// An error that the form cannot correct.
    pub(crate) fn refuse(mut self, error: impl Into<ApiError>, reason: &str) -> UiResult<Response> {
        self.refusal = Some(Refusal::of(error)?);
        if let Some(asked) = &mut self.reason {
            reason.clone_into(&mut asked.value);
        }
        form_page(&self, self.refusal.as_ref())
    }
}

/// Returns the open requests, configs and runners of a target, `None` if counting them takes too long.
///
/// # Errors
/// Errors of the database, and of the visitor's share of it.
pub(crate) async fn scope_of(
    app: &AppState,
    caller: &Caller,
    target: &IncidentTarget,
) -> Result<Option<IncidentScope>, UiError> {
    let mut lists = app.lists(caller).await?;
    let scope = lists.incidents().scope(target).await;
    if scope.as_ref().is_err_and(store::StoreError::is_timeout) {
        return Ok(None);
    }
    Ok(Some(lists.respond(scope, |scope| scope)?.into_body()))
}

/// Returns a number with its noun and verb: `1 request is cancelled`, `3 requests are cancelled`.
pub(crate) fn tell(count: impl TryInto<u64>, noun: &str, one: &str, many: &str) -> String {
    let count = natural(count);
    if count == 1 { format!("1 {noun} {one}") } else { format!("{} {noun}s {many}", number(count)) }
}
