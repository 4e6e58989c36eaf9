//! Calls for runners, JIT configs and runner groups.

use std::sync::Arc;

use github::{Deletion, GitHub, GitHubError, JitConfigRequest, Listing, RetryAdvice, Scope};

use crate::fake::{Fake, Memory, client, give, jit_answer, pat_settings, runner};

fn jit() -> JitConfigRequest {
    JitConfigRequest {
        name: "rts-1".into(),
        runner_group_id: 3,
        labels: vec!["linux".into(), "gpu".into()],
        work_folder: "_work".into(),
    }
}

fn page(runners: &[String]) -> String {
    format!(r#"{{"total_count":{},"runners":[{}]}}"#, runners.len(), runners.join(","))
}

#[tokio::test]
async fn jit_config_is_read_as_documented() {
    let (body, encoded) = jit_answer(23, "rts-1");
    let fake = Fake::start(move |_, _| give(201, body.clone()).with("x-github-request-id", "AB:12")).await;
    let config = fake.pat().create_jit_config(&jit()).await.unwrap();
    assert_eq!((config.runner.id, config.encoded.expose()), (23, encoded.as_str()));
    assert_eq!(config.request_id.as_deref(), Some("AB:12"));
    let labels = config.runner.labels;
    assert!(labels[0].read_only && !labels[1].read_only, "a label needs neither id nor type");
    assert_eq!((config.runner.version, config.runner.ephemeral), (None, None));
    let seen = &fake.calls()[0];
    assert_eq!(seen.path, "/orgs/acme/actions/runners/generate-jitconfig");
    let sent: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    let expected = serde_json::json!({
        "name": "rts-1", "runner_group_id": 3, "labels": ["linux", "gpu"], "work_folder": "_work"
    });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn jit_answer_that_cannot_be_read_is_unclear_and_stays_secret() {
    let other_runner = jit_answer(23, "canary-other").0;
    let no_id = jit_answer(0, "rts-1").0;
    let config =
        |config: &str| format!(r#"{{"runner":{},"encoded_jit_config":"{config}"}}"#, runner(23, "rts-1"));
    let bodies = [other_runner, no_id, config(""), config("Y2FuYXJ5"), config("canary"), config("e30=")];
    let unreadable = [r#"{"encoded_jit_config":"canary"}"#, r#"{"runner":"canary"}"#, "canary"];
    for body in bodies.into_iter().chain(unreadable.map(str::to_owned)) {
        let fake = Fake::start(move |_, _| give(201, body.clone())).await;
        let error = fake.pat().create_jit_config(&jit()).await.unwrap_err();
        assert_eq!(error.retry_advice(), RetryAdvice::Unclear);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn taken_name_is_reported_as_already_existing() {
    let taken = r#"{"message":"Already exists - A runner with the name *** already exists."}"#;
    for (body, expected) in [(taken, true), (r#"{"message":"Something else"}"#, false)] {
        let fake = Fake::start(move |_, _| give(409, body)).await;
        let error = fake.pat().create_jit_config(&jit()).await.unwrap_err();
        assert!(matches!(error, GitHubError::Conflict { already_exists, .. } if already_exists == expected));
    }
}

#[tokio::test]
async fn runner_is_absent_only_on_githubs_own_404() {
    let fake = Fake::start(|_, n| match n {
        1 => give(404, r#"{"message":"Not Found","documentation_url":"https://docs"}"#),
        2 => give(404, "<html>404</html>"),
        _ => give(200, runner(7, "a")),
    })
    .await;
    let github = fake.pat();
    assert_eq!(github.get_runner(7).await.unwrap(), None);
    assert!(matches!(github.get_runner(7).await, Err(GitHubError::Refused { status: 404, .. })));
    assert_eq!(github.get_runner(7).await.unwrap().unwrap().id, 7);
}

#[tokio::test]
async fn runner_with_another_id_is_refused() {
    let fake = Fake::start(|_, _| give(200, runner(8, "a"))).await;
    let error = fake.pat().get_runner(7).await.unwrap_err();
    assert!(matches!(error, GitHubError::Malformed { .. }), "{error:?}");
    assert_eq!(error.retry_advice(), RetryAdvice::Retry);
}

#[tokio::test]
async fn one_odd_entry_does_not_fail_a_page() {
    let odd = [
        r#"{"id":5,"name":"no labels","os":"linux","status":"online","busy":false,"labels":null}"#,
        r#"{"id":6,"name":"x","os":"linux","status":"online","busy":false,"labels":[{"id":1}]}"#,
        r#"{"name":"no id","status":"online","busy":false,"labels":[]}"#,
        r#"{"id":7,"name":"lone \ud800 surrogate","os":1,"status":"online","busy":false,"labels":[],"version":[]}"#,
        r#"{"id":8,"name":"a\u0000b","os":null,"status":"offline","busy":false,"labels":[{"name":"gpu","type":7}]}"#,
        "null",
    ];
    let entries: Vec<String> = odd.iter().map(|text| (*text).to_owned()).chain([runner(1, "good")]).collect();
    let fake = Fake::start(move |_, _| give(200, page(&entries))).await;
    let Listing::Page(page) = fake.pat().list_runners(1, 100, None).await.unwrap() else { panic!() };
    let read: Vec<_> = page.runners.iter().map(|runner| (runner.id, runner.name.as_str())).collect();
    assert_eq!(read, [(7, "lone \u{fffd} surrogate"), (8, "a\u{fffd}b"), (1, "good")]);
    assert_eq!(page.unreadable, [Some(5), Some(6), None, None]);
    assert_eq!(page.total_count, 7);
    assert_eq!(fake.pat().find_runner("good").await.unwrap().unwrap().id, 1);
}

#[tokio::test]
async fn unusable_registration_token_is_refused() {
    for token in ["", " ", "a b", "a\\u0000"] {
        let body = format!(r#"{{"token":"{token}","expires_at":"2999-11-22T10:00:00Z"}}"#);
        let fake = Fake::start(move |_, _| give(201, body.clone())).await;
        let error = fake.pat().create_registration_token().await.unwrap_err();
        assert!(matches!(error, GitHubError::Malformed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn moved_organisation_is_read_at_its_new_place() {
    for status in [301, 302, 307, 308] {
        let fake = Fake::start(move |seen, _| {
            if seen.path.starts_with("/organizations/7/") {
                give(200, runner(7, "a"))
            } else {
                let there = format!("http://{}/organizations/7/runners/7", seen.all("host")[0]);
                give(status, r#"{"message":"Moved Permanently"}"#).with("location", there)
            }
        })
        .await;
        let github = fake.pat();
        assert_eq!(github.get_runner(7).await.unwrap().unwrap().id, 7);
        assert_eq!(fake.calls().len(), 2);
        assert!(fake.calls().iter().all(|call| call.bearer() == "ghp_canary"));
        let error = github.delete_runner(7).await.unwrap_err();
        assert_eq!(error.retry_advice(), RetryAdvice::NeedsOperator);
        let text = error.to_string();
        assert!(text.contains("renamed") && text.contains("/organizations/7/runners/7"), "{text}");
        assert_eq!(fake.calls().len(), 3, "a write is not sent anywhere else");
    }
}

#[tokio::test]
async fn redirect_to_another_host_or_in_a_loop_is_not_followed() {
    let elsewhere = Fake::start(|_, _| give(200, runner(7, "a"))).await;
    let url = elsewhere.url();
    let fake = Fake::start(move |_, _| give(302, "").with("location", format!("{url}/x"))).await;
    let error = fake.pat().get_runner(7).await.unwrap_err();
    assert!(matches!(error, GitHubError::Refused { status: 302, .. }), "{error:?}");
    assert!(elsewhere.calls().is_empty(), "a token goes to no other host");
    let circle = Fake::start(|seen, _| give(307, "").with("location", seen.path.clone())).await;
    assert!(circle.pat().get_runner(7).await.is_err());
    assert_eq!(circle.calls().len(), 4);
}

#[tokio::test]
async fn deletion_reports_deleted_gone_or_busy() {
    let fake = Fake::start(|_, n| match n {
        1 => give(204, ""),
        2 => give(404, r#"{"message":"Not Found"}"#),
        3 => give(422, r#"{"message":"Runner is currently running a job and cannot be deleted."}"#),
        4 => give(404, "proxy"),
        _ => give(403, r#"{"message":"Resource not accessible by integration"}"#),
    })
    .await;
    let github = fake.pat();
    assert_eq!(github.delete_runner(5).await.unwrap(), Deletion::Deleted);
    assert_eq!(github.delete_runner(5).await.unwrap(), Deletion::Gone);
    assert_eq!(github.delete_runner(5).await.unwrap(), Deletion::Busy);
    assert!(github.delete_runner(5).await.is_err());
    assert_eq!(github.delete_runner(5).await.unwrap_err().retry_advice(), RetryAdvice::NeedsOperator);
}

#[tokio::test]
async fn name_is_compared_exactly_over_all_pages() {
    let fake = Fake::start(|seen, _| {
        if seen.path.ends_with("page=1") {
            let link = "<http://elsewhere.example/orgs/acme/actions/runners?page=2>; rel=\"next\"";
            give(200, page(&[runner(1, "rts-10"), runner(2, "my-rts-1")])).with("link", link)
        } else {
            give(200, page(&[runner(3, "RTS-1")]))
        }
    })
    .await;
    assert_eq!(fake.pat().find_runner("rts-1").await.unwrap().unwrap().id, 3);
    assert!(fake.pat().find_runner("rts").await.unwrap().is_none());
    assert_eq!(fake.calls().len(), 4);
}

#[tokio::test]
async fn looping_links_end_the_listing() {
    let fake =
        Fake::start(|_, _| give(200, page(&[])).with("link", "<http://h/x?page=1>; rel=\"next\"")).await;
    assert!(matches!(fake.pat().find_runner("a").await, Err(GitHubError::Malformed { .. })));
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn page_is_listed_conditionally() {
    let fake = Fake::start(|seen, _| match seen.all("if-none-match").as_slice() {
        [] => give(200, page(&[runner(1, "a")]))
            .with("etag", "W/\"abc\"")
            .with("link", "<http://h/x?per_page=1&page=3>; rel=\"next\""),
        ["W/\"abc\""] => give(304, ""),
        other => panic!("{other:?}"),
    })
    .await;
    let memory = Arc::new(Memory::default());
    let github = GitHub::new(pat_settings(&fake.url()), Arc::clone(&memory) as _).unwrap();
    let Listing::Page(first) = github.list_runners(2, 1, None).await.unwrap() else { panic!() };
    assert_eq!((first.total_count, first.runners.len(), first.next), (1, 1, Some(3)));
    let again = github.list_runners(2, 1, first.etag.as_deref()).await.unwrap();
    assert_eq!(again, Listing::NotModified);
    assert_eq!(fake.calls()[0].path, "/orgs/acme/actions/runners?per_page=1&page=2");
    assert_eq!(memory.answers()[1].status, Some(304));
}

#[tokio::test]
async fn groups_and_registration_tokens_are_read() {
    let fake = Fake::start(|seen, _| {
        if seen.path.contains("registration-token") {
            give(201, r#"{"token":"canary","expires_at":"2026-11-22T10:00:00.000-08:00"}"#)
        } else {
            give(200, r#"{"total_count":1,"runner_groups":[{"id":1,"name":"Default","default":true}]}"#)
        }
    })
    .await;
    let groups = fake.pat().list_runner_groups().await.unwrap();
    assert!(groups[0].default && groups[0].id == 1);
    let token = fake.pat().create_registration_token().await.unwrap();
    assert_eq!(token.expires_at.timestamp(), 1_795_370_400);
    assert!(!format!("{token:?}").contains("canary"));
    let mut settings = pat_settings(&fake.url());
    settings.scope = Scope::Repo { owner: "a".into(), name: "b".into() };
    assert!(client(settings).list_runner_groups().await.unwrap().is_empty());
    assert_eq!(fake.calls().len(), 2);
}
