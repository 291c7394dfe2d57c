//! Endpoints that are known by names of their certificates and not by their address: SPIFFE ids, or names of a service
//! whose replicas have none of their own.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::pem;

/// Verifies a chain as always, and that its leaf holds one of these names.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) provider: Arc<CryptoProvider>,
    /// At least one.
    pub(super) names: Vec<String>,
}

/// A certificate of a known authority, for somebody else.
#[derive(Debug)]
pub(super) struct OtherName {
    wanted: Vec<String>,
    held: Vec<String>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.roots, intermediates, now, algorithms)?;
        let held = names(end_entity).ok_or(CertificateError::BadEncoding)?;
        if self.names.iter().any(|wanted| held.iter().any(|name| is_same(name, wanted))) {
            return Ok(ServerCertVerified::assertion());
        }
        let other = OtherName { wanted: self.names.clone(), held };
        Err(CertificateError::Other(OtherError(Arc::new(other))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Display for OtherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = if self.held.is_empty() { "no name".to_owned() } else { self.held.join(", ") };
        write!(f, "is not valid for {} but for {held}", self.wanted.join(" or "))
    }
}

impl std::error::Error for OtherName {}

/// The DNS names, addresses and URIs of the SAN extension (RFC 5280 section 4.2.1.6).
fn names(certificate: &CertificateDer<'_>) -> Option<Vec<String>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let extension = parsed.subject_alternative_name().ok()?;
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => Some(pem::address(octets)?.to_string()),
        _ => None,
    };
    Some(extension.map_or_else(Vec::new, |found| found.value.general_names.iter().filter_map(name).collect()))
}

/// Names of hosts have no case; URIs have, in their path.
fn is_same(held: &str, wanted: &str) -> bool {
    if wanted.contains("://") { held == wanted } else { held.eq_ignore_ascii_case(wanted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_wholes() {
        for (held, wanted, same) in [
            ("spiffe://td/agent", "spiffe://td/agent", true),
            ("spiffe://td/agent", "spiffe://td/Agent", false),
            ("spiffe://td/agent/x", "spiffe://td/agent", false),
            ("a.example", "A.Example", true),
            ("*.example", "a.example", false),
            ("*.example", "*.example", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("spiffe://td/a", "td/a", false),
        ] {
            assert_eq!(is_same(held, wanted), same, "{held} {wanted}");
        }
    }

    #[test]
    fn every_kind_of_name_is_found() {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI("spiffe://td/agent".try_into().unwrap()));
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(names(made.der()).unwrap(), ["a.test", "10.0.0.1", "spiffe://td/agent"]);
    }
}
