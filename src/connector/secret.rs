//! Secrets by reference: where they are read from, and a type that is never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::model::SecretRef;

/// A secret text. `Debug` and `Display` do not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: only for the request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// Reads the secret that a reference names; surrounding white space is not part of it.
///
/// # Errors
/// Where it was looked for and what to do.
pub fn resolve_secret(reference: &SecretRef) -> Result<Secret, String> {
    let text = match reference {
        SecretRef::Env(name) => {
            std::env::var(name).map_err(|_| format!("environment variable {name} is not set"))?
        }
        SecretRef::File(path) => read(path)?,
        SecretRef::Credential(name) => {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                format!(
                    "credential {name:?}: CREDENTIALS_DIRECTORY is not set; \
                     run under systemd with LoadCredential={name}:... or use {{ file = ... }}"
                )
            })?;
            if name.is_empty() || name.contains('/') || name.starts_with('.') {
                return Err(format!("credential {name:?} is not a plain name"));
            }
            read(&PathBuf::from(folder).join(name))?
        }
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{} is empty", place(reference)));
    }
    Ok(Secret::new(text))
}

fn place(reference: &SecretRef) -> String {
    match reference {
        SecretRef::Env(name) => format!("environment variable {name}"),
        SecretRef::File(path) => format!("secret file {}", path.display()),
        SecretRef::Credential(name) => format!("credential {name:?}"),
    }
}

fn read(path: &Path) -> Result<String, String> {
    warn_if_open(path);
    std::fs::read_to_string(path).map_err(|error| format!("secret file {}: {error}", path.display()))
}

/// A secret that others on the machine can read is worth a word, not a refusal: containers mount
/// secrets with all kinds of modes.
fn warn_if_open(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if let Ok(data) = std::fs::metadata(path)
            && data.permissions().mode() & 0o077 != 0
        {
            tracing::warn!(file = %path.display(), "a secret file is readable by others; chmod 600 it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_trimmed_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "  hunter2\n").unwrap();
        let secret = resolve_secret(&SecretRef::File(path.clone())).unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        std::fs::write(&path, " \n").unwrap();
        assert!(resolve_secret(&SecretRef::File(path)).unwrap_err().contains("is empty"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = SecretRef::Env("TALLYSYNC_NO_SUCH_VARIABLE".to_owned());
        assert!(resolve_secret(&missing).unwrap_err().contains("TALLYSYNC_NO_SUCH_VARIABLE"));
        let file = SecretRef::File(PathBuf::from("/nonexistent/key.pem"));
        assert!(resolve_secret(&file).unwrap_err().contains("/nonexistent/key.pem"));
    }
}
