//! `rts login` and `rts logout`.

use std::{
    io::{self, IsTerminal, Read},
    process::{Command, Stdio},
};

use clap::Args;
use domain::Secret;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use crate::{
    args::CommonArgs,
    connection::{
        ApiClient, Credentials, Loopback, NewCredential, Profile, Profiles, Provider, ServiceUrl,
        SignInOffer, Tokens, check_profile_name, check_token,
    },
    environment::Environment,
    error::ClientError,
    output::print::note,
};

/// Most bytes of a token on stdin.
const MAX_INPUT: u64 = 64 * 1024;
/// Most bytes of a scope.
const MAX_SCOPE: usize = 200;
/// Name of a profile where none is given.
const DEFAULT_PROFILE: &str = "default";

/// Arguments of `rts login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Sign in with a browser on this machine.
    #[arg(long, conflicts_with_all = ["device", "with_token"])]
    web: bool,
    /// Sign in with a code that you enter on any device. This is the default.
    #[arg(long, conflicts_with = "with_token")]
    device: bool,
    /// Read the token from stdin, instead of signing in.
    #[arg(long)]
    with_token: bool,
    /// Issuer to sign in at, where the service has several.
    #[arg(long, value_name = "URL", conflicts_with = "with_token")]
    issuer: Option<String>,
    /// Scopes to ask for, separated by commas, instead of those that the service names.
    #[arg(
        long,
        value_name = "SCOPE",
        value_delimiter = ',',
        value_parser = scope,
        conflicts_with = "with_token"
    )]
    scopes: Vec<String>,
}

/// Arguments of `rts logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// Forget the tokens of all profiles.
    #[arg(long, alias = "every-profile")]
    all: bool,
}

/// Answer of `GET /auth/config`.
#[derive(Deserialize)]
struct SignInConfig {
    issuers: Vec<SignInOffer>,
}

/// Signs in and stores the token in a profile, once the service has accepted it.
pub(crate) async fn login(common: &CommonArgs, args: &LoginArgs) -> Result<(), ClientError> {
    let environment = Environment::from_process();
    let mut profiles = Profiles::read(&environment)?;
    let name = profile_name(common, &environment, &profiles)?;
    let known = profiles.profiles.get(&name).cloned();
    let url = common.connection.url.clone().or_else(|| environment.get("RTS_URL").map(str::to_owned));
    let url = url.or_else(|| known.as_ref().map(|profile| profile.url.clone()));
    let url = url.ok_or_else(|| ClientError::Usage("which service? Set --url".to_owned()))?;
    let service = ServiceUrl::parse(&url)?;
    let (tokens, offer) = if args.with_token {
        (Tokens { bearer: read_token()?, refresh: None, expires_at: None }, None)
    } else {
        let mut offer = choose_offer(&service, args.issuer.as_deref()).await?;
        if !args.scopes.is_empty() {
            offer.scopes.clone_from(&args.scopes);
        }
        let tokens = if args.web { use_browser(&offer).await? } else { confirm_code(&offer).await? };
        (tokens, Some(offer))
    };
    let client = ApiClient::with_token(service.clone(), tokens.bearer.clone())?;
    let me = client.send(client.request(Method::GET, &["auth", "me"])).await?.body;
    let new = NewCredential { service: &service, tokens: &tokens, offer: offer.as_ref() };
    Credentials::store(&environment, &name, &new)?;
    let profile =
        Profile { url: service.as_str().to_owned(), team: None, output: None, credential_command: None };
    let profile = known.map_or(profile, |known| Profile { url: service.as_str().to_owned(), ..known });
    profiles.profiles.insert(name.clone(), profile);
    profiles.current.get_or_insert_with(|| name.clone());
    profiles.write(&environment)?;
    let identity = crate::output::scalar(&me["identity"]);
    note(format_args!("signed in to {} as {identity}; profile {name}", service.host()));
    Ok(())
}

/// Checks a scope: visible ASCII characters other than `"` and `\` (RFC 6749, section 3.3).
fn scope(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let good = (1..=MAX_SCOPE).contains(&text.len()) && text.bytes().all(allowed);
    if good {
        Ok(text.to_owned())
    } else {
        Err("visible ASCII characters without quotes and spaces".to_owned())
    }
}

/// Asks the service where to sign in.
async fn choose_offer(service: &ServiceUrl, issuer: Option<&str>) -> Result<SignInOffer, ClientError> {
    let client = ApiClient::new(service.clone(), None)?;
    let answer = client.send(client.request(Method::GET, &["auth", "config"])).await?.body;
    let config: SignInConfig = serde_json::from_value(answer)
        .map_err(|_| ClientError::Failed("the service does not say where to sign in".to_owned()))?;
    let mut offers = config.issuers.into_iter();
    let found = match issuer {
        Some(issuer) => offers.find(|offer| offer.issuer == issuer),
        None => offers.next(),
    };
    let none = || {
        ClientError::Usage(format!("{} offers no sign-in for this program; use --with-token", service.host()))
    };
    found.ok_or_else(none)
}

/// Shows a code and waits until the person has entered it at the provider.
async fn confirm_code(offer: &SignInOffer) -> Result<Tokens, ClientError> {
    let provider = Provider::discover(&offer.issuer).await?;
    let code = provider.begin(offer).await?;
    let text = crate::output::plain(&code.user_code);
    if let Some(page) = &code.verification_uri_complete {
        note(format_args!("open {} and compare the code {text}", crate::output::plain(page)));
    } else {
        let page = crate::output::plain(&code.verification_uri);
        note(format_args!("open {page} and enter the code {text}"));
    }
    provider.await_confirmation(offer, &code).await
}

/// Shows a page of the provider and waits until the person has signed in on it.
async fn use_browser(offer: &SignInOffer) -> Result<Tokens, ClientError> {
    let provider = Provider::discover(&offer.issuer).await?;
    let loopback = Loopback::open().await?;
    let page = loopback.page(provider.authorization_endpoint()?, offer);
    note(format_args!("open this page on this machine to sign in:\n{page}"));
    if io::stderr().is_terminal() {
        open_page(&page);
    }
    let code = loopback.await_code(&offer.issuer).await?;
    provider.redeem(offer, &code).await
}

/// Opens a page in the person's browser. They can open it themselves where this fails.
fn open_page(page: &Url) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(page.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.spawn().is_err() {
        note(format_args!("{program} is not there; open the page yourself"));
    }
}

/// Forgets tokens. The provider's session is not ended.
pub(crate) fn logout(common: &CommonArgs, args: &LogoutArgs) -> Result<(), ClientError> {
    let environment = Environment::from_process();
    let profiles = Profiles::read(&environment)?;
    let name = profile_name(common, &environment, &profiles)?;
    Credentials::forget(&environment, (!args.all).then_some(name.as_str()))?;
    note(if args.all {
        "all tokens are forgotten".to_owned()
    } else {
        format!("the token of {name} is forgotten")
    });
    Ok(())
}

fn profile_name(
    common: &CommonArgs,
    environment: &Environment,
    profiles: &Profiles,
) -> Result<String, ClientError> {
    let named = common.connection.profile.as_deref().or_else(|| environment.get("RTS_PROFILE"));
    let name = named.or(profiles.current.as_deref()).unwrap_or(DEFAULT_PROFILE);
    check_profile_name(name).map_err(|fault| ClientError::Usage(format!("the profile's name: {fault}")))
}

/// Reads a token from stdin, which must not be a terminal.
pub(super) fn read_token() -> Result<Secret, ClientError> {
    if io::stdin().is_terminal() {
        return Err(ClientError::Usage(
            "pipe the token into this command: a typed one would be shown".to_owned(),
        ));
    }
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text);
    read.map_err(|error| ClientError::Usage(format!("stdin: {error}")))?;
    let token = Secret::new(text.trim());
    check_token(&token).map_err(|fault| ClientError::SignedOut(format!("the token on stdin: {fault}")))?;
    Ok(token)
}
