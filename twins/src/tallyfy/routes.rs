//! Paths: both styles, who is let in, and which operation a path means.
//!
//! Styles: `/organizations/{org}/...` with and without `/api` before it, and `/api/v1/...` of the middleware
//! guides. What operations do stands in the other files.

use serde_json::{Value, json};

use super::answers::{
    Reply, bad_request, forbidden, item, no_endpoint, not_found, page, put, text, unauthenticated,
};
use super::auth::{self, Caller};
use super::tasks::Scope;
use super::threads::Subject;
use super::{Call, extras, hooks, members, runs, tasks, templates, threads};
use crate::kit::{Answer, Request, World};

/// A path, taken apart.
struct Place {
    /// The organisation that the path names; empty where it names none.
    organization: Option<String>,
    /// The parts behind the organisation.
    path: Vec<String>,
    v1: bool,
}

fn place(request: &Request) -> Place {
    let mut parts = request.segments();
    if parts.first().is_some_and(|part| part == "api") {
        parts.remove(0);
        if parts.first().is_some_and(|part| part == "v1") {
            parts.remove(0);
            if let Some(first) = parts.first_mut() {
                *first = match first.as_str() {
                    "processes" | "runs" => "runs".to_owned(),
                    "blueprints" => "checklists".to_owned(),
                    "tasks" => "tasks".to_owned(),
                    _ => "no-such-resource".to_owned(),
                };
            }
            let organization = request.header("x-tallyfy-orgid").map(str::to_owned);
            return Place {
                organization: organization.or_else(|| request.query("organization")),
                path: parts,
                v1: true,
            };
        }
    }
    if parts.len() >= 2 && parts.first().is_some_and(|part| part == "organizations") {
        let path = parts.split_off(2);
        return Place { organization: parts.pop(), path, v1: false };
    }
    Place { organization: None, path: parts, v1: false }
}

/// The operation that a request means, for counting: `runs.list`, `tasks.complete`.
pub(super) fn kind(request: &Request) -> String {
    let place = place(request);
    let path: Vec<&str> = place.path.iter().map(String::as_str).collect();
    match (place.organization.is_some() || place.v1, request.method.as_str(), path.as_slice()) {
        (false, "POST", ["oauth", "token"]) => "token.grant",
        (false, "POST", ["applications", _, "users", _, "token"]) => "token.user",
        (false, "GET", ["me"]) => "me.get",
        (false, "GET", ["me", "organizations"]) => "organizations.list",
        (true, "GET", []) => "organizations.get",
        (true, method, path) => operation(method, path).unwrap_or("unknown"),
        _ => "unknown",
    }
    .to_owned()
}

fn operation(method: &str, path: &[&str]) -> Option<&'static str> {
    process_operation(method, path).or_else(|| other_operation(method, path))
}

fn process_operation(method: &str, path: &[&str]) -> Option<&'static str> {
    Some(match (method, path) {
        ("GET", ["runs"]) => "runs.list",
        ("POST", ["runs"]) => "runs.launch",
        ("GET", ["runs", _]) => "runs.get",
        ("PUT", ["runs", _]) => "runs.update",
        ("DELETE", ["runs", _]) => "runs.archive",
        ("PUT", ["runs", _, "activate"]) => "runs.restore",
        ("DELETE", ["runs", _, "delete"]) => "runs.purge",
        ("POST", ["runs", _, "complete-prerun"]) => "runs.submit",
        ("DELETE", ["runs", _, "complete-prerun"]) => "runs.unsubmit",
        ("GET", ["runs", _, "form-fields"]) => "runs.fields",
        ("GET", ["runs", _, "tasks"]) => "tasks.list",
        ("GET", ["runs", _, "tasks", _]) => "tasks.get",
        ("PUT", ["runs", _, "tasks", _]) => "tasks.update",
        ("POST", ["runs", _, "completed-tasks"]) => "tasks.complete",
        ("DELETE", ["runs", _, "completed-tasks", _]) => "tasks.reopen",
        ("GET", ["tasks"]) => "tasks.list-all",
        ("GET", ["me", "tasks"]) => "tasks.list-mine",
        ("GET", ["users", _, "tasks"]) => "tasks.list-user",
        ("POST", ["tasks"]) => "tasks.create",
        ("GET", ["tasks", _]) => "tasks.get-any",
        ("PUT", ["tasks", _]) => "tasks.update-any",
        ("DELETE", ["tasks", _]) => "tasks.archive",
        ("PUT", ["tasks", _, "restore"]) => "tasks.restore",
        ("DELETE", ["tasks", _, "delete"]) => "tasks.purge",
        ("POST", ["completed-tasks"]) => "tasks.complete-any",
        ("DELETE", ["completed-tasks", _]) => "tasks.reopen-any",
        ("POST", ["tasks" | "runs" | "checklists", _, "comment" | "bot-comment"]) => "threads.comment",
        ("PUT", ["tasks" | "runs" | "checklists", _, "comment", _]) => "threads.edit",
        ("DELETE", ["tasks" | "runs" | "checklists", _, "comment", _]) => "threads.delete",
        ("POST", ["tasks" | "runs" | "checklists", _, "problem"]) => "threads.problem",
        ("POST", ["tasks" | "runs" | "checklists", _, "resolved-threads"]) => "threads.resolve",
        (_, ["runs", _, "custom-fields", ..]) => "custom-fields.run",
        (_, ["runs", _, "tasks", _, "custom-fields", ..]) => "custom-fields.task",
        _ => return None,
    })
}

fn other_operation(method: &str, path: &[&str]) -> Option<&'static str> {
    Some(match (method, path) {
        ("GET", ["checklists"]) => "checklists.list",
        ("POST", ["checklists", "tags"]) => "tags.attach",
        ("DELETE", ["checklists", "tags", _]) => "tags.detach",
        ("GET", ["checklists", _]) => "checklists.get",
        ("PUT", ["checklists", _]) => "checklists.update",
        ("DELETE", ["checklists", _]) => "checklists.archive",
        ("PUT", ["checklists", _, "restore"]) => "checklists.restore",
        ("GET", ["checklists", _, "steps"]) => "steps.list",
        ("GET", ["checklists", _, "steps", _]) => "steps.get",
        ("PUT", ["checklists", _, "steps", _]) => "steps.update",
        ("GET", ["checklists", _, "form-fields"]) => "checklists.fields",
        ("GET", ["me"]) => "me.get",
        ("GET", ["users"]) => "users.list",
        ("GET", ["users-list"]) => "users.list-light",
        ("GET", ["users", _]) => "users.get",
        ("POST", ["users", _, "add-watcher"]) => "watchers.create",
        ("GET", ["watchers"]) => "watchers.list",
        ("DELETE", ["remove-watcher", _]) => "watchers.delete",
        ("GET", ["guests"]) => "guests.list",
        ("POST", ["guests"]) => "guests.create",
        ("GET", ["guests", _]) => "guests.get",
        ("PUT", ["guests", _]) => "guests.update",
        ("DELETE", ["guests", _]) => "guests.delete",
        ("GET", ["groups"]) => "groups.list",
        ("GET", ["groups", _]) => "groups.get",
        ("POST" | "PUT", ["groups", ..]) => "groups.save",
        ("DELETE", ["groups", _]) => "groups.delete",
        ("GET", ["tags"]) => "tags.list",
        ("GET", ["tags", _]) => "tags.get",
        ("POST" | "PUT", ["tags", ..]) => "tags.save",
        ("DELETE", ["tags", _]) => "tags.delete",
        ("GET", ["custom-field-keys"]) => "custom-field-keys.list",
        ("GET", ["activity-feeds"]) => "activity.list",
        ("GET", ["search"]) => "search",
        _ => return None,
    })
}

/// Answers a request.
pub(super) fn answer(world: &mut World, request: &Request) -> Reply {
    let place = place(request);
    let path: Vec<&str> = place.path.iter().map(String::as_str).collect();
    if place.organization.is_none() && !place.v1 && path == ["oauth", "token"] && request.method == "POST" {
        return auth::grant(world, request);
    }
    let caller = auth::caller(world, request)?;
    if let (None, false) = (&place.organization, place.v1) {
        return without_organization(world, request, &path, caller);
    }
    let organization = place.organization.unwrap_or_else(|| caller.organization.clone());
    if caller.is_app && organization != caller.organization {
        return Err(forbidden("This application does not have permission to access this organization."));
    }
    if organization != caller.organization {
        return Err(not_found());
    }
    let Some(operation) =
        operation(&request.method, &path).or(path.is_empty().then_some("organizations.get"))
    else {
        return Err(no_endpoint());
    };
    if caller.is_app && !operation.starts_with("users.") {
        return Err(unauthenticated());
    }
    let body = if request.method == "GET" {
        json!({})
    } else {
        request.json().map_err(|problem| bad_request(&problem))?
    };
    let call = Call::new(request, caller, body, place.v1);
    if operation == "organizations.get" {
        let record = world.get("organizations", &organization).ok_or_else(not_found)?;
        return Ok(item(200, (*record).clone()));
    }
    process_call(world, &call, operation, &path).unwrap_or_else(|| other_call(world, &call, operation, &path))
}

fn without_organization(world: &mut World, request: &Request, path: &[&str], caller: Caller) -> Reply {
    match (request.method.as_str(), path) {
        ("POST", ["applications", organization, "users", email, "token"]) => {
            auth::user_token(world, &caller, organization, email)
        }
        _ if caller.is_app => Err(unauthenticated()),
        ("GET", ["me"]) => members::me(world, &Call::new(request, caller, json!({}), false)),
        ("GET", ["me", "organizations"]) => {
            let rows = world.get("organizations", &caller.organization).map(|record| (*record).clone());
            Ok(page(request, rows.into_iter().collect(), None))
        }
        _ => Err(no_endpoint()),
    }
}

fn process_call(world: &mut World, call: &Call<'_>, operation: &str, path: &[&str]) -> Option<Reply> {
    let actor = call.caller.actor.as_str();
    Some(match (operation, path) {
        ("runs.list", _) => runs::index(world, call),
        ("runs.launch", _) => runs::launch(world, call),
        ("runs.get", [_, id]) => runs::show(world, call, id),
        ("runs.update", [_, id]) => runs::update(world, call, id),
        ("runs.archive", [_, id]) => runs::set_archived(world, actor, id, true),
        ("runs.restore", [_, id, _]) => runs::set_archived(world, actor, id, false),
        ("runs.purge", [_, id, _]) => runs::purge(world, actor, call.caller.admin, id),
        ("runs.submit", [_, id, _]) => runs::kickoff_form(world, call, id, true),
        ("runs.unsubmit", [_, id, _]) => runs::kickoff_form(world, call, id, false),
        ("runs.fields", [_, id, _]) => runs::form_fields(world, id),
        ("tasks.list", [_, run, _]) => tasks::index(world, call, &Scope::Run(run)),
        ("tasks.list-all", _) => tasks::index(world, call, &Scope::Organization),
        ("tasks.list-mine", _) => tasks::index(world, call, &Scope::User(call.caller.user)),
        ("tasks.list-user", [_, user, _]) => match user.parse() {
            Ok(user) => tasks::index(world, call, &Scope::User(user)),
            Err(_) => Err(not_found()),
        },
        ("tasks.get", [_, run, _, id]) => tasks::show(world, call, Some(run), id),
        ("tasks.get-any", [_, id]) => tasks::show(world, call, None, id),
        ("tasks.create", _) => tasks::create(world, call),
        ("tasks.update", [_, run, _, id]) => tasks::update(world, call, Some(run), id),
        ("tasks.update-any", [_, id]) if call.v1 && text(&call.body, "status") == "completed" => {
            let mut call = Call::new(call.request, call.caller.clone(), call.body.clone(), true);
            put(&mut call.body, "task_id", json!(id));
            tasks::complete(world, &call, None)
        }
        ("tasks.update-any", [_, id]) => tasks::update(world, call, None, id),
        ("tasks.archive", [_, id]) => tasks::retire(world, call, id, "archive"),
        ("tasks.restore", [_, id, _]) => tasks::retire(world, call, id, "restore"),
        ("tasks.purge", [_, id, _]) => tasks::retire(world, call, id, "purge"),
        ("tasks.complete", [_, run, _]) => tasks::complete(world, call, Some(run)),
        ("tasks.complete-any", _) => tasks::complete(world, call, None),
        ("tasks.reopen", [_, run, _, id]) => tasks::reopen(world, actor, Some(run), id),
        ("tasks.reopen-any", [_, id]) => tasks::reopen(world, actor, None, id),
        ("custom-fields.run", [_, id, _]) => extras::custom_fields(world, call, "runs", id, None),
        ("custom-fields.run", [_, id, _, key]) => extras::custom_fields(world, call, "runs", id, Some(key)),
        ("custom-fields.task", [_, _, _, id, _]) => extras::custom_fields(world, call, "tasks", id, None),
        ("custom-fields.task", [_, _, _, id, _, key]) => {
            extras::custom_fields(world, call, "tasks", id, Some(key))
        }
        (threads, [part, id, rest @ ..]) if threads.starts_with("threads.") => {
            let Some(subject) = Subject::of(part, id) else { return Some(Err(no_endpoint())) };
            match (threads, rest) {
                ("threads.comment", _) => threads::comment(world, call, &subject),
                ("threads.problem", _) => threads::problem(world, call, &subject),
                ("threads.resolve", _) => threads::resolve(world, call, &subject),
                ("threads.edit", [_, thread]) => threads::edit(world, call, &subject, thread),
                ("threads.delete", [_, thread]) => threads::delete(world, call, &subject, thread),
                _ => Err(no_endpoint()),
            }
        }
        _ => return None,
    })
}

fn other_call(world: &mut World, call: &Call<'_>, operation: &str, path: &[&str]) -> Reply {
    let id = path.get(1).copied();
    match (operation, path) {
        ("checklists.list", _) => templates::index(world, call),
        ("checklists.get", [_, id]) => templates::show(world, call, id),
        ("checklists.update", [_, id]) => templates::update(world, call, id),
        ("checklists.archive", [_, id]) => templates::set_archived(world, call, id, true),
        ("checklists.restore", [_, id, _]) => templates::set_archived(world, call, id, false),
        ("checklists.fields", [_, id, _]) => templates::form_fields(world, id),
        ("steps.list", [_, id, _]) => templates::steps(world, call, id),
        ("steps.get", [_, id, _, step]) => templates::step(world, id, step),
        ("steps.update", [_, id, _, step]) => templates::update_step(world, call, id, step),
        ("tags.attach", _) => members::tag(world, call),
        ("tags.detach", [_, _, link]) => members::untag(world, call, link),
        ("me.get", _) => members::me(world, call),
        ("users.list", _) => members::users(world, call, false),
        ("users.list-light", _) => members::users(world, call, true),
        ("users.get", [_, id]) => members::user(world, call, id),
        ("watchers.create", _) => hooks::add_watcher(world, call),
        ("watchers.list", _) => hooks::watchers(world, call),
        ("watchers.delete", [_, id]) => hooks::remove_watcher(world, call, id),
        ("guests.list", _) => members::guests(world, call),
        ("guests.create", _) => members::save_guest(world, call, None),
        ("guests.get", [_, email]) => members::guest(world, email),
        ("guests.update", [_, email]) => members::save_guest(world, call, Some(email)),
        ("guests.delete", [_, email]) => members::delete_guest(world, call, email),
        ("groups.list" | "tags.list", [entity]) => members::plain(world, call, entity),
        ("groups.get" | "tags.get", [entity, id]) => members::plain_one(world, entity, id),
        ("groups.save", _) => members::save_group(world, call, id),
        ("tags.save", _) => members::save_tag(world, call, id),
        ("groups.delete" | "tags.delete", [entity, id]) => members::delete(world, call, entity, id),
        ("custom-field-keys.list", _) => {
            let rows = world.list("custom_field_keys").into_iter().map(|(_, key)| (*key).clone()).collect();
            Ok(page(call.request, rows, None))
        }
        ("activity.list", _) => extras::activity(world, call),
        ("search", _) => extras::search(world, call),
        _ => Err(no_endpoint()),
    }
}

/// What a person does in the web app, by the twin's own words. `with.user` says who; an administrator otherwise.
pub(super) fn action(world: &mut World, actor: &str, name: &str, with: &Value) -> Result<Value, String> {
    let user = with.get("user").and_then(Value::as_u64);
    let user = user.or_else(|| {
        world.list_any("users").iter().find_map(|(_, user)| user.get("id").and_then(Value::as_u64))
    });
    let caller = Caller {
        actor: actor.to_owned(),
        user: user.unwrap_or_default(),
        admin: true,
        is_app: false,
        organization: String::new(),
    };
    let request = Request::new("POST", "/");
    let call = Call::new(&request, caller, with.clone(), false);
    let (run, task) = (text(with, "run_id"), text(with, "task_id"));
    let reply = match name {
        "launch" => runs::launch(world, &call),
        "archive-run" => runs::set_archived(world, actor, run, true),
        "restore-run" => runs::set_archived(world, actor, run, false),
        "purge-run" => runs::purge(world, actor, true, run),
        "complete-task" => tasks::complete(world, &call, None),
        "reopen-task" => tasks::reopen(world, actor, None, task),
        "comment" | "report-issue" | "resolve-issue" => {
            let part = if task.is_empty() { "runs" } else { "tasks" };
            let id = if task.is_empty() { run } else { task };
            let subject = Subject::of(part, id).ok_or_else(|| "no subject".to_owned())?;
            match name {
                "comment" => threads::comment(world, &call, &subject),
                "report-issue" => threads::problem(world, &call, &subject),
                _ => threads::resolve(world, &call, &subject),
            }
        }
        "log-out" => {
            let user = user.map(|user| user.to_string()).unwrap_or_default();
            return Ok(json!({"tokens": auth::log_out(world, actor, &user)}));
        }
        _ => return Err(format!("no action {name:?} in the tallyfy twin")),
    };
    let shown =
        |answer: Answer| answer.body_json().get("data").cloned().unwrap_or_else(|| answer.body_json());
    reply.map(shown).map_err(|refusal| {
        let body = String::from_utf8_lossy(&refusal.body).into_owned();
        if refusal.status == 404 {
            format!("no such record for {name}: {body}")
        } else {
            format!("{name} was refused: {body}")
        }
    })
}
