//! The tags of a process: titles to ids, and the associations that tie them to it.
//!
//! A tag that the organisation does not have is never made here; a tag hangs on by an association with an id
//! of its own, and only that can be taken off.

use serde_json::{Value as Json, json};

use super::plan::Plan;
use super::{Deep, Runs};
use crate::connector::api::{Failure, FailureClass};
use crate::connector::client::Purpose;
use crate::tallyfy::json::{items, member, text};

/// What is to be tied and untied.
#[derive(Debug, Default)]
pub(super) struct TagChanges {
    /// Ids of tags to tie.
    add: Vec<String>,
    /// Associations to undo.
    remove: Vec<String>,
}

impl Runs {
    /// Finds what the wanted titles mean, before anything is written.
    pub(super) async fn tag_changes(
        &self,
        plan: &Plan,
        deep: &Deep,
        attempted: &str,
    ) -> Result<TagChanges, Failure> {
        let Some(wanted) = &plan.tags else { return Ok(TagChanges::default()) };
        if deep.run.get("tags").is_none() {
            return Err(Failure::new(FailureClass::Bug, attempted, "the process came without its tags"));
        }
        let tied = items(deep.run.get("tags"));
        let is_tied = |title: &String| tied.iter().any(|tag| text(tag, "title").as_ref() == Some(title));
        let missing: Vec<String> = wanted.iter().filter(|title| !is_tied(title)).cloned().collect();
        let mut changes = TagChanges { add: self.tag_ids(&missing, attempted).await?, remove: Vec::new() };
        for tag in tied {
            let title = text(tag, "title").unwrap_or_default();
            if wanted.contains(&title) {
                continue;
            }
            // With a `tag_id` beside it, `id` is the association; without, it would be the tag itself.
            let association = member(tag, "tag_id").and_then(|_| text(tag, "id"));
            changes.remove.push(association.ok_or_else(|| {
                let why =
                    format!("the tag `{title}` cannot be taken off: Tallyfy does not show its association");
                Failure::new(FailureClass::Invalid, attempted, why)
            })?);
        }
        Ok(changes)
    }

    /// Ties and unties; gives whether anything was done.
    pub(super) async fn retag(
        &self,
        run: &str,
        changes: &TagChanges,
        attempted: &str,
        done: &mut Vec<String>,
    ) -> Result<bool, Failure> {
        for tag in &changes.add {
            let body =
                json!({"subject_id": run, "subject_type": "Run", "tag_id": tag, "tag_type": "private"});
            let sent = self.api.write("POST", &["checklists", "tags"], Some(body), attempted).await;
            sent.map_err(|failure| super::write::after(failure, done))?;
            done.push(format!("tag {tag}"));
        }
        for association in &changes.remove {
            let path = ["checklists", "tags", association.as_str()];
            let sent = self.api.write("DELETE", &path, None, attempted).await;
            sent.map_err(|failure| super::write::after(failure, done))?;
            done.push(format!("the removal of tag association {association}"));
        }
        Ok(!changes.add.is_empty() || !changes.remove.is_empty())
    }

    /// The ids of tags by title.
    pub(super) async fn tag_ids(&self, titles: &[String], attempted: &str) -> Result<Vec<String>, Failure> {
        if titles.is_empty() {
            return Ok(Vec::new());
        }
        let tags = self.api.all(&["tags"], &[], Purpose::Write, attempted).await?;
        let id_of = |title: &String| -> Option<String> {
            let found: Option<&Json> = tags.iter().find(|tag| text(tag, "title").as_ref() == Some(title));
            found.and_then(|tag| text(tag, "id"))
        };
        titles
            .iter()
            .map(|title| {
                id_of(title).ok_or_else(|| {
                    let why = format!("there is no tag `{title}`; make it in Tallyfy first");
                    Failure::new(FailureClass::Invalid, attempted, why)
                })
            })
            .collect()
    }
}
