//! Between JSON and values.
use super::value::{FieldType, Value};
use serde_json::Value as Json;
impl FieldType {
    /// Reads `text`, `decimal(2)`, `ref(customers)`.
    pub fn parse(_text: &str) -> Result<FieldType, String> {
        todo!()
    }
    /// Reads a raw value as this type. A `ref` reads as the other record's id (a text); the engine turns it into a link.
    pub fn read(&self, _raw: &Json) -> Result<Value, String> {
        todo!()
    }
    /// How a value of this type is written.
    pub fn write(&self, _value: &Value) -> Json {
        todo!()
    }
}
