//! What records an account has: their types, fields and places in the query tables.
//!
//! Plain data; nothing here reads a record.

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// A text.
    Text,
    /// A number with so many decimal places.
    Number(u32),
    /// A calendar date.
    Date,
    /// A moment, to the second.
    DateTime,
    /// Yes or no.
    Boolean,
    /// A record of that type; of any when empty.
    Reference(String),
    /// One of these options, `id` and shown name.
    Select(Vec<(String, String)>),
}

/// One field of a record type.
#[derive(Debug, Clone)]
pub struct FieldSeed {
    pub(super) name: String,
    pub(super) kind: FieldKind,
    pub(super) length: Option<usize>,
    pub(super) required: bool,
    pub(super) read_only: bool,
    pub(super) unique: bool,
    pub(super) columns: Vec<String>,
}

impl FieldSeed {
    /// A field of a kind; its column in queries is its name in lower case.
    pub fn new(name: &str, kind: FieldKind) -> FieldSeed {
        FieldSeed {
            name: name.to_owned(),
            kind,
            length: None,
            required: false,
            read_only: false,
            unique: false,
            columns: vec![name.to_lowercase()],
        }
    }

    /// A text field.
    pub fn text(name: &str) -> FieldSeed {
        FieldSeed::new(name, FieldKind::Text)
    }

    /// A number field; what has more decimal places is rounded when it is saved.
    pub fn number(name: &str, scale: u32) -> FieldSeed {
        FieldSeed::new(name, FieldKind::Number(scale))
    }

    /// A date field.
    pub fn date(name: &str) -> FieldSeed {
        FieldSeed::new(name, FieldKind::Date)
    }

    /// A date and time field.
    pub fn datetime(name: &str) -> FieldSeed {
        FieldSeed::new(name, FieldKind::DateTime)
    }

    /// A check box.
    pub fn boolean(name: &str) -> FieldSeed {
        FieldSeed::new(name, FieldKind::Boolean)
    }

    /// A reference to a record of that type; of any type when it is empty.
    pub fn reference(name: &str, target: &str) -> FieldSeed {
        FieldSeed::new(name, FieldKind::Reference(target.to_owned()))
    }

    /// A list of options, `id` and shown name.
    pub fn select(name: &str, options: &[(&str, &str)]) -> FieldSeed {
        let options = options.iter().map(|(id, shown)| ((*id).to_owned(), (*shown).to_owned())).collect();
        FieldSeed::new(name, FieldKind::Select(options))
    }

    /// The same field with a greatest length in characters.
    pub fn length(mut self, length: usize) -> FieldSeed {
        self.length = Some(length);
        self
    }

    /// The same field, required.
    pub fn required(mut self) -> FieldSeed {
        self.required = true;
        self
    }

    /// The same field, which the API refuses to write.
    pub fn read_only(mut self) -> FieldSeed {
        self.read_only = true;
        self
    }

    /// The same field, whose value no two records of the type may share.
    pub fn unique(mut self) -> FieldSeed {
        self.unique = true;
        self
    }

    /// The same field with one more column name in queries.
    pub fn column(mut self, name: &str) -> FieldSeed {
        self.columns.push(name.to_lowercase());
        self
    }
}

/// One record type.
#[derive(Debug, Clone)]
pub struct RecordSeed {
    pub(super) name: String,
    pub(super) table: String,
    pub(super) code: String,
    pub(super) fields: Vec<FieldSeed>,
}

/// The field that holds the external id.
pub(super) const EXTERNAL_ID: &str = "externalId";
/// The field that holds when the record was made.
pub(super) const CREATED: &str = "createdDate";
/// The field that holds when the record was last saved.
pub(super) const MODIFIED: &str = "lastModifiedDate";
/// The query table of what was deleted.
pub(super) const DELETED_TABLE: &str = "deletedrecord";

impl RecordSeed {
    /// A record type with the fields that all types have: `externalId`, `createdDate` and `lastModifiedDate`.
    ///
    /// `name` is the type in paths (`salesOrder`), `table` the one in queries (`transaction`), and `code` what
    /// the table's type column says of it (`SalesOrd`; empty for a table without one).
    pub fn new(name: &str, table: &str, code: &str) -> RecordSeed {
        RecordSeed {
            name: name.to_owned(),
            table: table.to_lowercase(),
            code: code.to_owned(),
            fields: vec![
                FieldSeed::text(EXTERNAL_ID).length(255).unique(),
                FieldSeed::datetime(CREATED).read_only().column("datecreated"),
                FieldSeed::datetime(MODIFIED).read_only().column("lastmodified"),
            ],
        }
    }

    /// The same type with one more field.
    pub fn field(mut self, field: FieldSeed) -> RecordSeed {
        self.fields.retain(|known| known.name != field.name);
        self.fields.push(field);
        self
    }

    /// Sales orders, in the table `transaction` with the code `SalesOrd`.
    pub fn sales_order() -> RecordSeed {
        RecordSeed::new("salesOrder", "transaction", "SalesOrd")
            .field(FieldSeed::text("tranId").length(45))
            .field(FieldSeed::number("total", 2).column("foreigntotal"))
            .field(FieldSeed::date("shipDate"))
            .field(FieldSeed::text("memo").length(999))
            .field(FieldSeed::text("status").length(60))
            .field(FieldSeed::text("custbody_approval").length(300))
            .field(FieldSeed::reference("entity", "customer"))
    }

    /// Customers.
    pub fn customer() -> RecordSeed {
        RecordSeed::new("customer", "customer", "")
            .field(FieldSeed::text("companyName").length(83))
            .field(FieldSeed::text("entityId").length(83).required().unique())
            .field(FieldSeed::text("email").length(254))
            .field(FieldSeed::text("phone").length(32))
            .field(FieldSeed::boolean("isInactive"))
    }

    /// Stock items, in the table `item` with the code `InvtPart`.
    pub fn inventory_item() -> RecordSeed {
        RecordSeed::new("inventoryItem", "item", "InvtPart")
            .field(FieldSeed::text("itemId").length(60).required().unique())
            .field(FieldSeed::text("displayName").length(250))
            .field(FieldSeed::boolean("isInactive"))
    }

    /// The field of that name, as paths and bodies spell it.
    pub(super) fn find(&self, name: &str) -> Option<&FieldSeed> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field behind a column of queries.
    pub(super) fn find_column(&self, column: &str) -> Option<&FieldSeed> {
        self.fields.iter().find(|field| field.columns.iter().any(|name| name.eq_ignore_ascii_case(column)))
    }

    /// What `recordtype` says of it.
    pub(super) fn script_id(&self) -> String {
        self.name.to_lowercase()
    }

    /// The rows of the table of what was deleted.
    pub(super) fn deleted() -> RecordSeed {
        RecordSeed {
            name: "deletedRecord".to_owned(),
            table: DELETED_TABLE.to_owned(),
            code: String::new(),
            fields: vec![
                FieldSeed::number("recordid", 0),
                FieldSeed::text("recordtypeid").column("type"),
                FieldSeed::datetime("deleteddate"),
                FieldSeed::text("name"),
                FieldSeed::text("deletedby"),
            ],
        }
    }
}

/// All record types of an account.
#[derive(Debug, Clone, Default)]
pub(super) struct Schema {
    pub(super) types: Vec<RecordSeed>,
}

impl Schema {
    /// The type that a path or a control request names; case does not matter.
    pub(super) fn record(&self, name: &str) -> Option<&RecordSeed> {
        self.types.iter().find(|record| record.name.eq_ignore_ascii_case(name))
    }

    /// The types whose records are rows of a query table.
    pub(super) fn in_table(&self, table: &str) -> Vec<&RecordSeed> {
        self.types.iter().filter(|record| record.table.eq_ignore_ascii_case(table)).collect()
    }
}
