//! Private keys and personal access tokens in files.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use github::{Credential, GitHub, KeyError, KeySource, NoopObserver, SettingsError, TokenSource};

use crate::fake::{Fake, Key, app_settings, client, give, pat_settings};

/// A private key file, removed when dropped.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("key-{}.pem", uuid::Uuid::new_v4())));
        file.write(text);
        file.mode(0o600);
        file
    }
    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }
    fn mode(&self, mode: u32) {
        std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    fn touch(&self, at: DateTime<Utc>) {
        std::fs::File::open(&self.0).unwrap().set_modified(at.into()).unwrap();
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn changed_key_is_used_and_a_broken_one_is_not() {
    let fake = Fake::start(|_, _| give(200, r#"{"id":1,"name":"app"}"#)).await;
    let (first, second) = (Key::new(), Key::new());
    let file = KeyFile::new(&first.pem);
    let github = client(app_settings(&fake.url(), KeySource::File(file.0.clone())));
    github.get_app().await.unwrap();
    file.write(&second.pem);
    file.touch(Utc::now() + TimeDelta::seconds(10));
    github.get_app().await.unwrap();
    file.write("half a ke");
    github.get_app().await.unwrap();
    let calls = fake.calls();
    assert!(first.open(calls[0].bearer()).is_some());
    assert!(second.open(calls[1].bearer()).is_some());
    assert!(second.open(calls[2].bearer()).is_some());
}

#[tokio::test]
async fn changed_personal_token_is_used_and_an_empty_one_is_not() {
    let fake = Fake::start(|_, _| give(200, r#"{"total_count":0,"runners":[]}"#)).await;
    let file = KeyFile::new("ghp_first\n");
    let mut settings = pat_settings(&fake.url());
    settings.credential = Credential::Pat(TokenSource::File(file.0.clone()));
    let github = client(settings);
    github.list_runners(1, 1, None).await.unwrap();
    file.write("ghp_another\n");
    github.list_runners(1, 1, None).await.unwrap();
    file.write("\n");
    github.list_runners(1, 1, None).await.unwrap();
    let sent: Vec<_> = fake.calls().iter().map(|call| call.bearer().to_owned()).collect();
    assert_eq!(sent, ["ghp_first", "ghp_another", "ghp_another"]);
}

#[tokio::test]
async fn world_readable_key_is_refused_unless_allowed() {
    let file = KeyFile::new(&Key::new().pem);
    file.mode(0o644);
    let mut settings = app_settings("http://127.0.0.1:1", KeySource::File(file.0.clone()));
    let error = GitHub::new(settings.clone(), Arc::new(NoopObserver)).unwrap_err();
    assert!(matches!(error, SettingsError::Key(KeyError::WorldReadable(_))));
    settings.allow_insecure_key = true;
    assert!(GitHub::new(settings, Arc::new(NoopObserver)).is_ok());
}

#[tokio::test]
async fn invalid_rsa_key_stops_the_start() {
    for text in ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        let settings = app_settings("http://127.0.0.1:1", KeySource::Pem(domain::Secret::new(text)));
        let error = GitHub::new(settings, Arc::new(NoopObserver)).unwrap_err();
        assert!(matches!(error, SettingsError::Key(KeyError::NotRsa)), "{text}");
    }
}
