//! Who a request would be from that carried a credential: it is put where the providers of a route look for it, and
//! they judge it as they do any other, as far as nobody else has to be asked. For operators; no request runs through
//! here.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Carrier, Decision, Presented, Progress, RouteAuth, Step};
use crate::config::model::TlsVersion;
use crate::context::{ClientCertificate, Principal, TlsFacts};
use crate::policy::authorization::Who;

/// What proves who a client is.
#[derive(Debug)]
pub enum Credential {
    /// A bearer token.
    Token(String),
    /// An API key, wherever a provider looks for it.
    Key(String),
    /// The names in a certificate that the listener is taken to have verified.
    Certificate(Arc<ClientCertificate>),
}

/// Who a request is from.
#[derive(Debug)]
pub enum Sender {
    /// It presents nothing, and might present anything.
    Open,
    /// It needs no credentials, or the route asks nobody.
    Nobody,
    /// It is this client's.
    Known(Arc<Principal>),
    /// What it presents is not good enough, in words.
    Refused(String),
    /// One of these providers would have to find out.
    Asks(String),
}

impl Sender {
    /// The same for rules; `None` where none of them is asked.
    #[must_use]
    pub fn who(&self) -> Option<Who<'_>> {
        match self {
            Self::Open | Self::Asks(_) => Some(Who::Unknown),
            Self::Nobody => Some(Who::Nobody),
            Self::Known(principal) => Some(Who::Known(principal)),
            Self::Refused(_) => None,
        }
    }

    /// In words; `None` where nothing counts that it presents.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        match self {
            Self::Open | Self::Nobody => None,
            Self::Known(principal) => Some(principal.to_string()),
            Self::Refused(why) => Some(format!("not let in: {why}")),
            Self::Asks(providers) => Some(format!("one of {providers} has to find out, and nobody is asked here")),
        }
    }
}

impl RouteAuth {
    /// Who `request` is from when it carries `credential` beside what it presents by itself.
    #[must_use]
    pub fn sender(&self, request: &Presented<'_>, credential: Option<&Credential>) -> Sender {
        if self.is_public(request.method, request.path) {
            return Sender::Nobody;
        }
        let carried = Carried::new(self, request, credential);
        let presented = Presented {
            headers: &carried.headers,
            query: carried.query.as_deref(),
            tls: carried.tls.as_ref().or(request.tls),
            ..*request
        };
        let name = |at: usize| self.providers().get(at).map_or("-", |provider| provider.name());
        match self.go_on(&presented, &mut Progress::default(), None) {
            Step::Decided(Decision::Verified(_, verified)) => Sender::Known(verified.principal),
            Step::Decided(Decision::Missing | Decision::Anonymous) if credential.is_none() => Sender::Open,
            Step::Decided(Decision::Anonymous | Decision::Open(_)) => Sender::Nobody,
            Step::Decided(Decision::Missing) => {
                Sender::Refused("no provider looks for what it presents, 401".to_owned())
            }
            Step::Decided(Decision::Refused(at, refusal)) => {
                Sender::Refused(format!("{} says {}", name(at), refusal.word()))
            }
            Step::Decided(Decision::Answered(at, _)) => Sender::Refused(format!("{} answers by itself", name(at))),
            Step::Wait(_) => {
                let names: Vec<_> = self.providers().iter().map(|provider| provider.name()).collect();
                Sender::Asks(names.join(", "))
            }
        }
    }
}

/// What of a request carries credentials.
struct Carried {
    headers: HeaderMap,
    query: Option<String>,
    tls: Option<TlsFacts>,
}

impl Carried {
    fn new(auth: &RouteAuth, request: &Presented<'_>, credential: Option<&Credential>) -> Self {
        let mut carried = Self { headers: request.headers.clone(), query: request.query.map(str::to_owned), tls: None };
        match credential {
            None => {}
            Some(Credential::Token(token)) => {
                carried.headers.extend(value(&format!("Bearer {token}")).map(|value| (header::AUTHORIZATION, value)));
            }
            Some(Credential::Key(key)) => {
                auth.providers().iter().for_each(|provider| carried.key(provider.carrier(), key));
            }
            Some(Credential::Certificate(certificate)) => {
                carried.tls = Some(TlsFacts {
                    server_name: None,
                    version: TlsVersion::V13,
                    resumed: false,
                    client_verified: true,
                    certificate: Some(Arc::clone(certificate)),
                });
            }
        }
        carried
    }

    fn key(&mut self, carrier: Carrier<'_>, key: &str) {
        match carrier {
            Carrier::Header(name) => self.field(name.clone(), key),
            Carrier::Authorization("bearer") => self.field(header::AUTHORIZATION, &format!("Bearer {key}")),
            Carrier::Query(name) => {
                let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, key).finish();
                self.query = Some(match self.query.take() {
                    Some(query) => format!("{query}&{pair}"),
                    None => pair,
                });
            }
            Carrier::Authorization(_) | Carrier::Certificate | Carrier::Request => {}
        }
    }

    /// Instead of what was there: providers may look at the same place.
    fn field(&mut self, name: HeaderName, text: &str) {
        if let Some(value) = value(text) {
            self.headers.insert(name, value);
        }
    }
}

/// `None` for what no field can hold.
fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}
