//! `rts profile`.

use clap::Subcommand;
use serde_json::json;

use crate::{
    connection::{Credentials, Profiles, check_profile_name},
    environment::Environment,
    error::ClientError,
    output::{
        Format,
        print::{line, note},
    },
};

/// Verbs of `rts profile`.
#[derive(Debug, Subcommand)]
pub enum ProfileVerb {
    /// List the profiles. A star marks the current one.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rts profile list\n  rts profile list -o json")]
    List,
    /// Make a profile the current one.
    #[command(after_help = "Example:\n  rts profile use production")]
    Use {
        /// Name of the profile.
        #[arg(value_parser = check_profile_name)]
        name: String,
    },
    /// Remove a profile and its token.
    #[command(visible_alias = "rm", after_help = "Example:\n  rts profile remove staging")]
    Remove {
        /// Name of the profile.
        #[arg(value_parser = check_profile_name)]
        name: String,
    },
}

/// Runs a verb. It needs no service.
pub(crate) fn run(format: Format, verb: ProfileVerb) -> Result<(), ClientError> {
    let environment = Environment::from_process();
    let mut profiles = Profiles::read(&environment)?;
    match verb {
        ProfileVerb::List => {
            list(format, &profiles);
            Ok(())
        }
        ProfileVerb::Use { name } => {
            known(&profiles, &name)?;
            profiles.current = Some(name.clone());
            profiles.write(&environment)?;
            note(format_args!("{name} is the current profile"));
            Ok(())
        }
        ProfileVerb::Remove { name } => {
            known(&profiles, &name)?;
            Credentials::forget(&environment, Some(&name))?;
            profiles.profiles.remove(&name);
            if profiles.current.as_ref() == Some(&name) {
                profiles.current = None;
            }
            profiles.write(&environment)?;
            note(format_args!("{name} is removed"));
            Ok(())
        }
    }
}

fn list(format: Format, profiles: &Profiles) {
    for (name, profile) in &profiles.profiles {
        let current = profiles.current.as_ref() == Some(name);
        match format {
            Format::Name => line(name),
            Format::Json | Format::Jsonl => {
                line(json!({ "name": name, "url": profile.url, "team": profile.team, "current": current }))
            }
            Format::Table | Format::Wide => {
                line(format_args!("{} {name}  {}", if current { '*' } else { ' ' }, profile.url))
            }
        };
    }
}

fn known(profiles: &Profiles, name: &str) -> Result<(), ClientError> {
    let unknown =
        || ClientError::NotFound(format!("there is no profile {name}; `rts profile list` shows all"));
    profiles.profiles.contains_key(name).then_some(()).ok_or_else(unknown)
}
