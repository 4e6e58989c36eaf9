//! Teams, users and machine clients, written directly to the database. Tests of the administration itself use HTTP.

use domain::{ClaimRule, ClientId, TeamId, UserId};
use serde_json::{Value, json};
use store::{NewClient, TeamDraft, UserDraft};

use crate::{Bearer, World};

/// A team.
#[derive(Clone, Debug)]
pub struct Team {
    /// Id of the team.
    pub id: TeamId,
    /// Name of the team.
    pub name: String,
}

/// A user with a valid token of the first issuer.
#[derive(Clone, Debug)]
pub struct Person {
    /// Id of the user.
    pub id: UserId,
    /// `sub` claim of the tokens.
    pub sub: String,
    /// `email` claim of the tokens.
    pub email: String,
    /// A valid token.
    pub token: String,
}

/// A machine client with a valid token of the first issuer.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The service's id of the client.
    pub id: ClientId,
    /// The issuer's id of the client.
    pub client_id: String,
    /// A valid token.
    pub token: String,
}

impl Bearer for Person {
    fn token(&self) -> Option<&str> {
        Some(&self.token)
    }
}

impl Bearer for Machine {
    fn token(&self) -> Option<&str> {
        Some(&self.token)
    }
}

/// Returns a team without a quota that requires the label `team-<name>`, allows `gpu-*` and omits `self-hosted`.
pub fn team_draft(name: &str) -> TeamDraft {
    TeamDraft {
        required_labels: vec![format!("team-{name}")],
        optional_label_patterns: vec!["glob:gpu-*".to_owned()],
        add_self_hosted: false,
        ..TeamDraft::new(name)
    }
}

impl World {
    /// Adds a team.
    ///
    /// # Panics
    /// When its name exists.
    pub async fn team(&self, draft: TeamDraft) -> Team {
        let id = TeamId::new();
        let mut tx = self.store().begin().await.unwrap();
        tx.teams().insert(id, &draft).await.unwrap();
        tx.commit().await.unwrap();
        Team { id, name: draft.name }
    }

    /// Adds a user bound to the first issuer and a generated subject, as a member of `teams`.
    ///
    /// # Panics
    /// When the name exists.
    pub async fn user(&self, name: &str, teams: &[&Team]) -> Person {
        self.person(self.user_draft(name), teams).await
    }

    /// Adds an admin without a team.
    ///
    /// # Panics
    /// When the world has an admin already.
    pub async fn admin(&self) -> Person {
        self.person(UserDraft { is_admin: true, ..self.user_draft("root") }, &[]).await
    }

    /// Adds a viewer without a team.
    ///
    /// # Panics
    /// When the name exists.
    pub async fn viewer(&self, name: &str) -> Person {
        self.person(UserDraft { is_viewer: true, ..self.user_draft(name) }, &[]).await
    }

    /// Returns the draft that [`Self::user`] inserts.
    pub fn user_draft(&self, name: &str) -> UserDraft {
        UserDraft {
            email: Some(format!("{name}@example.com")),
            issuer: Some(self.issuer().url().to_owned()),
            subject: Some(name.to_owned()),
            display_name: None,
            is_admin: false,
            is_viewer: false,
            can_use_jit: true,
            can_use_registration_token: false,
        }
    }

    /// Adds a user from a draft.
    ///
    /// # Panics
    /// When the identity exists.
    pub async fn person(&self, draft: UserDraft, teams: &[&Team]) -> Person {
        let mut tx = self.store().begin().await.unwrap();
        let user = tx.users().insert(UserId::new(), &draft).await.unwrap();
        for team in teams {
            tx.teams().add_member(team.id, user.id).await.unwrap();
        }
        tx.commit().await.unwrap();
        let sub = draft.subject.or_else(|| draft.email.clone()).unwrap();
        let email = draft.email.unwrap_or_default();
        let token = self.token(&json!({ "sub": sub, "email": email, "email_verified": true, "name": sub }));
        Person { id: user.id, sub, email, token }
    }

    /// Adds a machine client of `team`, identified by its client id.
    ///
    /// # Panics
    /// When the client exists.
    pub async fn machine(&self, client_id: &str, team: &Team) -> Machine {
        let id = self.client(client_id, team, None).await;
        let token = self.issuer().machine_token(client_id).unwrap();
        Machine { id, client_id: client_id.to_owned(), token }
    }

    /// Adds a machine client, identified by its client id or by a claim rule.
    ///
    /// # Panics
    /// When the client exists.
    pub async fn client(&self, client_id: &str, team: &Team, rule: Option<ClaimRule>) -> ClientId {
        let draft = NewClient {
            client_id: client_id.to_owned(),
            issuer: self.issuer().url().to_owned(),
            team: team.id,
            description: None,
            rule,
        };
        let mut tx = self.store().begin().await.unwrap();
        let client = tx.clients().insert(ClientId::new(), &draft, None).await.unwrap();
        tx.commit().await.unwrap();
        client.id
    }

    /// Returns a token of the first issuer; `claims` replace the default claims.
    ///
    /// # Panics
    /// When the token cannot be signed.
    pub fn token(&self, claims: &Value) -> String {
        self.issuer().token(claims).unwrap()
    }
}
