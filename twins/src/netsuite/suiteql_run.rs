//! Runs a parsed query over rows.
//!
//! Where rows come from and what their columns hold is `suiteql_tables.rs`.

use std::cmp::Ordering;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::suiteql::{Comparison, Condition, Expression, OrderBy, QueryError, Select};
use super::suiteql_cell::{Cell, parse_decimal, print_moment, read_moment};
use super::suiteql_tables::{Account, Row, Table};

/// What a query answers: the rows of the page, and how many there are in all.
pub(super) struct Found {
    pub(super) items: Vec<Value>,
    pub(super) total: usize,
}

/// A query at work on one table.
struct Run<'a> {
    account: &'a Account,
    table: &'a Table<'a>,
    select: &'a Select,
}

/// Runs a query and gives one page of it.
pub(super) fn run(
    account: &Account,
    table: &Table<'_>,
    select: &Select,
    limit: usize,
    offset: usize,
) -> Result<Found, QueryError> {
    let run = Run { account, table, select };
    run.check()?;
    let mut kept: Vec<(&Row, Vec<Cell>)> = Vec::new();
    for row in &table.rows {
        let held = select.condition.as_ref().map_or(Ok(Some(true)), |condition| run.holds(row, condition))?;
        if held == Some(true) {
            let keys = select.order.iter().map(|key| run.value(row, &key.expression));
            let keys = if run.is_aggregate() { Vec::new() } else { keys.collect::<Result<_, _>>()? };
            kept.push((row, keys));
        }
    }
    if run.is_aggregate() {
        let rows: Vec<&Row> = kept.iter().map(|(row, _)| *row).collect();
        return Ok(Found { items: vec![run.aggregate(&rows)?], total: 1 });
    }
    kept.sort_by(|(_, left), (_, right)| order_cells(left, right, &select.order, &account.date_format));
    kept.truncate(select.limit.unwrap_or(usize::MAX));
    let total = kept.len();
    let page = kept.into_iter().skip(offset).take(limit);
    let items = page.map(|(row, _)| run.print(row)).collect::<Result<_, _>>()?;
    Ok(Found { items, total })
}

const AGGREGATES: [&str; 4] = ["COUNT", "MIN", "MAX", "SUM"];

impl Run<'_> {
    /// Finds unknown columns and functions, whatever the table holds.
    fn check(&self) -> Result<(), QueryError> {
        let aggregate = self.is_aggregate();
        for column in &self.select.columns {
            self.check_expression(&column.expression)?;
            let is_group = matches!(&column.expression, Expression::Call(name, _) if AGGREGATES.contains(&name.as_str()));
            if aggregate && !is_group && !matches!(column.expression, Expression::Literal(_)) {
                return Err(QueryError("not a single-group group function".to_owned()));
            }
        }
        for key in &self.select.order {
            self.check_expression(&key.expression)?;
        }
        self.select.condition.as_ref().map_or(Ok(()), |condition| self.check_condition(condition))
    }

    fn check_condition(&self, condition: &Condition) -> Result<(), QueryError> {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().try_for_each(|part| self.check_condition(part))
            }
            Condition::Not(inner) => self.check_condition(inner),
            Condition::Compare(left, _, right) => {
                self.check_expression(left)?;
                self.check_expression(right)
            }
            Condition::In(left, members, _) => {
                self.check_expression(left)?;
                members.iter().try_for_each(|member| self.check_expression(member))
            }
            Condition::IsNull(expression, _) => self.check_expression(expression),
        }
    }

    fn check_expression(&self, expression: &Expression) -> Result<(), QueryError> {
        match expression {
            Expression::Literal(_) => Ok(()),
            Expression::Column(qualifier, name) => {
                let alias = self.select.alias.as_deref().unwrap_or(&self.select.table);
                if qualifier.as_deref().is_some_and(|qualifier| !qualifier.eq_ignore_ascii_case(alias)) {
                    return Err(self.unknown_column(expression));
                }
                let known = self.account.clock(name).is_some() || self.table.has_column(name);
                if known { Ok(()) } else { Err(self.unknown_column(expression)) }
            }
            Expression::Call(name, arguments) => {
                const KNOWN: [&str; 10] = [
                    "TO_CHAR",
                    "TO_TIMESTAMP",
                    "TO_DATE",
                    "TO_NUMBER",
                    "UPPER",
                    "LOWER",
                    "NVL",
                    "COALESCE",
                    "CONCAT",
                    "BUILTIN.DF",
                ];
                if !KNOWN.contains(&name.as_str()) && !AGGREGATES.contains(&name.as_str()) {
                    return Err(QueryError(format!("Unknown identifier '{name}'")));
                }
                arguments.iter().try_for_each(|argument| self.check_expression(argument))
            }
        }
    }

    fn unknown_column(&self, expression: &Expression) -> QueryError {
        let Expression::Column(qualifier, name) = expression else {
            return QueryError("Unknown identifier".to_owned());
        };
        let shown = qualifier.as_ref().map_or(name.clone(), |qualifier| format!("{qualifier}.{name}"));
        QueryError(format!("Field '{shown}' for record '{}' was not found", self.select.table))
    }

    fn is_aggregate(&self) -> bool {
        self.select.columns.iter().any(|column| {
            matches!(&column.expression, Expression::Call(name, _) if AGGREGATES.contains(&name.as_str()))
        })
    }

    /// The only row of a query with `COUNT` and the like.
    fn aggregate(&self, rows: &[&Row]) -> Result<Value, QueryError> {
        let mut item = Map::new();
        item.insert("links".to_owned(), json!([]));
        for column in &self.select.columns {
            let cell = match &column.expression {
                Expression::Literal(cell) => cell.clone(),
                Expression::Call(name, arguments) => self.group(name, arguments.first(), rows)?,
                Expression::Column(..) => Cell::Null,
            };
            if let Some(printed) = cell.printed(&self.account.date_format)? {
                item.insert(column.name.clone(), json!(printed));
            }
        }
        Ok(Value::Object(item))
    }

    fn group(&self, name: &str, argument: Option<&Expression>, rows: &[&Row]) -> Result<Cell, QueryError> {
        let Some(argument) = argument else {
            return Ok(Cell::Number(Decimal::from(rows.len())));
        };
        let mut cells = Vec::new();
        for row in rows {
            let cell = self.value(row, argument)?;
            if !cell.is_null() {
                cells.push(cell);
            }
        }
        if name == "COUNT" {
            return Ok(Cell::Number(Decimal::from(cells.len())));
        }
        let mut result = Cell::Null;
        for cell in cells {
            let order = cell.compare(&result, &self.account.date_format)?;
            result = match (name, order, &result, &cell) {
                ("SUM", Some(_), Cell::Number(sum), Cell::Number(more)) => {
                    Cell::Number(sum.saturating_add(*more))
                }
                ("MIN", Some(Ordering::Less), ..) | ("MAX", Some(Ordering::Greater), ..) | (_, None, ..) => {
                    cell
                }
                _ => result,
            };
        }
        Ok(result)
    }

    fn print(&self, row: &Row) -> Result<Value, QueryError> {
        let mut item = Map::new();
        item.insert("links".to_owned(), json!([]));
        let mut add = |name: &str, cell: Cell| -> Result<(), QueryError> {
            // A column without a value is absent, not null.
            if let Some(printed) = cell.printed(&self.account.date_format)? {
                item.insert(name.to_owned(), json!(printed));
            }
            Ok(())
        };
        if self.select.columns.is_empty() {
            for name in self.table.columns() {
                add(&name, self.table.cell(self.account, row, &name))?;
            }
        }
        for column in &self.select.columns {
            add(&column.name, self.value(row, &column.expression)?)?;
        }
        Ok(Value::Object(item))
    }

    fn value(&self, row: &Row, expression: &Expression) -> Result<Cell, QueryError> {
        match expression {
            Expression::Literal(cell) => Ok(cell.clone()),
            Expression::Column(_, name) => {
                Ok(self.account.clock(name).unwrap_or_else(|| self.table.cell(self.account, row, name)))
            }
            Expression::Call(name, arguments) => self.call(row, name, arguments),
        }
    }

    fn call(&self, row: &Row, name: &str, arguments: &[Expression]) -> Result<Cell, QueryError> {
        if let ("BUILTIN.DF", [Expression::Column(_, column)]) = (name, arguments) {
            return Ok(self.table.shown(self.account, row, column));
        }
        let values =
            arguments.iter().map(|argument| self.value(row, argument)).collect::<Result<Vec<_>, _>>()?;
        let format = &self.account.date_format;
        let as_text = |cell: &Cell| Ok::<_, QueryError>(cell.printed(format)?.unwrap_or_default());
        match (name, values.as_slice()) {
            ("TO_CHAR", [Cell::Moment(at, offset), Cell::Text(wanted)]) => {
                print_moment(*at, *offset, wanted).map(Cell::Text)
            }
            // A number format only matters to people; digits are what a program wants.
            ("TO_CHAR", [cell] | [cell, _]) => Ok(Cell::text(as_text(cell)?)),
            ("TO_TIMESTAMP" | "TO_DATE", [Cell::Text(text), Cell::Text(wanted)]) => {
                Ok(Cell::Moment(read_moment(text, wanted)?, None))
            }
            ("TO_TIMESTAMP" | "TO_DATE", [Cell::Text(text)]) => {
                Ok(Cell::Moment(read_moment(text, format)?, None))
            }
            ("TO_TIMESTAMP" | "TO_DATE" | "TO_NUMBER", [Cell::Null, ..]) => Ok(Cell::Null),
            ("TO_NUMBER", [cell]) => parse_decimal(&as_text(cell)?)
                .map(Cell::Number)
                .ok_or_else(|| QueryError("invalid number".to_owned())),
            ("UPPER", [cell]) => Ok(Cell::text(as_text(cell)?.to_uppercase())),
            ("LOWER", [cell]) => Ok(Cell::text(as_text(cell)?.to_lowercase())),
            ("NVL" | "COALESCE", [first, ..]) => {
                Ok(values.iter().find(|cell| !cell.is_null()).unwrap_or(first).clone())
            }
            ("CONCAT", [left, right]) => Ok(Cell::text(as_text(left)? + &as_text(right)?)),
            _ => Err(QueryError(format!("invalid use of {name}"))),
        }
    }

    /// Whether a row satisfies a condition; `None` is neither yes nor no, as with a comparison to no value.
    fn holds(&self, row: &Row, condition: &Condition) -> Result<Option<bool>, QueryError> {
        match condition {
            Condition::All(parts) => self.joined(row, parts, false),
            Condition::Any(parts) => self.joined(row, parts, true),
            Condition::Not(inner) => Ok(self.holds(row, inner)?.map(|held| !held)),
            Condition::IsNull(expression, negated) => {
                Ok(Some(self.value(row, expression)?.is_null() != *negated))
            }
            Condition::In(expression, members, negated) => {
                let held = self.value(row, expression)?;
                let mut found = Some(false);
                for member in members {
                    match self.compare(expression, &held, Comparison::Equal, &self.value(row, member)?)? {
                        Some(true) => found = Some(true),
                        None if found == Some(false) => found = None,
                        _ => {}
                    }
                }
                Ok(found.map(|found| found != *negated))
            }
            Condition::Compare(left, operator, right) => {
                let (held, wanted) = (self.value(row, left)?, self.value(row, right)?);
                self.compare(left, &held, *operator, &wanted)
            }
        }
    }

    /// `OR` when `decisive` is true, else `AND`.
    fn joined(&self, row: &Row, parts: &[Condition], decisive: bool) -> Result<Option<bool>, QueryError> {
        let mut result = Some(!decisive);
        for part in parts {
            match self.holds(row, part)? {
                Some(held) if held == decisive => return Ok(Some(decisive)),
                Some(_) => {}
                None => result = None,
            }
        }
        Ok(result)
    }

    fn compare(
        &self,
        place: &Expression,
        held: &Cell,
        operator: Comparison,
        wanted: &Cell,
    ) -> Result<Option<bool>, QueryError> {
        if held.is_null() || wanted.is_null() {
            return Ok(None);
        }
        if operator == Comparison::Like {
            let format = &self.account.date_format;
            let texts = held.printed(format)?.zip(wanted.printed(format)?);
            return Ok(texts.map(|(text, pattern)| matches_pattern(&text, &pattern)));
        }
        // The documents spell record types both as `salesorder` and as `salesOrder`; both are understood here.
        let ignores_case = matches!(place, Expression::Column(_, name)
            if ["recordtypeid", "recordtype"].contains(&name.to_lowercase().as_str()));
        let ordering = match (held, wanted) {
            (Cell::Text(held), Cell::Text(wanted)) if ignores_case => {
                Some(held.to_lowercase().cmp(&wanted.to_lowercase()))
            }
            _ => held.compare(wanted, &self.account.date_format)?,
        };
        Ok(ordering.map(|ordering| match operator {
            Comparison::Equal => ordering.is_eq(),
            Comparison::NotEqual => ordering.is_ne(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual | Comparison::Like => ordering.is_ge(),
        }))
    }
}

/// `%` stands for any run, `_` for one character.
fn matches_pattern(text: &str, pattern: &str) -> bool {
    // Where the last `%` may start again: pattern after it, and the text from where it tries next.
    let mut retry: Option<(&str, &str)> = None;
    let (mut text, mut pattern) = (text, pattern);
    loop {
        let mut wanted = pattern.chars();
        let mut held = text.chars();
        match (wanted.next(), held.next()) {
            (None, None) => return true,
            (Some('%'), _) => {
                pattern = wanted.as_str();
                retry = Some((pattern, text));
                continue;
            }
            (Some(sign), Some(letter)) if sign == '_' || sign == letter => {
                (pattern, text) = (wanted.as_str(), held.as_str());
                continue;
            }
            _ => {}
        }
        let Some((after, from)) = retry else { return false };
        let mut from = from.chars();
        if from.next().is_none() {
            return false;
        }
        (pattern, text) = (after, from.as_str());
        retry = Some((after, text));
    }
}

/// Orders two rows by their keys; no value is larger than any value.
fn order_cells(left: &[Cell], right: &[Cell], keys: &[OrderBy], date_format: &str) -> Ordering {
    for ((left, right), key) in left.iter().zip(right).zip(keys) {
        let nulls_last = key.nulls_last.unwrap_or(!key.descending);
        let ordering = match (left.is_null(), right.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if nulls_last => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) if nulls_last => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                let natural = left.compare(right, date_format).ok().flatten().unwrap_or(Ordering::Equal);
                if key.descending { natural.reverse() } else { natural }
            }
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn patterns_match_runs_and_single_characters() {
        for (text, pattern, expected) in [
            ("Acme Ltd", "Acme%", true),
            ("Acme Ltd", "%L_d", true),
            ("Acme Ltd", "acme%", false),
            ("aXbXc", "a%X%c", true),
            ("abc", "a_", false),
            ("", "%", true),
            ("ä", "_", true),
        ] {
            assert_eq!(matches_pattern(text, pattern), expected, "{text} like {pattern}");
        }
    }
}
