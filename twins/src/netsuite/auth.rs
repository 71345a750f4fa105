//! Who a request comes from: bearer tokens, the client-credentials grant, and signed requests.
//!
//! Tokens are records of the entity `tokens` and what an administrator set up is in `credentials`, so that a
//! test can read, expire or delete both like any other record.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answers::{put, text, unauthorized};
use super::oauth1;
use crate::kit::{Answer, Request, Save, World};

/// Path of the token endpoint.
pub(super) const TOKEN_PATH: &str = "/services/rest/auth/oauth2/v1/token";
/// How long an access token lives, and the longest life of an assertion.
const HOUR: i64 = 3600;
/// How wrong a clock may be.
const LEEWAY: i64 = 300;

/// The name under which a request acts, or the refusal.
pub(super) fn caller(world: &World, request: &Request) -> Result<String, Answer> {
    let header = request.header("authorization").unwrap_or_default();
    if header.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("OAuth ")) {
        return oauth1::caller(world, request).ok_or_else(|| unauthorized("INVALID_LOGIN_ATTEMPT"));
    }
    let refused = || unauthorized("INVALID_LOGIN");
    let record = world.get_any("tokens", request.bearer().ok_or_else(refused)?).ok_or_else(refused)?;
    let expires: Option<Timestamp> = text(&record, "expires_at").parse().ok();
    if expires.is_some_and(|at| at <= world.now()) {
        return Err(refused());
    }
    Ok(text(&record, "actor").to_owned())
}

/// Makes a token stop working, as if its time had come.
pub(super) fn expire(world: &mut World, token: &str) {
    if let Some(record) = world.get_any("tokens", token) {
        let mut record = (*record).clone();
        put(&mut record, "expires_at", json!(world.now().to_string()));
        world.save(Save { actor: "server", kind: "expire", entity: "tokens", id: token, record });
    }
}

/// `POST` to the token endpoint.
pub(super) fn grant(world: &mut World, request: &Request) -> Answer {
    let refused = |status: u16, error: &str| Answer::json(status, &json!({"error": error}));
    let is_form = request
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if request.method != "POST" || !is_form {
        return refused(400, "invalid_request");
    }
    if request.form_field("grant_type").as_deref() != Some("client_credentials") {
        return refused(400, "unsupported_grant_type");
    }
    let kind = request.form_field("client_assertion_type");
    if kind.as_deref() != Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
        return refused(400, "invalid_request");
    }
    let assertion = request.form_field("client_assertion").unwrap_or_default();
    let Some(client) = asserted_client(world, &assertion) else {
        return refused(401, "invalid_client");
    };
    let token = format!("{}{}", world.next_hex32(), world.next_hex32());
    let expires = world.now().checked_add(SignedDuration::from_secs(HOUR)).unwrap_or(Timestamp::MAX);
    let record = json!({"actor": format!("integration:{client}"), "expires_at": expires.to_string()});
    world.save(Save { actor: "server", kind: "issue", entity: "tokens", id: &token, record });
    Answer::json(200, &json!({"access_token": token, "expires_in": HOUR, "token_type": "Bearer"}))
}

/// The client that an assertion speaks for, when everything in it is as it must be.
///
/// The signature is verified when the credential has a public key; else it only has to be there.
fn asserted_client(world: &World, assertion: &str) -> Option<String> {
    let mut parts = assertion.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || URL_SAFE_NO_PAD.decode(signature).ok()?.len() < 32 {
        return None;
    }
    let read =
        |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let (header, claims) = (read(header)?, read(claims)?);
    if !["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"].contains(&text(&header, "alg")) {
        return None;
    }
    let client = text(&claims, "iss");
    let known = world.get_any("credentials", client).filter(|record| text(record, "kind") == "client")?;
    if text(&known, "certificate") != text(&header, "kid") {
        return None;
    }
    let public_key = text(&known, "public_key");
    if !public_key.is_empty() {
        let (signed, _) = assertion.rsplit_once('.')?;
        verify(
            text(&header, "alg"),
            public_key,
            signed.as_bytes(),
            &URL_SAFE_NO_PAD.decode(signature).ok()?,
        )?;
    }
    let scope_is_right = match claims.get("scope")? {
        Value::String(scope) => scope.split([' ', ',']).any(|scope| scope == "rest_webservices"),
        Value::Array(scopes) => scopes.iter().any(|scope| scope == "rest_webservices"),
        _ => false,
    };
    let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
    let (issued, expires, now) = (seconds("iat")?, seconds("exp")?, world.now().as_second());
    let in_time =
        issued <= now.saturating_add(LEEWAY) && expires > now && expires.saturating_sub(issued) <= HOUR;
    let for_us = text(&claims, "aud").ends_with(TOKEN_PATH);
    (scope_is_right && in_time && for_us).then(|| client.to_owned())
}

/// Verifies a signature with a public key in PEM (`BEGIN PUBLIC KEY`); `None` when it is wrong.
fn verify(algorithm: &str, public_key: &str, signed: &[u8], signature: &[u8]) -> Option<()> {
    let algorithm: &'static dyn VerificationAlgorithm = match algorithm {
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        "ES256" => &ECDSA_P256_SHA256_FIXED,
        "ES384" => &ECDSA_P384_SHA384_FIXED,
        "ES512" => &ECDSA_P521_SHA512_FIXED,
        _ => return None,
    };
    let base64: String =
        public_key.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let key = UnparsedPublicKey::new(algorithm, STANDARD.decode(base64).ok()?);
    key.verify(signed, signature).ok()
}
