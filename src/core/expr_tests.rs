//! Tests of the expression language: exactness, strictness, and what is collected from a source.

use std::sync::Arc;

use serde_json::json;

use super::super::value::FieldType;
use super::*;

fn decimal(text: &str) -> Value {
    Value::number(text.parse().unwrap())
}

fn scope() -> Scope {
    let record: Values = serde_json::from_str(
        r#"{"Amount": 12345678901234567890.12, "owner": {"name": "Ann", "tags": ["a", "b"]}, "Priority": null,
            "kickoff.order-number": "SO-1", "kickoff.amount": "10.10", "owner_id": 7, "a b": "c",
            "lines": [{"qty": 0.1}, {"qty": 0.2}]}"#,
    )
    .unwrap();
    Scope::new()
        .value("amount", &decimal("10000.10"))
        .value("name", &Value::text("Müller \"& Söhne\""))
        .value("note", &Value::Null)
        .value("ship_date", &FieldType::Date.read(&json!("2026-03-04")).unwrap())
        .value("changed", &FieldType::DateTime.read(&json!("2026-03-04T05:06:07Z")).unwrap())
        .value("colours", &Value::Set(["blue", "red"].map(str::to_owned).into()))
        .record("record", Arc::new(record))
}

fn eval(source: &str) -> Result<Value, String> {
    Expression::compile(source)?.eval(&scope())
}

#[track_caller]
fn holds(source: &str) {
    assert_eq!(eval(source), Ok(Value::Boolean(true)), "{source}");
}

#[track_caller]
fn fails(source: &str, why: &str) {
    let error = eval(source).expect_err(source);
    assert!(error.contains(why), "{source}: {error}");
    assert!(error.contains(&format!("{source:?}")), "the source is named: {error}");
}

#[test]
fn numbers_are_exact() {
    assert_eq!(eval("0.1 + 0.2"), Ok(decimal("0.3")));
    assert_eq!(eval("amount * 3 - 0.30"), Ok(decimal("30000")));
    assert_eq!(eval("record.Amount + 0.01"), Ok(decimal("12345678901234567890.13")));
    assert_eq!(eval("record.lines|map(attribute='qty')|sum"), Ok(decimal("0.3")));
    assert_eq!(eval("10 / 4"), Ok(decimal("2.5")));
    assert_eq!(eval("-7 // 2"), Ok(decimal("-4")));
    assert_eq!(eval("-7 % 3"), Ok(decimal("2")));
    assert_eq!(eval("1.1 ** 2"), Ok(decimal("1.21")));
    assert_eq!(eval("2.5|round"), Ok(decimal("3")));
    assert_eq!(eval("1.005|round(2)"), Ok(decimal("1.01")));
    assert_eq!(eval("amount|fixed(2)"), Ok(Value::text("10000.10")));
    assert_eq!(eval("1000000000000.5 if amount else 1"), Ok(decimal("1000000000000.5")));
    assert_eq!(eval("[3, 0.5, amount]|max"), Ok(decimal("10000.1")));
    assert_eq!(eval("[3, 0.5, amount]|sort|first"), Ok(decimal("0.5")));
    assert_eq!(eval("(record['kickoff.amount']|number) * 2"), Ok(decimal("20.2")));
    fails("1 / 0", "has no exact result");
    fails("amount + 'x'", "needs a number");
    assert!(Expression::compile("0.12345678901234567890123456789012345").unwrap_err().contains("exactly"));
}

#[test]
fn comparisons_are_typed() {
    for source in [
        "amount >= 10000",
        "amount == 10000.1",
        "amount > 10000.0999999999999999",
        "10000 < amount <= 10000.10",
        "not amount < 0.1",
        "amount in [1, 10000.10]",
        "amount not in (1, 2)",
        "amount is number and amount is not integer",
        "amount is ge(10000)",
        "ship_date > '2026-03-03' and ship_date == '2026-03-04'",
        "changed < '2026-03-04T06:06:07+00:00'",
        "(changed|date) == ship_date",
        "'red' in colours and 'green' not in colours",
        r#"name == 'Müller "& Söhne"'"#,
        "note == none",
        "not (note > 3) and not (note <= 3)",
        "'x' not in note",
        "record.Priority is none",
        "colours == ['blue', 'red']",
        "note is none or note > 3",
        "'S' in name",
        "1 != '1'",
    ] {
        holds(source);
    }
    fails("name > 3", "no common order");
    fails("record['kickoff.amount'] >= 5", "no common order");
    fails("ship_date > 'soon'", "not a date");
    fails("ship_date < changed", "|date");
}

#[test]
fn what_is_not_there_is_an_error() {
    fails("typo", "undefined");
    fails("record.typo", "undefined");
    fails("record.typo == 'High'", "not there");
    fails("record.typo and true", "undefined");
    fails("amount > typo", "not there");
    fails("amount + typo", "undefined");
    fails("record.owner.typo", "undefined");
    fails("amount|nonsense", "nonsense");
    assert_eq!(eval("record.typo|default('x')"), Ok(Value::text("x")));
    holds("record.typo is not defined");
    assert!(Expression::compile("amount >=").unwrap_err().contains("cannot be read"));
    assert!(Expression::compile("amount >= 3; drop").is_err());
}

#[test]
fn conditions_are_true_or_false() {
    let condition = |source: &str| Expression::compile(source).unwrap().condition(&scope());
    assert_eq!(condition("amount > 3"), Ok(true));
    assert_eq!(condition("note"), Ok(false));
    assert!(condition("amount").unwrap_err().contains("true or false"));
}

#[test]
fn raw_paths_in_every_spelling() {
    for (source, path, expected) in [
        ("record['kickoff.order-number']", "kickoff.order-number", "SO-1"),
        ("record.kickoff['order-number']", "kickoff.order-number", "SO-1"),
        ("record.owner.name", "owner.name", "Ann"),
        ("record.owner.tags[1]", "owner.tags", "b"),
        ("record['a b']", "a b", "c"),
        ("record.owner.name|upper", "owner.name", "ANN"),
    ] {
        let expression = Expression::compile(source).unwrap();
        let paths: Vec<&str> = expression.paths().iter().map(String::as_str).collect();
        assert_eq!(paths, [path], "{source}");
        assert_eq!(expression.eval(&scope()), Ok(Value::text(expected)), "{source}");
    }
    let two = Expression::compile("record.a.b if amount > record.c else note").unwrap();
    assert_eq!(two.paths().iter().collect::<Vec<_>>(), ["a.b", "c"]);
    assert_eq!(two.roots().iter().collect::<Vec<_>>(), ["amount", "note", "record"]);
}

#[test]
fn json_results_keep_digits_and_shape() {
    let json = |source: &str| Expression::compile(source).unwrap().eval_json(&scope()).map(|j| j.to_string());
    assert_eq!(json("record.Amount"), Ok("12345678901234567890.12".to_owned()));
    assert_eq!(json("record.lines"), Ok(r#"[{"qty":0.1},{"qty":0.2}]"#.to_owned()));
    assert_eq!(
        json("{'a': 0.1 + 0.2, 'b': [ship_date, note]}"),
        Ok(r#"{"a":0.3,"b":["2026-03-04",null]}"#.into())
    );
    assert_eq!(json("name[:3] ~ '!'"), Ok("\"Mül!\"".to_owned()));
    assert_eq!(json("name[-1:]"), Ok(r#""\"""#.to_owned()));
    assert_eq!(json("record.owner|tojson"), Ok(r#""{\"name\":\"Ann\",\"tags\":[\"a\",\"b\"]}""#.to_owned()));
    assert!(json("{'a': record.typo}").unwrap_err().contains("undefined"));
}

#[test]
fn templates_keep_the_type_of_a_single_value() {
    let render = |source: &str| Template::compile(source).unwrap().render(&scope()).map(|j| j.to_string());
    assert_eq!(render("{{ amount }}"), Ok("10000.1".to_owned()));
    assert_eq!(render("{{ amount > 3 }}"), Ok("true".to_owned()));
    assert_eq!(render("{{ note }}"), Ok("null".to_owned()));
    assert_eq!(render("Order {{ record.kickoff['order-number'] }}"), Ok("\"Order SO-1\"".to_owned()));
    assert_eq!(render(" {{ amount }}"), Ok("\" 10000.1\"".to_owned()));
    assert_eq!(render("no braces \\ \"here\""), Ok(r#""no braces \\ \"here\"""#.to_owned()));
    assert_eq!(
        render(
            "{% for line in record.lines %}{{ loop.index }}={{ line.qty * 2 }}{% if not loop.last %};{% endif %}{% endfor %}"
        ),
        Ok("\"1=0.2;2=0.4\"".to_owned())
    );
    assert_eq!(render("{% set x = amount + 0.9 %}{{ x }}"), Ok("\"10001\"".to_owned()));
    assert_eq!(render("{% raw %}{{ x }}{% endraw %} <&>"), Ok("\"{{ x }} <&>\"".to_owned()));
    assert!(render("Hello {{ typo }}").unwrap_err().contains("undefined"));
    assert!(Template::compile("{% include 'x' %}").unwrap_err().contains("only"));
    assert!(Template::compile("{{ amount").is_err());
    let template =
        Template::compile("{{ order_no }} {% for x in record.lines %}{{ x }}{% endfor %}").unwrap();
    assert_eq!(template.roots().iter().collect::<Vec<_>>(), ["order_no", "record"]);
    assert_eq!(template.paths().iter().collect::<Vec<_>>(), ["lines"]);
    assert_eq!(Template::compile("{{ amount }}").unwrap().render_text(&scope()), Ok("10000.1".to_owned()));
}

#[test]
fn loops_end() {
    let source = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
    let error = Template::compile(source).unwrap().render(&scope()).unwrap_err();
    assert!(error.contains("fuel"), "{error}");
}

#[test]
fn can_be_shared_between_threads() {
    fn shared<T: Clone + std::fmt::Debug + Send + Sync + 'static>() {}
    shared::<Expression>();
    shared::<Template>();
    shared::<Scope>();
}
