//! Who a client is, as far as that is known, and on whose behalf it acts.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::jose::claim;

/// Who a client is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Who it is. That is proven, never what a client merely says.
    pub principal: Option<Arc<Principal>>,
    /// On whose behalf it acts, as the header says that `tenants` names. Only who sets this header makes it true,
    /// unless it is proven.
    pub tenant: Option<Box<str>>,
}

/// Who a client proved to be. A provider makes it from credentials; requests with the same credentials share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// Its name, which means something together with the provider only: the `sub` of a token, the name of a key or
    /// user, the SPIFFE id or subject of a certificate.
    pub name: Box<str>,
    /// The provider that vouches for it.
    pub provider: Arc<str>,
    /// What kind of provider that is.
    pub kind: PrincipalKind,
    /// Roles it has, beside `public` and `authenticated`, which follow from there being a principal.
    pub roles: Box<[Box<str>]>,
    /// Claims of its token (RFC 7519 section 4). Empty for what is no token.
    pub claims: Map<String, Value>,
    /// Its SPIFFE id (`spiffe://trust-domain/path`), where its certificate or token carries one.
    pub spiffe: Option<Box<str>>,
}

/// By what a client proved who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A server that was asked said so.
    #[default]
    External,
    /// A key that the gateway knows.
    ApiKey,
    /// A name and a password.
    Basic,
    /// A certificate.
    Certificate,
    /// A signed token (RFC 7519).
    Jwt,
}

impl Principal {
    /// The tenant that it may act for: the claim at this path, where that is a text.
    #[must_use]
    pub fn tenant(&self, path: &str) -> Option<&str> {
        claim(&self.claims, path)?.as_str().filter(|tenant| !tenant.is_empty())
    }
}

/// For operators: who it is, who says so, and its roles.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles = if self.roles.is_empty() { "none".to_owned() } else { self.roles.join(", ") };
        write!(f, "{} of {}, roles {roles}", self.name, self.provider)?;
        self.spiffe.iter().try_for_each(|id| write!(f, ", SPIFFE id {id}"))
    }
}

impl Identity {
    /// Name of the principal, if anything is proven.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.principal.as_deref().map(|principal| &*principal.name)
    }

    /// The provider that vouches for the principal.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.principal.as_deref().map(|principal| &*principal.provider)
    }
}
