//! Planned changes of people.

use domain::{FieldError, User, UserId};
use store::Managed;

use super::{
    ApplyOptions,
    plan::{Action, PlanItem, Subject},
    state::{ChangedPerson, Changes, State},
    wanted::{Wanted, WantedPerson, lower},
};
use crate::{
    record::differences,
    users::{check_user_draft, describe_user},
};

/// Plans the people of the files, and with `prune` the end of those that the files no longer name.
pub(super) fn plan(wanted: &Wanted, state: &State, options: &ApplyOptions, changes: &mut Changes) {
    for person in &wanted.people {
        plan_person(person, state, options, changes);
    }
    for (email, stored) in &state.people {
        changes.user_ids.entry(email.clone()).or_insert(stored.row.id);
    }
    if options.prune {
        prune(wanted, state, options, changes);
    }
}

fn plan_person(person: &WantedPerson, state: &State, options: &ApplyOptions, changes: &mut Changes) {
    let found = check_user_draft(&person.draft);
    if !found.is_empty() {
        let placed = found.into_iter();
        changes.errors.extend(
            placed.map(|error| FieldError::new(format!("{}{}", person.place, error.pointer), error.detail)),
        );
        return;
    }
    let email = person.draft.email.clone().unwrap_or_default();
    let key = lower(&email);
    let Some(stored) = state.people.get(&key) else {
        let after = new_user(person);
        changes.user_ids.insert(key, after.id);
        let item = PlanItem::new(Subject::Person, Action::Create, email);
        changes.items.push(item.with(differences(&serde_json::json!({}), &describe_user(&after))));
        changes.people.push(ChangedPerson { before: None, after });
        return;
    };
    if person.draft.subject.is_some() && person.draft.subject != stored.row.subject {
        let detail = "this person exists with another identity; unbind them first, or leave this out";
        changes.errors.push(FieldError::new(format!("{}/oidc_sub", person.place), detail));
        return;
    }
    let before = &stored.row;
    let after = changed_user(before, person);
    let delta = differences(&describe_user(before), &describe_user(&after));
    let action = changes.action(&person.place, stored.managed_by.as_deref(), &options.owner, delta.is_some());
    if !after.is_active && person.is_active.is_none() {
        changes.remarks.push(format!("{email} stays deactivated; write `is_active: true` to activate them."));
    }
    let Some(action) = action else { return };
    let action = if before.is_active && !after.is_active { Action::Deactivate } else { action };
    changes.items.push(PlanItem::new(Subject::Person, action, email).with(delta));
    changes.people.push(ChangedPerson { before: Some(before.clone()), after });
}

fn new_user(person: &WantedPerson) -> User {
    let draft = person.draft.clone();
    User {
        id: UserId::new(),
        email: draft.email,
        issuer: draft.issuer,
        subject: draft.subject,
        display_name: draft.display_name,
        is_admin: draft.is_admin,
        is_viewer: draft.is_viewer,
        is_active: person.is_active.unwrap_or(true),
        can_use_jit: draft.can_use_jit,
        can_use_registration_token: draft.can_use_registration_token,
        created_at: chrono::DateTime::UNIX_EPOCH,
        last_login_at: None,
    }
}

/// Returns a stored person with the values of the files. Their e-mail address and identity stay.
fn changed_user(before: &User, person: &WantedPerson) -> User {
    User {
        display_name: person.draft.display_name.clone().or_else(|| before.display_name.clone()),
        is_admin: person.draft.is_admin,
        is_viewer: person.draft.is_viewer,
        is_active: person.is_active.unwrap_or(before.is_active),
        can_use_jit: person.draft.can_use_jit,
        can_use_registration_token: person.draft.can_use_registration_token,
        ..before.clone()
    }
}

/// Plans the end of the owner's people that the files name neither as people nor as members.
fn prune(wanted: &Wanted, state: &State, options: &ApplyOptions, changes: &mut Changes) {
    let named = wanted.emails();
    let left = |(email, stored): &(&String, &Managed<User>)| {
        stored.managed_by.as_deref() == Some(&options.owner)
            && stored.row.is_active
            && !named.contains(*email)
    };
    let mut ended: Vec<_> = state.people.iter().filter(left).collect();
    ended.sort_by_key(|(email, _)| *email);
    for (email, stored) in ended {
        let before = stored.row.clone();
        let after = User { is_active: false, ..before.clone() };
        let delta = differences(&describe_user(&before), &describe_user(&after));
        changes.items.push(PlanItem::new(Subject::Person, Action::Deactivate, email.as_str()).with(delta));
        changes.people.push(ChangedPerson { before: Some(before), after });
    }
}
