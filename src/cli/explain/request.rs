//! The request to explain, read from the command line the way a listener reads one from the wire.

use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::Failure;
use crate::config::model::Listener;
use crate::route;

/// What the command line describes.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) is_tls: bool,
    pub(super) port: u16,
    /// Whether the port stands in the URL.
    pub(super) names_port: bool,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    authority: String,
    path: String,
}

impl Request {
    /// Reads method, URL and `name: value` fields.
    pub(super) fn read(method: &Method, url: &Uri, fields: &[String]) -> Result<Self, Failure> {
        let is_tls = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(incomplete(url)),
        };
        let authority = url.authority().ok_or_else(|| incomplete(url))?;
        let mut headers = HeaderMap::new();
        for field in fields {
            let (name, value) = header(field)?;
            headers.append(name, value);
        }
        // As on the wire, a Host field of its own is what routes see.
        let host = headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
        Ok(Self {
            method: method.clone(),
            is_tls,
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            names_port: authority.port_u16().is_some(),
            query: url.query().map(str::to_owned),
            authority: host.unwrap_or(authority.as_str()).to_owned(),
            path: url.path().to_owned(),
            headers,
        })
    }

    /// The host in the form routes are matched on.
    pub(super) fn host(&self) -> Result<String, Failure> {
        let host = route::host_of(&self.authority).map_err(|reason| {
            Failure::new(
                format_args!("the gateway answers 400 ({reason}): `{}` is not a host", self.authority),
                "correct the URL or the Host field",
            )
        })?;
        Ok(host.into_owned())
    }

    /// Whether its path is `prefix` or below.
    pub(super) fn is_below(&self, prefix: &str) -> bool {
        let rest = self.path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path in the form routes are matched on; a proxy in front of `listener` removes the prefix `stripped`.
    pub(super) fn path(&self, listener: &Listener, stripped: &str) -> Result<String, Failure> {
        let path = self.path.strip_prefix(stripped).unwrap_or(&self.path);
        let path = if path.is_empty() { "/" } else { path };
        let path = route::normalise(path, listener.paths).map_err(|reason| {
            Failure::new(
                format_args!("the gateway answers 400 ({reason}): it does not pass on the path `{}`", self.path),
                format_args!("correct the path; `listeners.{}.paths` says what is let through", listener.name),
            )
        })?;
        Ok(path.into_owned())
    }
}

fn header(field: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let parsed = field.split_once(':').and_then(|(name, value)| {
        let name = name.trim().parse::<HeaderName>().ok()?;
        Some((name, value.trim().parse::<HeaderValue>().ok()?))
    });
    parsed.ok_or_else(|| Failure::new(format_args!("`{field}` is not a header field"), "write it as -H 'name: value'"))
}

fn incomplete(url: &Uri) -> Failure {
    Failure::new(
        format_args!("`{url}` is not a whole URL"),
        "write scheme and host too, such as https://localhost/path",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, fields: &[&str]) -> Result<Request, Failure> {
        let fields: Vec<_> = fields.iter().map(|field| (*field).to_owned()).collect();
        Request::read(&Method::GET, &url.parse().unwrap(), &fields)
    }

    #[test]
    fn the_url_gives_port_scheme_and_host() {
        for (url, is_tls, port) in [("https://a.test/x", true, 443), ("http://a.test:8080", false, 8080)] {
            let request = read(url, &[]).unwrap();
            assert_eq!((request.is_tls, request.port), (is_tls, port), "{url}");
            assert_eq!(request.host().unwrap(), "a.test", "{url}");
        }
        let other = read("https://10.0.0.1/x", &["Host: Agents.Test:8443"]).unwrap();
        assert_eq!(other.host().unwrap(), "agents.test", "the field wins");
    }

    #[test]
    fn what_cannot_be_read_says_how_to_write_it() {
        assert!(read("/only/a/path", &[]).unwrap_err().to_string().contains("https://"));
        assert!(read("https://a.test/", &["no colon"]).unwrap_err().to_string().contains("name: value"));
    }
}
