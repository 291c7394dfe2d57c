//! Who a client is: providers look at what a request carries and say whose it is.
//!
//! A [`Provider`] is one entry of `authProviders`, shared by all workers. [`Provider::verify`] gets what a request
//! presents ([`Presented`]) and says one of these things ([`Verdict`]):
//!
//! - `Absent`: nothing here is for this provider. The next one is asked.
//! - `Verified`: the client is this principal, and agents are told these fields ([`Verified`]).
//! - `Refused`: it presents something, and that is not good ([`Refusal`]). Nobody is anonymous after that.
//! - `Answered`: a server has been asked, and this is its answer for the client.
//! - `Open`: nobody could say who it is, and the configuration says that it passes as nobody all the same.
//! - `Wait`: this cannot be said yet, because keys have to be fetched, a slow hash computed or a server asked. The
//!   future owns what it needs. It is the only thing here that waits, is boxed, and is made only where nothing that is
//!   remembered answers: what is known already is verified at once. Whoever makes such a future gives it a limit of
//!   its own.
//!
//! [`RouteAuth`] puts the providers of a route together (`anyOf`, `allOf`, `except`, `optional`), and knows the
//! challenges for who is refused.
//!
//! A provider that is new has its settings in [`AuthKind`], a file here, and an arm in each function of [`Provider`].

mod api_key;
mod basic;
mod client_certificate;
mod external;
mod jwt;
mod presented;
mod route_auth;
mod seen;
mod trial;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::config::model::{AuthKind, AuthProvider, ExternalAuth, KeyCarrier};
use crate::context::Principal;
use crate::error::AuthAnswer;
use api_key::ApiKeys;
use basic::Passwords;
use client_certificate::Certificates;
use external::External;
use jwt::Tokens;

pub use external::{Ask, Asking};
pub use jwt::RemoteKeys;
pub use presented::Presented;
pub use route_auth::{Decision, Progress, RouteAuth, Step};
pub use trial::{Credential, Sender};

/// What knows clients.
#[derive(Debug)]
pub struct Provider {
    name: Arc<str>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    ApiKey(ApiKeys),
    Basic(Arc<Passwords>),
    ClientCertificate(Certificates),
    Jwt(Arc<Tokens>),
    External(Arc<External>),
}

/// What a provider says of a request.
pub enum Verdict {
    /// There is nothing for it.
    Absent,
    /// It is this client's.
    Verified(Verified),
    /// What is there is not good.
    Refused(Refusal),
    /// This is the answer of a server that was asked, for the client.
    Answered(Arc<AuthAnswer>),
    /// Nobody can say, and that is enough: it passes as nobody's.
    Open,
    /// It has to find out first. The future does not end in another `Wait`.
    Wait(Waiting),
}

impl Verdict {
    /// Its word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Verified(_) => "ok",
            Self::Refused(refusal) => refusal.word(),
            Self::Answered(_) => "denied",
            Self::Open => "open",
            Self::Wait(_) => "wait",
        }
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Ends in a verdict.
pub type Waiting = Pin<Box<dyn Future<Output = Verdict>>>;

/// Whose a request is.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who sent it. Requests with the same credentials share it.
    pub principal: Arc<Principal>,
    /// Fields that agents get, from the provider itself: claims of a token, what a server said. Their names must be
    /// among [`Provider::forwards`].
    pub fields: Option<Arc<[(HeaderName, HeaderValue)]>>,
}

impl Verified {
    /// About how many bytes it takes to remember it.
    fn bytes(&self) -> usize {
        let fields = self.fields.iter().flat_map(|fields| fields.iter());
        let fields: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD).sum();
        let roles: usize = self.principal.roles.iter().map(|role| role.len() + FIELD).sum();
        self.principal.name.len() + roles + fields
    }
}

/// Bytes of a field or role beside what it says.
const FIELD: usize = 64;

/// Why a request is refused that presents something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is wrong: 401. What of it is wrong is said to nobody.
    Invalid,
    /// Nobody can say at the moment: 503.
    Unavailable,
}

impl Refusal {
    /// Word for metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Where a provider looks for credentials. Of two that look at the same place, the second is asked too when the first
/// does not know what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier<'a> {
    /// `Authorization` with this scheme, in lower case.
    Authorization(&'static str),
    /// A header field.
    Header(&'a HeaderName),
    /// A parameter of the query.
    Query(&'a str),
    /// The client's certificate.
    Certificate,
    /// The whole request.
    Request,
}

impl Provider {
    /// The provider that `settings` describe. What `previous` of the same name remembers goes on where it means the
    /// same.
    #[must_use]
    pub fn adopt(settings: &AuthProvider, previous: Option<&Self>) -> Self {
        let name = Arc::clone(&settings.name);
        let kind = match &settings.kind {
            AuthKind::ApiKey(keys) => Kind::ApiKey(ApiKeys::new(&name, keys)),
            AuthKind::Basic(users) => {
                let before = previous.and_then(|previous| match &previous.kind {
                    Kind::Basic(before) => Some(before),
                    _ => None,
                });
                Kind::Basic(Passwords::adopt(&name, users, before))
            }
            AuthKind::ClientCertificate(settings) => Kind::ClientCertificate(Certificates::new(&name, settings)),
            AuthKind::Jwt(jwt) => {
                let before = previous.and_then(|previous| match &previous.kind {
                    Kind::Jwt(before) => Some(before),
                    _ => None,
                });
                Kind::Jwt(Tokens::adopt(&name, jwt, before, Instant::now()))
            }
            AuthKind::External(external) => {
                let before = previous.and_then(|previous| match &previous.kind {
                    Kind::External(before) => Some(before),
                    _ => None,
                });
                Kind::External(External::adopt(&name, external, before))
            }
        };
        Self { name, kind }
    }

    /// Its name in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says how the server of a provider of the kind `external` is asked. Until then it does not answer.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn ask_with<E>(&self, ask: impl FnOnce(&ExternalAuth) -> Result<Ask, E>) -> Result<(), E> {
        match &self.kind {
            Kind::External(external) => external.ask_with(ask),
            Kind::ApiKey(_) | Kind::Basic(_) | Kind::ClientCertificate(_) | Kind::Jwt(_) => Ok(()),
        }
    }

    /// Keys that have to be fetched for it.
    #[must_use]
    pub fn remote_keys(&self) -> Option<&Arc<RemoteKeys>> {
        match &self.kind {
            Kind::Jwt(tokens) => tokens.remote_keys(),
            Kind::ApiKey(_) | Kind::Basic(_) | Kind::ClientCertificate(_) | Kind::External(_) => None,
        }
    }

    /// How many credentials it remembers, and how many requests wait until it finds out; `None` where it does neither.
    #[must_use]
    pub fn load(&self) -> Option<(usize, usize)> {
        match &self.kind {
            Kind::ApiKey(_) | Kind::ClientCertificate(_) => None,
            Kind::Basic(passwords) => Some(passwords.load()),
            Kind::Jwt(tokens) => Some(tokens.load()),
            Kind::External(external) => Some(external.load()),
        }
    }

    /// Says whose a request is. Never waits.
    #[must_use]
    pub fn verify(&self, presented: &Presented<'_>) -> Verdict {
        match &self.kind {
            Kind::ApiKey(keys) => keys.verify(presented),
            Kind::Basic(passwords) => passwords.verify(presented),
            Kind::ClientCertificate(certificates) => certificates.verify(presented),
            Kind::Jwt(tokens) => tokens.verify(presented),
            Kind::External(external) => external.verify(presented),
        }
    }

    /// Where it looks.
    #[must_use]
    pub fn carrier(&self) -> Carrier<'_> {
        match &self.kind {
            Kind::ApiKey(keys) => match keys.carrier() {
                KeyCarrier::Header(name) => Carrier::Header(name),
                KeyCarrier::Bearer => Carrier::Authorization("bearer"),
                KeyCarrier::Query(name) => Carrier::Query(name),
            },
            Kind::Basic(_) => Carrier::Authorization("basic"),
            Kind::ClientCertificate(_) => Carrier::Certificate,
            Kind::Jwt(tokens) => tokens.carrier(),
            Kind::External(_) => Carrier::Request,
        }
    }

    /// The names of all fields that it tells agents: no client may send them.
    #[must_use]
    pub fn forwards(&self) -> Vec<HeaderName> {
        match &self.kind {
            Kind::ApiKey(_) | Kind::Basic(_) | Kind::ClientCertificate(_) => Vec::new(),
            Kind::Jwt(tokens) => tokens.forwards().cloned().collect(),
            Kind::External(external) => external.forwards().cloned().collect(),
        }
    }

    /// What clients are told to bring (RFC 9110 section 11.6.1): a scheme with its parameters. `is_invalid`: they
    /// brought something that is not good. Without it no error is told (RFC 6750 section 3.1).
    #[must_use]
    pub fn challenge(&self, realm: &str, is_invalid: bool) -> String {
        let realm = quoted(realm);
        match self.carrier() {
            Carrier::Authorization("bearer") if is_invalid => {
                format!("Bearer realm={realm}, error=\"invalid_token\"")
            }
            Carrier::Authorization("bearer") => format!("Bearer realm={realm}"),
            Carrier::Authorization("basic") => format!("Basic realm={realm}, charset=\"UTF-8\""),
            Carrier::Authorization(_) | Carrier::Request => format!("Credentials realm={realm}"),
            // No scheme is registered for these. A name of our own says what is missing, to people at least.
            Carrier::Header(name) => format!("ApiKey realm={realm}, in=\"header\", name={}", quoted(name.as_str())),
            Carrier::Query(name) => format!("ApiKey realm={realm}, in=\"query\", name={}", quoted(name)),
            Carrier::Certificate => format!("ClientCertificate realm={realm}"),
        }
    }
}

/// A quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
