//! Which objects and fields there are, and how they describe themselves.
//!
//! This file must not read or write records.

use serde_json::{Value, json};

/// What sort of value a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// A record's own id.
    Id,
    /// The id of another record.
    Reference,
    /// One line of text.
    Text,
    /// Several lines; longer than 255 characters it cannot be filtered or sorted by.
    TextArea,
    /// One of a list.
    Picklist,
    /// Some of a list, joined by semicolons.
    MultiPicklist,
    /// An amount of money.
    Currency,
    /// A decimal number.
    Double,
    /// A percentage.
    Percent,
    /// A whole number.
    Int,
    /// Yes or no, never empty.
    Boolean,
    /// A calendar date.
    Date,
    /// A moment, to the second.
    DateTime,
    /// An email address.
    Email,
    /// A telephone number.
    Phone,
    /// An address on the web.
    Url,
}

impl FieldType {
    /// The name in a describe.
    pub(super) fn name(self) -> &'static str {
        match self {
            FieldType::Id => "id",
            FieldType::Reference => "reference",
            FieldType::Text => "string",
            FieldType::TextArea => "textarea",
            FieldType::Picklist => "picklist",
            FieldType::MultiPicklist => "multipicklist",
            FieldType::Currency => "currency",
            FieldType::Double => "double",
            FieldType::Percent => "percent",
            FieldType::Int => "int",
            FieldType::Boolean => "boolean",
            FieldType::Date => "date",
            FieldType::DateTime => "datetime",
            FieldType::Email => "email",
            FieldType::Phone => "phone",
            FieldType::Url => "url",
        }
    }

    /// Whether it is a number.
    pub(super) fn is_number(self) -> bool {
        matches!(self, FieldType::Currency | FieldType::Double | FieldType::Percent | FieldType::Int)
    }

    fn soap_name(self) -> &'static str {
        match self {
            FieldType::Id | FieldType::Reference => "tns:ID",
            FieldType::Currency | FieldType::Double | FieldType::Percent => "xsd:double",
            FieldType::Int => "xsd:int",
            FieldType::Boolean => "xsd:boolean",
            FieldType::Date => "xsd:date",
            FieldType::DateTime => "xsd:dateTime",
            _ => "xsd:string",
        }
    }
}

/// One field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSeed {
    /// API name: `Amount`, `ERP_Order__c`.
    pub name: String,
    /// What it holds.
    pub kind: FieldType,
    /// Longest text in characters, or digits of a number in all.
    pub length: u32,
    /// Digits after the point.
    pub scale: u32,
    /// Allowed values; none means any.
    pub picklist: Vec<String>,
    /// Whether it must have a value.
    pub required: bool,
    /// Whether records can be addressed by it.
    pub external_id: bool,
    /// Whether no two records may share a value.
    pub unique: bool,
    /// Whether the API refuses to write it: formulas, stamps, numbers that the server gives.
    pub read_only: bool,
    /// The object that a reference points to.
    pub refers_to: Option<String>,
    /// How the server numbers new records, as in `{00000000}`.
    pub auto_number: bool,
}

impl FieldSeed {
    /// A field with the usual length of its type, which anybody may leave empty.
    pub fn new(name: &str, kind: FieldType) -> FieldSeed {
        let (length, scale) = match kind {
            FieldType::Id | FieldType::Reference => (18, 0),
            FieldType::TextArea => (32_000, 0),
            FieldType::Currency => (18, 2),
            FieldType::Double | FieldType::Percent => (18, 2),
            FieldType::Int => (9, 0),
            FieldType::Email => (80, 0),
            FieldType::Phone => (40, 0),
            FieldType::MultiPicklist => (4099, 0),
            FieldType::Boolean | FieldType::Date | FieldType::DateTime => (0, 0),
            FieldType::Text | FieldType::Picklist | FieldType::Url => (255, 0),
        };
        FieldSeed {
            name: name.to_owned(),
            kind,
            length,
            scale,
            picklist: Vec::new(),
            required: false,
            external_id: false,
            unique: false,
            read_only: false,
            refers_to: None,
            auto_number: false,
        }
    }

    /// A text of at most so many characters.
    pub fn text(name: &str, length: u32) -> FieldSeed {
        FieldSeed { length, ..FieldSeed::new(name, FieldType::Text) }
    }

    /// A number with so many digits in all and so many after the point.
    pub fn number(name: &str, kind: FieldType, digits: u32, scale: u32) -> FieldSeed {
        FieldSeed { length: digits, scale, ..FieldSeed::new(name, kind) }
    }

    /// A restricted picklist.
    pub fn picklist(name: &str, values: &[&str]) -> FieldSeed {
        let picklist = values.iter().map(|&value| value.to_owned()).collect();
        FieldSeed { picklist, ..FieldSeed::new(name, FieldType::Picklist) }
    }

    /// A reference to another object.
    pub fn reference(name: &str, to: &str) -> FieldSeed {
        FieldSeed { refers_to: Some(to.to_owned()), ..FieldSeed::new(name, FieldType::Reference) }
    }

    /// The same field, which must have a value.
    pub fn required(mut self) -> FieldSeed {
        self.required = true;
        self
    }

    /// The same field as an external id; it is unique unless `shared` is called.
    pub fn external_id(mut self) -> FieldSeed {
        self.external_id = true;
        self.unique = true;
        self
    }

    /// The same external id without the promise that no two records share a value.
    pub fn shared(mut self) -> FieldSeed {
        self.unique = false;
        self
    }

    /// The same field, closed to the API.
    pub fn read_only(mut self) -> FieldSeed {
        self.read_only = true;
        self
    }

    /// The same field, numbered by the server.
    pub fn auto_number(mut self) -> FieldSeed {
        self.auto_number = true;
        self.read_only()
    }

    /// The name under which the referred record hangs: `Account` for `AccountId`, `Ship__r` for `Ship__c`.
    pub(super) fn relationship(&self) -> Option<String> {
        self.refers_to.as_ref()?;
        match self.name.strip_suffix("__c") {
            Some(stem) => Some(format!("{stem}__r")),
            None => self.name.strip_suffix("Id").map(str::to_owned),
        }
    }

    /// Whether it can stand in a condition or an order.
    pub(super) fn is_filterable(&self) -> bool {
        self.kind != FieldType::TextArea || self.length <= 255
    }

    fn describe(&self, is_name: bool) -> Value {
        let is_text = !self.kind.is_number()
            && !matches!(self.kind, FieldType::Boolean | FieldType::Date | FieldType::DateTime);
        let values: Vec<Value> = self
            .picklist
            .iter()
            .map(|value| json!({"active": true, "defaultValue": false, "label": value, "validFor": null, "value": value}))
            .collect();
        let references: Vec<&String> = self.refers_to.iter().collect();
        let writable = !self.read_only;
        let long = self.kind == FieldType::TextArea && self.length > 255;
        json!({
            "aggregatable": self.is_filterable(), "autoNumber": self.auto_number, "byteLength": if is_text { self.length * 3 } else { 0 },
            "calculated": false, "caseSensitive": false, "createable": writable, "custom": self.name.ends_with("__c"),
            "defaultedOnCreate": self.read_only || self.kind == FieldType::Boolean, "deprecatedAndHidden": false,
            "digits": if self.kind == FieldType::Int { self.length } else { 0 }, "externalId": self.external_id,
            "extraTypeInfo": if long { json!("plaintextarea") } else { Value::Null },
            "filterable": self.is_filterable(), "groupable": self.is_filterable() && !self.kind.is_number(),
            "idLookup": self.external_id || self.kind == FieldType::Id, "label": label(&self.name),
            "length": if is_text { self.length } else { 0 }, "name": self.name, "nameField": is_name,
            "nillable": !self.required && self.kind != FieldType::Boolean && !self.read_only,
            "permissionable": !self.required && !self.read_only, "picklistValues": values,
            "precision": if self.kind.is_number() && self.kind != FieldType::Int { self.length } else { 0 },
            "referenceTo": references, "relationshipName": self.relationship(),
            "restrictedPicklist": !self.picklist.is_empty(), "scale": self.scale, "soapType": self.kind.soap_name(),
            "sortable": self.is_filterable(), "type": self.kind.name(), "unique": self.unique, "updateable": writable,
        })
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSeed {
    /// API name: `Opportunity`, `Shipment__c`.
    pub name: String,
    /// Its own fields; `Id`, `IsDeleted` and the stamps come by themselves.
    pub fields: Vec<FieldSeed>,
    /// The first three characters of its ids; given by the builder when absent.
    pub key_prefix: Option<String>,
}

impl ObjectSeed {
    /// An object with these fields.
    pub fn new(name: &str, fields: Vec<FieldSeed>) -> ObjectSeed {
        ObjectSeed { name: name.to_owned(), fields, key_prefix: None }
    }

    /// Opportunities: amount, close date, stage, the ERP's order number and what Tallyfy decided.
    pub fn opportunity() -> ObjectSeed {
        let stages = [
            "Prospecting",
            "Qualification",
            "Proposal/Price Quote",
            "Negotiation/Review",
            "Closed Won",
            "Closed Lost",
        ];
        ObjectSeed::new(
            "Opportunity",
            vec![
                FieldSeed::text("Name", 120).required(),
                FieldSeed::reference("AccountId", "Account"),
                FieldSeed::number("Amount", FieldType::Currency, 18, 2),
                FieldSeed::new("CloseDate", FieldType::Date).required(),
                FieldSeed::picklist("StageName", &stages).required(),
                FieldSeed::new("Description", FieldType::TextArea),
                FieldSeed::text("ERP_Order__c", 80),
                FieldSeed::picklist("Approval__c", &["approved", "rejected", "pending"]),
                FieldSeed::text("Tallyfy_Id__c", 64).external_id(),
            ],
        )
    }

    /// Accounts.
    pub fn account() -> ObjectSeed {
        ObjectSeed::new(
            "Account",
            vec![
                FieldSeed::text("Name", 255).required(),
                FieldSeed::new("Phone", FieldType::Phone),
                FieldSeed::new("Website", FieldType::Url),
                FieldSeed::text("AccountNumber", 40),
                FieldSeed::new("Description", FieldType::TextArea),
                FieldSeed::text("ERP_Customer__c", 80).external_id().shared(),
            ],
        )
    }

    /// Cases, numbered by the server.
    pub fn case() -> ObjectSeed {
        ObjectSeed::new(
            "Case",
            vec![
                FieldSeed::text("CaseNumber", 30).auto_number(),
                FieldSeed::reference("AccountId", "Account"),
                FieldSeed::text("Subject", 255),
                FieldSeed::picklist("Priority", &["High", "Medium", "Low"]),
                FieldSeed::picklist("Status", &["New", "Working", "Escalated", "Closed"]),
                FieldSeed::new("Description", FieldType::TextArea),
            ],
        )
    }

    /// The object with what every object has.
    pub(super) fn completed(mut self, number: usize) -> ObjectSeed {
        let known = match self.name.as_str() {
            "Account" => "001",
            "Contact" => "003",
            "User" => "005",
            "Opportunity" => "006",
            "Lead" => "00Q",
            "Product2" => "01t",
            "Order" => "801",
            "Case" => "500",
            _ => "",
        };
        let given = if known.is_empty() { format!("a{number:02}") } else { known.to_owned() };
        self.key_prefix.get_or_insert(given);
        let stamp = |name: &str, kind| FieldSeed::new(name, kind).read_only();
        let mut fields = vec![stamp("Id", FieldType::Id), stamp("IsDeleted", FieldType::Boolean)];
        if self.is_mergeable() {
            fields.push(FieldSeed::reference("MasterRecordId", &self.name).read_only());
        }
        fields.append(&mut self.fields);
        fields.extend([
            stamp("CreatedDate", FieldType::DateTime),
            FieldSeed::reference("CreatedById", "User").read_only(),
            stamp("LastModifiedDate", FieldType::DateTime),
            FieldSeed::reference("LastModifiedById", "User").read_only(),
            stamp("SystemModstamp", FieldType::DateTime),
        ]);
        self.fields = fields;
        self
    }

    /// Whether two of its records can be made one.
    pub(super) fn is_mergeable(&self) -> bool {
        matches!(self.name.as_str(), "Account" | "Contact" | "Lead" | "Case")
    }

    /// The field of that name, in any case.
    pub(super) fn field(&self, name: &str) -> Option<&FieldSeed> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    fn summary(&self, base: &str) -> Value {
        let row = format!("{base}/sobjects/{}", self.name);
        json!({
            "activateable": false, "createable": true, "custom": self.name.ends_with("__c"), "customSetting": false,
            "deletable": true, "deprecatedAndHidden": false, "feedEnabled": false, "keyPrefix": self.key_prefix,
            "label": label(&self.name), "labelPlural": format!("{}s", label(&self.name)), "layoutable": true,
            "mergeable": self.is_mergeable(), "mruEnabled": true, "name": self.name, "queryable": true,
            "replicateable": true, "retrieveable": true, "searchable": true, "triggerable": true, "undeletable": true,
            "updateable": true,
            "urls": {"sobject": row, "describe": format!("{row}/describe"), "rowTemplate": format!("{row}/{{ID}}")},
        })
    }

    /// What `describe` answers.
    pub(super) fn describe(&self, base: &str) -> Value {
        let mut shown = self.summary(base);
        let fields: Vec<Value> = self
            .fields
            .iter()
            .map(|field| field.describe(field.name == "Name" || field.auto_number))
            .collect();
        super::answers::put(&mut shown, "fields", Value::Array(fields));
        super::answers::put(&mut shown, "childRelationships", json!([]));
        super::answers::put(&mut shown, "recordTypeInfos", json!([]));
        shown
    }
}

/// What `sobjects` answers.
pub(super) fn describe_all(objects: &[ObjectSeed], base: &str) -> Value {
    let shown: Vec<Value> = objects.iter().map(|object| object.summary(base)).collect();
    json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": shown})
}

/// A label as people read it: `ERP Order` for `ERP_Order__c`.
fn label(name: &str) -> String {
    name.strip_suffix("__c").unwrap_or(name).replace('_', " ")
}
