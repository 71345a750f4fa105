//! Signed assertions (RFC 7515, RFC 7523) for token requests. Keys come as PEM; claims and time come in.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value as Json};

use super::secret::Secret;

/// The algorithms that definitions may name.
pub const ALGORITHMS: &[&str] = &["RS256", "PS256", "ES256", "ES384", "ES512"];

/// Signs `claims` as a compact JWT.
///
/// # Errors
/// When the key is no PEM key of the right kind. The text never holds key material.
pub fn sign(
    algorithm: &str,
    key: &Secret,
    header: &Map<String, Json>,
    claims: &Map<String, Json>,
) -> Result<String, String> {
    let der = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| {
        "the private key is not a PEM file with a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY".to_owned()
    })?;
    let mut full = Map::new();
    full.insert("alg".to_owned(), Json::String(algorithm.to_owned()));
    full.insert("typ".to_owned(), Json::String("JWT".to_owned()));
    full.extend(header.clone());
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(Json::Object(full).to_string()),
        URL_SAFE_NO_PAD.encode(Json::Object(claims.clone()).to_string())
    );
    let signature = match algorithm {
        "RS256" => rsa(&der, &RSA_PKCS1_SHA256, message.as_bytes())?,
        "PS256" => rsa(&der, &RSA_PSS_SHA256, message.as_bytes())?,
        "ES256" => ecdsa(&der, &ECDSA_P256_SHA256_FIXED_SIGNING, message.as_bytes())?,
        "ES384" => ecdsa(&der, &ECDSA_P384_SHA384_FIXED_SIGNING, message.as_bytes())?,
        "ES512" => ecdsa(&der, &ECDSA_P521_SHA512_FIXED_SIGNING, message.as_bytes())?,
        other => return Err(super::placeholder::unknown("JWT algorithm", other, ALGORITHMS.iter().copied())),
    };
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn rsa(
    key: &PrivateKeyDer<'_>,
    encoding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Vec<u8>, String> {
    let pair = match key {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err("this algorithm needs an RSA key, and the private key is none".to_owned()),
    }
    .map_err(|_| "the private key is not a usable RSA key of 2048 to 8192 bits".to_owned())?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| "signing with the private key failed".to_owned())?;
    Ok(signature)
}

fn ecdsa(
    key: &PrivateKeyDer<'_>,
    algorithm: &'static EcdsaSigningAlgorithm,
    message: &[u8],
) -> Result<Vec<u8>, String> {
    let pair = match key {
        PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()),
        _ => return Err("this algorithm needs an EC key, and the private key is none".to_owned()),
    }
    .map_err(|_| "the private key does not fit the curve of the algorithm".to_owned())?;
    pair.sign(&SystemRandom::new(), message)
        .map(|signature| signature.as_ref().to_vec())
        .map_err(|_| "signing with the private key failed".to_owned())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, KeyPair as _,
        RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    fn pem(label: &str, der: &[u8]) -> Secret {
        let body: Vec<String> = STANDARD
            .encode(der)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        Secret::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", body.join("\n")))
    }

    fn claims() -> Map<String, Json> {
        json!({"iss": "me", "exp": 1_800_000_000}).as_object().unwrap().clone()
    }

    fn verify(token: &str, algorithm: &'static dyn VerificationAlgorithm, public: &[u8]) {
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(algorithm, public).verify(message.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn rsa_keys_in_both_forms_sign_what_their_public_key_verifies() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let header = json!({"kid": "cert"}).as_object().unwrap().clone();
        let token = sign("PS256", &pem("PRIVATE KEY", pkcs8.as_ref()), &header, &claims()).unwrap();
        verify(&token, &RSA_PSS_2048_8192_SHA256, &public);
        let head = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        assert_eq!(
            serde_json::from_slice::<Json>(&head).unwrap(),
            json!({"alg": "PS256", "typ": "JWT", "kid": "cert"})
        );
        // PKCS#1 is the inner OCTET STRING of PKCS#8: the DER that starts at its own SEQUENCE.
        let whole = pkcs8.as_ref();
        let inner = &whole[26..];
        let token = sign("RS256", &pem("RSA PRIVATE KEY", inner), &Map::new(), &claims()).unwrap();
        verify(&token, &RSA_PKCS1_2048_8192_SHA256, &public);
    }

    #[test]
    fn ec_keys_sign_on_their_own_curve_only() {
        for (name, signing, verifying) in [
            ("ES256", &ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_FIXED),
            ("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED),
            ("ES512", &ECDSA_P521_SHA512_FIXED_SIGNING, &ECDSA_P521_SHA512_FIXED),
        ] {
            let document = EcdsaKeyPair::generate_pkcs8(signing, &SystemRandom::new()).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(signing, document.as_ref()).unwrap();
            let key = pem("PRIVATE KEY", document.as_ref());
            let token = sign(name, &key, &Map::new(), &claims()).unwrap();
            verify(&token, verifying, pair.public_key().as_ref());
            assert!(sign("RS256", &key, &Map::new(), &claims()).is_err());
            let other = if name == "ES256" { "ES384" } else { "ES256" };
            assert!(sign(other, &key, &Map::new(), &claims()).unwrap_err().contains("curve"));
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_showing_it() {
        let text = sign("RS256", &Secret::new("hunter2"), &Map::new(), &claims()).unwrap_err();
        assert!(text.contains("PEM") && !text.contains("hunter2"), "{text}");
    }
}
