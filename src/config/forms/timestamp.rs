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
