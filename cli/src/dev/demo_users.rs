//! Users, machine client and issuer of the development environment.

use std::time::Duration;

use dev_issuer::{Client, IssuerConfig, Person};

/// Subject of the user who provisions the runner.
pub(crate) const DEMO: &str = "demo";
/// Subject of the admin.
pub(crate) const ADMIN: &str = "admin";
/// Subject of the viewer.
pub(crate) const VIEWER: &str = "viewer";
/// Client id of the dashboard.
pub(crate) const DASHBOARD: &str = "dashboard";
/// Client id of the command line.
pub(crate) const COMMAND_LINE: &str = "rts-cli";
/// Client id of the machine client.
pub(crate) const MACHINE: &str = "demo-ci";
/// Secret of the machine client, worthless outside of the environment.
pub(crate) const MACHINE_SECRET: &str = "demo-ci-secret";
/// Name of the team they belong to.
pub(crate) const TEAM: &str = "demo";
/// Audience of the tokens.
pub(crate) const AUDIENCE: &str = "runner-tokens";

/// Lifetime of a token of the development issuer: a working day.
const TOKEN_LIFE: Duration = Duration::from_hours(12);

/// Returns the configuration of the development issuer.
pub(crate) fn issuer() -> IssuerConfig {
    IssuerConfig {
        audience: AUDIENCE.to_owned(),
        clients: vec![Client { id: MACHINE.to_owned(), secret: MACHINE_SECRET.to_owned() }],
        people: vec![person(DEMO, "Demo User"), person(ADMIN, "Admin"), person(VIEWER, "Viewer")],
        life: TOKEN_LIFE,
        ..IssuerConfig::default()
    }
}

/// Returns a person at example.com.
pub(crate) fn person(sub: &str, name: &str) -> Person {
    Person { sub: sub.to_owned(), email: email(sub), name: name.to_owned() }
}

/// Returns the e-mail address of the person with this subject.
pub(crate) fn email(sub: &str) -> String {
    format!("{sub}@example.com")
}
