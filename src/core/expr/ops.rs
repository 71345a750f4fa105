//! What the operators of an expression mean: exact arithmetic, and comparisons that refuse to compare what has
//! no common order. `rewrite.rs` turns operators into calls of the functions installed here.

use std::cmp::Ordering;

use minijinja::value::{Rest, Value as Dynamic, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value as Json;

use super::super::convert::exact_number;
use super::super::value::{FieldType, Value};
use super::objects::{Day, Instant, from_number, from_value, items, number, to_json};

type Result<T> = std::result::Result<T, Error>;

/// Adds the functions behind the operators, and replaces the filters and tests that compute with floats.
pub(super) fn install(environment: &mut Environment<'static>) {
    environment.add_function("__number", |text: &str| exact_number(text).map(from_number).map_err(refused));
    environment.add_function("__compare", |parts: Rest<Dynamic>| compare(&parts));
    environment.add_function("__negate", |value: Dynamic| negate(&value));
    environment.add_function("__add", |a: Dynamic, b: Dynamic| add(&a, &b));
    environment.add_function("__subtract", |a: Dynamic, b: Dynamic| arithmetic(&a, "-", &b));
    environment.add_function("__multiply", |a: Dynamic, b: Dynamic| arithmetic(&a, "*", &b));
    environment.add_function("__divide", |a: Dynamic, b: Dynamic| arithmetic(&a, "/", &b));
    environment.add_function("__floor_divide", |a: Dynamic, b: Dynamic| arithmetic(&a, "//", &b));
    environment.add_function("__remainder", |a: Dynamic, b: Dynamic| arithmetic(&a, "%", &b));
    environment.add_function("__power", |a: Dynamic, b: Dynamic| arithmetic(&a, "**", &b));
    for name in ["number", "float", "decimal"] {
        environment.add_filter(name, |value: Dynamic| typed(&value, &FieldType::Decimal(28)));
    }
    environment.add_filter("date", |value: Dynamic| typed(&value, &FieldType::Date));
    environment.add_filter("datetime", |value: Dynamic| typed(&value, &FieldType::DateTime));
    environment
        .add_filter("int", |value: Dynamic| operand(&value, "int").map(|number| from_number(number.trunc())));
    environment
        .add_filter("abs", |value: Dynamic| operand(&value, "abs").map(|number| from_number(number.abs())));
    environment.add_filter("round", |value: Dynamic, digits: Option<u32>| {
        operand(&value, "round").map(|number| from_number(rounded(number, digits)))
    });
    environment.add_filter("fixed", |value: Dynamic, digits: Option<u32>| {
        let mut number = rounded(operand(&value, "fixed")?, digits);
        number.rescale(digits.unwrap_or(0));
        Ok::<_, Error>(number.to_string())
    });
    environment.add_filter("sum", |values: Dynamic| {
        let values = items(&values).map_err(refused)?;
        values.iter().try_fold(Dynamic::from(0), |total, value| arithmetic(&total, "+", value))
    });
    environment.add_filter("min", |values: Dynamic| extreme(&values, Ordering::Less));
    environment.add_filter("max", |values: Dynamic| extreme(&values, Ordering::Greater));
    environment.add_filter("sort", |values: Dynamic| sorted(&values));
    environment
        .add_filter("tojson", |value: Dynamic| to_json(&value).map(|json| json.to_string()).map_err(refused));
    environment.add_test("number", |value: Dynamic| number(&value).is_some());
    for name in ["integer", "int"] {
        environment.add_test(name, |value: Dynamic| number(&value).is_some_and(|number| number.is_integer()));
    }
    for (name, symbol) in [("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")] {
        let test = move |one: Dynamic, other: Dynamic| compare(&[one, Dynamic::from(symbol), other]);
        environment.add_test(name, test);
        environment.add_test(symbol, test);
    }
    environment.add_test("in", |one: Dynamic, other: Dynamic| contains(&other, &one));
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

fn name(value: &Dynamic) -> String {
    let kind = match value.kind() {
        _ if number(value).is_some() => "the number",
        _ if value.downcast_object_ref::<Day>().is_some() => "the date",
        _ if value.downcast_object_ref::<Instant>().is_some() => "the time",
        ValueKind::Undefined => return "an undefined value".to_owned(),
        ValueKind::None => return "nothing".to_owned(),
        ValueKind::String => return format!("the text {:?}", value.to_string()),
        ValueKind::Bool => "the boolean",
        ValueKind::Seq | ValueKind::Iterable => return "a list".to_owned(),
        _ => return "an object".to_owned(),
    };
    format!("{kind} {value}")
}

fn operand(value: &Dynamic, operation: &str) -> Result<Decimal> {
    if value.kind() == ValueKind::String && matches!(operation, "int" | "round" | "abs" | "fixed") {
        return exact_number(value.to_string().trim()).map_err(refused);
    }
    number(value).ok_or_else(|| {
        let hint = if value.kind() == ValueKind::String { "; |number makes one of a text" } else { "" };
        refused(format!("{operation} needs a number, and this is {}{hint}", name(value)))
    })
}

/// A text or number as that type; blank stays blank.
fn typed(value: &Dynamic, kind: &FieldType) -> Result<Dynamic> {
    let json = match number(value) {
        Some(number) if !matches!(kind, FieldType::Decimal(_)) => Json::String(number.to_string()),
        _ => to_json(value).map_err(refused)?,
    };
    kind.read(&json).map(|value| from_value(&value)).map_err(refused)
}

fn rounded(number: Decimal, digits: Option<u32>) -> Decimal {
    number.round_dp_with_strategy(digits.unwrap_or(0).min(28), RoundingStrategy::MidpointAwayFromZero)
}

fn native(value: &Dynamic) -> Option<i128> {
    if value.is_integer() { i128::try_from(value.clone()).ok() } else { None }
}

/// Small integers stay MiniJinja's own, so that they can still be used as an index.
fn integer(value: i128) -> Dynamic {
    i64::try_from(value).map_or_else(|_| Dynamic::from(value), Dynamic::from)
}

fn negate(value: &Dynamic) -> Result<Dynamic> {
    match native(value).and_then(i128::checked_neg) {
        Some(negated) => Ok(integer(negated)),
        None => operand(value, "-").map(|number| from_number(-number)),
    }
}

fn add(a: &Dynamic, b: &Dynamic) -> Result<Dynamic> {
    match (a.kind(), b.kind()) {
        (ValueKind::String, ValueKind::String) => Ok(Dynamic::from(format!("{a}{b}"))),
        (ValueKind::Seq | ValueKind::Iterable, ValueKind::Seq | ValueKind::Iterable) => {
            let mut all = items(a).map_err(refused)?;
            all.extend(items(b).map_err(refused)?);
            Ok(Dynamic::from(all))
        }
        _ => arithmetic(a, "+", b),
    }
}

fn arithmetic(a: &Dynamic, operator: &str, b: &Dynamic) -> Result<Dynamic> {
    if let (Some(a), Some(b)) = (native(a), native(b)) {
        let result = match operator {
            "+" => a.checked_add(b),
            "-" => a.checked_sub(b),
            "*" => a.checked_mul(b),
            _ => None,
        };
        if let Some(result) = result {
            return Ok(integer(result));
        }
    }
    let (left, right) = (operand(a, operator)?, operand(b, operator)?);
    let result = match operator {
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        "/" => left.checked_div(right),
        "//" => left.checked_div(right).map(|quotient| quotient.floor()),
        "%" => left.checked_rem(right).map(|rest| {
            // The sign of the divisor, as everywhere in this language.
            if !rest.is_zero() && rest.is_sign_negative() != right.is_sign_negative() {
                rest + right
            } else {
                rest
            }
        }),
        _ => power(left, right),
    };
    result.map(from_number).ok_or_else(|| refused(format!("{left} {operator} {right} has no exact result")))
}

fn power(base: Decimal, exponent: Decimal) -> Option<Decimal> {
    let exponent =
        exponent.is_integer().then(|| exponent.normalize().to_string().parse::<u32>().ok()).flatten()?;
    if exponent > 200 {
        return None;
    }
    (0..exponent).try_fold(Decimal::ONE, |product, _| product.checked_mul(base))
}

/// A chain of comparisons: value, operator, value, operator, value ...
fn compare(parts: &[Dynamic]) -> Result<bool> {
    let mut rest = parts;
    while let [left, operator, right, ..] = rest {
        if !pair(left, operator.as_str().unwrap_or_default(), right)? {
            return Ok(false);
        }
        rest = rest.get(2..).unwrap_or_default();
    }
    Ok(true)
}

fn pair(left: &Dynamic, operator: &str, right: &Dynamic) -> Result<bool> {
    if left.is_undefined() || right.is_undefined() {
        return Err(Error::new(
            ErrorKind::UndefinedError,
            format!("{} {operator} {} compares a name or path that is not there", name(left), name(right)),
        ));
    }
    match operator {
        "==" => return equal(left, right),
        "!=" => return equal(left, right).map(|equal| !equal),
        "in" => return contains(right, left),
        "not in" => return contains(right, left).map(|contained| !contained),
        _ => {}
    }
    // Blank is neither before nor after anything.
    let Some(order) = order(left, right)? else { return Ok(false) };
    Ok(match operator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

fn order(left: &Dynamic, right: &Dynamic) -> Result<Option<Ordering>> {
    if left.is_none() || right.is_none() {
        return Ok(None);
    }
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return Ok(Some(left.cmp(&right)));
    }
    if let Some((left, right)) = moments(left, right)? {
        return Ok(Some(left.cmp(&right)));
    }
    match (left.as_str(), right.as_str()) {
        (Some(left), Some(right)) => Ok(Some(left.cmp(right))),
        _ => Err(refused(format!("{} and {} have no common order", name(left), name(right)))),
    }
}

fn equal(left: &Dynamic, right: &Dynamic) -> Result<bool> {
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return Ok(left == right);
    }
    if let Some((left, right)) = moments(left, right)? {
        return Ok(left == right);
    }
    let list = |value: &Dynamic| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if list(left) && list(right) {
        let (left, right) = (items(left).map_err(refused)?, items(right).map_err(refused)?);
        if left.len() != right.len() {
            return Ok(false);
        }
        for (left, right) in left.iter().zip(&right) {
            if !equal(left, right)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(left.kind() == right.kind() && left == right)
}

/// Dates and instants among themselves, and with texts that spell one.
fn moments(left: &Dynamic, right: &Dynamic) -> Result<Option<(Value, Value)>> {
    let moment = |value: &Dynamic| -> Option<Value> {
        let day = value.downcast_object_ref::<Day>().map(|day| Value::from(*day));
        day.or_else(|| value.downcast_object_ref::<Instant>().map(|instant| Value::from(*instant)))
    };
    let kind =
        |value: &Value| if matches!(value, Value::Date(_)) { FieldType::Date } else { FieldType::DateTime };
    let spelled = |value: &Value, text: &Dynamic| match text.as_str() {
        Some(text) => kind(value).read(&Json::String(text.to_owned())).map(Some).map_err(refused),
        None => Ok(None),
    };
    Ok(match (moment(left), moment(right)) {
        (Some(left), Some(right)) if kind(&left) == kind(&right) => Some((left, right)),
        (Some(_), Some(_)) => {
            return Err(refused(format!("{} and {}: |date makes both dates", name(left), name(right))));
        }
        (Some(value), None) => spelled(&value, right)?.map(|right| (value, right)),
        (None, Some(value)) => spelled(&value, left)?.map(|left| (left, value)),
        (None, None) => None,
    })
}

fn contains(container: &Dynamic, value: &Dynamic) -> Result<bool> {
    match container.kind() {
        ValueKind::None => Ok(false),
        ValueKind::String => match value.as_str() {
            Some(text) => Ok(container.to_string().contains(text)),
            None => Err(refused(format!("a text cannot contain {}", name(value)))),
        },
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            for item in items(container).map_err(refused)? {
                if equal(&item, value)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(refused(format!("{} cannot contain anything", name(container)))),
    }
}

fn extreme(values: &Dynamic, wanted: Ordering) -> Result<Dynamic> {
    let mut best: Option<Dynamic> = None;
    for value in items(values).map_err(refused)? {
        let better = match &best {
            Some(best) => order(&value, best)? == Some(wanted),
            None => !value.is_none(),
        };
        if better {
            best = Some(value);
        }
    }
    Ok(best.unwrap_or_default())
}

fn sorted(values: &Dynamic) -> Result<Dynamic> {
    let mut sorted: Vec<Dynamic> = Vec::new();
    for value in items(values).map_err(refused)? {
        let mut place = sorted.len();
        for (index, other) in sorted.iter().enumerate() {
            if order(&value, other)? == Some(Ordering::Less) {
                place = index;
                break;
            }
        }
        sorted.insert(place, value);
    }
    Ok(Dynamic::from(sorted))
}
