//! Cuts a SOQL query into words, literals and signs.
//!
//! It knows quoting and literals, and nothing of grammar or fields.

use super::answers::read_time;
use super::soql::{Cell, LITERAL_MARK, parse_date, parse_decimal};

/// One piece of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name or keyword, dots included.
    Word(String),
    /// A literal.
    Literal(Cell),
    /// A sign such as `<=` or `(`.
    Sign(&'static str),
}

const SIGNS: [&str; 10] = ["<=", ">=", "<>", "!=", "=", "<", ">", "(", ")", ","];

/// Cuts the text; the error is a sentence for `MALFORMED_QUERY`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if first == '\'' {
            quoted(rest)?
        } else if first.is_ascii_digit() || (matches!(first, '-' | '+') && starts_number(rest)) {
            bare_literal(rest)?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|letter: char| !is_word(letter)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            (Token::Word(word.to_owned()), after)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), rest.strip_prefix(*sign).unwrap_or_default())
        } else {
            return Err(format!("unexpected token: '{first}'"));
        };
        found.push(token);
        rest = after.trim_start();
    }
    Ok(found)
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.')
}

fn starts_number(text: &str) -> bool {
    text.chars().nth(1).is_some_and(|second| second.is_ascii_digit())
}

fn quoted(text: &str) -> Result<(Token, &str), String> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' => {
                let after = text.get(at + 1..).unwrap_or_default();
                return Ok((Token::Literal(Cell::Text(value)), after));
            }
            '\\' => {
                let escaped = letters.next().map(|(_, next)| next);
                unescape(escaped, &mut letters, &mut value)?;
            }
            _ => value.push(letter),
        }
    }
    Err("unterminated string literal".to_owned())
}

fn unescape(
    escaped: Option<char>,
    rest: &mut impl Iterator<Item = (usize, char)>,
    value: &mut String,
) -> Result<(), String> {
    let plain = match escaped {
        Some('n' | 'N') => '\n',
        Some('r' | 'R') => '\r',
        Some('t' | 'T') => '\t',
        Some('b' | 'B') => '\u{8}',
        Some('f' | 'F') => '\u{c}',
        Some(same @ ('"' | '\'' | '\\')) => same,
        Some(wildcard @ ('_' | '%')) => {
            value.push(LITERAL_MARK);
            wildcard
        }
        Some('u') => {
            let digits: String = rest.take(4).map(|(_, digit)| digit).collect();
            u32::from_str_radix(&digits, 16)
                .ok()
                .and_then(char::from_u32)
                .ok_or_else(|| format!("invalid unicode escape: \\u{digits}"))?
        }
        other => {
            let shown = other.map(String::from).unwrap_or_default();
            return Err(format!("Illegal character escape sequence: \\{shown}"));
        }
    };
    value.push(plain);
    Ok(())
}

fn bare_literal(text: &str) -> Result<(Token, &str), String> {
    let end = text
        .char_indices()
        .skip(1)
        .find(|(_, letter)| !(letter.is_ascii_alphanumeric() || matches!(letter, ':' | '-' | '+' | '.')))
        .map_or(text.len(), |(at, _)| at);
    let (literal, after) = text.split_at(end);
    let cell = parse_date(literal)
        .map(Cell::Date)
        .or_else(|| read_time(literal).map(Cell::Instant))
        .or_else(|| parse_decimal(literal).map(Cell::Number))
        .ok_or_else(|| format!("unexpected token: '{literal}'"))?;
    Ok((Token::Literal(cell), after))
}
