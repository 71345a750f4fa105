//! The guarantee card: what can be promised for one entity, computed from its capability axes and from
//! nothing else. Pure.

use super::api::{Capabilities, CreateIdentity, DeleteVisibility, ListingKind, WriteCondition};

/// One promise on the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardLine {
    /// `P1`, as in the list of promises.
    pub promise: String,
    /// `absolute`, `bounded` or `none`.
    pub level: Level,
    /// What is guaranteed, what is not, and why.
    pub text: String,
}

/// How far a promise holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Always.
    Absolute,
    /// With a limit that the text names.
    Bounded,
    /// The API makes it impossible; the text says what happens instead.
    Impossible,
}

impl Level {
    /// The word on the card.
    pub fn word(self) -> &'static str {
        match self {
            Self::Absolute => "absolute",
            Self::Bounded => "bounded",
            Self::Impossible => "not possible",
        }
    }
}

/// The card of one entity.
pub fn card(capabilities: &Capabilities, system: &str, entity: &str) -> Vec<CardLine> {
    let what = format!("{entity} in {system}");
    let line =
        |promise: &str, (level, text): (Level, String)| CardLine { promise: promise.to_owned(), level, text };
    vec![
        line("P1", overwrite(capabilities, &what)),
        line("P2", minimal(capabilities, &what)),
        line("P4", creates(capabilities, &what)),
        line("P5", deletes(capabilities, &what)),
        line("P11", blindness(capabilities, &what)),
    ]
}

fn overwrite(capabilities: &Capabilities, what: &str) -> (Level, String) {
    let note = capabilities.condition_note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
    match capabilities.condition {
        WriteCondition::Exact => (
            Level::Absolute,
            format!(
                "No edit of {what} is overwritten unseen: the system refuses a write whose condition does not hold{note}."
            ),
        ),
        WriteCondition::Inexact => (
            Level::Bounded,
            format!(
                "Writes to {what} are conditional, but the condition is not exact{note}. An edit that slips through it is overwritten; what it replaced is kept only if it was seen."
            ),
        ),
        WriteCondition::Compare => (
            Level::Bounded,
            format!(
                "{what} has no conditional write{note}: each record is read just before it is written and read back after. An edit within that window is overwritten unseen."
            ),
        ),
        WriteCondition::None => (
            Level::Bounded,
            format!(
                "{what} shows no version{note}: values are compared just before each write. An edit between that read and the write is overwritten and cannot be told from no edit. One owner per field is the only cure."
            ),
        ),
    }
}

fn minimal(capabilities: &Capabilities, what: &str) -> (Level, String) {
    if capabilities.partial_update {
        (Level::Absolute, format!("A write to {what} sends only the mapped fields that must change."))
    } else {
        (
            Level::Bounded,
            format!(
                "{what} takes whole records only: fields that are not mapped are sent back as they were read just before, so an edit of any field within that window is exposed."
            ),
        )
    }
}

fn creates(capabilities: &Capabilities, what: &str) -> (Level, String) {
    match capabilities.create {
        CreateIdentity::External => (
            Level::Absolute,
            format!(
                "A create of {what} is never doubled: it goes to a unique external id that only we make, so the same create can only find itself."
            ),
        ),
        CreateIdentity::IdempotencyKey => (
            Level::Bounded,
            format!(
                "A create of {what} carries an idempotency key: it is not doubled while the system remembers the key."
            ),
        ),
        CreateIdentity::Marker if capabilities.read_your_writes => (
            Level::Bounded,
            format!(
                "A create of {what} carries a mark in a field (`marker` on the side); before anything is sent again the mark is searched. Without `marker` an uncertain create is held for a person."
            ),
        ),
        CreateIdentity::Marker => (
            Level::Bounded,
            format!(
                "A create of {what} carries a mark in a field (`marker` on the side) and is searched before it is sent again, after `search_lag`: the index shows records late. Without `marker` an uncertain create is held for a person."
            ),
        ),
        CreateIdentity::None => (
            Level::Impossible,
            format!(
                "{what} offers nothing by which a lost create could be found again: an uncertain create is held for a person (`on_uncertain`), never guessed."
            ),
        ),
    }
}

fn deletes(capabilities: &Capabilities, what: &str) -> (Level, String) {
    let hidden = if capabilities.not_found_is_gone {
        "\"Not found\" by id is proof there."
    } else {
        "\"Not found\" by id proves nothing: the record may be hidden from us."
    };
    let reuse = if capabilities.ids_never_reused {
        ""
    } else {
        " Ids may be used again: a record that returns is never taken for the old one by its id alone."
    };
    match capabilities.deletes {
        DeleteVisibility::Feed => (
            Level::Absolute,
            format!(
                "Deletions of {what} are told by the system itself. {hidden} If the feed has a gap, only sweeps prove absence.{reuse}"
            ),
        ),
        DeleteVisibility::ById => (
            Level::Bounded,
            format!("A deletion of {what} shows when the record is read by id. {hidden}{reuse}"),
        ),
        DeleteVisibility::Absence => (
            Level::Bounded,
            format!(
                "A deletion of {what} shows only as absence: it takes several complete sweeps, an unchanged login and the guard before it counts. {hidden}{reuse}"
            ),
        ),
    }
}

fn blindness(capabilities: &Capabilities, what: &str) -> (Level, String) {
    let incremental = if capabilities.incremental {
        "Changes are looked for at every poll; the sweep finds what stamps and cursors missed."
    } else {
        "There is no listing of changes: every poll is a complete listing."
    };
    let never = "What appears and vanishes between two polls cannot be seen.";
    match capabilities.listing {
        ListingKind::Offset => (
            Level::Bounded,
            format!(
                "{what} is listed by offset pages over a moving order: one sweep may miss a record, so absence needs several that agree. {incremental} {never}"
            ),
        ),
        ListingKind::Stable | ListingKind::Snapshot | ListingKind::Delta => (
            Level::Absolute,
            format!(
                "Every change of {what} that lasts is noticed within one sweep period. {incremental} {never}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::api::FindPaths;

    fn best() -> Capabilities {
        Capabilities {
            condition: WriteCondition::Exact,
            create: CreateIdentity::External,
            deletes: DeleteVisibility::Feed,
            not_found_is_gone: true,
            listing: ListingKind::Stable,
            incremental: true,
            partial_update: true,
            read_your_writes: true,
            ids_never_reused: true,
            find: FindPaths::Any,
            archive: true,
            delete: true,
            condition_note: None,
        }
    }

    fn changed(change: impl Fn(&mut Capabilities)) -> Vec<String> {
        let mut other = best();
        change(&mut other);
        let before = card(&best(), "erp", "order");
        let after = card(&other, "erp", "order");
        before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| a.promise.clone()).collect()
    }

    #[test]
    fn each_axis_changes_its_own_promise_and_no_other() {
        assert_eq!(changed(|c| c.condition = WriteCondition::Inexact), ["P1"]);
        assert_eq!(changed(|c| c.condition = WriteCondition::Compare), ["P1"]);
        assert_eq!(changed(|c| c.condition = WriteCondition::None), ["P1"]);
        assert_eq!(changed(|c| c.condition_note = Some("1 s".to_owned())), ["P1"]);
        assert_eq!(changed(|c| c.partial_update = false), ["P2"]);
        assert_eq!(changed(|c| c.create = CreateIdentity::Marker), ["P4"]);
        assert_eq!(changed(|c| c.create = CreateIdentity::None), ["P4"]);
        assert_eq!(changed(|c| c.deletes = DeleteVisibility::Absence), ["P5"]);
        assert_eq!(changed(|c| c.not_found_is_gone = false), ["P5"]);
        assert_eq!(changed(|c| c.ids_never_reused = false), ["P5"]);
        assert_eq!(changed(|c| c.listing = ListingKind::Offset), ["P11"]);
        assert_eq!(changed(|c| c.incremental = false), ["P11"]);
    }

    #[test]
    fn only_an_exact_condition_is_absolute() {
        let level = |condition| {
            let mut capabilities = best();
            capabilities.condition = condition;
            card(&capabilities, "erp", "order").first().map(|line| line.level)
        };
        assert_eq!(level(WriteCondition::Exact), Some(Level::Absolute));
        for weaker in [WriteCondition::Inexact, WriteCondition::Compare, WriteCondition::None] {
            assert_eq!(level(weaker), Some(Level::Bounded));
        }
    }
}
