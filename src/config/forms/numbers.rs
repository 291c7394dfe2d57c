//! Numbers and times with a legal range: out of it is an error at the value's own place.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::time::Duration;

use schemars::json_schema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::Written;
use super::reading::schema_of;
use super::values::{Size, Time};
use crate::config::de::invalid;

/// The largest count of most things: far above what is needed, and far from overflow.
pub(in crate::config) const MILLION: u64 = 1_000_000;

/// The largest `u32`, for counts that are judged later.
pub(in crate::config) const ANY: u64 = 4_294_967_295;

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

schema_of!(inline {const MIN: u64, const MAX: u64} Count<MIN, MAX> as format!("Count{MIN}To{MAX}"), |_| {
    json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
});

macro_rules! kept_as {
    ($($form:ident: $($number:ty),+;)+) => {$($(
        impl<const MIN: u64, const MAX: u64> Written<$number> for $form<MIN, MAX> {
            fn meaning(self) -> $number {
                TryFrom::try_from(self.0).unwrap_or(<$number>::MAX)
            }
        }
    )+)+};
}

kept_as! {
    Count: u8, u16, u32, u64, usize;
    Bytes: u64, usize;
}

/// For ranges without zero.
macro_rules! never_zero {
    ($($number:ty),+) => {$(
        impl<const MIN: u64, const MAX: u64> Written<$number> for Count<MIN, MAX> {
            fn meaning(self) -> $number {
                <$number>::new(self.meaning()).unwrap_or(<$number>::MIN)
            }
        }
    )+};
}

never_zero!(NonZeroU16, NonZeroU32, NonZeroUsize);

/// A size in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Bytes<const MIN: u64, const MAX: u64>(u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bytes<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_range(Size::deserialize(deserializer)?.0, MIN, MAX, "B").map(Self)
    }
}

/// A duration in a range of whole seconds, to which it is rounded up: as the kernel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Seconds<const MIN: u64, const MAX: u64>(u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Seconds<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Time(time) = Time::deserialize(deserializer)?;
        let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        in_range(whole, MIN, MAX, "s").map(Self)
    }
}

/// A duration in a range of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Millis<const MIN: u64, const MAX: u64>(u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Millis<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Time(time) = Time::deserialize(deserializer)?;
        in_range(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), MIN, MAX, "ms").map(Self)
    }
}

impl<const MIN: u64, const MAX: u64> Written<Duration> for Millis<MIN, MAX> {
    fn meaning(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Written<Duration> for Seconds<MIN, MAX> {
    fn meaning(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

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

// What a form with a range has in common with the form it narrows: its schema, which cannot say the range.
schema_of!(Limit => Time);
schema_of!({const MIN: u64, const MAX: u64} Bytes<MIN, MAX> => Size);
schema_of!({const MIN: u64, const MAX: u64} Seconds<MIN, MAX> => Time);
schema_of!({const MIN: u64, const MAX: u64} Millis<MIN, MAX> => Time);

impl Written<Duration> for Limit {
    fn meaning(self) -> Duration {
        self.0
    }
}
