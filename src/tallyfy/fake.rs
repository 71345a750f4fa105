//! A small stateful Tallyfy for the adapter's tests, answered from memory through the scripted transport.
//!
//! Written from Tallyfy's documents, its traps included: an update without members wipes them, unknown keys
//! vanish, completed tasks refuse writes. It must never import anything of the adapter.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value as Json, json};

use crate::connector::fakes::{Answer, Fakes, fakes, json as answer};
use crate::ports::{HttpRequest, TransportError};

pub(crate) const ORG: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const TEMPLATE: &str = "77aa77aa77aa77aa77aa77aa77aa77aa";
pub(crate) const F_ORDER: &str = "a1000000000000000000000000000001";
pub(crate) const F_PRIORITY: &str = "a1000000000000000000000000000002";
pub(crate) const F_MARK: &str = "a1000000000000000000000000000003";
pub(crate) const STEP_CREDIT: &str = "e1000000000000000000000000000001";
pub(crate) const STEP_APPROVE: &str = "e1000000000000000000000000000002";
pub(crate) const C_LIMIT: &str = "c1000000000000000000000000000001";

/// Everything that the organisation holds, and what it shall do wrong.
#[derive(Default)]
pub(crate) struct World {
    pub runs: Vec<Json>,
    pub tasks: Vec<Json>,
    pub guests: Vec<Json>,
    pub required_order: bool,
    pub page_size: usize,
    pub made: usize,
    /// Tokens that are refused.
    pub refused: Vec<String>,
    pub tokens: usize,
    /// The next launch is made, but its answer is lost.
    pub lose_launch: bool,
    /// `checklist_id` is ignored in lists.
    pub ignores_filter: bool,
    /// Runs are shown to nobody by id.
    pub blind: bool,
    /// Kick-off values of updates are dropped.
    pub drops_prerun: bool,
    /// Every completion is refused.
    pub refuses_completion: bool,
    pub fired: usize,
}

pub(crate) struct Fake {
    pub world: Arc<Mutex<World>>,
    pub fakes: Fakes,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let world = Arc::new(Mutex::new(World { page_size: 100, ..World::default() }));
        let inside = Arc::clone(&world);
        let fakes = fakes(move |request| inside.lock().unwrap().answer(request));
        Self { world, fakes }
    }

    pub(crate) fn launch(&self, order: &str) -> String {
        self.world
            .lock()
            .unwrap()
            .launch(&json!({"name": format!("Order {order}"), "prerun": {F_ORDER: order}}))
    }

    pub(crate) fn run(&self, id: &str) -> Json {
        self.world.lock().unwrap().runs.iter().find(|run| run["id"] == id).cloned().unwrap()
    }

    pub(crate) fn task(&self, run: &str, step: &str) -> Json {
        let world = self.world.lock().unwrap();
        world.tasks.iter().find(|task| task["run_id"] == run && task["step_id"] == step).cloned().unwrap()
    }

    pub(crate) fn edit(&self, run: &str, change: impl FnOnce(&mut Json)) {
        change(self.world.lock().unwrap().runs.iter_mut().find(|found| found["id"] == run).unwrap());
    }

    pub(crate) fn edit_task(&self, run: &str, step: &str, change: impl FnOnce(&mut Json)) {
        let mut world = self.world.lock().unwrap();
        let task = world.tasks.iter_mut().find(|task| task["run_id"] == run && task["step_id"] == step);
        change(task.unwrap());
    }

    /// `METHOD path` of every call since the last time, without the query.
    pub(crate) fn calls(&self) -> Vec<String> {
        let mut seen = self.fakes.transport.seen.lock().unwrap();
        let calls =
            seen.iter().map(|request| format!("{} {}", request.method, path_of(&request.url).join("/")));
        let calls = calls.collect();
        seen.clear();
        calls
    }

    /// The writing calls among them.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.calls().into_iter().filter(|call| !call.starts_with("GET")).collect()
    }

    pub(crate) fn last_body(&self, method: &str) -> Json {
        let seen = self.fakes.transport.seen.lock().unwrap();
        let found = seen.iter().rev().find(|request| request.method == method).unwrap();
        serde_json::from_slice(found.body.as_ref().unwrap()).unwrap()
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// The path below the organisation or `/api/v1`.
fn path_of(url: &str) -> Vec<String> {
    let path = url.split_once("://").unwrap().1.split_once('/').unwrap().1;
    let path = path.split('?').next().unwrap();
    let parts: Vec<String> = path.split('/').map(decoded).collect();
    let start = match parts.iter().position(|part| part == "organizations" || part == "v1") {
        Some(at) if parts[at] == "organizations" => at + 2,
        Some(at) => at + 1,
        None => usize::from(parts[0] == "api"),
    };
    parts[start..].to_vec()
}

fn query_of(url: &str) -> Map<String, Json> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    assert!(!query.contains('+'), "Tallyfy does not decode + in {url}");
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(key, value)| (decoded(key), json!(decoded(value)))).collect()
}

fn not_found() -> Answer {
    answer(404, r#"{"error":true,"message":"Resource not found","code":"RESOURCE_NOT_FOUND"}"#)
}

fn no_endpoint() -> Answer {
    answer(404, r#"{"error":true,"message":"API endpoint not found","code":"ENDPOINT_NOT_FOUND"}"#)
}

fn data(status: u16, value: &Json) -> Answer {
    answer(status, &json!({"data": value}).to_string())
}

fn refused(field: &str, why: &str) -> Answer {
    answer(422, &json!({"error": true, "errors": {field: [why]}}).to_string())
}

fn field(id: &str, alias: &str, label: &str, kind: &str) -> Json {
    json!({"id": id, "alias": alias, "label": label, "field_type": kind, "required": false,
        "options": [{"id": 1, "text": "Low"}, {"id": 2, "text": "High"}]})
}

impl World {
    fn template(&self) -> Json {
        let mut order = field(F_ORDER, "order-number-3321", "Order number", "text");
        order["required"] = json!(self.required_order);
        let fields = [
            order,
            field(F_PRIORITY, "priority-1", "Priority", "dropdown"),
            field(F_MARK, "sync-id-9", "Sync id", "text"),
        ];
        json!({"id": TEMPLATE, "title": "Order approval", "alias": "order-approval-7", "prerun": fields, "steps": {"data": [
            {"id": STEP_CREDIT, "alias": "credit-check-1", "title": "Credit check", "step_type": "task",
             "captures": {"data": [{"id": C_LIMIT, "label": "Credit limit", "field_type": "text"}]}},
            {"id": STEP_APPROVE, "alias": "management-approval-2", "title": "Management approval",
             "step_type": "approval", "captures": []}
        ]}})
    }

    fn launch(&mut self, body: &Json) -> String {
        self.made += 1;
        let id = format!("b{:031x}", self.made);
        let known = [F_ORDER, F_PRIORITY, F_MARK];
        let prerun: Map<String, Json> = body["prerun"].as_object().cloned().unwrap_or_default();
        let prerun: Map<String, Json> =
            prerun.into_iter().filter(|(key, _)| known.contains(&key.as_str())).collect();
        self.runs.push(json!({"id": id, "checklist_id": TEMPLATE, "name": body["name"], "summary": "", "status": "active",
            "owner_id": 10013, "users": [10013, 7], "groups": ["53a453a453a453a453a453a453a453a4"], "prerun": prerun,
            "created_at": "2026-05-02T09:00:00.000Z", "last_updated": "2026-05-03T11:10:00.000Z",
            "archived_at": null, "due_date": null, "custom_fields": {"cost_center": "CC-9"}, "has_open_issue": false}));
        for (step, kind) in [(STEP_CREDIT, "task"), (STEP_APPROVE, "approval")] {
            self.tasks.push(json!({"id": format!("e{}{}", &step[31..], &id[2..]), "run_id": id, "checklist_id": TEMPLATE,
                "step_id": step, "status": "not-started", "task_type": kind, "is_approved": null, "completed_at": null,
                "completer_id": null, "deadline": "2026-05-05T17:00:00.000000Z", "taskdata": [],
                "owners": {"users": [10013], "guests": ["a@b.example"], "groups": []}}));
        }
        id
    }

    fn page(&self, rows: Vec<Json>, query: &Map<String, Json>) -> Answer {
        let page: usize = query.get("page").map_or(1, |page| page.as_str().unwrap().parse().unwrap());
        let pages = rows.len().div_ceil(self.page_size).max(1);
        let total = rows.len();
        let rows: Vec<Json> =
            rows.into_iter().skip((page - 1) * self.page_size).take(self.page_size).collect();
        answer(
            200,
            &json!({"data": rows, "meta": {"pagination": {"total": total, "count": rows.len(),
            "per_page": self.page_size, "current_page": page, "total_pages": pages, "links": []}}})
            .to_string(),
        )
    }

    fn tasks_of(&self, run: &str) -> Vec<Json> {
        self.tasks.iter().filter(|task| task["run_id"] == run).cloned().collect()
    }

    fn shown(&self, run: &Json, query: &Map<String, Json>) -> Json {
        let mut run = run.clone();
        let with = query.get("with").and_then(Json::as_str).unwrap_or_default();
        if with.contains("tasks") {
            run["tasks"] = json!({"data": self.tasks_of(run["id"].as_str().unwrap())});
        }
        run
    }

    fn list_runs(&self, query: &Map<String, Json>) -> Answer {
        let is = |name: &str| query.get(name).and_then(Json::as_str);
        let rows = self.runs.iter().filter(|run| {
            let archived = !run["archived_at"].is_null();
            let ours = self.ignores_filter || is("checklist_id").is_none_or(|id| run["checklist_id"] == id);
            let named = is("q").is_none_or(|words| run["name"].as_str().unwrap().contains(words));
            archived == (is("archived") == Some("only")) && ours && named
        });
        self.page(rows.map(|run| self.shown(run, query)).collect(), query)
    }

    fn update_run(&mut self, id: &str, body: &Json) -> Answer {
        let drops = self.drops_prerun;
        let Some(run) = self.runs.iter_mut().find(|run| run["id"] == id) else { return not_found() };
        for name in ["name", "summary", "owner_id"] {
            if let Some(value) = body.get(name) {
                run[name] = value.clone();
            }
        }
        // The data-loss trap: what is not repeated is taken off.
        run["users"] = body.get("users").cloned().unwrap_or(json!([]));
        run["groups"] = body.get("groups").cloned().unwrap_or(json!([]));
        for (key, value) in body["prerun"].as_object().into_iter().flatten() {
            if [F_ORDER, F_PRIORITY, F_MARK].contains(&key.as_str()) && !drops {
                run["prerun"][key] = value.clone();
            }
        }
        data(200, &run.clone())
    }

    fn update_task(&mut self, id: &str, body: &Json) -> Answer {
        let Some(task) = self.tasks.iter_mut().find(|task| task["id"] == id) else { return not_found() };
        if !task["completed_at"].is_null() {
            return refused("task", "A completed task cannot be updated");
        }
        if let Some(owners) = body.get("owners") {
            for bucket in ["users", "guests", "groups"] {
                task["owners"][bucket] = owners.get(bucket).cloned().unwrap_or(json!([]));
            }
        }
        if let Some(deadline) = body.get("deadline").and_then(Json::as_str) {
            task["deadline"] = json!(deadline.replace(' ', "T") + ".000Z");
        }
        let mut values = task["taskdata"].as_object().cloned().unwrap_or_default();
        for (key, value) in
            body["taskdata"].as_object().into_iter().flatten().filter(|(key, _)| *key == C_LIMIT)
        {
            values.insert(key.clone(), value.clone());
        }
        task["taskdata"] = Json::Object(values);
        data(200, &task.clone())
    }

    fn complete(&mut self, body: &Json) -> Answer {
        let Some(task) = self.tasks.iter_mut().find(|task| task["id"] == body["task_id"]) else {
            return not_found();
        };
        if self.refuses_completion {
            return refused("task", "The task has an open issue");
        }
        if task["task_type"] == "approval" && body.get("is_approved").is_none() {
            return refused("is_approved", "is required");
        }
        self.fired += 1;
        task["status"] = json!("completed");
        task["completed_at"] = json!("2026-05-04T10:00:00.000Z");
        task["completer_id"] = json!(10013);
        task["is_approved"] = body.get("is_approved").cloned().unwrap_or(Json::Null);
        data(200, &task.clone())
    }

    fn reopen(&mut self, id: &str) -> Answer {
        let Some(task) = self.tasks.iter_mut().find(|task| task["id"] == id) else { return not_found() };
        task["status"] = json!("not-started");
        task["completed_at"] = Json::Null;
        data(200, &task.clone())
    }

    fn token(&mut self, request: &HttpRequest) -> Answer {
        self.tokens += 1;
        let form =
            request.body.as_ref().map(|body| String::from_utf8(body.clone()).unwrap()).unwrap_or_default();
        let rotated = form.contains("refresh_token").then(|| format!("rotated-{}", self.tokens));
        let token = format!("token-{}", self.tokens);
        let body = json!({"token_type": "Bearer", "expires_in": 3600, "access_token": token, "refresh_token": rotated});
        answer(200, &body.to_string())
    }

    fn answer(&mut self, request: &HttpRequest) -> Answer {
        let header =
            |name: &str| request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(header("X-Tallyfy-Client"), Some("APIClient"));
        assert_eq!(header("Accept"), Some("application/json"));
        let path = path_of(&request.url);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let query = query_of(&request.url);
        let body: Json = request
            .body
            .as_ref()
            .map_or(Json::Null, |body| serde_json::from_slice(body).unwrap_or(Json::Null));
        if path.ends_with(&["oauth", "token"]) || path.first() == Some(&"applications") {
            return self.token(request);
        }
        let token = header("Authorization").and_then(|it| it.strip_prefix("Bearer ")).unwrap();
        if self.refused.iter().any(|refused| refused == token) {
            return answer(401, r#"{"error":"unauthenticated"}"#);
        }
        let (method, path) = (request.method.as_str(), path.as_slice());
        match path.first() {
            Some(&"runs" | &"processes" | &"tasks") => self.process(method, path, &query, &body),
            _ => self.other(method, path, &query, &body),
        }
    }

    fn process(&mut self, method: &str, path: &[&str], query: &Map<String, Json>, body: &Json) -> Answer {
        match (method, path) {
            ("GET", ["runs"]) => self.list_runs(query),
            ("GET", ["runs", id]) => match self.runs.iter().find(|run| run["id"] == *id) {
                Some(run) if !self.blind => data(200, &self.shown(run, query)),
                _ => not_found(),
            },
            ("POST", ["runs" | "processes"]) => {
                let id = self.launch(body);
                if std::mem::take(&mut self.lose_launch) {
                    return Err(TransportError::AnswerLost("connection reset".into()));
                }
                let run = self.runs.iter().find(|run| run["id"] == id.as_str()).cloned().unwrap();
                data(201, &run)
            }
            ("PUT", ["runs", id]) => self.update_run(id, body),
            ("DELETE", ["runs", id]) => {
                let Some(run) = self.runs.iter_mut().find(|run| run["id"] == *id) else { return not_found() };
                run["status"] = json!("archived");
                run["archived_at"] = json!("2026-05-04T10:00:00Z");
                data(200, &run.clone())
            }
            ("DELETE", ["runs", id, "delete"]) => {
                self.runs.retain(|run| run["id"] != *id);
                answer(200, "")
            }
            ("PATCH", ["runs", id, "custom-fields", key]) => {
                let run = self.runs.iter_mut().find(|run| run["id"] == *id).unwrap();
                run["custom_fields"][*key] = body["value"].clone();
                answer(200, "{}")
            }
            ("GET", ["tasks"]) => {
                let alive = |task: &&Json| {
                    self.runs.iter().any(|run| run["id"] == task["run_id"] && run["archived_at"].is_null())
                        && task["status"] != "auto-skipped"
                };
                self.page(self.tasks.iter().rev().filter(alive).cloned().collect(), query)
            }
            ("PUT", ["runs", _, "tasks", task]) => self.update_task(task, body),
            ("POST", ["runs", _, "completed-tasks"]) => self.complete(body),
            ("DELETE", ["runs", _, "completed-tasks", task]) => self.reopen(task),
            _ => no_endpoint(),
        }
    }

    fn other(&mut self, method: &str, path: &[&str], query: &Map<String, Json>, body: &Json) -> Answer {
        match (method, path) {
            ("GET", ["me"]) => data(200, &json!({"id": 10013, "email": "sync@corp.example"})),
            ("GET", []) => data(200, &json!({"id": ORG, "name": "Corp GmbH"})),
            ("GET", ["checklists" | "blueprints"]) => {
                let archived = query.get("archived").is_some();
                let row = if archived {
                    json!({"id": "ee", "title": "Old order", "alias": "old-order-1"})
                } else {
                    self.template()
                };
                self.page(vec![row], query)
            }
            ("GET", ["checklists" | "blueprints", TEMPLATE]) => data(200, &self.template()),
            ("GET", ["guests"]) => self.page(self.guests.clone(), query),
            ("GET", ["guests", email]) => match self.guests.iter().find(|guest| guest["email"] == *email) {
                Some(guest) => data(201, guest),
                None => not_found(),
            },
            ("POST", ["guests"]) => {
                self.guests.push(body.clone());
                data(201, body)
            }
            ("PUT", ["guests", email]) => {
                let guest = self.guests.iter_mut().find(|guest| guest["email"] == *email).unwrap();
                for (key, value) in body.as_object().unwrap() {
                    guest[key] = value.clone();
                }
                data(200, &guest.clone())
            }
            _ => no_endpoint(),
        }
    }
}
