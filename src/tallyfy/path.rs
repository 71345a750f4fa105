//! The path language of Tallyfy runs: `kickoff."Ship date"`, `tasks.approval.approved`.
//!
//! Pure text to structure. Nothing here knows a template; names are resolved in `template.rs`.

use std::fmt;

/// What a path of a run points to, with the names as the user wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunPath {
    /// A member of the process itself.
    Member(Member),
    /// `custom.KEY`: a custom field (metadata) of the process.
    Custom(String),
    /// `kickoff.FIELD`.
    Kickoff(String),
    /// `form.STEP.FIELD`.
    Form {
        /// Step by id, alias or title.
        step: String,
        /// Field by id, alias or label.
        field: String,
    },
    /// `tasks.STEP.PART`.
    Task {
        /// Step by id, alias or title.
        step: String,
        /// Which part of the task.
        part: TaskPart,
    },
}

/// The members of a process that have a path of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// `name`.
    Name,
    /// `summary`.
    Summary,
    /// `owner`: a member's id, as text.
    Owner,
    /// `status`: read-only.
    Status,
    /// `due_date`: read-only, it follows from the deadlines of the tasks.
    DueDate,
    /// `tags`: the titles.
    Tags,
    /// `url`: where a person opens the process; read-only.
    Url,
}

/// The parts of a task that have a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskPart {
    /// `status`: read-only.
    Status,
    /// `completed`: written by the completion call.
    Completed,
    /// `approved`: written by the completion call.
    Approved,
    /// `completer`: read-only.
    Completer,
    /// `completed_at`: read-only.
    CompletedAt,
    /// `deadline`.
    Deadline,
    /// `owners`: member ids, guest addresses and group ids as texts.
    Owners,
}

const MEMBERS: &[(&str, Member)] = &[
    ("name", Member::Name),
    ("summary", Member::Summary),
    ("owner", Member::Owner),
    ("status", Member::Status),
    ("due_date", Member::DueDate),
    ("tags", Member::Tags),
    ("url", Member::Url),
];

const PARTS: &[(&str, TaskPart)] = &[
    ("status", TaskPart::Status),
    ("completed", TaskPart::Completed),
    ("approved", TaskPart::Approved),
    ("completer", TaskPart::Completer),
    ("completed_at", TaskPart::CompletedAt),
    ("deadline", TaskPart::Deadline),
    ("owners", TaskPart::Owners),
];

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a path of a Tallyfy process: {reason}")]
pub struct PathError {
    /// The text.
    pub path: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl RunPath {
    /// Reads a path.
    ///
    /// # Errors
    /// When the text is none; the message names what would be.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let fail = |reason: String| PathError { path: text.to_owned(), reason };
        let parts = segments(text).map_err(&fail)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["custom", key] => Ok(Self::Custom((*key).to_owned())),
            ["kickoff", field] => Ok(Self::Kickoff((*field).to_owned())),
            ["form", step, field] => Ok(Self::Form { step: (*step).to_owned(), field: (*field).to_owned() }),
            ["tasks", step, part] => match PARTS.iter().find(|(name, _)| name == part) {
                Some((_, part)) => Ok(Self::Task { step: (*step).to_owned(), part: *part }),
                None => Err(fail(format!(
                    "a task has no `{part}`; it has {}",
                    PARTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
                ))),
            },
            [name] => match MEMBERS.iter().find(|(member, _)| member == name) {
                Some((_, member)) => Ok(Self::Member(*member)),
                None => Err(fail(format!(
                    "a process has {}, custom.KEY, kickoff.FIELD, form.STEP.FIELD and tasks.STEP.PART",
                    MEMBERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
                ))),
            },
            [head @ ("custom" | "kickoff" | "form" | "tasks"), ..] => Err(fail(format!(
                "`{head}` is followed by {}; a name that holds a dot stands in double quotes",
                match *head {
                    "form" => "a step and a field",
                    "tasks" => "a step and a part",
                    _ => "one name",
                }
            ))),
            _ => Err(fail(
                "it starts with a member of the process, or with custom, kickoff, form or tasks".to_owned(),
            )),
        }
    }

    /// Why the path cannot be written; `None` when it can.
    pub fn read_only(&self) -> Option<&'static str> {
        match self {
            Self::Member(Member::Status) => Some(
                "the status of a process follows from its tasks; complete tasks through tasks.STEP.completed",
            ),
            Self::Member(Member::DueDate) => {
                Some("the due date of a process follows from its tasks; map tasks.STEP.deadline instead")
            }
            Self::Member(Member::Url) => Some("the address is made by Tallyfy"),
            Self::Task { part, .. } => match part {
                TaskPart::Status => {
                    Some("the status of a task is written through tasks.STEP.completed or .approved")
                }
                TaskPart::Completer | TaskPart::CompletedAt => {
                    Some("Tallyfy records it when the task is completed")
                }
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for TaskPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PARTS.iter().find(|(_, part)| part == self).map_or("", |(name, _)| *name);
        f.write_str(name)
    }
}

/// Splits at dots outside double quotes. Inside quotes `\"` and `\\` stand for themselves.
pub fn segments(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        let mut segment = String::new();
        let quoted = rest.peek() == Some(&'"');
        if quoted {
            rest.next();
            loop {
                match rest.next() {
                    Some('"') => break,
                    Some('\\') => match rest.next() {
                        Some(escaped @ ('"' | '\\')) => segment.push(escaped),
                        other => {
                            segment.push('\\');
                            segment.extend(other);
                        }
                    },
                    Some(other) => segment.push(other),
                    None => return Err("a double quote is not closed".to_owned()),
                }
            }
        } else {
            while let Some(next) = rest.next_if(|c| *c != '.') {
                segment.push(next);
            }
        }
        if segment.trim().is_empty() {
            return Err("a part between two dots is empty".to_owned());
        }
        found.push(segment);
        match rest.next() {
            None => return Ok(found),
            Some('.') => {}
            Some(other) => return Err(format!("`{other}` follows a closing quote; a dot was expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind_of_path() {
        assert_eq!(RunPath::parse("name"), Ok(RunPath::Member(Member::Name)));
        assert_eq!(RunPath::parse("custom.cost_center"), Ok(RunPath::Custom("cost_center".into())));
        assert_eq!(RunPath::parse("kickoff.\"Ship date\""), Ok(RunPath::Kickoff("Ship date".into())));
        assert_eq!(RunPath::parse("kickoff.Ship date"), Ok(RunPath::Kickoff("Ship date".into())));
        assert_eq!(
            RunPath::parse(r#"form."Step 1.2"."The \"limit\"""#),
            Ok(RunPath::Form { step: "Step 1.2".into(), field: "The \"limit\"".into() })
        );
        assert_eq!(
            RunPath::parse("tasks.management-approval.approved"),
            Ok(RunPath::Task { step: "management-approval".into(), part: TaskPart::Approved })
        );
    }

    #[test]
    fn says_what_would_be_right() {
        let message = |text: &str| RunPath::parse(text).unwrap_err().to_string();
        assert!(message("nam").contains("kickoff.FIELD"));
        assert!(message("tasks.approval.done").contains("completed_at"));
        assert!(message("kickoff.a.b").contains("double quotes"));
        assert!(message("kickoff.\"a").contains("not closed"));
        assert!(message("kickoff.\"a\"b").contains("a dot was expected"));
        assert!(message("kickoff.").contains("empty"));
        assert!(message("").contains("empty"));
        assert!(message("foo.bar").contains("starts with"));
    }

    #[test]
    fn knows_what_cannot_be_written() {
        for text in
            ["status", "url", "due_date", "tasks.a.status", "tasks.a.completer", "tasks.a.completed_at"]
        {
            assert!(RunPath::parse(text).unwrap().read_only().is_some(), "{text}");
        }
        for text in
            ["name", "tags", "custom.k", "kickoff.f", "form.s.f", "tasks.a.completed", "tasks.a.owners"]
        {
            assert!(RunPath::parse(text).unwrap().read_only().is_none(), "{text}");
        }
    }
}
