//! TLS towards endpoints: which authorities are believed, which name is expected, which certificate is shown.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pinned::Pinned;
use super::tls_words::plain;
use crate::config::model::{UpstreamProtocol, UpstreamTls};
use crate::pem;

/// TLS settings of a cluster, ready for handshakes.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

/// Why TLS towards a cluster cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// A PEM file cannot be read or parsed.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// rustls refuses the combination.
    #[error("TLS settings refused")]
    Refused(#[from] rustls::Error),
    /// A verifier cannot be built.
    #[error("authorities refused")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The server name is not a DNS name or IP address.
    #[error("`{0}` is not a server name")]
    Name(String),
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Reads the files and builds the settings.
    ///
    /// # Errors
    /// When a file cannot be used; nothing is ever left unverified instead.
    pub fn build(settings: &UpstreamTls, protocol: UpstreamProtocol) -> Result<Self, ClientTlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = Arc::new(roots(settings.ca_file.as_deref())?);
        let verifier = verifier(settings, roots, &provider)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match settings.client_cert() {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let pair = pem::pair(certificates(cert)?, private_key(key)?, &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
            }
        };
        config.alpn_protocols = match protocol {
            UpstreamProtocol::Http1 => vec![b"http/1.1".to_vec()],
            UpstreamProtocol::H2 | UpstreamProtocol::H2c => vec![b"h2".to_vec()],
            UpstreamProtocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        let server_name = settings.server_name.as_deref().map(name).transpose()?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name })
    }

    /// The same settings, for peers that must speak HTTP/2.
    #[must_use]
    pub fn only_http2(&self) -> Self {
        let mut config = ClientConfig::clone(self.connector.config());
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { connector: TlsConnector::from(Arc::new(config)), server_name: self.server_name.clone() }
    }

    /// Runs a handshake with the endpoint called `host`; with `http1` that is the only protocol offered.
    pub(super) async fn handshake(&self, tcp: TcpStream, host: &str, http1: bool) -> io::Result<TlsStream<TcpStream>> {
        let expected = match &self.server_name {
            Some(name) => name.clone(),
            None => name(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        if http1 {
            let connector = self.connector.with_alpn(vec![b"http/1.1".to_vec()]);
            return connector.connect(expected, tcp).await.map_err(plain);
        }
        self.connector.connect(expected, tcp).await.map_err(plain)
    }
}

/// Verifies an endpoint's certificate by its address, or by the names it is known by.
fn verifier(
    settings: &UpstreamTls,
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ClientTlsError> {
    let provider = Arc::clone(provider);
    if settings.subject_alt_names.is_empty() {
        return Ok(WebPkiServerVerifier::builder_with_provider(roots, provider).build()?);
    }
    Ok(Arc::new(Pinned { roots, provider, names: settings.subject_alt_names.clone() }))
}

fn name(text: &str) -> Result<ServerName<'static>, ClientTlsError> {
    ServerName::try_from(text.to_owned()).map_err(|_invalid| ClientTlsError::Name(text.to_owned()))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, ClientTlsError> {
    let mut store = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            store.add(certificate)?;
        }
        return Ok(store);
    }
    let native = rustls_native_certs::load_native_certs();
    let (usable, _ignored) = store.add_parsable_certificates(native.certs);
    if usable == 0 {
        // An image from scratch has no system store.
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientTlsError> {
    pem::certificates(&read(path)?).map_err(|error| unusable(path, &error))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ClientTlsError> {
    pem::private_key(&read(path)?).map_err(|error| unusable(path, &error))
}

fn read(path: &Path) -> Result<Vec<u8>, ClientTlsError> {
    std::fs::read(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> ClientTlsError {
    ClientTlsError::File { path: path.to_owned(), reason: error.to_string() }
}
