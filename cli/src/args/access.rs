//! Commands that end and restore access.

use clap::Subcommand;

/// Ends or restores the access of a person, a machine client or a team.
#[derive(Debug, Subcommand)]
pub(crate) enum Access {
    /// Deactivate a person: their requests are cancelled and their unread configs shredded at once.
    #[command(
        hide = true,
        after_help = "Examples:\n  rts deactivate-user ada@example.com --comment 'left the company'\n  rts deactivate-user 0192f0c4-…\n\nTheir runners stay. The last active admin who has signed in cannot be deactivated."
    )]
    DeactivateUser(Person),
    /// Activate a person again, with their earlier rights and teams.
    #[command(hide = true, after_help = "Example:\n  rts activate-user ada@example.com")]
    ActivateUser(Person),
    /// Unbind a person from their identity: the next first login with their e-mail address binds it again.
    #[command(
        hide = true,
        after_help = "Example:\n  rts unbind-user ada@example.com --comment 'new account at the identity provider'"
    )]
    UnbindUser(Person),
    /// Deactivate a machine client: its requests are cancelled and its unread configs shredded at once.
    #[command(
        hide = true,
        after_help = "Examples:\n  rts deactivate-client ci-pipeline --comment 'secret leaked'\n  rts deactivate-client 0192f0c4-…\n\nIts runners stay with the team."
    )]
    DeactivateClient(Client),
    /// Activate a machine client again.
    #[command(hide = true, after_help = "Example:\n  rts activate-client ci-pipeline")]
    ActivateClient(Client),
    /// Deactivate a team: its requests are cancelled and its unread configs shredded at once.
    #[command(
        hide = true,
        after_help = "Examples:\n  rts deactivate-team games-ci --reason 'moved to platform'\n\nIts runners stay; its members may still see and remove them."
    )]
    DeactivateTeam {
        /// The team, by name or id.
        #[arg(value_name = "NAME|TEAM_ID")]
        team: String,
        /// Reason, which is shown to its members.
        #[arg(long)]
        reason: String,
    },
    /// Shred every config that was not handed out.
    ///
    /// The runners of these configs are removed.
    #[command(
        after_help = "Example:\n  rts shred-credentials --all --comment 'a backup of the database was copied'\n\nFor the day a key or a database has leaked. Jobs go on and make new configs: change CREDENTIAL_KEYS first."
    )]
    ShredCredentials {
        /// Required, since the command affects all teams.
        #[arg(long, required = true)]
        all: bool,
        /// Reason, for the audit log.
        #[arg(long)]
        comment: Option<String>,
    },
    /// Activate a team again.
    #[command(hide = true, after_help = "Example:\n  rts reactivate-team games-ci")]
    ReactivateTeam {
        /// The team, by name or id.
        #[arg(value_name = "NAME|TEAM_ID")]
        team: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Person {
    /// The person, by e-mail or id.
    #[arg(value_name = "EMAIL|USER_ID")]
    pub(crate) user: String,
    /// Reason, for the audit log.
    #[arg(long)]
    pub(crate) comment: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Client {
    /// The machine client, by its client id or by our id.
    #[arg(value_name = "CLIENT_ID|ID")]
    pub(crate) client: String,
    /// Reason, for the audit log.
    #[arg(long)]
    pub(crate) comment: Option<String>,
}
