//! Deserialises a tree into the sections. It exists because positions and structured errors do not survive a general
//! deserialiser: here an error carries its path, and an unknown field knows the names it could have had.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::{Entry, Node, Scalar, Step, Value};

/// Separates a message from its hint inside a `custom` error, the only channel serde leaves open.
const HINT: char = '\u{1f}';

/// One problem of one value.
#[derive(Debug)]
pub(in crate::config) struct Error {
    /// From the value outwards.
    pub(in crate::config) steps: Vec<Step>,
    pub(in crate::config) kind: ErrorKind,
}

/// What is wrong with a value.
#[derive(Debug)]
pub(in crate::config) enum ErrorKind {
    /// The last step is an unknown key, in a mapping of this kind.
    Unknown {
        expected: &'static [&'static str],
        within: &'static str,
    },
    Type {
        message: String,
    },
    Value {
        message: String,
        hint: Option<String>,
    },
}

/// An error with a hint, for `Deserialize` and `TryFrom` of single values.
pub(in crate::config) fn invalid<E: de::Error>(message: impl fmt::Display, hint: impl fmt::Display) -> E {
    E::custom(with_hint(message, hint))
}

/// A message that carries a hint through `try_from`.
pub(in crate::config) fn with_hint(message: impl fmt::Display, hint: impl fmt::Display) -> String {
    format!("{message}{HINT}{hint}")
}

/// A message without the hint it may carry.
pub(in crate::config) fn without_hint(message: &str) -> String {
    message.split(HINT).next().unwrap_or_default().to_owned()
}

impl Error {
    fn of(kind: ErrorKind) -> Self {
        Self { steps: Vec::new(), kind }
    }

    fn under(mut self, step: impl Into<Step>) -> Self {
        self.steps.push(step.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        let (message, hint) = match text.split_once(HINT) {
            Some((message, hint)) => (message.to_owned(), (!hint.is_empty()).then(|| hint.to_owned())),
            None => (text, None),
        };
        Self::of(ErrorKind::Value { message, hint })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let message = format!("expected {}, found {}", expectation(expected), found_name(found));
        Self::of(ErrorKind::Type { message })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(_field: &str, expected: &'static [&'static str]) -> Self {
        Self::of(ErrorKind::Unknown { expected, within: "" })
    }
}

fn expectation(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u16" => "a whole number up to 65535".to_owned(),
        "u32" => format!("a whole number up to {}", u32::MAX),
        "u64" | "usize" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        _ if text.starts_with("struct ") => "a mapping".to_owned(),
        _ => text,
    }
}

fn found_name(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) => {
            format!("the text `{}`", text.chars().take(60).collect::<String>())
        }
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

impl Scalar {
    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            return visitor.visit_unit();
        }
        if !self.plain && !self.substituted {
            return visitor.visit_str(&self.text);
        }
        match self.text.as_str() {
            "true" | "True" | "TRUE" => return visitor.visit_bool(true),
            "false" | "False" | "FALSE" => return visitor.visit_bool(false),
            _ => {}
        }
        if let Ok(number) = self.text.parse::<u64>() {
            return visitor.visit_u64(number);
        }
        if let Ok(number) = self.text.parse::<i64>() {
            return visitor.visit_i64(number);
        }
        // `inf`, `nan` and the like are words in YAML.
        let numeric = self.text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        match self.text.parse::<f64>() {
            Ok(number) if numeric => visitor.visit_f64(number),
            _ => visitor.visit_str(&self.text),
        }
    }
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar(scalar) => scalar.visit(visitor),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter(), index: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries::of(entries, "")),
            Value::Blank => visitor.visit_unit(),
        }
    }

    /// Text is text however it looks: `1.2`, `on` and `8080` need no quotes where a string is wanted.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_null() => visitor.visit_str(&scalar.text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() || self.is_blank() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() || self.is_blank() {
            return visitor.visit_seq(Items { items: [].iter(), index: 0 });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::Map(entries) => visitor.visit_map(Entries::of(entries, name)),
            _ if self.is_null() || self.is_blank() => visitor.visit_map(Entries::of(&[], name)),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier ignored_any
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.find(|item| !item.is_blank()) else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(item).map(Some).map_err(|error| error.under(index))
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
    within: &'static str,
}

impl<'a> Entries<'a> {
    fn of(entries: &'a [Entry], within: &'static str) -> Self {
        Self { entries: entries.iter(), current: None, within }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(entry) = self.entries.find(|entry| !entry.value.is_blank()) else { return Ok(None) };
        self.current = Some(entry);
        let key: StrDeserializer<'_, Error> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|mut error| {
            if let ErrorKind::Unknown { within, .. } = &mut error.kind {
                *within = self.within;
            }
            error.under(entry.key.as_str())
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(entry) = self.current else { return Err(de::Error::custom("a value without a key")) };
        seed.deserialize(&entry.value).map_err(|error| error.under(entry.key.as_str()))
    }
}
