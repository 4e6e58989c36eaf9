//! `rts export-audit-log`.

use std::{
    fs::File,
    io::{BufWriter, Write},
};

use anyhow::Context;
use runtime::config::Sources;
use serde_json::{Value, json};
use store::{AuditFilter, AuditRow, Page, Store, Visible};

use crate::{args::ExportAudit, output, wiring};

/// Rows read at a time, which bounds the memory used.
const ROWS_PER_READ: i64 = 1000;

/// Writes the rows to a new file, page by page.
pub(crate) async fn export(sources: &Sources, which: ExportAudit) -> anyhow::Result<()> {
    let store = wiring::store(sources)?;
    // Only the operator needs to read the file: it names people and addresses.
    let file =
        create_private(&which.file).with_context(|| format!("cannot create {}", which.file.display()))?;
    let filter = AuditFilter {
        event_type: which.event_type,
        identity: which.user,
        since: which.since,
        ..AuditFilter::default()
    };
    let rows = write_rows(&store, &filter, which.limit.unwrap_or(u64::MAX), BufWriter::new(file)).await?;
    store.close().await;
    output::note(format_args!("{rows} rows in {}", which.file.display()));
    Ok(())
}

fn create_private(path: &std::path::Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

async fn write_rows(
    store: &Store,
    filter: &AuditFilter,
    limit: u64,
    mut out: impl Write,
) -> anyhow::Result<u64> {
    let (mut written, mut before) = (0, None);
    out.write_all(b"[")?;
    loop {
        let page_limit = i64::try_from(limit - written).unwrap_or(i64::MAX).min(ROWS_PER_READ);
        let page = Page { limit: page_limit, offset: 0, before };
        let rows = store.conn().await?.audit().rows(&Visible::everything(), filter, page).await?;
        for one in &rows {
            out.write_all(if written == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut out, &row(one))?;
            written += 1;
        }
        before = rows.last().map(|last| last.id);
        if before.is_none() || written == limit {
            break;
        }
    }
    out.write_all(b"\n]\n")?;
    out.flush()?;
    Ok(written)
}

/// Returns an audit row with the API's field names.
fn row(row: &AuditRow) -> Value {
    json!({
        "id": row.id,
        "event_type": row.event_type,
        "user_identity": row.user_identity,
        "oidc_sub": row.oidc_sub,
        "runner_id": row.runner_id,
        "runner_name": row.runner_name,
        "team_id": row.team_id,
        "team_name": row.team_name,
        "job_id": row.job_id,
        "request_ip": row.request_ip,
        "user_agent": row.user_agent,
        "request_id": row.request_id,
        "event_data": row.event_data,
        "success": row.success,
        "error_message": row.error_message,
        "timestamp": row.timestamp,
        "occurrences": row.occurrences,
        "last_at": row.last_at,
    })
}
