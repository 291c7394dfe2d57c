//! Why the TLS settings of a listener cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use rustls::server::VerifierBuilderError;

use crate::pem::PemError;

/// Why TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM, or holds something else.
    #[error("{path} {source}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: PemError,
    },
    /// A file holds no certificate.
    #[error("{path} holds no certificate")]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The first certificate of a file cannot be parsed.
    #[error("the first certificate in {path} cannot be parsed")]
    Leaf {
        /// Which.
        path: PathBuf,
    },
    /// A key does not belong to its certificate, or is of a kind that is not supported.
    #[error("{cert} and {key} do not make a pair")]
    Pair {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Client certificates are to be verified, by nothing.
    #[error("client certificates need authorities to verify them by")]
    NoAuthorities,
    /// A certificate in a bundle of authorities cannot be used.
    #[error("{path} holds an authority that cannot be used")]
    Authority {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Client certificates cannot be verified with these authorities.
    #[error("client certificates cannot be verified with {path}")]
    Verifier {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
    /// Revocation lists cannot be used.
    #[error("{path} holds revocation lists that cannot be used")]
    RevocationLists {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
    /// There is no certificate, or the cryptographic provider refused.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl TlsError {
    /// A file of PEM that is no use.
    pub(super) fn pem(path: &Path, source: PemError) -> Self {
        let path = path.to_owned();
        match source {
            PemError::NoCertificate => Self::Empty { path },
            source => Self::Pem { path, source },
        }
    }
}
