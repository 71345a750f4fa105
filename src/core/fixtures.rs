//! Sides, fields and members for the tests of the decision core. Not part of the product.

use std::time::Duration;

use super::lens::{Lens, LensParts};
use super::spec::{FieldSpec, OnDelete, OnUncertain, SideSpec};
use super::value::{FieldType, Value};

/// A side with this name and nothing special about it.
pub fn side(name: &str) -> SideSpec {
    SideSpec {
        name: name.to_owned(),
        system: name.to_owned(),
        entity: "thing".to_owned(),
        template: None,
        create_for: Vec::new(),
        defaults: Vec::new(),
        marker: None,
        on_delete: OnDelete::Unlink,
        archived_is_deleted: false,
        search_lag: Duration::ZERO,
        on_uncertain: OnUncertain::Hold,
        reopen: false,
    }
}

/// Sides `a`, `b`, `c`, ...
pub fn sides(count: usize) -> Vec<SideSpec> {
    ["a", "b", "c", "d", "e"].iter().take(count).map(|name| side(name)).collect()
}

/// A plain lens.
pub fn lens(kind: FieldType) -> Lens {
    Lens::new(LensParts { path: "x".to_owned(), kind: Some(kind), ..LensParts::default() }).unwrap()
}

/// A field with a plain lens on every side.
pub fn field(name: &str, kind: FieldType, count: usize) -> FieldSpec {
    FieldSpec {
        name: name.to_owned(),
        kind: kind.clone(),
        lenses: (0..count).map(|_| Some(lens(kind.clone()))).collect(),
        key: false,
        owner: None,
        normalise: Vec::new(),
        keep_on_blank: false,
        truncate: false,
    }
}

/// A number.
pub fn number(text: &str) -> Value {
    Value::number(text.parse().unwrap())
}
