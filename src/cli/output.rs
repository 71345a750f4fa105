//! How things are shown: tables, times, values, colour where a terminal is, JSON. Decides nothing.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};

/// One row of a table of the state file.
pub type Row = Map<String, Json>;

/// Prints to standard output. A reader that went away (`| head`) is no failure: what is under way goes on.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is left to be told.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints to standard error, likewise.
pub fn complain(text: &str) {
    let mut out = std::io::stderr().lock();
    // Nobody is left to be told.
    let _ = writeln!(out, "{text}");
}

/// Prints a document for programs.
pub fn print_json(document: &Json) {
    // A `Value` always has a text; the fallback is its compact form.
    let text = serde_json::to_string_pretty(document).unwrap_or_else(|_| document.to_string());
    print(&format!("{text}\n"));
}

/// How people read it: with colour and cut to their width, or plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    colour: bool,
    width: Option<u16>,
}

impl Look {
    /// For a pipe or a file: nothing is coloured and nothing is wrapped, so that `grep` finds whole lines.
    pub const PLAIN: Self = Self { colour: false, width: None };

    /// As standard output can show it.
    pub fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::PLAIN;
        }
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { colour: !plain, width: terminal_size::terminal_size().map(|(width, _)| width.0) }
    }

    fn painted(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A heading.
    pub fn heading(self, text: &str) -> String {
        self.painted("1", text)
    }

    /// Something is right.
    pub fn good(self, text: &str) -> String {
        self.painted("32", text)
    }

    /// Something is wrong.
    pub fn bad(self, text: &str) -> String {
        self.painted("31", text)
    }

    /// Something to look at.
    pub fn warn(self, text: &str) -> String {
        self.painted("33", text)
    }

    /// A table without borders, one line per row.
    pub fn table(self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        match self.width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(head.iter().map(|title| title.to_uppercase()));
        for row in rows {
            // A line break inside a value would make two rows of one.
            table.add_row(row.into_iter().map(|cell| one_line(&cell)));
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        let indented = lines.iter().all(|line| line.is_empty() || line.starts_with(' '));
        let mut text = String::new();
        for line in &lines {
            text.push_str(if indented { line.get(1..).unwrap_or_default() } else { line });
            text.push('\n');
        }
        text
    }
}

/// White space and control characters as plain blanks: what a system sent must not move the cursor.
pub fn one_line(text: &str) -> String {
    let plain: String =
        text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    plain.trim_end().to_owned()
}

/// The text of a column for people: no quotes, nothing for null.
pub fn cell(row: &Row, column: &str) -> String {
    match row.get(column) {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The time of a column, to the second.
pub fn time_cell(row: &Row, column: &str) -> String {
    seconds(&cell(row, column))
}

/// `2026-11-21T18:14:00.123456Z` -> `2026-11-21 18:14:00Z`; anything else as it is.
pub fn seconds(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// How long ago, in words; `never` for no time.
pub fn ago(text: &str, now: Timestamp) -> String {
    let Ok(at) = text.parse::<Timestamp>() else { return "never".to_owned() };
    let passed = now.as_second().saturating_sub(at.as_second());
    match passed {
        ..=-2 => format!("in {}", stretch(-passed)),
        -1..=1 => "just now".to_owned(),
        _ => format!("{} ago", stretch(passed)),
    }
}

fn stretch(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A value of a field as people read it.
pub fn value_text(value: &Json) -> String {
    match value {
        Json::Null => "(blank)".to_owned(),
        Json::String(text) if text.trim().is_empty() => "(blank)".to_owned(),
        Json::String(text) => one_line(text),
        Json::Array(entries) => entries.iter().map(value_text).collect::<Vec<_>>().join(", "),
        other => one_line(&other.to_string()),
    }
}

/// Columns that hold JSON, as JSON; a text that is none stays a text.
pub fn opened(mut row: Row, columns: &[&str]) -> Row {
    for column in columns {
        if let Some(value) = row.get_mut(*column)
            && let Json::String(text) = value
            && let Ok(inner) = serde_json::from_str::<Json>(text)
        {
            *value = inner;
        }
    }
    row
}

/// `1 write`, `2 writes`.
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A line on standard error that says what is going on, only where somebody watches; it is taken back when
/// dropped.
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// Nothing is shown yet. `quiet` shows nothing at all.
    pub fn new(quiet: bool) -> Self {
        Self { shown: !quiet && std::io::stderr().is_terminal() }
    }

    /// Shows this instead of what was shown before.
    pub fn say(&self, text: &str) {
        if self.shown {
            let mut out = std::io::stderr().lock();
            // Only an ornament.
            let _ = write!(out, "\r\x1b[K{} ...", one_line(text)).and_then(|()| out.flush());
        }
    }

    /// Takes the line back.
    pub fn clear(&self) {
        if self.shown {
            let mut out = std::io::stderr().lock();
            // Only an ornament.
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_table_has_one_line_per_row_and_no_borders() {
        let rows = [vec!["1".to_owned(), "a\nb\u{1b}[2J".to_owned()], vec!["22".to_owned(), String::new()]];
        assert_eq!(Look::PLAIN.table(&["id", "text"], rows), "ID  TEXT\n1   a b [2J\n22\n");
    }

    #[test]
    fn a_terminal_gets_its_width_and_colour() {
        let look = Look { colour: true, width: Some(30) };
        let text = look.table(&["id", "text"], [vec!["1".to_owned(), "word ".repeat(12)]]);
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
        assert!(text.lines().count() > 2, "{text}");
        assert_eq!(look.bad("no"), "\x1b[31mno\x1b[0m");
        assert_eq!(Look::PLAIN.bad("no"), "no");
    }

    #[test]
    fn times_are_read_by_people() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(seconds("2026-11-21T11:59:30.123456Z"), "2026-11-21 11:59:30Z");
        for (text, expected) in [
            ("2026-11-21T12:00:00.9Z", "just now"),
            ("2026-11-21T11:59:30Z", "30 s ago"),
            ("2026-11-21T11:50:00Z", "10 min ago"),
            ("2026-11-21T02:00:00Z", "10 h ago"),
            ("2026-11-01T12:00:00Z", "20 d ago"),
            ("2026-11-21T12:00:30Z", "in 30 s"),
            ("", "never"),
        ] {
            assert_eq!(ago(text, now), expected, "{text}");
        }
    }

    #[test]
    fn json_columns_are_opened_with_every_digit() {
        let mut row = Row::new();
        row.insert("after".into(), json!("12345678901234567890.12"));
        row.insert("why".into(), json!("7"));
        let row = opened(row, &["after", "missing"]);
        assert_eq!(Json::Object(row).to_string(), r#"{"after":12345678901234567890.12,"why":"7"}"#);
        assert_eq!(value_text(&json!(["a", null])), "a, (blank)");
    }
}
