//! `rts verify-audit-log`.

use std::io::{IsTerminal, stderr};

use chrono::{TimeDelta, Utc};
use domain::{AuditChain, AuditPublicKeys};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use operations::{ChainProgress, ChainReport, ChainToVerify, verify_audit_chain};
use runtime::config::Sources;
use serde_json::{Value, json};

use crate::{
    args::{
        Output,
        audit::{VerifyAudit, minutes},
    },
    exit::End,
    output, wiring,
};

/// Age of the newest checkpoint from which the end of the chain is doubtful: schedulers sign one a minute.
const MAX_CHECKPOINT_AGE: TimeDelta = TimeDelta::minutes(10);

/// Verifies the chains and prints what differs.
pub(crate) async fn verify(sources: &Sources, which: VerifyAudit) -> anyhow::Result<()> {
    let VerifyAudit { what: which, output: form } = which;
    let keys = if which.public_keys.is_empty() {
        wiring::audit_keys(sources)?.map(|keys| keys.public_keys()).unwrap_or_default()
    } else {
        AuditPublicKeys::parse(&which.public_keys)?
    };
    let store = wiring::store(sources)?;
    let mut reports = Vec::new();
    for chain in AuditChain::ALL.iter().copied().filter(|chain| which.chain.is_none_or(|one| one == *chain)) {
        let noted = which.heads.iter().find(|head| head.chain == chain);
        let expected = noted.map(|head| (head.position, head.hash));
        let bar = progress_bar(chain);
        let show = |progress: ChainProgress| {
            bar.set_length(progress.all_blocks.max(progress.blocks));
            bar.set_position(progress.blocks);
        };
        let request = ChainToVerify { chain, keys: keys.clone(), expected };
        let report = verify_audit_chain(&store, &request, show).await;
        bar.finish_and_clear();
        reports.push(report?);
    }
    store.close().await;
    match form {
        Output::Json => output::line(json_report(&reports, &keys)),
        Output::Table => print(&reports, &keys),
    }
    let findings: usize = reports.iter().map(|report| report.findings.len()).sum();
    if findings == 0 { Ok(()) } else { Err(End::Findings(format!("{findings} differences")).into()) }
}

/// Returns a bar that counts blocks; it is drawn on a terminal only.
fn progress_bar(chain: AuditChain) -> ProgressBar {
    let target =
        if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target).with_message(chain.as_str());
    match ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} blocks, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn print(reports: &[ChainReport], keys: &AuditPublicKeys) {
    for report in reports {
        let since = report.first_day.map_or_else(String::new, |day| format!(" since {day}"));
        output::line(format_args!(
            "{}: {} rows in {} blocks{since}, {} signed days, {} rows not chained yet",
            report.chain, report.rows, report.blocks, report.signed_days, report.waiting
        ));
        if report.head.position > 0 {
            output::line(format_args!("  --head {}", head(report)));
        }
        match report.signed_at {
            Some(time) if Utc::now() - time > MAX_CHECKPOINT_AGE => output::note(format_args!(
                "  The newest checkpoint is of {}. Rows written since may have been removed; does a scheduler run?",
                minutes(time)
            )),
            None => output::note("  There is no checkpoint. Does a scheduler run?"),
            Some(_) => {}
        }
        for finding in &report.findings {
            output::line(format_args!("  {finding}"));
        }
        if report.has_more_findings {
            output::line("  There are more differences.");
        }
    }
    if keys.is_empty() {
        output::note("Signatures were not checked: set TOKEN_KEYS or give --public-key.");
    }
    for key in keys.texts() {
        output::note(format_args!("--public-key {key}"));
    }
}

fn head(report: &ChainReport) -> String {
    format!("{}:{}:{}", report.chain, report.head.position, report.head.hash)
}

fn json_report(reports: &[ChainReport], keys: &AuditPublicKeys) -> Value {
    let chains = reports.iter().map(|report| {
        let findings: Vec<_> = report
            .findings
            .iter()
            .map(|one| json!({ "code": one.code(), "row": one.row(), "text": one.to_string() }))
            .collect();
        json!({
            "chain": report.chain,
            "rows": report.rows,
            "blocks": report.blocks,
            "signed_days": report.signed_days,
            "first_day": report.first_day,
            "head": head(report),
            "signed_at": report.signed_at,
            "waiting": report.waiting,
            "findings": findings,
            "has_more_findings": report.has_more_findings,
        })
    });
    json!({ "chains": chains.collect::<Vec<_>>(), "public_keys": keys.texts() })
}
