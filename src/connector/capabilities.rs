//! The axes of the guarantee card, as a definition declares them for one entity. Pure.

use toml::Table;

use super::api::{Capabilities, CreateIdentity, DeleteVisibility, FindPaths, ListingKind, WriteCondition};
use super::definition::{CapabilitySection, Template};

/// The template's section with what an entity says differently.
///
/// # Errors
/// When the entity's section does not parse.
pub fn section(template: &Template, own: Option<&Table>) -> Result<CapabilitySection, String> {
    let mut section = template.capabilities.clone();
    let Some(own) = own else { return Ok(section) };
    let own: CapabilitySection = own.clone().try_into().map_err(|error| format!("capabilities: {error}"))?;
    let take = |target: &mut Option<String>, value: Option<String>| {
        if value.is_some() {
            *target = value;
        }
    };
    take(&mut section.read_consistency, own.read_consistency);
    take(&mut section.cursor, own.cursor);
    take(&mut section.deletes, own.deletes);
    take(&mut section.not_found, own.not_found);
    take(&mut section.upsert, own.upsert);
    take(&mut section.create_idempotent_by, own.create_idempotent_by);
    take(&mut section.update_shape, own.update_shape);
    if own.concurrency.mode.is_some() {
        section.concurrency = own.concurrency;
    }
    if own.archived.is_some() {
        section.archived = own.archived;
    }
    if own.find.is_some() {
        section.find = own.find;
    }
    section.ids_reused |= own.ids_reused;
    Ok(section)
}

/// Every word of the axes that take words.
pub const WORDS: &[(&str, &[&str])] = &[
    ("read_consistency", &["database", "index"]),
    ("cursor", &["keyset", "timestamp_ge", "offset", "snapshot", "delta"]),
    ("deletes", &["feed", "by_id", "id_sweep"]),
    ("not_found", &["gone", "missing"]),
    ("upsert", &["external_id", "none"]),
    ("create_idempotent_by", &["upsert", "search_before_create", "idempotency_key", "none"]),
    ("update_shape", &["partial", "full"]),
    ("concurrency.mode", &["if_unmodified_since", "if_match", "token", "precheck", "none"]),
];

/// The axes.
pub fn axes(template: &Template, section: &CapabilitySection) -> Capabilities {
    let word = |value: &Option<String>| value.clone().unwrap_or_default();
    let concurrency = &section.concurrency;
    let coarse = concurrency.resolution.is_some() || concurrency.exact == Some(false);
    let condition = match concurrency.mode.as_deref().unwrap_or("none") {
        "if_unmodified_since" => WriteCondition::Inexact,
        "if_match" | "token" if coarse => WriteCondition::Inexact,
        "if_match" | "token" => WriteCondition::Exact,
        "precheck" if template.identity.version.as_deref().is_some_and(|v| v != "content_hash") => {
            WriteCondition::Compare
        }
        _ => WriteCondition::None,
    };
    let create = match word(&section.create_idempotent_by).as_str() {
        "upsert" => CreateIdentity::External,
        "search_before_create" => CreateIdentity::Marker,
        "idempotency_key" => CreateIdentity::IdempotencyKey,
        _ => CreateIdentity::None,
    };
    let deletes = match word(&section.deletes).as_str() {
        "feed" => DeleteVisibility::Feed,
        "by_id" => DeleteVisibility::ById,
        _ => DeleteVisibility::Absence,
    };
    let listing = match word(&section.cursor).as_str() {
        "keyset" | "timestamp_ge" => ListingKind::Stable,
        "snapshot" => ListingKind::Snapshot,
        "delta" => ListingKind::Delta,
        _ => ListingKind::Offset,
    };
    // Pages by offset are unstable whatever they are sorted by.
    let complete = template.sweep.as_ref().filter(|op| op.records.is_some()).or(template.list.as_ref());
    let by_offset = complete.and_then(|op| op.page.as_ref()).is_some_and(|page| page.kind == "offset");
    // A search that is written for the key field alone cannot be asked for other paths.
    let general = template.find.as_ref().filter(|find| format!("{find:?}").contains("{find_field"));
    let find = match (general, &section.find) {
        (None, _) => FindPaths::None,
        (Some(_), Some(toml::Value::Array(paths))) => {
            FindPaths::Some(paths.iter().filter_map(|path| path.as_str().map(str::to_owned)).collect())
        }
        (Some(_), _) => FindPaths::Any,
    };
    Capabilities {
        condition,
        create,
        deletes,
        not_found_is_gone: section.not_found.as_deref() == Some("gone"),
        listing: if by_offset { ListingKind::Offset } else { listing },
        incremental: template.list.is_some(),
        echoes: None,
        partial_update: section.update_shape.as_deref() != Some("full"),
        read_your_writes: section.read_consistency.as_deref() == Some("database"),
        ids_never_reused: !section.ids_reused,
        find,
        archive: template.archive.is_some(),
        delete: template.delete.is_some(),
        condition_note: concurrency.note.clone(),
    }
}
