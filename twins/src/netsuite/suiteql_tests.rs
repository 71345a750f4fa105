//! Queries, as the documents say they are answered.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{FieldSeed, NetsuiteTwin, RecordSeed};
use crate::kit::{Edit, Effect, Fault, Request};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Three orders, saved one minute apart.
fn orders(twin: &NetsuiteTwin) -> Vec<String> {
    twin.hub.world().set_now(at("2026-11-21T15:04:05.9Z"));
    let customer =
        twin.add_record("customer", &json!({"entityId": "C1", "companyName": "Acme Ltd"})).unwrap();
    let mut ids = Vec::new();
    for (number, total, memo) in [("SO1", "1250.50", "O'Brien"), ("SO2", "99.00", ""), ("SO3", "100", "x")] {
        let total: Value = serde_json::from_str(total).unwrap();
        let order = json!({"tranId": number, "total": total, "memo": memo, "shipDate": "2026-12-24",
                           "entity": {"id": customer}, "externalId": format!("tly-{number}")});
        ids.push(twin.add_record("salesOrder", &order).unwrap());
        twin.hub.world().advance(SignedDuration::from_mins(1));
    }
    ids
}

fn send(twin: &NetsuiteTwin, request: Request) -> (u16, Value) {
    let answer = twin.hub.exchange(request).answer().unwrap();
    (answer.status, answer.body_json())
}

#[test]
fn every_value_is_a_text_nulls_are_absent_and_names_are_lower_case() {
    let twin = NetsuiteTwin::with_sales_orders();
    let ids = orders(&twin);
    let query = "SELECT t.id, t.tranId AS Number, t.total, t.memo, t.shipdate, t.type, t.lastmodifieddate, \
                 TO_CHAR(t.lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS version, BUILTIN.DF(t.entity) AS who, t.entity \
                 FROM transaction t WHERE t.type = 'SalesOrd' ORDER BY t.id";
    let (status, body) = send(&twin, twin.query(query));
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body["items"][0],
        json!({"links": [], "id": ids[0], "number": "SO1", "total": "1250.5", "memo": "O'Brien",
               "shipdate": "12/24/2026", "type": "SalesOrd", "lastmodifieddate": "11/21/2026",
               "version": "2026-11-21 15:04:05", "who": "Acme Ltd", "entity": "1001"})
    );
    assert_eq!(body["items"][1].get("memo"), None);
    assert_eq!(
        (&body["count"], &body["hasMore"], &body["offset"], &body["totalResults"]),
        (&json!(3), &json!(false), &json!(0), &json!(3))
    );
    let customers = twin.rows("select isinactive, email from customer").unwrap();
    assert_eq!(customers, [json!({"isinactive": "F"})]);
}

#[test]
fn conditions_select_as_the_database_does() {
    let twin = NetsuiteTwin::with_sales_orders();
    let ids = orders(&twin);
    let found = |condition: &str| -> Vec<String> {
        let query = format!("SELECT tranid FROM transaction WHERE {condition} ORDER BY id ASC");
        let rows = twin.rows(&query).unwrap_or_else(|problem| panic!("{query}: {problem}"));
        rows.iter().map(|row| row["tranid"].as_str().unwrap().to_owned()).collect()
    };
    let stamp = "TO_TIMESTAMP('2026-11-21 15:05:05', 'YYYY-MM-DD HH24:MI:SS')";
    for (condition, expected) in [
        ("memo = 'O''Brien'".to_owned(), vec!["SO1"]),
        ("total > 99".to_owned(), vec!["SO1", "SO3"]),
        ("total > '99.5' AND NOT (total = 100)".to_owned(), vec!["SO1"]),
        ("memo IS NULL OR tranid LIKE '%3'".to_owned(), vec!["SO2", "SO3"]),
        // No value is neither equal nor different.
        ("memo <> 'x'".to_owned(), vec!["SO1"]),
        ("NOT memo = 'x'".to_owned(), vec!["SO1"]),
        ("tranid IN ('SO1','SO3') AND memo IS NOT NULL".to_owned(), vec!["SO1", "SO3"]),
        (format!("id NOT IN ({}, {})", ids[0], ids[1]), vec!["SO3"]),
        (format!("lastmodifieddate >= {stamp}"), vec!["SO2", "SO3"]),
        (
            format!("(lastmodifieddate > {stamp} OR (lastmodifieddate = {stamp} AND id > {}))", ids[1]),
            vec!["SO3"],
        ),
        ("shipdate = TO_DATE('2026-12-24','YYYY-MM-DD') AND total != 100".to_owned(), vec!["SO1", "SO2"]),
        ("shipdate < '12/25/2026' AND externalid = 'tly-SO2'".to_owned(), vec!["SO2"]),
        ("foreigntotal BETWEEN 99 AND 100".to_owned(), vec!["SO2", "SO3"]),
        ("recordtype = 'salesorder' AND tranid || '-' || id = 'SO3-1004'".to_owned(), vec!["SO3"]),
    ] {
        assert_eq!(found(&condition), expected, "{condition}");
    }
}

#[test]
fn counts_and_the_clock_need_no_rows() {
    let twin = NetsuiteTwin::sales_orders().zone("America/New_York").build();
    orders(&twin);
    assert_eq!(
        twin.rows("SELECT COUNT(*) AS n FROM transaction WHERE total < 0").unwrap(),
        [json!({"n": "0"})]
    );
    assert_eq!(
        twin.rows(
            "SELECT COUNT(memo) AS n, MAX(total) AS most, MIN(id) AS first, SUM(total) s FROM transaction"
        )
        .unwrap(),
        [json!({"n": "2", "most": "1250.5", "first": "1002", "s": "1449.5"})]
    );
    assert_eq!(
        twin.rows("SELECT TO_CHAR(SYSTIMESTAMP, 'YYYY-MM-DD HH24:MI:SS TZH:TZM') AS now FROM dual").unwrap(),
        [json!({"now": "2026-11-21 10:07:05 -05:00"})]
    );
    // Columns are on the account's wall clock, and so are literals.
    let query = "SELECT TO_CHAR(lastmodifieddate,'YYYY-MM-DD HH24:MI:SS') AS v FROM transaction \
                 WHERE lastmodifieddate = TO_TIMESTAMP('2026-11-21 10:05:05','YYYY-MM-DD HH24:MI:SS')";
    assert_eq!(twin.rows(query).unwrap(), [json!({"v": "2026-11-21 10:05:05"})]);
}

#[test]
fn pages_follow_limit_and_offset_and_their_rules() {
    let twin = NetsuiteTwin::with_sales_orders();
    let ids = orders(&twin);
    let page = |parameters: &str| {
        let mut request = twin.query("SELECT id FROM transaction ORDER BY id DESC");
        request.raw_query = parameters.to_owned();
        send(&twin, request)
    };
    let (_, first) = page("limit=2&offset=0");
    assert_eq!(
        (&first["count"], &first["hasMore"], &first["totalResults"]),
        (&json!(2), &json!(true), &json!(3))
    );
    assert_eq!(first["items"][0]["id"], json!(ids[2]));
    let next = first["links"].as_array().unwrap().iter().find(|link| link["rel"] == "next").unwrap();
    assert!(next["href"].as_str().unwrap().ends_with("/services/rest/query/v1/suiteql?limit=2&offset=2"));
    let (_, second) = page("limit=2&offset=2");
    assert_eq!((&second["items"][0]["id"], &second["hasMore"]), (&json!(ids[0]), &json!(false)));
    for wrong in ["limit=1001", "limit=0", "limit=2&offset=1", "limit=x", "limit=1000&offset=100000"] {
        let (status, body) = page(wrong);
        assert_eq!((status, NetsuiteTwin::error_code(&body)), (400, "INVALID_PARAMETER"), "{wrong}");
    }
}

#[test]
fn what_is_no_query_is_refused_whatever_the_table_holds() {
    let twin = NetsuiteTwin::with_sales_orders();
    for wrong in [
        "SELECT nothing FROM transaction",
        "SELECT id FROM transaction WHERE nothing = 1",
        "SELECT id FROM transaction t WHERE x.id = 1",
        "SELECT id FROM nowhere",
        "SELECT id FROM transaction WHERE id = 'open",
        "SELECT id FROM transaction LIMIT 5",
        "SELECT id FROM transaction ORDER BY nothing",
        "SELECT FOO(id) FROM transaction",
        "SELECT id, COUNT(*) FROM transaction",
        "SELECT id FROM transaction; DROP TABLE transaction",
        "UPDATE transaction SET memo = 'x'",
        "SELECT TO_CHAR(SYSTIMESTAMP,'QQ') FROM dual",
        "",
    ] {
        let body = twin.rows(wrong).unwrap_err();
        assert_eq!(NetsuiteTwin::error_code(&body), "INVALID_PARAMETER", "{wrong}: {body}");
        assert_eq!((&body["status"], &body["title"]), (&json!(400), &json!("Bad Request")));
    }
    let deep = format!("SELECT id FROM transaction WHERE {}id = 1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(twin.rows(&deep).is_err());

    let mut request = twin.query("SELECT id FROM transaction");
    request.headers.retain(|(name, _)| name != "prefer");
    assert_eq!(send(&twin, request).0, 400);
}

#[test]
fn deletions_by_the_api_and_by_people_are_listed_when_the_role_may_see_them() {
    let twin = NetsuiteTwin::with_sales_orders();
    let ids = orders(&twin);
    let path = format!("/record/v1/salesOrder/{}", ids[0]);
    assert_eq!(send(&twin, twin.request("DELETE", &path)).0, 204);
    twin.hub.world().advance(SignedDuration::from_secs(10));
    twin.hub.person(Edit::Delete { entity: "salesOrder".into(), id: ids[1].clone() }).unwrap();
    let query = "SELECT recordid, recordtypeid, TO_CHAR(deleteddate,'YYYY-MM-DD HH24:MI:SS') AS at, name FROM deletedrecord \
                 WHERE recordtypeid = 'salesOrder' AND deleteddate >= TO_TIMESTAMP('2026-11-21 15:00:00','YYYY-MM-DD HH24:MI:SS') \
                 ORDER BY recordid";
    assert_eq!(
        twin.rows(query).unwrap(),
        [
            json!({"recordid": ids[0], "recordtypeid": "salesorder", "at": "2026-11-21 15:07:05", "name": "SO1"}),
            json!({"recordid": ids[1], "recordtypeid": "salesorder", "at": "2026-11-21 15:07:15", "name": "SO2"}),
        ]
    );
    assert_eq!(twin.rows("SELECT id FROM transaction").unwrap().len(), 1);
    twin.hub.fault(Fault::next(Effect::Knob { name: "no_deleted_permission".into(), value: Value::Null }));
    let refused = twin.rows(query).unwrap_err();
    assert!(refused.to_string().contains("Record 'deletedrecord' was not found"), "{refused}");
}

#[test]
fn a_table_can_hold_several_types_and_hides_what_the_role_may_not_see() {
    let twin = NetsuiteTwin::sales_orders()
        .record(
            RecordSeed::new("invoice", "transaction", "CustInvc")
                .field(FieldSeed::text("tranId"))
                .field(FieldSeed::select("terms", &[("1", "Net 30")])),
        )
        .build();
    orders(&twin);
    twin.add_record("invoice", &json!({"tranId": "INV1", "terms": {"id": "1"}})).unwrap();
    let query = "SELECT tranid, BUILTIN.DF(terms) AS terms FROM transaction WHERE type <> 'SalesOrd'";
    assert_eq!(twin.rows(query).unwrap(), [json!({"tranid": "INV1", "terms": "Net 30"})]);
    twin.hub.world().hide("salesOrder", None);
    assert_eq!(twin.rows("SELECT COUNT(*) c FROM transaction").unwrap(), [json!({"c": "1"})]);
    assert_eq!(twin.rows("SELECT * FROM item").unwrap(), Vec::<Value>::new());
}
