//! Secrets that must outlive the process (rotated refresh tokens), sealed in the state file.
//!
//! The key never stands in the file: it comes from the credential `tallysync-key`, or from the environment
//! variable `TALLYSYNC_KEY`. Without one nothing is sealed, and saving is refused with that reason.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;

use crate::config::model::SecretRef;
use crate::connector::api::SecretStore;
use crate::connector::secret::resolve_secret;
use crate::store::handle::Handle;

const MISSING: &str = "no key to seal it with: give the daemon a credential `tallysync-key` \
                       (systemd LoadCredential) or set TALLYSYNC_KEY";

/// The sealed secrets of a state file.
pub struct SealedSecrets {
    store: Handle,
    key: Option<RandomizedNonceKey>,
}

impl SealedSecrets {
    /// Over this store, with the key from where the program runs.
    pub fn new(store: Handle) -> Self {
        let text = [SecretRef::Credential("tallysync-key".into()), SecretRef::Env("TALLYSYNC_KEY".into())]
            .iter()
            .find_map(|reference| resolve_secret(reference).ok());
        Self::with_key(store, text.as_ref().map(|secret| secret.expose().as_bytes()))
    }

    /// Over this store, with a key made from these bytes.
    pub fn with_key(store: Handle, material: Option<&[u8]>) -> Self {
        let key = material.and_then(|bytes| {
            let digest = digest::digest(&digest::SHA256, bytes);
            RandomizedNonceKey::new(&AES_256_GCM, digest.as_ref()).ok()
        });
        Self { store, key }
    }
}

impl SecretStore for SealedSecrets {
    fn load(&self, name: &str) -> Result<Option<String>, String> {
        let owned = name.to_owned();
        let Some(sealed) =
            self.store.blocking(move |store| store.sealed(&owned)).map_err(|e| e.to_string())?
        else {
            return Ok(None);
        };
        let key =
            self.key.as_ref().ok_or_else(|| format!("the stored secret {name} cannot be read: {MISSING}"))?;
        let damaged = || format!("the stored secret {name} cannot be opened with this key");
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut body = body.to_vec();
        let plain = key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut body).map_err(|_| damaged())?;
        String::from_utf8(plain.to_vec()).map(Some).map_err(|_| damaged())
    }

    fn save(&self, name: &str, secret: &str) -> Result<(), String> {
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| format!("the rotated secret {name} cannot be kept: {MISSING}"))?;
        let mut body = secret.as_bytes().to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut body)
            .map_err(|_| format!("the secret {name} cannot be sealed"))?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut body);
        let owned = name.to_owned();
        self.store.blocking(move |store| store.set_sealed(&owned, &sealed)).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_sealed_secret_comes_back_only_with_its_key_and_name() {
        let store = Handle::inline(Store::in_memory().unwrap());
        let sealed = SealedSecrets::with_key(store.clone(), Some(b"key one"));
        sealed.save("tallyfy/refresh", "token-1").unwrap();
        assert_eq!(sealed.load("tallyfy/refresh").unwrap().as_deref(), Some("token-1"));
        let raw = store.blocking(|store| store.sealed("tallyfy/refresh")).unwrap().unwrap();
        assert!(!raw.windows(7).any(|window| window == b"token-1"), "it must not stand there in clear");
        let other = SealedSecrets::with_key(store.clone(), Some(b"key two"));
        assert!(other.load("tallyfy/refresh").unwrap_err().contains("cannot be opened"));
        store.blocking(move |store| store.set_sealed("crm/refresh", &raw)).unwrap();
        assert!(sealed.load("crm/refresh").is_err(), "a secret moved to another name must not open");
    }

    #[test]
    fn without_a_key_saving_says_what_to_do() {
        let store = Handle::inline(Store::in_memory().unwrap());
        let sealed = SealedSecrets::with_key(store, None);
        assert_eq!(sealed.load("x").unwrap(), None);
        assert!(sealed.save("x", "y").unwrap_err().contains("tallysync-key"));
    }
}
