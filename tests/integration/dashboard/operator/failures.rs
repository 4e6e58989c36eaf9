//! Failures by their cause, and decisions about one, some or all of a cause.

use harness::World;

use super::{Night, hidden_fields, link_to, text_of};

const REASON: (&str, &str) = ("reason", "the group exists again");

/// Sends the form of a preview with a reason.
async fn decide(night: &Night, preview: &str, path: &str) -> String {
    let page = night.admin.get(preview).await.assert_status(200);
    let fields = hidden_fields(&page);
    let mut form: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    form.push(REASON);
    night.press(path, &form).await
}

#[tokio::test]
async fn all_failures_of_a_cause_are_retried_as_a_batch_that_is_counted_again() {
    let night = Night::with(World::builder().workers(1)).await;
    let world = &night.world;
    let empty = night.page("/failures").await;
    assert!(empty.contains("Nothing failed since"), "{empty}");
    night.refused_by_github("Label is <b>bad</b>").await;
    night.refused_by_github("Group is unknown").await;
    night.refused_by_github("Group is unknown").await;
    let page = night.admin.get("/failures?since=1h").await.assert_status(200);
    let text = text_of(&page);
    assert!(text.contains("3 jobs, 2 causes since"), "{text}");
    assert!(text.contains("Group is unknown") && text.contains("Retry 2 jobs…"), "{text}");
    assert!(text.contains("Self-hosted runners: write"), "what to do: {text}");
    assert!(text.contains("<b>bad</b>") && !page.text.contains("<b>bad"), "GitHub's words are escaped");

    let preview = link_to(&page, "/failures/retry?");
    let shown = night.admin.get(&preview).await.assert_status(200);
    assert!(text_of(&shown).contains("Ask again for 2 runners?"), "{}", text_of(&shown));
    assert!(text_of(&shown).contains("10 points"), "{}", text_of(&shown));
    let stale = hidden_fields(&shown);
    // A third one fails between the preview and the click.
    night.refused_by_github("Group is unknown").await;
    let mut form: Vec<(&str, &str)> =
        stale.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    form.push(REASON);
    let refused = text_of(&night.admin.post("/failures/retry", &form).await.assert_status(422));
    assert!(
        refused.contains("the selector matches 3 now") && refused.contains("Ask again for 3 runners?"),
        "{refused}"
    );
    assert_eq!(world.count("SELECT count(*) FROM batches").await, 0);

    let batch = decide(&night, &preview, "/failures/retry").await;
    assert!(batch.contains("3 of 3 worked on: 3 done"), "{batch}");
    let rows = "SELECT count(*) FROM audit_log WHERE event_type = 'job.retry' AND event_data ? 'batch_id'";
    assert_eq!((world.count(rows).await, night.audit_rows("batch.start").await), (3, 1));
    assert!(night.page("/failures").await.contains("1 job, 1 cause since"));
}

#[tokio::test]
async fn selected_failures_are_discarded() {
    let night = Night::with(World::builder().workers(1)).await;
    let world = &night.world;
    let first = night.refused_by_github("no").await;
    night.refused_by_github("no").await;
    let failures = night.admin.get("/failures").await.assert_status(200);
    let group = night.admin.get(&link_to(&failures, "/failures/jobs?")).await.assert_status(200);
    assert!(text_of(&group).contains("All 2, newest first"), "{}", text_of(&group));
    let preview = format!("/failures/discard?job={first}");
    let shown = night.page(&preview).await;
    assert!(shown.contains("Discard 1 job?"), "{shown}");
    let short = [("job", first.to_string()), ("count", "1".to_owned()), ("reason", "short".to_owned())];
    let short: Vec<(&str, &str)> = short.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused = text_of(&night.admin.post("/failures/discard", &short).await.assert_status(422));
    assert!(refused.contains("/comment"), "{refused}");
    let batch = decide(&night, &preview, "/failures/discard").await;
    assert!(
        batch.contains("1 of 1 worked on: 1 done") && batch.contains("Discard of failed jobs"),
        "{batch}"
    );
    assert_eq!(world.count("SELECT count(*) FROM jobs WHERE dismissed_at IS NOT NULL").await, 1);
    for query in ["", "job=x", "code=github_refused&since=never", "code=%00"] {
        night.admin.get(&format!("/failures/discard?{query}")).await.assert_status(422);
    }
}

#[tokio::test]
async fn viewers_see_failures_and_only_admins_decide() {
    let night = Night::with(World::builder().workers(1)).await;
    let failed = night.refused_by_github("no").await;
    let group = "/failures/jobs?code=github_refused";
    for path in ["/failures", group] {
        night.is_for_overseers(path).await;
    }
    let form = [("code", "github_refused"), ("count", "1"), REASON];
    night.is_for_admins("/failures/retry?code=github_refused", &form).await;
    night.is_for_admins("/failures/discard?code=github_refused", &form).await;
    for word in ["retry", "discard"] {
        night.is_for_admins(&format!("/jobs/{failed}/{word}"), &[REASON]).await;
    }
    assert_eq!(night.world.count("SELECT count(*) FROM jobs WHERE dismissed_at IS NOT NULL").await, 0);
    assert_eq!(night.world.count("SELECT count(*) FROM batches").await, 0);
    for query in ["since=40d", "since=soon"] {
        let refused = night.admin.get(&format!("/failures?{query}")).await.assert_status(422);
        assert!(refused.text.contains("query:since"), "{}", refused.text);
    }
}
