//! `rts budget`.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::{nouns::BUDGET, values::duration};
use crate::{
    error::ClientError,
    output::{Format, Size, fit, print::line, print_changes, render, scalar, show_repeatedly},
    session::{Limit, Session},
};

/// Arguments of `rts budget`.
#[derive(Debug, Args)]
pub struct BudgetArgs {
    /// Show the budgets again and again until Ctrl-C; where stdout is no terminal, once for each change.
    #[arg(short, long)]
    watch: bool,
    /// Time between two looks.
    #[arg(long, requires = "watch", default_value = "2s", value_name = "DURATION", value_parser = duration)]
    interval: Duration,
}

/// Runs the command.
pub(crate) async fn run(session: &Session, args: &BudgetArgs) -> Result<(), ClientError> {
    if !args.watch {
        session.print_list(&BUDGET, session.list_request(&BUDGET), Limit { items: None }).await?;
        if session.format.is_table() {
            look(session).await?.iter().flat_map(describe_windows).for_each(|text| {
                line(text);
            });
        }
        return Ok(());
    }
    if session.format.is_table() && io::stdout().is_terminal() {
        return show_repeatedly(args.interval, async |size| {
            Ok(frame(session, &look(session).await?, size, Utc::now()))
        })
        .await;
    }
    print_changes(args.interval, async || {
        let budgets = look(session).await?;
        // Only what a block shows is a change.
        let key = block(&without_countdowns(&budgets), session.format, DateTime::UNIX_EPOCH);
        Ok((key, block(&budgets, session.format, Utc::now())))
    })
    .await
}

async fn look(session: &Session) -> Result<Vec<Value>, ClientError> {
    Ok(session.get(BUDGET.path).await?[BUDGET.key].as_array().cloned().unwrap_or_default())
}

/// Returns a frame for the terminal.
fn frame(session: &Session, budgets: &[Value], size: Size, now: DateTime<Utc>) -> String {
    let time = now.format("%Y-%m-%d %H:%M:%S UTC");
    let mut lines = vec![format!("{}   {time}   Ctrl-C ends", session.client.url.host()), String::new()];
    let wide = session.format == Format::Wide;
    lines.extend(render(budgets, BUDGET.columns, wide, Some(size.width), now).lines().map(str::to_owned));
    lines.push(String::new());
    lines.extend(budgets.iter().flat_map(describe_windows));
    fit(lines, size)
}

/// Returns a block for a pipe: a table with the time above it, or one line of JSON.
fn block(budgets: &[Value], format: Format, now: DateTime<Utc>) -> String {
    let lines = |each: fn(&Value) -> String| budgets.iter().map(each).collect::<Vec<_>>().join("\n");
    match format {
        Format::Json => json!(budgets).to_string(),
        Format::Jsonl => lines(ToString::to_string),
        Format::Name => lines(|budget| scalar(&budget[BUDGET.name])),
        Format::Table | Format::Wide => {
            let mut block = vec![now.format("%Y-%m-%d %H:%M:%S UTC").to_string()];
            block.push(
                render(budgets, BUDGET.columns, format == Format::Wide, None, now).trim_end().to_owned(),
            );
            block.extend(budgets.iter().flat_map(describe_windows));
            block.push(String::new());
            block.join("\n")
        }
    }
}

/// Returns the budgets without the times until something ends, which differ at each look.
fn without_countdowns(budgets: &[Value]) -> Vec<Value> {
    let mut budgets = budgets.to_vec();
    for budget in &mut budgets {
        for (list, countdown) in [("windows", "reset_in_seconds"), ("pauses", "seconds_left")] {
            let items = budget[list].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut);
            items.for_each(|item| {
                item.remove(countdown);
            });
        }
    }
    budgets
}

/// Returns one line for each window and pause of an installation.
pub(super) fn describe_windows(budget: &Value) -> Vec<String> {
    let name = scalar(&budget["installation"]);
    let list = |member: &str| budget[member].as_array().cloned().unwrap_or_default();
    let window = |one: &Value| {
        let [resource, remaining, limit, reset] =
            ["resource", "remaining", "limit", "reset_in_seconds"].map(|member| scalar(&one[member]));
        format!("{name}: {resource}: {remaining} of {limit} left, new in {reset} s")
    };
    let pause = |one: &Value| {
        format!("{name}: paused ({}) for {} s", scalar(&one["reason"]), scalar(&one["seconds_left"]))
    };
    list("windows").iter().map(window).chain(list("pauses").iter().map(pause)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(remaining: u64, reset: u64) -> Vec<Value> {
        vec![json!({
            "installation": "default", "breaker": "closed", "running": 1,
            "windows": [{ "resource": "core", "remaining": remaining, "limit": 5000, "reset_in_seconds": reset }],
            "pauses": [{ "reason": "admin", "seconds_left": reset }],
        })]
    }

    #[test]
    fn countdown_is_no_change() {
        for format in [Format::Table, Format::Jsonl] {
            let key = |remaining, reset| {
                block(&without_countdowns(&budget(remaining, reset)), format, DateTime::UNIX_EPOCH)
            };
            assert_eq!(key(41, 9), key(41, 8));
            assert_ne!(key(41, 9), key(40, 9));
        }
    }

    #[test]
    fn block_has_windows_and_pauses_or_is_one_line_of_json() {
        let block = |format| super::block(&budget(41, 9), format, Utc::now());
        let table = block(Format::Table);
        assert!(
            table.contains("INSTALLATION") && table.contains("core: 41 of 5000 left, new in 9 s"),
            "{table}"
        );
        assert!(table.contains("paused (admin) for 9 s") && table.ends_with('\n'), "{table}");
        assert_eq!(block(Format::Json).lines().count(), 1);
        assert_eq!(block(Format::Name), "default");
    }
}
