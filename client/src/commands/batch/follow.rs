//! A batch followed to its end.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::WaitArgs;
use crate::{
    commands::nouns::BATCH,
    error::ClientError,
    output::{Progress, print::note, scalar},
    session::Session,
};

/// Pause between two looks at a batch that goes on.
const LOOK: Duration = Duration::from_secs(1);
/// Most items in one answer.
const MAX_ITEMS: usize = 1000;
/// Most failed items that are named on stderr.
const MAX_NAMED: usize = 20;

/// Returns a batch with its items after a number.
pub(super) async fn show(session: &Session, batch: &str, after: Option<i32>) -> Result<Value, ClientError> {
    let request = session.client.request(Method::GET, &["admin", "batch", batch]).query("after", after);
    Ok(session.client.send(request).await?.body)
}

/// Follows a batch to its end and prints it.
///
/// # Errors
/// [`ClientError::StillWaiting`] after the longest wait, [`ClientError::Failed`] if it was stopped or an item failed.
pub(super) async fn follow(session: &Session, id: &str, wait: WaitArgs) -> Result<(), ClientError> {
    if wait.no_wait {
        let batch = show(session, id, None).await?;
        session.print_done(&BATCH, &batch, &describe(&batch));
        return Ok(());
    }
    let deadline = Instant::now() + wait.wait;
    let mut progress = Progress::new();
    let batch = loop {
        match show(session, id, None).await {
            Ok(batch) if batch["state"] != "running" => break batch,
            Ok(batch) => progress.show(&describe(&batch)),
            Err(error) if error.exit_code() == 3 => progress.show(&format!("waiting: {error}")),
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            let text = format!(
                "batch {id} goes on; `rts batch watch {id}` follows it, `rts batch stop {id}` stops it"
            );
            return Err(ClientError::StillWaiting(text));
        }
        tokio::time::sleep_until((Instant::now() + LOOK).min(deadline)).await;
    };
    progress.end();
    session.print_done(&BATCH, &batch, &describe(&batch));
    if session.format.is_table() {
        note_failures(session, id, batch.clone()).await?;
    }
    let failed = batch["failed_count"].as_i64().unwrap_or_default();
    if batch["state"] == "stopped" {
        return Err(ClientError::Failed(format!(
            "the batch was stopped ({}); `rts batch resume {id}` goes on with it",
            scalar(&batch["stop_reason"])
        )));
    }
    if failed > 0 {
        return Err(ClientError::Failed(format!("{failed} of {} were refused", scalar(&batch["total"]))));
    }
    Ok(())
}

/// Returns the state and the counts of a batch in a few words.
pub(super) fn describe(batch: &Value) -> String {
    let count = |name: &str| batch[name].as_i64().unwrap_or_default();
    let (done, skipped, failed) = (count("affected_count"), count("skipped_count"), count("failed_count"));
    format!(
        "{}: {} of {} ({done} changed, {skipped} left as they are, {failed} refused)",
        scalar(&batch["state"]),
        done + skipped + failed,
        count("total"),
    )
}

/// Names the items that were refused, page by page.
async fn note_failures(session: &Session, id: &str, mut batch: Value) -> Result<(), ClientError> {
    let failed = batch["failed_count"].as_u64().and_then(|failed| usize::try_from(failed).ok());
    let mut left = failed.unwrap_or_default().min(MAX_NAMED);
    while left > 0 {
        let items = batch["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        left = left.saturating_sub(note_items(&batch, |item| item["status"] == "failed"));
        let last = items.last().and_then(|item| item["number"].as_i64());
        let Some(after) = last.filter(|_| items.len() >= MAX_ITEMS).and_then(|last| i32::try_from(last).ok())
        else {
            break;
        };
        batch = show(session, id, Some(after)).await?;
    }
    Ok(())
}

/// Names items on stderr. Returns how many.
pub(super) fn note_items(batch: &Value, which: impl Fn(&Value) -> bool) -> usize {
    let items = batch["details"].as_array().into_iter().flatten().filter(|item| which(item));
    let named = ["email", "runner_name", "team_name", "failed_job_id"];
    let mut shown = 0;
    for item in items.take(MAX_NAMED) {
        let name = named.iter().find_map(|member| item[*member].as_str()).unwrap_or_default();
        let reason = item["error"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        note(crate::output::plain(&format!("  {name}{reason}")));
        shown += 1;
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_counts_every_item_that_has_an_outcome() {
        let batch = json!({ "state": "running", "total": 9, "affected_count": 4, "skipped_count": 2,
            "failed_count": 1 });
        assert_eq!(describe(&batch), "running: 7 of 9 (4 changed, 2 left as they are, 1 refused)");
    }
}
