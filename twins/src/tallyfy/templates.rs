//! Templates (checklists) and their steps.
//!
//! Launching from a template is in `runs.rs`.

use serde_json::{Value, json};

use super::answers::{Reply, has, is_id, item, not_found, page, put, refused, stamp, text, truthy};
use super::render::{self, With};
use super::{Call, store};
use crate::kit::World;

/// `GET /checklists`.
pub(super) fn index(world: &World, call: &Call<'_>) -> Reply {
    let with = With::of(call.request);
    let mut rows: Vec<_> = world.list("checklists").into_iter().map(|(_, template)| template).collect();
    rows.retain(|template| {
        let archived = has(template, "archived_at");
        let archive = match call.query("archived").as_deref() {
            Some("only") => archived,
            Some("true" | "1") => true,
            _ => !archived,
        };
        archive
            && call
                .query("q")
                .is_none_or(|q| text(template, "title").to_lowercase().contains(&q.to_lowercase()))
            && call.query("type").is_none_or(|kind| text(template, "type") == kind)
            && call.query("starred").is_none_or(|starred| truthy(template, "starred") == (starred == "true"))
            && call
                .query("owner_id")
                .is_none_or(|owner| template.get("owner_id").is_some_and(|id| is_id(id, &owner)))
    });
    // Pinned first, then the latest changed.
    rows.sort_by_key(|template| {
        std::cmp::Reverse((truthy(template, "is_pinned"), text(template, "last_updated").to_owned()))
    });
    Ok(page(
        call.request,
        rows.iter().map(|template| render::checklist(world, template, &with)).collect(),
        None,
    ))
}

/// `GET /checklists/{id}`: an archived template is not found.
pub(super) fn show(world: &World, call: &Call<'_>, id: &str) -> Reply {
    let template = find(world, id)?;
    Ok(item(200, render::checklist(world, &template, &With::of(call.request))))
}

fn find(world: &World, id: &str) -> Result<std::sync::Arc<Value>, crate::kit::Answer> {
    world.get("checklists", id).filter(|template| !has(template, "archived_at")).ok_or_else(not_found)
}

/// `GET /checklists/{id}/steps`.
pub(super) fn steps(world: &World, call: &Call<'_>, id: &str) -> Reply {
    find(world, id)?;
    Ok(page(call.request, render::steps(world, id), None))
}

/// `GET /checklists/{id}/steps/{step}`.
pub(super) fn step(world: &World, id: &str, step: &str) -> Reply {
    find(world, id)?;
    let step =
        world.get("steps", step).filter(|step| text(step, "checklist_id") == id).ok_or_else(not_found)?;
    Ok(item(200, (*step).clone()))
}

/// `GET /checklists/{id}/form-fields`.
pub(super) fn form_fields(world: &World, id: &str) -> Reply {
    let template = find(world, id)?;
    let captures = render::steps(world, id);
    let captures: Vec<Value> =
        captures.iter().flat_map(|step| super::answers::list(step, "captures").to_vec()).collect();
    Ok(item(
        200,
        json!({"prerun": template.get("prerun"), "ko_form_fields": template.get("prerun"), "form_fields": captures}),
    ))
}

/// `PUT /checklists/{id}`: needs the title; members and groups that are not sent are detached.
pub(super) fn update(world: &mut World, call: &Call<'_>, id: &str) -> Reply {
    let mut template = (*find(world, id)?).clone();
    if text(&call.body, "title").is_empty() {
        return Err(refused("title", "The title field is required."));
    }
    for key in
        ["title", "summary", "guidance", "webhook", "starred", "type", "kickoff_title", "prerun", "folder_id"]
    {
        if let Some(value) = call.body.get(key) {
            put(&mut template, key, value.clone());
        }
    }
    for key in ["users", "groups"] {
        put(
            &mut template,
            key,
            call.body.get(key).filter(|value| value.is_array()).cloned().unwrap_or_else(|| json!([])),
        );
    }
    put(&mut template, "last_updated", stamp(world.now()));
    put(&mut template, "last_updated_by", json!(call.caller.user));
    store(world, &call.caller.actor, "update", "checklists", id, template);
    show(world, call, id)
}

/// `PUT /checklists/{id}/steps/{step}`: owners that are not sent are emptied.
pub(super) fn update_step(world: &mut World, call: &Call<'_>, id: &str, step: &str) -> Reply {
    find(world, id)?;
    let found =
        world.get("steps", step).filter(|step| text(step, "checklist_id") == id).ok_or_else(not_found)?;
    let mut changed = (*found).clone();
    for key in ["title", "summary", "webhook", "deadline", "step_type", "start_date"] {
        if let Some(value) = call.body.get(key) {
            put(&mut changed, key, value.clone());
        }
    }
    for key in ["assignees", "guests", "groups"] {
        put(&mut changed, key, call.body.get(key).cloned().unwrap_or_else(|| json!([])));
    }
    put(&mut changed, "last_updated", stamp(world.now()));
    store(world, &call.caller.actor, "update", "steps", step, changed);
    self::step(world, id, step)
}

/// `DELETE /checklists/{id}` and `PUT /checklists/{id}/restore`.
pub(super) fn set_archived(world: &mut World, call: &Call<'_>, id: &str, archive: bool) -> Reply {
    let found = world.get("checklists", id).filter(|template| has(template, "archived_at") != archive);
    let mut template = (*found.ok_or_else(not_found)?).clone();
    put(&mut template, "archived_at", if archive { stamp(world.now()) } else { Value::Null });
    put(&mut template, "last_updated", stamp(world.now()));
    let kind = if archive { "archive" } else { "restore" };
    store(world, &call.caller.actor, kind, "checklists", id, template);
    if archive {
        let body = json!({"message": "Checklist archived", "deleted_references": []});
        return Ok(crate::kit::Answer::json(200, &body));
    }
    show(world, call, id)
}
