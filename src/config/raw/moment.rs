//! A moment in time, as RFC 3339 writes it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::values::text_value;
use crate::config::de::with_hint;

/// A moment, since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Moment(pub(in crate::config) Duration);

text_value!(Moment, moment, "a moment such as `2026-12-31T00:00:00Z`", {
    "type": "string",
    "format": "date-time",
    "description": "Date, time and offset (RFC 3339): 2026-12-31T00:00:00Z."
});

fn moment(text: &str) -> Result<Moment, String> {
    let seconds = seconds(text).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        with_hint(
            format!("`{shown}` is not a moment"),
            "write date, time and offset: `2026-12-31T00:00:00Z` or `2026-12-31T01:00:00+01:00`",
        )
    })?;
    Ok(Moment(Duration::from_secs(
        u64::try_from(seconds).unwrap_or(0),
    )))
}

/// Seconds since the Unix epoch; a fraction is dropped.
fn seconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| {
        let part = text.get(from..to)?;
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok())?
    };
    let is = |at: usize, any: &str| {
        let found = text.as_bytes().get(at);
        found.is_some_and(|found| any.as_bytes().contains(found))
    };
    let separated = is(4, "-") && is(7, "-") && is(10, "Tt ") && is(13, ":") && is(16, ":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let legal = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if !separated || !legal {
        return None;
    }
    let offset = offset(after_fraction(text.get(19..)?)?)?;
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

fn after_fraction(rest: &str) -> Option<&str> {
    let Some(fraction) = rest.strip_prefix('.') else {
        return Some(rest);
    };
    let rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < fraction.len()).then_some(rest)
}

/// Seconds east of UTC.
fn offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |part: &str, most: i64| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let number: i64 = digits.then(|| part.parse().ok())??;
        (number <= most).then_some(number)
    };
    Some(sign * (number(hours, 23)? * 3600 + number(minutes, 59)? * 60))
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date (Howard Hinnant's `days_from_civil`, for years from 0 on).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year + 400 - i64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    (era - 1) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-07-20T20:17:40Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-12-31T00:00:00Z", 1_798_675_200),
            ("2026-12-31T01:00:00+01:00", 1_798_675_200),
            ("2026-12-30T19:30:00-04:30", 1_798_675_200),
            ("2026-12-31t00:00:00.999z", 1_798_675_200),
            ("2026-12-31 00:00:00Z", 1_798_675_200),
        ] {
            assert_eq!(moment(text).unwrap().0.as_secs(), seconds, "{text}");
        }
        for text in [
            "",
            "2026-12-31",
            "2026-12-31T00:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-12-31T24:00:00Z",
            "2026-12-31T00:60:00Z",
            "2026-12-31T00:00:00.Z",
            "2026-12-31T00:00:00+1:00",
            "2026-12-31T00:00:00+01:00x",
            "2026/12/31T00:00:00Z",
            "+026-12-31T00:00:00Z",
            "tomorrow",
            "2026-12-31T00:00:00é",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
