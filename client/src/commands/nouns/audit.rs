//! Columns of the audit log.

use crate::output::{Column, Noun};

/// Rows of the audit log.
pub(crate) const AUDIT: Noun = Noun {
    path: &["audit-logs"],
    key: "logs",
    name: "id",
    paged: true,
    columns: &[
        Column::age("AGE", "/timestamp"),
        Column::text("EVENT", "/event_type"),
        Column::text("OK", "/success"),
        Column::text("BY", "/user_identity"),
        Column::text("TEAM", "/team_name"),
        Column::text("RUNNER", "/runner_name"),
        Column::text("ERROR", "/error_message"),
        Column::text("ID", "/id").wide(),
        Column::text("FROM", "/request_ip").wide(),
        Column::text("REQUEST", "/request_id").wide(),
    ],
};
