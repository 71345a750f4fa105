//! From an operation of a definition to a request: path, query, headers, body, RPC envelope. Pure.

use std::collections::BTreeMap;

use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use toml::Table;

use super::auth::to_json;
use super::definition::{Body, Operation};
use super::placeholder::{STRICT, Scope, Text, number, render_tree, unknown};

/// One `[rpc]` dialect: the envelope around a call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dialect {
    /// HTTP method.
    pub method: String,
    /// Path with holes.
    pub path: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// JSON tree, with the call's parts as holes.
    pub body: Body,
    /// Pointer to the result.
    pub result: Option<String>,
    /// Pointer to the error, which may come with status 200.
    pub error: Option<String>,
    /// How error rules see the error: name to pointer. Absent: the error as it is.
    pub error_view: BTreeMap<String, String>,
    /// Sent with every call as the hole `{context}`; what has no value is left out.
    pub context: Table,
}

/// The dialect or authentication that `select` chooses, or the table itself.
///
/// # Errors
/// When the choice is not there, with the nearest name.
pub fn chosen<'a>(
    section: &str,
    table: &'a Table,
    scope: &Scope<'_>,
) -> Result<Option<(String, &'a Table)>, String> {
    if table.is_empty() {
        return Ok(None);
    }
    let Some(select) = table.get("select").and_then(toml::Value::as_str) else {
        // A section with a single named dialect needs no choice.
        let mut inner = table.iter().filter_map(|(name, value)| value.as_table().map(|t| (name.clone(), t)));
        let only_tables = table.values().all(toml::Value::is_table);
        return match (only_tables, inner.next(), inner.next()) {
            (true, Some(only), None) => Ok(Some(only)),
            _ => Ok(Some((String::new(), table))),
        };
    };
    let choice = Text::parse(select)?
        .render(scope)?
        .ok_or_else(|| format!("[{section}] select = {select:?}: no choice is given"))?;
    match table.get(&choice).and_then(toml::Value::as_table) {
        Some(found) => Ok(Some((choice, found))),
        None => {
            let names = table.iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name.as_str());
            Err(unknown(&format!("[{section}]"), &choice, names))
        }
    }
}

/// A request without base URL and authentication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Option<Vec<u8>>,
}

/// Fills an operation.
///
/// # Errors
/// A value that is missing or that its encoder refuses.
pub fn render(operation: &Operation, rpc: Option<&Dialect>, scope: &Scope<'_>) -> Result<Rendered, String> {
    match (&operation.call, rpc) {
        (Some(call), Some(dialect)) => {
            let parts = call_parts(call, dialect, scope)?;
            let scope = scope.with(&parts);
            request(
                &dialect.method,
                &dialect.path,
                &BTreeMap::new(),
                &dialect.headers,
                Some(&dialect.body),
                &scope,
            )
        }
        (Some(_), None) => Err("the operation is an RPC call, and the definition has no [rpc]".to_owned()),
        (None, _) => {
            let path = operation.path.as_deref().ok_or("the operation has neither path nor call")?;
            let method = operation.method.as_deref().unwrap_or("GET");
            request(method, path, &operation.query, &operation.headers, operation.body.as_ref(), scope)
        }
    }
}

fn request(
    method: &str,
    path: &str,
    query: &BTreeMap<String, String>,
    headers: &BTreeMap<String, String>,
    body: Option<&Body>,
    scope: &Scope<'_>,
) -> Result<Rendered, String> {
    let missing = |what: &str| format!("{what:?}: a value is missing");
    let mut target = Text::parse(path)?.render(scope)?.ok_or_else(|| missing(path))?;
    let mut separator = '?';
    for (name, value) in query {
        if let Some(value) = Text::parse(value)?.render(scope)? {
            target.push(separator);
            target.push_str(&format!("{name}={}", utf8_percent_encode(&value, STRICT)));
            separator = '&';
        }
    }
    let mut rendered = Rendered { method: method.to_owned(), target, ..Rendered::default() };
    for (name, value) in headers {
        // A header without its value is not sent: a condition on a version that we do not know.
        if let Some(value) = Text::parse(value)?.render(scope)? {
            rendered.headers.push((name.clone(), value));
        }
    }
    if let Some(body) = body {
        let has_type = rendered.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let Some(tree) = &body.json {
            rendered.body = Some(render_tree(&to_json(tree), scope)?.to_string().into_bytes());
            if !has_type {
                rendered.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
            }
        } else if !body.form.is_empty() {
            let mut pairs = Vec::new();
            for (name, value) in &body.form {
                if let Some(value) = Text::parse(value)?.render(scope)? {
                    pairs.push(format!("{name}={}", utf8_percent_encode(&value, STRICT)));
                }
            }
            rendered.body = Some(pairs.join("&").into_bytes());
            if !has_type {
                let form = "application/x-www-form-urlencoded".to_owned();
                rendered.headers.push(("Content-Type".to_owned(), form));
            }
        }
    }
    Ok(rendered)
}

/// The parts of a call as holes for the envelope: its own keys, `{context}`, and the three spellings of
/// its arguments.
fn call_parts(call: &Table, dialect: &Dialect, scope: &Scope<'_>) -> Result<BTreeMap<String, Json>, String> {
    let mut context = object(&dialect.context, scope)?;
    if let Some(own) = call.get("context").and_then(toml::Value::as_table) {
        context.extend(object(own, scope)?);
    }
    let with_context = BTreeMap::from([("context".to_owned(), Json::Object(context))]);
    let scope = scope.with(&with_context);
    let rest: Table =
        call.iter().filter(|(key, _)| *key != "context").map(|(k, v)| (k.clone(), v.clone())).collect();
    let filled = object(&rest, &scope)?;
    let mut parts: BTreeMap<String, Json> = filled.into_iter().collect();
    let ids = parts.get("ids").and_then(Json::as_array).map(|ids| {
        ids.iter()
            .map(|id| id.as_str().map(number).filter(|n| !n.is_null()).unwrap_or_else(|| id.clone()))
            .collect()
    });
    let args = parts.get("args").and_then(Json::as_object).cloned().unwrap_or_default();
    let mut named = args.clone();
    if let Some(ids) = &ids {
        named.insert("ids".to_owned(), Json::Array(Vec::clone(ids)));
    }
    let positional = ids.map(|ids: Vec<Json>| vec![Json::Array(ids)]).unwrap_or_default();
    parts.insert("named_args".to_owned(), Json::Object(named));
    parts.insert("positional_args".to_owned(), Json::Array(positional));
    parts.insert("kwargs".to_owned(), Json::Object(args));
    parts.insert("seq".to_owned(), Json::Number(1.into()));
    parts.extend(with_context);
    Ok(parts)
}

fn object(table: &Table, scope: &Scope<'_>) -> Result<Map<String, Json>, String> {
    match render_tree(&to_json(&toml::Value::Table(table.clone())), scope)? {
        Json::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// The error inside an RPC answer, as error rules see it; `None` when there is none.
pub fn rpc_error(dialect: &Dialect, body: &Json) -> Option<Json> {
    let error = body.pointer(dialect.error.as_deref()?).filter(|error| !error.is_null())?;
    if dialect.error_view.is_empty() {
        return Some(error.clone());
    }
    let view = dialect
        .error_view
        .iter()
        .map(|(name, pointer)| (name.clone(), error.pointer(pointer).cloned().unwrap_or(Json::Null)));
    Some(Json::Object(view.collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn queries_are_encoded_and_empty_headers_left_out() {
        let operation: Operation = toml::from_str(
            r#"
            method = "PATCH"
            path = "/o/{id|path}"
            query = { q = "Name = {name|soql_str}", gone = "{missing}" }
            headers = { If-Match = "{version}" }
            body = { json = { v = "{changes}" } }
            "#,
        )
        .unwrap();
        let values = BTreeMap::from([
            ("id".to_owned(), json!("a/b")),
            ("name".to_owned(), json!("A&B = 'c'")),
            ("changes".to_owned(), json!({"x": null})),
        ]);
        let made = render(&operation, None, &Scope::new(&values)).unwrap();
        assert_eq!(made.target, "/o/a%2Fb?q=Name%20%3D%20%27A%26B%20%3D%20%5C%27c%5C%27%27");
        assert_eq!(made.headers, vec![("Content-Type".to_owned(), "application/json".to_owned())]);
        assert_eq!(made.body.unwrap(), br#"{"v":{"x":null}}"#);
    }

    #[test]
    fn calls_go_into_the_envelope_of_their_dialect() {
        let dialect: Dialect = toml::from_str(
            r#"
            method = "POST"
            path = "/{database|path}/rpc/"
            body = { json = { id = "{seq}", method = "model.{model|ident}.{fn|ident}", params = "{params}" } }
            result = "/result"
            error = "/error"
            error_view = { name = "/0" }
            context = { company = "{company|int}", companies = ["{company|int}"] }
            "#,
        )
        .unwrap();
        let operation: Operation = toml::from_str(
            r#"call = { model = "party.party", fn = "write", context = { _timestamp = { "party.party,{id}" = "{version}" } }, params = [["{id|int}"], "{changes}", "{context}"] }"#,
        )
        .unwrap();
        let mut values = BTreeMap::from([
            ("database".to_owned(), json!("erp")),
            ("id".to_owned(), json!("7")),
            ("version".to_owned(), json!("123.45")),
            ("changes".to_owned(), json!({"name": "x"})),
        ]);
        let made = render(&operation, Some(&dialect), &Scope::new(&values)).unwrap();
        assert_eq!(made.target, "/erp/rpc/");
        assert_eq!(
            serde_json::from_slice::<Json>(&made.body.unwrap()).unwrap(),
            json!({"id": 1, "method": "model.party.party.write", "params": [[7], {"name": "x"}, {"_timestamp": {"party.party,7": "123.45"}}]})
        );
        values.insert("company".to_owned(), json!("1"));
        let made = render(&operation, Some(&dialect), &Scope::new(&values)).unwrap();
        assert!(String::from_utf8(made.body.unwrap()).unwrap().contains(r#""companies":[1],"company":1"#));
        assert_eq!(
            rpc_error(&dialect, &json!({"error": ["UserError", "x"]})),
            Some(json!({"name": "UserError"}))
        );
        assert_eq!(rpc_error(&dialect, &json!({"result": 1, "error": null})), None);
    }

    #[test]
    fn odoo_style_arguments_have_both_spellings() {
        let dialect: Dialect = toml::from_str(
            r#"body = { json = { named = "{named_args}", rest = ["{positional_args}", "{kwargs}"] } }"#,
        )
        .unwrap();
        let operation: Operation =
            toml::from_str(r#"call = { ids = ["{id}"], args = { vals = "{changes}" } }"#).unwrap();
        let values = BTreeMap::from([("id".to_owned(), json!("7")), ("changes".to_owned(), json!({"a": 1}))]);
        let made = render(&operation, Some(&dialect), &Scope::new(&values)).unwrap();
        assert_eq!(
            serde_json::from_slice::<Json>(&made.body.unwrap()).unwrap(),
            json!({"named": {"ids": [7], "vals": {"a": 1}}, "rest": [[[7]], {"vals": {"a": 1}}]})
        );
    }
}
