//! Who proves who clients are, and what routes ask of that.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, Method};

use super::{
    BasicUsers, ClientCertificates, Credentials, ExternalAuth, IdentityHeaders, Jwt, PathMatch, ResourceMetadata,
};

/// Index into the providers of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthProviderId(pub usize);

/// What proves who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthProvider {
    /// Its name in the file.
    pub name: Arc<str>,
    /// How it does so.
    pub kind: AuthKind,
}

/// How a provider knows clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthKind {
    /// By a key that they send.
    ApiKey(ApiKeys),
    /// By a name and a password.
    Basic(BasicUsers),
    /// By the certificate that it has shown.
    ClientCertificate(Box<ClientCertificates>),
    /// By a signed token.
    Jwt(Box<Jwt>),
    /// By asking a server.
    External(Box<ExternalAuth>),
}

impl fmt::Display for AuthProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind)
    }
}

/// What it knows clients by.
impl fmt::Display for AuthKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(keys) => write!(f, "{} API keys, in {}", keys.keys.len(), keys.carrier),
            Self::Basic(basic) => write!(f, "{} names with passwords (Basic)", basic.users.len()),
            Self::ClientCertificate(_) => f.write_str("client certificates"),
            Self::Jwt(jwt) => write!(f, "{jwt}"),
            Self::External(external) => write!(f, "{external}"),
        }
    }
}

/// API keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeys {
    /// Where clients put them.
    pub carrier: KeyCarrier,
    /// The keys, no two with the same digest.
    pub keys: Vec<KnownKey>,
}

/// Where clients put a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyCarrier {
    /// Into this header field.
    Header(HeaderName),
    /// Into `Authorization: Bearer`.
    Bearer,
    /// Into this parameter of the query.
    Query(String),
}

impl fmt::Display for KeyCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "{name}"),
            Self::Bearer => f.write_str("Authorization: Bearer"),
            Self::Query(name) => write!(f, "the query parameter {name}"),
        }
    }
}

/// A key that the gateway knows by its digest alone.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Whose it is.
    pub name: Box<str>,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// Roles of who has it.
    pub roles: Box<[Box<str>]>,
}

impl fmt::Debug for KnownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownKey").field("name", &self.name).field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// What a route asks of who wants in.
#[derive(Clone, Debug)]
pub struct RouteAuth {
    /// Who must know the client.
    pub needed: Needed,
    /// What needs no credentials.
    pub except: Vec<AuthException>,
    /// Whether requests without credentials pass as nobody's. Default false.
    pub optional: bool,
    /// What becomes of the credentials. Default: they are taken out.
    pub credentials: Credentials,
    /// Fields that tell agents who the client is.
    pub identity_headers: IdentityHeaders,
    /// Where clients get tokens, if they are told.
    pub resource_metadata: Option<Box<ResourceMetadata>>,
    /// What clients are told that the credentials are for.
    pub realm: String,
}

/// Who must know a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed {
    /// One of these, at least one.
    Any(Vec<AuthProviderId>),
    /// Each of these, at least one.
    All(Vec<AuthProviderId>),
}

impl Needed {
    /// The providers.
    #[must_use]
    pub fn providers(&self) -> &[AuthProviderId] {
        match self {
            Self::Any(providers) | Self::All(providers) => providers,
        }
    }
}

/// What needs no credentials.
#[derive(Clone, Debug)]
pub enum AuthException {
    /// Agent cards by their well-known names.
    Cards,
    /// What is asked whether an agent is well, by the usual names.
    Health,
    /// A path.
    Path {
        /// The path, in the spelling in which requests are matched.
        path: PathMatch,
        /// Methods; empty means all.
        methods: Vec<Method>,
    },
}
