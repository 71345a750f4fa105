//! Splitting and codecs.

use serde_json::json;

use super::*;

#[test]
fn pages_are_split_without_touching_the_text() {
    let body = r#"{"n":2,"d":{"records":[{"Id":"a","v":1.10},{ "v" : 2, "Id":"b"}]}}"#;
    let items = split(body, "/d/records").unwrap();
    assert_eq!(items[0].get(), r#"{"Id":"a","v":1.10}"#);
    assert_eq!(items[1].get(), r#"{ "v" : 2, "Id":"b"}"#);
    assert_eq!(split("[1,2]", "").unwrap().len(), 2);
    assert_eq!(value_at(body, "/d/records/1/Id"), Some(json!("b")));
    assert_eq!(value_at(r#"{"a\u0062":{"x/y":3}}"#, "/ab/x~1y"), Some(json!(3)));
}

#[test]
fn a_body_that_was_cut_or_doubled_is_no_page() {
    for body in [r#"{"records":[{"Id":"a"}]"#, r#"{"records":[]}{"records":[]}"#, "", "null x"] {
        assert!(split(body, "/records").is_err(), "{body}");
    }
}

#[test]
fn a_missing_list_is_never_an_empty_page() {
    assert!(split(r#"{"error":"x"}"#, "/records").unwrap_err().contains("has no"));
    assert!(split(r#"{"records":{}}"#, "/records").unwrap_err().contains("not a list"));
    assert!(split(r#"{"records":[{"#, "/records").unwrap_err().contains("not valid JSON"));
}

#[test]
fn salesforce_ids_have_one_spelling() {
    // Worked by hand: letters at places 0,1,3 | 5..9 | 10..14 of the id are checked for upper case.
    assert_eq!(sf18("001000000000001"), "001000000000001AAA");
    assert_eq!(sf18("00Q50000008pVXC"), "00Q50000008pVXCEA2");
    assert_eq!(sf18("001D000000IqhSL"), "001D000000IqhSLIAZ");
    assert_eq!(sf18("001D000000IqhSLIAZ"), "001D000000IqhSLIAZ");
}

fn netsuite() -> Decoder {
    Decoder {
        paths: vec!["isInactive".to_owned(), "shipDate".to_owned(), "total".to_owned(), "tranId".to_owned()],
        fold_case: true,
        absent_is_null: true,
        drop: vec!["/links".to_owned()],
        codecs: Codecs(BTreeMap::from([("boolean".to_owned(), "T_F".to_owned())])),
        id: "/id".to_owned(),
        updated_at: vec!["/lastmodifieddate".to_owned()],
        version: Version::UpdatedAt,
        ..Decoder::default()
    }
}

#[test]
fn suiteql_rows_become_records() {
    let raw = r#"{"links":[],"id":"1042","tranid":"SO1","total":"12500.00","isinactive":"F","lastmodifieddate":"2026-11-21T10:00:00"}"#;
    let mut decoder = netsuite();
    let record = decoder.decode(raw).unwrap();
    assert_eq!(record.id, "1042");
    assert_eq!(record.version.as_deref(), Some("2026-11-21T10:00:00"));
    assert_eq!(record.updated_at, None);
    assert_eq!(
        serde_json::to_value(&record.values).unwrap(),
        json!({"isInactive": false, "shipDate": null, "total": "12500.00", "tranId": "SO1"})
    );
    decoder.zone = Some(SignedDuration::from_hours(-8));
    assert_eq!(decoder.decode(raw).unwrap().updated_at, Some("2026-11-21T18:00:00Z".parse().unwrap()));
    assert_eq!(decoder.id_of(raw, &Pointer::new(&decoder.id)).unwrap(), "1042");
    assert_eq!(decoder.stamp_of(raw).as_deref(), Some("2026-11-21T10:00:00"));
}

#[test]
fn salesforce_rows_and_their_related_fields() {
    let decoder = Decoder {
        paths: vec![
            "CreatedDate".to_owned(),
            "Amount".to_owned(),
            "Owner.Name".to_owned(),
            "Account.Name".to_owned(),
        ],
        codecs: Codecs(BTreeMap::from([("datetime".to_owned(), "sf_datetime".to_owned())])),
        id: "/Id".to_owned(),
        id_normalise: Some("sf18".to_owned()),
        updated_at: vec!["/SystemModstamp".to_owned()],
        zone: Some(SignedDuration::ZERO),
        version: Version::UpdatedAt,
        ..Decoder::default()
    };
    let raw = r#"{"attributes":{},"Id":"001D000000IqhSL","Amount":12345678901234567890.120,"CreatedDate":"2026-01-02T03:04:05.000+0000","SystemModstamp":"2026-01-02T03:04:05.000+0000","Owner":{"attributes":{},"Name":"Ada"},"Account":null}"#;
    let record = decoder.decode(raw).unwrap();
    assert_eq!(record.id, "001D000000IqhSLIAZ");
    assert_eq!(record.updated_at, Some("2026-01-02T03:04:05Z".parse().unwrap()));
    assert_eq!(record.values["CreatedDate"], json!("2026-01-02T03:04:05Z"));
    assert_eq!(record.values["Amount"].to_string(), "12345678901234567890.120");
    assert_eq!(record.values["Owner.Name"], json!("Ada"));
    assert_eq!(record.values["Account.Name"], Json::Null);
}

#[test]
fn tagged_values_go_there_and_back() {
    let codecs = Codecs(BTreeMap::from([("value".to_owned(), "tagged".to_owned())]));
    for (tagged, kind, read) in [
        (json!({"__class__": "Decimal", "decimal": "12.50"}), "numeric", "12.50"),
        (json!({"__class__": "date", "year": 2026, "month": 1, "day": 2}), "date", "\"2026-01-02\""),
        (
            json!({"__class__": "datetime", "year": 2026, "month": 1, "day": 2, "hour": 3, "minute": 4, "second": 5, "microsecond": 6}),
            "datetime",
            "\"2026-01-02T03:04:05.000006Z\"",
        ),
        (json!(5), "many2one", "\"5\""),
        (json!(1), "boolean", "true"),
    ] {
        let plain = codecs.read(&tagged, Some(kind));
        assert_eq!(plain.to_string(), read);
        if kind != "boolean" {
            assert_eq!(codecs.write(&plain, Some(kind)), tagged, "{kind}");
        }
    }
    // Without a type the look decides; a text that only starts like a day stays text.
    assert_eq!(codecs.write(&json!("2026-01-02"), None)["__class__"], json!("date"));
    assert_eq!(codecs.write(&json!("2026-01-02x"), None), json!("2026-01-02x"));
    assert_eq!(codecs.write(&json!(7), None), json!(7));
    assert_eq!(codecs.write(&json!("2026-01-02"), Some("char")), json!("2026-01-02"));
}

#[test]
fn tryton_rows_with_dots_archived_and_their_stamp() {
    let decoder = Decoder {
        paths: vec!["name".to_owned(), "party.name".to_owned()],
        codecs: Codecs(BTreeMap::from([("value".to_owned(), "tagged".to_owned())])),
        id: "/id".to_owned(),
        updated_at: vec!["/write_date".to_owned(), "/create_date".to_owned()],
        zone: Some(SignedDuration::ZERO),
        version: Version::At("/_timestamp".to_owned()),
        archived: Some(("/active".to_owned(), json!(false))),
        ..Decoder::default()
    };
    let raw = r#"{"id":3,"active":0,"name":"ACME  ","party":7,"party.":{"id":7,"name":"Corp"},"_timestamp":"1795277532.13286","write_date":null,"create_date":{"__class__":"datetime","year":2026,"month":1,"day":2,"hour":3,"minute":4,"second":5,"microsecond":0}}"#;
    let record = decoder.decode(raw).unwrap();
    assert!(record.archived);
    assert_eq!(record.version.as_deref(), Some("1795277532.13286"));
    assert_eq!(record.updated_at, Some("2026-01-02T03:04:05Z".parse().unwrap()));
    assert_eq!(record.values["party.name"], json!("Corp"));
    assert_eq!(record.values["name"], json!("ACME  "));
}
