//! The client's side of TLS: version and cipher suite are fixed, so that every proxy does the same cryptography.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Failure;

/// What a connector does beside the usual.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// Uses the session of an earlier connection again.
    pub resumes: bool,
    /// Speaks HTTP/2.
    pub is_h2: bool,
}

/// TLS 1.3 with AES-256-GCM only, trusting only that CA.
pub fn connector(ca_file: &str, manner: Manner) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file)? {
        roots.add(certificate?)?;
    }
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !manner.resumes {
        config.resumption = Resumption::disabled();
    }
    if manner.is_h2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Shakes hands; the certificate must be valid for `localhost`.
pub async fn connect(connector: &TlsConnector, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    connector.connect(name, tcp).await
}
