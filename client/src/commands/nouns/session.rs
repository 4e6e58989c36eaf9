//! Sessions of the dashboard.

use crate::output::{Column, Noun};

/// Sessions of a person in the dashboard.
pub(crate) const SESSION: Noun = Noun {
    path: &["admin", "users", "{user_id}", "sessions"],
    key: "sessions",
    name: "id",
    paged: false,
    columns: &[
        Column::text("SESSION", "/id"),
        Column::age("SIGNED IN", "/created_at"),
        Column::age("LAST SEEN", "/last_seen_at"),
        Column::text("ADDRESS", "/request_ip"),
        Column::text("BROWSER", "/user_agent"),
        Column::text("ISSUER", "/issuer").wide(),
        Column::age("ENDS", "/expires_at").wide(),
    ],
};
