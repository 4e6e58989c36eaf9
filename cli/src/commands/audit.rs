//! `rts export-audit-log`.

use std::{
    fs::File,
    io::{BufWriter, IsTerminal, Write, stderr},
};

use anyhow::Context;
use domain::AuditFormat;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use operations::AuditText;
use runtime::config::Sources;
use store::{AuditFilter, Page, Period, Store, Visible};

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
        period: Period { since: which.since, until: None },
        ..AuditFilter::default()
    };
    let export =
        Export { store: &store, filter, format: which.format, limit: which.limit.unwrap_or(u64::MAX) };
    let rows = export.write(BufWriter::new(file)).await?;
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

/// Rows to write.
struct Export<'e> {
    store: &'e Store,
    filter: AuditFilter,
    format: AuditFormat,
    limit: u64,
}

impl Export<'_> {
    /// Writes the rows. Returns their number.
    async fn write(&self, mut out: impl Write) -> anyhow::Result<u64> {
        let (mut text, mut before, bar) = (AuditText::new(self.format), None, progress_bar());
        out.write_all(&text.start())?;
        loop {
            let left = i64::try_from(self.limit - text.rows()).unwrap_or(i64::MAX);
            let page = Page { limit: left.min(ROWS_PER_READ), offset: 0, before };
            let mut conn = self.store.conn().await?;
            let rows = conn.audit().rows(&Visible::everything(), &self.filter, page).await?;
            out.write_all(&text.add(&rows))?;
            bar.set_position(text.rows());
            before = rows.last().map(|last| last.id);
            if before.is_none() || text.rows() == self.limit {
                break;
            }
        }
        out.write_all(&text.end())?;
        out.flush()?;
        bar.finish_and_clear();
        Ok(text.rows())
    }
}

/// Returns a display of the number of rows, which is not counted beforehand; it is drawn on a terminal only.
fn progress_bar() -> ProgressBar {
    let target =
        if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    match ProgressStyle::with_template("{spinner} {human_pos} rows, {per_sec}, {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
