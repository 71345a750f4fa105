//! Looking into JSON text without building values: what is not asked for is skipped in the same pass.
//!
//! A sweep reads every byte of every page; whether it is read once or three times decides what a poll costs.
//! Nothing here knows records, codecs or definitions. Pure.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

/// A JSON pointer, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Takes a pointer apart.
    pub fn new(pointer: &str) -> Self {
        let tokens = pointer.split('/').skip(1).filter(|token| !token.is_empty());
        Self(tokens.map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
    }
}

/// The raw text at a pointer; `None` when it is not there.
///
/// # Errors
/// When the text is no JSON.
pub fn at<'a>(body: &'a str, pointer: &str) -> Result<Option<&'a RawValue>, String> {
    whole(body, &Pointer::new(pointer)).map_err(|error| format!("the answer is not valid JSON: {error}"))
}

/// The items of the list at a pointer, as they stand in the text.
///
/// # Errors
/// When there is no list: that is never an empty page.
pub fn split<'a>(body: &'a str, pointer: &str) -> Result<Vec<&'a RawValue>, String> {
    match whole(body, &Pointer::new(pointer)) {
        Ok(Some(items)) => Ok(items),
        Ok(None) => Err(format!("the answer has no {pointer:?}")),
        Err(error) if error.is_data() => Err(format!("{pointer:?} of the answer is not a list")),
        Err(error) => Err(format!("the answer is not valid JSON: {error}")),
    }
}

/// A small value at a pointer.
pub fn value_at(body: &str, pointer: &str) -> Option<Json> {
    whole(body, &Pointer::new(pointer)).ok()?
}

/// A small value at a pointer of text that is known to be valid JSON: what stands behind it is not read.
pub fn first_at(valid: &str, pointer: &Pointer) -> Option<Json> {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_str(valid);
    let descent = Descent { tokens: &pointer.0, found: &mut found, stop: true };
    // Stopping in the middle is an error to the reader, and what we want.
    let _ = descent.deserialize(&mut reader);
    found
}

/// An object with those of its members that are wanted.
///
/// # Errors
/// When the text is no JSON object.
pub fn members(raw: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Json, serde_json::Error> {
    struct Members<'w>(&'w dyn Fn(&str) -> bool);

    impl<'de> Visitor<'de> for Members<'_> {
        type Value = Json;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
            let mut kept = Map::new();
            while let Some(name) = map.next_key_seed(Name)? {
                if (self.0)(&name) {
                    kept.insert(name.into_owned(), map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(Json::Object(kept))
        }
    }

    let mut reader = serde_json::Deserializer::from_str(raw);
    let object = reader.deserialize_map(Members(wanted))?;
    reader.end()?;
    Ok(object)
}

fn whole<'a, T: Deserialize<'a>>(body: &'a str, pointer: &Pointer) -> Result<Option<T>, serde_json::Error> {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_str(body);
    Descent { tokens: &pointer.0, found: &mut found, stop: false }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(found)
}

/// Goes down along the tokens; the value at the end is read, everything beside the way is skipped.
struct Descent<'t, 'f, T> {
    tokens: &'t [String],
    found: &'f mut Option<T>,
    /// Nothing is read after the value was found.
    stop: bool,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Descent<'_, '_, T> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        match self.tokens.split_first() {
            None => {
                *self.found = Some(T::deserialize(reader)?);
                Ok(())
            }
            Some((token, rest)) => {
                let step = Step { token, rest, found: self.found, stop: self.stop, kind: PhantomData };
                reader.deserialize_any(step)
            }
        }
    }
}

struct Step<'t, 'f, T> {
    token: &'t str,
    rest: &'t [String],
    found: &'f mut Option<T>,
    stop: bool,
    kind: PhantomData<T>,
}

impl<T> Step<'_, '_, T> {
    fn descent(&mut self) -> Descent<'_, '_, T> {
        Descent { tokens: self.rest, found: &mut *self.found, stop: self.stop }
    }

    fn over<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.stop && self.found.is_some() { Err(E::custom("found")) } else { Ok(()) }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Step<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            if name == self.token {
                map.next_value_seed(self.descent())?;
                self.over::<A::Error>()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let wanted = self.token.parse::<usize>().ok();
        let mut place = 0;
        loop {
            let more = if Some(place) == wanted {
                let more = list.next_element_seed(self.descent())?.is_some();
                self.over::<A::Error>()?;
                more
            } else {
                list.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            place += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key, borrowed where it holds no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        reader.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_value_is_found_without_reading_on() {
        let text = r#"{"n":1.50,"a":{"x":[{"id":7},{"id":"b"}]},"id":"c"}"#;
        assert_eq!(first_at(text, &Pointer::new("/id")), Some(json!("c")));
        assert_eq!(first_at(text, &Pointer::new("/a/x/1/id")), Some(json!("b")));
        assert_eq!(first_at(text, &Pointer::new("/n")).map(|n| n.to_string()).as_deref(), Some("1.50"));
        assert_eq!(first_at(text, &Pointer::new("/n/id")), None);
        assert_eq!(first_at(text, &Pointer::new("/a/x/2/id")), None);
        assert_eq!(first_at(text, &Pointer::new("/missing")), None);
        // The text behind the value is not even looked at.
        assert_eq!(first_at(r#"{"id":1, broken"#, &Pointer::new("/id")), Some(json!(1)));
        assert_eq!(value_at(r#"{"id":1, broken"#, "/id"), None);
    }

    #[test]
    fn a_pointer_through_a_scalar_finds_nothing_and_the_text_is_still_checked() {
        for scalar in ["1", "1.5", "-3", "\"t\"", "null", "true"] {
            assert!(at(&format!("{{\"a\":{scalar}}}"), "/a/b").unwrap().is_none(), "{scalar}");
        }
        assert!(at(r#"{"a":1}x"#, "/a").is_err());
        assert!(at(r#"{"a":[1,2}"#, "/b").is_err());
        assert_eq!(at(r#"{"a":[1, 2.50]}"#, "/a/1").unwrap().map(RawValue::get), Some("2.50"));
        assert_eq!(at(" {} ", "").unwrap().map(RawValue::get), Some("{}"));
    }

    #[test]
    fn only_wanted_members_are_built() {
        let kept = members(r#"{"a":1.10,"b":{"c":[1]},"\u0064":null}"#, &|name| name != "b").unwrap();
        assert_eq!(kept.to_string(), r#"{"a":1.10,"d":null}"#);
        assert!(members("[1]", &|_| true).unwrap_err().is_data());
        assert!(members(r#"{"a":1,"b":}"#, &|name| name == "a").is_err());
    }
}
