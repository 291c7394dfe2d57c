//! Who the request to explain is from: what it presents is judged by the providers of its route as the gateway does, as
//! far as nobody else has to be asked for that.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, header};
use tokio::time::Instant;

use super::Failure;
use crate::config::model::TlsVersion;
use crate::context::{ClientCertificate, Principal, TlsFacts};
use crate::pem;
use crate::policy::auth::{Carrier, Decision, Presented, Progress, RouteAuth, Step};
use crate::policy::authorization::Who;
use crate::route::Facts;

/// What `--as` says.
#[derive(Debug)]
pub(super) enum Credential {
    /// A bearer token.
    Token(String),
    /// An API key, wherever a provider looks for it.
    Key(String),
    /// A certificate that the listener is taken to have verified.
    Certificate(Box<ClientCertificate>),
}

impl Credential {
    /// Reads `token:FILE`, `key:FILE` or `cert:FILE`; the file `-` is standard input. What stands on a command line can
    /// be read by others, so credentials do not stand there.
    pub(super) fn read(given: &str) -> Result<Self, Failure> {
        let Some((kind, file)) = given.split_once(':') else {
            return Err(Failure::new(format_args!("`--as {given}` does not say what it is"), FORMS));
        };
        let read = |file: &str| -> std::io::Result<String> {
            let mut text = String::new();
            if file == "-" {
                std::io::stdin().lock().take(MAX_FILE).read_to_string(&mut text)?;
            } else {
                fs::File::open(file)?.take(MAX_FILE).read_to_string(&mut text)?;
            }
            Ok(text)
        };
        let unread = |error| Failure::new(format_args!("`{file}` cannot be read: {error}"), "name a file, or `-`");
        match kind {
            "token" => Ok(Self::Token(read(file).map_err(unread)?.trim().to_owned())),
            "key" => Ok(Self::Key(read(file).map_err(unread)?.trim().to_owned())),
            "cert" => {
                let text = read(file).map_err(unread)?;
                let chain = pem::certificates(text.as_bytes()).unwrap_or_default();
                let names = chain.first().and_then(|leaf| ClientCertificate::read(leaf));
                let none = || Failure::new(format_args!("`{file}` holds no certificate"), "name a file in PEM");
                Ok(Self::Certificate(Box::new(names.ok_or_else(none)?)))
            }
            _ => Err(Failure::new(format_args!("`{kind}` is no kind of credential"), FORMS)),
        }
    }
}

/// Who a request is from.
#[derive(Debug)]
pub(super) enum Identity {
    /// It presents nothing, and might present anything.
    Open,
    /// It needs no credentials, or the route asks nobody.
    Nobody,
    /// It is this client's.
    Known(Arc<Principal>),
    /// What it presents is not good enough, in words.
    Refused(String),
    /// This provider would have to find out.
    Asks(String),
}

impl Identity {
    /// What the providers of a route make of what is presented.
    pub(super) fn of(
        auth: Option<&RouteAuth>,
        facts: &Facts<'_>,
        credential: Option<&Credential>,
        client: Option<IpAddr>,
    ) -> Self {
        let Some(auth) = auth.filter(|auth| !auth.is_public(facts.method, facts.path)) else {
            return Self::Nobody;
        };
        let (headers, query, tls) = presented(auth, facts, credential);
        let presented = Presented {
            method: facts.method,
            authority: facts.host,
            path: facts.path,
            query: query.as_deref(),
            headers: &headers,
            tls: tls.as_ref(),
            client: client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            https: true,
            time: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            now: Instant::now(),
        };
        let mut progress = Progress::default();
        let name = |at: usize| auth.providers().get(at).map_or("-", |provider| provider.name()).to_owned();
        match auth.go_on(&presented, &mut progress, None) {
            Step::Decided(Decision::Verified(_, verified)) => Self::Known(verified.principal),
            Step::Decided(Decision::Missing | Decision::Anonymous) if credential.is_none() => Self::Open,
            Step::Decided(Decision::Anonymous | Decision::Open(_)) => Self::Nobody,
            Step::Decided(Decision::Missing) => Self::Refused("no provider looks for what it presents, 401".to_owned()),
            Step::Decided(Decision::Refused(at, refusal)) => {
                Self::Refused(format!("{} says {}", name(at), refusal.word()))
            }
            Step::Decided(Decision::Answered(at, _)) => Self::Refused(format!("{} answers by itself", name(at))),
            Step::Wait(_) => Self::Asks(auth.providers().iter().map(|one| one.name()).collect::<Vec<_>>().join(", ")),
        }
    }

    /// The same for rules; `None` where none of them is asked.
    pub(super) fn who(&self) -> Option<Who<'_>> {
        match self {
            Self::Open | Self::Asks(_) => Some(Who::Unknown),
            Self::Nobody => Some(Who::Nobody),
            Self::Known(principal) => Some(Who::Known(principal)),
            Self::Refused(_) => None,
        }
    }
}

/// The request's own fields and query, with the credential where the providers look for it.
fn presented(
    auth: &RouteAuth,
    facts: &Facts<'_>,
    credential: Option<&Credential>,
) -> (HeaderMap, Option<String>, Option<TlsFacts>) {
    let (mut headers, mut query, mut tls) = (facts.headers.clone(), facts.query.map(str::to_owned), None);
    let value = |text: &str| HeaderValue::from_str(text).ok();
    match credential {
        None => {}
        Some(Credential::Token(token)) => {
            headers.extend(value(&format!("Bearer {token}")).map(|value| (header::AUTHORIZATION, value)));
        }
        Some(Credential::Key(key)) => {
            for provider in auth.providers() {
                match provider.carrier() {
                    Carrier::Header(name) => drop(value(key).map(|value| headers.insert(name, value))),
                    Carrier::Authorization("bearer") => {
                        drop(value(&format!("Bearer {key}")).map(|value| headers.insert(header::AUTHORIZATION, value)));
                    }
                    Carrier::Query(name) => {
                        let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, key).finish();
                        query = Some(query.map_or_else(|| pair.clone(), |query| format!("{query}&{pair}")));
                    }
                    Carrier::Authorization(_) | Carrier::Certificate | Carrier::Request => {}
                }
            }
        }
        Some(Credential::Certificate(certificate)) => {
            tls = Some(TlsFacts {
                server_name: None,
                version: TlsVersion::V13,
                resumed: false,
                client_verified: true,
                certificate: Some(Arc::new((**certificate).clone())),
            });
        }
    }
    (headers, query, tls)
}

/// Bytes of a file with a credential.
const MAX_FILE: u64 = 1 << 20;
const FORMS: &str = "write `--as token:FILE`, `--as key:FILE` or `--as cert:FILE`, with `-` for standard input";
