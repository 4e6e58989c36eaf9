//! `generate-jitconfig`: creates the runner at once and returns its config, this one time.

use serde_json::{Value, json};

use super::Call;
use crate::{
    answer::Answer,
    jitblob,
    ledger::ViolationKind,
    state::{NewRunner, NotMade, State},
    views,
};

const MAX_NAME: usize = 64;
const MAX_LABEL: usize = 256;
const MAX_LABELS: usize = 100;

pub(super) fn generate(state: &mut State, call: &Call) -> Answer {
    let (new, folder) = match call.object().and_then(|body| read(&body)) {
        Ok(read) => read,
        Err(answer) => return answer,
    };
    // Repositories have no groups of their own; clients send 1 there.
    let known = match call.param("repo") {
        "" => state.groups_of(&call.scope()).iter().any(|g| g.id == new.group),
        _ => new.group == 1,
    };
    if !known {
        return Answer::not_found();
    }
    let name = new.name.clone();
    match state.add_runner(&call.scope(), new) {
        Ok(runner) => {
            let blob = jitblob::encode(&state.base, &runner, &folder, &state.config.canary);
            Answer::new(201, json!({"runner": views::runner(&runner), "encoded_jit_config": blob}))
        }
        Err(NotMade::Duplicate) => {
            Answer::error(409, "Already exists - A runner with the name *** already exists.")
                .with_violation(ViolationKind::DuplicateName, name)
        }
        Err(NotMade::Full) => Answer::invalid("The runner group holds 10000 runners already.", &[]),
    }
}

fn read(body: &Value) -> Result<(NewRunner, String), Answer> {
    let missing =
        |what: &str| Answer::invalid(format!("Invalid request.\n\n\"{what}\" wasn't supplied."), &[]);
    let name = body.get("name").ok_or_else(|| missing("name"))?;
    let name = name.as_str().map(str::trim).filter(|n| !n.is_empty() && n.chars().count() <= MAX_NAME);
    let name =
        name.ok_or_else(|| Answer::invalid("Invalid request.", &["name must have 1 to 64 characters"]))?;
    let group = body.get("runner_group_id").ok_or_else(|| missing("runner_group_id"))?.as_u64();
    let group =
        group.ok_or_else(|| Answer::invalid("Invalid request.", &["runner_group_id must be an integer"]))?;
    let labels = label_list(body, 1)?;
    let folder = match body.get("work_folder") {
        None | Some(Value::Null) => "_work",
        Some(Value::String(s)) => s.as_str(),
        Some(_) => return Err(Answer::invalid("Invalid request.", &["work_folder must be a string"])),
    };
    let new = NewRunner { name: name.to_owned(), labels, group, ephemeral: true };
    Ok((new, folder.to_owned()))
}

/// Returns the `labels` of a body: at least `least`, at most 100, each of 1 to 256 characters.
pub(super) fn label_list(body: &Value, least: usize) -> Result<Vec<String>, Answer> {
    let wrong = |why: &str| Answer::invalid("Invalid request.", &[why]);
    let list = body.get("labels").and_then(Value::as_array);
    let list = list.ok_or_else(|| wrong("labels must be an array of strings"))?;
    if list.len() < least || list.len() > MAX_LABELS {
        return Err(wrong("labels must have 1 to 100 entries"));
    }
    let label = |v: &Value| {
        let text = v.as_str().map(str::trim);
        text.filter(|t| !t.is_empty() && t.chars().count() <= MAX_LABEL).map(str::to_owned)
    };
    list.iter().map(|v| label(v).ok_or_else(|| wrong("a label must have 1 to 256 characters"))).collect()
}
