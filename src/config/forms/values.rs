//! Single values of the file, legal once deserialised. Checks sit here so that each message has the value's own place.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{Method, StatusCode};
use ipnet::IpNet;
use schemars::json_schema;
use serde::{Deserialize, Deserializer};

use super::reading::schema_of;
pub(in crate::config) use super::reading::text_value;
use crate::config::de::{invalid, with_hint};

text_value!(
    /// A length of time with its unit.
    Time(Duration), time, "a duration such as `30s`", {
    "type": "string",
    "description": "A duration with its unit: 250ms, 30s, 2m, 1h30m.",
    "pattern": "^(([0-9]+(ms|s|m|h|d))+|.*[$][{].*)$"
});

/// Reads a duration; the error has no hint in it.
pub(in crate::config) fn duration(text: &str) -> Result<Duration, String> {
    time(text)
        .map(|time| time.0)
        .map_err(|_hint| format!("`{text}` is not a duration: write `250ms`, `30s`, `2m` or `1h30m`"))
}

pub(in crate::config) fn time(text: &str) -> Result<Time, String> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    if text.is_empty() {
        return Err(with_hint("a duration cannot be empty", "write `30s`"));
    }
    if text.parse::<f64>().is_ok() {
        let message = format!("`{text}` has no unit");
        return Err(with_hint(message, format!("write `{text}s` for seconds or `{text}ms` for milliseconds")));
    }
    let shape = || {
        let hint = whole_time(text)
            .map_or_else(|| "write `250ms`, `30s`, `2m` or `1h30m`".to_owned(), |whole| format!("write `{whole}`"));
        with_hint(format!("`{text}` is not a duration"), hint)
    };
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = leading_digits(rest);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(shape)?;
        let number: u64 = number.parse().map_err(|_not_a_number| shape())?;
        let millis = number.checked_mul(scale).and_then(|millis| total.checked_add(millis));
        total = millis.filter(|millis| *millis <= 365 * 86_400_000).ok_or_else(|| {
            with_hint(format!("`{text}` is longer than a year"), "write `off` where a limit can be off")
        })?;
        rest = after;
    }
    Ok(Time(Duration::from_millis(total)))
}

/// A fraction, or a number with its unit in words, as a duration: `1.5s` is `1500ms`, `5 min` is `5m`.
fn whole_time(text: &str) -> Option<String> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(at)?;
    let units: [(&str, f64, &[&str]); 5] = [
        ("d", 86_400_000.0, &["d", "day", "days"]),
        ("h", 3_600_000.0, &["h", "hr", "hour", "hours"]),
        ("m", 60_000.0, &["m", "min", "mins", "minute", "minutes"]),
        ("s", 1000.0, &["s", "sec", "secs", "second", "seconds"]),
        ("ms", 1.0, &["ms", "msec", "millis", "millisecond", "milliseconds"]),
    ];
    let unit = unit.trim().to_ascii_lowercase();
    let (_, scale, _) = units.iter().find(|(_, _, words)| words.contains(&unit.as_str()))?;
    let millis = number.parse::<f64>().ok()? * scale;
    if millis.fract() != 0.0 || millis > 365.0 * 86_400_000.0 {
        return None;
    }
    let (unit, scale, _) = units.iter().find(|(_, scale, _)| millis % scale == 0.0)?;
    Some(format!("{}{unit}", millis / scale))
}

fn leading_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

text_value!(
    /// A number of bytes with its unit.
    Size(u64), size, "a size such as `64KiB`", {
    "type": "string",
    "description": "A size with its unit: 512B, 64KiB, 10MiB, 1GiB (powers of 1024) or 10kB, 10MB (powers of 1000).",
    "pattern": "^([0-9]+(B|KiB|MiB|GiB|kB|KB|MB|GB)|.*[$][{].*)$"
});

fn size(text: &str) -> Result<Size, String> {
    const KIB: u64 = 1024;
    let (number, unit) = leading_digits(text);
    let shape = || with_hint(format!("`{text}` is not a size"), "write `64KiB` or `10MiB`");
    let number: u64 = number.parse().map_err(|_not_a_number| shape())?;
    let scale = match unit {
        "" => {
            let message = format!("`{text}` has no unit");
            return Err(with_hint(message, format!("write `{text}B`, `{text}KiB` or `{text}MiB`")));
        }
        "B" => 1,
        "KiB" => KIB,
        "MiB" => KIB * KIB,
        "GiB" => KIB * KIB * KIB,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "k" | "K" | "m" | "M" | "g" | "G" | "Ki" | "Mi" | "Gi" => {
            let letter = unit.chars().next().unwrap_or('K').to_ascii_uppercase();
            return Err(with_hint(format!("`{text}` is not a size"), format!("write `{number}{letter}iB`")));
        }
        _ => return Err(shape()),
    };
    number.checked_mul(scale).filter(|bytes| *bytes <= 1 << 50).map(Size).ok_or_else(shape)
}

text_value!(
    /// An IP address and port to bind.
    Bind(SocketAddr), bind, "an address such as `0.0.0.0:8080`", {
    "type": "string",
    "description": "IP address and port: 0.0.0.0:8080, [::]:8080."
});

pub(in crate::config) fn bind(text: &str) -> Result<Bind, String> {
    if let Ok(address) = text.parse() {
        return Ok(Bind(address));
    }
    let hint = if text.parse::<IpAddr>().is_ok() {
        "add a port; an IPv6 address stands in brackets then".to_owned()
    } else if let Ok(port) = text.trim_start_matches(['*', ':']).parse::<u16>() {
        format!("write `0.0.0.0:{port}`")
    } else if let Some(port) = text.strip_prefix("localhost:") {
        format!("write `127.0.0.1:{port}`")
    } else {
        "write `0.0.0.0:8080` or `[::]:8080`".to_owned()
    };
    Err(with_hint(format!("`{text}` is not an IP address and port"), hint))
}

text_value!(
    /// A network, or one address as a network.
    Network(IpNet), network, "a network such as `10.0.0.0/8`", {
    "type": "string",
    "description": "A network in CIDR form, or one IP address."
});

pub(in crate::config) fn network(text: &str) -> Result<Network, String> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let net =
        parsed.ok_or_else(|| with_hint(format!("`{text}` is not a network"), "write `10.0.0.0/8` or `fd00::/8`"))?;
    if net.trunc() == net {
        return Ok(Network(net));
    }
    Err(with_hint(format!("`{text}` has bits beyond its prefix"), format!("write `{}`", net.trunc())))
}

text_value!(
    /// A path as it is matched: starts with `/`, in normal form.
    PathText(String), path_text, "a path such as `/api`", {
    "type": "string",
    "description": "A path that starts with `/`.",
    "pattern": "^/|[$][{]"
});

pub(in crate::config) fn path_text(text: &str) -> Result<PathText, String> {
    if !text.starts_with('/') {
        return Err(with_hint(format!("the path `{text}` does not start with `/`"), format!("write `/{text}`")));
    }
    if text.contains(['?', '#']) {
        return Err(with_hint(format!("`{text}` is more than a path"), "match parameters with `query`"));
    }
    if text.contains(['*', '\\']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let message = format!("`{text}` holds characters a path cannot match");
        return Err(with_hint(message, "use `prefix` for everything below a path, or `regex`"));
    }
    if !text.is_ascii() {
        return Err(with_hint(format!("`{text}` is not ASCII"), "percent-encode it, as it is on the wire"));
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        let message = format!("`{text}` holds dot segments, which no request has left when it is matched");
        return Err(with_hint(message, "write the path without them"));
    }
    if let Some(escape) = text.split('%').skip(1).find(|rest| !is_needed_escape(rest)) {
        let escape: String = escape.chars().take(2).collect();
        let message = format!("`%{escape}` never occurs in a normalised path");
        return Err(with_hint(message, "write the character itself, and hexadecimal digits in upper case"));
    }
    Ok(PathText(text.to_owned()))
}

/// Whether what follows a `%` stays encoded when a path is normalised (RFC 3986 section 6.2.2).
fn is_needed_escape(rest: &str) -> bool {
    let Some(digits) = rest.get(..2) else { return false };
    let Ok(byte) = u8::from_str_radix(digits, 16) else { return false };
    let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !unreserved && digits == digits.to_ascii_uppercase()
}

/// A linear-time regular expression, unanchored as written.
#[derive(Clone, Debug)]
pub(in crate::config) struct Pattern {
    /// Must match the whole value.
    pub(in crate::config) whole: regex::Regex,
    /// Found anywhere.
    pub(in crate::config) anywhere: regex::Regex,
}

text_value!(Pattern, pattern, "a regular expression", {
    "type": ["string", "number", "boolean"],
    "description": "A regular expression in Rust's syntax: linear time, no look-around, no back-references."
});

/// Memory one compiled expression may take.
const REGEX_LIMIT: usize = 1 << 20;

pub(in crate::config) fn pattern(text: &str) -> Result<Pattern, String> {
    let compile =
        |text: &str| regex::RegexBuilder::new(text).size_limit(REGEX_LIMIT).dfa_size_limit(REGEX_LIMIT).build();
    let explain = |error: regex::Error| match error {
        regex::Error::CompiledTooBig(_) => {
            with_hint("the regular expression is too large", "compiled it may take 1 MiB")
        }
        other => {
            let text = other.to_string();
            let reason =
                text.lines().rev().find_map(|line| line.trim().strip_prefix("error: ")).unwrap_or("not understood");
            with_hint("not a regular expression", reason)
        }
    };
    let anywhere = compile(text).map_err(explain)?;
    let whole = compile(&format!("^(?:{text})$")).map_err(explain)?;
    Ok(Pattern { whole, anywhere })
}

text_value!(
    /// A request method.
    Verb(Method), verb, "a method such as `GET`", {
    "type": "string",
    "pattern": "^[-A-Z0-9!#$%&'*+.^_`|~]+$|[$][{]"
});

pub(in crate::config) fn verb(text: &str) -> Result<Verb, String> {
    let method = Method::from_bytes(text.as_bytes())
        .map_err(|_illegal| with_hint(format!("`{text}` is not a method"), "write `GET`"))?;
    if text.chars().any(|c| c.is_ascii_lowercase()) {
        let message = format!("`{text}`: methods are case-sensitive");
        return Err(with_hint(message, format!("write `{}`", text.to_ascii_uppercase())));
    }
    Ok(Verb(method))
}

/// A final status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Status(pub(in crate::config) StatusCode);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = u16::deserialize(deserializer)?;
        match StatusCode::from_u16(code) {
            Ok(status) if (200..=599).contains(&code) => Ok(Self(status)),
            _ => Err(invalid(format!("{code} is not a final status code"), "200 to 599")),
        }
    }
}

schema_of!(Status as "Status", |_| json_schema!({ "type": "integer", "minimum": 200, "maximum": 599 }));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("2m", 120_000), ("1h30m", 5_400_000), ("0s", 0), ("1d", 86_400_000)]
        {
            assert_eq!(time(text).unwrap().0.as_millis(), millis, "{text}");
        }
        for text in ["", "30", "1.5s", "s", "30 s", "30x", "-1s", "99999999999999999999s", "400d", "1.5", "1h30"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_almost_a_duration_is_shown_as_one() {
        for (text, expected) in [
            ("1.5s", Some("1500ms")),
            ("0.5m", Some("30s")),
            ("1.5h", Some("90m")),
            ("30 s", Some("30s")),
            ("5 min", Some("5m")),
            ("2hours", Some("2h")),
            ("24h", Some("1d")),
            ("100MS", Some("100ms")),
            ("0.0001s", None),
            ("1.2.3s", None),
            ("10x", None),
            ("s", None),
            ("1e9d", None),
        ] {
            assert_eq!(whole_time(text).as_deref(), expected, "{text}");
        }
        assert!(time("1.5s").unwrap_err().contains("write `1500ms`"));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("64KiB", 65_536), ("10MiB", 10 << 20), ("512B", 512), ("10kB", 10_000), ("1GiB", 1 << 30)]
        {
            assert_eq!(size(text).unwrap().0, bytes, "{text}");
        }
        for text in ["", "64", "64k", "KiB", "1.5MiB", "99999999999GiB", "64 KiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths() {
        for text in ["/", "/a", "/a/", "/a%20b", "/.well-known/agent-card.json", "/a:b"] {
            assert!(path_text(text).is_ok(), "{text}");
        }
        for text in ["", "a", "/a?b", "/a b", "/../a", "/./a", "/%41", "/%2f", "/%", "/é", "/a*", "/%zz"] {
            assert!(path_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(pattern("(a{1000}){1000}").is_err());
        assert!(pattern("(?=a)").is_err());
        let found = pattern("/a|/b").unwrap();
        assert!(found.whole.is_match("/b") && !found.whole.is_match("/bc"));
    }
}
