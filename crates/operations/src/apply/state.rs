//! The stored state that a plan starts from, and the changes that it collects.

use std::collections::HashMap;

use domain::{FieldError, MachineClient, Team, TeamId, User, UserId};
use store::{Managed, MemberRow, TeamChange, Tx};

use super::{
    plan::{Action, Consent, Plan, PlanItem},
    wanted::{Wanted, lower},
};
use crate::Result;

/// The rows that a plan is about, locked against changes.
#[derive(Debug, Default)]
pub(super) struct State {
    /// People by e-mail address in lower case.
    pub(super) people: HashMap<String, Managed<User>>,
    /// Teams by name in lower case.
    pub(super) teams: HashMap<String, Managed<Team>>,
    /// Machine clients by issuer and client id.
    pub(super) clients: HashMap<(String, String), Managed<MachineClient>>,
    /// Members of these teams.
    pub(super) members: Vec<MemberRow>,
}

impl State {
    pub(super) async fn read(tx: &mut Tx, wanted: &Wanted, owner: &str) -> Result<Self> {
        let teams = tx.batches().teams(&wanted.team_names(), owner).await?;
        let emails: Vec<String> = wanted.emails().into_iter().collect();
        let people = tx.batches().people(&emails, owner).await?;
        let clients = tx.batches().clients(&wanted.client_ids(), owner).await?;
        let ids: Vec<TeamId> = teams.iter().map(|team| team.row.id).collect();
        let members = tx.batches().members(&ids).await?;
        let key = |client: &MachineClient| (client.issuer.clone(), client.client_id.clone());
        Ok(Self {
            people: people
                .into_iter()
                .map(|person| (lower(person.row.email.as_deref().unwrap_or_default()), person))
                .collect(),
            teams: teams.into_iter().map(|team| (lower(&team.row.name), team)).collect(),
            clients: clients.into_iter().map(|client| (key(&client.row), client)).collect(),
            members,
        })
    }
}

/// A person before and after the plan.
#[derive(Debug)]
pub(super) struct ChangedPerson {
    /// `None` for a new person.
    pub(super) before: Option<User>,
    pub(super) after: User,
}

/// A team before and after the plan.
#[derive(Debug)]
pub(super) struct ChangedTeam {
    pub(super) id: TeamId,
    pub(super) ends: bool,
    pub(super) after: TeamChange,
}

/// A machine client before and after the plan.
#[derive(Debug)]
pub(super) struct ChangedClient {
    pub(super) ends: bool,
    pub(super) after: MachineClient,
}

/// A membership that ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedMember {
    pub(super) team: TeamId,
    pub(super) user: UserId,
}

/// The changes of a plan, as they are collected.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) people: Vec<ChangedPerson>,
    pub(super) teams: Vec<ChangedTeam>,
    pub(super) clients: Vec<ChangedClient>,
    pub(super) added: Vec<(TeamId, UserId)>,
    pub(super) ended: Vec<EndedMember>,
    pub(super) items: Vec<PlanItem>,
    pub(super) remarks: Vec<String>,
    pub(super) unchanged: usize,
    pub(super) errors: Vec<FieldError>,
    /// Ids of wanted people by e-mail address in lower case, new ones included.
    pub(super) user_ids: HashMap<String, UserId>,
    /// Ids of wanted teams by name in lower case, new ones included.
    pub(super) team_ids: HashMap<String, TeamId>,
}

impl Changes {
    /// Returns the action for a row that is as wanted or not. A row of another owner is an error.
    pub(super) fn action(
        &mut self,
        place: &str,
        managed_by: Option<&str>,
        owner: &str,
        differs: bool,
    ) -> Option<Action> {
        match managed_by {
            Some(other) if other != owner => {
                let detail = format!("the files of `{other}` manage this; remove it there first");
                self.errors.push(FieldError::new(place, detail));
                None
            }
            _ if differs => Some(Action::Update),
            None => Some(Action::Adopt),
            Some(_) => {
                self.unchanged += 1;
                None
            }
        }
    }

    pub(super) fn plan(&mut self, needs: Vec<Consent>) -> Plan {
        let (items, remarks) = (std::mem::take(&mut self.items), std::mem::take(&mut self.remarks));
        Plan::new(items, self.unchanged, remarks, needs)
    }
}
