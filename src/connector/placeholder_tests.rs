//! Holes and their encoders.

use serde_json::json;

use super::*;

fn render(source: &str, values: Json) -> Result<Option<String>, String> {
    let layer: BTreeMap<String, Json> =
        values.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    Text::parse(source)?.render(&Scope::new(&layer))
}

fn text(source: &str, value: Json) -> String {
    render(source, json!({ "x": value })).unwrap().unwrap()
}

#[test]
fn encoders_keep_values_inside_their_place() {
    assert_eq!(text("/a/{x|path}", json!("b/../c?d=1#e")), "/a/b%2F..%2Fc%3Fd%3D1%23e");
    assert_eq!(text("Id = {x|soql_str}", json!("a' OR Name != '\\")), "Id = 'a\\' OR Name != \\'\\\\'");
    assert_eq!(text("id = {x|sql_str}", json!("a' OR '1'='1")), "id = 'a'' OR ''1''=''1'");
    assert_eq!(text("{x|soql_literal}", json!(12.50)), "12.5");
    assert_eq!(text("{x|csv_ident}", json!(["Id", "Owner.Name", "A__c"])), "Id,Owner.Name,A__c");
    for (source, value) in [
        ("{x|ident}", json!("a b")),
        ("{x|ident}", json!("a..b")),
        ("{x|ident}", json!("")),
        ("{x|csv_ident}", json!(["Id", "(SELECT Id FROM Contacts)"])),
        ("{x|sql_int}", json!("1 OR 1=1")),
        ("{x|sql_int}", json!("007")),
        ("{x|path}", json!("..")),
        ("{x|soql_dt}", json!("yesterday")),
    ] {
        assert!(render(source, json!({ "x": value })).is_err(), "{source} {value}");
    }
}

#[test]
fn times_take_the_form_of_their_api() {
    let at = json!("2026-01-02T03:04:05.678901Z");
    assert_eq!(text("{x|soql_dt}", at.clone()), "2026-01-02T03:04:05Z");
    assert_eq!(text("{x|ns_ts|sql_str}", at.clone()), "'2026-01-02T03:04:05'");
    assert_eq!(text("{x|sf_dt_offset}", at.clone()), "2026-01-02T03:04:05+00:00");
    assert_eq!(text("{x|http_date}", json!("2026-01-02T03:04:05.000+0000")), "Fri, 02 Jan 2026 03:04:05 GMT");
    assert_eq!(text("{x|odoo_dt}", json!("2026-01-02 03:04:05")), "2026-01-02 03:04:05");
    let layer = BTreeMap::from([("x".to_owned(), at)]);
    assert_eq!(
        render_tree(&json!("{x|tryton_dt}"), &Scope::new(&layer)).unwrap(),
        json!({"__class__": "datetime", "year": 2026, "month": 1, "day": 2, "hour": 3, "minute": 4, "second": 5, "microsecond": 678901})
    );
}

#[test]
fn trees_keep_types_and_leave_out_what_is_not_there() {
    let layer = BTreeMap::from([
        ("id".to_owned(), json!("7")),
        ("changes".to_owned(), json!({"name": null, "total": 1.10})),
        ("nothing".to_owned(), Json::Null),
    ]);
    let tree = json!([["{id|int}"], "{changes}", {"a{id}": "x{id}", "gone": "{missing}", "list": ["{missing}"], "kept": "{nothing}"}]);
    assert_eq!(
        render_tree(&tree, &Scope::new(&layer)).unwrap(),
        json!([[7], {"name": null, "total": 1.10}, {"a7": "x7", "kept": null}])
    );
}

#[test]
fn money_passes_through_a_tree_with_every_digit() {
    let exact: Json = serde_json::from_str("{\"a\":12345678901234567890.1200}").unwrap();
    let layer = BTreeMap::from([("changes".to_owned(), exact)]);
    let body = render_tree(&json!({"vals": "{changes}"}), &Scope::new(&layer)).unwrap();
    assert_eq!(body.to_string(), "{\"vals\":{\"a\":12345678901234567890.1200}}");
}

#[test]
fn bad_texts_are_named() {
    assert!(Text::parse("{a").unwrap_err().contains("never closed"));
    assert!(Text::parse("a}").unwrap_err().contains("without"));
    assert!(Text::parse("{a|sqlstr}").unwrap_err().contains("did you mean \"sql_str\"?"));
    assert!(Text::parse("{a b}").is_err());
    assert_eq!(Text::parse("{{x}}").unwrap().render(&Scope::new(&BTreeMap::new())).unwrap().unwrap(), "{x}");
}
