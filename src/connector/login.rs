//! Getting and keeping a connection's token: one log-in however many calls wait for it, rotated refresh
//! tokens saved before use, and no second try of a password that was just refused.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use regex_lite::Regex;
use serde_json::Value as Json;

use super::api::{Applied, Failure, FailureClass};
use super::auth::{self, Token, TokenRequest};
use super::client::{Call, Client, Purpose, excerpt};
use super::connection::{Connection, lock};
use super::placeholder::{Scope, Text, plain, shifted};
use super::rules;
use super::secret::Secret;
use super::wire;
use crate::ports::{HttpRequest, HttpResponse};

/// A refused log-in is not tried again within this time.
const REFUSAL_HOLDS: SignedDuration = SignedDuration::from_secs(60);

impl Connection {
    /// The token, fetched if there is none or it ends soon. One fetch, however many wait.
    pub(super) async fn token(&self, attempted: &str, purpose: Purpose) -> Result<Token, Failure> {
        if let Some(token) = self.fresh_token() {
            return Ok(token);
        }
        let _alone = self.renewing.lock().await;
        if let Some(token) = self.fresh_token() {
            return Ok(token);
        }
        let attempted = format!("log in to {}, for: {attempted}", self.settings.system);
        let now = self.settings.ports.clock.now();
        if let Some((at, failure)) = lock(&self.refused).clone()
            && now.duration_since(at) < REFUSAL_HOLDS
        {
            // Many calls wait for one log-in; if each tried on its own, the account would be locked.
            return Err(Failure { attempted, ..failure });
        }
        match self.fetch_token(&attempted, purpose).await {
            Ok(token) => {
                *lock(&self.token) = Some(token.clone());
                *lock(&self.refused) = None;
                Ok(token)
            }
            Err(failure) => {
                if failure.class == FailureClass::Auth {
                    *lock(&self.refused) = Some((now, failure.clone()));
                }
                Err(failure)
            }
        }
    }

    fn fresh_token(&self) -> Option<Token> {
        let now = self.settings.ports.clock.now();
        lock(&self.token).clone().filter(|token| token.expires.is_none_or(|at| now < at))
    }

    async fn fetch_token(&self, attempted: &str, purpose: Purpose) -> Result<Token, Failure> {
        let fail = |class, why: String| Failure::new(class, attempted, why);
        let settings = &self.settings;
        let scope = Scope::new(&settings.vars);
        let oauth2 = settings.auth.kind == "oauth2_token";
        let url = self.token_url(&scope).map_err(|why| fail(FailureClass::Invalid, why))?;
        let client = self.client_for(&url, attempted)?;
        let refresh = if settings.auth.grant.as_deref() == Some("refresh_token") {
            Some(self.refresh_token(&scope).map_err(|why| fail(FailureClass::Auth, why))?)
        } else {
            None
        };
        let request = if oauth2 {
            auth::oauth2_request(&settings.auth, &scope, &url, client.server_now(), refresh.as_ref())
        } else {
            auth::login_request(&settings.auth, &scope, settings.rpc.as_ref().map(|d| d.path.as_str()))
        }
        .map_err(|why| fail(FailureClass::Auth, format!("not sent: {why}")))?;
        let url = if oauth2 { url } else { format!("{}{}", url.trim_end_matches('/'), request.target) };
        let response = self.send_token_request(&client, request, url, attempted, purpose).await?;
        let text = String::from_utf8(response.body.clone())
            .map_err(|_| fail(FailureClass::Bug, "a token answer that is not UTF-8".to_owned()))?;
        self.read_token(&text, attempted, refresh.as_ref())
    }

    /// Where tokens come from; on the pinned origin if the config names one.
    fn token_url(&self, scope: &Scope<'_>) -> Result<String, String> {
        let settings = &self.settings;
        let Some(source) = &settings.auth.token_url else {
            return self
                .base()
                .map(str::to_owned)
                .ok_or_else(|| "there is no base URL to log in at".to_owned());
        };
        if let Some(pinned) = &settings.pinned {
            // Only the path counts: the host may hold vars that a pinned connection does not need.
            let path = source.split_once("://").map_or(source.as_str(), |(_, rest)| rest);
            let path = path.find('/').and_then(|at| path.get(at..)).unwrap_or("/");
            let path = Text::parse(path)?.render(scope)?.ok_or("a value in token_url is missing")?;
            return Ok(format!("{}{path}", pinned.trim_end_matches('/')));
        }
        Text::parse(source)?.render(scope)?.ok_or_else(|| format!("{source:?}: a value is missing"))
    }

    async fn send_token_request(
        &self,
        client: &Client,
        request: TokenRequest,
        url: String,
        attempted: &str,
        purpose: Purpose,
    ) -> Result<HttpResponse, Failure> {
        let call = Call {
            request: HttpRequest {
                method: "POST".to_owned(),
                url,
                headers: request.headers,
                body: Some(request.body),
                timeout: self.settings.timeout,
                max_body: 1 << 20,
            },
            attempted: attempted.to_owned(),
            purpose,
            repeatable: request.repeatable,
        };
        let mut response = client.call(call).await.map_err(|mut failure| {
            // Logging in changes no business data, whatever happened to its answer.
            failure.applied = Applied::No;
            failure
        })?;
        if response.status != 200 {
            let class =
                if (300..400).contains(&response.status) { FailureClass::Bug } else { FailureClass::Auth };
            return Err(Failure::new(class, attempted, format!("refused: {}", excerpt(&response))));
        }
        response.body.truncate(1 << 20);
        Ok(response)
    }

    fn secret_name(&self) -> String {
        format!("{}.refresh_token", self.settings.system)
    }

    fn refresh_token(&self, scope: &Scope<'_>) -> Result<Secret, String> {
        // A stored one is newer than the config's: the system rotated it.
        if let Some(stored) = self.settings.ports.secrets.load(&self.secret_name())? {
            return Ok(Secret::new(stored));
        }
        let source = self.settings.auth.refresh_token.as_deref().ok_or("[auth] has no refresh_token")?;
        let text = Text::parse(source)?.render(scope)?.ok_or("no refresh token is given")?;
        Ok(Secret::new(text))
    }

    fn read_token(&self, text: &str, attempted: &str, used: Option<&Secret>) -> Result<Token, Failure> {
        let fail = |class, why: String| Failure::new(class, attempted, why);
        let settings = &self.settings;
        let auth = &settings.auth;
        let body: Json = serde_json::from_str(text)
            .map_err(|error| fail(FailureClass::Bug, format!("a token answer that is not JSON: {error}")))?;
        if let Some(new) = body.pointer("/refresh_token").and_then(Json::as_str)
            && used.is_some_and(|used| used.expose() != new)
        {
            // Before the access token is used: the old one may be dead already.
            settings.ports.secrets.save(&self.secret_name(), new).map_err(|why| {
                fail(FailureClass::Auth, format!("the rotated refresh token could not be saved: {why}"))
            })?;
        }
        let mut holes = BTreeMap::new();
        if let Some(toml::Value::String(pointer)) = &auth.token {
            let token = body.pointer(pointer).filter(|token| !token.is_null());
            let refused = auth.fail_if.as_ref().and_then(|rule| rule.get("equals")).map(auth::to_json);
            match token {
                Some(token) if Some(token) != refused.as_ref() => {
                    holes.insert(auth.name.clone().unwrap_or_else(|| "token".to_owned()), token.clone());
                }
                _ => return Err(fail(FailureClass::Auth, self.refusal(&body))),
            }
        }
        let (pointers, texts): (Vec<_>, Vec<_>) = auth.session.iter().partition(|(_, v)| v.starts_with('/'));
        for (name, pointer) in pointers {
            let value = body.pointer(pointer).filter(|value| !value.is_null());
            let value = value.ok_or_else(|| fail(FailureClass::Auth, self.refusal(&body)))?;
            holes.insert(name.clone(), value.clone());
        }
        for (name, source) in texts {
            let vars = Scope::new(&settings.vars);
            let scope = vars.with(&holes);
            let made = Text::parse(source).and_then(|text| text.render(&scope));
            let made = made.map_err(|why| fail(FailureClass::Invalid, why))?.unwrap_or_default();
            holes.insert(name.clone(), Json::String(made));
        }
        let base = self.token_base(&body).map_err(|why| fail(FailureClass::Auth, why))?;
        let now = settings.ports.clock.now();
        let expires = auth
            .expires
            .as_deref()
            .filter(|place| place.starts_with('/'))
            .and_then(|pointer| body.pointer(pointer))
            .and_then(|seconds| plain(seconds).parse::<u64>().ok())
            .map(|seconds| {
                let before = auth.refresh_before.as_deref().and_then(|t| rules::duration(t).ok());
                let before = before.unwrap_or(Duration::from_secs(60)).as_secs().min(seconds / 2);
                let life = i64::try_from(seconds - before).unwrap_or(i64::MAX);
                shifted(now, SignedDuration::from_secs(life))
            });
        Ok(Token { generation: settings.ports.random.next(), expires, holes, base })
    }

    fn refusal(&self, body: &Json) -> String {
        let error = self.settings.rpc.as_ref().and_then(|dialect| wire::rpc_error(dialect, body));
        match error {
            Some(error) => format!("the login was refused: {}", rules::shown(&error.to_string())),
            None => "the login was refused: the answer holds no token".to_owned(),
        }
    }

    fn token_base(&self, body: &Json) -> Result<Option<String>, String> {
        let auth = &self.settings.auth;
        let (Some(pointer), None) = (&auth.base_url, &self.settings.pinned) else { return Ok(None) };
        let base =
            body.pointer(pointer).and_then(Json::as_str).ok_or("the token answer names no base URL")?;
        let pattern = auth.base_url_must_match.as_deref().unwrap_or("^$");
        let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
        if regex.is_match(base) {
            Ok(Some(base.to_owned()))
        } else {
            Err(format!(
                "the token answer names {base:?} as base URL, which does not match {pattern}; nothing is sent there"
            ))
        }
    }
}
