//! Values as other programs write them, in the spelling of attache.

/// A number of milliseconds as a duration.
pub(super) fn duration(millis: u64) -> String {
    match millis {
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(60_000) && millis >= 120_000 => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// Milliseconds of a text such as `1m30s`, `1.5s` or `90`; a number alone counts `unit` milliseconds each. `None` for
/// what is no time, or longer than a year.
pub(super) fn millis(text: &str, unit: u64) -> Option<u64> {
    let mut total = 0_f64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (word, after) = after.split_at_checked(end)?;
        let scale = match word.trim() {
            "" => unit,
            "us" | "\u{b5}s" => {
                total += number.parse::<f64>().ok()? / 1_000.0;
                rest = after;
                continue;
            }
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "M" => 30 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        let scale = u32::try_from(scale.min(u64::from(u32::MAX))).ok()?;
        let scale = if word.trim() == "y" { 31_536_000_000.0 } else { f64::from(scale) };
        total += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    whole(total.ceil()).filter(|millis| *millis <= 365 * 86_400_000)
}

/// A positive number without a fraction.
fn whole(number: f64) -> Option<u64> {
    if number.is_finite() && (0.0..1e15).contains(&number) { format!("{number:.0}").parse().ok() } else { None }
}

/// A text such as `30s` as a duration of ours.
pub(super) fn time(text: &str, unit: u64) -> Option<String> {
    millis(text, unit).map(duration)
}

/// A number of bytes with a letter behind it, `8m` or `64K`, as a size of ours.
pub(super) fn size(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at_checked(end)?;
    let number: u64 = number.parse().ok()?;
    let unit = match unit.trim() {
        "" | "b" => "B",
        "k" | "kib" | "ki" => "KiB",
        "m" | "mib" | "mi" => "MiB",
        "g" | "gib" | "gi" => "GiB",
        "kb" => "kB",
        "mb" => "MB",
        "gb" => "GB",
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

/// Text for a regular expression that stands for itself.
pub(super) fn literal(text: &str) -> String {
    regex::escape(text)
}

/// A pattern that is looked for anywhere, as one that matches the whole text.
pub(super) fn whole_pattern(pattern: &str, ignores_case: bool) -> String {
    let flag = if ignores_case { "(?i)" } else { "" };
    if pattern.contains('|') {
        // A `^` or `$` may belong to one alternative alone, and none may get loose from what stands around it.
        return format!("{flag}.*(?:{pattern}).*");
    }
    let (start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => ("", rest),
        None => (".*", pattern),
    };
    let is_escaped = rest.len() - rest.trim_end_matches('$').trim_end_matches('\\').len() > 1
        && rest.trim_end_matches('$').ends_with('\\');
    let (rest, end) = match rest.strip_suffix('$') {
        Some(inner) if !is_escaped => (inner, ""),
        _ => (rest, ".*"),
    };
    format!("{flag}{start}{rest}{end}")
}

/// `$1` in braces, so that what follows is no part of its name.
pub(super) fn replacement(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(digit) if c == '$' && digit.is_ascii_digit() => {
                out.push_str(&format!("${{{digit}}}"));
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// Host and port of an address, with a port for those without. An IPv6 address keeps its brackets.
pub(super) fn with_port(address: &str, port: u16) -> String {
    let after = address.rsplit_once(']').map_or(address, |(_, after)| after);
    if after.contains(':') { address.to_owned() } else { format!("{address}:{port}") }
}

/// The pieces of a URL: scheme, host with port, and what follows.
pub(super) fn url(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    (!authority.is_empty()).then_some((scheme, authority, path))
}

/// The address to bind for `*:80`, `:80`, `80` or `10.0.0.1:80`.
pub(super) fn bind(text: &str) -> Option<String> {
    if let Ok(port) = text.parse::<u16>() {
        return Some(format!("0.0.0.0:{port}"));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let host = match host {
        "" | "*" | "0.0.0.0" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        "::" | "[::]" => "[::]",
        other => other,
    };
    let address = format!("{host}:{port}");
    address.parse::<std::net::SocketAddr>().ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_everybodys_spelling() {
        for (text, unit, expected) in [
            ("60s", 1_000, Some("60s")),
            ("5000ms", 1, Some("5s")),
            ("50000", 1, Some("50s")),
            ("60", 1_000, Some("60s")),
            ("1m30s", 1, Some("90s")),
            ("5m", 1, Some("5m")),
            ("0.5s", 1, Some("500ms")),
            ("250us", 1, Some("1ms")),
            ("1y", 1, Some("525600m")),
            ("2y", 1, None),
            ("", 1, None),
            ("x", 1, None),
            ("5q", 1, None),
            ("..s", 1, None),
        ] {
            assert_eq!(time(text, unit).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn patterns_match_whole_values() {
        for (pattern, expected) in [
            ("^/a$", "/a"),
            ("^/a", "/a.*"),
            (r"\.json$", r".*\.json"),
            ("a|b", ".*(?:a|b).*"),
            (r"^/a\$", r"/a\$.*"),
            ("^/a|b$", ".*(?:^/a|b$).*"),
        ] {
            assert_eq!(whole_pattern(pattern, false), expected, "{pattern}");
        }
        assert_eq!(whole_pattern("^/a$", true), "(?i)/a");
        let whole = regex::Regex::new(&format!("^(?:{})$", whole_pattern("^/a|b$", false))).unwrap();
        for (text, expected) in [("/a", true), ("/ax", true), ("/x/b", true), ("/x/a", false), ("/b/x", false)] {
            assert_eq!(whole.is_match(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_sizes_and_urls() {
        assert_eq!(bind("*:443").as_deref(), Some("0.0.0.0:443"));
        assert_eq!(bind("[::]:80").as_deref(), Some("[::]:80"));
        assert_eq!(bind("agent:80"), None);
        assert_eq!(size("8m").as_deref(), Some("8MiB"));
        assert_eq!(size("m"), None);
        assert_eq!(url("http://a:1/b?c"), Some(("http", "a:1", "/b?c")));
        assert_eq!(with_port("[::1]", 80), "[::1]:80");
    }
}
