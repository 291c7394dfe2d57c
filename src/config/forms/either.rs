//! Values with more than one form. Each has a hand-written visitor and schema: serde's untagged enums lose positions.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::numbers::ZERO;
pub(in crate::config) use super::reading::{schema_of, text_or};
use super::values::time;
use super::words::SUBSTITUTED;
use crate::config::de::invalid;

/// A mapping from names to `T`, in file order. Duplicate names are refused before this is read.
#[derive(Clone, Debug)]
pub(in crate::config) struct Named<T>(pub(in crate::config) Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping from names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

schema_of!({T: JsonSchema} Named<T> as format!("Named{}", T::schema_name()), |generator| {
    json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
});

/// One `T` or a list of them.
#[derive(Clone, Debug)]
pub(in crate::config) struct Many<T>(pub(in crate::config) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Many<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value or a list")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Many<T>, E> {
                let text: StrDeserializer<'_, E> = text.into_deserializer();
                Ok(Many(vec![T::deserialize(text)?]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
                Ok(Many(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Many<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Many)
            }
        }
        deserializer.deserialize_str(Either(PhantomData))
    }
}

schema_of!({T: JsonSchema} Many<T> as format!("OneOrMany{}", T::schema_name()), |generator| {
    let one = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
});

/// A `T`, or the word `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum OrOff<T> {
    On(T),
    Off,
}

impl<T> OrOff<T> {
    pub(in crate::config) fn on(self) -> Option<T> {
        match self {
            Self::On(value) => Some(value),
            Self::Off => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OrOff<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or `off`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OrOff<T>, E> {
                if text.eq_ignore_ascii_case("off") {
                    return Ok(OrOff::Off);
                }
                match T::deserialize(Unquoted(text, PhantomData)) {
                    Err(_) if means_off(text) => {
                        Err(invalid(format!("`{text}` does not say what is meant"), "write `off`"))
                    }
                    Err(_) if time(text).is_ok_and(|time| time.0.is_zero()) => {
                        Err(invalid(ZERO, "write `off` for none"))
                    }
                    read => read.map(OrOff::On),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OrOff<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OrOff::On)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<OrOff<T>, A::Error> {
                T::deserialize(SeqAccessDeserializer::new(seq)).map(OrOff::On)
            }
        }
        deserializer.deserialize_str(Either(PhantomData))
    }
}

/// The text of a value that could be `off`, where numbers are numbers.
struct Unquoted<'a, E>(&'a str, PhantomData<E>);

impl<'de, E: de::Error> Deserializer<'de> for Unquoted<'_, E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_str(self.0)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.0.parse() {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => Err(invalid(format!("`{}` is not a whole number", self.0), "write a number, or `off`")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What people write where `off` is the word.
fn means_off(text: &str) -> bool {
    const WORDS: [&str; 11] =
        ["0", "-1", "false", "no", "none", "never", "disabled", "disable", "unlimited", "infinite", "infinity"];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

schema_of!({T: JsonSchema} OrOff<T> as format!("{}OrOff", T::schema_name()), |generator| {
    let value = generator.subschema_for::<T>();
    let is_count = value.get("type").is_some_and(|kind| kind == "integer");
    let digits = if is_count { "^[0-9]+$|" } else { "" };
    let pattern = format!("^[oO][fF][fF]$|{digits}{SUBSTITUTED}");
    json_schema!({ "anyOf": [
        { "const": "off" },
        value,
        { "$comment": "other spellings", "type": "string", "pattern": pattern }
    ] })
});
