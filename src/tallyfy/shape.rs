//! How one form field stores its value, and how that looks to a sync.
//!
//! Pure. Reading turns the stored shape into a plain one (the text of a choice, the texts of a multiselect);
//! writing turns it back, and refuses what Tallyfy would store wrongly without a word: a choice that does
//! not exist, a text that is too long, a date that is none.

use serde_json::{Value as Json, json};

use super::json::{items, member, moment, scalar, user_id};
use super::template::Field;

/// `field_type` of a form field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// One line, at most 200 characters.
    Text,
    /// Several lines, at most 30000 characters.
    TextArea,
    /// A mail address.
    Email,
    /// A day or an instant.
    Date,
    /// One choice, stored as its text.
    Radio,
    /// One choice, stored as `{id, text}`.
    Dropdown,
    /// Several choices, stored as a list of `{id, text, selected}`.
    MultiSelect,
    /// Members, guests and groups.
    Assignees,
    /// Rows of columns; read-only here.
    Table,
    /// Uploaded files; read-only here.
    File,
    /// A type that Tallyfy has added since; read as it stands, never written.
    Other(String),
}

impl Kind {
    /// By the name that Tallyfy uses.
    pub fn named(name: &str) -> Self {
        match name {
            "text" => Self::Text,
            "textarea" => Self::TextArea,
            "email" => Self::Email,
            "date" => Self::Date,
            "radio" => Self::Radio,
            "dropdown" => Self::Dropdown,
            "multiselect" => Self::MultiSelect,
            "assignees_form" => Self::Assignees,
            "table" => Self::Table,
            "file" => Self::File,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Why a field of this type cannot be written; `None` when it can.
    pub fn read_only(&self) -> Option<String> {
        match self {
            Self::Table => Some("a table cannot be cleared or compared column by column".to_owned()),
            Self::File => Some("files travel by upload; use the flow operation attach_file".to_owned()),
            Self::Other(name) => Some(format!("its type `{name}` is not known here")),
            _ => None,
        }
    }
}

/// One option of a choice field.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Tallyfy's number of it, as it was printed.
    pub id: Json,
    /// The text; the identity of the option for a sync.
    pub text: String,
}

/// The stored value as a sync sees it. An empty text, list or map is null.
pub fn read(kind: &Kind, stored: &Json) -> Json {
    match kind {
        Kind::Dropdown => read_choice(stored),
        Kind::MultiSelect => read_choices(stored),
        Kind::Assignees => read_assignees(stored),
        _ => blank_to_null(stored),
    }
}

fn blank_to_null(stored: &Json) -> Json {
    let blank = match stored {
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        _ => false,
    };
    if blank { Json::Null } else { stored.clone() }
}

fn read_choice(stored: &Json) -> Json {
    match stored {
        Json::Object(_) => member(stored, "text").map_or(Json::Null, blank_to_null),
        other => blank_to_null(other),
    }
}

fn read_choices(stored: &Json) -> Json {
    let Json::Array(list) = stored else { return blank_to_null(stored) };
    let chosen: Vec<Json> = list
        .iter()
        .filter(|entry| entry.get("selected").is_none_or(|selected| selected != &Json::Bool(false)))
        .filter_map(|entry| match entry {
            Json::Object(_) => member(entry, "text").cloned(),
            other => scalar(other).map(Json::String),
        })
        .collect();
    if chosen.is_empty() { Json::Null } else { Json::Array(chosen) }
}

/// Members, guests and groups of an owner map as one sorted list of texts per bucket, in that order.
pub fn read_owners(stored: &Json) -> Vec<String> {
    let bucket = |name: &str, keys: &[&str]| {
        let mut found: Vec<String> = items(stored.get(name))
            .iter()
            .filter_map(|entry| match entry {
                Json::Object(_) => keys.iter().find_map(|key| member(entry, key).and_then(scalar)),
                other => scalar(other),
            })
            .collect();
        found.sort();
        found.dedup();
        found
    };
    let mut all = bucket("users", &["id"]);
    all.extend(bucket("guests", &["email", "id"]));
    all.extend(bucket("groups", &["id"]));
    all
}

fn read_assignees(stored: &Json) -> Json {
    let all = read_owners(stored);
    if all.is_empty() { Json::Null } else { json!(all) }
}

/// An owner map with all three buckets: Tallyfy empties every bucket that is not sent.
///
/// # Errors
/// When the value is not a list of texts, or a text is neither a member's number, a mail address nor a
/// group id.
pub fn write_owners(value: &Json) -> Result<Json, String> {
    let texts = texts(value)?;
    let (mut users, mut guests, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for text in texts {
        if let Some(id) = user_id(&text) {
            users.push(id);
        } else if text.contains('@') {
            guests.push(Json::String(text));
        } else if is_hex_id(&text) {
            groups.push(Json::String(text));
        } else {
            return Err(format!(
                "`{text}` is neither the number of a member, the mail address of a guest, nor the id of a group"
            ));
        }
    }
    Ok(json!({"users": users, "guests": guests, "groups": groups}))
}

/// 32 hexadecimal digits, as Tallyfy makes them.
pub fn is_hex_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A list of texts from a list, one text, or null.
fn texts(value: &Json) -> Result<Vec<String>, String> {
    match value {
        Json::Null => Ok(Vec::new()),
        Json::Array(list) => list
            .iter()
            .map(|entry| {
                scalar(entry).ok_or_else(|| "the list holds something that is not a text".to_owned())
            })
            .collect(),
        other => scalar(other)
            .map(|text| if text.is_empty() { Vec::new() } else { vec![text] })
            .ok_or_else(|| "a list of texts is needed".to_owned()),
    }
}

/// The shape in which a field must be sent so that it is stored right.
///
/// # Errors
/// One sentence that says what is wrong with the value and what would be accepted.
pub fn write(field: &Field, value: &Json) -> Result<Json, String> {
    if let Some(reason) = field.kind.read_only() {
        return Err(format!("it is read-only: {reason}"));
    }
    if value.is_null() {
        return Ok(Json::Null);
    }
    match field.kind {
        Kind::Text => limited(value, 200),
        Kind::TextArea => limited(value, 30_000),
        Kind::Email => limited(value, 320),
        Kind::Date => date(value),
        Kind::Radio => one_text(value)
            .and_then(|text| option(field, &text).map(|choice| Json::String(choice.text.clone()))),
        Kind::Dropdown => {
            let text = one_text(value)?;
            option(field, &text).map(|choice| json!({"id": choice.id, "text": choice.text}))
        }
        Kind::MultiSelect => {
            let chosen = texts(value)?
                .iter()
                .map(|text| {
                    option(field, text)
                        .map(|choice| json!({"id": choice.id, "text": choice.text, "selected": true}))
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Json::Array(chosen))
        }
        Kind::Assignees => write_owners(value),
        Kind::Table | Kind::File | Kind::Other(_) => Err("it is read-only".to_owned()),
    }
}

fn one_text(value: &Json) -> Result<String, String> {
    scalar(value).ok_or_else(|| "one text is needed, not a list or a map".to_owned())
}

/// Text of at most that many characters.
pub fn limited(value: &Json, limit: usize) -> Result<Json, String> {
    let text = one_text(value)?;
    let length = text.chars().count();
    if length > limit {
        return Err(format!("the text has {length} characters, Tallyfy takes at most {limit}"));
    }
    Ok(Json::String(text))
}

fn date(value: &Json) -> Result<Json, String> {
    let text = one_text(value)?;
    let at = moment(&text);
    let at =
        at.ok_or_else(|| format!("`{text}` is neither a day (2026-05-15) nor an instant in ISO 8601"))?;
    Ok(Json::String(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()))
}

fn option<'a>(field: &'a Field, text: &str) -> Result<&'a Choice, String> {
    field.options.iter().find(|choice| choice.text == text).ok_or_else(|| {
        let valid: Vec<String> = field.options.iter().map(|choice| format!("`{}`", choice.text)).collect();
        format!(
            "`{text}` is not one of its options ({}); the text must be the same to the letter",
            valid.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: Kind) -> Field {
        Field {
            id: "a1".into(),
            alias: None,
            label: "Priority".into(),
            kind,
            required: false,
            has_default: false,
            options: vec![
                Choice { id: json!(1), text: "Low".into() },
                Choice { id: json!(2), text: "High".into() },
            ],
        }
    }

    #[test]
    fn a_choice_reads_as_its_text_and_is_written_in_its_own_shape() {
        assert_eq!(read(&Kind::Dropdown, &json!({"id": 2, "text": "High", "value": null})), json!("High"));
        assert_eq!(read(&Kind::Dropdown, &json!({"id": null, "text": null})), Json::Null);
        assert_eq!(write(&field(Kind::Dropdown), &json!("High")), Ok(json!({"id": 2, "text": "High"})));
        assert_eq!(write(&field(Kind::Radio), &json!("Low")), Ok(json!("Low")));
        let error = write(&field(Kind::Radio), &json!("high")).unwrap_err();
        assert!(error.contains("`Low`, `High`"), "{error}");
    }

    #[test]
    fn several_choices_leave_out_what_is_not_selected() {
        let stored = json!([
            {"id": 1, "text": "Low", "selected": false},
            {"id": 2, "text": "High", "selected": true},
            {"id": 3, "text": "Other"}
        ]);
        assert_eq!(read(&Kind::MultiSelect, &stored), json!(["High", "Other"]));
        assert_eq!(
            read(&Kind::MultiSelect, &json!([{"id": 1, "text": "Low", "selected": false}])),
            Json::Null
        );
        assert_eq!(
            write(&field(Kind::MultiSelect), &json!(["Low"])),
            Ok(json!([{"id": 1, "text": "Low", "selected": true}]))
        );
        assert!(write(&field(Kind::MultiSelect), &json!(["None"])).is_err());
    }

    #[test]
    fn texts_keep_every_digit_and_have_limits() {
        let number: Json = serde_json::from_str("12345678901234567890.10").unwrap();
        assert_eq!(write(&field(Kind::Text), &number), Ok(json!("12345678901234567890.10")));
        let error = write(&field(Kind::Text), &json!("x".repeat(201))).unwrap_err();
        assert!(error.contains("201") && error.contains("200"), "{error}");
        assert!(write(&field(Kind::TextArea), &json!("x".repeat(30_000))).is_ok());
        assert_eq!(read(&Kind::Text, &json!("")), Json::Null);
        assert_eq!(read(&Kind::Text, &json!("0")), json!("0"));
    }

    #[test]
    fn dates_go_out_in_milliseconds() {
        assert_eq!(write(&field(Kind::Date), &json!("2026-05-15")), Ok(json!("2026-05-15T00:00:00.000Z")));
        assert_eq!(
            write(&field(Kind::Date), &json!("2026-05-15T10:30:00+02:00")),
            Ok(json!("2026-05-15T08:30:00.000Z"))
        );
        assert!(write(&field(Kind::Date), &json!("15.05.2026")).is_err());
    }

    #[test]
    fn owners_always_have_three_buckets() {
        let stored =
            json!({"users": [{"id": 10013, "full_name": "Kim"}, 7], "guests": ["a@b.example"], "groups": []});
        assert_eq!(read_owners(&stored), vec!["10013", "7", "a@b.example"]);
        assert_eq!(
            write_owners(&json!(["10013", "a@b.example"])),
            Ok(json!({"users": [10013], "guests": ["a@b.example"], "groups": []}))
        );
        assert_eq!(write_owners(&Json::Null), Ok(json!({"users": [], "guests": [], "groups": []})));
        assert!(write_owners(&json!(["Kim"])).unwrap_err().contains("Kim"));
    }

    #[test]
    fn tables_and_files_are_read_only() {
        assert!(write(&field(Kind::Table), &json!([])).unwrap_err().contains("read-only"));
        assert!(write(&field(Kind::File), &Json::Null).unwrap_err().contains("attach_file"));
        assert!(
            write(&field(Kind::Other("signature".into())), &json!("x")).unwrap_err().contains("signature")
        );
    }
}
