//! Tables that fit the terminal.

use std::io::IsTerminal;

use chrono::{DateTime, Utc};
use comfy_table::{ContentArrangement, Row, Table, presets::NOTHING};
use serde_json::Value;

use super::Column;

/// Returns a table of items. With a width, long cells are cut so that no line is longer.
pub(crate) fn render(
    items: &[Value],
    columns: &[Column],
    wide: bool,
    width: Option<u16>,
    now: DateTime<Utc>,
) -> String {
    let shown: Vec<_> = columns.iter().filter(|column| column.is_shown(wide)).collect();
    let header = shown.iter().map(|column| column.header.to_owned()).collect();
    let cells = |item| shown.iter().map(|column| column.cell(item, wide, now)).collect();
    lay_out(header, items.iter().map(cells), width.filter(|_| !wide)).join("\n")
}

/// Returns the lines of a table without borders.
pub(super) fn lay_out(
    header: Vec<String>,
    rows: impl Iterator<Item = Vec<String>>,
    width: Option<u16>,
) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    match width {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            table.set_truncation_indicator("…");
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    for cells in rows {
        let mut row = Row::from(cells);
        row.max_height(1);
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Returns the width of the terminal that stdout is, or `None` if it is a pipe or a file.
pub(crate) fn terminal_width() -> Option<u16> {
    std::io::stdout().is_terminal().then(|| terminal_size::terminal_size().map_or(80, |(width, _)| width.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[
        Column::text("NAME", "/name"),
        Column::text("LABELS", "/labels"),
        Column::age("CREATED", "/at"),
        Column::text("ID", "/id").wide(),
    ];

    fn table(wide: bool, width: Option<u16>) -> String {
        let items = [
            json!({ "name": "ci-1", "labels": ["linux", "x64"], "at": "2026-01-01T00:00:00Z", "id": 7 }),
            json!({ "name": "c", "labels": ["a-label-that-is-much-longer-than-the-others-are"], "at": null }),
        ];
        render(&items, COLUMNS, wide, width, "2026-01-01T00:01:00Z".parse().unwrap())
    }

    #[test]
    fn pipe_gets_whole_cells_and_no_escapes() {
        let text = table(false, None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("NAME  LABELS"), "{text}");
        assert!(lines[1].starts_with("ci-1  linux,x64") && lines[1].ends_with("60s"), "{text}");
        assert!(text.contains("much-longer-than-the-others-are") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn terminal_gets_lines_that_fit() {
        let text = table(false, Some(40));
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.contains('…') && text.contains("60s"), "{text}");
    }

    #[test]
    fn wide_tables_have_more_columns_and_whole_times() {
        let text = table(true, Some(40));
        assert!(text.contains("ID") && text.contains("2026-01-01T00:00:00Z"), "{text}");
    }
}
