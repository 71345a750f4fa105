//! Who is let in: the client-credentials grant with an assertion, bearer tokens, signed requests.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::NetsuiteTwin;
use super::auth::TOKEN_PATH;
use super::oauth1::base_string;
use crate::kit::http::encode;
use crate::kit::{Answer, Request, merge};

const NOW: i64 = 1_763_737_445;

fn twin() -> NetsuiteTwin {
    let twin = NetsuiteTwin::with_sales_orders();
    twin.hub.world().set_now(jiff::Timestamp::from_second(NOW).unwrap());
    twin
}

fn ask(twin: &NetsuiteTwin, header: &Value, claims: &Value) -> Answer {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    send(twin, &format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode([7_u8; 64])))
}

fn send(twin: &NetsuiteTwin, jwt: &str) -> Answer {
    let form = format!(
        "grant_type=client_credentials&client_assertion_type={}&client_assertion={jwt}",
        encode("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    let request = Request::new("POST", TOKEN_PATH).with_body("application/x-www-form-urlencoded", form);
    twin.hub.exchange(request).answer().unwrap()
}

fn good(twin: &NetsuiteTwin) -> (Value, Value) {
    (
        json!({"alg": "PS256", "typ": "JWT", "kid": twin.certificate}),
        json!({"iss": twin.client_id, "scope": ["rest_webservices"], "iat": NOW, "exp": NOW + 3600,
               "aud": format!("https://123456.suitetalk.api.netsuite.com{TOKEN_PATH}")}),
    )
}

#[test]
fn an_assertion_gives_a_token_for_an_hour() {
    let twin = twin();
    let (header, claims) = good(&twin);
    let body = ask(&twin, &header, &claims).body_json();
    assert_eq!(body["expires_in"], json!(3600));
    let with = |token: &str| {
        let request = Request::new("GET", "/services/rest/record/v1/customer")
            .with_header("authorization", &format!("Bearer {token}"));
        twin.hub.exchange(request).answer().unwrap()
    };
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(with(token).status, 200);
    twin.hub.world().advance(SignedDuration::from_secs(3600));
    let refused = with(token);
    assert_eq!((refused.status, NetsuiteTwin::error_code(&refused.body_json())), (401, "INVALID_LOGIN"));
    assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(with("unknown").status, 401);
}

#[test]
fn an_assertion_must_be_right_in_every_claim() {
    let twin = twin();
    let (header, claims) = good(&twin);
    for (header_change, claims_change) in [
        (json!({"alg": "RS256"}), json!({})),
        (json!({"alg": "none"}), json!({})),
        (json!({"kid": "other"}), json!({})),
        (json!({}), json!({"iss": "other"})),
        (json!({}), json!({"scope": ["restlets"]})),
        (json!({}), json!({"aud": "https://elsewhere.example/token"})),
        (json!({}), json!({"exp": NOW + 3601})),
        (json!({}), json!({"exp": NOW})),
        (json!({}), json!({"iat": null})),
        (json!({}), json!({"iat": NOW + 3000, "exp": NOW + 6000})),
    ] {
        let (mut header, mut claims) = (header.clone(), claims.clone());
        merge(&mut header, &header_change);
        merge(&mut claims, &claims_change);
        let answer = ask(&twin, &header, &claims);
        assert_eq!(
            (answer.status, answer.body_json()),
            (401, json!({"error": "invalid_client"})),
            "{header} {claims}"
        );
    }
    let json = Request::new("POST", TOKEN_PATH).with_json(&json!({"grant_type": "client_credentials"}));
    assert_eq!(twin.hub.exchange(json).answer().unwrap().status, 400);
    let refresh = Request::new("POST", TOKEN_PATH)
        .with_body("application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=x");
    let refused = twin.hub.exchange(refresh).answer().unwrap();
    assert_eq!((refused.status, refused.body_json()), (400, json!({"error": "unsupported_grant_type"})));
}

/// Signs as RFC 5849 says; `change` spoils one parameter after the signature was made.
fn signed(twin: &NetsuiteTwin, stamp: i64, change: (&str, &str)) -> u16 {
    let request =
        Request::new("GET", "/services/rest/record/v1/customer?q=companyName%20IS%20%22a%20b%22&limit=5");
    let mut parameters: Vec<(String, String)> = [
        ("realm", twin.signed.account.as_str()),
        ("oauth_consumer_key", &twin.signed.consumer_key),
        ("oauth_token", &twin.signed.token_id),
        ("oauth_signature_method", "HMAC-SHA256"),
        ("oauth_timestamp", &stamp.to_string()),
        ("oauth_nonce", "n1"),
        ("oauth_version", "1.0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let secret = format!("{}&{}", twin.signed.consumer_secret, twin.signed.token_secret);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, base_string(&request, &parameters).as_bytes());
    parameters.push(("oauth_signature".to_owned(), STANDARD.encode(signature)));
    for (name, value) in &mut parameters {
        if name == change.0 {
            change.1.clone_into(value);
        }
    }
    let header: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}=\"{}\"", encode(value))).collect();
    let request = request.with_header("authorization", &format!("OAuth {}", header.join(", ")));
    let answer = twin.hub.exchange(request).answer().unwrap();
    if answer.status == 401 {
        assert_eq!(NetsuiteTwin::error_code(&answer.body_json()), "INVALID_LOGIN_ATTEMPT");
    }
    answer.status
}

#[test]
fn a_signed_request_is_verified() {
    let twin = twin();
    assert_eq!(signed(&twin, NOW, ("", "")), 200);
    assert_eq!(signed(&twin, NOW - 301, ("", "")), 401, "a clock that is minutes off");
    for change in [
        ("realm", "123456-sb1"),
        ("oauth_nonce", "n2"),
        ("oauth_token", "other"),
        ("oauth_consumer_key", "other"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_signature", "AAAA"),
    ] {
        assert_eq!(signed(&twin, NOW, change), 401, "{change:?}");
    }
}

#[test]
fn the_base_string_is_that_of_the_standard() {
    // The worked example of RFC 5849, 3.4.1.1, without its form body.
    let mut request =
        Request::new("POST", "/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b").with_header("host", "EXAMPLE.COM");
    request.base_url = "http://twin.invalid".to_owned();
    let parameters = [("realm", "Example"), ("oauth_nonce", "7d8f3e4a"), ("oauth_signature", "x")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        base_string(&request, &parameters),
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26oauth_nonce%3D7d8f3e4a"
    );
}

#[test]
fn an_assertion_is_verified_when_the_key_of_the_certificate_is_known() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public: Vec<u8> = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(public));
    let twin = NetsuiteTwin::sales_orders().public_key(&pem).build();
    twin.hub.world().set_now(jiff::Timestamp::from_second(NOW).unwrap());
    let (mut header, claims) = good(&twin);
    header["alg"] = json!("ES256");
    assert_eq!(ask(&twin, &header, &claims).status, 401, "a signature of nobody");
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let jwt = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(send(&twin, &jwt).status, 200);
}
