//! The GitHub client against the twin: two independent implementations of the same contract.

use std::{sync::Arc, time::Duration};

use domain::Secret;
use github::{
    Credential, Deletion, GitHub, GitHubError, GitHubSettings, JitConfigRequest, KeySource, LimitKind,
    Listing, NoopObserver, RetryAdvice, Scope, Timeouts,
};
use github_twin::{Fault, FaultKind, RunnerChange, RunnerSpec, Twin, TwinConfig, ViolationKind};
use serde_json::json;

struct Seam {
    twin: Twin,
    github: GitHub,
}

impl Seam {
    async fn new() -> Self {
        Self::with(TwinConfig::default()).await
    }

    async fn with(config: TwinConfig) -> Self {
        let (app_id, installation_id) = (config.app_id.to_string(), config.installation_id);
        let scope = Scope::Org(config.org.clone());
        let twin = Twin::start(config).await.unwrap();
        let private_key = KeySource::Pem(Secret::new(twin.app_key().unwrap().private_pem()));
        let credential = Credential::App { app_id, installation_id, private_key };
        let mut settings = GitHubSettings::new(twin.url().parse().unwrap(), scope, credential);
        settings.timeouts = Timeouts { total: Duration::from_secs(2), ..settings.timeouts };
        Self { github: GitHub::new(settings, Arc::new(NoopObserver)).unwrap(), twin }
    }

    async fn make(&self, name: &str) -> Result<i64, GitHubError> {
        let request = JitConfigRequest {
            name: name.into(),
            runner_group_id: 1,
            labels: vec!["self-hosted".into(), "gpu".into()],
            work_folder: "_work".into(),
        };
        self.github.create_jit_config(&request).await.map(|config| config.runner.id)
    }

    fn fault(&self, method: &str, path: &str, kind: FaultKind) {
        self.twin.fault(Fault::once(method, path, kind));
    }

    fn well_behaved(&self) {
        let violations = self.twin.ledger().violations;
        assert!(violations.is_empty(), "{violations:?}");
    }
}

#[tokio::test]
async fn runner_is_created_found_labelled_and_removed() {
    let seam = Seam::with(TwinConfig { base_path: "/api/v3".into(), ..TwinConfig::default() }).await;
    let id = seam.make("Builder-1").await.unwrap();
    let found = seam.github.find_runner("builder-1").await.unwrap().unwrap();
    assert_eq!((found.id, found.status.as_str(), found.busy), (id, "offline", false));
    assert_eq!(seam.github.get_runner(id).await.unwrap(), Some(found));
    let labels = seam.github.set_labels(id, &["other".into()]).await.unwrap().unwrap();
    let labels: Vec<_> = labels.iter().map(|label| (label.name.as_str(), label.read_only)).collect();
    assert_eq!(labels, [("self-hosted", true), ("other", false)]);
    let conflict = seam.make("BUILDER-1").await.unwrap_err();
    assert!(matches!(conflict, GitHubError::Conflict { already_exists: true, .. }), "{conflict:?}");
    assert_eq!(seam.twin.ledger().count(ViolationKind::DuplicateName), 1);

    let github_id = u64::try_from(id).unwrap();
    seam.twin.set_runner(github_id, RunnerChange::busy()).unwrap();
    assert_eq!(seam.github.delete_runner(id).await.unwrap(), Deletion::Busy);
    seam.twin.set_runner(github_id, RunnerChange::offline()).unwrap();
    assert_eq!(seam.github.delete_runner(id).await.unwrap(), Deletion::Deleted);
    assert_eq!(seam.github.delete_runner(id).await.unwrap(), Deletion::Gone);
    assert_eq!(seam.github.get_runner(id).await.unwrap(), None);
    assert_eq!(seam.github.find_runner("builder-1").await.unwrap(), None);
    assert_eq!(seam.github.set_labels(id, &[]).await.unwrap(), None);
}

#[tokio::test]
async fn pages_are_followed_and_requested_once() {
    let seam = Seam::new().await;
    for nth in 0..7 {
        let spec: RunnerSpec = serde_json::from_value(json!({ "name": format!("r-{nth}") })).unwrap();
        seam.twin.create_runner(spec).unwrap();
    }
    let (mut names, mut next, mut first) = (Vec::new(), Some(1), None);
    while let Some(number) = next {
        let Listing::Page(page) = seam.github.list_runners(number, 3, None).await.unwrap() else {
            panic!("304")
        };
        assert_eq!(page.total_count, 7);
        names.extend(page.runners.into_iter().map(|runner| runner.name));
        (next, first) = (page.next, first.or(page.etag));
    }
    names.sort();
    assert_eq!(names, (0..7).map(|nth| format!("r-{nth}")).collect::<Vec<_>>());
    let again = seam.github.list_runners(1, 3, first.as_deref()).await.unwrap();
    assert_eq!(again, Listing::NotModified);
    assert!(seam.github.find_runner("r-6").await.unwrap().is_some());
    assert!(seam.github.find_runner("r").await.unwrap().is_none(), "a part of a name does not match");
    seam.well_behaved();
}

#[tokio::test]
async fn every_fault_is_classified() {
    let seam = Seam::new().await;
    seam.make("first").await.unwrap();
    let unclear = [
        FaultKind::Drop,
        FaultKind::EffectThenDrop,
        FaultKind::Status { status: 500 },
        FaultKind::EffectThenStatus { status: 502 },
        FaultKind::Latency { ms: 3_000 },
    ];
    for (nth, kind) in unclear.into_iter().enumerate() {
        let what = format!("{kind:?}");
        seam.fault("POST", "generate-jitconfig", kind);
        let error = seam.make(&format!("unclear-{nth}")).await.unwrap_err();
        assert_eq!(error.retry_advice(), RetryAdvice::Unclear, "{what}: {error:?}");
    }
    seam.fault("GET", "/runners", FaultKind::Drop);
    assert_eq!(seam.github.find_runner("first").await.unwrap_err().retry_advice(), RetryAdvice::Retry);
    let limits = [
        (FaultKind::SecondaryLimit { status: 403, retry_after: Some(7) }, LimitKind::Secondary, 7),
        (FaultKind::SecondaryLimit { status: 429, retry_after: None }, LimitKind::Secondary, 60),
        (FaultKind::PrimaryLimit { status: 403, reset_in: Some(90) }, LimitKind::Primary, 90),
    ];
    for (fault, kind, wait) in limits {
        seam.fault("POST", "generate-jitconfig", fault);
        match seam.make("limited").await.unwrap_err() {
            GitHubError::Limited { kind: told, wait: asked, .. } => {
                assert_eq!(told, kind);
                assert!(asked.as_secs().abs_diff(wait) <= 2, "{asked:?} for {wait}");
            }
            other => panic!("{other:?}"),
        }
        seam.twin.advance(Duration::from_secs(wait + 2));
    }
    seam.make("last").await.unwrap();
    assert_eq!(seam.twin.runner("limited"), None, "a rate limit proves that nothing happened");
}

#[tokio::test]
async fn tokens_are_minted_when_needed_and_again_when_refused() {
    let seam = Seam::new().await;
    let minted = || seam.twin.ledger().of("POST", "access_tokens").count();
    for nth in 0..3 {
        seam.make(&format!("a-{nth}")).await.unwrap();
    }
    assert_eq!(minted(), 1);
    seam.twin.control().expire_tokens();
    let too_new = seam.make("b").await.unwrap_err();
    assert!(
        matches!(too_new, GitHubError::TokenTooNew { .. }),
        "the new token may not be known yet: {too_new:?}"
    );
    assert_eq!(minted(), 1);
    seam.twin.advance(Duration::from_secs(31));
    seam.make("b").await.unwrap();
    assert_eq!(minted(), 2);
    let (app, installation) =
        (seam.github.get_app().await.unwrap(), seam.github.get_installation().await.unwrap());
    assert_eq!(app.slug.as_deref(), Some("runner-tokens"));
    assert_eq!(installation.account.and_then(|account| account.login).as_deref(), Some("acme"));
    assert_eq!(seam.twin.runners().len(), 4);
}

#[tokio::test]
async fn refusals_differ_from_not_found() {
    let seam = Seam::new().await;
    let strange = JitConfigRequest {
        name: "x".into(),
        runner_group_id: 99,
        labels: vec!["gpu".into()],
        work_folder: "_work".into(),
    };
    let error = seam.github.create_jit_config(&strange).await.unwrap_err();
    assert!(matches!(error, GitHubError::Refused { .. }), "{error:?}");
    let missing = |level| seam.twin.control().permit(5_151_515, "organization_self_hosted_runners", level);
    missing(Some("read")).unwrap();
    assert!(matches!(seam.make("x").await.unwrap_err(), GitHubError::TokenTooNew { .. }));
    seam.twin.advance(Duration::from_secs(31));
    assert_eq!(seam.make("x").await.unwrap_err().retry_advice(), RetryAdvice::NeedsOperator);
    missing(None).unwrap();
    assert_eq!(seam.github.get_runner(1).await.unwrap_err().retry_advice(), RetryAdvice::NeedsOperator);
    seam.twin.control().suspend(5_151_515, true).unwrap();
    assert_eq!(seam.make("x").await.unwrap_err().retry_advice(), RetryAdvice::NeedsOperator);
}
