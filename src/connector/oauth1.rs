//! OAuth 1.0a signatures (RFC 5849) with HMAC-SHA256, as NetSuite's token-based authentication wants them.
//! Pure: nonce and time come in.

use aws_lc_rs::hmac;
use base64::Engine as _;
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::placeholder::STRICT;

/// The four keys and the realm.
pub struct Keys<'a> {
    /// Consumer key.
    pub consumer_key: &'a str,
    /// Consumer secret.
    pub consumer_secret: &'a str,
    /// Token id.
    pub token: &'a str,
    /// Token secret.
    pub token_secret: &'a str,
    /// The account, in its own spelling; empty: none.
    pub realm: &'a str,
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

/// The signature base string of section 3.4.1; `parameters` are the OAuth ones, decoded.
pub fn base_string(method: &str, url: &str, parameters: &[(String, String)]) -> String {
    let without_fragment = url.split('#').next().unwrap_or_default();
    let (address, query) = without_fragment.split_once('?').unwrap_or((without_fragment, ""));
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encode(&decode(name)), encode(&decode(value)))
        })
        .collect();
    pairs.extend(parameters.iter().map(|(name, value)| (encode(name), encode(value))));
    pairs.sort();
    let joined: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!(
        "{}&{}&{}",
        method.to_ascii_uppercase(),
        encode(&normal_address(address)),
        encode(&joined.join("&"))
    )
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// Scheme and host in lower case, no default port (section 3.4.1.2).
fn normal_address(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let scheme = scheme.to_ascii_lowercase();
    let authority = authority.to_ascii_lowercase();
    let usual = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}{path}", authority.strip_suffix(usual).unwrap_or(&authority))
}

/// The `Authorization` header of one request.
pub fn header(keys: &Keys<'_>, method: &str, url: &str, nonce: &str, seconds: i64) -> String {
    let mut parameters = vec![
        ("oauth_consumer_key".to_owned(), keys.consumer_key.to_owned()),
        ("oauth_nonce".to_owned(), nonce.to_owned()),
        ("oauth_signature_method".to_owned(), "HMAC-SHA256".to_owned()),
        ("oauth_timestamp".to_owned(), seconds.to_string()),
        ("oauth_token".to_owned(), keys.token.to_owned()),
        ("oauth_version".to_owned(), "1.0".to_owned()),
    ];
    let base = base_string(method, url, &parameters);
    let key = format!("{}&{}", encode(keys.consumer_secret), encode(keys.token_secret));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), base.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(tag.as_ref());
    parameters.push(("oauth_signature".to_owned(), signature));
    let mut text = String::from("OAuth ");
    if !keys.realm.is_empty() {
        text.push_str(&format!("realm=\"{}\", ", keys.realm));
    }
    let shown: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}=\"{}\"", encode(value))).collect();
    text.push_str(&shown.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_base_string_of_rfc_5849_section_3_4_1() {
        // The RFC's example; its form body c2&a3=2+q counts as parameters.
        let parameters = pairs(&[
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
            ("c2", ""),
            ("a3", "2 q"),
        ]);
        let url = "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b";
        assert_eq!(
            base_string("post", url, &parameters),
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26\
             c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26\
             oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        );
    }

    #[test]
    fn addresses_are_normalised_as_in_section_3_4_1_2() {
        assert_eq!(normal_address("HTTPS://www.example.net:8080/"), "https://www.example.net:8080/");
        assert_eq!(normal_address("https://Example.com:443/r/A"), "https://example.com/r/A");
        assert_eq!(normal_address("http://example.com"), "http://example.com/");
    }

    #[test]
    fn the_header_holds_every_part_and_a_signature_of_all_of_them() {
        let keys = Keys {
            consumer_key: "ck",
            consumer_secret: "c&s",
            token: "tk",
            token_secret: "ts",
            realm: "1234567_SB1",
        };
        let url =
            "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/query/v1/suiteql?limit=5&offset=0";
        let made = header(&keys, "POST", url, "n1", 1_500_000_000);
        assert!(made.starts_with("OAuth realm=\"1234567_SB1\", oauth_consumer_key=\"ck\""), "{made}");
        // Independent of `header`: the same HMAC over the base string written out by hand.
        let base = "POST&https%3A%2F%2F1234567-sb1.suitetalk.api.netsuite.com%2Fservices%2Frest%2Fquery%2Fv1%2Fsuiteql&\
                    limit%3D5%26oauth_consumer_key%3Dck%26oauth_nonce%3Dn1%26oauth_signature_method%3DHMAC-SHA256%26\
                    oauth_timestamp%3D1500000000%26oauth_token%3Dtk%26oauth_version%3D1.0%26offset%3D0";
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"c%26s&ts"), base.as_bytes());
        let signature = encode(&base64::engine::general_purpose::STANDARD.encode(tag.as_ref()));
        assert!(made.ends_with(&format!("oauth_signature=\"{signature}\"")), "{made}");
        assert_ne!(made, header(&keys, "POST", url, "n2", 1_500_000_000));
    }
}
