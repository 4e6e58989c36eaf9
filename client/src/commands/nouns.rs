//! Nouns that the API lists, with the columns of their tables.
//!
//! A test compares every place with docs/openapi.json.

mod audit;
mod session;
mod ticket;

pub(crate) use audit::AUDIT;
pub(crate) use session::SESSION;
pub(crate) use ticket::TICKET;

use crate::output::{Column, Noun};

/// Runners.
pub(crate) const RUNNER: Noun = Noun {
    path: &["runners"],
    key: "runners",
    name: "runner_id",
    paged: true,
    columns: &[
        Column::text("RUNNER", "/runner_id"),
        Column::text("NAME", "/runner_name"),
        Column::text("STATUS", "/status"),
        Column::text("BUSY", "/busy"),
        Column::text("TEAM", "/team_name"),
        Column::text("LABELS", "/labels"),
        Column::age("CREATED", "/created_at"),
        Column::text("BY", "/provisioned_by").wide(),
        Column::text("GITHUB ID", "/github_runner_id").wide(),
        Column::text("VERSION", "/version").wide(),
    ],
};

/// Jobs.
pub(crate) const JOB: Noun = Noun {
    path: &["jobs"],
    key: "jobs",
    name: "job_id",
    paged: true,
    columns: &[
        Column::text("JOB", "/job_id"),
        Column::text("KIND", "/kind"),
        Column::text("STATE", "/state"),
        Column::text("WAITS FOR", "/blocked_on"),
        Column::text("RUNNER", "/runner_name"),
        Column::text("ERROR", "/error/code"),
        Column::age("CREATED", "/created_at"),
        Column::age("FINISHED", "/finished_at").wide(),
        Column::text("ATTEMPTS", "/attempts").wide(),
    ],
};

/// Teams.
pub(crate) const TEAM: Noun = Noun {
    path: &["admin", "teams"],
    key: "teams",
    name: "name",
    paged: true,
    columns: &[
        Column::text("TEAM", "/name"),
        Column::text("ACTIVE", "/is_active"),
        Column::text("RUNNERS", "/active_runner_count"),
        Column::text("MOST", "/max_runners"),
        Column::text("MEMBERS", "/member_count"),
        Column::text("LABELS", "/required_labels"),
        Column::text("MAY HAVE", "/optional_label_patterns"),
        Column::text("ID", "/id").wide(),
        Column::text("INSTALLATION", "/installation").wide(),
        Column::text("GROUPS", "/allowed_runner_group_ids").wide(),
        Column::text("DRIFT", "/drift_response").wide(),
    ],
};

/// Teams of the caller. Unlike [`TEAM`], machine clients may list them.
pub(crate) const MY_TEAM: Noun = Noun { path: &["teams", "my-teams"], paged: false, ..TEAM };

/// People.
pub(crate) const USER: Noun = Noun {
    path: &["admin", "users"],
    key: "users",
    name: "id",
    paged: true,
    columns: &[
        Column::text("USER", "/id"),
        Column::text("EMAIL", "/email"),
        Column::text("NAME", "/display_name"),
        Column::text("ADMIN", "/is_admin"),
        Column::text("VIEWER", "/is_viewer"),
        Column::text("ACTIVE", "/is_active"),
        Column::age("LAST LOGIN", "/last_login_at"),
        Column::text("SUBJECT", "/oidc_sub").wide(),
        Column::text("ISSUER", "/issuer").wide(),
    ],
};

/// Machine clients.
pub(crate) const CLIENT: Noun = Noun {
    path: &["admin", "oauth-clients"],
    key: "clients",
    name: "id",
    paged: true,
    columns: &[
        Column::text("ID", "/id"),
        Column::text("CLIENT", "/client_id"),
        Column::text("TEAM", "/team_id"),
        Column::text("ACTIVE", "/is_active"),
        Column::text("SUBJECT", "/rule/subject"),
        Column::age("LAST USED", "/last_used_at"),
        Column::text("ISSUER", "/issuer").wide(),
        Column::text("DESCRIPTION", "/description").wide(),
    ],
};

/// Lanes of the queue.
pub(crate) const LANE: Noun = Noun {
    path: &["admin", "queues"],
    key: "lanes",
    name: "lane",
    paged: false,
    columns: &[
        Column::text("INSTALLATION", "/installation"),
        Column::text("LANE", "/lane"),
        Column::text("WAITING", "/waiting"),
        Column::text("DELAYED", "/delayed"),
        Column::text("RUNNING", "/running"),
        Column::text("OLDEST SECONDS", "/oldest_age_seconds"),
    ],
};

/// Workers.
pub(crate) const WORKER: Noun = Noun {
    path: &["admin", "workers"],
    key: "workers",
    name: "name",
    paged: false,
    columns: &[
        Column::text("WORKER", "/name"),
        Column::text("ALIVE", "/alive"),
        Column::text("RUNNING", "/running"),
        Column::text("SLOTS", "/concurrency"),
        Column::text("VERSION", "/version"),
        Column::age("STARTED", "/started_at"),
        Column::age("SEEN", "/heartbeat_at"),
        Column::text("DRAINS", "/draining"),
        Column::text("HOST", "/host").wide(),
        Column::text("LANES", "/lanes").wide(),
        Column::text("INSTALLATIONS", "/installations").wide(),
    ],
};

/// Budgets of the installations.
pub(crate) const BUDGET: Noun = Noun {
    path: &["admin", "budget"],
    key: "budgets",
    name: "installation",
    paged: false,
    columns: &[
        Column::text("INSTALLATION", "/installation"),
        Column::text("BREAKER", "/breaker"),
        Column::text("RUNNING", "/running"),
        Column::text("WRITES A MINUTE", "/mutation_rate_per_minute"),
        Column::text("REGISTRATIONS", "/registrations_used"),
    ],
};

/// Causes of failed jobs.
pub(crate) const FAILURE: Noun = Noun {
    path: &["admin", "failures"],
    key: "failures",
    name: "code",
    paged: false,
    columns: &[
        Column::text("CODE", "/code"),
        Column::text("JOBS", "/jobs"),
        Column::text("TEAMS", "/teams"),
        Column::age("LAST", "/last_at"),
        Column::text("WHAT TO DO", "/what_to_do"),
        Column::text("EXAMPLE", "/example_job_id").wide(),
        Column::text("DETAIL", "/detail").wide(),
    ],
};

/// Sync runs of the installations.
pub(crate) const SYNC: Noun = Noun {
    path: &["admin", "sync", "status"],
    key: "installations",
    name: "installation",
    paged: false,
    columns: &[
        Column::text("INSTALLATION", "/installation"),
        Column::text("RESULT", "/last_sync_result"),
        Column::age("LAST", "/last_sync_time"),
        Column::age("LAST COMPLETE", "/last_complete_sync_time"),
        Column::text("ASKED FOR", "/triggered"),
        Column::text("HELD REMOVALS", "/removals_held"),
        Column::text("CONFIRMED", "/removals_confirmed"),
        Column::text("ERROR", "/last_sync_error"),
    ],
};

/// Unmanaged runners.
pub(crate) const UNMANAGED: Noun = Noun {
    path: &["admin", "runners", "unmanaged"],
    key: "runners",
    name: "runner_name",
    paged: true,
    columns: &[
        Column::text("NAME", "/runner_name"),
        Column::text("ONLINE", "/online"),
        Column::text("BUSY", "/busy"),
        Column::text("LABELS", "/labels"),
        Column::text("INSTALLATION", "/installation"),
        Column::age("FIRST SEEN", "/first_seen_at"),
        Column::text("GITHUB ID", "/github_runner_id").wide(),
        Column::age("LAST SEEN", "/last_seen_at").wide(),
    ],
};

/// Versions of the runner software.
pub(crate) const VERSION: Noun = Noun {
    path: &["admin", "runners", "versions"],
    key: "versions",
    name: "version",
    paged: false,
    columns: &[
        Column::text("INSTALLATION", "/installation"),
        Column::text("VERSION", "/version"),
        Column::text("STATE", "/state"),
        Column::text("RUNNERS", "/runners"),
        Column::text("STATED", "/stated"),
        Column::age("NO NEW ONES", "/registration_deprecates_at"),
        Column::age("NO JOBS", "/runtime_deprecates_at"),
    ],
};

/// Security events.
pub(crate) const SECURITY: Noun = Noun {
    path: &["admin", "security-events"],
    key: "events",
    name: "id",
    paged: true,
    columns: &[
        Column::age("AGE", "/timestamp"),
        Column::text("SEVERITY", "/severity"),
        Column::text("EVENT", "/event_type"),
        Column::text("BY", "/user_identity"),
        Column::text("RUNNER", "/runner_name"),
        Column::text("ACTION", "/action_taken"),
        Column::text("TIMES", "/occurrences"),
        Column::text("ID", "/id").wide(),
        Column::text("DETAIL", "/action_detail").wide(),
        Column::text("SEEN BY", "/acknowledged_by").wide(),
    ],
};

/// Streams of events to the sinks.
pub(crate) const EVENT_STREAM: Noun = Noun {
    path: &["admin", "event-streams"],
    key: "streams",
    name: "sink",
    paged: false,
    columns: &[
        Column::text("SINK", "/sink"),
        Column::text("ROWS", "/chain"),
        Column::age("DELIVERED", "/delivered_at"),
        Column::age("FAILS SINCE", "/failing_since"),
        Column::text("ERROR", "/last_error"),
        Column::text("REFUSALS", "/refusals").wide(),
        Column::age("WAITING", "/waiting_since").wide(),
        Column::age("NEXT ATTEMPT", "/next_attempt_at").wide(),
    ],
};

/// Events that were put aside for a sink.
pub(crate) const EVENT_DELIVERY: Noun = Noun {
    path: &["admin", "event-deliveries"],
    key: "deliveries",
    name: "id",
    paged: true,
    columns: &[
        Column::text("DELIVERY", "/id"),
        Column::text("SINK", "/sink"),
        Column::text("EVENT", "/event_type"),
        Column::text("STATE", "/state"),
        Column::age("PUT ASIDE", "/created_at"),
        Column::text("ERROR", "/last_error"),
        Column::text("EVENT ID", "/event_id").wide(),
        Column::text("ATTEMPTS", "/attempts").wide(),
        Column::age("SETTLED", "/settled_at").wide(),
    ],
};

/// Batches.
pub(crate) const BATCH: Noun = Noun {
    path: &["admin", "batch"],
    key: "batches",
    name: "id",
    paged: false,
    columns: &[
        Column::text("BATCH", "/id"),
        Column::text("ACTION", "/action"),
        Column::text("STATE", "/state"),
        Column::text("ITEMS", "/total"),
        Column::text("CHANGED", "/affected_count"),
        Column::text("REFUSED", "/failed_count"),
        Column::age("AGE", "/created_at"),
        Column::text("COMMENT", "/comment"),
        Column::text("LEFT", "/skipped_count").wide(),
        Column::text("STOPPED", "/stop_reason").wide(),
    ],
};

/// Incidents.
pub(crate) const INCIDENT: Noun = Noun {
    path: &["admin", "incidents"],
    key: "incidents",
    name: "id",
    paged: false,
    columns: &[
        Column::text("INCIDENT", "/id"),
        Column::text("TARGET", "/target"),
        Column::text("NAME", "/name"),
        Column::text("STATE", "/state"),
        Column::age("AGE", "/created_at"),
        Column::text("REASON", "/reason"),
        Column::text("UNDONE BY", "/undone_by").wide(),
    ],
};

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const ALL: &[&Noun] = &[
        &RUNNER,
        &JOB,
        &TICKET,
        &TEAM,
        &MY_TEAM,
        &USER,
        &SESSION,
        &CLIENT,
        &LANE,
        &WORKER,
        &FAILURE,
        &BUDGET,
        &SYNC,
        &UNMANAGED,
        &VERSION,
        &SECURITY,
        &AUDIT,
        &INCIDENT,
        &EVENT_STREAM,
        &EVENT_DELIVERY,
        &BATCH,
    ];

    fn document() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Follows references and alternatives to the schema of a member.
    fn member<'a>(document: &'a Value, schema: &'a Value, name: &str) -> Option<&'a Value> {
        if let Some(reference) = schema["$ref"].as_str() {
            return member(document, document.pointer(&reference[1..])?, name);
        }
        if let Some(found) = schema["properties"].get(name) {
            return Some(found);
        }
        let parts = ["oneOf", "anyOf", "allOf"].iter().filter_map(|word| schema[*word].as_array()).flatten();
        parts.into_iter().find_map(|part| member(document, part, name))
    }

    #[test]
    fn every_column_is_in_the_api_document() {
        let document = document();
        for noun in ALL {
            let path = format!("/api/v1/{}", noun.path.join("/"));
            let call = &document["paths"][&path]["get"];
            let answer = &call["responses"]["200"]["content"]["application/json"]["schema"];
            let list = member(&document, answer, noun.key).unwrap_or_else(|| panic!("{path} {}", noun.key));
            let pointers = noun.columns.iter().map(|column| &column.at[1..]);
            for pointer in pointers.chain([noun.name]) {
                let mut schema = &list["items"];
                for name in pointer.split('/') {
                    schema = member(&document, schema, name).unwrap_or_else(|| panic!("{path}: {pointer}"));
                }
            }
            let parameters = call["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let paged = parameters.iter().any(|parameter| parameter["name"] == "cursor");
            assert_eq!(paged, noun.paged, "{path}");
        }
    }
}
