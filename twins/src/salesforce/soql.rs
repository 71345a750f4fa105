//! Reads a SOQL `SELECT`.
//!
//! It does not know which objects and fields exist; that is found when the query runs.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;

use super::soql_lexer::{Token, tokens};

/// How deep parentheses may be nested, so that hostile text cannot exhaust the stack.
const DEEPEST: usize = 64;

/// Stands before an escaped `%` or `_`, which `LIKE` must take as it is.
pub(super) const LITERAL_MARK: char = '\u{e000}';

/// One value inside a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// No value.
    Null,
    /// A text.
    Text(String),
    /// The 18 characters of an id; made of a text where the field is known to hold ids.
    Id(String),
    /// An exact number.
    Number(Decimal),
    /// A yes or no.
    Boolean(bool),
    /// A calendar date.
    Date(Date),
    /// An instant.
    Instant(Timestamp),
}

/// A parsed `SELECT`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Select {
    /// The fields, as written; none for `COUNT()`.
    pub(super) fields: Vec<String>,
    /// The object, as written.
    pub(super) object: String,
    /// What a row must satisfy.
    pub(super) condition: Option<Condition>,
    /// The order, first key first.
    pub(super) order: Vec<OrderBy>,
    /// How many rows at most.
    pub(super) limit: Option<usize>,
    /// How many rows to pass over.
    pub(super) offset: usize,
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// `=`
    Equal,
    /// `!=` or `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `LIKE`
    Like,
}

/// What a row must satisfy.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// All of them.
    All(Vec<Condition>),
    /// At least one of them.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// One comparison of a field.
    Compare(String, Comparison, Cell),
    /// Being one of a list, or none of it when the flag says negated.
    In(String, Vec<Cell>, bool),
}

/// One key of the order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OrderBy {
    /// The field, as written.
    pub(super) field: String,
    /// Whether the largest come first.
    pub(super) descending: bool,
    /// Whether rows without a value come last.
    pub(super) nulls_last: bool,
}

/// Reads a decimal, also one written with an exponent.
pub(super) fn parse_decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

/// Reads a calendar date in ISO form, refusing anything longer.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    if text.len() == 10 { text.parse().ok() } else { None }
}

/// Reads a query; the error is a sentence for `MALFORMED_QUERY`.
pub(super) fn parse(text: &str) -> Result<Select, String> {
    let mut parser = Parser { tokens: tokens(text)?.into_iter().peekable(), depth: 0 };
    let select = parser.select()?;
    match parser.tokens.next() {
        None => Ok(select),
        Some(token) => Err(unexpected(Some(&token))),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

fn unexpected(token: Option<&Token>) -> String {
    let shown = match token {
        None => "<EOF>".to_owned(),
        Some(Token::Word(word)) => word.clone(),
        Some(Token::Sign(sign)) => (*sign).to_owned(),
        Some(Token::Literal(Cell::Text(text))) => text.clone(),
        Some(Token::Literal(Cell::Number(number))) => number.to_string(),
        Some(Token::Literal(cell)) => format!("{cell:?}"),
    };
    format!("unexpected token: '{shown}'")
}

impl Parser {
    fn take_word(&mut self, word: &str) -> bool {
        let found =
            matches!(self.tokens.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        if found {
            self.tokens.next();
        }
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.peek(), Some(Token::Sign(found)) if *found == sign);
        if found {
            self.tokens.next();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), String> {
        if self.take_word(word) { Ok(()) } else { Err(unexpected(self.tokens.peek())) }
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), String> {
        if self.take_sign(sign) { Ok(()) } else { Err(unexpected(self.tokens.peek())) }
    }

    fn name(&mut self) -> Result<String, String> {
        match self.tokens.next() {
            Some(Token::Word(word)) if !is_reserved(&word) => Ok(word),
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn select(&mut self) -> Result<Select, String> {
        self.expect_word("SELECT")?;
        let fields = self.fields()?;
        self.expect_word("FROM")?;
        let object = self.name()?;
        let condition = if self.take_word("WHERE") { Some(self.any_of()?) } else { None };
        let order = self.order()?;
        let limit = if self.take_word("LIMIT") { Some(self.count()?) } else { None };
        let offset = if self.take_word("OFFSET") { self.count()? } else { 0 };
        Ok(Select { fields, object, condition, order, limit, offset })
    }

    fn fields(&mut self) -> Result<Vec<String>, String> {
        let mut fields = vec![self.name()?];
        if fields.iter().all(|field| field.eq_ignore_ascii_case("COUNT")) && self.take_sign("(") {
            self.expect_sign(")")?;
            return Ok(Vec::new());
        }
        while self.take_sign(",") {
            fields.push(self.name()?);
        }
        Ok(fields)
    }

    fn order(&mut self) -> Result<Vec<OrderBy>, String> {
        let mut keys = Vec::new();
        if !self.take_word("ORDER") {
            return Ok(keys);
        }
        self.expect_word("BY")?;
        loop {
            let field = self.name()?;
            let descending = self.take_word("DESC");
            if !descending {
                self.take_word("ASC");
            }
            let mut nulls_last = false;
            if self.take_word("NULLS") {
                nulls_last = self.take_word("LAST");
                if !nulls_last {
                    self.expect_word("FIRST")?;
                }
            }
            keys.push(OrderBy { field, descending, nulls_last });
            if !self.take_sign(",") {
                return Ok(keys);
            }
        }
    }

    fn count(&mut self) -> Result<usize, String> {
        match self.tokens.next() {
            Some(Token::Literal(Cell::Number(number))) => number
                .to_string()
                .parse()
                .map_err(|_| unexpected(Some(&Token::Literal(Cell::Number(number))))),
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn any_of(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("the condition is nested too deeply".to_owned());
        }
        let first = self.one()?;
        // Salesforce refuses a mix of AND and OR without parentheses instead of giving one precedence.
        let (word, other, join): (_, _, fn(Vec<Condition>) -> Condition) = if matches!(self.tokens.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("OR"))
        {
            ("OR", "AND", Condition::Any)
        } else {
            ("AND", "OR", Condition::All)
        };
        let mut parts = vec![first];
        while self.take_word(word) {
            parts.push(self.one()?);
        }
        if self.take_word(other) {
            return Err(format!("unexpected token: '{other}'"));
        }
        self.depth -= 1;
        Ok(join(parts))
    }

    fn one(&mut self) -> Result<Condition, String> {
        let negated = self.take_word("NOT");
        let inner = if self.take_sign("(") {
            let inner = self.any_of()?;
            self.expect_sign(")")?;
            inner
        } else {
            let field = self.name()?;
            self.comparison(field)?
        };
        Ok(if negated { Condition::Not(Box::new(inner)) } else { inner })
    }

    fn comparison(&mut self, field: String) -> Result<Condition, String> {
        if self.take_word("NOT") {
            self.expect_word("IN")?;
            return Ok(Condition::In(field, self.list()?, true));
        }
        if self.take_word("IN") {
            return Ok(Condition::In(field, self.list()?, false));
        }
        if self.take_word("LIKE") {
            let pattern = self.literal()?;
            return Ok(Condition::Compare(field, Comparison::Like, pattern));
        }
        let operator = match self.tokens.next() {
            Some(Token::Sign("=")) => Comparison::Equal,
            Some(Token::Sign("!=" | "<>")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            other => return Err(unexpected(other.as_ref())),
        };
        Ok(Condition::Compare(field, operator, plain(self.literal()?)))
    }

    fn list(&mut self) -> Result<Vec<Cell>, String> {
        self.expect_sign("(")?;
        let mut members = vec![plain(self.literal()?)];
        while self.take_sign(",") {
            members.push(plain(self.literal()?));
        }
        self.expect_sign(")")?;
        Ok(members)
    }

    fn literal(&mut self) -> Result<Cell, String> {
        match self.tokens.next() {
            Some(Token::Literal(cell)) => Ok(cell),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => Ok(Cell::Null),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => Ok(Cell::Boolean(true)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => Ok(Cell::Boolean(false)),
            other => Err(unexpected(other.as_ref())),
        }
    }
}

/// A literal outside `LIKE`, where an escaped wildcard is just that character.
fn plain(cell: Cell) -> Cell {
    match cell {
        Cell::Text(text) => Cell::Text(text.replace(LITERAL_MARK, "")),
        other => other,
    }
}

/// Words that cannot be names.
fn is_reserved(word: &str) -> bool {
    const RESERVED: [&str; 16] = [
        "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "ORDER", "LIMIT", "OFFSET", "NULLS",
        "GROUP", "HAVING", "NULL", "USING",
    ];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_query_is_read() {
        let select = parse(
            "select Id, Name from Opportunity where (SystemModstamp = 2026-01-02T03:04:05.000+0000 AND Id > '006') \
             OR SystemModstamp > 2026-01-02T03:04:05Z order by SystemModstamp asc, Id desc nulls last limit 5 offset 2",
        )
        .unwrap();
        assert_eq!(select.fields, ["Id", "Name"]);
        assert_eq!((select.object.as_str(), select.limit, select.offset), ("Opportunity", Some(5), 2));
        let at = Cell::Instant("2026-01-02T03:04:05Z".parse().unwrap());
        let compare = |field: &str, operator, cell| Condition::Compare(field.to_owned(), operator, cell);
        let Some(Condition::Any(parts)) = select.condition else { panic!("no OR") };
        let first = Condition::All(vec![
            compare("SystemModstamp", Comparison::Equal, at.clone()),
            compare("Id", Comparison::Greater, Cell::Text("006".to_owned())),
        ]);
        assert_eq!(parts.first(), Some(&first));
        assert_eq!(parts.get(1), Some(&compare("SystemModstamp", Comparison::Greater, at)));
        let keys: Vec<_> = select.order.iter().map(|key| (key.descending, key.nulls_last)).collect();
        assert_eq!(keys, [(false, false), (true, true)]);
    }

    #[test]
    fn strings_know_the_escapes() {
        let select = parse(r"SELECT Id FROM A WHERE Name = 'O\'Neil \\ \u00e4 \% \n'").unwrap();
        let wanted = Cell::Text("O'Neil \\ ä % \n".to_owned());
        let condition = select.condition.unwrap();
        let Condition::All(parts) = condition else { panic!("{condition:?}") };
        assert_eq!(parts, [Condition::Compare("Name".to_owned(), Comparison::Equal, wanted)]);
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for text in [
            "",
            "SELECT",
            "SELECT FROM A",
            "SELECT Id, FROM A",
            "SELECT Id FROM A WHERE",
            "SELECT Id FROM A WHERE Name = 'x",
            "SELECT Id FROM A WHERE Name = x",
            r"SELECT Id FROM A WHERE Name = '\x'",
            "SELECT Id FROM A WHERE a = 1 AND b = 2 OR c = 3",
            "SELECT Id FROM A WHERE a = 1 OR b = 2 AND c = 3",
            "SELECT Id FROM A LIMIT x",
            "SELECT Id FROM A WHERE a IN ()",
            "SELECT Id FROM A; DELETE",
            "SELECT * FROM A",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("SELECT Id FROM A WHERE {}a = 1", "(".repeat(5000))).is_err());
    }
}
