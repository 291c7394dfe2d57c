//! Addresses of other servers: scheme, host, perhaps a port, path and query.

use http::{HeaderValue, Uri};

use super::reading::text_value;
use crate::config::de::with_hint;
use crate::config::types::{Authority, Scheme, WebUrl};

text_value!(WebUrl, web_url, "a URL such as `https://login.example.com/keys`", {
    "type": "string",
    "description": "A URL with http or https: https://login.example.com/.well-known/jwks.json.",
    "pattern": "^([hH][tT][tT][pP][sS]?://[^/?#@*]+([/?][^#]*)?|.*[$][{].*)$"
});

fn web_url(text: &str) -> Result<WebUrl, String> {
    let example = "write `https://login.example.com/.well-known/jwks.json`";
    let wrong = |what: &str| with_hint(format!("`{text}` {what}"), example);
    let Some((scheme, _)) = text.split_once("://") else { return Err(wrong("has no scheme")) };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(wrong("has another scheme than http and https")),
    };
    if text.contains('#') {
        return Err(wrong("has a fragment"));
    }
    let uri: Uri = text.parse().map_err(|_illegal| wrong("is not a URL"))?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or_else(|| wrong("has no host"))?;
    if authority.as_str().contains(['@', '*']) {
        return Err(with_hint("such a URL has one host, and no user", example));
    }
    // What is no number up to 65535 counts as no port there.
    let port = match authority.port_u16() {
        None if authority.as_str().len() == authority.host().len() => scheme.default_port(),
        Some(port) if port > 0 => port,
        _ => return Err(wrong("has no port that there is")),
    };
    let host = authority.host().to_ascii_lowercase();
    let value = Authority { scheme, host: &host, port }.to_string();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    Ok(WebUrl {
        scheme,
        host: bare.into(),
        port,
        authority: HeaderValue::try_from(value).map_err(|_illegal| wrong("is not a URL"))?,
        target: uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, expected) in [
            ("https://login.example.com/keys?v=1", Ok("https://login.example.com/keys?v=1")),
            ("HTTPS://Login.Example.com", Ok("https://login.example.com/")),
            ("http://127.0.0.1:8080/a", Ok("http://127.0.0.1:8080/a")),
            ("https://[::1]:443/", Ok("https://[::1]/")),
            ("https://a.example?x", Ok("https://a.example/?x")),
            ("login.example.com/keys", Err("`login.example.com/keys` has no scheme")),
            ("ftp://a.example/", Err("`ftp://a.example/` has another scheme than http and https")),
            ("file:///etc/passwd", Err("`file:///etc/passwd` has another scheme than http and https")),
            ("https://a.example/#x", Err("`https://a.example/#x` has a fragment")),
            ("https://ann:pw@a.example/", Err("such a URL has one host, and no user")),
            ("https:///a", Err("`https:///a` is not a URL")),
            ("https://a.example:0/", Err("`https://a.example:0/` has no port that there is")),
            ("https://a.example:/", Err("`https://a.example:/` has no port that there is")),
            ("https://a.example:70000/", Err("`https://a.example:70000/` has no port that there is")),
            ("https://a example/", Err("`https://a example/` is not a URL")),
        ] {
            let read = web_url(text).map(|url| url.to_string());
            let read = read.as_deref().map_err(|error| error.split('\u{1}').next().unwrap_or_default());
            match (read, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        let url = web_url("https://[::1]/").unwrap();
        assert_eq!((&*url.host, url.port, url.is_local()), ("::1", 443, true));
        assert!(!web_url("https://a.example").unwrap().is_local());
    }
}
