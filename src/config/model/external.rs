//! A server that decides who may come in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::{CacheScope, OnAuthFailure};
use crate::config::types::WebUrl;

/// Whom to ask, and what becomes of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAuth {
    /// Its address.
    pub url: WebUrl,
    /// Authorities that vouch for it; `None` are the system's.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Fields of the request that it sees.
    pub forward_headers: Vec<HeaderName>,
    /// Fields of its answer that agents get.
    pub copy_headers: Vec<HeaderName>,
    /// Fields of its refusal that clients get.
    pub refusal_headers: Vec<HeaderName>,
    /// The field with the client's name.
    pub principal_header: Option<HeaderName>,
    /// The field with the client's roles.
    pub roles_header: Option<HeaderName>,
    /// How long an answer counts, and for which requests.
    pub cache: Option<(Duration, CacheScope)>,
    /// What happens when it fails.
    pub on_failure: OnAuthFailure,
    /// Questions that are open at a time.
    pub max_concurrent: usize,
}

/// Who is asked, how often, and what happens when it fails.
impl fmt::Display for ExternalAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asks {} within {:?}, ", self.url, self.timeout)?;
        match self.cache {
            None => f.write_str("each time")?,
            Some((ttl, CacheScope::Request)) => write!(f, "once in {ttl:?} for equal requests")?,
            Some((ttl, CacheScope::Credentials)) => write!(f, "once in {ttl:?} for the same credentials")?,
        }
        f.write_str(match self.on_failure {
            OnAuthFailure::Refuse => "; 503 when it fails",
            OnAuthFailure::Allow => "; everybody passes when it fails",
        })
    }
}
