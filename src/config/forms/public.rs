//! `publicUrl`: scheme, host, perhaps a port, perhaps a path, and nothing else.

use super::names::host;
use super::reading::text_value;
use super::values::path_text;
use crate::config::de::with_hint;
use crate::config::types::{HostPattern, PublicUrl, Scheme};

text_value!(PublicUrl, public_url, "a URL such as `https://agents.example.com`", {
    "type": "string",
    "description": "Scheme and host, with a port and a path where clients need them: https://agents.example.com, https://agents.example.com:8443/team.",
    "pattern": "^([hH][tT][tT][pP][sS]?://[^/?#@*]+(/[^?#]*)?|.*[$][{].*)$"
});

fn public_url(text: &str) -> Result<PublicUrl, String> {
    let (scheme, rest) = scheme(text)?;
    if rest.contains('@') {
        return Err(with_hint("a public URL has no user and no password", format!("write `{scheme}://` and the host")));
    }
    if let Some(at) = rest.find(['?', '#']) {
        let before = rest.get(..at).unwrap_or_default();
        return Err(with_hint("a public URL has no query and no fragment", format!("write `{scheme}://{before}`")));
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (name, port) = host_and_port(authority)?;
    let HostPattern::Exact(name) = host(name)? else {
        let message = format!("`{authority}` is more than one host");
        return Err(with_hint(message, "a public URL names one; write it at each route that needs another"));
    };
    let prefix = prefix(path)?;
    PublicUrl::new(scheme, &name, port, prefix).ok_or_else(|| format!("`{text}` is not a URL"))
}

fn scheme(text: &str) -> Result<(Scheme, &str), String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let bare = text.trim_start_matches('/');
        return Err(with_hint(format!("`{text}` has no scheme"), format!("write `https://{bare}`")));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Scheme::Http, rest)),
        "https" => Ok((Scheme::Https, rest)),
        _ => Err(with_hint(
            format!("`{scheme}` is not the scheme of a public URL"),
            "`http` or `https`; WebSocket and gRPC clients use the same address",
        )),
    }
}

/// The two halves of `host[:port]`; the host is checked by the caller.
fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let ends_address = authority.ends_with(']');
    let parts = authority.rsplit_once(':').filter(|_| !ends_address);
    let Some((name, port)) = parts else { return Ok((authority, None)) };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if is_number && number != 0 => Ok((name, Some(number))),
        _ => Err(with_hint(
            format!("`{authority}` has no legal port"),
            "a port is 1 to 65535; leave it out for the scheme's own",
        )),
    }
}

/// The path without the slash at its end.
fn prefix(path: &str) -> Result<&str, String> {
    let prefix = path.strip_suffix('/').unwrap_or(path);
    if prefix.is_empty() {
        return Ok("");
    }
    path_text(prefix)?;
    if prefix.contains("//") || prefix.ends_with('/') {
        return Err(with_hint(format!("the path `{path}` has empty segments"), "write one slash between two segments"));
    }
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_urls_come_out_in_one_spelling() {
        for (text, expected) in [
            ("https://agents.example.com", "https://agents.example.com"),
            ("https://agents.example.com/", "https://agents.example.com"),
            ("HTTPS://Agents.Example.COM.:443/", "https://agents.example.com"),
            ("https://a.example:8443", "https://a.example:8443"),
            ("http://a.example:80/team", "http://a.example/team"),
            ("http://a.example:443", "http://a.example:443"),
            ("https://a.example/team/blue/", "https://a.example/team/blue"),
            ("https://a.example/t%20b", "https://a.example/t%20b"),
            ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
            ("https://[::1]", "https://[::1]"),
            ("https://[0:0::1]:8443/a", "https://[::1]:8443/a"),
            ("http://my_gateway", "http://my_gateway"),
        ] {
            let found = public_url(text).map(|url| url.to_string());
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
        }
    }
}
