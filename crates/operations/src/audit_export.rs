//! Export of the audit log as JSON, JSON lines or CSV.

use domain::{AuditFormat, Problem};
use serde_json::{Value, json};
use store::{AuditFilter, AuditRow};

use crate::{Actor, Operations, Result};

/// Columns of a CSV file, and members of a JSON object.
const COLUMNS: [&str; 18] = [
    "id",
    "timestamp",
    "event_type",
    "success",
    "user_identity",
    "oidc_sub",
    "team_id",
    "team_name",
    "runner_id",
    "runner_name",
    "job_id",
    "request_ip",
    "user_agent",
    "request_id",
    "error_message",
    "occurrences",
    "last_at",
    "event_data",
];

/// Audit rows as text, some at a time.
#[derive(Debug)]
pub struct AuditText {
    format: AuditFormat,
    rows: u64,
}

impl AuditText {
    /// Returns a text without rows.
    pub const fn new(format: AuditFormat) -> Self {
        Self { format, rows: 0 }
    }

    /// Returns the media type.
    pub const fn media_type(format: AuditFormat) -> &'static str {
        match format {
            AuditFormat::Json => "application/json",
            AuditFormat::JsonLines => "application/jsonl",
            AuditFormat::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// Returns the number of rows so far.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the text before the first row.
    pub fn start(&self) -> Vec<u8> {
        match self.format {
            AuditFormat::Json => b"[".to_vec(),
            AuditFormat::JsonLines => Vec::new(),
            AuditFormat::Csv => csv_record(&COLUMNS.map(str::to_owned)),
        }
    }

    /// Returns the text of more rows.
    pub fn add(&mut self, rows: &[AuditRow]) -> Vec<u8> {
        let mut text = Vec::new();
        for row in rows {
            let values = values(row);
            match self.format {
                AuditFormat::Json => {
                    text.extend_from_slice(if self.rows == 0 { b"\n" } else { b",\n" });
                    text.extend_from_slice(object(values).to_string().as_bytes());
                }
                AuditFormat::JsonLines => {
                    text.extend_from_slice(object(values).to_string().as_bytes());
                    text.push(b'\n');
                }
                AuditFormat::Csv => text.extend(csv_record(&values.map(cell))),
            }
            self.rows += 1;
        }
        text
    }

    /// Returns the text after the last row.
    pub fn end(&self) -> Vec<u8> {
        match self.format {
            AuditFormat::Json => b"\n]\n".to_vec(),
            AuditFormat::JsonLines | AuditFormat::Csv => Vec::new(),
        }
    }
}

/// Returns the values of a row, in the order of the columns.
fn values(row: &AuditRow) -> [Value; 18] {
    [
        json!(row.id),
        json!(row.timestamp),
        json!(row.event_type),
        json!(row.success),
        json!(row.user_identity),
        json!(row.oidc_sub),
        json!(row.team_id),
        json!(row.team_name),
        json!(row.runner_id),
        json!(row.runner_name),
        json!(row.job_id),
        json!(row.request_ip),
        json!(row.user_agent),
        json!(row.request_id),
        json!(row.error_message),
        json!(row.occurrences),
        json!(row.last_at),
        row.event_data.clone().unwrap_or_default(),
    ]
}

fn object(values: [Value; 18]) -> Value {
    COLUMNS.into_iter().map(str::to_owned).zip(values).collect()
}

/// Returns a value as the text of a cell. Callers choose user agents and names: a text that a spreadsheet would take for
/// a formula gets an apostrophe before it.
fn cell(value: Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        format!("'{text}")
    } else {
        text
    }
}

/// Returns a line of a CSV file (RFC 4180).
fn csv_record(cells: &[String]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory fails only for records of different lengths.
    let written = writer.write_record(cells);
    debug_assert!(written.is_ok(), "{written:?}");
    writer.into_inner().unwrap_or_default()
}

impl Operations<'_> {
    /// Records that a caller reads the audit log as a whole.
    ///
    /// # Errors
    /// `admin_required` unless the caller sees everything; database errors.
    pub async fn begin_audit_export(
        &self,
        actor: Actor<'_>,
        format: AuditFormat,
        filter: &AuditFilter,
    ) -> Result<()> {
        if !actor.caller.sees_everything() {
            return Err(
                Problem::new(domain::ProblemCode::AdminRequired, "This needs an admin or a viewer.").into()
            );
        }
        let mut entry = actor.entry("audit.export");
        entry.team = filter.team;
        entry.data = json!({ "format": format, "event_type": filter.event_type, "identity": filter.identity,
            "runner": filter.runner, "success": filter.success, "since": filter.period.since, "until": filter.period.until });
        self.store.conn().await?.audit().write(&entry).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn row(user_agent: &str) -> AuditRow {
        AuditRow {
            id: Uuid::from_u128(7),
            event_type: "runner.provision".to_owned(),
            user_identity: Some("ada@example.com".to_owned()),
            oidc_sub: None,
            runner_id: None,
            runner_name: None,
            team_id: None,
            team_name: None,
            job_id: None,
            request_ip: None,
            user_agent: Some(user_agent.to_owned()),
            request_id: None,
            event_data: Some(json!({ "labels": ["a", "b"] })),
            success: true,
            error_message: None,
            timestamp: DateTime::UNIX_EPOCH,
            occurrences: 1,
            last_at: None,
        }
    }

    fn text(format: AuditFormat, rows: &[AuditRow]) -> String {
        let mut text = AuditText::new(format);
        let parts = [text.start(), text.add(rows), text.end()];
        String::from_utf8(parts.concat()).unwrap()
    }

    #[test]
    fn formulas_become_text_and_commas_stay_in_their_cells() {
        let csv = text(AuditFormat::Csv, &[row("=cmd|'/c calc'!A1"), row("a, \"b\"\r\nc")]);
        let mut lines = csv.split("\r\n");
        assert!(lines.next().unwrap().starts_with("id,timestamp,event_type,success,user_identity"));
        assert!(lines.next().unwrap().contains(",'=cmd|'/c calc'!A1,"), "{csv}");
        assert!(csv.contains("\"a, \"\"b\"\"\r\nc\""), "{csv}");
        for start in ["+1", "-1", "@x", "\t=1", "＝1"] {
            assert!(text(AuditFormat::Csv, &[row(start)]).contains(&format!("'{start}")), "{start}");
        }
    }

    #[test]
    fn all_json_forms_have_the_same_objects() {
        let rows = [row("a"), row("b")];
        let all: Vec<Value> = serde_json::from_str(&text(AuditFormat::Json, &rows)).unwrap();
        let lines = text(AuditFormat::JsonLines, &rows);
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((all.len(), &all), (2, &lines));
        assert_eq!(all[0]["event_data"]["labels"][1], "b");
        assert_eq!(text(AuditFormat::Json, &[]), "[\n]\n");
        assert_eq!(text(AuditFormat::JsonLines, &[]), "");
    }
}
