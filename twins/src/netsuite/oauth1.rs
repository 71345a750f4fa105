//! Requests signed with OAuth 1.0a tokens (token-based authentication), as RFC 5849 says.
//!
//! The signature is HMAC-SHA256 over method, address and parameters; a JSON body is not signed.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answers::text;
use crate::kit::http::{decode, encode};
use crate::kit::{Request, World};

/// How wrong the client's clock may be, in seconds.
const LEEWAY: i64 = 300;

/// The name under which a signed request acts; `None` when anything about the signature is wrong.
pub(super) fn caller(world: &World, request: &Request) -> Option<String> {
    let header = request.header("authorization")?.get(6..)?;
    let parameters = parameters(header)?;
    let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let known = world.get_any("credentials", get("oauth_token")?)?;
    if text(&known, "kind") != "signed" || text(&known, "consumer_key") != get("oauth_consumer_key")? {
        return None;
    }
    // The realm is the account as the account spells itself, not as host names do.
    if text(&known, "account") != get("realm")? || get("oauth_signature_method")? != "HMAC-SHA256" {
        return None;
    }
    let stamp: i64 = get("oauth_timestamp")?.parse().ok()?;
    if get("oauth_nonce")?.is_empty() || (world.now().as_second() - stamp).abs() > LEEWAY {
        return None;
    }
    let secret =
        format!("{}&{}", encode(text(&known, "consumer_secret")), encode(text(&known, "token_secret")));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = STANDARD.decode(get("oauth_signature")?).ok()?;
    hmac::verify(&key, base_string(request, &parameters).as_bytes(), &signature).ok()?;
    Some(text(&known, "actor").to_owned())
}

/// The parameters of the header: `name="value"`, percent-encoded, separated by commas.
fn parameters(header: &str) -> Option<Vec<(String, String)>> {
    let pairs = header.split(',').map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        Some((decode(name, false), decode(value, false)))
    });
    pairs.collect()
}

/// What is signed.
pub(super) fn base_string(request: &Request, parameters: &[(String, String)]) -> String {
    let mut signed: Vec<(String, String)> = request
        .query_pairs()
        .into_iter()
        .chain(parameters.iter().filter(|(name, _)| name != "realm" && name != "oauth_signature").cloned())
        .map(|(name, value)| (encode(&name), encode(&value)))
        .collect();
    signed.sort();
    let joined: Vec<String> = signed.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let scheme = request.base_url.split_once("://").map_or("https", |(scheme, _)| scheme);
    let host = request.header("host").or_else(|| request.base_url.split_once("://").map(|(_, host)| host));
    let address = format!("{scheme}://{}{}", host.unwrap_or_default().to_lowercase(), request.path);
    format!("{}&{}&{}", request.method, encode(&address), encode(&joined.join("&")))
}
