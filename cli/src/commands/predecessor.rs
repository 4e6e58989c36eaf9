//! `rts import-predecessor`.

use anyhow::Context;
use comfy_table::{Table, presets::NOTHING};
use operations::{Adoption, ImportReport, ImportTarget, Operations};
use runtime::config::{OidcConfig, Sources};
use serde_json::{Value, json};
use store::Predecessor;

use super::access::refused;
use crate::{
    args::{ImportPredecessor, Output},
    exit::End,
    output, process, wiring,
};

/// Imports the predecessor's database and prints what became of its rows.
pub(crate) async fn import(sources: &Sources, which: &ImportPredecessor) -> anyhow::Result<()> {
    let target = ImportTarget { issuer: issuer(sources, which)?, installation: which.installation.clone() };
    let address = which.database_url.expose();
    if !address.starts_with("postgres://") && !address.starts_with("postgresql://") {
        let detail = "the predecessor's database must be PostgreSQL: copy an SQLite database into one first";
        return Err(End::Refused(detail.to_owned()).into());
    }
    let (store, queue) = (wiring::store(sources)?, wiring::queue(sources)?);
    // The library's error may quote the address, and so a password.
    let away =
        |_| End::Unavailable("the predecessor's database cannot be reached at this address".to_owned());
    let mut from = Predecessor::connect(&which.database_url).await.map_err(away)?;
    let adoption = if which.dry_run { Adoption::DryRun } else { Adoption::Keep };
    let admin = process::administrator("rts import-predecessor");
    let operations = Operations::new(&store, &queue);
    let report =
        operations.import_predecessor(&admin, &mut from, &target, adoption).await.map_err(refused)?;
    store.close().await;
    print(&report, which.output)?;
    if which.dry_run {
        output::note("dry run: nothing was changed");
    }
    match report.kinds.iter().map(|kind| kind.left_out).sum::<usize>() {
        0 => Ok(()),
        rows => Err(End::Refused(format!("{rows} rows were left out")).into()),
    }
}

/// Returns the given issuer, or the first that is configured.
fn issuer(sources: &Sources, which: &ImportPredecessor) -> anyhow::Result<String> {
    if let Some(given) = &which.issuer {
        return Ok(given.clone());
    }
    let config: OidcConfig = sources.section().context("give --issuer, or configure OIDC_ISSUER")?;
    let first = config.issuers.into_iter().next().context("give --issuer, or configure OIDC_ISSUER")?;
    Ok(first.issuer)
}

fn print(report: &ImportReport, form: Output) -> anyhow::Result<()> {
    match form {
        Output::Table => {
            let mut table = Table::new();
            table.load_style(NOTHING).set_header(["KIND", "ADDED", "HERE ALREADY", "LEFT OUT"]);
            for kind in &report.kinds {
                let counts = [kind.added, kind.kept, kind.left_out].map(|count| count.to_string());
                table.add_row(std::iter::once(kind.kind.to_owned()).chain(counts));
            }
            output::line(table);
        }
        Output::Json => {
            let kinds: Vec<Value> = report
                .kinds
                .iter()
                .map(|kind| {
                    json!({ "kind": kind.kind, "added": kind.added, "kept": kind.kept, "left_out": kind.left_out })
                })
                .collect();
            let whole = json!({
                "source": report.source, "kinds": kinds, "notes": report.notes, "more_notes": report.more_notes,
            });
            output::line(serde_json::to_string_pretty(&whole)?);
        }
    }
    for note in &report.notes {
        output::note(note);
    }
    if report.more_notes > 0 {
        output::note(format_args!("and {} more", report.more_notes));
    }
    Ok(())
}
