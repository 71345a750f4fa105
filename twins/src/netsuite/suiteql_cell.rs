//! One value inside a query, how two compare, and how dates are spelled.
//!
//! It must not know where a value comes from.

use std::cmp::Ordering;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use rust_decimal::Decimal;

use super::suiteql::QueryError;

/// One value inside a query. Yes and no are the texts `T` and `F`, as in the account's own tables.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// No value.
    Null,
    /// A text.
    Text(String),
    /// An exact number.
    Number(Decimal),
    /// A date or date and time on the account's wall clock; only the system's own clock has an offset.
    Moment(DateTime, Option<Offset>),
}

impl Cell {
    /// Whether there is no value.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    /// A text; an empty one is no value, as the database has it.
    pub(super) fn text(text: impl Into<String>) -> Cell {
        let text = text.into();
        if text.is_empty() { Cell::Null } else { Cell::Text(text) }
    }

    /// How the value is printed when the query does not say how; `None` for no value.
    pub(super) fn printed(&self, date_format: &str) -> Result<Option<String>, QueryError> {
        Ok(match self {
            Cell::Null => None,
            Cell::Text(text) => Some(text.clone()),
            Cell::Number(number) => Some(number.normalize().to_string()),
            Cell::Moment(at, offset) => Some(print_moment(*at, *offset, date_format)?),
        })
    }

    /// How the two compare; `None` when either has no value. Texts are converted to the other's sort.
    pub(super) fn compare(&self, other: &Cell, date_format: &str) -> Result<Option<Ordering>, QueryError> {
        let number = |text: &str| parse_decimal(text).ok_or_else(|| QueryError("invalid number".to_owned()));
        Ok(Some(match (self, other) {
            (Cell::Null, _) | (_, Cell::Null) => return Ok(None),
            (Cell::Text(left), Cell::Text(right)) => left.cmp(right),
            (Cell::Number(left), Cell::Number(right)) => left.cmp(right),
            (Cell::Number(left), Cell::Text(right)) => left.cmp(&number(right)?),
            (Cell::Text(left), Cell::Number(right)) => number(left)?.cmp(right),
            (Cell::Moment(left, _), Cell::Moment(right, _)) => left.cmp(right),
            (Cell::Moment(left, _), Cell::Text(right)) => left.cmp(&read_moment(right, date_format)?),
            (Cell::Text(left), Cell::Moment(right, _)) => read_moment(left, date_format)?.cmp(right),
            (Cell::Moment(..), Cell::Number(_)) | (Cell::Number(_), Cell::Moment(..)) => {
                return Err(QueryError("inconsistent datatypes: expected DATE got NUMBER".to_owned()));
            }
        }))
    }
}

/// Reads a decimal, also one written with an exponent.
pub(super) fn parse_decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

/// The parts of a date format, longest first where one begins like another.
const PARTS: [&str; 16] = [
    "YYYY", "MM", "DD", "HH24", "HH12", "HH", "MI", "SS", "FF3", "FF6", "FF9", "FF", "AM", "PM", "TZH", "TZM",
];

enum Piece<'a> {
    Part(&'static str),
    Plain(&'a str),
}

fn pieces(format: &str) -> Result<Vec<Piece<'_>>, QueryError> {
    let mut found = Vec::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        let part = PARTS
            .iter()
            .find(|part| rest.get(..part.len()).is_some_and(|head| head.eq_ignore_ascii_case(part)));
        if let Some(part) = part {
            found.push(Piece::Part(part));
            rest = rest.get(part.len()..).unwrap_or_default();
        } else if first == '"' {
            let inner = rest.get(1..).unwrap_or_default();
            let (plain, after) =
                inner.split_once('"').ok_or_else(|| QueryError("date format not recognized".to_owned()))?;
            found.push(Piece::Plain(plain));
            rest = after;
        } else if first.is_alphanumeric() {
            return Err(QueryError("date format not recognized".to_owned()));
        } else {
            let (plain, after) = rest.split_at(first.len_utf8());
            found.push(Piece::Plain(plain));
            rest = after;
        }
    }
    Ok(found)
}

/// Prints a moment as `TO_CHAR` does.
pub(super) fn print_moment(at: DateTime, offset: Option<Offset>, format: &str) -> Result<String, QueryError> {
    let mut printed = String::new();
    for piece in pieces(format)? {
        let part = match piece {
            Piece::Plain(plain) => {
                printed.push_str(plain);
                continue;
            }
            Piece::Part(part) => part,
        };
        let hour12 = match at.hour() % 12 {
            0 => 12,
            hour => hour,
        };
        // A column has no zone; only the system's own clock does.
        let seconds =
            || offset.map(Offset::seconds).ok_or_else(|| QueryError("date format not recognized".to_owned()));
        printed.push_str(&match part {
            "YYYY" => format!("{:04}", at.year()),
            "MM" => format!("{:02}", at.month()),
            "DD" => format!("{:02}", at.day()),
            "HH24" => format!("{:02}", at.hour()),
            "MI" => format!("{:02}", at.minute()),
            "SS" => format!("{:02}", at.second()),
            "FF3" => format!("{:03}", at.subsec_nanosecond() / 1_000_000),
            "FF9" => format!("{:09}", at.subsec_nanosecond()),
            "FF" | "FF6" => format!("{:06}", at.subsec_nanosecond() / 1000),
            "AM" | "PM" => if at.hour() < 12 { "AM" } else { "PM" }.to_owned(),
            "TZH" => {
                let seconds = seconds()?;
                let sign = if seconds < 0 { '-' } else { '+' };
                format!("{sign}{:02}", seconds.abs() / 3600)
            }
            "TZM" => format!("{:02}", seconds()?.abs() % 3600 / 60),
            _ => format!("{hour12:02}"),
        });
    }
    Ok(printed)
}

/// Reads a moment as `TO_TIMESTAMP` and `TO_DATE` do.
pub(super) fn read_moment(text: &str, format: &str) -> Result<DateTime, QueryError> {
    let (mut year, mut month, mut day) = (None, 1_i8, 1_i8);
    let (mut hour, mut minute, mut second, mut nanosecond) = (0_i8, 0_i8, 0_i8, 0_i32);
    let mut afternoon = None;
    let mut rest = text.trim();
    for piece in pieces(format)? {
        // What the text no longer says is zero.
        if rest.is_empty() {
            break;
        }
        match piece {
            Piece::Plain(plain) => {
                rest = rest
                    .strip_prefix(plain)
                    .ok_or_else(|| QueryError("literal does not match format string".to_owned()))?;
            }
            Piece::Part(part @ ("AM" | "PM" | "TZH" | "TZM")) => {
                let (word, after) = rest.split_at_checked(2).ok_or_else(|| bad_moment(text))?;
                afternoon = match (part, word.to_ascii_uppercase().as_str()) {
                    ("AM" | "PM", "AM") => Some(false),
                    ("AM" | "PM", "PM") => Some(true),
                    _ => return Err(QueryError("date format not recognized".to_owned())),
                };
                rest = after;
            }
            Piece::Part(part) => {
                let most = match part {
                    "YYYY" => 4,
                    part if part.starts_with("FF") => 9,
                    _ => 2,
                };
                let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                let (digits, after) = rest.split_at_checked(count).ok_or_else(|| bad_moment(text))?;
                let small = || digits.parse::<i8>().map_err(|_| bad_moment(text));
                match part {
                    "YYYY" => year = Some(digits.parse::<i16>().map_err(|_| bad_moment(text))?),
                    "MM" => month = small()?,
                    "DD" => day = small()?,
                    "MI" => minute = small()?,
                    "SS" => second = small()?,
                    part if part.starts_with("FF") => {
                        nanosecond = format!("{digits:0<9}").parse().map_err(|_| bad_moment(text))?;
                    }
                    _ => hour = small()?,
                }
                rest = after;
            }
        }
    }
    if !rest.is_empty() {
        return Err(QueryError("date format picture ends before converting entire input string".to_owned()));
    }
    let hour = match afternoon {
        Some(true) if hour < 12 => hour + 12,
        Some(false) if hour == 12 => 0,
        _ => hour,
    };
    let year = year.ok_or_else(|| bad_moment(text))?;
    DateTime::new(year, month, day, hour, minute, second, nanosecond).map_err(|_| bad_moment(text))
}

fn bad_moment(text: &str) -> QueryError {
    QueryError(format!("not a valid date or time: '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_printed_and_read_in_the_formats_of_the_database() {
        let at = jiff::civil::date(2026, 11, 21).at(15, 4, 5, 120_000_000);
        let printed = |format: &str| print_moment(at, None, format);
        assert_eq!(printed("YYYY-MM-DD HH24:MI:SS").unwrap(), "2026-11-21 15:04:05");
        assert_eq!(printed("yyyy-mm-dd\"T\"hh24:mi:ss.FF3\"Z\"").unwrap(), "2026-11-21T15:04:05.120Z");
        assert_eq!(printed("MM/DD/YYYY HH:MI AM").unwrap(), "11/21/2026 03:04 PM");
        assert!(printed("QQQ").is_err());
        assert!(printed("TZH").is_err(), "a column has no zone");
        let offset = Offset::from_seconds(-(5 * 3600 + 1800)).unwrap();
        assert_eq!(print_moment(at, Some(offset), "TZH:TZM").unwrap(), "-05:30");

        assert_eq!(read_moment("2026-11-21 15:04:05.12", "YYYY-MM-DD HH24:MI:SS.FF"), Ok(at));
        assert_eq!(read_moment("11/21/2026 03:04 pm", "MM/DD/YYYY HH:MI AM").unwrap().hour(), 15);
        assert_eq!(read_moment("2026-11-21", "YYYY-MM-DD HH24:MI:SS").unwrap().hour(), 0);
        for (text, format) in [
            ("2026-13-01", "YYYY-MM-DD"),
            ("2026-11-21 10:00", "YYYY-MM-DD"),
            ("2026/11/21", "YYYY-MM-DD"),
            ("soon", "YYYY-MM-DD"),
        ] {
            assert!(read_moment(text, format).is_err(), "{text}");
        }
    }

    #[test]
    fn values_of_different_sorts_are_converted_or_refused() {
        let number = |text: &str| Cell::Number(parse_decimal(text).unwrap());
        let moment = Cell::Moment(jiff::civil::date(2026, 11, 21).at(0, 0, 0, 0), None);
        let compare = |left: &Cell, right: &Cell| left.compare(right, "MM/DD/YYYY");
        assert_eq!(compare(&number("10"), &Cell::text("9")), Ok(Some(Ordering::Greater)));
        assert_eq!(compare(&moment, &Cell::text("11/21/2026")), Ok(Some(Ordering::Equal)));
        assert_eq!(compare(&Cell::Null, &number("1")), Ok(None));
        assert!(compare(&number("1"), &Cell::text("x")).is_err());
        assert!(compare(&moment, &number("1")).is_err());
        assert!(compare(&moment, &Cell::text("2026-11-21")).is_err());
    }
}
