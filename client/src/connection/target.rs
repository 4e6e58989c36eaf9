//! URL of the service, and the choice between the places that name it.

use std::net::IpAddr;

use url::{Host, Url};

use super::{Profile, Profiles};
use crate::{args::ConnectionArgs, environment::Environment, error::ClientError};

/// URL of a service that a token may be sent to: https, or http on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceUrl(Url);

impl ServiceUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if it is not a plain http or https URL, or would send a token unencrypted.
    pub(crate) fn parse(text: &str) -> Result<Self, ClientError> {
        let fault = |reason: &str| ClientError::Usage(format!("the URL {text:?} {reason}"));
        let mut url = Url::parse(text).map_err(|error| fault(&format!("cannot be read: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(fault("must begin with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ClientError::Usage("the URL must not hold a user name or password".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(fault("must not have a query or fragment"));
        }
        let base = Self({
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&path);
            url
        });
        if !base.is_encrypted() && !base.is_loopback() {
            return Err(fault("would send the token unencrypted; use https://"));
        }
        Ok(base)
    }

    /// Returns whether the service is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
            None => false,
        }
    }

    /// Returns whether the service is asked by https.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns the URL of an API path, given as segments, so that no argument can change the path.
    pub(crate) fn api(&self, segments: &[&str]) -> Url {
        self.below(&["api", "v1"], segments)
    }

    /// Returns the URL of a path as given, with its query.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if the path is not absolute or leads to another host.
    pub(crate) fn raw(&self, path: &str) -> Result<Url, ClientError> {
        let fault = || ClientError::Usage(format!("the path {path:?} must begin with one /"));
        if !path.starts_with('/') || path.starts_with("//") || path.contains(['\\', '#']) {
            return Err(fault());
        }
        let own = ["/api/", "/health", "/metrics", "/openapi.json"];
        let base = self.0.as_str().trim_end_matches('/');
        let prefix = if own.iter().any(|one| path.starts_with(one)) { "" } else { "/api/v1" };
        let url = Url::parse(&format!("{base}{prefix}{path}")).map_err(|_| fault())?;
        if url.origin() == self.0.origin() { Ok(url) } else { Err(fault()) }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Returns the host with its port, as messages name the service.
    pub(crate) fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn below(&self, prefix: &[&str], segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        // A URL with a host always has path segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(prefix).extend(segments);
        }
        url
    }
}

/// The service to talk to, and the profile that named it or holds its token.
#[derive(Debug)]
pub(crate) struct Target {
    /// URL of the service.
    pub(crate) url: ServiceUrl,
    /// Profile in use. Its token is sent only to its own URL.
    pub(crate) profile: Option<(String, Profile)>,
    /// Whether the caller chose the profile by name.
    pub(crate) profile_is_chosen: bool,
}

impl Target {
    /// Chooses `--url`, then the profile named by `--profile` or `RTS_PROFILE`, then `RTS_URL`, then the current profile.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if no place names a URL, or the profile does not exist.
    pub(crate) fn choose(args: &ConnectionArgs, environment: &Environment) -> Result<Self, ClientError> {
        let profiles = Profiles::read(environment)?;
        let chosen = args.profile.as_deref().or_else(|| environment.get("RTS_PROFILE"));
        let name = chosen.or(profiles.current.as_deref()).map(str::to_owned);
        let profile = match &name {
            Some(name) => profiles.profiles.get(name).cloned(),
            None => None,
        };
        if let (Some(name), None) = (chosen, &profile) {
            let known: Vec<_> = profiles.profiles.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
            return Err(ClientError::Usage(format!("there is no profile {name:?}; known are: {known}")));
        }
        let of_profile = || profile.as_ref().map(|profile| profile.url.as_str());
        let from_environment = environment.get("RTS_URL");
        let text = match chosen {
            Some(_) => args.url.as_deref().or_else(of_profile),
            None => args.url.as_deref().or(from_environment).or_else(of_profile),
        };
        let missing = || {
            ClientError::Usage(
                "which service? Set --url or RTS_URL, or make a profile with `rts login`".into(),
            )
        };
        let url = ServiceUrl::parse(text.ok_or_else(missing)?)?;
        Ok(Self { url, profile: name.zip(profile), profile_is_chosen: chosen.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_only_over_tls_or_to_this_machine() {
        for good in
            ["https://runners.example.com", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost"]
        {
            assert!(ServiceUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://runners.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "ftp://x",
            "runners.example.com",
            "https://ada:secret@x",
            "https://x/?a=1",
        ] {
            let error = ServiceUrl::parse(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn arguments_cannot_leave_their_path_segment() {
        let base = ServiceUrl::parse("https://x.example/base/").unwrap();
        assert_eq!(base.api(&["runners"]).as_str(), "https://x.example/base/api/v1/runners");
        let odd = base.api(&["runners", "../admin/teams?x=1"]);
        assert_eq!(odd.as_str(), "https://x.example/base/api/v1/runners/..%2Fadmin%2Fteams%3Fx=1");
        assert_eq!(base.raw("/jobs?limit=1").unwrap().as_str(), "https://x.example/base/api/v1/jobs?limit=1");
        assert_eq!(base.raw("/health/ready").unwrap().as_str(), "https://x.example/base/health/ready");
        for bad in ["jobs", "//evil.example/", "https://evil.example/", "/\\evil"] {
            assert!(base.raw(bad).is_err(), "{bad}");
        }
    }
}
