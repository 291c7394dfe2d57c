//! A moment in time, as RFC 3339 writes it.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Written;
use super::reading::text_value;
use crate::config::de::with_hint;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Timestamp(pub(in crate::config) SystemTime);

impl Written<SystemTime> for Timestamp {
    fn meaning(self) -> SystemTime {
        self.0
    }
}

/// Time since the Unix epoch; none for what is before it.
impl Written<Duration> for Timestamp {
    fn meaning(self) -> Duration {
        self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

text_value!(Timestamp, moment, "a moment such as `2026-12-31T00:00:00Z`", {
    "type": "string",
    "description": "Date, time and offset (RFC 3339): 2026-12-31T00:00:00Z, 2026-12-31T01:00:00+01:00.",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[-+][0-9]{2}:[0-9]{2})$|[$][{]"
});

fn moment(text: &str) -> Result<Timestamp, String> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339);
    parsed.map(|at| Timestamp(at.into())).map_err(|_invalid| {
        let shown: String = text.chars().take(60).collect();
        with_hint(
            format!("`{shown}` is not a moment"),
            "write date, time and offset: `2026-12-31T00:00:00Z` or `2026-12-31T01:00:00+01:00`",
        )
    })
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
            let since: Duration = moment(text).unwrap().meaning();
            assert_eq!(since.as_secs(), seconds, "{text}");
        }
        for text in [
            "", "2026-12-31", "2026-12-31T00:00:00", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
            "2026-12-31T24:00:00Z", "2026-12-31T00:60:00Z", "2026-12-31T00:00:00.Z", "2026-12-31T00:00:00+1:00",
            "2026-12-31T00:00:00+01:00x", "2026/12/31T00:00:00Z", "+026-12-31T00:00:00Z", "tomorrow",
            "2026-12-31T00:00:00é",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
