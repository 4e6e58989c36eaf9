//! Authorization matrix: every operation of the API description, by every kind of caller.
//!
//! The table in [`rules`] says who may do what. An operation without a rule fails the test, and so does a rule without
//! an operation.

mod rules;

use std::collections::BTreeSet;

use harness::{Anyone, ApiRequest, Bearer, Machine, Person, Team, World, provision_body, team_draft};
use serde_json::{Value, json};
use uuid::Uuid;

use self::rules::{Answer, RULES, Rule, Who};

/// The teams and callers of the matrix.
struct Scene {
    world: World,
    red: Team,
    unknown: String,
    inactive: Person,
    member: Person,
    outsider: Person,
    viewer: Person,
    machine: Machine,
    idle_machine: Machine,
    admin: Person,
}

async fn scene() -> Scene {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let closed = world.team(team_draft("closed")).await;
    let scene = Scene {
        unknown: world.token(&json!({ "sub": "stranger" })),
        inactive: world.user("inactive", &[&red]).await,
        member: world.user("member", &[&red]).await,
        outsider: world.user("outsider", &[&blue]).await,
        viewer: world.viewer("viewer").await,
        machine: world.machine("machine", &red).await,
        idle_machine: world.machine("idle", &closed).await,
        admin: world.admin().await,
        red,
        world,
    };
    scene.world.change("UPDATE users SET is_active = false WHERE id = $1", scene.inactive.id.uuid()).await;
    scene.world.change("UPDATE teams SET is_active = false WHERE id = $1", closed.id.uuid()).await;
    scene
}

/// Resources made for one request, so that no request sees the effects of another one.
struct Resources {
    runner: Uuid,
    job: Uuid,
    user: Uuid,
    client: Uuid,
    ticket: Uuid,
}

impl Scene {
    /// Makes the resources that a path names: all of team red, the runner and its job requested by its member.
    async fn resources(&self, path: &str) -> Resources {
        let name = format!("r{}", Uuid::new_v4().simple());
        let mut made = Resources {
            runner: Uuid::nil(),
            job: Uuid::nil(),
            user: Uuid::nil(),
            client: Uuid::nil(),
            ticket: Uuid::nil(),
        };
        if path.contains("{ticket_id}") {
            let body = json!({ "runner_name_prefix": "vm", "addresses": ["127.0.0.1"] });
            let asked = self.world.ask("POST", "/runners/tickets").by(&self.member).json(&body).send().await;
            made.ticket = asked.assert_status(201).body["ticket_id"].as_str().unwrap().parse().unwrap();
        }
        if path.contains("{runner_id}") || path.contains("{job_id}") {
            let accepted = self.world.provision(&self.member, provision_body("ci")).await;
            (made.runner, made.job) = (accepted.runner, accepted.job);
        }
        if path.contains("{user_id}") {
            made.user = self.world.user(&name, &[&self.red]).await.id.uuid();
        }
        if path.contains("/oauth-clients/{id}") {
            made.client = self.world.machine(&name, &self.red).await.id.uuid();
        }
        made
    }

    async fn path(&self, path: &str) -> String {
        let made = self.resources(path).await;
        let parts = path.split('/').map(|part| match part {
            "{team_id}" => self.red.id.to_string(),
            "{runner_id}" => made.runner.to_string(),
            "{job_id}" => made.job.to_string(),
            "{user_id}" => made.user.to_string(),
            "{ticket_id}" => made.ticket.to_string(),
            "{id}" => made.client.to_string(),
            "{lane}" => "provision".to_owned(),
            other if other.starts_with('{') => Uuid::nil().to_string(),
            other => other.to_owned(),
        });
        parts.collect::<Vec<_>>().join("/")
    }

    fn bearer(&self, who: Who) -> &dyn Bearer {
        match who {
            Who::NoToken => &Anyone,
            Who::BadToken => &BadToken,
            Who::Unknown => &self.unknown,
            Who::Inactive => &self.inactive,
            Who::Member => &self.member,
            Who::Outsider => &self.outsider,
            Who::Viewer => &self.viewer,
            Who::Machine => &self.machine,
            Who::IdleMachine => &self.idle_machine,
            Who::Admin => &self.admin,
        }
    }

    /// Returns a request to an operation about resources that exist, with the smallest body.
    async fn request(&self, rule: &Rule, who: Who) -> ApiRequest {
        let request = self.world.request(rule.method, &self.path(rule.path).await).by(self.bearer(who));
        if rule.method == "GET" { request } else { request.json(&json!({})) }
    }

    /// Returns the status and the problem code of an answer. The body of a stream is not read.
    async fn answer(&self, rule: &Rule, who: Who) -> (u16, String) {
        if rule.path.ends_with("/events")
            && let Some(stream) = self.request(rule, who).await.try_open().await
        {
            return (stream.status().as_u16(), String::new());
        }
        let answer = self.request(rule, who).await.send().await;
        (answer.status, answer.code().to_owned())
    }
}

struct BadToken;

impl Bearer for BadToken {
    fn token(&self) -> Option<&str> {
        Some("not.a.token")
    }
}

/// Returns method and path of every operation of the description.
fn operations() -> BTreeSet<(String, String)> {
    // Equal to docs/openapi.json, as another test proves.
    let description: Value = serde_json::to_value(api::description()).unwrap();
    let paths = description["paths"].as_object().unwrap().iter();
    let methods = ["get", "post", "put", "patch", "delete"];
    paths
        .flat_map(|(path, item)| {
            let described =
                item.as_object().unwrap().keys().filter(|method| methods.contains(&method.as_str()));
            described.map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

#[test]
fn every_operation_has_one_rule() {
    let ruled: Vec<(String, String)> =
        RULES.iter().map(|rule| (rule.method.to_owned(), rule.path.to_owned())).collect();
    let known: BTreeSet<_> = ruled.iter().cloned().collect();
    assert_eq!(known.len(), ruled.len(), "an operation has two rules");
    let described = operations();
    let missing: Vec<_> = described.difference(&known).collect();
    assert!(missing.is_empty(), "say in authorization/rules.rs who may call {missing:?}");
    let stale: Vec<_> = known.difference(&described).collect();
    assert!(stale.is_empty(), "rules without an operation: {stale:?}");
}

#[tokio::test]
async fn every_caller_gets_exactly_what_the_rules_say() {
    let scene = scene().await;
    let mut faults = Vec::new();
    for rule in RULES {
        for who in Who::ALL {
            let Answer(status, code) = rule.expected(*who);
            let seen = scene.answer(rule, *who).await;
            if seen != (status, code.to_owned()) {
                faults.push(format!(
                    "{} {} by {who:?}: {seen:?} instead of {:?}",
                    rule.method,
                    rule.path,
                    (status, code)
                ));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        RULES.len() * Who::ALL.len(),
        faults.join("\n")
    );
}
