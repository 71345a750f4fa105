//! Listings: pages, keysets, cursors.
//!
//! A cursor is never moved past what a late commit may still bring: it stays behind the server's own
//! clock (or the newest stamp seen, where stamps are in a zone we do not know), and every incremental
//! listing reads back over it by the overlap.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::api::{Failure, FailureClass, Listing, Page, RawItem};
use super::auth::to_json;
use super::client::Purpose;
use super::connection::{Answer, Ask};
use super::definition::{Keyset, Operation, Window};
use super::entity::DeclarativeEntity;
use super::items::{self, Decoder};
use super::placeholder::{Scope, Text, parse_time, render_tree, shifted};
use super::rules::{CallKind, duration};
use super::scan::Pointer;
use super::system::operation;

/// Where an incremental listing continues; opaque to everybody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    at: String,
}

/// Where the next page is; opaque to everybody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    since: String,
    until: String,
    watermark: Option<String>,
    newest: Option<String>,
    ts: Option<String>,
    id: Option<String>,
    url: Option<String>,
    offset: usize,
    restarted: bool,
}

const BEGINNING: &str = "1970-01-01T00:00:00Z";

impl DeclarativeEntity {
    /// The operation behind a listing: the sweep where it brings whole records, else the list.
    pub(super) fn listing_operation(&self, full: bool, attempted: &str) -> Result<&Operation, Failure> {
        let sweep = operation(&self.plan.template, "sweep").filter(|sweep| full && sweep.records.is_some());
        match sweep {
            Some(sweep) => Ok(sweep),
            None => self.operation("list", attempted),
        }
    }

    pub(super) async fn list_now(&self, listing: &Listing, page: Option<&str>) -> Result<Page, Failure> {
        let (verb, purpose, full) = match listing {
            Listing::Full => ("list all of", Purpose::Sweep, true),
            Listing::Since(_) => ("list changes of", Purpose::Poll, false),
        };
        let attempted = self.words(verb, "");
        let operation = self.listing_operation(full, &attempted)?;
        let invalid = |why: String| Failure::new(FailureClass::Invalid, attempted.clone(), why);
        let previous = match listing {
            Listing::Since(Some(text)) => Some(cursor_of(text).map_err(invalid)?),
            _ => None,
        };
        let mut place = match page {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| invalid(format!("the page token {text:?} does not parse: {error}")))?,
            None => self.first_place(operation, previous.as_ref()).map_err(invalid)?,
        };
        let sent = self.connection.ports().clock.now();
        let mut answer = self.ask_page(operation, &place, &attempted, purpose).await;
        if let (Err(failure), Some(_), Some(_)) = (&answer, &place.url, &place.id)
            && failure.class == FailureClass::CursorExpired
            && operation.keyset.as_ref().is_some_and(|keyset| keyset.next.is_some())
        {
            // The server forgot its cursor; the last record read tells where to go on.
            place.url = None;
            place.restarted = true;
            answer = self.ask_page(operation, &place, &attempted, purpose).await;
        }
        let answer = answer?;
        if page.is_none() {
            place.watermark = Some(self.watermark(operation, sent).to_string());
        }
        self.page_of(operation, &answer, place, page.is_none(), full, previous, &attempted)
    }

    fn first_place(&self, operation: &Operation, previous: Option<&Cursor>) -> Result<Place, String> {
        let since = match previous {
            None => BEGINNING.to_owned(),
            Some(cursor) => {
                let at = parse_time(&cursor.at).ok_or("the cursor holds no time")?;
                let back = overlap(&operation.window)?;
                shifted(at, -back).max(Timestamp::UNIX_EPOCH).to_string()
            }
        };
        let until = self.watermark(operation, self.connection.ports().clock.now()).to_string();
        Ok(Place { since, until, ..Place::default() })
    }

    /// The server's time at `local`, less the hold-back and what our measure may be wrong by.
    fn watermark(&self, operation: &Operation, local: Timestamp) -> Timestamp {
        let hold =
            operation.window.hold_back.as_deref().and_then(|text| duration(text).ok()).unwrap_or_default();
        let hold = SignedDuration::try_from(hold).unwrap_or(SignedDuration::ZERO);
        let offset = self.connection.data_client().and_then(|client| client.measured_clock_offset());
        let (offset, error) = offset.map_or((0, 0), |offset| (offset.offset_ms, offset.error_ms));
        shifted(local, SignedDuration::from_millis(offset - error) - hold)
    }

    async fn ask_page(
        &self,
        operation: &Operation,
        place: &Place,
        attempted: &str,
        purpose: Purpose,
    ) -> Result<Answer, Failure> {
        let text = |value: &str| Json::String(value.to_owned());
        let mut more = vec![
            ("since", text(&place.since)),
            ("until", text(&place.until)),
            ("offset", Json::Number(place.offset.into())),
        ];
        more.extend(place.ts.as_deref().map(|ts| ("ts", text(ts))));
        if let Some(id) = &place.id {
            more.push(("id", text(id)));
            more.push(("last_id", text(id)));
        }
        let mut holes = self.holes(&more);
        if let Some(keyset) = &operation.keyset {
            let filled = self.keyset(keyset, place.id.is_some() && place.url.is_none(), &holes);
            let filled = filled
                .map_err(|why| Failure::new(FailureClass::Invalid, attempted, format!("not sent: {why}")))?;
            holes.insert("keyset".to_owned(), filled);
        }
        let ask = Ask {
            operation,
            holes: &holes,
            next_url: place.url.as_deref(),
            attempted: attempted.to_owned(),
            purpose,
            repeatable: true,
            kind: CallKind::List,
        };
        self.connection.exchange(ask).await
    }

    fn keyset(
        &self,
        keyset: &Keyset,
        next: bool,
        holes: &std::collections::BTreeMap<String, Json>,
    ) -> Result<Json, String> {
        let below = Scope::new(self.connection.vars());
        let scope = below.with(holes);
        let source = if next { keyset.next.as_ref() } else { keyset.first.as_ref() };
        let source = source.ok_or("the keyset has no such part")?;
        let toml::Value::String(source) = source else { return render_tree(&to_json(source), &scope) };
        let condition = Text::parse(source)?.render(&scope)?.ok_or("a value of the keyset is missing")?;
        match &keyset.upper {
            None => Ok(Json::String(condition)),
            Some(upper) => {
                let upper = Text::parse(upper)?.render(&scope)?.ok_or("a value of the keyset is missing")?;
                Ok(Json::String(format!("({condition}) AND {upper}")))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one page's facts, used once")]
    fn page_of(
        &self,
        operation: &Operation,
        answer: &Answer,
        place: Place,
        first: bool,
        full: bool,
        previous: Option<Cursor>,
        attempted: &str,
    ) -> Result<Page, Failure> {
        let bug = |why: String| Failure::new(FailureClass::Bug, attempted, why);
        let decoder = self.decoder_of(operation);
        let mut page = Page::default();
        if !answer.empty {
            let pointer = answer.pointer(operation.records.as_deref().unwrap_or_default());
            let raws = items::split(&answer.text, &pointer).map_err(bug)?;
            let id_at = Pointer::new(&decoder.id);
            page.items.reserve_exact(raws.len());
            for raw in raws {
                let id = decoder.id_of(raw.get(), &id_at).map_err(bug)?;
                page.items.push(RawItem { id, raw: raw.get().to_owned() });
            }
        }
        if first {
            let total = operation.total.as_deref().and_then(|pointer| answer.value(pointer));
            page.total = total.and_then(|total| total.to_string().trim_matches('"').parse().ok());
        }
        let by_rows = operation.window.by.as_deref() == Some("rows");
        let next = self.next_place(operation, answer, &page, &place, &decoder).map_err(bug)?;
        // Every record's stamp is read only where the cursor is made of them.
        let newest = by_rows.then(|| newest(&page, &decoder, place.newest.clone())).flatten();
        match next {
            Some(mut next) => {
                next.newest = newest;
                page.next = Some(serde_json::to_string(&next).map_err(|error| bug(error.to_string()))?);
            }
            None => {
                let reached = if by_rows { newest } else { place.watermark.clone() };
                page.cursor = advance(previous, reached);
            }
        }
        if full && place.restarted {
            page.incomplete = Some(
                "the server's cursor expired in the middle; the listing went on from the last record"
                    .to_owned(),
            );
        }
        Ok(page)
    }

    fn next_place(
        &self,
        operation: &Operation,
        answer: &Answer,
        page: &Page,
        place: &Place,
        decoder: &Decoder,
    ) -> Result<Option<Place>, String> {
        let Some(rule) = &operation.page else { return Ok(None) };
        let mut next = place.clone();
        if let Some(last) = page.items.last() {
            next.ts = decoder.stamp_of(&last.raw);
            next.id = Some(last.id.clone());
        }
        let full_page = rule.size.is_some_and(|size| page.items.len() >= size);
        match rule.kind.as_str() {
            "next_url" => {
                next.url = rule
                    .url
                    .as_deref()
                    .and_then(|pointer| answer.value(pointer))
                    .and_then(|url| url.as_str().map(str::to_owned));
                if next.url.is_some() && next.url == place.url {
                    return Err("the page after this one is this one again".to_owned());
                }
                Ok(next.url.is_some().then_some(next))
            }
            "keyset_until" => {
                let more = match rule.more.as_deref() {
                    Some("full_page") | None => full_page,
                    Some(pointer) => match answer.value(pointer) {
                        Some(Json::Bool(more)) => more,
                        _ => {
                            return Err(format!(
                                "the answer does not say at {pointer:?} whether there is more"
                            ));
                        }
                    },
                };
                if !more || page.items.is_empty() {
                    return Ok(None);
                }
                next.url = None;
                if next.id == place.id && next.ts == place.ts {
                    return Err(
                        "the listing does not move: the last record of two pages is the same".to_owned()
                    );
                }
                Ok(Some(next))
            }
            "offset" => {
                next.offset = place.offset.saturating_add(page.items.len());
                Ok((full_page && !page.items.is_empty()).then_some(next))
            }
            _ => Ok(None),
        }
    }
}

/// The newest stamp of a page and of those before it.
fn newest(page: &Page, decoder: &Decoder, before: Option<String>) -> Option<String> {
    // Stamps of one system in one spelling sort like the times they stand for.
    page.items.iter().filter_map(|item| decoder.stamp_of(&item.raw)).chain(before).max()
}

/// A cursor never goes back.
fn advance(previous: Option<Cursor>, reached: Option<String>) -> Option<String> {
    let later = |at: &str| parse_time(at);
    let at = match (previous.map(|cursor| cursor.at), reached) {
        (Some(old), Some(new)) => {
            if later(&new) > later(&old) {
                new
            } else {
                old
            }
        }
        (old, new) => old.or(new)?,
    };
    serde_json::to_string(&Cursor { at }).ok()
}

fn cursor_of(text: &str) -> Result<Cursor, String> {
    serde_json::from_str(text).map_err(|error| format!("the cursor {text:?} does not parse: {error}"))
}

fn overlap(window: &Window) -> Result<SignedDuration, String> {
    let text = window.overlap_dst.as_deref().or(window.overlap.as_deref()).unwrap_or("10m");
    SignedDuration::try_from(duration(text)?).map_err(|error| error.to_string())
}
