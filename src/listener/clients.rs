//! Who may come in with which client certificate: the authorities that vouch for clients, and the lists of those whose
//! certificates were revoked.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use xxhash_rust::xxh3::Xxh3;

use crate::config::model::{AuthMode, ClientAuth};
use crate::listener::certificates::read;
use crate::listener::tls_error::TlsError;
use crate::pem;

/// The client certificate policy with its authorities.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// Of the files it was made of; zero without any.
    pub(super) hash: u64,
}

/// Content of the files of a policy.
pub(super) struct ClientFiles {
    authorities: Option<Vec<u8>>,
    revocation_lists: Option<Vec<u8>>,
}

impl ClientFiles {
    pub(super) fn read(policy: &ClientAuth) -> Result<Self, TlsError> {
        Ok(Self {
            authorities: policy.authorities().map(read).transpose()?,
            revocation_lists: policy.revocation_lists().map(read).transpose()?,
        })
    }

    pub(super) fn hash(&self) -> u64 {
        if self.authorities.is_none() {
            return 0;
        }
        let mut hasher = Xxh3::new();
        for content in [&self.authorities, &self.revocation_lists].into_iter().flatten() {
            hasher.update(content);
            hasher.update(&[0]);
        }
        hasher.digest()
    }
}

impl Clients {
    /// Makes the verifier. A client is let in only when no certificate of its chain is known to be revoked: where
    /// lists are given, one that is missing or out of date refuses (RFC 5280 section 6.3).
    pub(super) fn parse(
        policy: &ClientAuth,
        files: &ClientFiles,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        if policy.mode == AuthMode::None {
            return Ok(Self { verifier: WebPkiClientVerifier::no_client_auth(), hash: 0 });
        }
        let (Some(path), Some(content)) = (policy.authorities(), &files.authorities) else {
            return Err(TlsError::NoAuthorities);
        };
        let mut roots = RootCertStore::empty();
        for authority in pem::certificates(content).map_err(|source| TlsError::pem(path, source))? {
            roots.add(authority).map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        if policy.mode == AuthMode::Optional {
            builder = builder.allow_unauthenticated();
        }
        let lists = policy.revocation_lists().zip(files.revocation_lists.as_deref());
        if let Some((path, content)) = lists {
            let lists = pem::revocation_lists(content).map_err(|source| TlsError::pem(path, source))?;
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        let verifier = builder.build().map_err(|source| refused(path, lists.map(|(path, _)| path), source))?;
        Ok(Self { verifier, hash: files.hash() })
    }
}

fn refused(authorities: &Path, lists: Option<&Path>, source: VerifierBuilderError) -> TlsError {
    match (&source, lists) {
        (VerifierBuilderError::InvalidCrl(_), Some(lists)) => {
            TlsError::RevocationLists { path: lists.to_owned(), source }
        }
        _ => TlsError::Verifier { path: authorities.to_owned(), source },
    }
}
