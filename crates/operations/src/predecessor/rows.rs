//! Import of each kind of rows.

use domain::{ClientId, MachineClient, Requester, RunnerId, TeamId, User, UserId};
use serde_json::{Value, json};
use store::{
    ImportedRunner, NewClient, OldClient, OldMember, OldRunner, OldTeam, OldUser, Predecessor, TeamChange,
    TeamDraft, UserDraft,
};
use uuid::Uuid;

use super::{AUDIT_PAGE, Import, Outcome, read};
use crate::{
    Result,
    clients::check_client_draft,
    label_policies::reason,
    members::record_member,
    record::extend,
    teams::{describe_team, policy},
    users::check_user_draft,
    validate::settle,
};

/// Returns details of an audit row that say where the values come from.
fn imported(mut details: Value) -> Value {
    extend(&mut details, json!({ "imported_from": "predecessor" }));
    details
}

impl Import<'_> {
    pub(super) async fn add_teams(&mut self, rows: &[OldTeam]) -> Result<()> {
        let mut outcomes = Vec::new();
        for old in rows {
            let outcome = self.add_team(old).await?;
            outcomes.push(outcome);
        }
        self.count("teams", outcomes);
        Ok(())
    }

    async fn add_team(&mut self, old: &OldTeam) -> Result<Outcome> {
        let left_out = |why: &str| Ok(Outcome::LeftOut(format!("team {}: {why}", old.name)));
        let Ok(id) = old.id.parse::<Uuid>().map(TeamId::from) else { return left_out("its id is no UUID") };
        let here = match self.tx.teams().basics(id).await? {
            Some(team) => Some(team),
            None => self.tx.teams().by_name(&old.name).await?,
        };
        if let Some(team) = here {
            self.teams.insert(old.id.clone(), team.id);
            return Ok(Outcome::Kept);
        }
        let patterns = old.optional_label_patterns.as_deref().map_or(Some(Vec::new()), read::texts);
        let (Some(required_labels), Some(patterns)) = (read::texts(&old.required_labels), patterns) else {
            return left_out("its labels are no list of texts");
        };
        let draft = TeamDraft {
            description: old.description.clone(),
            required_labels,
            optional_label_patterns: patterns.iter().map(|old| read::pattern(old)).collect(),
            max_runners: old.max_runners,
            installation: self.target.installation.clone(),
            ..TeamDraft::new(&*old.name)
        };
        // Teams keep their names: scripts and dashboards have them.
        if let Err(problem) = policy::check(&draft, false, true) {
            return left_out(&reason(&problem));
        }
        let draft = policy::normalize(draft);
        self.tx.teams().insert(id, &draft).await?;
        let whole = TeamChange {
            draft,
            is_active: old.is_active,
            deactivation_reason: old.deactivation_reason.clone().filter(|_| !old.is_active),
        };
        self.tx.teams().update(id, &whole).await?;
        let entry = self.admin.record("team.create", Some(id), imported(describe_team(&whole)));
        self.tx.audit().write(&entry).await?;
        self.teams.insert(old.id.clone(), id);
        Ok(Outcome::Added)
    }

    pub(super) async fn add_users(&mut self, rows: &[OldUser]) -> Result<()> {
        let mut outcomes = Vec::new();
        for old in rows {
            let (outcome, user) = self.add_user(old).await?;
            if let Some(id) = user {
                self.users.insert(old.id.clone(), id);
                for name in old.email.iter().chain(&old.oidc_sub) {
                    self.requesters.insert(name.to_lowercase(), Requester::User(id));
                }
            }
            outcomes.push(outcome);
        }
        self.count("users", outcomes);
        Ok(())
    }

    async fn add_user(&mut self, old: &OldUser) -> Result<(Outcome, Option<UserId>)> {
        let name = old.email.as_deref().or(old.oidc_sub.as_deref()).unwrap_or(&old.id);
        let left_out = |why: &str| Ok((Outcome::LeftOut(format!("user {name}: {why}")), None));
        let Ok(id) = old.id.parse::<Uuid>().map(UserId::from) else { return left_out("the id is no UUID") };
        if let Some(user) = self.user_here(id, old).await? {
            return Ok((Outcome::Kept, Some(user.id)));
        }
        let draft = UserDraft {
            email: old.email.clone(),
            issuer: Some(self.target.issuer.clone()),
            subject: old.oidc_sub.clone(),
            display_name: old.display_name.clone().filter(|name| !name.is_empty()),
            is_admin: old.is_admin,
            can_use_jit: old.can_use_jit,
            ..UserDraft::default()
        };
        if let Err(problem) = settle(check_user_draft(&draft)) {
            return left_out(&reason(&problem));
        }
        let user = self.tx.users().insert(id, &draft).await?;
        if !old.is_active {
            self.tx.users().update(&User { is_active: false, ..user }).await?;
        }
        let details = json!({
            "email": draft.email, "issuer": draft.issuer, "subject": draft.subject, "is_admin": draft.is_admin,
            "is_active": old.is_active, "can_use_jit": draft.can_use_jit,
        });
        self.tx.audit().write(&self.admin.record("user.create", None, imported(details))).await?;
        Ok((Outcome::Added, Some(id)))
    }

    /// Returns the user with this id, e-mail address or identity.
    async fn user_here(&mut self, id: UserId, old: &OldUser) -> Result<Option<User>> {
        let mut users = self.tx.users();
        if let Some(user) = users.get(id).await? {
            return Ok(Some(user));
        }
        if let Some(email) = &old.email
            && let Some(user) = users.by_email(email).await?
        {
            return Ok(Some(user));
        }
        match &old.oidc_sub {
            Some(subject) => Ok(users.find(&self.target.issuer, subject).await?),
            None => Ok(None),
        }
    }

    pub(super) async fn add_members(&mut self, rows: &[OldMember]) -> Result<()> {
        let mut outcomes = Vec::new();
        for old in rows {
            let (team, user) = (self.teams.get(&old.team_id).copied(), self.users.get(&old.user_id).copied());
            let (Some(team), Some(user)) = (team, user) else {
                let why =
                    format!("membership of {} in {}: one of the two is not here", old.user_id, old.team_id);
                outcomes.push(Outcome::LeftOut(why));
                continue;
            };
            let Some(user) = self.tx.users().get(user).await? else { continue };
            let added = record_member(self.tx, self.admin, team, &user).await?;
            outcomes.push(if added { Outcome::Added } else { Outcome::Kept });
        }
        self.count("memberships", outcomes);
        Ok(())
    }

    pub(super) async fn add_clients(&mut self, rows: &[OldClient]) -> Result<()> {
        let mut outcomes = Vec::new();
        for old in rows {
            let (outcome, client) = self.add_client(old).await?;
            if let Some(id) = client {
                let name = read::client_id(&old.client_id).to_lowercase();
                self.requesters.insert(name, Requester::Client(id));
            }
            outcomes.push(outcome);
        }
        self.count("machine clients", outcomes);
        Ok(())
    }

    async fn add_client(&mut self, old: &OldClient) -> Result<(Outcome, Option<ClientId>)> {
        let left_out =
            |why: &str| Ok((Outcome::LeftOut(format!("machine client {}: {why}", old.client_id)), None));
        let Ok(id) = old.id.parse::<Uuid>().map(ClientId::from) else { return left_out("its id is no UUID") };
        let Some(team) = self.teams.get(&old.team_id).copied() else {
            return left_out("its team is not here");
        };
        let draft = NewClient {
            client_id: read::client_id(&old.client_id).to_owned(),
            issuer: self.target.issuer.clone(),
            team,
            description: old.description.clone().filter(|text| !text.is_empty()),
            rule: None,
        };
        let known = self.tx.clients().by_client_id(&draft.client_id).await?;
        if let Some(client) = known.iter().find(|client| client.issuer == draft.issuer) {
            return Ok((Outcome::Kept, Some(client.id)));
        }
        // A deleted machine client keeps its id.
        if self.tx.clients().exists(id).await? {
            return left_out("it was deleted here");
        }
        if let Err(problem) = settle(check_client_draft(&draft)) {
            return left_out(&reason(&problem));
        }
        let client = self.tx.clients().insert(id, &draft, self.admin.identity()).await?;
        if !old.is_active {
            self.tx.clients().update(&MachineClient { is_active: false, ..client }).await?;
        }
        let details =
            json!({ "client_id": draft.client_id, "issuer": draft.issuer, "is_active": old.is_active });
        self.tx.audit().write(&self.admin.record("client.create", Some(team), imported(details))).await?;
        Ok((Outcome::Added, Some(id)))
    }

    pub(super) async fn add_runners(&mut self, rows: &[OldRunner]) -> Result<()> {
        let mut outcomes = Vec::new();
        for old in rows {
            let outcome = self.add_runner(old).await?;
            outcomes.push(outcome);
        }
        self.count("runners", outcomes);
        Ok(())
    }

    async fn add_runner(&mut self, old: &OldRunner) -> Result<Outcome> {
        let left_out = |why: &str| Ok(Outcome::LeftOut(format!("runner {}: {why}", old.runner_name)));
        let Ok(id) = old.id.parse::<Uuid>().map(RunnerId::from) else { return left_out("its id is no UUID") };
        let team = old.team_id.as_ref().and_then(|team| self.teams.get(team)).copied();
        let Some(team) = team else { return left_out("it has no team; it will be listed as unmanaged") };
        let owner = std::iter::once(&old.provisioned_by).chain(&old.oidc_sub);
        let mut owner = owner.map(|name| read::client_id(name).to_lowercase());
        let Some(owner) = owner.find_map(|name| self.requesters.get(&name).copied()) else {
            return left_out("its requester is not here; it will be listed as unmanaged");
        };
        let Some(labels) = read::texts(&old.labels) else {
            return left_out("its labels are no list of texts");
        };
        if !["pending", "active", "offline"].contains(&old.status.as_str()) {
            return left_out("its state is unknown");
        }
        let runner = ImportedRunner {
            id,
            installation: self.target.installation.clone(),
            team,
            owner,
            name: old.runner_name.clone(),
            github_runner_id: old.github_runner_id.map(i64::from),
            runner_group_id: i64::from(old.runner_group_id),
            labels,
            ephemeral: old.ephemeral,
            status: old.status.clone(),
            registered_at: old.registered_at.map(|time| time.and_utc()),
        };
        let added = self.tx.imports().insert_runner(&runner).await?;
        Ok(if added { Outcome::Added } else { Outcome::Kept })
    }

    /// Copies the audit log from where the last import of this source ended. Returns the id of the last row.
    pub(super) async fn add_audit_rows(&mut self, from: &mut Predecessor) -> Result<i32> {
        let mut reached = self.tx.imports().reached(from.source()).await?;
        let mut outcomes = Vec::new();
        loop {
            let rows = from.audit_rows(reached, AUDIT_PAGE).await?;
            let Some(last) = rows.last() else { break };
            reached = last.id;
            let team =
                |id: &Option<String>| id.as_ref().and_then(|id| self.teams.get(id)).map(|id| id.uuid());
            let copies: Vec<_> = rows.iter().map(|old| read::audit_row(old, team(&old.team_id))).collect();
            self.tx.imports().append_audit_rows(&copies).await?;
            outcomes.extend(copies.iter().map(|_| Outcome::Added));
        }
        self.count("audit rows", outcomes);
        Ok(reached)
    }
}
