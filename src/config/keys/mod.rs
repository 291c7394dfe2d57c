//! One declaration for each key: name, type, legal range, default and meaning stand together in [`section!`]. From it
//! come the runtime type, decoding, the default, the schema, and with that the reference and what `config show
//! --defaults` fills in. See `docs/adding-a-key.md`.

pub(super) mod a2a;
pub(super) mod circuit_breaker;
pub(super) mod listener;
mod numbers;
pub(super) mod operation;
pub(super) mod wire;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{Method, StatusCode};
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::model::{self, HostPattern};
use super::raw::forms::{Many, Named, OrOff};
use super::raw::names::Host;
use super::raw::percentage::Percentage;
use super::raw::public::PublicUrl;
use super::raw::values::{Bind, Network, Size, Status, Time, Verb};
use super::raw::words::Word;
use super::report::Report;
use super::yaml;

pub(in crate::config) use numbers::{ANY, Bytes, Count, Limit, MILLION, Millis, OUT_OF_RANGE, Seconds, ZERO};

/// How a `T` is written in a file, where that is not how it is kept.
pub(in crate::config) trait Written<T> {
    /// The value that was meant.
    fn meaning(self) -> T;
}

impl<T> Written<T> for T {
    fn meaning(self) -> T {
        self
    }
}

impl<W: Written<T>, T> Written<Option<T>> for OrOff<W> {
    fn meaning(self) -> Option<T> {
        self.on().map(W::meaning)
    }
}

impl<W: Written<T>, T> Written<Vec<T>> for Many<W> {
    fn meaning(self) -> Vec<T> {
        self.0.into_iter().map(W::meaning).collect()
    }
}

impl<W: Written<T>, T> Written<Vec<(String, T)>> for Named<W> {
    fn meaning(self) -> Vec<(String, T)> {
        self.0.into_iter().map(|(name, value)| (name, value.meaning())).collect()
    }
}

impl Written<PathBuf> for String {
    fn meaning(self) -> PathBuf {
        self.into()
    }
}

/// What is kept in a box, because most have none.
#[derive(Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct Boxed<W>(W);

impl<W: JsonSchema> JsonSchema for Boxed<W> {
    fn schema_name() -> Cow<'static, str> {
        W::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        W::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        W::json_schema(generator)
    }
}

impl<W> Written<Box<W>> for Boxed<W> {
    fn meaning(self) -> Box<W> {
        Box::new(self.0)
    }
}

/// A list, where one value alone would be unclear.
#[derive(Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct List<W>(Vec<W>);

impl<W: JsonSchema> JsonSchema for List<W> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", W::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<W>() })
    }
}

impl<W: Written<T>, T> Written<Vec<T>> for List<W> {
    fn meaning(self) -> Vec<T> {
        self.0.into_iter().map(W::meaning).collect()
    }
}

/// `off` is no time at all.
impl<W: Written<Duration>> Written<Duration> for OrOff<W> {
    fn meaning(self) -> Duration {
        self.on().map(W::meaning).unwrap_or_default()
    }
}

/// `off` is none.
impl<W: Written<usize>> Written<usize> for OrOff<W> {
    fn meaning(self) -> usize {
        self.on().map(W::meaning).unwrap_or_default()
    }
}

impl<T> Written<T> for Word<T> {
    fn meaning(self) -> T {
        self.0
    }
}

/// Forms that hold nothing but their value.
macro_rules! written {
    ($($form:ty => $type:ty),+ $(,)?) => {$(
        impl $crate::config::keys::Written<$type> for $form {
            fn meaning(self) -> $type {
                self.0
            }
        }
    )+};
}
pub(in crate::config) use written;

written! {
    Time => Duration,
    Size => u64,
    Bind => SocketAddr,
    Network => IpNet,
    Verb => Method,
    Status => StatusCode,
    Host => HostPattern,
    Percentage => model::Percentage,
    PublicUrl => model::PublicUrl,
}

/// Declares mappings of the file. A field is `name: Type as Form = default`: what the program keeps, how it is written
/// where that differs, and the default in the words of a file (one token, such as `30s`, `off`, `{}` or `"http/1.1"`).
/// A field without a default is an `Option`, and its description says what is without it (`Default: no ceiling.`).
/// Attributes for serde and schemars stand at the end, in brackets.
macro_rules! section {
    ($(
        #[derive($($derive:ident),*)]
        $(#[doc = $about:tt])+
        $vis:vis struct $name:ident $([$($on_all:meta),+])? {$(
            $(#[doc = $doc:tt])+
            $field:ident: $type:ty $(as $form:ty)? $(= $default:tt)? $([$($attribute:meta),+])?
        ),* $(,)?}
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Debug, $($derive),*)]
        $vis struct $name {
            $($(#[doc = $doc])+ $vis $field: $type),*
        }

        #[allow(clippy::clone_on_copy, clippy::unnecessary_fallible_conversions, reason = "one form for all types")]
        const _: () = {
            // As it stands in a file, where every key may be absent.
            #[derive(serde::Deserialize, schemars::JsonSchema)]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            $($(#[$on_all])+)?
            $(#[doc = $about])+
            struct $name {$(
                $(#[doc = $doc])+
                $(#[schemars(extend("default" = $crate::config::keys::words_as_json(stringify!($default))))])?
                $($(#[$attribute])+)?
                $field: Option<$crate::config::keys::field!(form [$type] [$($form)?])>
            ),*}

            static DEFAULT: std::sync::LazyLock<self::$name> = std::sync::LazyLock::new(|| self::$name {$(
                $field: $crate::config::keys::field!(default [$type] [$($form)?] [$($default)?])
            ),*});

            impl Default for self::$name {
                fn default() -> Self {
                    DEFAULT.clone()
                }
            }

            impl<'de> serde::Deserialize<'de> for self::$name {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let file = <$name as serde::Deserialize>::deserialize(deserializer)?;
                    Ok(Self {$(
                        $field: $crate::config::keys::field!(
                            read [file.$field] [DEFAULT.$field] [$($form)?] [$($default)?]
                        )
                    ),*})
                }
            }

            impl schemars::JsonSchema for self::$name {
                fn schema_name() -> std::borrow::Cow<'static, str> {
                    <$name as schemars::JsonSchema>::schema_name()
                }
                fn schema_id() -> std::borrow::Cow<'static, str> {
                    <$name as schemars::JsonSchema>::schema_id()
                }
                fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    <$name as schemars::JsonSchema>::json_schema(generator)
                }
            }
        };
    )+};
}
pub(in crate::config) use section;

/// The parts of [`section!`] that differ with what a field declares.
macro_rules! field {
    (form [$type:ty] []) => {
        $type
    };
    (form [$type:ty] [$form:ty]) => {
        $form
    };
    (default [$type:ty] [$($form:ty)?] []) => {
        Default::default()
    };
    (default [$type:ty] [] [$default:tt]) => {
        $crate::config::keys::of_words::<$type>(stringify!($default))
    };
    (default [$type:ty] [$form:ty] [$default:tt]) => {
        $crate::config::keys::Written::meaning($crate::config::keys::of_words::<$form>(stringify!($default)))
    };
    (read [$value:expr] [$usual:expr] [] []) => {
        $value.unwrap_or_default()
    };
    (read [$value:expr] [$usual:expr] [$form:ty] []) => {
        $value.map($crate::config::keys::Written::meaning)
    };
    (read [$value:expr] [$usual:expr] [] [$default:tt]) => {
        $value.unwrap_or_else(|| $usual.clone())
    };
    (read [$value:expr] [$usual:expr] [$form:ty] [$default:tt]) => {
        $value.map_or_else(|| $usual.clone(), $crate::config::keys::Written::meaning)
    };
}
pub(in crate::config) use field;

/// A default as the files have it.
#[expect(clippy::expect_used, reason = "the words are in the source, and a test reads all of them")]
pub(in crate::config) fn of_words<T: DeserializeOwned>(words: &str) -> T {
    let node = yaml::parse(words, 0, &mut Report::default()).expect("a default is YAML");
    T::deserialize(&node).expect("a default is legal")
}

/// A default as the schema has it.
pub(in crate::config) fn words_as_json(words: &str) -> serde_json::Value {
    serde_yaml::from_str(words).unwrap_or_default()
}
