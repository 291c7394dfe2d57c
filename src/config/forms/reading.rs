//! What forms are made of: a type reads itself from text, or from a mapping, and has a schema.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};

use crate::config::de::with_hint;

/// Reads a type from text through a function, and says in the schema what that takes:
/// `text_value!(Type, function, "what is expected", { schema })`. With `Type as "Name"` it has this name in the schema;
/// `Type(Kept)` is declared as well.
macro_rules! text_value {
    ($type:ident, $($rest:tt)+) => {
        $crate::config::forms::reading::text_value!($type as stringify!($type), $($rest)+);
    };
    ($(#[doc = $about:tt])+ $type:ident($kept:ty), $($rest:tt)+) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(in crate::config) struct $type(pub(in crate::config) $kept);
        $crate::config::forms::written!($type => $kept);
        $crate::config::forms::reading::text_value!($type as stringify!($type), $($rest)+);
    };
    ($type:ident as $name:expr, $parse:path, $what:literal, $schema:tt) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::config::forms::reading::FromText { what: $what, read: $parse })
            }
        }
        $crate::config::forms::reading::schema_of!($type as $name, |_| schemars::json_schema!($schema));
    };
}
pub(in crate::config) use text_value;

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

/// Reads a type from text through a function or from a mapping of another type, and says so in the schema. The last
/// part is the schema of the text; without it the schema is that of the mapping alone.
macro_rules! text_or {
    ($type:ident, $($rest:tt)+) => {
        $crate::config::forms::reading::text_or!($type as stringify!($type), $($rest)+);
    };
    ($type:ident as $name:expr, $long:ty, $what:literal, $parse:expr $(, $($short:tt)+)?) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::config::forms::reading::TextOr::<Self, $long>::new($what, $parse))
            }
        }
        $crate::config::forms::reading::text_or!(@schema $type as $name, $long $(, $($short)+)?);
    };
    (@schema $type:ident as $name:expr, $long:ty) => { $crate::config::forms::reading::schema_of!($type => $long); };
    (@schema $type:ident as $name:expr, $long:ty, $($short:tt)+) => {
        $crate::config::forms::reading::schema_of!($type as $name, |generator| {
            let short = $crate::config::forms::reading::text_or!(@short generator, $($short)+);
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
    (inline $($rest:tt)+) => { $crate::config::forms::reading::schema_of!(@ true, $($rest)+); };
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
    ($($rest:tt)+) => { $crate::config::forms::reading::schema_of!(@ false, $($rest)+); };
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
                $crate::config::forms::reading::exactly_one(&[$(stringify!($field)),+], [$($field),+])
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
