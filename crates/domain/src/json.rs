//! Strict reader of JSON, without serde's leniency. A struct is never read from an array, and a duplicate field is an
//! error. Text has no control characters, messages name JSON's types instead of Rust's, and an unknown field is named
//! with the known one that is nearest to it.

use std::fmt::{self, Display};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::Number;
use serde_path_to_error::Segment;

use crate::{
    FieldError,
    text::{NO_CONTROLS, is_clean, sanitized},
};

/// A JSON value with its fields in the order sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Returns an error for each text and field name with control characters.
    pub fn unclean_texts(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        self.collect(String::new(), &mut found);
        found
    }

    fn collect(&self, pointer: String, found: &mut Vec<FieldError>) {
        match self {
            Self::Text(text) if !is_clean(text) => found.push(FieldError::new(pointer, NO_CONTROLS)),
            Self::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    item.collect(format!("{pointer}/{at}"), found);
                }
            }
            Self::Object(fields) => {
                for (name, value) in fields {
                    let pointer = format!("{pointer}/{}", escape_pointer(name));
                    if !is_clean(name) {
                        found.push(FieldError::new(
                            pointer.clone(),
                            "a name must not contain control characters",
                        ));
                    }
                    value.collect(pointer, found);
                }
            }
            _ => {}
        }
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Other("null"),
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Number(_) => Unexpected::Other("a number"),
            Self::Text(_) => Unexpected::Other("a string"),
            Self::Array(_) => Unexpected::Other("an array"),
            Self::Object(_) => Unexpected::Other("an object"),
        }
    }
}

/// Returns a field name as one step of a JSON pointer (RFC 6901).
pub fn escape_pointer(name: &str) -> String {
    sanitized(name).replace('~', "~0").replace('/', "~1")
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element()? {
            read.push(item);
        }
        Ok(Json::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut read = Vec::new();
        while let Some(field) = fields.next_entry()? {
            read.push(field);
        }
        Ok(Json::Object(read))
    }
}

/// Returns the place of a value as a JSON pointer.
pub fn json_pointer(path: &serde_path_to_error::Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape_pointer(key)),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// Reads a value from JSON.
///
/// # Errors
/// Returns the place and the fault of the first value that is not as expected.
pub fn read_json<T: DeserializeOwned>(json: Json) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(json)
        .map_err(|error| FieldError::new(json_pointer(error.path()), plain_fault(&error.inner().to_string())))
}

/// Returns a deserializer's message without the names of Rust's types.
pub fn plain_fault(message: &str) -> String {
    if message.starts_with("UUID parsing failed") {
        return "not an id: ids are UUIDs, as lists have them in `id`".to_owned();
    }
    let Some((start, expected)) = message.rsplit_once("expected ") else { return message.to_owned() };
    let plain = match expected {
        "i32" => "an integer up to 2147483647",
        "i64" => "an integer",
        "u8" | "u16" => "a small integer, 0 or more",
        "u32" => "an integer from 0 to 4294967295",
        "u64" | "usize" => "an integer, 0 or more",
        "f32" | "f64" => "a number",
        other => other,
    };
    format!("{start}expected {plain}")
}

/// Adds the nearest known name to a message about an unknown field that lists the known ones.
pub fn with_nearest_word(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let near = message.starts_with("unknown field `").then(|| nearest_word(words.next()?, words)).flatten();
    near.map_or_else(|| message.to_owned(), |near| format!("{message}; did you mean `{near}`?"))
}

/// A value that is not what its reader expects, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

impl serde::de::Error for JsonError {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let field = sanitized(field);
        Self(match nearest_word(&field, expected.iter().copied()) {
            Some(near) => format!("unknown field `{field}`; did you mean `{near}`?"),
            None if expected.is_empty() => format!("unknown field `{field}`, there are no fields"),
            None => format!("unknown field `{field}`, expected one of `{}`", expected.join("`, `")),
        })
    }
}

/// Returns the word that is most like `text`, if one is alike enough to be meant.
pub fn nearest_word<'w>(text: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let alike = |word: &'w str| (strsim::jaro_winkler(text, word), word);
    let near = words.into_iter().map(alike).max_by(|a, b| a.0.total_cmp(&b.0));
    near.filter(|(likeness, _)| *likeness > 0.8).map(|(_, word)| word)
}

impl IntoDeserializer<'_, JsonError> for Json {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Json {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Number(number) => number.deserialize_any(visitor).map_err(JsonError::custom),
            Self::Text(text) => visitor.visit_string(text),
            Self::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter());
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            Self::Object(fields) => {
                let mut fields = MapDeserializer::new(fields.into_iter());
                let value = visitor.visit_map(&mut fields)?;
                fields.end().map(|()| value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        if self == Self::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &str, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Self::Object(_) => self.deserialize_any(visitor),
            other => Err(JsonError::invalid_type(other.unexpected(), &"an object")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Self::Array(_) => self.deserialize_any(visitor),
            other => Err(JsonError::invalid_type(other.unexpected(), &"an array")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match self {
            Self::Text(text) => visitor.visit_enum(text.into_deserializer()),
            other => Err(JsonError::invalid_type(other.unexpected(), &"a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        subject: String,
        #[serde(default)]
        claims: BTreeMap<String, Value>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: Option<String>,
        #[serde(default)]
        numbers: Vec<i64>,
        inner: Option<Inner>,
    }

    fn read(text: &str) -> Result<Outer, String> {
        let json: Json = serde_json::from_str(text).unwrap();
        Outer::deserialize(json).map_err(|error| error.to_string())
    }

    #[test]
    fn faults_have_no_names_of_types() {
        for (message, plain) in [
            (
                "invalid type: string \"many\", expected i32",
                "invalid type: string \"many\", expected an integer up to 2147483647",
            ),
            (
                "UUID parsing failed: invalid character: found `w` at 0",
                "not an id: ids are UUIDs, as lists have them in `id`",
            ),
            ("missing field `name`", "missing field `name`"),
            ("invalid type: null, expected a string", "invalid type: null, expected a string"),
        ] {
            assert_eq!(plain_fault(message), plain);
        }
        let known = "unknown field `activ`, expected one of `q`, `active_only`";
        assert_eq!(with_nearest_word(known), format!("{known}; did you mean `active_only`?"));
        assert_eq!(
            with_nearest_word("unknown field `zzz`, expected `q`"),
            "unknown field `zzz`, expected `q`"
        );
        assert_eq!(with_nearest_word("cannot be read"), "cannot be read");
    }

    #[test]
    fn object_is_read_as_serde_reads_it() {
        let text =
            r#"{"name":"a","numbers":[1,2],"inner":{"subject":"s","claims":{"x":[1.5,null,{"y":true}]}}}"#;
        let expected: Outer = serde_json::from_str(text).unwrap();
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read(r#"{"name":null}"#), Ok(Outer { name: None, numbers: Vec::new(), inner: None }));
    }

    #[test]
    fn array_is_no_object_at_any_depth() {
        assert_eq!(read(r#"["a",[],null]"#), Err("invalid type: an array, expected an object".to_owned()));
        assert_eq!(
            read(r#"{"inner":["s",{}]}"#),
            Err("invalid type: an array, expected an object".to_owned())
        );
        assert_eq!(
            read(r#"{"inner":{"subject":"s","claims":[]}}"#),
            Err("invalid type: an array, expected an object".to_owned())
        );
    }

    #[test]
    fn unknown_field_comes_with_the_nearest_known_one() {
        assert_eq!(read(r#"{"nmae":"a"}"#), Err("unknown field `nmae`; did you mean `name`?".to_owned()));
        let message = read(r#"{"zzz":"a"}"#).unwrap_err();
        assert_eq!(message, "unknown field `zzz`, expected one of `name`, `numbers`, `inner`");
    }

    #[test]
    fn field_sent_twice_is_refused() {
        assert_eq!(read(r#"{"name":"a","name":"b"}"#), Err("duplicate field `name`".to_owned()));
    }

    #[test]
    fn messages_name_no_type_of_ours() {
        for text in [
            "7",
            "null",
            "\"x\"",
            r#"{"inner":7}"#,
            r#"{"numbers":{}}"#,
            r#"{"name":[]}"#,
            r#"{"numbers":["x"]}"#,
        ] {
            let message = read(text).unwrap_err();
            assert!(
                !message.contains("struct") && !message.contains("Outer") && !message.contains("Inner"),
                "{message}"
            );
        }
    }

    #[test]
    fn control_characters_are_found_wherever_they_are() {
        let json: Json =
            serde_json::from_str(r#"{"a":["x","\u0000"],"b/c":{"d\u0007":"e","f":"\u009f"},"g":"h\ni"}"#)
                .unwrap();
        let pointers: Vec<String> = json.unclean_texts().into_iter().map(|error| error.pointer).collect();
        assert_eq!(pointers, ["/a/1", "/b~1c/d\u{fffd}", "/b~1c/f", "/g"]);
    }
}
