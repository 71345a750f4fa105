//! Users, guests, groups and tags.
//!
//! This file must not know processes; a tag only names its subject.

use serde_json::{Value, json};

use super::answers::{Reply, forbidden, has, item, list, not_found, page, put, refused, stamp, text};
use super::{Call, store};
use crate::kit::{Answer, World};

/// A user as the API shows it: without the password that the password grant checks.
pub(super) fn shown_user(user: &Value) -> Value {
    let mut shown = user.clone();
    if let Value::Object(map) = &mut shown {
        map.remove("password");
    }
    shown
}

/// `GET /users` and `GET /users-list`.
pub(super) fn users(world: &World, call: &Call<'_>, light: bool) -> Reply {
    let rows: Vec<Value> = world.list("users").iter().map(|(_, user)| shown_user(user)).collect();
    if light {
        return Ok(Answer::json(200, &json!({"data": rows})));
    }
    Ok(page(call.request, rows, Some(9999)))
}

/// `GET /users/{id}`: administrators only.
pub(super) fn user(world: &World, call: &Call<'_>, id: &str) -> Reply {
    if !call.caller.admin {
        return Err(forbidden("You are not allowed to perform this action."));
    }
    let user = world.get("users", id).ok_or_else(not_found)?;
    Ok(item(200, shown_user(&user)))
}

/// `GET /me`, `GET /organizations/{org}/me`.
pub(super) fn me(world: &World, call: &Call<'_>) -> Reply {
    let user = world.get_any("users", &call.caller.user.to_string()).ok_or_else(not_found)?;
    let mut shown = shown_user(&user);
    put(&mut shown, "default_organization", json!({"id": call.caller.organization}));
    Ok(item(200, shown))
}

/// `GET /guests`.
pub(super) fn guests(world: &World, call: &Call<'_>) -> Reply {
    let rows = world.list("guests").into_iter().map(|(_, guest)| (*guest).clone()).collect();
    Ok(page(call.request, rows, Some(999)))
}

/// `GET /guests/{email}`.
pub(super) fn guest(world: &World, email: &str) -> Reply {
    let guest = world.get("guests", &email.to_lowercase()).ok_or_else(not_found)?;
    Ok(item(200, (*guest).clone()))
}

/// `POST /guests` and `PUT /guests/{email}`; the answer to a creation writes its times with a space.
pub(super) fn save_guest(world: &mut World, call: &Call<'_>, email: Option<&str>) -> Reply {
    let known = email.map(str::to_lowercase);
    let email = known.clone().unwrap_or_else(|| text(&call.body, "email").to_lowercase());
    if !email.contains('@') {
        return Err(refused("email", "The email must be a valid email address."));
    }
    let before = world.get("guests", &email);
    if known.is_some() && before.is_none() {
        return Err(not_found());
    }
    let mut guest = match before {
        Some(guest) => (*guest).clone(),
        None => {
            json!({"id": super::next_increment(world, "guests"), "email": email, "created_at": stamp(world.now())})
        }
    };
    if let Value::Object(sent) = &call.body {
        for (key, value) in sent {
            if key != "email" {
                put(&mut guest, key, value.clone());
            }
        }
    }
    put(&mut guest, "last_updated", stamp(world.now()));
    let kind = if known.is_some() { "update" } else { "create" };
    let mut shown = (*store(world, &call.caller.actor, kind, "guests", &email, guest)).clone();
    if known.is_some() {
        return Ok(item(200, shown));
    }
    for key in ["created_at", "last_updated"] {
        let spaced = text(&shown, key).get(..19).unwrap_or_default().replace('T', " ");
        put(&mut shown, key, json!(spaced));
    }
    Ok(item(201, shown))
}

/// `DELETE /guests/{email}`: detaches the guest.
pub(super) fn delete_guest(world: &mut World, call: &Call<'_>, email: &str) -> Reply {
    world.remove(&call.caller.actor, "delete", "guests", &email.to_lowercase()).ok_or_else(not_found)?;
    Ok(Answer::empty(204))
}

/// `GET /groups`, `GET /tags`.
pub(super) fn plain(world: &World, call: &Call<'_>, entity: &str) -> Reply {
    let name = if entity == "tags" { "title" } else { "name" };
    let mut rows: Vec<Value> = world.list(entity).into_iter().map(|(_, record)| (*record).clone()).collect();
    rows.retain(|row| {
        call.query("q").is_none_or(|q| text(row, name).to_lowercase().contains(&q.to_lowercase()))
    });
    rows.sort_by_key(|row| text(row, name).to_owned());
    Ok(page(call.request, rows, None))
}

/// `GET /groups/{id}`, `GET /tags/{id}`.
pub(super) fn plain_one(world: &World, entity: &str, id: &str) -> Reply {
    let record = world.get(entity, id).ok_or_else(not_found)?;
    Ok(item(200, (*record).clone()))
}

/// `POST /groups`, `PUT /groups/{id}`: the description is required; a change answers 201 too.
pub(super) fn save_group(world: &mut World, call: &Call<'_>, id: Option<&str>) -> Reply {
    let body = &call.body;
    for key in ["name", "description"] {
        if !has(body, key) {
            return Err(refused(key, &format!("The {key} field is required.")));
        }
    }
    if let Some(id) = id {
        world.get("groups", id).ok_or_else(not_found)?;
    }
    let id = id.map_or_else(|| world.next_hex32(), str::to_owned);
    let group = json!({"id": id, "name": body.get("name"), "description": body.get("description"),
                       "members": list(body, "members"), "guests": list(body, "guests"),
                       "created_at": stamp(world.now()), "last_updated": stamp(world.now())});
    let group = store(world, &call.caller.actor, "save", "groups", &id, group);
    Ok(item(201, (*group).clone()))
}

/// `POST /tags`, `PUT /tags/{id}`.
pub(super) fn save_tag(world: &mut World, call: &Call<'_>, id: Option<&str>) -> Reply {
    let title = text(&call.body, "title");
    if title.is_empty() {
        return Err(refused("title", "The title field is required."));
    }
    if title.chars().count() > 30 {
        return Err(refused("title", "The title may not be greater than 30 characters."));
    }
    let taken = world
        .list("tags")
        .iter()
        .any(|(other, tag)| text(tag, "title") == title && Some(other.as_str()) != id);
    if taken {
        return Err(refused("title", "The title has already been taken."));
    }
    if let Some(id) = id {
        world.get("tags", id).ok_or_else(not_found)?;
    }
    let status = if id.is_some() { 200 } else { 201 };
    let id = id.map_or_else(|| world.next_hex32(), str::to_owned);
    let color = if has(&call.body, "color") { text(&call.body, "color") } else { "#3498db" };
    let tag = json!({"id": id, "title": title, "color": color, "created_at": stamp(world.now()), "deleted_at": null});
    let tag = store(world, &call.caller.actor, "save", "tags", &id, tag);
    Ok(item(status, (*tag).clone()))
}

/// `DELETE /groups/{id}` and `DELETE /tags/{id}`: tags go for good, and 204 even when absent.
pub(super) fn delete(world: &mut World, call: &Call<'_>, entity: &str, id: &str) -> Reply {
    let gone = world.remove(&call.caller.actor, "delete", entity, id);
    if gone.is_none() && entity != "tags" { Err(not_found()) } else { Ok(Answer::empty(204)) }
}

/// `POST /checklists/tags`.
pub(super) fn tag(world: &mut World, call: &Call<'_>) -> Reply {
    let body = &call.body;
    let entity = match text(body, "subject_type") {
        "Run" => "runs",
        "Checklist" => "checklists",
        _ => return Err(refused("subject_type", "The selected subject type is invalid.")),
    };
    let (subject, tag) = (text(body, "subject_id"), text(body, "tag_id"));
    let found = world.get(entity, subject).filter(|record| !has(record, "archived_at"));
    if found.is_none() {
        return Err(refused("subject_id", "Subject not found"));
    }
    if world.get("tags", tag).is_none() {
        return Err(refused("tag_id", "The selected tag id is invalid."));
    }
    let link = link_tag(world, &call.caller.actor, text(body, "subject_type"), subject, tag);
    Ok(item(201, link))
}

/// Associates a tag with a subject; doing it again is harmless.
pub(super) fn link_tag(
    world: &mut World,
    actor: &str,
    subject_type: &str,
    subject: &str,
    tag: &str,
) -> Value {
    let same = |link: &Value| text(link, "subject_id") == subject && text(link, "tag_id") == tag;
    if let Some((_, link)) = world.list("tag_links").into_iter().find(|(_, link)| same(link)) {
        return (*link).clone();
    }
    let number = super::next_increment(world, "tag_links");
    let link = json!({"id": number, "subject_id": subject, "subject_type": subject_type, "tag_id": tag});
    (*store(world, actor, "tag", "tag_links", &number.to_string(), link)).clone()
}

/// `DELETE /checklists/tags/{association}`.
pub(super) fn untag(world: &mut World, call: &Call<'_>, id: &str) -> Reply {
    world.remove(&call.caller.actor, "untag", "tag_links", id).ok_or_else(not_found)?;
    Ok(Answer::empty(204))
}
