//! How an authority looks whether a name belongs to who asks for its certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Client, at_host, get, within};

/// RFC 8555 section 8.3.
pub(super) async fn look_at_file(address: SocketAddr, domain: &str, authorization: &str) -> Result<(), String> {
    let mut client = Client::h1(address).await;
    let token = authorization.split('.').next().unwrap();
    let reply = client.reply(at_host(domain, get(&format!("/.well-known/acme-challenge/{token}")))).await;
    if reply.status == 200 && reply.text().trim_end() == authorization {
        return Ok(());
    }
    Err(format!("{} {:?} is not the key authorization", reply.status, reply.text()))
}

/// RFC 8737 section 3.
pub(super) async fn look_at_handshake(address: SocketAddr, domain: &str, authorization: &str) -> Result<(), String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let tcp = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from(domain.to_owned()).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let stream = within("a handshake", connecting).await.map_err(|error| error.to_string())?;
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("another protocol".to_owned());
    }
    let shown = session.peer_certificates().unwrap_or_default();
    let [certificate] = shown else { return Err(format!("{} certificates", shown.len())) };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    if names.value.general_names != [x509_parser::prelude::GeneralName::DNSName(domain)] {
        return Err("other names".to_owned());
    }
    let wanted = digest(&SHA256, authorization.as_bytes());
    let oid = x509_parser::oid_registry::asn1_rs::oid!(1.3.6.1.5.5.7.1.31);
    let extension = parsed.extensions().iter().find(|extension| extension.oid == oid).ok_or("no identifier")?;
    // An octet string of 32 bytes.
    if extension.critical && extension.value.strip_prefix(b"\x04\x20") == Some(wanted.as_ref()) {
        return Ok(());
    }
    Err("another identifier".to_owned())
}

/// Whoever looks at a challenge knows no authority that could vouch for it.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}
