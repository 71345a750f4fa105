//! Reads a `SELECT`.
//!
//! It does not know which tables and columns exist; that is found when the query runs.

use super::suiteql::{Column, Comparison, Condition, Expression, OrderBy, QueryError, Select};
use super::suiteql_cell::Cell;
use super::suiteql_lexer::{Token, tokens};

/// How deep parentheses may be nested, so that hostile text cannot exhaust the stack.
const DEEPEST: usize = 64;

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Select, QueryError> {
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

fn unexpected(token: Option<&Token>) -> QueryError {
    let shown = match token {
        None => "<EOF>".to_owned(),
        Some(Token::Word(word)) => word.clone(),
        Some(Token::Sign(sign)) => (*sign).to_owned(),
        Some(Token::Literal(Cell::Text(text))) => format!("'{text}'"),
        Some(Token::Literal(Cell::Number(number))) => number.to_string(),
        Some(Token::Literal(cell)) => format!("{cell:?}"),
    };
    QueryError(format!("unexpected token: '{shown}'"))
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

    fn expect_word(&mut self, word: &str) -> Result<(), QueryError> {
        if self.take_word(word) { Ok(()) } else { Err(unexpected(self.tokens.peek())) }
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), QueryError> {
        if self.take_sign(sign) { Ok(()) } else { Err(unexpected(self.tokens.peek())) }
    }

    fn name(&mut self) -> Result<String, QueryError> {
        match self.tokens.next() {
            Some(Token::Word(word)) if !is_reserved(&word) => Ok(word),
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn deeper(&mut self) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            Err(QueryError("the query is nested too deeply".to_owned()))
        } else {
            Ok(())
        }
    }

    fn select(&mut self) -> Result<Select, QueryError> {
        self.expect_word("SELECT")?;
        let columns = if self.take_sign("*") { Vec::new() } else { self.columns()? };
        self.expect_word("FROM")?;
        let table = self.name()?;
        let alias = self.alias()?;
        let condition = if self.take_word("WHERE") { Some(self.any_of()?) } else { None };
        let order = self.order()?;
        let limit = self.limit()?;
        Ok(Select { columns, table, alias, condition, order, limit })
    }

    fn columns(&mut self) -> Result<Vec<Column>, QueryError> {
        let mut columns: Vec<Column> = Vec::new();
        loop {
            let expression = self.expression()?;
            let given = self.alias()?;
            let name = given.unwrap_or_else(|| match &expression {
                Expression::Column(_, name) => name.clone(),
                // The server numbers what has no name.
                _ => format!("expr{}", columns.len() + 1),
            });
            columns.push(Column { expression, name: name.to_lowercase() });
            if !self.take_sign(",") {
                return Ok(columns);
            }
        }
    }

    fn alias(&mut self) -> Result<Option<String>, QueryError> {
        if self.take_word("AS") {
            return self.name().map(Some);
        }
        match self.tokens.peek() {
            Some(Token::Word(word)) if !is_reserved(word) => self.name().map(Some),
            _ => Ok(None),
        }
    }

    fn order(&mut self) -> Result<Vec<OrderBy>, QueryError> {
        let mut keys = Vec::new();
        if !self.take_word("ORDER") {
            return Ok(keys);
        }
        self.expect_word("BY")?;
        loop {
            let expression = self.expression()?;
            let descending = self.take_word("DESC");
            if !descending {
                self.take_word("ASC");
            }
            let mut nulls_last = None;
            if self.take_word("NULLS") {
                let last = self.take_word("LAST");
                if !last {
                    self.expect_word("FIRST")?;
                }
                nulls_last = Some(last);
            }
            keys.push(OrderBy { expression, descending, nulls_last });
            if !self.take_sign(",") {
                return Ok(keys);
            }
        }
    }

    /// `FETCH FIRST n ROWS ONLY`; there is no `LIMIT`.
    fn limit(&mut self) -> Result<Option<usize>, QueryError> {
        if !self.take_word("FETCH") {
            return Ok(None);
        }
        if !self.take_word("FIRST") {
            self.expect_word("NEXT")?;
        }
        let count = match self.tokens.next() {
            Some(Token::Literal(Cell::Number(number))) => number.to_string().parse().ok(),
            _ => None,
        };
        if !self.take_word("ROWS") {
            self.expect_word("ROW")?;
        }
        self.expect_word("ONLY")?;
        count.map(Some).ok_or_else(|| QueryError("FETCH FIRST needs a whole number".to_owned()))
    }

    fn any_of(&mut self) -> Result<Condition, QueryError> {
        self.deeper()?;
        let mut parts = vec![self.all_of()?];
        while self.take_word("OR") {
            parts.push(self.all_of()?);
        }
        self.depth -= 1;
        Ok(single(parts, Condition::Any))
    }

    fn all_of(&mut self) -> Result<Condition, QueryError> {
        let mut parts = vec![self.one()?];
        while self.take_word("AND") {
            parts.push(self.one()?);
        }
        Ok(single(parts, Condition::All))
    }

    fn one(&mut self) -> Result<Condition, QueryError> {
        if self.take_word("NOT") {
            self.deeper()?;
            let inner = self.one()?;
            self.depth -= 1;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if self.take_sign("(") {
            let inner = self.any_of()?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let left = self.expression()?;
        self.comparison(left)
    }

    fn comparison(&mut self, left: Expression) -> Result<Condition, QueryError> {
        if self.take_word("IS") {
            let negated = self.take_word("NOT");
            self.expect_word("NULL")?;
            return Ok(Condition::IsNull(left, negated));
        }
        let negated = self.take_word("NOT");
        let maybe_not = |condition| if negated { Condition::Not(Box::new(condition)) } else { condition };
        if self.take_word("IN") {
            return Ok(Condition::In(left, self.list()?, negated));
        }
        if self.take_word("LIKE") {
            return Ok(maybe_not(Condition::Compare(left, Comparison::Like, self.expression()?)));
        }
        if self.take_word("BETWEEN") {
            let low = self.expression()?;
            self.expect_word("AND")?;
            let high = self.expression()?;
            return Ok(maybe_not(Condition::All(vec![
                Condition::Compare(left.clone(), Comparison::GreaterOrEqual, low),
                Condition::Compare(left, Comparison::LessOrEqual, high),
            ])));
        }
        if negated {
            return Err(unexpected(self.tokens.peek()));
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
        Ok(Condition::Compare(left, operator, self.expression()?))
    }

    fn list(&mut self) -> Result<Vec<Expression>, QueryError> {
        self.expect_sign("(")?;
        let mut members = vec![self.expression()?];
        while self.take_sign(",") {
            members.push(self.expression()?);
        }
        self.expect_sign(")")?;
        // The limit is the database's own.
        if members.len() > 1000 {
            return Err(QueryError("maximum number of expressions in a list is 1000".to_owned()));
        }
        Ok(members)
    }

    fn expression(&mut self) -> Result<Expression, QueryError> {
        let mut left = self.primary()?;
        while self.take_sign("||") {
            let right = self.primary()?;
            left = Expression::Call("CONCAT".to_owned(), vec![left, right]);
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expression, QueryError> {
        match self.tokens.next() {
            Some(Token::Literal(cell)) => Ok(Expression::Literal(cell)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => {
                Ok(Expression::Literal(Cell::Null))
            }
            Some(Token::Word(word)) if !is_reserved(&word) => {
                if self.take_sign("(") {
                    return self.call(&word);
                }
                Ok(match word.split_once('.') {
                    Some((qualifier, name)) => {
                        Expression::Column(Some(qualifier.to_owned()), name.to_owned())
                    }
                    None => Expression::Column(None, word),
                })
            }
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn call(&mut self, name: &str) -> Result<Expression, QueryError> {
        self.deeper()?;
        let mut arguments = Vec::new();
        if self.take_sign("*") {
            self.expect_sign(")")?;
        } else if !self.take_sign(")") {
            arguments.push(self.expression()?);
            while self.take_sign(",") {
                arguments.push(self.expression()?);
            }
            self.expect_sign(")")?;
        }
        self.depth -= 1;
        Ok(Expression::Call(name.to_uppercase(), arguments))
    }
}

fn single(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    if parts.len() == 1 { parts.remove(0) } else { join(parts) }
}

/// Words that cannot be names or aliases.
fn is_reserved(word: &str) -> bool {
    const RESERVED: [&str; 27] = [
        "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "IS", "ORDER", "BY", "LIMIT", "OFFSET",
        "FETCH", "AS", "ASC", "DESC", "NULLS", "BETWEEN", "GROUP", "HAVING", "JOIN", "UNION", "ON", "INNER",
        "LEFT", "DISTINCT",
    ];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}
