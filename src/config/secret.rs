//! Secrets by reference: which names are a secret's, and `{ env = }`, `{ file = }`, `{ credential = }`.
//!
//! Nothing here reads a secret. A secret written in clear is refused, and its value is never repeated.

use std::path::Path;

use super::model::{SecretRef, VarValue};
use super::problem::{Origin, Report};
use super::reader::Section;
use super::text::{absolute, did_you_mean};
use super::tree::{Entry, Kind};

/// The ways to say where a secret is.
pub const FORMS: [&str; 3] = ["env", "file", "credential"];
/// Keys that hold a secret in `auth` although their name alone does not say so.
pub const ALWAYS_SECRET_IN_AUTH: [&str; 3] = ["key", "pin", "value"];

/// Endings of names under which vendors hand out secrets. Compared without case, `-` and `_`.
const SECRET_ENDINGS: [&str; 14] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "privatekey",
    "apikey",
    "secretkey",
    "accesskey",
    "signingkey",
    "sharedkey",
    "credentials",
    "pem",
    "pwd",
];

/// Whether a secret would stand under this name.
pub fn names_a_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    SECRET_ENDINGS.iter().any(|ending| plain.ends_with(ending))
}

/// Whether a text is a secret whatever its name: a private key, a signed token, a header that carries
/// one, an address with a password.
pub fn looks_like_secret_value(text: &str) -> bool {
    let text = text.trim();
    let carried = ["Bearer ", "Basic "].iter().any(|start| {
        text.strip_prefix(start).is_some_and(|rest| rest.len() >= 12 && !rest.contains(char::is_whitespace))
    });
    carried
        || text.contains("PRIVATE KEY-----")
        || text.starts_with("eyJ") && text.matches('.').count() == 2
        || has_user_information(text)
}

/// Whether a text can be the name of an environment variable.
pub fn is_variable_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `https://user:password@host`.
pub fn has_user_information(text: &str) -> bool {
    text.split_once("://")
        .and_then(|(_, rest)| rest.split(['/', '?', '#']).next())
        .is_some_and(|authority| authority.contains('@'))
}

/// Reads one entry of `vars` or `auth`. `always_secret` names keys that hold a secret in this table
/// although their name alone does not say so.
pub fn read_value(
    section: &Section<'_>,
    entry: &Entry,
    always_secret: &[&str],
    folder: &Path,
    report: &mut Report<'_>,
) -> Option<VarValue> {
    let path = section.join(&entry.key);
    let secret_name = names_a_secret(&entry.key) || always_secret.contains(&entry.key.as_str());
    if let Kind::Table(forms) = &entry.node.kind {
        return read_reference(section, entry, forms, folder, report).map(VarValue::Secret);
    }
    let Some(text) = entry.node.scalar() else {
        let message = format!("{path} must be a text or a secret's place, not {}", entry.node.kind_name());
        section.problem(report, &entry.node.origin, &path, message);
        return None;
    };
    if !secret_name && !looks_like_secret_value(&text) {
        return Some(VarValue::Plain(text));
    }
    // The environment is a proper place for a secret: the variable itself becomes the reference, and its
    // value is not kept here.
    if let Origin::Environment(variable) = &entry.node.origin {
        return Some(VarValue::Secret(SecretRef::Env(variable.clone())));
    }
    let variable = entry.key.to_ascii_uppercase().replace('-', "_");
    let advice = format!(
        "write {key} = {{ env = \"{variable}\" }}, {{ file = \"{key}\" }} or {{ credential = \"{key}\" }}",
        key = entry.key
    );
    let message = format!("{path} is a secret written in clear");
    section.suggest(report, &entry.node.origin, &path, message, Some(advice));
    None
}

fn read_reference(
    section: &Section<'_>,
    entry: &Entry,
    forms: &[Entry],
    folder: &Path,
    report: &mut Report<'_>,
) -> Option<SecretRef> {
    let path = section.join(&entry.key);
    let before = report.count();
    for form in forms.iter().filter(|form| !FORMS.contains(&form.key.as_str())) {
        let message = format!("unknown key \"{}\" under {path}", form.key);
        section.suggest(report, &form.origin, &path, message, did_you_mean(&form.key, FORMS));
    }
    // A variable such as TALLYSYNC_SYSTEMS__CRM__AUTH__TOKEN__FILE replaces what the file says.
    let outer: Vec<&Entry> = forms.iter().filter(|form| !matches!(form.origin, Origin::File(_))).collect();
    let chosen: Vec<&Entry> = if outer.is_empty() { forms.iter().collect() } else { outer };
    if report.count() > before {
        return None;
    }
    let [only] = chosen.as_slice() else {
        let message = format!("{path} must name exactly one of env, file and credential");
        section.problem(report, &entry.node.origin, &path, message);
        return None;
    };
    let Kind::Text(text) = &only.node.kind else {
        let message = format!("{path}.{} must be a text, not {}", only.key, only.node.kind_name());
        section.problem(report, &only.node.origin, &path, message);
        return None;
    };
    let wanted = match only.key.as_str() {
        "env" if !is_variable_name(text) => Some("the name of an environment variable"),
        "credential" if text.is_empty() || text.contains(['/', '\\']) => Some("a name, not a path"),
        "file" if text.trim().is_empty() => Some("a path"),
        _ => None,
    };
    if let Some(wanted) = wanted {
        section.problem(report, &only.node.origin, &path, format!("{path}.{} must be {wanted}", only.key));
        return None;
    }
    match only.key.as_str() {
        "env" => Some(SecretRef::Env(text.clone())),
        "file" => Some(SecretRef::File(absolute(folder, text))),
        _ => Some(SecretRef::Credential(text.clone())),
    }
}
