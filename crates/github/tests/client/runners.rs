use std::sync::Arc;

use github::{Deletion, GitHub, GitHubError, JitConfigRequest, Listing, Scope, Verdict};

use crate::fake::{Fake, Memory, client, give, pat_settings, runner};

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
async fn a_jit_config_is_read_as_documented() {
    let body = format!(r#"{{"runner":{},"encoded_jit_config":"YmxvYg=="}}"#, runner(23, "rts-1"));
    let fake = Fake::start(move |_, _| give(201, body.clone()).with("x-github-request-id", "AB:12")).await;
    let config = fake.pat().create_jit_config(&jit()).await.unwrap();
    assert_eq!((config.runner.id, config.encoded.expose()), (23, "YmxvYg=="));
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
async fn a_jit_answer_that_cannot_be_read_is_unclear_and_stays_secret() {
    for body in [r#"{"encoded_jit_config":"canary"}"#, r#"{"runner":"canary"}"#, "canary"] {
        let fake = Fake::start(move |_, _| give(201, body)).await;
        let error = fake.pat().create_jit_config(&jit()).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::Unclear);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn a_taken_name_is_a_conflict_of_its_own_kind() {
    let taken = r#"{"message":"Already exists - A runner with the name *** already exists."}"#;
    for (body, expected) in [(taken, true), (r#"{"message":"Something else"}"#, false)] {
        let fake = Fake::start(move |_, _| give(409, body)).await;
        let error = fake.pat().create_jit_config(&jit()).await.unwrap_err();
        assert!(matches!(error, GitHubError::Conflict { already_exists, .. } if already_exists == expected));
    }
}

#[tokio::test]
async fn a_runner_is_absent_only_on_githubs_own_word() {
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
async fn a_deletion_has_three_good_ends() {
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
    assert_eq!(github.delete_runner(5).await.unwrap_err().verdict(), Verdict::Operator);
}

#[tokio::test]
async fn a_name_is_compared_here_over_all_pages() {
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
async fn links_that_go_in_circles_end_the_walk() {
    let fake =
        Fake::start(|_, _| give(200, page(&[])).with("link", "<http://h/x?page=1>; rel=\"next\"")).await;
    assert!(matches!(fake.pat().find_runner("a").await, Err(GitHubError::Malformed { .. })));
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn a_page_can_be_asked_for_conditionally() {
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
