//! The closed set of ways to authenticate, and the requests that get a token. Data in, requests and
//! headers out; `connection.rs` sends them, keeps the token and refreshes it.

use std::collections::BTreeMap;

use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use toml::Table;

use super::oauth1;
use super::placeholder::{STRICT, Scope, Text, render_tree};
use super::secret::Secret;
use crate::ports::HttpRequest;

/// One `[auth]` table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthTable {
    /// `none`, `static_header`, `token`, `basic`, `oauth2_token`, `oauth1`, `login_call`.
    pub kind: String,
    /// `client_credentials`, `jwt_bearer`, `refresh_token`, `password`.
    pub grant: Option<String>,
    /// Where tokens come from.
    pub token_url: Option<String>,
    /// The JWT of `jwt_bearer`.
    pub jwt: Option<JwtTable>,
    /// The JWT by which the client shows who it is.
    pub assertion: Option<JwtTable>,
    /// `{ id, secret, by = "form" | "basic" }`.
    pub client: Option<ClientTable>,
    /// Further form fields.
    pub params: BTreeMap<String, String>,
    /// oauth2, login: pointer to the token. oauth1: `{ key, secret }`.
    pub token: Option<toml::Value>,
    /// Pointer to the life in seconds, or `none`.
    pub expires: Option<String>,
    /// How long before its end a token is replaced.
    pub refresh_before: Option<String>,
    /// The refresh token to start from.
    pub refresh_token: Option<String>,
    /// Pointer to the base URL in the token answer.
    pub base_url: Option<String>,
    /// And the pattern that pins it.
    pub base_url_must_match: Option<String>,
    /// `{ header, value }`.
    pub place: Option<Place>,
    /// basic, password.
    pub username: Option<String>,
    /// basic, password.
    pub password: Option<String>,
    /// oauth1: `HMAC-SHA256`; login: HTTP method.
    pub method: Option<String>,
    /// oauth1.
    pub realm: Option<String>,
    /// oauth1: `{ key, secret }`.
    pub consumer: Option<Pair>,
    /// Informational: signatures always use the server's clock.
    pub clock: Option<String>,
    /// login: path.
    pub path: Option<String>,
    /// login: JSON tree.
    pub body: Option<toml::Value>,
    /// login, JSON-RPC 2.0: `{ service, method, args }`.
    pub call: Option<Table>,
    /// login: the token's name as a hole.
    #[serde(rename = "as")]
    pub name: Option<String>,
    /// login: further holes, by pointer.
    pub session: BTreeMap<String, String>,
    /// login: `{ equals = VALUE }`: this token means refused.
    pub fail_if: Option<Table>,
    /// Reserved: key rotation. Parsed, not run.
    pub rotate: Option<Table>,
}

/// A JWT to sign.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JwtTable {
    /// Algorithm.
    pub alg: String,
    /// PEM.
    pub key: String,
    /// Life.
    pub ttl: Option<String>,
    /// Header fields.
    pub header: Table,
    /// Claims; `iat` and `exp` are added.
    pub claims: Table,
}

/// The OAuth2 client.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTable {
    /// Client id.
    pub id: String,
    /// Client secret.
    pub secret: Option<String>,
    /// `form` (default) or `basic`.
    pub by: Option<String>,
}

/// Where the token goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Header name.
    pub header: String,
    /// Value with holes.
    pub value: String,
}

/// A key and its secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Key.
    pub key: String,
    /// Secret.
    pub secret: String,
}

/// The kinds.
pub const KINDS: &[&str] =
    &["none", "static_header", "token", "basic", "oauth2_token", "oauth1", "login_call"];
/// The grants of `oauth2_token`.
pub const GRANTS: &[&str] = &["client_credentials", "jwt_bearer", "refresh_token", "password"];

impl AuthTable {
    /// Reads one table.
    ///
    /// # Errors
    /// What is wrong, with the nearest name.
    pub fn read(table: &Table) -> Result<Self, String> {
        let auth: Self = table.clone().try_into().map_err(|error| format!("[auth]: {error}"))?;
        if !KINDS.contains(&auth.kind.as_str()) {
            return Err(super::placeholder::unknown("auth kind", &auth.kind, KINDS.iter().copied()));
        }
        if auth.kind == "oauth2_token" {
            let grant = auth.grant.as_deref().unwrap_or_default();
            if !GRANTS.contains(&grant) {
                return Err(super::placeholder::unknown("grant", grant, GRANTS.iter().copied()));
            }
            if auth.token_url.is_none() || !matches!(auth.token, Some(toml::Value::String(_))) {
                return Err("[auth] kind oauth2_token needs token_url and token".to_owned());
            }
            if auth.base_url.is_some() && auth.base_url_must_match.is_none() {
                return Err("[auth] base_url needs base_url_must_match, which pins it".to_owned());
            }
        }
        Ok(auth)
    }

    /// Whether a token is fetched before the first call.
    pub fn needs_token(&self) -> bool {
        matches!(self.kind.as_str(), "oauth2_token" | "login_call")
    }
}

/// A token as it came.
#[derive(Debug, Clone)]
pub struct Token {
    /// Counts renewals, so that two calls that fail with one token renew it once.
    pub generation: u64,
    /// When it must be replaced.
    pub expires: Option<jiff::Timestamp>,
    /// Holes: `token`, and what the login gave.
    pub holes: BTreeMap<String, Json>,
    /// Base URL for everything after.
    pub base: Option<String>,
}

/// A request that gets a token: URL or path, headers, body.
#[derive(Debug)]
pub struct TokenRequest {
    /// Absolute URL, or a path on the base.
    pub target: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Sending it twice does no harm.
    pub repeatable: bool,
}

fn text(source: &str, scope: &Scope<'_>) -> Result<String, String> {
    Text::parse(source)?.render(scope)?.ok_or_else(|| format!("{source:?}: a value is missing"))
}

/// Builds the token request of `oauth2_token`.
///
/// # Errors
/// When a value is missing or the key cannot sign.
pub fn oauth2_request(
    auth: &AuthTable,
    scope: &Scope<'_>,
    token_url: &str,
    now: jiff::Timestamp,
    refresh_token: Option<&Secret>,
) -> Result<TokenRequest, String> {
    let mut form: Vec<(String, String)> = Vec::new();
    let mut headers = vec![
        ("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
        ("Accept".to_owned(), "application/json".to_owned()),
    ];
    let grant = auth.grant.as_deref().unwrap_or_default();
    let mut add = |name: &str, value: String| form.push((name.to_owned(), value));
    match grant {
        "jwt_bearer" => {
            add("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned());
            let jwt = auth.jwt.as_ref().ok_or("[auth] grant jwt_bearer needs jwt")?;
            add("assertion", assertion(jwt, scope, token_url, now)?);
        }
        "refresh_token" => {
            add("grant_type", grant.to_owned());
            let known = refresh_token.ok_or("there is no refresh token to start from")?;
            add("refresh_token", known.expose().to_owned());
        }
        "password" => {
            add("grant_type", grant.to_owned());
            add("username", text(auth.username.as_deref().unwrap_or_default(), scope)?);
            add("password", text(auth.password.as_deref().unwrap_or_default(), scope)?);
        }
        other => add("grant_type", other.to_owned()),
    }
    if let Some(jwt) = &auth.assertion {
        add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned());
        add("client_assertion", assertion(jwt, scope, token_url, now)?);
    }
    if let Some(client) = &auth.client {
        let id = text(&client.id, scope)?;
        // A public client has none.
        let secret = match client.secret.as_deref() {
            Some(source) => Text::parse(source)?.render(scope)?,
            None => None,
        };
        if client.by.as_deref() == Some("basic") {
            // RFC 6749 section 2.3.1: both are form-encoded before they are joined.
            let pair = format!("{}:{}", encode(&id), encode(&secret.unwrap_or_default()));
            headers.push(("Authorization".to_owned(), format!("Basic {}", base64(&pair))));
        } else {
            add("client_id", id);
            if let Some(secret) = secret {
                add("client_secret", secret);
            }
        }
    }
    for (name, value) in &auth.params {
        add(name, text(value, scope)?);
    }
    let body: Vec<String> = form.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
    Ok(TokenRequest {
        target: token_url.to_owned(),
        headers,
        body: body.join("&").into_bytes(),
        // A used refresh token may be worthless the second time.
        repeatable: grant != "refresh_token",
    })
}

/// `%20` rather than `+`: every server reads it.
fn encode(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn assertion(
    jwt: &JwtTable,
    scope: &Scope<'_>,
    token_url: &str,
    now: jiff::Timestamp,
) -> Result<String, String> {
    let own = BTreeMap::from([("token_url".to_owned(), Json::String(token_url.to_owned()))]);
    let scope = scope.with(&own);
    let ttl = super::rules::duration(jwt.ttl.as_deref().unwrap_or("180s"))?;
    let mut claims = tree(&jwt.claims, &scope)?;
    let seconds = now.as_second();
    let life = i64::try_from(ttl.as_secs()).unwrap_or(180);
    claims.insert("iat".to_owned(), Json::Number(seconds.into()));
    claims.insert("exp".to_owned(), Json::Number(seconds.saturating_add(life).into()));
    let header = tree(&jwt.header, &scope)?;
    let key = Secret::new(text(&jwt.key, &scope)?);
    super::jwt::sign(&text(&jwt.alg, &scope)?, &key, &header, &claims)
}

fn tree(table: &Table, scope: &Scope<'_>) -> Result<Map<String, Json>, String> {
    match render_tree(&to_json(&toml::Value::Table(table.clone())), scope)? {
        Json::Object(map) => Ok(map),
        _ => Err("a table was expected".to_owned()),
    }
}

/// A TOML value as JSON. Definitions hold no floating-point numbers that matter.
pub fn to_json(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => Json::String(text.clone()),
        toml::Value::Integer(number) => Json::Number((*number).into()),
        toml::Value::Float(number) => super::placeholder::number(&number.to_string()),
        toml::Value::Boolean(flag) => Json::Bool(*flag),
        toml::Value::Datetime(time) => Json::String(time.to_string()),
        toml::Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        toml::Value::Table(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), to_json(value))).collect())
        }
    }
}

/// Builds the request of `login_call`.
///
/// # Errors
/// When a value is missing.
pub fn login_request(
    auth: &AuthTable,
    scope: &Scope<'_>,
    rpc_path: Option<&str>,
) -> Result<TokenRequest, String> {
    let path = auth.path.as_deref().or(rpc_path).ok_or("[auth] kind login_call needs a path")?;
    let body = match (&auth.body, &auth.call) {
        (Some(body), _) => render_tree(&to_json(body), scope)?,
        (None, Some(call)) => {
            let mut envelope = Map::new();
            envelope.insert("jsonrpc".to_owned(), Json::String("2.0".to_owned()));
            envelope.insert("id".to_owned(), Json::Number(1.into()));
            envelope.insert("method".to_owned(), Json::String("call".to_owned()));
            envelope.insert("params".to_owned(), Json::Object(tree(call, scope)?));
            Json::Object(envelope)
        }
        (None, None) => return Err("[auth] kind login_call needs body or call".to_owned()),
    };
    Ok(TokenRequest {
        target: text(path, scope)?,
        headers: vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("Accept".to_owned(), "application/json".to_owned()),
        ],
        body: body.to_string().into_bytes(),
        // A second login only opens a second session.
        repeatable: true,
    })
}

/// The header that every call carries; `None` where the kind signs each request or needs nothing.
///
/// # Errors
/// When a value is missing.
pub fn header(auth: &AuthTable, scope: &Scope<'_>) -> Result<Option<(String, String)>, String> {
    let value = match auth.kind.as_str() {
        "basic" => {
            let user = text(auth.username.as_deref().unwrap_or_default(), scope)?;
            let password = text(auth.password.as_deref().unwrap_or_default(), scope)?;
            format!("Basic {}", base64(&format!("{user}:{password}")))
        }
        "token" if auth.place.is_none() => match &auth.token {
            Some(toml::Value::String(token)) => format!("Bearer {}", text(token, scope)?),
            _ => return Err("[auth] kind token needs token".to_owned()),
        },
        _ => match &auth.place {
            Some(place) => return Ok(Some((place.header.clone(), text(&place.value, scope)?))),
            None => return Ok(None),
        },
    };
    Ok(Some(("Authorization".to_owned(), value)))
}

/// Signs one request with OAuth 1.0a.
///
/// # Errors
/// When a value is missing.
pub fn sign_oauth1(
    auth: &AuthTable,
    scope: &Scope<'_>,
    request: &mut HttpRequest,
    nonce: &str,
    seconds: i64,
) -> Result<(), String> {
    let consumer = auth.consumer.as_ref().ok_or("[auth] kind oauth1 needs consumer")?;
    let token: Pair = auth
        .token
        .clone()
        .and_then(|token| token.try_into().ok())
        .ok_or("[auth] kind oauth1 needs token = { key, secret }")?;
    let (consumer_key, consumer_secret) = (text(&consumer.key, scope)?, text(&consumer.secret, scope)?);
    let (token_key, token_secret) = (text(&token.key, scope)?, text(&token.secret, scope)?);
    let realm = text(auth.realm.as_deref().unwrap_or_default(), scope)?;
    let keys = oauth1::Keys {
        consumer_key: &consumer_key,
        consumer_secret: &consumer_secret,
        token: &token_key,
        token_secret: &token_secret,
        realm: &realm,
    };
    let value = oauth1::header(&keys, &request.method, &request.url, nonce, seconds);
    request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
    request.headers.push(("Authorization".to_owned(), value));
    Ok(())
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
