//! Between raw JSON and typed values.
//!
//! Lenient about spelling (a number as text, `T` for true), strict about meaning: what does not read exactly
//! as the field's type is an error, never a guess and never rounded to fit. No path, side or vendor here.

use std::str::FromStr;

use jiff::{Timestamp, civil, tz::TimeZone};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value as Json;

use super::value::{FieldType, Value, number_json};

/// Decimals hold 28 digits; a type that promises more could never keep its promise.
const MOST_DIGITS: u32 = 28;

impl FieldType {
    /// Reads `text`, `decimal(2)`, `ref(customers)` as written in `type = "..."`.
    ///
    /// # Errors
    /// When there is no such type; the text names the nearest one.
    pub fn parse(text: &str) -> Result<FieldType, String> {
        let text = text.trim();
        match text {
            "text" => return Ok(FieldType::Text),
            "integer" => return Ok(FieldType::Integer),
            "boolean" => return Ok(FieldType::Boolean),
            "date" => return Ok(FieldType::Date),
            "datetime" => return Ok(FieldType::DateTime),
            "set" => return Ok(FieldType::Set),
            "list" => return Ok(FieldType::List),
            "decimal" => return Err("decimal needs its digits: decimal(2)".to_owned()),
            "ref" => return Err("ref needs the name of a sync: ref(customers)".to_owned()),
            _ => {}
        }
        let argument =
            |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')').map(str::trim);
        if let Some(digits) = argument("decimal") {
            return match digits.parse::<u32>() {
                Ok(digits) if digits <= MOST_DIGITS => Ok(FieldType::Decimal(digits)),
                _ => Err(format!("decimal({digits}): the digits are a number from 0 to {MOST_DIGITS}")),
            };
        }
        match argument("ref") {
            Some("") => Err("ref() needs the name of a sync: ref(customers)".to_owned()),
            Some(sync) => Ok(FieldType::Ref(sync.to_owned())),
            None => Err(format!("there is no type {text:?}; did you mean {:?}?", nearest_type(text))),
        }
    }

    /// Reads a raw value as this type. An empty text, set or list is `Null`.
    ///
    /// A `ref` reads as the other record's id (a text): which link that is only the state file knows, so the
    /// engine replaces it by a [`Value::Link`] before anything is compared.
    ///
    /// # Errors
    /// When the raw value does not say exactly one value of the type; the text says why.
    pub fn read(&self, raw: &Json) -> Result<Value, String> {
        if raw.is_null() || raw.as_str() == Some("") {
            return Ok(Value::Null);
        }
        match self {
            FieldType::Text | FieldType::Ref(_) => read_text(raw).map(Value::text),
            FieldType::Integer => read_integer(raw),
            FieldType::Decimal(digits) => read_decimal(raw, *digits),
            FieldType::Boolean => read_boolean(raw),
            FieldType::Date => scalar(raw, "a date").and_then(|text| read_date(&text)),
            FieldType::DateTime => scalar(raw, "a time").and_then(|text| read_instant(&text)),
            FieldType::Set => {
                entries(raw).map(
                    |entries: std::collections::BTreeSet<String>| {
                        if entries.is_empty() { Value::Null } else { Value::Set(entries) }
                    },
                )
            }
            FieldType::List => {
                entries(raw).map(
                    |entries: Vec<String>| {
                        if entries.is_empty() { Value::Null } else { Value::List(entries) }
                    },
                )
            }
        }
    }

    /// How a value of this type is written where the definition asks for nothing special: decimals as JSON
    /// numbers with exactly their digits, dates and instants as ISO text, sets and lists as arrays of text.
    pub fn write(&self, value: &Value) -> Json {
        match (self, value) {
            (FieldType::Decimal(digits), Value::Number(number)) => {
                let mut number = *number;
                if number.scale() < *digits {
                    number.rescale(*digits);
                }
                number_json(number)
            }
            (FieldType::Text | FieldType::Ref(_), Value::Number(number)) => Json::String(number.to_string()),
            _ => value.stored(),
        }
    }
}

fn nearest_type(text: &str) -> &'static str {
    let word = text.split('(').next().unwrap_or(text).to_lowercase();
    // What people write who come from other tools, and whose spelling is far from ours.
    let known = match word.as_str() {
        "string" | "str" | "varchar" => Some("text"),
        "int" | "long" => Some("integer"),
        "number" | "money" | "currency" | "float" | "double" | "numeric" => Some("decimal(2)"),
        "bool" | "checkbox" => Some("boolean"),
        "timestamp" | "instant" => Some("datetime"),
        "multiselect" | "tags" => Some("set"),
        "array" => Some("list"),
        "reference" | "lookup" => Some("ref(SYNC)"),
        _ => None,
    };
    known.unwrap_or_else(|| {
        let names =
            ["text", "integer", "decimal(N)", "boolean", "date", "datetime", "set", "list", "ref(SYNC)"];
        names
            .into_iter()
            .min_by_key(|name| strsim::damerau_levenshtein(name.split('(').next().unwrap_or(name), &word))
            .unwrap_or("text")
    })
}

fn shape(raw: &Json) -> &'static str {
    match raw {
        Json::Null => "nothing",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// The text of a scalar, or of a chosen option (`{"id": 2, "text": "Approved"}`).
fn read_text(raw: &Json) -> Result<String, String> {
    match raw {
        Json::Null => Ok(String::new()),
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(flag) => Ok(flag.to_string()),
        Json::Object(option) => match option.get("text") {
            Some(Json::Object(_) | Json::Array(_)) | None => {
                Err("an object without a \"text\" where a text was expected".to_owned())
            }
            Some(text) => read_text(text),
        },
        Json::Array(_) => Err("a list where a text was expected".to_owned()),
    }
}

fn scalar(raw: &Json, expected: &str) -> Result<String, String> {
    match raw {
        Json::Array(_) | Json::Bool(_) => Err(format!("{} where {expected} was expected", shape(raw))),
        _ => read_text(raw).map(|text| text.trim().to_owned()),
    }
}

/// A number with every digit as written, or an error: nothing is rounded to fit.
pub(crate) fn exact_number(text: &str) -> Result<Decimal, String> {
    let refused = || format!("{text:?} is not a number");
    let too_long = || format!("{text:?} has more digits than can be kept exactly (28)");
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| refused())?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return Err(refused());
    }
    // The point is moved in the text, so that an exponent costs no digit.
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(Decimal::ZERO);
    }
    let trimmed = significant.trim_end_matches('0');
    let dropped = i32::try_from(significant.len() - trimmed.len()).map_err(|_| too_long())?;
    let scale = i32::try_from(fraction.len()).map_err(|_| too_long())?;
    let shift =
        exponent.checked_sub(scale).and_then(|shift| shift.checked_add(dropped)).ok_or_else(too_long)?;
    if shift.unsigned_abs() > 64 || trimmed.len() > 40 {
        return Err(too_long());
    }
    let places = usize::try_from(shift.unsigned_abs()).map_err(|_| too_long())?;
    let plain = if shift >= 0 {
        format!("{trimmed}{}", "0".repeat(places))
    } else if trimmed.len() > places {
        let (before, after) = trimmed.split_at(trimmed.len() - places);
        format!("{before}.{after}")
    } else {
        format!("0.{trimmed:0>places$}")
    };
    let number = Decimal::from_str_exact(&plain).map_err(|_| too_long())?.normalize();
    Ok(if text.starts_with('-') { -number } else { number })
}

fn read_number(raw: &Json) -> Result<Decimal, String> {
    exact_number(&scalar(raw, "a number")?)
}

fn read_integer(raw: &Json) -> Result<Value, String> {
    let number = read_number(raw)?;
    if number.is_integer() { Ok(Value::number(number)) } else { Err(format!("{number} is not an integer")) }
}

fn read_decimal(raw: &Json, digits: u32) -> Result<Value, String> {
    let number = read_number(raw)?;
    Ok(Value::number(number.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero)))
}

fn read_boolean(raw: &Json) -> Result<Value, String> {
    if let Json::Bool(flag) = raw {
        return Ok(Value::Boolean(*flag));
    }
    let text = scalar(raw, "true or false")?;
    match text.to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Ok(Value::Boolean(true)),
        "false" | "f" | "no" | "n" | "0" => Ok(Value::Boolean(false)),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A date, or the date part of a time as written: moving it to another zone could move it to another day.
fn read_date(text: &str) -> Result<Value, String> {
    let refused = || format!("{text:?} is not a date (expected YYYY-MM-DD)");
    let day = text.get(..10).ok_or_else(refused)?;
    let date = civil::Date::from_str(day).map_err(|_| refused())?;
    if text.len() > 10 {
        read_instant(text).map_err(|_| refused())?;
    }
    Ok(Value::Date(date))
}

/// An instant in the spellings that APIs use: `Z`, `+00:00`, `+0000`, any number of fractional digits, `T`
/// or a blank, without a zone (UTC), or a date alone (midnight UTC).
fn read_instant(text: &str) -> Result<Value, String> {
    let parsed = Timestamp::from_str(text).or_else(|_| {
        civil::DateTime::from_str(text)
            .and_then(|local| local.to_zoned(TimeZone::UTC))
            .map(|zoned| zoned.timestamp())
    });
    let instant = parsed.map_err(|_| format!("{text:?} is not a time (expected YYYY-MM-DDTHH:MM:SSZ)"))?;
    // To the microsecond, which is what the widest API in use shows.
    Timestamp::from_microsecond(instant.as_microsecond())
        .map(Value::Instant)
        .map_err(|_| format!("{text:?} is out of the range of times"))
}

/// The entries of a set or list: an array of texts, numbers or options (of which those not selected do not
/// count), or one text with entries separated by semicolons.
fn entries<C: FromIterator<String>>(raw: &Json) -> Result<C, String> {
    let entries: Vec<String> = match raw {
        Json::Array(items) => items
            .iter()
            .filter(|item| item.get("selected").and_then(Json::as_bool) != Some(false))
            .map(read_text)
            .collect::<Result<_, _>>()?,
        Json::Object(_) if raw.get("selected").and_then(Json::as_bool) == Some(false) => Vec::new(),
        Json::Object(_) => vec![read_text(raw)?],
        Json::String(text) => text.split(';').map(|entry| entry.trim().to_owned()).collect(),
        _ => return Err(format!("{} where a list of texts was expected", shape(raw))),
    };
    Ok(entries.into_iter().filter(|entry| !entry.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn raw(text: &str) -> Json {
        serde_json::from_str(text).unwrap()
    }

    fn number(text: &str) -> Value {
        Value::number(text.parse().unwrap())
    }

    #[test]
    fn types_are_read_as_written() {
        for text in
            ["text", "integer", "decimal(2)", "boolean", "date", "datetime", "set", "list", "ref(orders)"]
        {
            assert_eq!(FieldType::parse(text).unwrap().to_string(), text);
        }
        assert!(FieldType::parse("decimal").unwrap_err().contains("decimal(2)"));
        assert!(FieldType::parse("decimal(29)").unwrap_err().contains("28"));
        assert!(FieldType::parse("ref()").unwrap_err().contains("ref(customers)"));
        assert!(FieldType::parse("string").unwrap_err().contains("\"text\""));
        assert!(FieldType::parse("interger").unwrap_err().contains("\"integer\""));
        assert!(FieldType::parse("datetim").unwrap_err().contains("\"datetime\""));
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        let decimal = FieldType::Decimal(2);
        for (text, expected) in [
            ("10.10", "10.1"),
            ("\" 10.10 \"", "10.1"),
            ("1.005", "1.01"),
            ("-1.005", "-1.01"),
            ("1.0049999", "1"),
            ("12345678901234567890.12", "12345678901234567890.12"),
            ("1e3", "1000"),
            ("125e-2", "1.25"),
            ("1.50e1", "15"),
            ("0e99", "0"),
            ("-0", "0"),
            ("\"+5\"", "5"),
            ("\".5\"", "0.5"),
        ] {
            assert_eq!(decimal.read(&raw(text)), Ok(number(expected)), "{text}");
        }
        for text in [
            "1e99",
            "1e-99",
            "99999999999999999999999999999999.1",
            "0.00000000000000000000000000000000012345",
            "\"1,234.50\"",
            "\"12 EUR\"",
            "\"1.2.3\"",
            "\"0x10\"",
            "\".\"",
            "true",
            "[1]",
            "\"e5\"",
        ] {
            assert!(decimal.read(&raw(text)).is_err(), "{text}");
        }
        assert_eq!(FieldType::Integer.read(&raw("\"12.0\"")), Ok(number("12")));
        assert!(FieldType::Integer.read(&raw("12.5")).unwrap_err().contains("12.5"));
        assert_eq!(FieldType::Integer.read(&json!("")), Ok(Value::Null));
    }

    #[test]
    fn decimals_are_written_with_their_digits() {
        let written = FieldType::Decimal(2).write(&number("1234.5"));
        assert!(written.is_number());
        assert_eq!(written.to_string(), "1234.50");
        assert_eq!(FieldType::Decimal(0).write(&number("7")).to_string(), "7");
        assert_eq!(FieldType::Decimal(2).write(&Value::Null), Json::Null);
    }

    #[test]
    fn booleans_in_every_spelling() {
        for (text, expected) in [
            ("true", true),
            ("\"T\"", true),
            ("1", true),
            ("\"F\"", false),
            ("0", false),
            ("\"False\"", false),
        ] {
            assert_eq!(FieldType::Boolean.read(&raw(text)), Ok(Value::Boolean(expected)), "{text}");
        }
        assert!(FieldType::Boolean.read(&json!("perhaps")).is_err());
        assert!(FieldType::Boolean.read(&json!(2)).is_err());
    }

    #[test]
    fn instants_in_every_spelling_are_one_instant() {
        let expected = FieldType::DateTime.read(&json!("2026-03-04T05:06:07Z")).unwrap();
        for text in [
            "2026-03-04T05:06:07.000Z",
            "2026-03-04T05:06:07.000000Z",
            "2026-03-04T05:06:07+00:00",
            "2026-03-04T05:06:07.000+0000",
            "2026-03-04T07:06:07+02:00",
            "2026-03-04 05:06:07",
            "2026-03-04T05:06:07",
        ] {
            assert_eq!(FieldType::DateTime.read(&json!(text)), Ok(expected.clone()), "{text}");
        }
        assert_eq!(
            FieldType::DateTime.read(&json!("2026-03-04")),
            FieldType::DateTime.read(&json!("2026-03-04T00:00:00Z"))
        );
        for text in ["2026-13-04T05:06:07Z", "yesterday", "2026-02-30 00:00:00", "2026-03-04T05:06:07Zjunk"] {
            assert!(FieldType::DateTime.read(&json!(text)).is_err(), "{text}");
        }
        let finer = FieldType::DateTime.read(&json!("2026-03-04T05:06:07.123456789Z")).unwrap();
        assert_eq!(finer.to_string(), "2026-03-04T05:06:07.123456Z");
    }

    #[test]
    fn a_date_is_the_day_as_written() {
        let day = Value::Date("2026-03-04".parse().unwrap());
        for text in
            ["2026-03-04", "2026-03-04T23:30:00-08:00", "2026-03-04 00:00:00", "2026-03-04T00:00:00.000Z"]
        {
            assert_eq!(FieldType::Date.read(&json!(text)), Ok(day.clone()), "{text}");
        }
        for text in ["04.03.2026", "2026-02-29", "2026-03-04 or so", "2026-3-4"] {
            assert!(FieldType::Date.read(&json!(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn options_and_sets() {
        assert_eq!(FieldType::Text.read(&json!({"id": 2, "text": "Red"})), Ok(Value::text("Red")));
        assert!(FieldType::Text.read(&json!({"id": 2})).is_err());
        assert!(FieldType::Text.read(&json!(["a"])).is_err());
        assert_eq!(FieldType::Text.read(&raw("10.10")), Ok(Value::text("10.10")));
        let both = Value::Set(["a", "b"].map(str::to_owned).into());
        for value in [
            json!("b; a"),
            json!(["a", "b", "a", null, ""]),
            json!([{"id": 1, "text": "a", "selected": true}, {"id": 2, "text": "b"},
                   {"id": 3, "text": "c", "selected": false}]),
        ] {
            assert_eq!(FieldType::Set.read(&value), Ok(both.clone()), "{value}");
        }
        assert_eq!(FieldType::Set.read(&json!([])), Ok(Value::Null));
        assert_eq!(FieldType::Set.read(&json!(";")), Ok(Value::Null));
        assert_eq!(
            FieldType::List.read(&json!(["b", "a", "b"])),
            Ok(Value::List(vec!["b".into(), "a".into(), "b".into()]))
        );
        assert!(FieldType::Set.read(&json!(5)).is_err());
    }
}
