//! Columns of claim tickets.

use crate::output::{Column, Noun};

/// Claim tickets.
pub(crate) const TICKET: Noun = Noun {
    path: &["runners", "tickets"],
    key: "tickets",
    name: "ticket_id",
    paged: true,
    columns: &[
        Column::text("TICKET", "/ticket_id"),
        Column::text("STATE", "/state"),
        Column::text("LABELS", "/labels"),
        Column::text("BY", "/requested_by"),
        Column::text("EXPIRES", "/expires_at"),
        Column::text("REDEEMED FROM", "/redeemed_from"),
        Column::text("RUNNER", "/runner_id").wide(),
        Column::text("ADDRESSES", "/addresses").wide(),
    ],
};
