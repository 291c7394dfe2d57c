//! Fetching a card: under the URL that was given, or under the names that cards have below it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use crate::a2a::card::{MAX_CARD, NAMES};
use crate::cli::Failure;
use crate::config::model::{UpstreamProtocol, UpstreamTls};
use crate::error::chain;
use crate::host::bare;
use crate::pool::{ClientTls, DialError, DialLimits, DialedResponse, Dialer, Peer, Question, Version};

/// A card as it came.
#[derive(Debug)]
pub(in crate::cli) struct Card {
    /// Where it was found.
    pub(in crate::cli) url: String,
    pub(in crate::cli) body: Bytes,
}

/// Where to look for a card, and how.
#[derive(Debug)]
pub(in crate::cli) struct Request {
    dialer: Dialer,
    origin: String,
    host: String,
    port: u16,
    field: HeaderValue,
    fields: HeaderMap,
    /// One path that was given, or those that a base URL stands for.
    paths: Vec<PathAndQuery>,
}

impl Request {
    /// Reads a URL and fields as they are given on the command line.
    pub(in crate::cli) fn parse(
        url: &str,
        fields: &[String],
        ca: Option<&Path>,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let wrong = || Failure::new(format_args!("`{url}` is not a URL"), "write it like `https://agents.example.com`");
        let uri: Uri = url.parse().map_err(|_illegal| wrong())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let tls = if https { Some(tls(ca)?) } else { None };
        Ok(Self {
            dialer: Dialer { version: Version::Http1, tls, limits: DialLimits::each(limit) },
            origin: format!("{}://{authority}", if https { "https" } else { "http" }),
            host: bare(authority.host()).to_owned(),
            port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }),
            field: HeaderValue::from_str(authority.as_str()).map_err(|_illegal| wrong())?,
            fields: self::fields(fields)?,
            paths: paths(&uri).ok_or_else(wrong)?,
        })
    }

    pub(in crate::cli) fn is_https(&self) -> bool {
        self.dialer.tls.is_some()
    }

    /// The host, without brackets.
    pub(in crate::cli) fn host(&self) -> &str {
        &self.host
    }

    async fn ask(&self, path: &PathAndQuery) -> Result<DialedResponse, DialError> {
        let link = self.dialer.connect(Peer::Name(&self.host, self.port)).await?;
        let question = Question {
            method: Method::GET,
            target: path.clone(),
            host: self.field.clone(),
            headers: self.fields.clone(),
            body: Bytes::new(),
        };
        link.ask(question, MAX_CARD).await
    }
}

/// The card, from the first place that has one.
pub(in crate::cli) async fn fetch(request: &Request) -> Result<Card, Failure> {
    let mut missing = Vec::new();
    for path in &request.paths {
        let url = format!("{}{path}", request.origin);
        let answer = request.ask(path).await.map_err(|error| {
            Failure::new(
                format_args!("{url}: {}", chain(&error)),
                "is the agent running there, and is its certificate signed by an authority you trust (`--ca-file`)?",
            )
        })?;
        match answer.status {
            StatusCode::OK if answer.is_whole => return Ok(Card { url, body: answer.body }),
            StatusCode::OK => {
                return Err(Failure::new(format_args!("{url} is larger than 1 MiB"), "no client expects such a card"));
            }
            StatusCode::NOT_FOUND => missing.push(url),
            status => {
                return Err(Failure::new(
                    format_args!("{url} answered {status}"),
                    "a card has to be there for everybody, or give what the agent asks for with `--header`",
                ));
            }
        }
    }
    Err(Failure::new(
        format_args!("no card at {}", missing.join(" nor ")),
        "give the agent's base URL, or that of its card",
    ))
}

fn tls(ca: Option<&Path>) -> Result<ClientTls, Failure> {
    let settings = UpstreamTls { ca_file: ca.map(Path::to_owned), ..UpstreamTls::default() };
    ClientTls::build(&settings, UpstreamProtocol::Http1)
        .map_err(|error| Failure::new(chain(&error), "give a file of certificates in PEM with `--ca-file`"))
}

fn fields(given: &[String]) -> Result<HeaderMap, Failure> {
    let mut fields = HeaderMap::new();
    fields.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    fields.insert(header::USER_AGENT, HeaderValue::from_static(concat!("attache/", env!("CARGO_PKG_VERSION"))));
    fields.insert(HeaderName::from_static("a2a-version"), HeaderValue::from_static("1.0"));
    for line in given {
        let field = line.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        // What follows the name may be a secret.
        let name = line.split(':').next().unwrap_or_default();
        let wrong = || Failure::new(format_args!("`{name}` is not a header field"), "write `--header 'Name: value'`");
        let (name, value) = field.ok_or_else(wrong)?;
        fields.insert(name, value);
    }
    Ok(fields)
}

/// The path as it is where it names a document, else the names of cards below it.
fn paths(uri: &Uri) -> Option<Vec<PathAndQuery>> {
    let path = uri.path();
    if path.ends_with(".json") {
        return Some(vec![uri.path_and_query()?.clone()]);
    }
    let base = path.trim_end_matches('/');
    NAMES.iter().map(|name| PathAndQuery::try_from(format!("{base}{name}")).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(url: &str) -> Result<Vec<String>, String> {
        let request = Request::parse(url, &[], None, Duration::from_secs(1)).map_err(|error| error.to_string())?;
        Ok(request.paths.iter().map(|path| format!("{}{path} {}", request.origin, request.port)).collect())
    }

    #[test]
    fn a_base_url_stands_for_both_names() {
        for url in ["http://a.example/planner", "http://a.example/planner/"] {
            let expected = [
                "http://a.example/planner/.well-known/agent-card.json 80",
                "http://a.example/planner/.well-known/agent.json 80",
            ];
            assert_eq!(places(url).unwrap(), expected);
        }
        assert_eq!(places("http://[::1]:8080").unwrap()[0], "http://[::1]:8080/.well-known/agent-card.json 8080");
        assert_eq!(places("http://a.example/card.json?x=1").unwrap(), ["http://a.example/card.json?x=1 80"]);
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in ["a.example", "/x", "ftp://a.example", "http://me@a.example/", "", "http://"] {
            assert!(places(url).unwrap_err().contains("is not a URL"), "{url}");
        }
    }

    #[test]
    fn a_field_that_is_none_is_refused_without_its_value() {
        let error = fields(&["Bad Name: secret".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`Bad Name`") && !error.contains("secret"), "{error}");
        let given = fields(&["accept: text/plain".to_owned(), "X-A:b".to_owned()]).unwrap();
        assert_eq!(
            (&given["accept"], &given["x-a"]),
            (&HeaderValue::from_static("text/plain"), &HeaderValue::from_static("b"))
        );
    }
}
