//! Calls to one Tallyfy organisation: addresses in both path styles, headers, paging.
//!
//! Knows the envelope, not what stands in it. Every call goes through the budgeted client; a refused token
//! is renewed once, nothing else is repeated here.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use super::answer;
use super::auth::Auth;
use super::json::{items, text, unwrap};
use crate::connector::api::{Applied, Failure, FailureClass};
use crate::connector::client::{Call, Client, Purpose};
use crate::ports::HttpRequest;

/// Rows per page: the server's cap.
pub const PER_PAGE: &str = "100";
/// A listing longer than this is a server that pages in circles.
const MOST_PAGES: u64 = 100_000;
/// Everything but unreserved characters; a blank becomes `%20` because Tallyfy does not decode `+`.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Which addresses the API has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `{base}/organizations/{org}/runs`: the live API.
    Organizations,
    /// `{base}/api/v1/runs`: as middleware guides print them.
    V1,
}

/// One organisation as its API shows it.
pub struct Api {
    /// `https://go.tallyfy.com/api`, without a slash at the end.
    base: String,
    organization: String,
    style: Style,
    client: Client,
    auth: Auth,
}

/// What is to be called.
pub struct Request<'a> {
    /// `GET`, ...
    pub method: &'a str,
    /// Below the organisation, unencoded.
    pub path: &'a [&'a str],
    /// Unencoded.
    pub query: &'a [(&'a str, &'a str)],
    /// JSON body.
    pub body: Option<Json>,
    /// Who goes first.
    pub purpose: Purpose,
    /// For people.
    pub attempted: String,
}

/// Percent-encodes one segment of a path or one value of a query.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

/// Sent with every call, the token's too.
pub fn common_headers() -> Vec<(String, String)> {
    vec![("Accept".into(), "application/json".into()), ("X-Tallyfy-Client".into(), "APIClient".into())]
}

impl Api {
    /// A connection to one organisation.
    pub fn new(base: &str, organization: &str, style: Style, client: Client, auth: Auth) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            organization: organization.to_owned(),
            style,
            client,
            auth,
        }
    }

    /// The system's name.
    pub fn system(&self) -> &str {
        self.client.system()
    }

    /// The organisation's id.
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// The path style.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The budgeted connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where a person opens a process.
    pub fn page_of(&self, run: &str) -> String {
        let origin = self.client.origin();
        let host = match origin.as_str() {
            "https://api.tallyfy.com" => "https://go.tallyfy.com",
            "https://staging-api.tallyfy.com" => "https://staging.go.tallyfy.com",
            other => other,
        };
        format!("{host}/tracker/{run}")
    }

    /// The address of a path, in the style of the system.
    fn url(&self, method: &str, path: &[&str], query: &[(&str, &str)]) -> String {
        let mut url = self.base.clone();
        match self.style {
            Style::Organizations => {
                if path.first() != Some(&"me") {
                    url.push_str("/organizations/");
                    url.push_str(&segment(&self.organization));
                }
            }
            Style::V1 => url.push_str("/api/v1"),
        }
        for (place, part) in path.iter().enumerate() {
            let part = match (self.style, place, *part) {
                (Style::V1, 0, "checklists") => "blueprints",
                (Style::V1, 0, "runs") if method == "POST" && path.len() == 1 => "processes",
                (_, _, other) => other,
            };
            url.push('/');
            url.push_str(&segment(part));
        }
        let organization = [("org", self.organization.as_str())];
        let extra: &[(&str, &str)] = if self.style == Style::V1 { &organization } else { &[] };
        for (place, (key, value)) in query.iter().chain(extra).enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            url.push_str(&segment(key));
            url.push('=');
            url.push_str(&segment(value));
        }
        url
    }

    /// Sends one request and gives the JSON of its answer, envelope included; null for an empty body.
    ///
    /// # Errors
    /// What the client or the answer says.
    pub async fn send(&self, request: Request<'_>) -> Result<Json, Failure> {
        let reads = request.method == "GET";
        let body = match &request.body {
            Some(body) => Some(serde_json::to_vec(body).map_err(|error| {
                Failure::new(FailureClass::Bug, request.attempted.clone(), format!("not sent: {error}"))
            })?),
            None => None,
        };
        let url = self.url(request.method, request.path, request.query);
        let mut token = self.auth.token(request.purpose).await?;
        let mut renewed = false;
        loop {
            let call = Call {
                request: self.http(request.method, &url, &token, body.clone()),
                attempted: request.attempted.clone(),
                purpose: request.purpose,
                repeatable: reads,
            };
            let response = self.client.call(call).await.map_err(|mut failure| {
                failure.answered = answer::scrub(&failure.answered);
                failure
            })?;
            if response.status == 401 && !renewed && self.auth.renewable() {
                token = self.auth.renewed(&token, request.purpose).await?;
                renewed = true;
                continue;
            }
            return answer::read(&response, &request.attempted, !reads).map_err(|mut failure| {
                if failure.class == FailureClass::Auth {
                    failure.answered = format!("{}; {}", failure.answered, self.auth.advice());
                }
                failure
            });
        }
    }

    fn http(&self, method: &str, url: &str, token: &str, body: Option<Vec<u8>>) -> HttpRequest {
        let mut headers = common_headers();
        headers.push(("Authorization".into(), format!("Bearer {token}")));
        if self.style == Style::V1 {
            // Gateways differ in the name they read.
            for name in ["X-Organization-ID", "X-Tallyfy-orgID"] {
                headers.push((name.into(), self.organization.clone()));
            }
        }
        if body.is_some() {
            headers.push(("Content-Type".into(), "application/json".into()));
        }
        HttpRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers,
            body,
            timeout: Duration::from_secs(60),
            max_body: 64 << 20,
        }
    }

    /// One page of a list.
    ///
    /// # Errors
    /// As [`Api::send`]; class `Bug` when the answer is no list.
    pub async fn page(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        page: u64,
        purpose: Purpose,
        attempted: &str,
    ) -> Result<ListPage, Failure> {
        let number = page.to_string();
        let mut query = query.to_vec();
        query.push(("per_page", PER_PAGE));
        query.push(("page", &number));
        let request = Request {
            method: "GET",
            path,
            query: &query,
            body: None,
            purpose,
            attempted: attempted.to_owned(),
        };
        let body = self.send(request).await?;
        ListPage::read(&body, page)
            .map_err(|why| Failure::new(FailureClass::Bug, format!("{attempted} (page {page})"), why))
    }

    /// Every row of a list that is short enough to hold.
    ///
    /// # Errors
    /// As [`Api::page`].
    pub async fn all(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        purpose: Purpose,
        attempted: &str,
    ) -> Result<Vec<Json>, Failure> {
        let mut rows = Vec::new();
        let mut number = 1;
        loop {
            let page = self.page(path, query, number, purpose, attempted).await?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => number = next,
                None => return Ok(rows),
            }
        }
    }

    /// One object by its address; `None` when Tallyfy says that there is none.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn find(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        purpose: Purpose,
        attempted: &str,
    ) -> Result<Option<Json>, Failure> {
        let request =
            Request { method: "GET", path, query, body: None, purpose, attempted: attempted.to_owned() };
        match self.send(request).await {
            Ok(body) => Ok(Some(unwrap(&body).clone())),
            Err(failure) if failure.class == FailureClass::Gone => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Writes, and gives the object of the answer; null when it has none.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn write(
        &self,
        method: &str,
        path: &[&str],
        body: Option<Json>,
        attempted: &str,
    ) -> Result<Json, Failure> {
        let request = Request {
            method,
            path,
            query: &[],
            body,
            purpose: Purpose::Write,
            attempted: attempted.to_owned(),
        };
        let body = self.send(request).await?;
        Ok(unwrap(&body).clone())
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListPage {
    /// The rows.
    pub rows: Vec<Json>,
    /// How many rows the whole list has.
    pub total: Option<u64>,
    /// The number of the next page.
    pub next: Option<u64>,
}

impl ListPage {
    fn read(body: &Json, page: u64) -> Result<Self, String> {
        let rows = match body.get("data") {
            Some(Json::Array(_)) => items(body.get("data")).to_vec(),
            _ if body.is_array() => items(Some(body)).to_vec(),
            _ => return Err("a list was expected, with `data` and `meta.pagination`".to_owned()),
        };
        let pagination = body.get("meta").and_then(|meta| meta.get("pagination"));
        let number =
            |name: &str| pagination.and_then(|it| text(it, name)).and_then(|it| it.parse::<u64>().ok());
        let current = number("current_page").unwrap_or(page);
        if pagination.is_some() && current != page {
            return Err(format!("page {page} was asked for, page {current} came"));
        }
        let next = number("total_pages").filter(|pages| page < *pages).map(|_| page + 1);
        if next.is_some_and(|next| next > MOST_PAGES) {
            return Err(format!("more than {MOST_PAGES} pages"));
        }
        Ok(Self { rows, total: number("total"), next })
    }
}

/// The failure of a write that came after another one had taken effect.
pub fn partly(mut failure: Failure, done: &str) -> Failure {
    failure.applied = Applied::Unknown;
    failure.answered = format!("{}; before it, {done} had been written", failure.answered);
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pages_go_on_until_the_last_by_number() {
        let body = |current: u64, pages: u64| {
            json!({"data": [{"id": "a"}], "meta": {"pagination":
            {"total": 3, "count": 1, "per_page": 1, "current_page": current, "total_pages": pages, "links": []}}})
        };
        let first = ListPage::read(&body(1, 3), 1).unwrap();
        assert_eq!((first.next, first.total), (Some(2), Some(3)));
        assert_eq!(ListPage::read(&body(3, 3), 3).unwrap().next, None);
        assert!(ListPage::read(&body(1, 3), 2).unwrap_err().contains("page 1 came"));
        assert!(ListPage::read(&json!({"message": "hello"}), 1).is_err());
    }

    #[test]
    fn blanks_are_percent_encoded() {
        assert_eq!(segment("a b+c/ä@x.y"), "a%20b%2Bc%2F%C3%A4%40x.y");
    }
}
