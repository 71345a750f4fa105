//! Tokens: the grants of `/oauth/token`, user tokens from app tokens, and who a request comes from.
//!
//! Tokens are records of the entity `tokens`, so that a test can read, expire or delete them like any other.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answers::{Reply, forbidden, not_found, text, unauthenticated};
use crate::kit::{Answer, Request, Save, World};

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The name in the history: the user's email, or the client.
    pub(super) actor: String,
    /// The user; 0 for an app token.
    pub(super) user: u64,
    /// Whether the user is an administrator.
    pub(super) admin: bool,
    /// Whether this is an app token.
    pub(super) is_app: bool,
    /// The organisation the token belongs to.
    pub(super) organization: String,
}

const HOUR: i64 = 3600;
const WEEK: i64 = 604_800;
const QUARTER: i64 = 7_776_000;
const YEAR: i64 = 31_536_000;

/// Finds out who asks; the headers must be complete.
pub(super) fn caller(world: &World, request: &Request) -> Result<Caller, Answer> {
    let accepts_json =
        request.header("accept").is_some_and(|accept| accept.contains("json") || accept.contains("*/*"));
    if request.header("x-tallyfy-client").is_none_or(str::is_empty) || !accepts_json {
        return Err(unauthenticated());
    }
    let token = request.bearer().ok_or_else(unauthenticated)?;
    let record = world.get_any("tokens", token).ok_or_else(unauthenticated)?;
    let expires: Option<Timestamp> = text(&record, "expires_at").parse().ok();
    if text(&record, "kind") == "refresh" || expires.is_some_and(|at| at <= world.now()) {
        return Err(unauthenticated());
    }
    let organization = text(&record, "organization").to_owned();
    if text(&record, "kind") == "app" {
        let actor = format!("app:{}", text(&record, "client"));
        return Ok(Caller { actor, user: 0, admin: true, is_app: true, organization });
    }
    let user = world.get_any("users", text(&record, "user")).ok_or_else(unauthenticated)?;
    if text(&user, "status") == "disabled" {
        return Err(unauthenticated());
    }
    Ok(Caller {
        actor: text(&user, "email").to_owned(),
        user: user.get("id").and_then(Value::as_u64).unwrap_or_default(),
        admin: text(&user, "role") == "admin",
        is_app: false,
        organization,
    })
}

/// `POST /oauth/token`.
pub(super) fn grant(world: &mut World, request: &Request) -> Reply {
    if !request
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
    {
        return Err(Answer::json(
            400,
            &json!({"error": "invalid_request", "message": "The request is not a form."}),
        ));
    }
    let field = |name: &str| request.form_field(name).unwrap_or_default();
    let invalid = |error: &str| Answer::json(401, &json!({"error": error}));
    let client = field("client_id");
    let known = client.parse::<u64>().ok().and_then(|_| world.get_any("clients", &client));
    let known = known.filter(|record| text(record, "secret") == field("client_secret"));
    let known = known.ok_or_else(|| invalid("invalid_client"))?;
    let organization = text(&known, "organization").to_owned();
    match field("grant_type").as_str() {
        "client_credentials" => {
            let token = issue(world, "app", &organization, "", &client, WEEK);
            Ok(Answer::json(200, &json!({"token_type": "Bearer", "expires_in": WEEK, "access_token": token})))
        }
        "password" => {
            let user = by_email(world, &field("username")).filter(|user| {
                let password = text(user, "password");
                !password.is_empty() && password == field("password")
            });
            let user = user.ok_or_else(|| invalid("invalid_credentials"))?;
            Ok(pair(world, &organization, &id_text(&user), &client))
        }
        "refresh_token" => {
            let old = field("refresh_token");
            let record = world.get_any("tokens", &old).filter(|record| {
                let expires: Option<Timestamp> = text(record, "expires_at").parse().ok();
                text(record, "kind") == "refresh"
                    && text(record, "client") == client
                    && expires.is_some_and(|at| at > world.now())
            });
            let record = record.ok_or_else(|| invalid("invalid_request"))?;
            // Rotation: the old refresh token is used up by this answer, whether or not it arrives.
            world.remove(&format!("app:{client}"), "refresh", "tokens", &old);
            Ok(pair(world, &organization, text(&record, "user"), &client))
        }
        _ => Err(Answer::json(400, &json!({"error": "unsupported_grant_type"}))),
    }
}

/// `POST /applications/{org}/users/{email}/token`.
pub(super) fn user_token(world: &mut World, caller: &Caller, organization: &str, email: &str) -> Reply {
    if !caller.is_app {
        return Err(unauthenticated());
    }
    if caller.organization != organization {
        return Err(forbidden("This application does not have permission to access this organization."));
    }
    let user = by_email(world, email).ok_or_else(not_found)?;
    let token = issue(world, "user", organization, &id_text(&user), &caller.actor, QUARTER);
    Ok(Answer::json(200, &json!({"token_type": "Bearer", "expires_in": QUARTER, "access_token": token})))
}

/// Makes a token stop working, as if its time had come.
pub(super) fn expire(world: &mut World, token: &str) {
    if let Some(record) = world.get_any("tokens", token) {
        let mut record = (*record).clone();
        super::answers::put(&mut record, "expires_at", json!(world.now().to_string()));
        world.save(Save { actor: "server", kind: "expire", entity: "tokens", id: token, record });
    }
}

/// Ends the personal tokens of a user, as logging out of the web app does.
pub(super) fn log_out(world: &mut World, actor: &str, user: &str) -> usize {
    let of_user = |record: &Value| text(record, "user") == user && text(record, "kind") == "personal";
    let tokens: Vec<String> = world
        .list_any("tokens")
        .into_iter()
        .filter(|(_, record)| of_user(record))
        .map(|(id, _)| id)
        .collect();
    for token in &tokens {
        world.remove(actor, "log-out", "tokens", token);
    }
    tokens.len()
}

/// The user with that email.
pub(super) fn by_email(world: &World, email: &str) -> Option<std::sync::Arc<Value>> {
    world
        .list_any("users")
        .into_iter()
        .map(|(_, user)| user)
        .find(|user| text(user, "email").eq_ignore_ascii_case(email))
}

fn id_text(record: &Value) -> String {
    record.get("id").map(|id| id.to_string()).unwrap_or_default()
}

fn pair(world: &mut World, organization: &str, user: &str, client: &str) -> Answer {
    let access = issue(world, "user", organization, user, client, HOUR);
    let refresh = issue(world, "refresh", organization, user, client, YEAR);
    Answer::json(
        200,
        &json!({"token_type": "Bearer", "expires_in": HOUR, "access_token": access, "refresh_token": refresh}),
    )
}

fn issue(
    world: &mut World,
    kind: &str,
    organization: &str,
    user: &str,
    client: &str,
    seconds: i64,
) -> String {
    let token = format!("{}{}", world.next_hex32(), world.next_hex32());
    let expires = world.now().checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    let record = json!({"kind": kind, "organization": organization, "user": user, "client": client,
                        "expires_at": expires.to_string()});
    world.save(Save { actor: "server", kind: "issue", entity: "tokens", id: &token, record });
    token
}
