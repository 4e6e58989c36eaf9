//! Execution of a call: its handler, and the fault around it.

use serde_json::Value;

use crate::{
    answer::Answer, auth::credential, faults::FaultKind, pipeline::Visit, routes::Call, state::State,
};

impl State {
    /// Runs the handler unless a fault prevents it. `None` closes the connection without a response.
    pub(crate) fn perform(&mut self, mut call: Call, visit: &Visit) -> Option<Answer> {
        let server_error = |status: u16| Answer::error(status.clamp(400, 599), "Server Error");
        match visit.picked.act.clone() {
            Some(FaultKind::Drop) => return None,
            Some(FaultKind::Status { status }) => return Some(server_error(status)),
            Some(FaultKind::LateEffect { ms }) => {
                let due = self.now()
                    + chrono::TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(0).min(86_400_000));
                if self.pending.len() < 10_000 {
                    self.pending.push((due, call));
                }
                return None;
            }
            Some(FaultKind::TokenExpired) => {
                if let Some(text) = credential(&visit.request.headers) {
                    self.expire_token(&text);
                }
                return Some(Answer::error(401, "Bad credentials"));
            }
            Some(FaultKind::Answer { status, headers, body }) => {
                let answer = Answer { body, ..Answer::empty(status.clamp(200, 599)) };
                let with = |answer: Answer, (name, value): (String, String)| answer.with(name, value);
                return Some(headers.into_iter().fold(answer, with));
            }
            Some(FaultKind::PageSlip { by, agree }) => call.slip = Some((by.min(1000), agree)),
            _ => {}
        }
        let answer = (call.route.run)(self, &call);
        if let Some((kind, detail)) = &answer.violation {
            self.record_violation(visit, *kind, detail);
        }
        match visit.picked.act {
            Some(FaultKind::EffectThenDrop) => None,
            Some(FaultKind::EffectThenStatus { status }) => Some(server_error(status)),
            Some(FaultKind::EffectThenPatch { ref patch }) => {
                let body = answer.body.map(|body| apply_merge_patch(body, patch));
                Some(Answer { violation: None, body, ..answer })
            }
            _ => Some(Answer { violation: None, ..answer }),
        }
    }
}

/// Applies a JSON merge patch (RFC 7396).
fn apply_merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut fields = if let Value::Object(fields) = target { fields } else { serde_json::Map::new() };
    for (name, change) in changes {
        let old = fields.remove(name).unwrap_or(Value::Null);
        if !change.is_null() {
            fields.insert(name.clone(), apply_merge_patch(old, change));
        }
    }
    Value::Object(fields)
}
