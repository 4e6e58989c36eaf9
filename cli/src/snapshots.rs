//! Snapshots of what the command line prints: help texts and tables.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use clap::Command;
use domain::{InstallationId, Requester, Runner, RunnerId, RunnerStatus, TeamId, User, UserId};
use uuid::Uuid;

use crate::{
    commands::{list_users, runners},
    help,
};

/// Returns the command as a terminal of 100 columns shows it, without values of this process's environment.
fn prepared(command: Command) -> Command {
    command.term_width(100).mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(prepared)
}

/// Appends the help of a command and of its subcommands.
fn append_help(text: &mut String, command: &mut Command) {
    // Writing to a text never fails.
    let _ = writeln!(text, "{}", command.render_long_help());
    for subcommand in command.get_subcommands_mut() {
        // clap writes the help of its own command `help`.
        if subcommand.get_name() != "help" {
            let _ = writeln!(text, "──────── {}\n", subcommand.get_name());
            append_help(text, subcommand);
        }
    }
}

#[test]
fn help_texts_are_as_reviewed() {
    let mut command = prepared(help::command());
    command.build();
    insta::assert_snapshot!("help", command.render_long_help());
    for subcommand in command.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        let mut text = String::new();
        append_help(&mut text, subcommand);
        insta::assert_snapshot!(format!("help-{}", subcommand.get_name()), text);
    }
}

#[cfg(test)]
fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
}

/// Returns an admin who has signed in.
fn ada() -> User {
    User {
        id: UserId::from(Uuid::from_u128(1)),
        email: Some("ada@example.com".to_owned()),
        issuer: Some("https://login.example.com".to_owned()),
        subject: Some("auth0|1234".to_owned()),
        display_name: Some("Ada".to_owned()),
        is_admin: true,
        is_viewer: false,
        is_active: true,
        can_use_jit: true,
        can_use_registration_token: false,
        created_at: time(0),
        last_login_at: Some(time(60)),
    }
}

/// Returns a busy runner of this person.
fn busy_runner(owner: User) -> Runner {
    Runner {
        id: RunnerId::from(Uuid::from_u128(3)),
        installation: InstallationId::default(),
        team: TeamId::from(Uuid::from_u128(4)),
        team_name: "platform".to_owned(),
        provisioned_by: Requester::User(owner.id),
        provisioned_by_name: owner.email,
        name: "ci-1".to_owned(),
        status: RunnerStatus::Active,
        busy: true,
        github_runner_id: Some(77),
        app_installation: None,
        runner_group_id: 1,
        runner_group_name: None,
        labels: vec!["self-hosted".to_owned(), "gpu-large".to_owned()],
        ephemeral: true,
        registers_itself: false,
        stated_version: None,
        version: None,
        created_at: time(0),
        updated_at: time(60),
        registered_at: Some(time(30)),
        deleted_at: None,
    }
}

#[test]
fn tables_are_as_reviewed() {
    let invited = User {
        id: UserId::from(Uuid::from_u128(2)),
        email: Some("bob@example.com".to_owned()),
        subject: None,
        is_admin: false,
        last_login_at: None,
        ..ada()
    };
    insta::assert_snapshot!("table-users", list_users::table(&[ada(), invited]));
    let runner = busy_runner(ada());
    let requested = Runner {
        id: RunnerId::from(Uuid::from_u128(5)),
        name: "ci-a-longer-name".to_owned(),
        status: RunnerStatus::Requested,
        busy: false,
        github_runner_id: None,
        app_installation: None,
        labels: Vec::new(),
        ..runner.clone()
    };
    insta::assert_snapshot!("table-runners", runners::table(&[runner, requested]));
    insta::assert_snapshot!("table-empty", runners::table(&[]));
}
