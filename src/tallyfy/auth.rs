//! Tallyfy credentials: how a bearer token is come by, renewed once, and kept.
//!
//! One renewal runs at a time; everybody else waits for it. A rotated refresh token is stored durably
//! before the access token that came with it is used. No token appears in an error text.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use tokio::sync::Mutex;

use super::answer;
use super::json::{text, unwrap};
use crate::connector::api::{Failure, FailureClass};
use crate::connector::client::{Call, Client, Purpose};
use crate::ports::HttpRequest;

/// Renew this long before the token ends.
const EARLY: SignedDuration = SignedDuration::from_secs(120);

/// How the credentials of a system are given (`auth = { kind = ... }`), secrets resolved.
#[derive(Clone)]
pub enum Grant {
    /// `token`: a personal access token.
    Token(String),
    /// `password`: on behalf of a user, with a password.
    Password {
        /// The application.
        application: Application,
        /// Login name.
        username: String,
        /// Its password.
        password: String,
    },
    /// `refresh`: on behalf of a user, with a refresh token that may be replaced at each use.
    Refresh {
        /// The application.
        application: Application,
        /// The first refresh token.
        refresh_token: String,
    },
    /// `client_credentials`: the application itself, and from it a token of one user.
    ClientCredentials {
        /// The application.
        application: Application,
        /// The member on whose behalf everything is done; without one the application acts itself.
        user: Option<String>,
    },
}

/// Client id and secret, as Tallyfy Support hands them out.
#[derive(Clone)]
pub struct Application {
    /// A number.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

impl Grant {
    /// Reads `auth` with its secrets resolved.
    ///
    /// # Errors
    /// Every key that is missing, unknown or empty.
    pub fn read(kind: &str, mut values: BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut take = |key: &str| match values.remove(key) {
            Some(value) if !value.trim().is_empty() => value.trim().to_owned(),
            Some(_) => {
                problems.push(format!("auth.{key} is empty"));
                String::new()
            }
            None => {
                problems.push(format!("auth.{key} is missing; kind = \"{kind}\" needs it"));
                String::new()
            }
        };
        let grant = match kind {
            "token" => Self::Token(take("token")),
            "password" => Self::Password {
                application: Application { id: take("client_id"), secret: take("client_secret") },
                username: take("username"),
                password: take("password"),
            },
            "refresh" => Self::Refresh {
                application: Application { id: take("client_id"), secret: take("client_secret") },
                refresh_token: take("refresh_token"),
            },
            "client_credentials" => Self::ClientCredentials {
                application: Application { id: take("client_id"), secret: take("client_secret") },
                user: values.remove("user").filter(|user| !user.trim().is_empty()),
            },
            other => {
                return Err(vec![format!(
                    "auth.kind `{other}` is not one of token, password, refresh, client_credentials"
                )]);
            }
        };
        problems.extend(values.keys().map(|key| format!("auth.{key} is not a key of kind = \"{kind}\"")));
        if problems.is_empty() { Ok(grant) } else { Err(problems) }
    }
}

/// Where tokens are asked for.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// `.../oauth/token`.
    pub token: String,
    /// Base of `/applications/{org}/users/{email}/token`.
    pub base: String,
    /// The organisation.
    pub organization: String,
}

/// Gives bearer tokens and renews them.
pub struct Auth {
    grant: Grant,
    addresses: Addresses,
    /// For the token address, which may stand on another host than the data.
    tokens: Client,
    /// For the host of the data.
    data: Client,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    token: String,
    until: Option<Timestamp>,
    refresh: Option<String>,
}

impl Auth {
    /// With the connection to the token address and the one to the data.
    pub fn new(grant: Grant, addresses: Addresses, tokens: Client, data: Client) -> Self {
        Self { grant, addresses, tokens, data, held: Mutex::new(None) }
    }

    /// True when a new token can be had without a person.
    pub fn renewable(&self) -> bool {
        !matches!(self.grant, Grant::Token(_))
    }

    /// What a person can do when the credential is refused for good.
    pub fn advice(&self) -> &'static str {
        match &self.grant {
            Grant::Token(_) => {
                "a personal token dies when its user logs out of Tallyfy, and after six months: make a new one, \
                 or use kind = \"client_credentials\""
            }
            Grant::ClientCredentials { user: None, .. } => {
                "an application may manage users only: add `user`, the mail address of the member that \
                 everything is done for"
            }
            Grant::ClientCredentials { .. } => {
                "check client_id, client_secret and that `user` is a member of the organisation"
            }
            Grant::Password { .. } => "check client_id, client_secret, username and password",
            Grant::Refresh { .. } => {
                "the refresh token has ended, or was used elsewhere: sign in again and configure the new one"
            }
        }
    }

    /// A token that should work now.
    ///
    /// # Errors
    /// Class `Auth` when the credential is refused, otherwise what the call gave.
    pub async fn token(&self, purpose: Purpose) -> Result<String, Failure> {
        if let Grant::Token(token) = &self.grant {
            return Ok(token.clone());
        }
        let mut held = self.held.lock().await;
        let now = self.data.server_now();
        if let Some(current) = held.as_ref()
            && current.until.is_none_or(|until| until > now)
        {
            return Ok(current.token.clone());
        }
        self.renew(&mut held, purpose).await
    }

    /// A token other than the one that was refused. If somebody renewed it meanwhile, theirs.
    ///
    /// # Errors
    /// As [`Auth::token`].
    pub async fn renewed(&self, refused: &str, purpose: Purpose) -> Result<String, Failure> {
        let mut held = self.held.lock().await;
        if let Some(current) = held.as_ref()
            && current.token != refused
        {
            return Ok(current.token.clone());
        }
        self.renew(&mut held, purpose).await
    }

    async fn renew(&self, held: &mut Option<Held>, purpose: Purpose) -> Result<String, Failure> {
        let fresh = match &self.grant {
            Grant::Token(token) => Held { token: token.clone(), until: None, refresh: None },
            Grant::Password { application, username, password } => {
                self.by_password(held.as_ref(), application, username, password, purpose).await?
            }
            Grant::Refresh { application, refresh_token } => {
                let stored = self.stored(refresh_token)?;
                let newest = stored.unwrap_or_else(|| refresh_token.clone());
                let answer = self.by_refresh(application, &newest, purpose).await?;
                if let Some(rotated) = answer.refresh.as_ref().filter(|rotated| **rotated != newest) {
                    self.store(refresh_token, rotated)?;
                }
                answer
            }
            Grant::ClientCredentials { application, user } => {
                let form = [("grant_type", "client_credentials"), ("scope", "*")];
                let app = self.ask(&form, application, true, purpose).await?;
                match user {
                    Some(user) => self.for_user(&app.token, user, purpose).await?,
                    None => app,
                }
            }
        };
        let token = fresh.token.clone();
        *held = Some(fresh);
        Ok(token)
    }

    /// By the refresh token of the last answer where there is one, else by the password.
    async fn by_password(
        &self,
        held: Option<&Held>,
        application: &Application,
        username: &str,
        password: &str,
        purpose: Purpose,
    ) -> Result<Held, Failure> {
        if let Some(refresh) = held.and_then(|held| held.refresh.as_ref()) {
            match self.by_refresh(application, refresh, purpose).await {
                Err(failure) if failure.class == FailureClass::Auth => {}
                other => return other,
            }
        }
        let form = [("grant_type", "password"), ("username", username), ("password", password)];
        self.ask(&form, application, true, purpose).await
    }

    async fn by_refresh(
        &self,
        application: &Application,
        refresh: &str,
        purpose: Purpose,
    ) -> Result<Held, Failure> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        // Not repeatable: a rotating server has already replaced the token when the answer is lost.
        self.ask(&form, application, false, purpose).await
    }

    async fn ask(
        &self,
        form: &[(&str, &str)],
        application: &Application,
        repeatable: bool,
        purpose: Purpose,
    ) -> Result<Held, Failure> {
        let body = form
            .iter()
            .chain(&[("client_id", application.id.as_str()), ("client_secret", application.secret.as_str())])
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect::<Vec<_>>()
            .join("&");
        let attempted = format!("ask for an access token of {}", self.tokens.system());
        let mut headers = super::http::common_headers();
        headers.push(("Content-Type".into(), "application/x-www-form-urlencoded".into()));
        let request = post(self.addresses.token.clone(), headers, Some(body.into_bytes()));
        let call = Call { request, attempted: attempted.clone(), purpose, repeatable };
        let response = self.tokens.call(call).await?;
        self.held_from(&response, &attempted)
    }

    async fn for_user(&self, app_token: &str, user: &str, purpose: Purpose) -> Result<Held, Failure> {
        let url = format!(
            "{}/applications/{}/users/{}/token",
            self.addresses.base,
            super::http::segment(&self.addresses.organization),
            super::http::segment(user)
        );
        let attempted = format!("ask for a token of {user} in {}", self.data.system());
        let mut headers = super::http::common_headers();
        headers.push(("Authorization".into(), format!("Bearer {app_token}")));
        let request = post(url, headers, None);
        let call = Call { request, attempted: attempted.clone(), purpose, repeatable: true };
        let response = self.data.call(call).await?;
        self.held_from(&response, &attempted)
    }

    fn held_from(&self, response: &crate::ports::HttpResponse, attempted: &str) -> Result<Held, Failure> {
        let body = answer::read(response, attempted, false).map_err(|mut failure| {
            // Here a refused request means a refused credential, whatever the status.
            if matches!(failure.class, FailureClass::Invalid | FailureClass::Forbidden | FailureClass::Gone) {
                failure.class = FailureClass::Auth;
            }
            if failure.class == FailureClass::Auth {
                failure.answered = format!("{}; {}", failure.answered, self.advice());
            }
            failure
        })?;
        let body = unwrap(&body);
        let token = text(body, "access_token")
            .filter(|token| !token.is_empty())
            .ok_or_else(|| Failure::new(FailureClass::Bug, attempted, "the answer holds no access_token"))?;
        let life = text(body, "expires_in").and_then(|seconds| seconds.parse::<i64>().ok());
        let until = life.and_then(|seconds| {
            // A token that lives shorter than the margin would be renewed before every call.
            let early = EARLY.as_secs().min(seconds / 10);
            self.data.server_now().checked_add(SignedDuration::from_secs(seconds - early)).ok()
        });
        Ok(Held { token, until, refresh: text(body, "refresh_token") })
    }

    fn secret_name(&self) -> String {
        format!("{}/refresh_token", self.data.system())
    }

    /// The newest rotated refresh token, if it descends from the configured one: a person who configures
    /// a new one means it.
    fn stored(&self, configured: &str) -> Result<Option<String>, Failure> {
        let stored =
            self.data.ports().secrets.load(&self.secret_name()).map_err(|why| self.store_failure(why))?;
        let Some(stored) = stored else { return Ok(None) };
        let parsed: Json = serde_json::from_str(&stored).unwrap_or(Json::Null);
        let same = text(&parsed, "from").is_some_and(|from| from == configured);
        Ok(text(&parsed, "token").filter(|_| same))
    }

    fn store(&self, configured: &str, rotated: &str) -> Result<(), Failure> {
        let secret = serde_json::json!({"from": configured, "token": rotated}).to_string();
        self.data.ports().secrets.save(&self.secret_name(), &secret).map_err(|why| self.store_failure(why))
    }

    fn store_failure(&self, why: String) -> Failure {
        Failure::new(
            FailureClass::Auth,
            format!("keep the refresh token of {}", self.data.system()),
            format!("{why}; without a stored refresh token the next renewal would fail, so none is used"),
        )
    }
}

fn post(url: String, headers: Vec<(String, String)>, body: Option<Vec<u8>>) -> HttpRequest {
    HttpRequest {
        method: "POST".into(),
        url,
        headers,
        body,
        timeout: Duration::from_secs(30),
        max_body: 1 << 20,
    }
}
