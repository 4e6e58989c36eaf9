//! Commands over the API, one file for each noun.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod budget;
pub(crate) mod call;
pub(crate) mod event_delivery;
pub(crate) mod incident;
pub(crate) mod job;
pub(crate) mod lane;
pub(crate) mod machine_client;
pub(crate) mod nouns;
pub(crate) mod overview;
pub(crate) mod policy;
pub(crate) mod profile;
pub(crate) mod provision;
mod resolve;
pub(crate) mod runner;
pub(crate) mod sign_in;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod team;
pub(crate) mod ticket;
pub(crate) mod top;
pub(crate) mod user;
pub(crate) mod values;

use self::{audit::AuditVerb, overview::WorkerVerb};
use crate::{
    args::{Command, CommonArgs},
    error::ClientError,
    session::Session,
};

/// Runs a command.
pub(crate) async fn run(command: Command) -> Result<(), ClientError> {
    let open = Session::open;
    match command {
        Command::Provision(plain) => provision::run(&open(&plain.common)?, plain.args).await,
        Command::Runner(noun) => runner::run(&open(&noun.common)?, noun.verb).await,
        Command::Job(noun) => job::run(&open(&noun.common)?, noun.verb).await,
        Command::Ticket(noun) => ticket::run(&noun.common, noun.verb).await,
        Command::Team(noun) => team::run(&open(&noun.common)?, noun.verb).await,
        Command::Whoami(plain) => overview::whoami(&open(&plain.common)?).await,
        Command::Token(plain) => overview::token(&open(&plain.common)?, plain.args).await,
        Command::Login(plain) => sign_in::login(&plain.common, &plain.args).await,
        Command::Logout(plain) => sign_in::logout(&plain.common, &plain.args),
        Command::Profile(noun) => profile::run(noun.common.output.unwrap_or_default(), noun.verb),
        Command::Call(plain) => call::run(&open(&plain.common)?, plain.args).await,
        Command::User(noun) => user::run(&open(&noun.common)?, noun.verb).await,
        Command::Client(noun) => machine_client::run(&open(&noun.common)?, noun.verb).await,
        Command::Lane(noun) => lane::run(&open(&noun.common)?, noun.verb).await,
        Command::Budget(plain) => budget::run(&open(&plain.common)?, &plain.args).await,
        Command::Status(plain) => status::status(&open(&plain.common)?).await,
        Command::Failures(plain) => status::failures(&open(&plain.common)?, plain.args).await,
        Command::Top(plain) => top::run(&open(&plain.common)?, &plain.args).await,
        Command::Sync(noun) => sync::run(&open(&noun.common)?, noun.verb).await,
        Command::Unmanaged(noun) => overview::unmanaged(&open(&noun.common)?, noun.verb).await,
        Command::Versions(plain) => overview::versions(&open(&plain.common)?).await,
        Command::Security(noun) => overview::security(&open(&noun.common)?, noun.verb).await,
        Command::Batch(noun) => batch::run(&open(&noun.common)?, noun.verb).await,
        Command::Incident(noun) => incident::run(&open(&noun.common)?, noun.verb).await,
        Command::EventDelivery(noun) => event_delivery::run(&open(&noun.common)?, noun.verb).await,
        Command::Explain(plain) => policy::explain(&open(&plain.common)?, plain.args).await,
        Command::Apply(plain) => apply::apply(&open(&plain.common)?, plain.args).await,
        Command::Diff(plain) => apply::diff(&open(&plain.common)?, plain.args).await,
        Command::Export(noun) => apply::export(&open(&noun.common)?, noun.verb).await,
        Command::Schema(noun) => {
            apply::schema(noun.verb);
            Ok(())
        }
        Command::Policy(noun) => policy::run(&noun.common, noun.verb).await,
    }
}

/// Runs `rts worker list` and its siblings.
pub(crate) async fn run_worker(verb: WorkerVerb) -> Result<(), ClientError> {
    match verb {
        WorkerVerb::List(plain) => overview::workers(&Session::open(&plain.common)?).await,
        WorkerVerb::Drain(plain) => overview::drain(&Session::open(&plain.common)?, plain.args).await,
    }
}

/// Runs `rts audit list` and its siblings.
pub(crate) async fn run_audit(common: &CommonArgs, verb: AuditVerb) -> Result<(), ClientError> {
    audit::run(&Session::open(common)?, verb).await
}
