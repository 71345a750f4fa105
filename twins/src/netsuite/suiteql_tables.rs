//! The tables of queries: which rows there are and what their columns hold.
//!
//! The table of what was deleted is read from the history, so that no deletion can miss it.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::answers::{stamp, text};
use super::schema::{DELETED_TABLE, FieldKind, RecordSeed, Schema};
use super::suiteql_cell::{Cell, parse_decimal};
use super::values;
use crate::kit::World;

/// How an account shows times and dates.
pub(super) struct Account {
    pub(super) zone: TimeZone,
    pub(super) date_format: String,
    pub(super) now: Timestamp,
    /// What references show, looked up before the query runs.
    pub(super) names: std::collections::BTreeMap<String, String>,
}

/// One row.
pub(super) struct Row {
    /// Position of its type in the table's types.
    of_type: usize,
    id: String,
    record: Arc<Value>,
}

/// One table with its rows.
pub(super) struct Table<'a> {
    types: Vec<&'a RecordSeed>,
    /// The column that holds the types' code, when they have one.
    code_column: Option<&'static str>,
    has_id: bool,
    pub(super) rows: Vec<Row>,
}

impl Account {
    /// The system's clock, where a query names it.
    pub(super) fn clock(&self, name: &str) -> Option<Cell> {
        let known = ["systimestamp", "sysdate", "current_timestamp", "current_date"];
        if !known.iter().any(|clock| name.eq_ignore_ascii_case(clock)) {
            return None;
        }
        let now = self.now.to_zoned(self.zone.clone());
        Some(Cell::Moment(now.datetime(), Some(now.offset())))
    }

    fn wall_clock(&self, text: &str) -> Option<DateTime> {
        let at: Timestamp = text.parse().ok()?;
        Some(at.to_zoned(self.zone.clone()).datetime())
    }
}

impl<'a> Table<'a> {
    /// The table of that name with the rows that the caller may see; `None` when there is none.
    pub(super) fn open(
        world: &World,
        schema: &'a Schema,
        deleted: &'a RecordSeed,
        name: &str,
    ) -> Option<Table<'a>> {
        if name.eq_ignore_ascii_case("dual") {
            let rows = vec![Row { of_type: 0, id: String::new(), record: Arc::new(json!({})) }];
            return Some(Table { types: Vec::new(), code_column: None, has_id: false, rows });
        }
        if name.eq_ignore_ascii_case(DELETED_TABLE) {
            let rows = deleted_rows(world, schema);
            return Some(Table { types: vec![deleted], code_column: None, has_id: false, rows });
        }
        let types = schema.in_table(name);
        let first = types.first()?;
        let code_column = match (first.code.is_empty(), first.table.as_str()) {
            (true, _) => None,
            (false, "item") => Some("itemtype"),
            (false, _) => Some("type"),
        };
        let mut rows = Vec::new();
        for (of_type, record) in types.iter().enumerate() {
            let records = world.list(&record.name).into_iter();
            rows.extend(records.map(|(id, record)| Row { of_type, id, record }));
        }
        Some(Table { types, code_column, has_id: true, rows })
    }

    /// Whether there is a column of that name.
    pub(super) fn has_column(&self, name: &str) -> bool {
        let of_table = self.has_id && (name.eq_ignore_ascii_case("id") || self.is_type_column(name));
        of_table || self.types.iter().any(|record| record.find_column(name).is_some())
    }

    /// The names of all columns, for `SELECT *`.
    pub(super) fn columns(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if self.has_id {
            names.push("id".to_owned());
        }
        if let Some(column) = self.code_column {
            names.extend([column.to_owned(), "recordtype".to_owned()]);
        }
        for field in self.types.iter().flat_map(|record| &record.fields) {
            names.extend(field.columns.first().filter(|name| !names.contains(name)).cloned());
        }
        names
    }

    fn is_type_column(&self, name: &str) -> bool {
        self.code_column.is_some_and(|column| {
            column.eq_ignore_ascii_case(name) || name.eq_ignore_ascii_case("recordtype")
        })
    }

    /// What a column of a row holds.
    pub(super) fn cell(&self, account: &Account, row: &Row, name: &str) -> Cell {
        let Some(of_type) = self.types.get(row.of_type) else { return Cell::Null };
        if self.has_id && name.eq_ignore_ascii_case("id") {
            return parse_decimal(&row.id).map_or_else(|| Cell::text(row.id.clone()), Cell::Number);
        }
        if self.has_id && self.is_type_column(name) {
            let is_code = !name.eq_ignore_ascii_case("recordtype");
            return Cell::text(if is_code { of_type.code.clone() } else { of_type.script_id() });
        }
        let Some(field) = of_type.find_column(name) else { return Cell::Null };
        cell_of(account, row.record.get(&field.name), &field.kind)
    }

    /// What `BUILTIN.DF` shows of a column: the name behind a reference or option, else the value.
    pub(super) fn shown(&self, account: &Account, row: &Row, name: &str) -> Cell {
        let field = self.types.get(row.of_type).and_then(|of_type| of_type.find_column(name));
        let value = field.and_then(|field| row.record.get(&field.name));
        let id = value.map(|value| text(value, "id")).unwrap_or_default();
        match field.map(|field| &field.kind) {
            Some(FieldKind::Reference(_)) => Cell::text(account.names.get(id).cloned().unwrap_or_default()),
            Some(FieldKind::Select(options)) => {
                let option = options.iter().find(|(option, _)| option == id);
                Cell::text(option.map(|(_, shown)| shown.clone()).unwrap_or_default())
            }
            _ => self.cell(account, row, name),
        }
    }
}

/// A stored value as a query sees it.
fn cell_of(account: &Account, value: Option<&Value>, kind: &FieldKind) -> Cell {
    match (value, kind) {
        (Some(Value::Bool(flag)), _) => Cell::text(if *flag { "T" } else { "F" }),
        // A box that was never ticked is not ticked.
        (None | Some(Value::Null), FieldKind::Boolean) => Cell::text("F"),
        (None | Some(Value::Null), _) => Cell::Null,
        (Some(Value::Number(number)), _) => {
            parse_decimal(&number.to_string()).map_or_else(|| Cell::text(number.to_string()), Cell::Number)
        }
        (Some(Value::String(text)), FieldKind::Date) => text
            .parse::<Date>()
            .map_or_else(|_| Cell::text(text.clone()), |date| Cell::Moment(date.at(0, 0, 0, 0), None)),
        (Some(Value::String(text)), FieldKind::DateTime) => {
            account.wall_clock(text).map_or_else(|| Cell::text(text.clone()), |at| Cell::Moment(at, None))
        }
        (Some(Value::String(text)), _) => Cell::text(text.clone()),
        (Some(object @ Value::Object(_)), _) => {
            let id = text(object, "id");
            parse_decimal(id).map_or_else(|| Cell::text(id), Cell::Number)
        }
        (Some(Value::Array(_)), _) => Cell::Null,
    }
}

/// One row for each record that was taken out and is not there again.
fn deleted_rows(world: &World, schema: &Schema) -> Vec<Row> {
    let mut rows = Vec::new();
    for event in world.history() {
        let Some(record) = schema.types.iter().find(|record| record.name == event.entity) else { continue };
        if !event.after.is_null()
            || event.before.is_null()
            || world.get_any(&event.entity, &event.id).is_some()
        {
            continue;
        }
        let mut row = json!({
            "recordtypeid": record.script_id(), "deleteddate": stamp(event.at),
            "name": values::display_name(record, &event.before), "deletedby": event.actor,
        });
        let id = event.id.parse::<Decimal>().map_or_else(
            |_| json!(event.id),
            |_| event.id.parse::<serde_json::Number>().map_or_else(|_| json!(event.id), Value::Number),
        );
        super::answers::put(&mut row, "recordid", id);
        rows.push(Row { of_type: 0, id: event.seq.to_string(), record: Arc::new(row) });
    }
    rows
}
