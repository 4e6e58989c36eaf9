//! Who asks: teams, people, machine clients. They are put into the rows directly; the stories about
//! administration go through HTTP.

use domain::{ClaimRule, ClientId, DriftResponse, InstallationId, TeamId, UserId};
use serde_json::{Value, json};
use store::{NewClient, TeamDraft, UserDraft};

use crate::{Bearer, World};

/// A team.
#[derive(Clone, Debug)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Its name.
    pub name: String,
}

/// A person with a valid token of the first issuer.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their id.
    pub id: UserId,
    /// `sub` of their tokens.
    pub sub: String,
    /// `email` of their tokens.
    pub email: String,
    /// A token.
    pub token: String,
}

/// A machine client with a valid token of the first issuer.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Our id of it.
    pub id: ClientId,
    /// The issuer's id for it.
    pub client_id: String,
    /// A token.
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

/// A team that requires the label `team-<name>` and allows `gpu-*`, without a limit and without `self-hosted`.
pub fn team_draft(name: &str) -> TeamDraft {
    TeamDraft {
        name: name.to_owned(),
        description: None,
        required_labels: vec![format!("team-{name}")],
        optional_label_patterns: vec!["glob:gpu-*".to_owned()],
        add_self_hosted: false,
        allowed_runner_group_ids: Vec::new(),
        allowed_repositories: Vec::new(),
        allowed_workflows: Vec::new(),
        max_runners: None,
        weight: 1.0,
        drift_response: DriftResponse::Delete,
        installation: InstallationId::default(),
    }
}

impl World {
    /// Adds a team.
    ///
    /// # Panics
    /// When its name is taken.
    pub async fn team(&self, draft: TeamDraft) -> Team {
        let id = TeamId::new();
        let mut tx = self.store().begin().await.unwrap();
        tx.teams().insert(id, &draft).await.unwrap();
        tx.commit().await.unwrap();
        Team { id, name: draft.name }
    }

    /// Adds a person who is known by issuer and subject and belongs to `teams`.
    ///
    /// # Panics
    /// When the name is taken.
    pub async fn user(&self, name: &str, teams: &[&Team]) -> Person {
        self.person(self.user_draft(name), teams).await
    }

    /// Adds an admin who belongs to no team.
    ///
    /// # Panics
    /// When there is one already.
    pub async fn admin(&self) -> Person {
        self.person(UserDraft { is_admin: true, ..self.user_draft("root") }, &[]).await
    }

    /// What [`Self::user`] writes.
    pub fn user_draft(&self, name: &str) -> UserDraft {
        UserDraft {
            email: Some(format!("{name}@example.com")),
            issuer: Some(self.issuer().url().to_owned()),
            subject: Some(name.to_owned()),
            display_name: None,
            is_admin: false,
            can_use_jit: true,
            can_use_registration_token: false,
        }
    }

    /// Adds a person as drafted.
    ///
    /// # Panics
    /// When the identity is taken.
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

    /// Adds a machine client of `team`, known by its client id.
    ///
    /// # Panics
    /// When it is taken.
    pub async fn machine(&self, client_id: &str, team: &Team) -> Machine {
        let id = self.client(client_id, team, None).await;
        let token = self.issuer().machine_token(client_id).unwrap();
        Machine { id, client_id: client_id.to_owned(), token }
    }

    /// Adds a machine client, by its client id or by a rule.
    ///
    /// # Panics
    /// When it is taken.
    pub async fn client(&self, client_id: &str, team: &Team, rule: Option<ClaimRule>) -> ClientId {
        let draft = NewClient {
            client_id: client_id.to_owned(),
            issuer: self.issuer().url().to_owned(),
            team: team.id,
            description: None,
            rule,
        };
        let mut tx = self.store().begin().await.unwrap();
        let client = tx.clients().insert(ClientId::new(), &draft).await.unwrap();
        tx.commit().await.unwrap();
        client.id
    }

    /// A token of the first issuer; `claims` are laid over the usual ones.
    ///
    /// # Panics
    /// When it cannot be signed.
    pub fn token(&self, claims: &Value) -> String {
        self.issuer().token(claims).unwrap()
    }
}
