//! Signed tokens, as a provider takes them.

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
