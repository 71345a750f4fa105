//! One configured connection: its vars, its token, its base URL, and the exchange of one operation.
//!
//! Tokens are fetched once however many calls wait for one, and a rotated refresh token is saved before
//! the access token that came with it is used. Nothing here knows records.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

use super::api::{Applied, Failure, FailureClass};
use super::auth::{self, AuthTable, Token};
use super::client::{Call, Client, Handler, Limits, Origin, Ports, Purpose, Verdict};
use super::definition::Operation;
use super::items;
use super::placeholder::{Scope, Text, plain};
use super::rules::{self, CallKind, Classified, ErrorClass, Rule};
use super::secret::Secret;
use super::wire::{self, Dialect, Rendered};
use crate::config::model::BudgetSpec;
use crate::ports::{HttpRequest, HttpResponse};

/// Everything that was decided when the connection was configured.
pub struct Settings {
    /// The system's name in the config.
    pub system: String,
    /// Values of the vars, secrets among them.
    pub vars: BTreeMap<String, Json>,
    /// Texts that must not be shown.
    pub hidden: Vec<Secret>,
    /// How to authenticate.
    pub auth: AuthTable,
    /// RPC envelope.
    pub rpc: Option<Dialect>,
    /// Error rules.
    pub rules: Vec<Rule>,
    /// Sent with every call.
    pub headers: BTreeMap<String, String>,
    /// For one call.
    pub timeout: Duration,
    /// Largest answer.
    pub max_body: usize,
    /// `base_url` of the config: pinned for everything.
    pub pinned: Option<String>,
    /// The definition's own base URL; `None` where the token answer brings it.
    pub base: Option<String>,
    /// The operator's budget.
    pub budget: BudgetSpec,
    /// The definition's limits.
    pub limits: Limits,
    /// The outside world.
    pub ports: Ports,
}

/// See the module.
pub struct Connection {
    pub(super) settings: Settings,
    pub(super) token: Mutex<Option<Token>>,
    pub(super) renewing: tokio::sync::Mutex<()>,
    pub(super) refused: Mutex<Option<(jiff::Timestamp, Failure)>>,
    clients: Mutex<BTreeMap<String, Client>>,
    data_origin: Mutex<Option<String>>,
}

/// One exchange to make.
pub struct Ask<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// Its holes.
    pub holes: &'a BTreeMap<String, Json>,
    /// Instead of the operation's own path: where the last answer said that the next page is.
    pub next_url: Option<&'a str>,
    /// For people.
    pub attempted: String,
    /// Priority.
    pub purpose: Purpose,
    /// Sending it twice does no harm.
    pub repeatable: bool,
    /// For the defaults of error rules.
    pub kind: CallKind,
}

/// A successful answer.
pub struct Answer {
    /// As it came; a body that is text stands in `text` instead.
    pub response: HttpResponse,
    /// The body as text; empty where there is none.
    pub text: String,
    /// A rule called it empty: success without records.
    pub empty: bool,
    prefix: String,
}

impl Answer {
    /// A pointer of the operation, inside an RPC result where there is one.
    pub fn pointer(&self, pointer: &str) -> String {
        let pointer = if pointer == "/" { "" } else { pointer };
        format!("{}{pointer}", self.prefix)
    }

    /// A small value of the answer: a pointer, or `header:Name` with `|last_segment`.
    pub fn value(&self, place: &str) -> Option<Json> {
        let Some(header) = place.strip_prefix("header:") else {
            return items::value_at(&self.text, &self.pointer(place));
        };
        let (name, last) = header.strip_suffix("|last_segment").map_or((header, false), |name| (name, true));
        let value = self.response.header(&name.to_lowercase())?;
        let value = if last { value.trim_end_matches('/').rsplit('/').next()? } else { value };
        Some(Json::String(value.to_owned()))
    }
}

struct Session {
    generation: Option<u64>,
    base: String,
    holes: BTreeMap<String, Json>,
    client: Client,
}

/// A poisoned lock only means that another thread panicked between two plain assignments.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Nothing is sent yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            token: Mutex::new(None),
            renewing: tokio::sync::Mutex::new(()),
            refused: Mutex::new(None),
            clients: Mutex::new(BTreeMap::new()),
            data_origin: Mutex::new(None),
        }
    }

    /// The system's name.
    pub fn system(&self) -> &str {
        &self.settings.system
    }

    /// The values of the vars.
    pub fn vars(&self) -> &BTreeMap<String, Json> {
        &self.settings.vars
    }

    /// The ports.
    pub fn ports(&self) -> &Ports {
        &self.settings.ports
    }

    /// The client of the data origin, once there was a call.
    pub fn data_client(&self) -> Option<Client> {
        let origin = lock(&self.data_origin).clone()?;
        lock(&self.clients).get(&origin).cloned()
    }

    /// The base URL as far as it is known without a call.
    pub fn base(&self) -> Option<&str> {
        self.settings.pinned.as_deref().or(self.settings.base.as_deref())
    }

    /// Sends one operation; credentials are renewed once if the answer asks for that.
    ///
    /// # Errors
    /// What the error rules make of the answer, or what the client says.
    pub async fn exchange(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let mut renewed = false;
        loop {
            let session = self.session(&ask).await.map_err(|failure| self.hide(failure))?;
            match self.attempt(&ask, &session).await {
                Ok(answer) => return Ok(answer),
                Err(Stop::Failed(failure)) => return Err(self.hide(failure)),
                Err(Stop::Renew(failure)) => {
                    let Some(generation) = session.generation.filter(|_| !renewed) else {
                        return Err(self.hide(failure));
                    };
                    self.forget(generation);
                    renewed = true;
                }
            }
        }
    }

    async fn attempt(&self, ask: &Ask<'_>, session: &Session) -> Result<Answer, Stop> {
        let invalid = |why: String| {
            Stop::Failed(Failure::new(
                FailureClass::Invalid,
                ask.attempted.clone(),
                format!("not sent: {why}"),
            ))
        };
        let vars = Scope::new(&self.settings.vars);
        let with_session = vars.with(&session.holes);
        let scope = with_session.with(ask.holes);
        let rendered = match ask.next_url {
            None => wire::render(ask.operation, self.settings.rpc.as_ref(), &scope).map_err(invalid)?,
            Some(_) => Rendered { method: "GET".to_owned(), ..Rendered::default() },
        };
        let url = match ask.next_url {
            None => format!("{}{}", session.base, rendered.target),
            Some(next) if next.starts_with('/') => format!("{}{next}", session.client.origin()),
            Some(next) => next.to_owned(),
        };
        let mut headers = rendered.headers;
        for (name, value) in &self.settings.headers {
            let own = headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            let value = Text::parse(value).and_then(|text| text.render(&scope)).map_err(invalid)?;
            if let (false, Some(value)) = (own, value) {
                headers.push((name.clone(), value));
            }
        }
        headers.extend(auth::header(&self.settings.auth, &scope).map_err(invalid)?);
        let call = Call {
            request: HttpRequest {
                method: rendered.method,
                url,
                headers,
                body: rendered.body,
                timeout: self.settings.timeout,
                max_body: self.settings.max_body,
            },
            attempted: ask.attempted.clone(),
            purpose: ask.purpose,
            repeatable: ask.repeatable,
        };
        let handler = RuleHandler { connection: self, ask, session };
        let response = session.client.call_with(call, &handler).await.map_err(Stop::Failed)?;
        self.judge(ask, response)
    }

    fn judge(&self, ask: &Ask<'_>, response: HttpResponse) -> Result<Answer, Stop> {
        let prefix = match (&ask.operation.call, &self.settings.rpc) {
            (Some(_), Some(dialect)) => dialect.result.clone().filter(|p| p != "/").unwrap_or_default(),
            _ => String::new(),
        };
        if let Some(found) = self.classified(ask, &response) {
            if found.class == ErrorClass::Empty {
                return Ok(Answer { response, text: String::new(), empty: true, prefix });
            }
            let mut failure = Failure::new(found.class.failure(), ask.attempted.clone(), found.text);
            failure.fields = found.fields;
            failure.retry_after = found.wait;
            // What we cannot read after a success or a server error may have taken effect.
            if !ask.repeatable && found.class == ErrorClass::Bug && !(400..500).contains(&response.status) {
                failure.applied = Applied::Unknown;
            }
            return Err(match found.class {
                ErrorClass::AuthRefresh => Stop::Renew(failure),
                _ => Stop::Failed(failure),
            });
        }
        let HttpResponse { status, headers, body } = response;
        match String::from_utf8(body) {
            // The body moves on as text: pages are large.
            Ok(text) => {
                let response = HttpResponse { status, headers, body: Vec::new() };
                Ok(Answer { response, text, empty: false, prefix })
            }
            Err(_) => {
                let what = format!("status {status} with a body that is not UTF-8");
                let mut failure = Failure::new(FailureClass::Bug, ask.attempted.clone(), what);
                if !ask.repeatable {
                    failure.applied = Applied::Unknown;
                }
                Err(Stop::Failed(failure))
            }
        }
    }

    /// `None`: a success.
    fn classified(&self, ask: &Ask<'_>, response: &HttpResponse) -> Option<Classified> {
        let operation = ask.operation;
        let fine = (200..300).contains(&response.status)
            && (operation.ok.is_empty() || ask.next_url.is_some() || operation.ok.contains(&response.status));
        let dialect = operation.call.as_ref().and(self.settings.rpc.as_ref());
        let error_pointer = dialect.and_then(|dialect| dialect.error.as_deref());
        let inner = |body: &str, pointer: &str| {
            items::at(body, pointer).ok().flatten().is_some_and(|v| v.get() != "null")
        };
        if fine {
            if response.body.is_empty() && ask.kind == CallKind::List {
                // 204 is a page without records only where a rule says so.
                let found = rules::classify(&self.settings.rules, response, &Json::Null, false, ask.kind);
                return (found.class == ErrorClass::Empty).then_some(found);
            }
            // Only an envelope that carries an error is parsed as a whole.
            let text = || std::str::from_utf8(&response.body).unwrap_or_default();
            if !error_pointer.is_some_and(|pointer| inner(text(), pointer)) {
                return None;
            }
        }
        let body: Json = serde_json::from_slice(&response.body).unwrap_or(Json::Null);
        let error = dialect.and_then(|dialect| wire::rpc_error(dialect, &body));
        let rpc_error = error.is_some();
        let view = error.unwrap_or(body);
        Some(rules::classify(&self.settings.rules, response, &view, rpc_error, ask.kind))
    }

    /// Secrets that a system echoes do not get into logs, audit or state file.
    fn hide(&self, mut failure: Failure) -> Failure {
        let token = lock(&self.token).as_ref().map(|token| token.holes.clone()).unwrap_or_default();
        let texts = self.settings.hidden.iter().map(|secret| secret.expose().to_owned());
        for text in texts.chain(token.values().map(plain)).filter(|text| text.len() >= 6) {
            failure.answered = failure.answered.replace(&text, "(secret)");
        }
        failure
    }

    fn forget(&self, generation: u64) {
        let mut token = lock(&self.token);
        if token.as_ref().is_some_and(|token| token.generation == generation) {
            *token = None;
        }
    }

    pub(super) fn client_for(&self, base: &str, attempted: &str) -> Result<Client, Failure> {
        let origin = Origin::parse(base)
            .map_err(|why| Failure::new(FailureClass::Invalid, attempted, format!("not sent: {why}")))?
            .text();
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(&origin) {
            return Ok(client.clone());
        }
        let settings = &self.settings;
        let client = Client::new(
            &settings.system,
            &origin,
            &settings.budget,
            settings.limits.clone(),
            settings.ports.clone(),
        )?;
        clients.insert(origin, client.clone());
        Ok(client)
    }

    async fn session(&self, ask: &Ask<'_>) -> Result<Session, Failure> {
        let token = if self.settings.auth.needs_token() {
            Some(self.token(&ask.attempted, ask.purpose).await?)
        } else {
            None
        };
        let base = self
            .settings
            .pinned
            .clone()
            .or_else(|| token.as_ref().and_then(|token| token.base.clone()))
            .or_else(|| self.settings.base.clone())
            .ok_or_else(|| {
                Failure::new(
                    FailureClass::Auth,
                    ask.attempted.clone(),
                    "not sent: the token answer named no base URL",
                )
            })?;
        let client = self.client_for(&base, &ask.attempted)?;
        *lock(&self.data_origin) = Some(client.origin());
        let generation = token.as_ref().map(|token| token.generation);
        let holes = token.map(|token| token.holes).unwrap_or_default();
        Ok(Session { generation, base: base.trim_end_matches('/').to_owned(), holes, client })
    }
}

enum Stop {
    Failed(Failure),
    Renew(Failure),
}

struct RuleHandler<'a> {
    connection: &'a Connection,
    ask: &'a Ask<'a>,
    session: &'a Session,
}

impl Handler for RuleHandler<'_> {
    fn prepare(&self, request: &mut HttpRequest) -> Result<(), Failure> {
        let settings = &self.connection.settings;
        if settings.auth.kind != "oauth1" {
            return Ok(());
        }
        let random = &settings.ports.random;
        let nonce = format!("{:016x}{:016x}", random.next(), random.next());
        let seconds = self.session.client.server_now().as_second();
        auth::sign_oauth1(&settings.auth, &Scope::new(&settings.vars), request, &nonce, seconds).map_err(
            |why| Failure::new(FailureClass::Auth, self.ask.attempted.clone(), format!("not sent: {why}")),
        )
    }

    fn verdict(&self, response: &HttpResponse) -> Verdict {
        let Some(found) = self.connection.classified(self.ask, response) else { return Verdict::Answer };
        match found.class {
            ErrorClass::Throttled => Verdict::Throttled(found.wait),
            ErrorClass::Quota => Verdict::Quota(found.wait),
            ErrorClass::Transient => Verdict::Transient,
            ErrorClass::Locked => Verdict::Locked,
            _ => Verdict::Answer,
        }
    }
}
