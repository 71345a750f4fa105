//! A record as every part of the program sees it: an id, a version, and the values at the requested paths.
//!
//! The forms in which one record appears (listing, read by id, answer to a write) decode to the same
//! `Record`; that is what lets a read-back cause no change at the next poll. No field of it is compared
//! except `values` and `archived`.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// The values of a record by path, as the connector decoded them. A path that is not in the map is absent.
pub type Values = BTreeMap<String, serde_json::Value>;

/// One observed record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The id that the system gave, in the one spelling the connector normalises to.
    pub id: String,
    /// An opaque token that changes when the record changes (ETag, row version, stamp); `None` where the
    /// API shows none. Echoed as the condition of a write, never interpreted.
    pub version: Option<String>,
    /// When the system says it was last changed, by that system's clock. A hint for `newest` only.
    pub updated_at: Option<Timestamp>,
    /// Archived, inactive, in the recycle bin: still there, but put away.
    pub archived: bool,
    /// The requested paths that the record has.
    pub values: Values,
}

impl Record {
    /// The canonical text that is stored in the mirror and hashed: sorted paths, values as decoded.
    /// `version` and `updated_at` are not part of it: they move when unmapped fields do.
    ///
    /// # Errors
    /// Never in practice: only if a value cannot be written as JSON.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.values)
    }
}
