//! Signed tokens, as a provider takes them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::config::types::WebUrl;
use crate::jose::{Algorithm, ClaimRules, KeySet};

/// Which tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// Whose, for whom, and when.
    pub rules: ClaimRules,
    /// How they may be signed. All belong to the kind of keys there are.
    pub algorithms: Vec<Algorithm>,
    /// With what.
    pub keys: JwtKeys,
    /// The field they are in; `None` is `Authorization: Bearer`.
    pub header: Option<HeaderName>,
    /// Claims that agents get, with the field for each.
    pub forward_claims: Vec<(String, HeaderName)>,
    /// The claim with the roles.
    pub roles_claim: String,
    /// The trust domain whose SPIFFE ids `sub` may hold; `None` is none.
    pub trust_domain: Option<Box<str>>,
}

/// Where the keys of tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// From a file that was read with the configuration.
    Known(Arc<KeySet>),
    /// From an issuer's server.
    Remote(RemoteJwks),
}

/// An issuer's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteJwks {
    /// The address of the set.
    pub url: WebUrl,
    /// Authorities that vouch for it; `None` are the system's.
    pub ca_file: Option<PathBuf>,
    /// How often it is asked.
    pub refresh: Duration,
    /// How long keys count beyond that.
    pub stale_for: Duration,
}

/// Whose tokens are taken, for whom, where they are and what they are signed with.
impl fmt::Display for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer = self.rules.issuer.as_deref().unwrap_or("anybody");
        let audiences = self.rules.audiences.join(" or ");
        let audiences = if audiences.is_empty() { "anybody" } else { &audiences };
        let place = self.header.as_ref().map_or("Authorization: Bearer", |name| name.as_str());
        let algorithms: Vec<_> = self.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        write!(f, "tokens of {issuer} for {audiences} in {place}, {}; {}", algorithms.join(" or "), self.keys)
    }
}

impl fmt::Display for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(keys) => write!(f, "{} keys from a file", keys.len()),
            Self::Remote(source) => write!(f, "keys of {}, asked every {:?}", source.url, source.refresh),
        }
    }
}
