//! What is wrong with a config, told like a compiler tells it: file, line, key, the line itself, a caret.
//!
//! Nothing here decides what is wrong, and nothing here ever shows a secret: the text of a line passes
//! through [`Source::locate`], which covers every value that stands under a secret's name.

use std::fmt;
use std::ops::Range;

/// Where a key or value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The config file, by byte range.
    File(Range<usize>),
    /// An environment variable, by name.
    Environment(String),
    /// A flag of the command line, by its key.
    Flag(String),
}

/// One thing that is wrong with the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The config file, or what else the value came from (`environment variable TALLYSYNC_STATE__PATH`).
    pub file: String,
    /// Line in the file, from 1; 0 when it does not come from the file.
    pub line: usize,
    /// Column of the key or value, from 1, in characters; 0 likewise.
    pub column: usize,
    /// How many characters the caret underlines.
    pub width: usize,
    /// The key, as a dotted path from the part that `message` names.
    pub key: String,
    /// The line as it stands in the file, with secrets covered.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// The nearest valid name, or what to write instead.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.message)?;
        } else {
            write!(f, "{}:{}: {}", self.file, self.line, self.message)?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; {suggestion}")?;
        }
        if self.line == 0 || self.text.is_empty() {
            return Ok(());
        }
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(self.column.saturating_sub(1));
        let carets = "^".repeat(self.width.max(1));
        write!(f, "\n {number} | {}\n {margin} | {indent}{carets}", self.text)
    }
}

/// Everything that is wrong with a config, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        match self.0.len() {
            1 => write!(f, "1 problem in the config; nothing was started"),
            count => write!(f, "{count} problems in the config; nothing was started"),
        }
    }
}

impl std::error::Error for Problems {}

/// The text of the config file with the name it is shown under.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name in messages: the path as it was given.
    pub name: String,
    /// The text.
    pub text: String,
    covered: Vec<Range<usize>>,
}

impl Source {
    /// A text under a name, with nothing covered yet.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), covered: Vec::new() }
    }

    /// Covers a byte range: it is shown as `***` from now on.
    pub fn cover(&mut self, range: Range<usize>) {
        self.covered.push(range);
    }

    /// The line number (from 1), column (from 1, in characters) and width of a byte range, and the line's
    /// text with secrets covered.
    pub fn locate(&self, range: &Range<usize>) -> Place {
        let start = self.floor(range.start);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end =
            self.text.get(start..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |at| start + at);
        let end = self.floor(range.end.clamp(start, line_end));
        Place {
            line: before.matches('\n').count() + 1,
            column: self.shown(line_start, start).chars().count() + 1,
            width: self.shown(start, end).chars().count().max(1),
            text: self.shown(line_start, line_end).trim_end().to_owned(),
        }
    }

    /// The text between two places, each covered stretch shown as `***`.
    fn shown(&self, from: usize, to: usize) -> String {
        let mut out = String::new();
        let mut inside = false;
        for (offset, character) in self.text.get(from..to).unwrap_or_default().char_indices() {
            let at = from + offset;
            if self.covered.iter().any(|range| range.contains(&at)) {
                if !inside {
                    out.push_str("***");
                }
                inside = true;
            } else {
                inside = false;
                out.push(if character == '\t' { ' ' } else { character });
            }
        }
        out
    }

    fn floor(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// Where something stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters as shown.
    pub column: usize,
    /// In characters as shown.
    pub width: usize,
    /// The line, secrets covered.
    pub text: String,
}

/// Collects problems and remarks while a config is read.
#[derive(Debug)]
pub struct Report<'s> {
    source: &'s Source,
    problems: Vec<(usize, Problem)>,
    /// Remarks that do not stop the start.
    pub warnings: Vec<String>,
}

impl<'s> Report<'s> {
    /// An empty report about that file.
    pub fn new(source: &'s Source) -> Self {
        Self { source, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Notes a problem.
    pub fn problem(&mut self, at: &Origin, key: &str, message: impl Into<String>) {
        self.suggest(at, key, message, None);
    }

    /// Notes a problem together with what to write instead.
    pub fn suggest(
        &mut self,
        at: &Origin,
        key: &str,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) {
        let mut problem = Problem {
            file: self.source.name.clone(),
            line: 0,
            column: 0,
            width: 0,
            key: key.to_owned(),
            text: String::new(),
            message: message.into(),
            suggestion,
        };
        let mut order = usize::MAX;
        match at {
            Origin::File(range) => {
                let place = self.source.locate(range);
                order = range.start;
                problem.line = place.line;
                problem.column = place.column;
                problem.width = place.width;
                problem.text = place.text;
            }
            Origin::Environment(variable) => problem.file = format!("environment variable {variable}"),
            Origin::Flag(flag) => problem.file = format!("command line, {flag}"),
            Origin::Default => {}
        }
        if !self.problems.iter().any(|(_, known)| *known == problem) {
            self.problems.push((order, problem));
        }
    }

    /// Notes a remark that does not stop the start.
    pub fn warn(&mut self, at: &Origin, message: impl fmt::Display) {
        let text = match at {
            Origin::File(range) => {
                format!("{}:{}: {message}", self.source.name, self.source.locate(range).line)
            }
            Origin::Environment(variable) => format!("environment variable {variable}: {message}"),
            Origin::Flag(flag) => format!("command line, {flag}: {message}"),
            Origin::Default => format!("{}: {message}", self.source.name),
        };
        self.warnings.push(text);
    }

    /// How many problems there are so far.
    pub fn count(&self) -> usize {
        self.problems.len()
    }

    /// The problems in the order of the file, those from elsewhere last; and the remarks.
    pub fn finish(mut self) -> (Problems, Vec<String>) {
        self.problems.sort_by_key(|(order, _)| *order);
        (Problems(self.problems.into_iter().map(|(_, problem)| problem).collect()), self.warnings)
    }
}
