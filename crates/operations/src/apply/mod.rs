//! Application of files: people, teams, members and machine clients as they are wanted, all or nothing.
//!
//! A plan is computed from the rows that its transaction has locked, so nothing changes between plan and application.
//! Rows are marked with the owner of their files. Rows made by hand are left alone until a file names them, and only
//! `prune` ends what the owner's files no longer name.

mod clients;
mod consent;
mod export;
mod people;
mod plan;
mod state;
mod teams;
mod wanted;
mod write;

use domain::{Problem, ProblemCode};
use serde_json::{Value, json};

pub use self::{
    export::{Export, ExportRows},
    plan::{Action, Consent, Plan, PlanItem, Subject},
    wanted::{Wanted, WantedClient, WantedPerson, WantedTeam},
};
use self::{
    state::{Changes, State},
    wanted::{check_owner, settle_first},
};
use crate::{Administrator, Operations, Result, validate::check_reason};

/// Event type of the audit row of an application.
const APPLY_EVENT_TYPE: &str = "files.apply";

/// Options of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Owner of the files; its name marks the rows.
    pub owner: String,
    /// Whether only the plan is made.
    pub dry_run: bool,
    /// Whether the owner's rows that the files do not name are ended.
    pub prune: bool,
    /// Consents to what a plan would otherwise not do.
    pub consents: Vec<Consent>,
    /// Id of the plan that was reviewed; another plan is refused.
    pub plan: Option<String>,
    /// Comment for the audit log.
    pub comment: Option<String>,
}

impl Operations<'_> {
    /// Applies the wanted state, or only returns the plan. Everything is changed in one transaction, with one audit row
    /// for each change and one for the application. A refused application is recorded, a refused plan is not.
    ///
    /// # Errors
    /// `validation_failed` with every invalid value, `last_admin`, `plan_needs_consent`, `plan_changed`, `team_in_use`,
    /// `already_exists`. Nothing is changed then.
    pub async fn apply(
        &self,
        admin: &Administrator,
        wanted: &Wanted,
        options: &ApplyOptions,
    ) -> Result<Plan> {
        options.check(wanted)?;
        let applied = self.plan_and_apply(admin, wanted, options).await;
        if options.dry_run {
            return applied;
        }
        let wish = json!({ "owner": options.owner, "plan": options.plan, "prune": options.prune,
            "consents": options.consents, "comment": options.comment });
        self.record_refused(admin.record(APPLY_EVENT_TYPE, None, wish), applied).await
    }

    async fn plan_and_apply(
        &self,
        admin: &Administrator,
        wanted: &Wanted,
        options: &ApplyOptions,
    ) -> Result<Plan> {
        let mut tx = self.store.begin().await?;
        tx.batches().lock().await?;
        let state = State::read(&mut tx, wanted, &options.owner).await?;
        let mut changes = Changes::default();
        people::plan(wanted, &state, options, &mut changes);
        teams::plan(&mut tx, wanted, &state, options, &mut changes).await?;
        clients::plan(wanted, &state, options, &mut changes);
        settle_first(std::mem::take(&mut changes.errors))?;
        let needs = consent::check(&mut tx, &state, &changes).await?;
        let mut plan = changes.plan(needs);
        if options.dry_run {
            return Ok(plan);
        }
        options.admit(&plan)?;
        let revoked = write::all(&mut tx, &changes, wanted, &options.owner).await?;
        let applied = json!({ "owner": options.owner, "plan": plan.id });
        let mut entries: Vec<_> = plan.items.iter().map(|item| item.entry(admin, &applied)).collect();
        entries.push(admin.record(APPLY_EVENT_TYPE, None, options.details(&plan)));
        tx.audit().write_all(&entries).await?;
        tx.commit().await?;
        for revoked in revoked {
            revoked.publish(self.queue).await;
        }
        plan.applied = true;
        Ok(plan)
    }
}

impl ApplyOptions {
    fn check(&self, wanted: &Wanted) -> std::result::Result<(), Problem> {
        check_reason("/comment", self.comment.as_deref())?;
        let mut errors = wanted.check();
        check_owner(&mut errors, &self.owner);
        if self.prune && wanted.people.is_empty() && wanted.teams.is_empty() {
            let detail = "the documents name nothing; an empty document never means everything";
            errors.push(domain::FieldError::new("/prune", detail));
        }
        settle_first(errors)
    }

    /// Checks that the plan is the reviewed one and has the consents that it needs.
    fn admit(&self, plan: &Plan) -> std::result::Result<(), Problem> {
        if self.plan.as_ref().is_some_and(|reviewed| *reviewed != plan.id) {
            let detail =
                "The rows or the documents have changed since this plan was made; review the new plan.";
            return Err(Problem::new(ProblemCode::PlanChanged, detail)
                .with_errors(vec![domain::FieldError::new("/plan", "not the plan of these documents now")]));
        }
        let missing: Vec<_> = plan.needs.iter().filter(|needed| !self.consents.contains(needed)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let errors = missing.into_iter().map(|needed| consent::explain(*needed)).collect();
        let detail = "The plan does what must be asked for; review it with dry_run and send the consent.";
        Err(Problem::new(ProblemCode::PlanNeedsConsent, detail).with_errors(errors))
    }

    fn details(&self, plan: &Plan) -> Value {
        json!({
            "owner": self.owner,
            "plan": plan.id,
            "prune": self.prune,
            "consents": self.consents,
            "comment": self.comment,
            "changes": plan.items.len(),
            "unchanged": plan.unchanged,
        })
    }
}
