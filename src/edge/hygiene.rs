//! Checks a request before anything else looks at it (RFC 9110, RFC 9112, RFC 9113), and writes its host and path in
//! the one spelling in which they are matched and forwarded.

use std::borrow::Cow;

use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};

use super::exchange::Exchange;
use super::facts::Canonical;
use super::seen::HeadFields;
use super::stage::{Entry, Passage};
use crate::config::model::{Limits, PathPolicy};
use crate::context::{Connection, Refusal};
use crate::error::Error;
use crate::route;

/// The head of a request, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Method.
    pub method: &'a Method,
    /// Target.
    pub uri: &'a Uri,
    /// HTTP version.
    pub version: Version,
    /// Fields.
    pub headers: &'a HeaderMap,
}

impl<'a> From<&'a Parts> for Head<'a> {
    fn from(head: &'a Parts) -> Self {
        Self { method: &head.method, uri: &head.uri, version: head.version, headers: &head.headers }
    }
}

/// The canonical host and path of a request.
#[derive(Debug)]
pub struct Target<'a> {
    /// Lower case, without port and trailing dot; empty when an HTTP/1.0 request names none.
    pub host: Cow<'a, str>,
    /// As the client wrote it, with its port.
    pub authority: &'a str,
    /// Normalised.
    pub path: Cow<'a, str>,
    /// How long the body shall be.
    pub length: Option<u64>,
}

/// Checks the head and brings host and path into their canonical form.
///
/// # Errors
/// Why the request is refused.
pub fn check<'a>(
    head: Head<'a>,
    found: &HeadFields<'a>,
    limits: &Limits,
    paths: PathPolicy,
) -> Result<Target<'a>, Error> {
    if matches!(*head.method, Method::CONNECT | Method::TRACE) {
        return Err(Error::MethodRefused);
    }
    if head.headers.len() > limits.max_headers {
        return Err(Error::HeadTooLarge);
    }
    if head.version == Version::HTTP_2 {
        check_http2(head)?;
    }
    if head.uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(Error::BadRequest("target_scheme"));
    }
    let raw_path = head.uri.path();
    let target_size = raw_path.len() + head.uri.query().map_or(0, |query| query.len() + 1);
    if target_size > limits.max_target_bytes {
        return Err(Error::TargetTooLong);
    }
    let length = framing(head, found)?;
    if found.seen.expect {
        check_expectation(head.headers)?;
    }
    let authority = authority(head, found)?;
    let host =
        if authority.is_empty() { Cow::Borrowed("") } else { route::host_of(authority).map_err(Error::BadRequest)? };
    let path = if raw_path == "*" && *head.method == Method::OPTIONS {
        Cow::Borrowed("*")
    } else {
        route::normalise(raw_path, paths).map_err(Error::BadRequest)?
    };
    Ok(Target { host, authority, path, length })
}

/// Refuses what must not be passed on, and notes host and path in their canonical form.
pub(super) fn admit(exchange: &mut Exchange, entry: &Entry) -> Result<Passage, Error> {
    verdict(&exchange.connection)?;
    let (settings, request) = (entry.settings()?, &exchange.request);
    let head = Head {
        method: &request.method,
        uri: &request.uri,
        version: request.version,
        headers: exchange.message()?.headers(),
    };
    let found = HeadFields {
        seen: request.seen,
        host: request.host.as_ref(),
        content_length: request.length.as_ref(),
        ..HeadFields::default()
    };
    let target = check(head, &found, &settings.limits, settings.paths)?;
    let length = target.length;
    let canonical = Canonical { host_bytes: target.host.len(), host: made(target.host), path: made(target.path) };
    exchange.request.announced = length;
    exchange.request.canonical = canonical;
    Ok(Passage::On)
}

/// What is not a part of what the client wrote.
fn made(text: Cow<'_, str>) -> Option<Box<str>> {
    match text {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text.into()),
    }
}

/// The refusal the listener found in the raw head of this very request, if any.
fn verdict(connection: &Connection) -> Result<(), Error> {
    match connection.verdict.get() {
        None => Ok(()),
        Some(verdict) => Err(match verdict.refusal {
            Refusal::BadRequest => Error::BadRequest(verdict.reason),
            Refusal::TargetTooLong => Error::TargetTooLong,
            Refusal::HeadTooLarge => Error::HeadTooLarge,
        }),
    }
}

/// The announced length of the body, which comes from exactly one source (RFC 9112 section 6.3). hyper has already
/// refused what it could not frame; this is what it accepts and we do not.
fn framing(head: Head<'_>, found: &HeadFields<'_>) -> Result<Option<u64>, Error> {
    if found.seen.transfer_encoding {
        let mut encodings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
        let chunked = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
        let sound = encodings.next().is_some_and(chunked) && encodings.next().is_none();
        if !sound || head.version != Version::HTTP_11 {
            return Err(Error::BadRequest("transfer_encoding"));
        }
        if found.seen.content_length {
            return Err(Error::BadRequest("length_and_encoding"));
        }
    }
    let Some(length) = found.content_length else {
        return Ok(None);
    };
    let digits = length.as_bytes();
    let sound = !digits.is_empty() && digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit);
    if !sound || found.seen.several_lengths && !lengths_agree(head.headers) {
        return Err(Error::BadRequest("content_length"));
    }
    let longer = |number: u64, digit: &u8| number * 10 + u64::from(digit - b'0');
    Ok(Some(digits.iter().fold(0, longer)))
}

/// Whether a message that gives its length several times always says the same.
pub(super) fn lengths_agree(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let first = lengths.next();
    lengths.all(|other| Some(other) == first)
}

/// What RFC 9113 sections 8.2.1 and 8.3.1 forbid and h2 lets pass: values with white space at an end, names with a
/// quotation mark, and a path that is only a query.
fn check_http2(head: Head<'_>) -> Result<(), Error> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    for (name, value) in head.headers {
        if is_space(value.as_bytes().first()) || is_space(value.as_bytes().last()) {
            return Err(Error::BadRequest("field_value"));
        }
        if memchr::memchr(b'"', name.as_str().as_bytes()).is_some() {
            return Err(Error::BadRequest("field_name"));
        }
    }
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if path.starts_with('?') { Err(Error::BadRequest("path_not_absolute")) } else { Ok(()) }
}

fn check_expectation(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(Error::UnknownExpectation),
        _ => Ok(()),
    }
}

/// The authority of the target wins over Host (RFC 9112 section 3.2.2); in HTTP/2 the two must agree (RFC 9113 section
/// 8.3.1).
fn authority<'a>(head: Head<'a>, found: &HeadFields<'a>) -> Result<&'a str, Error> {
    if found.seen.several_hosts {
        return Err(Error::BadRequest("several_hosts"));
    }
    let host = found.host.map(HeaderValue::to_str).transpose().map_err(|_opaque| Error::BadRequest("host"))?;
    let target = head.uri.authority().map(http::uri::Authority::as_str);
    match (target, host) {
        (Some(target), Some(host)) if head.version == Version::HTTP_2 && !target.eq_ignore_ascii_case(host) => {
            Err(Error::BadRequest("host_and_authority"))
        }
        (Some(target), _) => Ok(target),
        (None, Some(host)) if !host.is_empty() => Ok(host),
        (None, _) if head.version <= Version::HTTP_10 => Ok(""),
        (None, _) => Err(Error::BadRequest("no_host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version, uri: &str, fields: &[(&'static str, &str)]) -> Parts {
        let mut builder = http::Request::builder().version(version).uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn framing_has_one_source() {
        for (fields, expected) in [
            (&[("transfer-encoding", "chunked")][..], None),
            (&[("transfer-encoding", "ChunkeD")], None),
            (&[("transfer-encoding", "gzip, chunked")], Some("transfer_encoding")),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Some("transfer_encoding")),
            (&[("transfer-encoding", "chunked"), ("content-length", "3")], Some("length_and_encoding")),
            (&[("content-length", "3")], None),
            (&[("content-length", "+3")], Some("content_length")),
            (&[("content-length", "3"), ("content-length", "4")], Some("content_length")),
            (&[("content-length", "3"), ("content-length", "3")], None),
            (&[("content-length", "99999999999999999999")], Some("content_length")),
        ] {
            let found = framed(&head(Version::HTTP_11, "/", fields)).err().map(|error| error.reason());
            assert_eq!(found, expected, "{fields:?}");
        }
    }

    fn framed(head: &Parts) -> Result<Option<u64>, Error> {
        framing(head.into(), &HeadFields::of(&head.headers))
    }

    #[test]
    fn transfer_encoding_needs_http_1_1() {
        let head = head(Version::HTTP_10, "/", &[("transfer-encoding", "chunked")]);
        assert!(framed(&head).is_err(), "HTTP/1.0 has no chunks");
    }

    #[test]
    fn authority_of_the_target_wins() {
        for (version, uri, host, expected) in [
            (Version::HTTP_11, "/", Some("a.example"), Ok("a.example")),
            (Version::HTTP_11, "http://b.example/", Some("a.example"), Ok("b.example")),
            (Version::HTTP_2, "https://a.example/", None, Ok("a.example")),
            (Version::HTTP_2, "https://a.example/", Some("A.example"), Ok("a.example")),
            (Version::HTTP_2, "https://a.example/", Some("b.example"), Err("host_and_authority")),
            (Version::HTTP_11, "/", None, Err("no_host")),
            (Version::HTTP_11, "/", Some(""), Err("no_host")),
            (Version::HTTP_10, "/", None, Ok("")),
        ] {
            let fields: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
            let head = head(version, uri, &fields);
            let found = authority(Head::from(&head), &HeadFields::of(&head.headers)).map_err(|error| error.reason());
            assert_eq!(found, expected, "{uri} {host:?}");
        }
    }

    #[test]
    fn two_hosts_are_refused() {
        let head = head(Version::HTTP_11, "/", &[("host", "a"), ("host", "a")]);
        assert_eq!(authority(Head::from(&head), &HeadFields::of(&head.headers)).unwrap_err().reason(), "several_hosts");
    }
}
