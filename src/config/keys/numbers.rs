//! Numbers and times with a legal range: out of it is an error at the value's own place.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::Written;
use crate::config::de::invalid;
use crate::config::raw::values::Time;

/// More than anybody needs of anything, and far from overflow.
pub(in crate::config) const MILLION: u64 = 1_000_000;

/// A whole number in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Count<const MIN: u64, const MAX: u64>(u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> Visitor<'_> for Whole<MIN, MAX> {
            type Value = Count<MIN, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                in_range(number, MIN, MAX, "").map(Count)
            }
        }
        deserializer.deserialize_u64(Whole)
    }
}

/// The number, or an error that says the range in this unit.
pub(in crate::config) fn in_range<E: de::Error>(number: u64, min: u64, max: u64, unit: &str) -> Result<u64, E> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(invalid(OUT_OF_RANGE, format!("{min}{unit} to {max}{unit}")))
}

/// What is said about a number; the place comes before it.
pub(in crate::config) const OUT_OF_RANGE: &str = "is out of range";

impl<const MIN: u64, const MAX: u64> JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Count{MIN}To{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

macro_rules! kept_as {
    ($($number:ty),+) => {$(
        impl<const MIN: u64, const MAX: u64> Written<$number> for Count<MIN, MAX> {
            fn meaning(self) -> $number {
                <$number>::try_from(self.0).unwrap_or(<$number>::MAX)
            }
        }
    )+};
}
kept_as!(u8, u16, u32, u64, usize);

/// A limit on time, which is never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Limit(Duration);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Time(time) = Time::deserialize(deserializer)?;
        if time.is_zero() { Err(invalid(ZERO, "")) } else { Ok(Self(time)) }
    }
}

/// What is said about a time limit of zero.
pub(in crate::config) const ZERO: &str = "a time limit of zero would end everything at once";

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        Time::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Time::json_schema(generator)
    }
}

impl Written<Duration> for Limit {
    fn meaning(self) -> Duration {
        self.0
    }
}
