//! One field of a JSON object changed in place: every other byte stays, so nothing that KubeVirt writes is lost, known to us or not.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object, or null, with the places of its fields.
pub(super) struct Object<'a> {
    text: &'a str,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Names and raw values in their order.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Fields(Vec::new()))
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'a> Object<'a> {
    /// Reads a document; the places are within this very text.
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        // Raw values are not looked into: this does, so that nothing broken is passed on.
        serde_json::from_str::<IgnoredAny>(text)?;
        let Fields(fields) = serde_json::from_str(text)?;
        Ok(Self { text, fields })
    }

    /// The raw value of a field: none if it is not there or null. `Err` if it is there twice.
    pub(super) fn field(&self, name: &str) -> Result<Option<&'a RawValue>, Twice> {
        let mut found = self.fields.iter().filter(|(key, _)| key == name).map(|(_, value)| *value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Twice),
            (value, None) => Ok(value.filter(|value| value.get() != "null")),
        }
    }

    /// The text with this field set: in its place, or as the first one.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let value = serde_json::Value::from(value).to_string();
        let raw = self.fields.iter().find(|(key, _)| key == name).map(|(_, raw)| raw.get());
        let (place, value) = if let Some(raw) = raw {
            let start = raw.as_ptr() as usize - self.text.as_ptr() as usize;
            (start..start + raw.len(), value)
        } else {
            let start = self.text.find('{').map_or(0, |brace| brace + 1);
            let comma = if self.fields.is_empty() { "" } else { "," };
            (start..start, format!("{}:{value}{comma}", serde_json::Value::from(name)))
        };
        let mut text = self.text.to_owned();
        text.replace_range(place, &value);
        text
    }

    /// Whether there is an object at all.
    pub(super) fn is_null(&self) -> bool {
        self.text.trim() == "null"
    }
}

/// A field that stands in an object twice.
#[derive(Debug)]
pub(super) struct Twice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_field_changes() {
        let text =
            "{\"a\" : 1.50e+1, \"big\":12345678901234567890123,\n \"b\":\"\\u003cx\", \"b2\":{\"b\":1,\"b\":2}}\n";
        let object = Object::parse(text).unwrap();
        assert_eq!(object.field("b").unwrap().unwrap().get(), "\"\\u003cx\"");
        assert_eq!(object.with("b", "y\"\n"), text.replace("\\u003cx", "y\\\"\\n"));
        assert_eq!(object.with("c", "z"), text.replacen('{', "{\"c\":\"z\",", 1));
        assert_eq!(Object::parse(" {} ").unwrap().with("c", "z"), " {\"c\":\"z\"} ");
        assert!(Object::parse("null").unwrap().is_null());
        assert!(Object::parse("{\"a\":1,\"a\":2}").unwrap().field("a").is_err());
        for text in ["", "[]", "1", "{\"a\":}", "{} x"] {
            assert!(Object::parse(text).is_err(), "{text}");
        }
    }
}
