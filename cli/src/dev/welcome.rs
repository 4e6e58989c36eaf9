//! Text shown when everything runs: addresses, tokens and commands to paste.

use github_twin::TwinConfig;

use super::{demo_users, environment::Environment};
use crate::output;

/// Prints the text.
pub(super) fn print(environment: &Environment) -> anyhow::Result<()> {
    let (api, issuer) = (&environment.api, environment.issuer.url());
    output::line("\nEverything runs:");
    let mut places = vec![
        ("dashboard", format!("{api}/  (sign in as demo, admin or viewer with one click)")),
        ("API", format!("{api}/api/v1")),
        ("Swagger UI", format!("{api}/docs")),
        ("OpenAPI", format!("{api}/openapi.json")),
        ("health", format!("{api}/health")),
        ("metrics", format!("{api}/metrics")),
        ("issuer", issuer.to_owned()),
    ];
    match &environment.twin {
        Some(twin) => {
            let config = TwinConfig::default();
            let whose = format!(
                "organisation {}, App {}, installation {}",
                config.org, config.app_id, config.installation_id
            );
            places.push(("GitHub twin", format!("{}  ({whose})", twin.url())));
            places.push(("its control", twin.control_url().unwrap_or_default()));
        }
        None => places.push(("GitHub", format!("the real one: {}", environment.github))),
    }
    if let Some(database) = &environment.database {
        places.push(("database", database.clone()));
    }
    for (what, path) in &environment.secrets {
        places.push((what, path.display().to_string()));
    }
    for (name, place) in places {
        output::line(format_args!("  {name:<12} {place}"));
    }
    tokens(environment)?;
    paste(environment);
    output::line("\nCtrl-C ends everything.");
    Ok(())
}

fn tokens(environment: &Environment) -> anyhow::Result<()> {
    let shown = [
        ("demo user", environment.issuer.person_token(demo_users::DEMO)?),
        ("admin", environment.issuer.person_token(demo_users::ADMIN)?),
        ("machine", environment.issuer.machine_token(demo_users::MACHINE)?),
    ];
    output::line("\nTokens for twelve hours:");
    for (name, token) in shown {
        output::line(format_args!("  {name}\n    {token}"));
    }
    Ok(())
}

fn paste(environment: &Environment) {
    let (api, issuer) = (&environment.api, environment.issuer.url());
    let cut = r#"sed 's/.*"access_token":"\([^"]*\)".*/\1/'"#;
    let machine = format!("{}:{}", demo_users::MACHINE, demo_users::MACHINE_SECRET);
    output::line(format_args!(
        "\nTo paste:
  # a fresh token: for a person (sub=demo or sub=admin), or for the machine client
  TOKEN=$(curl -s {issuer}/token -d grant_type={grant} -d sub=demo | {cut})
  TOKEN=$(curl -s {issuer}/token -u {machine} -d grant_type=client_credentials | {cut})

  # who am I; a runner in one answer; or as a job to follow
  curl -s {api}/api/v1/auth/me -H \"Authorization: Bearer $TOKEN\"
  curl -s {api}/api/v1/runners/jit -H \"Authorization: Bearer $TOKEN\" -H 'Prefer: wait=20' --json '{body}'
  curl -si {api}/api/v1/runners/jit -H \"Authorization: Bearer $TOKEN\" -H 'Idempotency-Key: build-7' --json '{body}'
  curl -s {api}/api/v1/jobs -H \"Authorization: Bearer $TOKEN\"
  curl -s {api}/api/v1/runners -H \"Authorization: Bearer $TOKEN\"",
        grant = dev_issuer::PERSON_GRANT,
        body = r#"{"runner_name_prefix":"ci","labels":["self-hosted","linux","gpu-large"]}"#,
    ));
    let Some(twin) = &environment.twin else { return };
    let control = twin.control_url().unwrap_or_default();
    let id = twin.runners().last().map_or(1, |runner| runner.id);
    output::line(format_args!(
        "
  # the twin: its runners; one comes online; the next answer is lost; what it saw
  curl -s {control}/runners
  curl -s -X PATCH {control}/runners/{id} --json '{{\"status\":\"online\"}}'
  curl -s {control}/faults --json '{{\"path\":\"generate-jitconfig\",\"times\":1,\"kind\":\"effect_then_drop\"}}'
  curl -s {control}/ledger/summary"
    ));
}
