//! Values with more than one form. Each has a hand-written visitor and schema: serde's untagged enums lose positions.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::numbers::ZERO;
use super::values::time;
use super::words::SUBSTITUTED;
use crate::config::de::{invalid, with_hint};

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

/// Reads text through a function, or a mapping through `Long`.
pub(in crate::config) struct TextOr<T, Long> {
    what: &'static str,
    from_text: fn(&str) -> Result<T, String>,
    long: PhantomData<Long>,
}

impl<T, Long> TextOr<T, Long> {
    pub(in crate::config) fn new(what: &'static str, from_text: fn(&str) -> Result<T, String>) -> Self {
        Self { what, from_text, long: PhantomData }
    }
}

impl<'de, T, Long> Visitor<'de> for TextOr<T, Long>
where
    T: TryFrom<Long, Error = String>,
    Long: Deserialize<'de>,
{
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.from_text)(text).map_err(E::custom)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::try_from(Long::deserialize(MapAccessDeserializer::new(map))?).map_err(de::Error::custom)
    }
}

/// Reads text through a function.
pub(in crate::config) struct FromText<T> {
    pub(in crate::config) what: &'static str,
    pub(in crate::config) read: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for FromText<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }
}

/// Reads a type from text through a function or from a mapping of another type, and says so in the schema. The last part
/// is the schema of the text; without it the schema is that of the mapping alone.
macro_rules! text_or {
    ($type:ident, $($rest:tt)+) => {
        $crate::config::forms::either::text_or!($type as stringify!($type), $($rest)+);
    };
    ($type:ident as $name:expr, $long:ty, $what:literal, $parse:expr $(, $($short:tt)+)?) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::config::forms::either::TextOr::<Self, $long>::new($what, $parse))
            }
        }
        $crate::config::forms::either::text_or!(@schema $type as $name, $long $(, $($short)+)?);
    };
    (@schema $type:ident as $name:expr, $long:ty) => { $crate::config::forms::either::schema_of!($type => $long); };
    (@schema $type:ident as $name:expr, $long:ty, $($short:tt)+) => {
        $crate::config::forms::either::schema_of!($type as $name, |generator| {
            let short = $crate::config::forms::either::text_or!(@short generator, $($short)+);
            schemars::json_schema!({ "anyOf": [short, generator.subschema_for::<$long>()] })
        });
    };
    (@short $generator:ident, as $short:ty) => { $generator.subschema_for::<$short>() };
    (@short $generator:ident, $short:tt) => { schemars::json_schema!($short) };
}
pub(in crate::config) use text_or;

/// The schema of a form: that of another type, or one of its own under a name.
macro_rules! schema_of {
    ($({$($generics:tt)+})? $type:ty => $other:ty) => {
        impl$(<$($generics)+>)? schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$other as schemars::JsonSchema>::schema_name()
            }
            fn schema_id() -> std::borrow::Cow<'static, str> {
                <$other as schemars::JsonSchema>::schema_id()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$other as schemars::JsonSchema>::json_schema(generator)
            }
        }
    };
    (inline $($rest:tt)+) => { $crate::config::forms::either::schema_of!(@ true, $($rest)+); };
    (@ $inline:expr, $({$($generics:tt)+})? $type:ty as $name:expr, |$generator:pat_param| $schema:expr) => {
        impl$(<$($generics)+>)? schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                $inline
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema($generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
    ($($rest:tt)+) => { $crate::config::forms::either::schema_of!(@ false, $($rest)+); };
}
pub(in crate::config) use schema_of;

/// Declares mappings of which exactly one key is given: what each key holds, and what is made of it.
macro_rules! one_of {
    ($(
        $(#[doc = $about:tt])+
        $fields:ident $([$on:meta])? => $type:ty {$(
            $(#[doc = $doc:tt])+
            $field:ident: $form:ty => $make:expr
        ),+ $(,)?}
    )+) => {$(
        $(#[doc = $about])+
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
        $(#[$on])?
        pub(in crate::config) struct $fields {
            $($(#[doc = $doc])+ pub(in crate::config) $field: Option<$form>),+
        }

        impl TryFrom<$fields> for $type {
            type Error = String;
            fn try_from(fields: $fields) -> Result<Self, String> {
                $(let $field: Option<$type> = match fields.$field {
                    Some(given) => { let make: fn($form) -> Result<$type, String> = $make; Some(make(given)?) }
                    None => None,
                };)+
                $crate::config::forms::either::exactly_one(&[$(stringify!($field)),+], [$($field),+])
            }
        }
    )+};
}
pub(in crate::config) use one_of;

/// Exactly one of several fields of a mapping.
pub(in crate::config) fn exactly_one<T>(
    names: &[&str],
    given: impl IntoIterator<Item = Option<T>>,
) -> Result<T, String> {
    let mut given = given.into_iter().flatten();
    let list = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match (given.next(), given.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(with_hint("only one of these can be given", format!("keep one of {list}"))),
        (None, _) => Err(with_hint("this says nothing", format!("give one of {list}"))),
    }
}
