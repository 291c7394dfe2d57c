//! A share of something, always with its sign: in other configurations a bare number means percent in one place and a
//! fraction in the next.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Written;
use super::reading::{text_or, text_value};
use crate::config::de::with_hint;

/// A share, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentage(u32);

impl Percentage {
    /// Everything.
    pub const ALL: Self = Self(1_000_000);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// So many millionths, at most all.
    #[must_use]
    pub fn millionths(count: u32) -> Self {
        Self(count.min(Self::ALL.0))
    }

    /// Of a million.
    #[must_use]
    pub fn of_million(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let rest = format!("{rest:04}");
        write!(f, "{whole}.{}%", rest.trim_end_matches('0'))
    }
}

/// Istio's form.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PercentageValue")]
pub(in crate::config) struct PercentageFields {
    /// In percent: `0.1` is one in a thousand.
    #[schemars(range(min = 0.0, max = 100.0))]
    value: Option<f64>,
}

impl TryFrom<PercentageFields> for Percentage {
    type Error = String;
    fn try_from(fields: PercentageFields) -> Result<Self, String> {
        let Some(value) = fields.value else { return Err(with_hint("this says nothing", "write `10%`")) };
        let text = format!("{value}");
        read(&text).ok_or_else(|| shape(&text))
    }
}

text_or!(Percentage, PercentageFields, "a percentage such as `10%`", percentage, {
    "type": "string",
    "description": "A percentage with its sign, down to 0.0001%: 0.1%, 10%, 100%.",
    "pattern": "^([0-9]+([.][0-9]{1,4})? *%|.*[$][{].*)$"
});

fn percentage(text: &str) -> Result<Percentage, String> {
    if let Some(number) = text.strip_suffix('%') {
        return read(number.trim_end()).ok_or_else(|| shape(text));
    }
    let Ok(number) = text.parse::<f64>() else { return Err(shape(text)) };
    let whole = number * 100.0;
    Err(with_hint(
        format!("`{text}` has no `%`: it could mean {text} percent or {whole} percent"),
        format!("write `{text}%` for {text} in a hundred"),
    ))
}

fn shape(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    with_hint(format!("`{shown}` is not a percentage"), "write `0.1%`, `10%` or `100%`; the smallest is `0.0001%`")
}

/// A number of percent: at most 100, at most four decimals.
fn read(number: &str) -> Option<Percentage> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 4 {
        return None;
    }
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 100)?;
    let fraction: u32 = format!("{fraction:0<4}").parse().ok()?;
    let millionths = whole * 10_000 + fraction;
    (millionths <= 1_000_000).then(|| Percentage::millionths(millionths))
}

text_value!(
    /// A whole percentage.
    Share(u32), share, "a percentage such as `50%`", {
    "description": "A whole percentage: 50%.",
    "anyOf": [
        { "type": "string", "pattern": "^([0-9]+%?|.*[$][{].*)$" },
        { "type": "integer", "minimum": 0, "maximum": 100 }
    ]
});

/// Istio's fields hold bare whole numbers, which cannot be mistaken; a fraction can.
fn share(text: &str) -> Result<Share, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let is_whole = number.bytes().all(|byte| byte.is_ascii_digit());
    match read(number).filter(|_| is_whole) {
        Some(Percentage(millionths)) => Ok(Share(millionths / 10_000)),
        None if is_whole && !number.is_empty() => {
            Err(with_hint(format!("`{text}` is more than everything"), "`0%` to `100%`"))
        }
        None if number.parse::<f64>().is_ok() => {
            Err(with_hint(format!("`{text}` is not a whole percentage"), "write `50%` for one half"))
        }
        None => Err(with_hint(format!("`{text}` is not a percentage"), "write `50%`")),
    }
}

impl Written<u32> for Percentage {
    fn meaning(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        for (text, millionths) in [
            ("0%", 0),
            ("0.0001%", 1),
            ("0.1%", 1_000),
            ("10%", 100_000),
            ("12.5%", 125_000),
            ("100%", 1_000_000),
            ("100.0%", 1_000_000),
        ] {
            let read = percentage(text).unwrap();
            assert_eq!(read.of_million(), millionths, "{text}");
        }
        for text in [
            "", "%", "-1%", "101%", "100.1%", "0.00001%", "1e1%", ".5%", "5.%", "many", "5 percent", "20", "0.2",
            "1.00001%",
        ] {
            assert!(percentage(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_both_its_meanings() {
        let error = percentage("0.1").unwrap_err();
        assert!(error.contains("0.1 percent or 10 percent") && error.contains("`0.1%`"), "{error}");
    }

    #[test]
    fn the_form_of_istio_is_in_percent() {
        let read = |value| Percentage::try_from(PercentageFields { value });
        assert_eq!(read(Some(0.1)).unwrap().of_million(), 1_000);
        assert_eq!(read(Some(100.0)).unwrap().of_million(), 1_000_000);
        assert!(read(Some(100.5)).is_err() && read(Some(-1.0)).is_err() && read(None).is_err());
    }

    #[test]
    fn percentages_read_as_they_are_written() {
        for (millionths, text) in
            [(0, "0%"), (1, "0.0001%"), (1_000, "0.1%"), (12_500, "1.25%"), (1_000_000, "100%"), (u32::MAX, "100%")]
        {
            assert_eq!(Percentage::millionths(millionths).to_string(), text);
        }
    }

    #[test]
    fn shares() {
        for (text, percent) in [("0%", 0), ("50%", 50), ("50", 50), ("100%", 100)] {
            assert_eq!(share(text).unwrap().0, percent, "{text}");
        }
        for text in ["", "%", "0.5", "101%", "-1%", "half", "50 %", "50%%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
