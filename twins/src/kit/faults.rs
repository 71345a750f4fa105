//! What goes wrong with requests, as a programmable list of rules.
//!
//! This file only decides which rules strike a request; `hub.rs` makes it happen.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::http::Request;

/// Before the request took effect, or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing has happened yet.
    Before,
    /// The request has taken full effect.
    After,
}

/// How a 429 says how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// Not at all.
    Absent,
    /// A number of seconds.
    Seconds(u64),
    /// An HTTP date that many seconds ahead of the (skewed) server clock.
    HttpDate(u64),
}

/// What a person does to a record, past the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// Makes a record; the id is the twin's choice unless the record says one under `id`.
    Create {
        /// Entity of the record.
        entity: String,
        /// The record.
        record: Value,
    },
    /// Merges a patch (RFC 7396) into a record.
    Patch {
        /// Entity of the record.
        entity: String,
        /// Id of the record.
        id: String,
        /// What changes; `null` takes a value away.
        patch: Value,
    },
    /// Replaces a record.
    Replace {
        /// Entity of the record.
        entity: String,
        /// Id of the record.
        id: String,
        /// The new record.
        record: Value,
    },
    /// Takes a record out for good.
    Delete {
        /// Entity of the record.
        entity: String,
        /// Id of the record.
        id: String,
    },
    /// Does something that the twin has a word for.
    Action {
        /// The word: `complete-task`, `archive-run`, ...
        name: String,
        /// What the word needs.
        with: Value,
    },
}

/// One thing that can go wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The connection closes without an answer; the request has no effect.
    DropBefore,
    /// The request takes effect; the connection closes without an answer.
    DropAfter,
    /// The connection closes without an answer; the request takes effect after so many more requests.
    ApplyLate {
        /// How many more requests come first; `release_late` is sooner.
        after_requests: u32,
    },
    /// Another status than the twin's own.
    Status {
        /// Status code.
        status: u16,
        /// Before or after the request took effect.
        when: When,
        /// Body; the twin's usual error body when absent.
        #[serde(default)]
        body: Option<String>,
    },
    /// 429, before the request took effect.
    Throttle {
        /// How the answer says how long to wait.
        retry_after: RetryAfter,
    },
    /// A login page in HTML with status 200, before the request took effect.
    LoginPage,
    /// The JSON of the answer stops in the middle, in a complete HTTP answer.
    TruncateBody,
    /// The connection breaks in the middle of the answer.
    BreakBody,
    /// The token of this request stops working before the request is handled.
    ExpireToken,
    /// A read is answered from the records of so many requests ago; writes go through.
    Stale {
        /// How many requests the replica lags.
        lag: usize,
    },
    /// The API's principal sees no record of an entity during this request.
    Blind {
        /// The entity.
        entity: String,
    },
    /// A person edits just before or just after this request is handled.
    Person {
        /// Before or after.
        when: When,
        /// What the person does.
        edits: Vec<Edit>,
    },
    /// The request waits at a gate until a test releases it.
    Hold {
        /// Name of the gate.
        gate: String,
        /// Before or after it takes effect.
        when: When,
    },
    /// A knob that only this twin knows; it reads it with `World::knob`.
    Knob {
        /// Name of the knob.
        name: String,
        /// What the twin needs to know.
        #[serde(default)]
        value: Value,
    },
}

impl Effect {
    /// The name as it stands in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Effect::DropBefore => "drop_before",
            Effect::DropAfter => "drop_after",
            Effect::ApplyLate { .. } => "apply_late",
            Effect::Status { .. } => "status",
            Effect::Throttle { .. } => "throttle",
            Effect::LoginPage => "login_page",
            Effect::TruncateBody => "truncate_body",
            Effect::BreakBody => "break_body",
            Effect::ExpireToken => "expire_token",
            Effect::Stale { .. } => "stale",
            Effect::Blind { .. } => "blind",
            Effect::Person { .. } => "person",
            Effect::Hold { .. } => "hold",
            Effect::Knob { .. } => "knob",
        }
    }

    /// Whether it replaces the answer; only one such effect strikes one request.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Effect::DropBefore
                | Effect::DropAfter
                | Effect::ApplyLate { .. }
                | Effect::Status { .. }
                | Effect::Throttle { .. }
                | Effect::LoginPage
                | Effect::TruncateBody
                | Effect::BreakBody
        )
    }
}

/// A rule: which requests, how many of them, what happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The method; any when absent.
    #[serde(default)]
    pub method: Option<String>,
    /// A part of path and query as sent (`/runs?`, `page=2`); any when empty.
    #[serde(default)]
    pub target: String,
    /// A second part of path and query that must be there too.
    #[serde(default)]
    pub and_target: String,
    /// A part of the body; any when empty.
    #[serde(default)]
    pub body: String,
    /// The twin's kind of the request (`runs.list`); any when empty.
    #[serde(default)]
    pub kind: String,
    /// How many matching requests pass first.
    #[serde(default)]
    pub skip: u32,
    /// How many are struck; 0 is all of them until the rule is taken away. One when absent.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    pub effect: Effect,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// A rule for the next request of any kind.
    pub fn next(effect: Effect) -> Fault {
        Fault {
            method: None,
            target: String::new(),
            and_target: String::new(),
            body: String::new(),
            kind: String::new(),
            skip: 0,
            times: 1,
            effect,
        }
    }

    /// A rule for the next request with that method and that part of path and query.
    pub fn on(method: &str, target: &str, effect: Effect) -> Fault {
        Fault { method: Some(method.to_owned()), target: target.to_owned(), ..Fault::next(effect) }
    }

    /// A rule for the next request of that kind.
    pub fn of_kind(kind: &str, effect: Effect) -> Fault {
        Fault { kind: kind.to_owned(), ..Fault::next(effect) }
    }

    /// A rule that strikes one page of a listing.
    pub fn on_page(target: &str, page: &str, effect: Effect) -> Fault {
        Fault { target: target.to_owned(), and_target: page.to_owned(), ..Fault::next(effect) }
    }

    /// The same rule after so many matching requests.
    pub fn after(self, skip: u32) -> Fault {
        Fault { skip, ..self }
    }

    /// The same rule for so many requests; 0 is all.
    pub fn times(self, times: u32) -> Fault {
        Fault { times, ..self }
    }

    fn matches(&self, request: &Request, kind: &str) -> bool {
        let target = request.target();
        self.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(&request.method))
            && target.contains(&self.target)
            && target.contains(&self.and_target)
            && (self.kind.is_empty() || self.kind == kind)
            && (self.body.is_empty() || request.text().contains(&self.body))
    }
}

/// The rules in force, by number.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    last: u64,
    rules: Vec<(u64, Fault)>,
}

impl Faults {
    /// Adds a rule behind the others and gives its number.
    pub fn add(&mut self, fault: Fault) -> u64 {
        self.last += 1;
        self.rules.push((self.last, fault));
        self.last
    }

    /// Takes a rule away.
    pub fn remove(&mut self, number: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|(rule, _)| *rule != number);
        self.rules.len() < before
    }

    /// Takes all rules away.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// The rules that have not struck for the last time, in order.
    pub fn pending(&self) -> &[(u64, Fault)] {
        &self.rules
    }

    pub(crate) fn a_replica_lags(&self) -> bool {
        self.rules.iter().any(|(_, rule)| matches!(rule.effect, Effect::Stale { .. }))
    }

    /// The effects that strike this request, in order; rules that are used up go.
    pub(crate) fn strike(&mut self, request: &Request, kind: &str) -> Vec<Effect> {
        let mut effects: Vec<Effect> = Vec::new();
        self.rules.retain_mut(|(_, rule)| {
            if !rule.matches(request, kind) {
                return true;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                return true;
            }
            // Rules that replace the answer form a queue: the second waits for the next request.
            if rule.effect.is_final() && effects.iter().any(Effect::is_final) {
                return true;
            }
            effects.push(rule.effect.clone());
            let last = rule.times == 1;
            rule.times = rule.times.saturating_sub(1);
            !last
        });
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_that_replace_the_answer_form_a_queue() {
        let mut faults = Faults::default();
        faults.add(Fault::next(Effect::DropAfter));
        faults.add(Fault::next(Effect::LoginPage));
        faults.add(Fault::next(Effect::Stale { lag: 2 }).times(0));
        let request = Request::new("GET", "/runs");
        let names = |effects: Vec<Effect>| effects.iter().map(Effect::name).collect::<Vec<_>>();
        assert_eq!(names(faults.strike(&request, "runs.list")), ["drop_after", "stale"]);
        assert_eq!(names(faults.strike(&request, "runs.list")), ["login_page", "stale"]);
        assert_eq!(names(faults.strike(&request, "runs.list")), ["stale"]);
        assert!(faults.remove(3) && !faults.remove(3));
        assert!(faults.strike(&request, "runs.list").is_empty());
    }

    #[test]
    fn a_rule_matches_method_target_kind_and_body_after_its_skips() {
        let mut faults = Faults::default();
        let rule: Fault = serde_json::from_value(json!({
            "method": "post", "target": "/runs", "and_target": "page=2", "kind": "runs.launch", "body": "SO-1",
            "skip": 1, "times": 2, "effect": {"status": {"status": 503, "when": "after"}}
        }))
        .unwrap();
        faults.add(rule);
        let hit = Request::new("POST", "/runs?page=2").with_json(&json!({"name": "SO-1"}));
        let mut struck = |request: &Request, kind: &str| faults.strike(request, kind).len();
        assert_eq!(struck(&Request::new("GET", "/runs?page=2"), "runs.launch"), 0);
        assert_eq!(struck(&Request::new("POST", "/runs?page=2"), "runs.launch"), 0);
        assert_eq!(struck(&hit, "runs.list"), 0);
        assert_eq!([1, 2, 3, 4].map(|_| struck(&hit, "runs.launch")), [0, 1, 1, 0]);
    }

    #[test]
    fn the_names_are_those_of_the_json_form() {
        for effect in [Effect::DropBefore, Effect::BreakBody, Effect::ExpireToken, Effect::LoginPage] {
            assert_eq!(serde_json::to_value(&effect).unwrap(), json!(effect.name()));
        }
        let throttle = Effect::Throttle { retry_after: RetryAfter::HttpDate(30) };
        assert_eq!(
            serde_json::to_value(&throttle).unwrap(),
            json!({"throttle": {"retry_after": {"http_date": 30}}})
        );
    }
}
