//! How values are written in a file: [`section!`] declares a mapping with its keys, and the other files have the single
//! values that a key can hold. Each form reads, says what it takes in the schema, and means a value of the program.

pub(in crate::config) mod either;
mod matches;
pub(in crate::config) mod names;
pub(in crate::config) mod numbers;
mod origin;
pub(in crate::config) mod percentage;
mod public;
pub(in crate::config) mod reading;
mod section;
pub(in crate::config) mod timestamp;
pub(in crate::config) mod values;
mod web_url;
pub(in crate::config) mod words;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, StatusCode};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;

use either::{Many, Named, OrOff};
use reading::schema_of;
use values::Status;

use super::types::{HeaderMatch, ValueMatch};

pub(in crate::config) use numbers::{ANY, Bytes, Count, Limit, MILLION, Millis, OUT_OF_RANGE, Seconds};
pub(in crate::config) use section::{RestartRequired, camel, field, of_words, section, words_as_json};

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

/// Names that are none, and one that comes again, are left out; `resolve` has said so.
impl Written<Vec<HeaderMatch>> for Named<ValueMatch> {
    fn meaning(self) -> Vec<HeaderMatch> {
        let mut kept: Vec<HeaderMatch> = Vec::new();
        for (name, value) in self.0 {
            let name = HeaderName::try_from(name).ok();
            let name = name.filter(|name| kept.iter().all(|other| other.name != *name));
            kept.extend(name.map(|name| HeaderMatch { name, value }));
        }
        kept
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

schema_of!({W: JsonSchema} Boxed<W> => W);

impl<W> Written<Box<W>> for Boxed<W> {
    fn meaning(self) -> Box<W> {
        Box::new(self.0)
    }
}

/// A list, where one value alone would be unclear.
#[derive(Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct List<W>(Vec<W>);

schema_of!(inline {W: JsonSchema} List<W> as format!("ListOf{}", W::schema_name()), |generator| {
    json_schema!({ "type": "array", "items": generator.subschema_for::<W>() })
});

impl<W: Written<T>, T> Written<Vec<T>> for List<W> {
    fn meaning(self) -> Vec<T> {
        self.0.into_iter().map(W::meaning).collect()
    }
}

/// Where `off` is kept as zero.
macro_rules! off_is_zero {
    ($($type:ty),+) => {$(
        impl<W: Written<$type>> Written<$type> for OrOff<W> {
            fn meaning(self) -> $type {
                self.on().map(W::meaning).unwrap_or_default()
            }
        }
    )+};
}

off_is_zero!(Duration, usize, u32);

/// Forms that hold nothing but their value.
macro_rules! written {
    ($($form:ty => $type:ty),+ $(,)?) => {$(
        impl $crate::config::forms::Written<$type> for $form {
            fn meaning(self) -> $type {
                self.0
            }
        }
    )+};
}
pub(in crate::config) use written;

written!(Status => StatusCode);
