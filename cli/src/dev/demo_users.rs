//! Who there is in a development world.

use std::time::Duration;

use github_twin::{Client, IssuerConfig, Person};

/// Subject of the person who runs the main job.
pub(crate) const DEMO: &str = "demo";
/// Subject of the admin.
pub(crate) const ADMIN: &str = "admin";
/// Client id of the machine client.
pub(crate) const MACHINE: &str = "demo-ci";
/// Its secret, worthless outside.
pub(crate) const MACHINE_SECRET: &str = "demo-ci-secret";
/// The team they belong to.
pub(crate) const TEAM: &str = "demo";
/// Who the tokens are for.
pub(crate) const AUDIENCE: &str = "runner-tokens";

/// How long a token of the development issuer lives: a working day.
const TOKEN_LIFE: Duration = Duration::from_hours(12);

/// The issuer of these people's tokens.
pub(crate) fn issuer() -> IssuerConfig {
    IssuerConfig {
        audience: AUDIENCE.to_owned(),
        clients: vec![Client { id: MACHINE.to_owned(), secret: MACHINE_SECRET.to_owned() }],
        people: vec![person(DEMO, "Demo User"), person(ADMIN, "Admin")],
        life: TOKEN_LIFE,
        ..IssuerConfig::default()
    }
}

/// Somebody at example.com.
pub(crate) fn person(sub: &str, name: &str) -> Person {
    Person { sub: sub.to_owned(), email: email(sub), name: name.to_owned() }
}

/// Their e-mail address.
pub(crate) fn email(sub: &str) -> String {
    format!("{sub}@example.com")
}
