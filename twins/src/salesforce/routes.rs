//! Which path means what.
//!
//! This file must not read or write records itself.

use serde_json::{Value, json};

use super::answers::{Refusal, Reply, method_not_allowed, not_found};
use super::collections::{self, Job};
use super::records::{self, Address, Upserted};
use super::schema::{ObjectSeed, describe_all};
use super::{Call, Machine, auth, feeds, pages, setting};
use crate::kit::{Answer, Request, World};

/// The versions that the server speaks.
const VERSIONS: std::ops::RangeInclusive<u32> = 31..=68;
/// Requests of one day, when no setting says otherwise.
const DAILY: u64 = 15_000;

/// Answers any request.
pub(super) fn answer(machine: &Machine, world: &mut World, request: &Request) -> Answer {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["services", "oauth2", "token"] => auth::grant(world, request),
        ["services", "oauth2", "userinfo"] => auth::user_info(world, request),
        ["services", "data"] => versions(),
        ["services", "data", version, rest @ ..] => {
            let reply = match auth::caller(world, request) {
                Ok(caller) => metered(machine, world, request, caller, version, rest),
                Err(refusal) => Err(refusal),
            };
            reply.unwrap_or_else(|refusal| refusal.answer())
        }
        _ => not_found().answer(),
    }
}

fn versions() -> Answer {
    let row = |number: u32| json!({"label": format!("Release {number}"), "url": format!("/services/data/v{number}.0"), "version": format!("{number}.0")});
    Answer::json(200, &Value::Array(VERSIONS.map(row).collect()))
}

fn speaks(version: &str) -> bool {
    let number = version.strip_prefix('v').and_then(|number| number.strip_suffix(".0"));
    number.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| VERSIONS.contains(&number))
}

/// Counts the request against the day's quota and answers it.
fn metered(
    machine: &Machine,
    world: &mut World,
    request: &Request,
    caller: auth::Caller,
    version: &str,
    rest: &[&str],
) -> Reply {
    let used = world.next_of("api-usage");
    let most = setting(world, "api_limit").and_then(|most| most.as_u64()).unwrap_or(DAILY);
    let reply = if used > most {
        Err(Refusal::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
    } else if !speaks(version) {
        Err(not_found())
    } else {
        let base = format!("/services/data/{version}");
        let call = Call { machine, request, caller, base };
        if rest == ["limits"] {
            let left = most.saturating_sub(used);
            Ok(Answer::json(200, &json!({"DailyApiRequests": {"Max": most, "Remaining": left}})))
        } else {
            resource(&call, world, rest)
        }
    };
    let answer = reply.unwrap_or_else(|refusal| refusal.answer());
    Ok(answer.with_header("sforce-limit-info", &format!("api-usage={}/{most}", used.min(most))))
}

fn resource(call: &Call<'_>, world: &mut World, rest: &[&str]) -> Reply {
    let method = call.request.method.as_str();
    match (method, rest) {
        ("GET", []) => Ok(Answer::json(
            200,
            &json!({"sobjects": format!("{}/sobjects", call.base), "query": format!("{}/query", call.base),
                    "queryAll": format!("{}/queryAll", call.base), "limits": format!("{}/limits", call.base),
                    "composite": format!("{}/composite", call.base)}),
        )),
        ("GET", ["query"]) => pages::first(call.machine, world, call.request, false, &call.base),
        ("GET", ["queryAll"]) => pages::first(call.machine, world, call.request, true, &call.base),
        ("GET", ["query" | "queryAll", locator]) => pages::next(call.machine, world, locator, &call.base),
        (_, ["query" | "queryAll", ..]) => Err(method_not_allowed(method, "HEAD,GET")),
        ("GET", ["sobjects"]) => {
            Ok(Answer::json(200, &describe_all(&call.machine.objects(world), &call.base)))
        }
        (_, ["sobjects", name, rest @ ..]) => {
            let object = call.machine.object(world, name).ok_or_else(not_found)?;
            of_object(call, world, &object, rest)
        }
        ("POST", ["composite", "sobjects"]) => collections::write(call, world, &Job::Create, &body(call)?),
        ("PATCH", ["composite", "sobjects"]) => collections::write(call, world, &Job::Update, &body(call)?),
        ("DELETE", ["composite", "sobjects"]) => collections::delete(call, world),
        ("GET" | "POST", ["composite", "sobjects", name]) => {
            let object = call.machine.object(world, name).ok_or_else(not_found)?;
            collections::retrieve(call, world, &object, &body(call)?)
        }
        ("PATCH", ["composite", "sobjects", name, field]) => {
            let object = call.machine.object(world, name).ok_or_else(not_found)?;
            if !object.field(field).is_some_and(|field| field.external_id) {
                return Err(not_found());
            }
            collections::write(call, world, &Job::Upsert(&object, field), &body(call)?)
        }
        _ => Err(not_found()),
    }
}

fn of_object(call: &Call<'_>, world: &mut World, object: &ObjectSeed, rest: &[&str]) -> Reply {
    let method = call.request.method.as_str();
    match (method, rest) {
        ("GET", []) => {
            let described = object.describe(&call.base);
            Ok(Answer::json(200, &json!({"objectDescribe": described, "recentItems": []})))
        }
        ("POST", []) => {
            let id = records::create(call, world, object, &body(call)?)?;
            let place = format!("{}/sobjects/{}/{id}", call.base, object.name);
            Ok(Answer::json(201, &json!({"id": id, "success": true, "errors": []}))
                .with_header("location", &place))
        }
        ("GET", ["describe"]) => Ok(Answer::json(200, &object.describe(&call.base))),
        ("GET", ["deleted"]) => feeds::deleted(world, object, call.request),
        ("GET", ["updated"]) => feeds::updated(world, object, call.request),
        (_, ["describe" | "deleted" | "updated"]) => Err(method_not_allowed(method, "HEAD,GET")),
        (_, [id]) => row(call, world, object, Address::Id((*id).to_owned())),
        // `Id` as the field of an address is the id itself.
        (_, ["Id" | "id", id]) => row(call, world, object, Address::Id((*id).to_owned())),
        (_, [field, value]) => {
            row(call, world, object, Address::External((*field).to_owned(), (*value).to_owned()))
        }
        _ => Err(method_not_allowed(method, "HEAD,GET,POST")),
    }
}

fn row(call: &Call<'_>, world: &mut World, object: &ObjectSeed, address: Address) -> Reply {
    match (call.request.method.as_str(), &address) {
        ("GET", _) => records::get(call, world, object, &address),
        ("DELETE", _) => records::delete(call, world, object, &address),
        ("PATCH", Address::Id(written)) => {
            let id = super::ids::full(written).ok_or_else(|| {
                let message =
                    format!("Provided external ID field does not exist or is not accessible: {written}");
                Refusal::new(404, "NOT_FOUND", message)
            })?;
            records::update(call, world, object, &id, &body(call)?)?;
            Ok(Answer::empty(204))
        }
        ("PATCH", Address::External(field, value)) => {
            match records::upsert(call, world, object, (field, value), &body(call)?) {
                Ok(Upserted::Created(id)) => {
                    Ok(Answer::json(201, &json!({"id": id, "success": true, "errors": [], "created": true})))
                }
                Ok(Upserted::Updated(id)) => Ok(updated(world, &id)),
                Err(reply) => reply,
            }
        }
        (method, _) => Err(method_not_allowed(method, "HEAD,GET,PATCH,DELETE")),
    }
}

/// What an upsert of a record that was there answers: 200 with a body since version 46, 204 before it; the
/// setting `upsert_update_status` decides.
fn updated(world: &World, id: &str) -> Answer {
    match setting(world, "upsert_update_status").and_then(|status| status.as_u64()) {
        Some(204) => Answer::empty(204),
        _ => Answer::json(200, &json!({"id": id, "success": true, "errors": [], "created": false})),
    }
}

fn body(call: &Call<'_>) -> Result<Value, Refusal> {
    let is_json = call.request.header("content-type").is_none_or(|kind| kind.contains("json"));
    if !is_json && !call.request.body.is_empty() {
        let message = "The content type of the request is not supported";
        return Err(Refusal::new(415, "UNSUPPORTED_MEDIA_TYPE", message));
    }
    call.request.json().map_err(|problem| Refusal::new(400, "JSON_PARSER_ERROR", problem))
}

/// The name of what is asked: `query`, `queryMore`, `Opportunity.update`, `collections.create`.
pub(super) fn kind(request: &Request) -> String {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let verb = |addressed: &str| match request.method.as_str() {
        "GET" => "get".to_owned(),
        "POST" => "create".to_owned(),
        "PATCH" => addressed.to_owned(),
        "DELETE" => "delete".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    match parts.as_slice() {
        ["services", "oauth2", what] => format!("oauth2.{what}"),
        ["services", "data"] => "versions".to_owned(),
        ["services", "data", _, rest @ ..] => match rest {
            ["query" | "queryAll", _] => "queryMore".to_owned(),
            ["sobjects"] => "describeGlobal".to_owned(),
            ["sobjects", object] if request.method == "GET" => format!("{object}.info"),
            ["sobjects", object] => format!("{object}.{}", verb("update")),
            ["sobjects", object, what @ ("describe" | "deleted" | "updated")] => format!("{object}.{what}"),
            ["sobjects", object, _] => format!("{object}.{}", verb("update")),
            ["sobjects", object, _, _] => format!("{object}.{}", verb("upsert")),
            ["composite", "sobjects", _, _] => "collections.upsert".to_owned(),
            ["composite", "sobjects", _] => "collections.get".to_owned(),
            ["composite", "sobjects"] => format!("collections.{}", verb("update")),
            [what, ..] => (*what).to_owned(),
            [] => "resources".to_owned(),
        },
        _ => "unknown".to_owned(),
    }
}
