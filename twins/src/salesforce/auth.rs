//! Tokens: the grants of `/services/oauth2/token`, and who a request comes from.
//!
//! Tokens are records of the entity `tokens`, clients of `clients`, passwords of `passwords` (by user name), so
//! that a test can read or delete them like any other record.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::answers::{Refusal, put, session_invalid, text};
use crate::kit::{Answer, Request, Save, World};

/// The organisation behind the twin.
pub(super) const ORGANIZATION: &str = "00D5g0000000001EAA";
/// How far ahead an assertion may expire, with some minutes for clocks that differ.
const ASSERTION_REACH: i64 = 300;

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The user name; the actor in the history.
    pub(super) actor: String,
    /// The user's id.
    pub(super) user: String,
}

/// Finds out who asks.
pub(super) fn caller(world: &World, request: &Request) -> Result<Caller, Refusal> {
    let token = request.bearer().ok_or_else(session_invalid)?;
    let record = world.get_any("tokens", token).ok_or_else(session_invalid)?;
    let expires: Option<jiff::Timestamp> = text(&record, "expires_at").parse().ok();
    if expires.is_some_and(|at| at <= world.now()) {
        return Err(session_invalid());
    }
    let id = text(&record, "user");
    let user = world.get_any("User", id).ok_or_else(session_invalid)?;
    if user.get("IsActive") != Some(&json!(true)) {
        return Err(session_invalid());
    }
    Ok(Caller { actor: text(&user, "Username").to_owned(), user: id.to_owned() })
}

/// Makes a token stop working.
pub(super) fn expire(world: &mut World, token: &str) {
    if let Some(record) = world.get_any("tokens", token) {
        let mut record = (*record).clone();
        put(&mut record, "expires_at", json!(world.now().to_string()));
        world.save(Save { actor: "server", kind: "expire", entity: "tokens", id: token, record });
    }
}

/// `POST /services/oauth2/token`.
pub(super) fn grant(world: &mut World, request: &Request) -> Answer {
    let is_form = request
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if request.method != "POST" || !is_form {
        return problem("invalid_request", "must use HTTP POST with a form");
    }
    let granted = match request.form_field("grant_type").unwrap_or_default().as_str() {
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => by_assertion(world, request),
        "client_credentials" => by_client(world, request),
        "password" => by_password(world, request),
        _ => Err(problem("unsupported_grant_type", "grant type not supported")),
    };
    match granted {
        Ok(user) => issue(world, request, &user),
        Err(answer) => answer,
    }
}

/// `GET /services/oauth2/userinfo`.
pub(super) fn user_info(world: &World, request: &Request) -> Answer {
    // This resource has an error body of its own: plain text and 403.
    let Ok(caller) = caller(world, request) else {
        return Answer::text(403, "text/html;charset=UTF-8", "Bad_OAuth_Token");
    };
    let user = world.get_any("User", &caller.user).map(|user| (*user).clone()).unwrap_or_default();
    Answer::json(
        200,
        &json!({
            "sub": format!("{}/id/{ORGANIZATION}/{}", request.base_url, caller.user), "user_id": caller.user,
            "organization_id": ORGANIZATION, "preferred_username": caller.actor, "nickname": caller.actor,
            "name": text(&user, "Name"), "email": text(&user, "Email"), "email_verified": true, "active": true,
            "user_type": "STANDARD", "language": "en_US", "locale": "en_US", "zoneinfo": "Etc/UTC",
            "urls": {"rest": format!("{}/services/data/v{{version}}/", request.base_url)},
        }),
    )
}

fn problem(error: &str, description: &str) -> Answer {
    Answer::json(400, &json!({"error": error, "error_description": description}))
}

fn by_password(world: &World, request: &Request) -> Result<String, Answer> {
    known_client(world, request)?;
    let name = request.form_field("username").unwrap_or_default();
    let password = request.form_field("password").unwrap_or_default();
    let known = world.get_any("passwords", &name).filter(|record| {
        !password.is_empty()
            && format!("{}{}", text(record, "password"), text(record, "security_token")) == password
    });
    match known {
        Some(record) => Ok(text(&record, "user").to_owned()),
        None => Err(problem("invalid_grant", "authentication failure")),
    }
}

fn by_client(world: &World, request: &Request) -> Result<String, Answer> {
    let client = known_client(world, request)?;
    match text(&client, "run_as") {
        "" => Err(problem("invalid_grant", "no client credentials user enabled")),
        user => Ok(user.to_owned()),
    }
}

/// The client by HTTP Basic or by the form.
fn known_client(world: &World, request: &Request) -> Result<Value, Answer> {
    let basic = request.header("authorization").and_then(|header| header.split_once(' ')).and_then(
        |(scheme, value)| {
            let bytes = STANDARD.decode(value).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
            let pair = String::from_utf8(bytes).ok()?;
            pair.split_once(':').map(|(key, secret)| (key.to_owned(), secret.to_owned()))
        },
    );
    let (key, secret) = basic.unwrap_or_else(|| {
        let field = |name: &str| request.form_field(name).unwrap_or_default();
        (field("client_id"), field("client_secret"))
    });
    let client = world.get_any("clients", &key);
    let client = client.ok_or_else(|| problem("invalid_client_id", "client identifier invalid"))?;
    if text(&client, "secret") != secret {
        return Err(problem("invalid_client", "invalid client credentials"));
    }
    Ok((*client).clone())
}

/// Reads the assertion's claims. Its signature must be there; whether it is right is not looked at, since the
/// twin holds no certificate.
fn by_assertion(world: &World, request: &Request) -> Result<String, Answer> {
    let malformed = || problem("invalid_grant", "invalid assertion");
    let assertion = request.form_field("assertion").unwrap_or_default();
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { return Err(malformed()) };
    let read =
        |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let header = read(header).ok_or_else(malformed)?;
    let claims = read(claims).ok_or_else(malformed)?;
    // An RSA signature of 2048 bits or more.
    let signed = URL_SAFE_NO_PAD.decode(signature).is_ok_and(|bytes| bytes.len() >= 256);
    if text(&header, "alg") != "RS256" || !signed {
        return Err(malformed());
    }
    if world.get_any("clients", text(&claims, "iss")).is_none() {
        return Err(problem("invalid_client_id", "client identifier invalid"));
    }
    let host = request.base_url.as_str();
    let audiences = ["https://login.salesforce.com", "https://test.salesforce.com", host];
    let audience = text(&claims, "aud").trim_end_matches("/services/oauth2/token");
    if !audiences.contains(&audience) {
        return Err(problem("invalid_grant", "audience is invalid"));
    }
    let now = world.now().as_second();
    match claims.get("exp").and_then(Value::as_i64) {
        Some(expires) if expires > now && expires <= now + ASSERTION_REACH => {}
        _ => return Err(problem("invalid_grant", "expired authorization code")),
    }
    let login = world.get_any("passwords", text(&claims, "sub"));
    match login {
        Some(login) => Ok(text(&login, "user").to_owned()),
        None => Err(problem("invalid_grant", "user hasn't approved this consumer")),
    }
}

fn issue(world: &mut World, request: &Request, user: &str) -> Answer {
    let token = format!("00D5g0000000001!{}", world.next_hex32());
    let mut record = json!({"user": user});
    if let Some(seconds) = super::setting(world, "session_seconds").and_then(|seconds| seconds.as_i64()) {
        let until = world.now().checked_add(SignedDuration::from_secs(seconds)).unwrap_or(world.now());
        put(&mut record, "expires_at", json!(until.to_string()));
    }
    world.save(Save { actor: "server", kind: "create", entity: "tokens", id: &token, record });
    Answer::json(
        200,
        &json!({"access_token": token, "scope": "api", "instance_url": request.base_url, "token_type": "Bearer",
                "id": format!("{}/id/{ORGANIZATION}/{user}", request.base_url)}),
    )
}
