//! What a request presents, as providers look at it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, header};
use tokio::time::Instant;

use super::Refusal;
use crate::context::TlsFacts;

/// What is known of a request before anything is proven.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The host and port it asks for, as the client wrote them.
    pub authority: &'a str,
    /// Its path, in the one spelling that is matched and forwarded.
    pub path: &'a str,
    /// Its query.
    pub query: Option<&'a str>,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// The TLS session it came in, if any.
    pub tls: Option<&'a TlsFacts>,
    /// The client's address, as far as the proxies in front of us are believed.
    pub client: IpAddr,
    /// Whether the client uses HTTPS.
    pub https: bool,
    /// When it came, since the Unix epoch.
    pub time: Duration,
    /// The same on the clock that is never set.
    pub now: Instant,
}

impl<'a> Presented<'a> {
    /// The value of a field. Two of them are no credentials: a client could choose which one counts.
    ///
    /// # Errors
    /// When it comes twice or is too long.
    pub fn field(&self, name: &HeaderName) -> Result<Option<&'a [u8]>, Refusal> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let value = value.as_bytes().trim_ascii();
        if values.next().is_some() || value.len() > MAX_CREDENTIAL {
            return Err(Refusal::Invalid);
        }
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    /// The credentials of `Authorization` with a scheme, whose case does not matter (RFC 9110 section 11.1).
    ///
    /// # Errors
    /// When the field comes twice, is too long, or has the scheme and nothing behind it.
    pub fn authorization(&self, scheme: &str) -> Result<Option<&'a [u8]>, Refusal> {
        let Some(value) = self.field(&header::AUTHORIZATION)? else { return Ok(None) };
        let Some((named, rest)) = value.split_at_checked(scheme.len()) else { return Ok(None) };
        if !named.eq_ignore_ascii_case(scheme.as_bytes()) || !matches!(rest.first(), None | Some(b' ')) {
            return Ok(None);
        }
        let credentials = rest.trim_ascii_start();
        let is_one = !credentials.is_empty() && credentials.iter().all(u8::is_ascii_graphic);
        if is_one { Ok(Some(credentials)) } else { Err(Refusal::Invalid) }
    }

    /// The value of a parameter of the query.
    ///
    /// # Errors
    /// When it comes twice or is too long.
    pub fn parameter(&self, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(query) = self.query else { return Ok(None) };
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(known, _)| known == name);
        let Some((_, value)) = values.next() else { return Ok(None) };
        if values.next().is_some() || value.len() > MAX_CREDENTIAL {
            return Err(Refusal::Invalid);
        }
        Ok(Some(value).filter(|value| !value.is_empty()))
    }
}

/// Bytes of what a client presents.
pub(super) const MAX_CREDENTIAL: usize = 16 << 10;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request with these fields and this query.
    pub(in crate::policy::auth) fn presented<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Presented<'a> {
        Presented {
            method: &Method::GET,
            authority: "agents.example",
            path: "/",
            query,
            headers,
            tls: None,
            client: [192, 0, 2, 1].into(),
            https: false,
            time: Duration::from_secs(1_800_000_000),
            now: Instant::now(),
        }
    }

    pub(in crate::policy::auth) fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_scheme_is_told_from_others() {
        for (values, expected) in [
            (&["Bearer abc"][..], Ok(Some("abc"))),
            (&["bEARER   abc"], Ok(Some("abc"))),
            (&["Bearer abc "], Ok(Some("abc"))),
            (&["Bearerabc"], Ok(None)),
            (&["Basic abc"], Ok(None)),
            (&["Bear"], Ok(None)),
            (&[""], Ok(None)),
            (&[], Ok(None)),
            (&["Bearer"], Err(Refusal::Invalid)),
            (&["Bearer "], Err(Refusal::Invalid)),
            (&["Bearer a b"], Err(Refusal::Invalid)),
            (&["Bearer a\tb"], Err(Refusal::Invalid)),
            (&["Bearer a", "Bearer a"], Err(Refusal::Invalid)),
            (&["Basic a", "Bearer a"], Err(Refusal::Invalid)),
        ] {
            let listed: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
            let headers = fields(&listed);
            let found = presented(&headers, None).authorization("bearer");
            assert_eq!(found, expected.map(|value| value.map(str::as_bytes)), "{values:?}");
        }
    }

    #[test]
    fn what_is_too_long_or_there_twice_is_refused() {
        let (long, longest) = ("x".repeat(MAX_CREDENTIAL + 1), "x".repeat(MAX_CREDENTIAL));
        let name = HeaderName::from_static("x-api-key");
        for (value, is_legal) in [(&longest, true), (&long, false)] {
            let headers = fields(&[("x-api-key", value)]);
            let query = format!("key={value}");
            let presented = presented(&headers, Some(&query));
            assert_eq!(presented.field(&name).is_ok_and(|value| value.is_some()), is_legal);
            assert_eq!(presented.parameter("key").is_ok_and(|value| value.is_some()), is_legal);
        }
        let headers = fields(&[("x-api-key", "a"), ("x-api-key", "a")]);
        let presented = presented(&headers, Some("key=a&%6bey=a"));
        assert_eq!(presented.field(&name), Err(Refusal::Invalid));
        assert_eq!(presented.parameter("key"), Err(Refusal::Invalid));
        assert_eq!(presented.parameter("other"), Ok(None));
    }
}
