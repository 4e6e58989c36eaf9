//! Jobs: the list with its filters, one job with its history, and decisions about it.

use harness::{World, provision_body, team_draft};
use uuid::Uuid;

use super::{Night, text_of};

#[tokio::test]
async fn filters_are_words_of_the_url() {
    let night = Night::with(World::builder().workers(1)).await;
    let world = &night.world;
    assert!(night.page("/jobs").await.contains("Nothing was asked for yet."));
    let failed = night.refused_by_github("no").await;
    let fine = world.provision(&night.ada, provision_body("ok")).await;
    world.until_final(&night.ada, fine.job).await;

    let typed = night
        .admin
        .get("/jobs?q=state:failed+team:red+error:github_refused+since:1h")
        .await
        .assert_status(303);
    let url = typed.header("location").to_owned();
    assert_eq!(url, "/jobs?state=failed&team=red&error=github_refused&since=1h");
    let page = night.admin.get(&url).await.assert_status(200);
    let text = text_of(&page);
    assert!(
        page.text.contains(&format!("/jobs/{failed}")) && !page.text.contains(&format!("/jobs/{}", fine.job))
    );
    assert!(text.contains("state:failed ×") && text.contains("1 job"), "{text}");
    for (query, part) in [
        ("by=ada@example.com", "2 jobs"),
        ("by=nobody@example.com", "No job fits."),
        ("kind=drift_check", "No job fits."),
        ("error=job_expired", "No job fits."),
        ("runner=ok", "1 job"),
        ("runner=nothing-like-it", "No job fits."),
        ("worker=worker-0", "2 jobs"),
        ("worker=worker-9", "No job fits."),
        ("installation=default", "2 jobs"),
        ("installation=games", "No job fits."),
        ("state=sleeping", "one of queued, running"),
        ("since=soon", "query:since"),
        ("q=colour:red", "There is no `colour:`."),
        ("q=ci-1+ci-2", "Only one text can be searched for."),
        ("q=%3Cscript%3E:1", "There is no `<script>:`."),
    ] {
        let page = night.admin.get(&format!("/jobs?{query}")).await.assert_status(200);
        assert!(text_of(&page).contains(part), "{query}: {}", text_of(&page));
        assert!(!page.text.contains("<script>:"), "{query}");
    }
    let bare = night.admin.get("/jobs?q=failed+ci").await.assert_status(303);
    assert_eq!(bare.header("location"), "/jobs?state=failed&about=ci");
    let found = night.admin.get("/jobs?state=failed&about=ci").await.assert_status(200);
    assert!(found.text.contains(&format!("/jobs/{failed}")) && text_of(&found).contains("1 job"));
    let by_worker = night.admin.get("/jobs?q=worker:worker-0+runner:ok").await.assert_status(303);
    assert_eq!(by_worker.header("location"), "/jobs?worker=worker-0&runner=ok&since=24h");
    let fine_runner = format!("/jobs?runner={}", fine.runner);
    assert_eq!(world.get(&fine_runner, &night.ada).await.assert_status(200).body["total"], 1);
    let pasted = night.admin.get(&format!("/jobs?q={failed}")).await.assert_status(303);
    assert_eq!(pasted.header("location"), format!("/jobs/{failed}"));
    let first = night.admin.get("/jobs?limit=1").await.assert_status(200);
    let older = super::link_to(&first, "/jobs?cursor=");
    assert!(night.admin.get(&older).await.assert_status(200).text.contains(&format!("/jobs/{failed}")));
}

#[tokio::test]
async fn members_see_their_jobs_and_what_the_api_shows_them() {
    let night = Night::with(World::builder().workers(1)).await;
    let world = &night.world;
    let blue = world.team(team_draft("blue")).await;
    let bob = world.user("bob", &[&blue]).await;
    let own = world.provision(&night.ada, provision_body("own")).await;
    let other = world.provision(&bob, provision_body("other")).await;
    world.until_final(&night.ada, own.job).await;
    world.until_final(&bob, other.job).await;
    let list = night.member.get("/jobs").await.assert_status(200);
    assert!(list.text.contains(&format!("/jobs/{}", own.job)) && !list.text.contains(&other.job.to_string()));
    night.member.get(&format!("/jobs/{}", other.job)).await.assert_status(404);
    night.member.get(&format!("/jobs/{}/cancel", other.job)).await.assert_status(404);
    night.member.post(&format!("/jobs/{}/cancel", other.job), &[]).await.assert_status(404);

    let page = text_of(&night.member.get(&format!("/jobs/{}", own.job)).await.assert_status(200));
    assert!(page.contains("It succeeded,") && page.contains("Show the config…"), "{page}");
    assert!(!page.contains("worker-0") && !page.contains("Rescues"), "workers are for overseers: {page}");
    let inside = night.page(&format!("/jobs/{}", own.job)).await;
    assert!(inside.contains("Worker worker-0.") && inside.contains("Rescues 0 of 3"), "{inside}");
    assert!(!inside.contains("Show the config"), "only the requester gets it: {inside}");
    assert!(inside.contains("GitHub's support finds a call by its id."), "{inside}");
    night.is_for_signed_in("/jobs").await;
    night.is_for_signed_in(&format!("/jobs/{}", own.job)).await;
}

#[tokio::test]
async fn waiting_job_says_why_and_is_cancelled() {
    let night = Night::with(World::builder().workers(0)).await;
    let world = &night.world;
    let asked = world.provision(&night.ada, provision_body("ci")).await;
    let path = format!("/jobs/{}", asked.job);
    let page = text_of(&night.member.get(&path).await.assert_status(200));
    assert!(page.contains("now for a free worker."), "{page}");
    let cancel = format!("{path}/cancel");
    let preview = text_of(&night.member.get(&cancel).await.assert_status(200));
    assert!(preview.contains("Cancel this request?") && preview.contains(&asked.name), "{preview}");
    assert_eq!(world.job(&night.ada, asked.job).await["state"], "queued", "a preview changes nothing");
    night.viewer.post(&cancel, &[]).await.assert_status(403);
    night.stranger.post(&cancel, &[]).await.assert_status(401);
    night.member.post(&cancel, &[]).await.assert_status(303);
    assert_eq!(world.job(&night.ada, asked.job).await["state"], "cancelled");
    assert_eq!(
        world.count("SELECT count(*) FROM audit_log WHERE event_type = 'job.cancel' AND success").await,
        1
    );
    let late = night.member.post(&cancel, &[]).await.assert_status(409);
    assert!(late.text.contains("only a queued job can be cancelled"), "{}", late.text);
    night.member.get(&cancel).await.assert_status(409);
}

#[tokio::test]
async fn failed_job_is_explained_retried_and_discarded() {
    let night = Night::with(World::builder().workers(1)).await;
    let world = &night.world;
    let failed = night.refused_by_github("Group <i>7</i> is unknown").await;
    let path = format!("/jobs/{failed}");
    let page = night.admin.get(&path).await.assert_status(200);
    let text = text_of(&page);
    assert!(text.contains("<i>7</i>") && !page.text.contains("<i>7"), "GitHub's words are escaped");
    assert!(text.contains("It failed,") && text.contains("What to do:"), "{text}");
    let retry = format!("{path}/retry");
    assert!(night.page(&retry).await.contains("Ask for this runner again?"));
    let refused = text_of(&night.admin.post(&retry, &[("reason", "")]).await.assert_status(422));
    assert!(refused.contains("/reason"), "{refused}");
    let made = night.admin.post(&retry, &[("reason", "the group exists")]).await.assert_status(303);
    let new: Uuid = made.header("location").strip_prefix("/jobs/").unwrap().parse().unwrap();
    assert_eq!(world.until_final(&night.ada, new).await["state"], "succeeded");
    let dealt = night.page(&path).await;
    assert!(dealt.contains("root@example.com asked for it again") && !dealt.contains("Discard"), "{dealt}");
    let again = night.admin.post(&retry, &[("reason", "once more")]).await.assert_status(409);
    assert!(text_of(&again).contains("has asked for it again already"), "{}", text_of(&again));

    let other = night.refused_by_github("no").await;
    let page = night.press(&format!("/jobs/{other}/discard"), &[("reason", "nobody waits")]).await;
    assert!(
        page.contains("root@example.com discarded it.") && page.contains("The failed job was discarded."),
        "{page}"
    );
    assert_eq!((night.audit_rows("job.retry").await, night.audit_rows("job.discard").await), (1, 1));
    night.admin.get(&format!("/jobs/{}", Uuid::nil())).await.assert_status(404);
}
