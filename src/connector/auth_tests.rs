//! Token requests, as the vendors' documents print them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::connector::definition::Catalog;

const TOKEN_URL: &str = "https://123.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/token";

fn table(id: &str, choice: &str) -> AuthTable {
    let catalog = Catalog::built_in().unwrap();
    let auth = catalog.get(id).unwrap().auth.clone();
    AuthTable::read(auth.get(choice).and_then(toml::Value::as_table).unwrap()).unwrap()
}

fn vars(list: &[(&str, &str)]) -> BTreeMap<String, Json> {
    list.iter().map(|(name, value)| ((*name).to_owned(), Json::String((*value).to_owned()))).collect()
}

fn form(request: &TokenRequest) -> BTreeMap<String, String> {
    let text = String::from_utf8(request.body.clone()).unwrap();
    let decode = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8().unwrap().into_owned();
    text.split('&').map(|pair| pair.split_once('=').unwrap()).map(|(n, v)| (decode(n), decode(v))).collect()
}

fn now() -> jiff::Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

#[test]
fn netsuite_machine_to_machine_is_a_client_assertion() {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
        STANDARD.encode(document.as_ref())
    );
    let values =
        vars(&[("client_id", "cid"), ("cert_id", "cert"), ("private_key", &pem), ("jwt_alg", "ES256")]);
    let request =
        oauth2_request(&table("netsuite", "m2m"), &Scope::new(&values), TOKEN_URL, now(), None).unwrap();
    let form = form(&request);
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let parts: Vec<&str> = form["client_assertion"].split('.').collect();
    let part = |index: usize| -> Json {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[index]).unwrap()).unwrap()
    };
    assert_eq!(part(0), json!({"alg": "ES256", "typ": "JWT", "kid": "cert"}));
    let issued = now().as_second();
    assert_eq!(
        part(1),
        json!({"iss": "cid", "scope": ["rest_webservices"], "aud": TOKEN_URL, "iat": issued, "exp": issued + 3300})
    );
    let message = format!("{}.{}", parts[0], parts[1]);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())
        .verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(parts[2]).unwrap())
        .unwrap();
}

#[test]
fn a_refresh_is_never_sent_twice_and_a_public_client_has_no_secret() {
    let values = vars(&[("client_id", "c&d")]);
    let auth = table("salesforce", "refresh");
    let used = Secret::new("r1");
    let request = oauth2_request(&auth, &Scope::new(&values), TOKEN_URL, now(), Some(&used)).unwrap();
    assert!(!request.repeatable);
    let form = form(&request);
    assert_eq!((form["refresh_token"].as_str(), form["client_id"].as_str()), ("r1", "c&d"));
    assert!(!form.contains_key("client_secret"));
    assert!(oauth2_request(&auth, &Scope::new(&values), TOKEN_URL, now(), None).is_err());
}

#[test]
fn basic_client_credentials_are_encoded_before_they_are_joined() {
    let values = vars(&[("client_id", "id:1"), ("client_secret", "s%s")]);
    let auth = table("salesforce", "client_credentials");
    let request = oauth2_request(&auth, &Scope::new(&values), TOKEN_URL, now(), None).unwrap();
    let header = &request.headers.iter().find(|(name, _)| name == "Authorization").unwrap().1;
    assert_eq!(*header, format!("Basic {}", STANDARD.encode("id%3A1:s%25s")));
    assert_eq!(form(&request).len(), 1);
}

#[test]
fn mistakes_in_auth_name_the_nearest() {
    let read = |source: &str| AuthTable::read(&toml::from_str(source).unwrap()).unwrap_err();
    assert!(read("kind = \"oauth2_tokn\"").contains("did you mean \"oauth2_token\"?"));
    assert!(read("kind = \"oauth2_token\"\ngrant = \"jwt_bearr\"").contains("jwt_bearer"));
    assert!(read("kind = \"basic\"\nusernam = \"x\"").contains("usernam"));
}
