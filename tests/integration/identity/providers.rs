//! Tokens of the shapes that the guide of identity providers shows.

use harness::{Person, Team, World, team_draft};
use runtime::config::{Mode, OidcConfig, Sources};
use serde_json::{Map, Value, json};

use super::me;

const GUIDE: &str = include_str!("../../../docs/guides/identity-providers.md");
const PROVIDERS: [&str; 8] =
    ["Auth0", "Okta", "Entra", "Keycloak", "Google", "GitHub Actions", "GitLab", "Kubernetes"];

/// A section of the guide.
struct Provider {
    name: &'static str,
    text: &'static str,
}

impl Provider {
    fn block(&self, kind: &str) -> Option<&'static str> {
        Some(self.text.split_once(&format!("```{kind}\n"))?.1.split_once("```")?.0)
    }

    /// Returns a JSON block, issued by the world's issuer.
    fn json(&self, kind: &str, issuer: &str) -> Option<Map<String, Value>> {
        let mut members: Map<String, Value> = serde_json::from_str(self.block(&format!("json {kind}"))?)
            .unwrap_or_else(|e| panic!("{}: {e}", self.name));
        if members.contains_key("issuer") {
            members.insert("issuer".to_owned(), json!(issuer));
        }
        Some(members)
    }
}

fn providers() -> Vec<Provider> {
    let sections = GUIDE.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap());
    sections.map(|(name, text)| Provider { name, text }).collect()
}

/// A world whose issuer stands for each provider in turn: an admin and a team.
struct Scene {
    world: World,
    root: Person,
    team: Team,
}

impl Scene {
    async fn new() -> Self {
        let world = World::builder().workers(0).start().await;
        Self { root: world.admin().await, team: world.team(team_draft("red")).await, world }
    }

    async fn add(&self, path: &str, body: &Map<String, Value>) {
        self.world.post(path, &self.root, &json!(body)).await.assert_status(201);
    }

    /// Checks that a token with this value of one claim is refused.
    async fn refuses(&self, provider: &str, claims: &Map<String, Value>, claim: &str, value: Value) {
        let mut changed = claims.clone();
        changed.insert(claim.to_owned(), value);
        let answer = me(&self.world, &self.world.token(&json!(changed))).await;
        assert!(
            matches!(answer.status, 401 | 403),
            "{provider}, {claim} {}: {}",
            changed[claim],
            answer.text
        );
    }
}

#[test]
fn guide_has_loadable_settings_for_each_provider() {
    let providers = providers();
    assert_eq!(providers.iter().map(|one| one.name).collect::<Vec<_>>(), PROVIDERS);
    let tables: String = providers.iter().map(|one| one.block("toml").unwrap()).collect();
    let sources = Sources::empty(Mode::Production).set("OIDC_ISSUER", "https://first.example");
    let sources = sources.set("OIDC_AUDIENCE", "runner-tokens").toml("rts.toml".as_ref(), &tables).unwrap();
    let config = sources.section::<OidcConfig>().unwrap();
    assert_eq!(config.issuers.len(), PROVIDERS.len() + 1);
    for (provider, issuer) in providers.iter().zip(&config.issuers[1..]) {
        for kind in ["user", "client"] {
            let shown = provider.block(&format!("json {kind}")).map(serde_json::from_str::<Value>);
            let shown = shown.transpose().unwrap();
            assert!(shown.is_none_or(|shown| shown["issuer"] == issuer.issuer.as_str()), "{}", provider.name);
        }
        assert!(issuer.audiences.iter().any(|one| one == "runner-tokens"), "{}", provider.name);
    }
}

#[tokio::test]
async fn people_of_each_provider_are_known_by_tokens_of_its_shape() {
    let scene = Scene::new().await;
    let world = &scene.world;
    for provider in providers().into_iter().filter(|provider| provider.block("json user").is_some()) {
        let (name, issuer) = (provider.name, world.issuer().url());
        let claims = provider.json("person", issuer).unwrap();
        let user = provider.json("user", issuer).unwrap();
        scene.add("/admin/users", &user).await;
        if user.contains_key("email") {
            // A subject of its own: the service remembers for seconds that it does not know one.
            let mut stranger = claims.clone();
            stranger.insert("sub".to_owned(), json!("stranger"));
            scene.refuses(name, &stranger, "email_verified", json!(false)).await;
            scene.refuses(name, &stranger, "email", json!("eve@example.com")).await;
        }
        let answer = me(world, &world.token(&json!(claims))).await.assert_status(200);
        assert_eq!(
            (&answer.body["kind"], &answer.body["oidc_sub"]),
            (&json!("user"), &claims["sub"]),
            "{name}"
        );
        for (claim, value) in [
            ("sub", json!("somebody-else")),
            ("aud", json!("https://graph.example.com")),
            ("iss", json!("https://other.example.com")),
            ("exp", json!(1)),
        ] {
            scene.refuses(name, &claims, claim, value).await;
        }
    }
}

#[tokio::test]
async fn machines_of_each_provider_are_known_by_tokens_of_its_shape() {
    let scene = Scene::new().await;
    let world = &scene.world;
    for provider in providers() {
        let (name, issuer) = (provider.name, world.issuer().url());
        let claims = provider.json("machine", issuer).unwrap();
        let mut client = provider.json("client", issuer).unwrap();
        client.insert("team_id".to_owned(), json!(scene.team.id));
        scene.add("/admin/oauth-clients", &client).await;
        let answer = me(world, &world.token(&json!(claims))).await.assert_status(200);
        assert_eq!(answer.body["kind"], "client", "{name}: {}", answer.text);
        let mut changes = vec![
            ("aud", json!("https://graph.example.com")),
            ("iss", json!("https://other.example.com")),
            ("exp", json!(1)),
            ("given_name", json!("Eve")),
        ];
        if let Some(rule) = client.get("rule") {
            let longer = format!("{}-fork", rule["subject"].as_str().unwrap());
            changes.push(("sub", json!(longer)));
            for (claim, _) in rule["claims"].as_object().into_iter().flatten() {
                changes.push((claim, json!("other")));
                changes.push((claim, Value::Null));
            }
        } else {
            let named = ["azp", "cid"].into_iter().find(|claim| claims.contains_key(*claim)).unwrap();
            let mut other = claims.clone();
            for claim in [named, "client_id", "sub", "preferred_username"] {
                if other.contains_key(claim) {
                    other.insert(claim.to_owned(), json!("other-client"));
                }
            }
            let answer = me(world, &world.token(&json!(other))).await;
            assert_eq!(answer.status, 403, "{name}: {}", answer.text);
        }
        for (claim, value) in changes {
            scene.refuses(name, &claims, claim, value).await;
        }
    }
}
