//! Cuts a query into words, literals and signs.
//!
//! It knows the quoting and nothing of grammar.

use super::suiteql::QueryError;
use super::suiteql_cell::{Cell, parse_decimal};

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

const SIGNS: [&str; 12] = ["<=", ">=", "<>", "!=", "||", "=", "<", ">", "(", ")", ",", "*"];

/// Cuts the text; an open quote or a stray character is an error.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if first == '\'' {
            quoted(rest)?
        } else if first == '"' {
            double_quoted(rest)?
        } else if first.is_ascii_digit() || (matches!(first, '-' | '+') && starts_number(rest)) {
            number(rest)?
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|letter: char| !is_word(letter)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            (Token::Word(word.to_owned()), after)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), rest.strip_prefix(*sign).unwrap_or_default())
        } else {
            return Err(QueryError(format!("unexpected token: '{first}'")));
        };
        found.push(token);
        rest = after.trim_start();
    }
    Ok(found)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.')
}

fn starts_number(text: &str) -> bool {
    text.chars().nth(1).is_some_and(|second| second.is_ascii_digit())
}

/// A text in single quotes; two of them in a row stand for one.
fn quoted(text: &str) -> Result<(Token, &str), QueryError> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != '\'' {
            value.push(letter);
        } else if letters.peek().is_some_and(|(_, next)| *next == '\'') {
            letters.next();
            value.push('\'');
        } else {
            return Ok((Token::Literal(Cell::Text(value)), text.get(at + 1..).unwrap_or_default()));
        }
    }
    Err(QueryError("unterminated string literal".to_owned()))
}

/// A name in double quotes.
fn double_quoted(text: &str) -> Result<(Token, &str), QueryError> {
    let inner = text.strip_prefix('"').unwrap_or(text);
    let (name, after) =
        inner.split_once('"').ok_or_else(|| QueryError("unterminated quoted name".to_owned()))?;
    Ok((Token::Word(name.to_owned()), after))
}

fn number(text: &str) -> Result<(Token, &str), QueryError> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let end =
        text.char_indices().skip(1).find(|(_, letter)| !is_part(*letter)).map_or(text.len(), |(at, _)| at);
    let (literal, after) = text.split_at(end);
    let value = parse_decimal(literal).ok_or_else(|| QueryError(format!("unexpected token: '{literal}'")))?;
    Ok((Token::Literal(Cell::Number(value)), after))
}
