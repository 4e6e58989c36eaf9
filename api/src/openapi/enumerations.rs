//! Named schemas of enumerations. Client generators make one type of each, however many members use it.

use domain::{
    AuditChain, AuditFormat, BatchAction, BatchState, BlockedOn, CheckKind, DriftResponse,
    EventDeliveryState, IncidentKind, IncidentState, JobEventKind, JobKind, JobState, Lane, ProblemCode,
    RunnerStatus, Severity, TicketState, VerdictCode, VerdictLevel, VersionState,
};
use utoipa::{
    Modify,
    openapi::{
        ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

use crate::credential::CredentialKind;

fn string_enum<'w>(words: impl Iterator<Item = &'w str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

fn or_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(SchemaType::new(Type::Null));
    Schema::OneOf(OneOfBuilder::new().item(schema).item(null).build()).into()
}

macro_rules! enumerations {
    ($($name:ident: $type:ident = $about:literal),+ $(,)?) => {
        $(pub(crate) fn $name() -> RefOr<Schema> { Ref::from_schema_name(stringify!($type)).into() })+

        /// Adds the enumerations to the schemas of the description.
        pub(crate) struct Enumerations;

        impl Modify for Enumerations {
            fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
                let schemas = &mut description.components.get_or_insert_default().schemas;
                $(
                    let words = string_enum($type::ALL.iter().map(|word| word.as_str()));
                    let schema = Schema::Object(words.description(Some($about)).build());
                    schemas.insert(stringify!($type).to_owned(), schema.into());
                )+
            }
        }
    };
}

enumerations! {
    blocked_on_value: BlockedOn = "Reason why a queued job waits.",
    batch_state: BatchState = "State of a batch.",
    check_kind: CheckKind = "Check of a request, in the order in which they are made.",
    job_kind: JobKind = "Kind of a job.",
    job_state: JobState = "State of a job.",
    job_event: JobEventKind = "Kind of an event in the history of a job.",
    lane: Lane = "Lane in which jobs of a kind queue.",
    runner_status: RunnerStatus = "State of a runner.",
    severity: Severity = "Severity of a security event.",
    audit_chain: AuditChain = "A chain of audit rows.",
    event_delivery_state: EventDeliveryState = "State of a delivery.",
    audit_format: AuditFormat = "Format of an export.",
    batch_action: BatchAction = "Action of a batch.",
    incident_kind: IncidentKind = "Kind of the target of an incident.",
    incident_state: IncidentState = "State of an incident.",
    drift_response: DriftResponse = "Response to labels that differ from the bound ones.",
    problem_code: ProblemCode = "Stable code of a problem.",
    version_state: VersionState = "State of a version of the runner software.",
    ticket_state: TicketState = "State of a claim ticket.",
    verdict_code: VerdictCode = "Code of a verdict.",
    verdict_level: VerdictLevel = "Level of a verdict.",
}

pub(crate) fn blocked_on() -> RefOr<Schema> {
    or_null(blocked_on_value())
}

pub(crate) fn batch_state_or_null() -> RefOr<Schema> {
    or_null(batch_state())
}

pub(crate) fn drift_response_or_null() -> RefOr<Schema> {
    or_null(drift_response())
}

/// Returns the schema of the constant `jit_config`.
pub(crate) fn jit_config() -> Schema {
    constant(CredentialKind::JitConfig)
}

/// Returns the schema of the constant `sealed_jit_config`.
pub(crate) fn sealed_jit_config() -> Schema {
    constant(CredentialKind::SealedJitConfig)
}

/// Returns the schema of the constant `registration_token`.
pub(crate) fn registration_token() -> Schema {
    constant(CredentialKind::RegistrationToken)
}

fn constant(kind: CredentialKind) -> Schema {
    Schema::Object(string_enum(std::iter::once(kind.as_str())).build())
}
