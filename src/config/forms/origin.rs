//! Web origins: a text, or a regular expression.

use super::names::host;
use super::reading::{one_of, text_or};
use super::values::Pattern;
use crate::config::de::with_hint;
use crate::config::types::{HostPattern, NULL, OriginPattern, serialised};

one_of! {
    /// Exactly one of these.
    OriginFields => OriginPattern {
        /// One origin, `*` for all, or `https://*.example.com` for all below a name.
        exact: String => |text| origin(&text),
        /// The whole origin as browsers write it, by a regular expression; never `null`.
        regex: Pattern => |pattern| Ok(OriginPattern::Regex(pattern.whole)),
    }
}

text_or!(OriginPattern, OriginFields, "an origin such as `https://app.example.com`, or `{ regex: .. }`", origin, {
    "type": "string",
    "description": "Scheme and host, with a port where it is not the scheme's: https://app.example.com, https://*.example.com, null, or * for all."
});

fn origin(text: &str) -> Result<OriginPattern, String> {
    match text {
        "*" => return Ok(OriginPattern::Any),
        NULL => return Ok(OriginPattern::Null),
        _ => {}
    }
    if let Some(origin) = serialised(text) {
        return Ok(OriginPattern::Exact(origin.into()));
    }
    if let Some(below) = below(text) {
        return Ok(below);
    }
    let not = format!("`{text}` is not an origin");
    let hint = match text.split_once("://") {
        None => format!("write `https://{text}`"),
        Some((_, rest)) if rest.contains(['/', '?', '#']) => "an origin has no path: scheme, host and port".to_owned(),
        Some((_, rest)) if rest.contains('*') => {
            "a `*` stands for whole labels at the start: `https://*.example.com`; else write `{ regex: .. }`".to_owned()
        }
        Some((_, rest)) if !rest.is_ascii() => "write the host in its ASCII form (`xn--...`)".to_owned(),
        Some(_) => "write `https://app.example.com`, with a port where it is not the scheme's".to_owned(),
    };
    Err(with_hint(not, hint))
}

/// `https://*.example.com`, perhaps with a port.
fn below(text: &str) -> Option<OriginPattern> {
    let (scheme, rest) = text.split_once("://*.")?;
    // The star is no part of a name; without it the rest must be an origin.
    let plain = serialised(&format!("{scheme}://{rest}"))?.into_owned();
    let (scheme, authority) = plain.split_once("://")?;
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (authority, None),
    };
    let Ok(HostPattern::Wildcard(parent)) = host(&format!("*.{name}")) else { return None };
    Some(OriginPattern::Below { scheme: scheme.into(), parent: parent.into(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read() {
        for (text, expected) in [
            ("*", "*"),
            ("null", "null"),
            ("https://App.company.com:443", "https://app.company.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://*.company.com", "https://*.company.com"),
            ("https://*.company.com:443", "https://*.company.com"),
            ("https://*.company.com:8443", "https://*.company.com:8443"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(origin(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_explained() {
        for (text, hint) in [
            ("app.company.com", "write `https://app.company.com`"),
            ("https://app.company.com/", "no path"),
            ("https://app.*.com", "whole labels"),
            ("https://*", "whole labels"),
            ("https://*.10.0.0.1", "whole labels"),
            ("https://\u{e9}.com", "xn--"),
            ("https://a:x", "with a port"),
        ] {
            let error = origin(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
