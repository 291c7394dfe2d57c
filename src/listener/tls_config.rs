//! What handshakes agree on: versions, suites and their order, tickets. Mozilla's "intermediate", and "modern" where
//! TLS 1.3 is asked for. It knows no files.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};

use crate::config::model::{HttpVersion, ListenerTls, TlsVersion};
use crate::listener::tls_error::TlsError;

/// Two of them, which differ in who has the last word on the suite.
#[derive(Debug)]
pub(crate) struct ServerConfigs {
    our_order: Arc<ServerConfig>,
    clients_order: Arc<ServerConfig>,
}

impl ServerConfigs {
    pub(crate) fn build<R: ResolvesServerCert + 'static>(
        tls: &ListenerTls,
        protocols: &[HttpVersion],
        resolver: &Arc<R>,
        verifier: &Arc<dyn ClientCertVerifier>,
        tickets: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsError> {
        let versions: &[_] = match tls.min_version {
            TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V13 => &[&rustls::version::TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(TlsError::Setup)?
            .with_client_cert_verifier(Arc::clone(verifier))
            .with_cert_resolver(Arc::clone(resolver) as _);
        config.alpn_protocols = protocols.iter().map(|version| alpn(*version).to_vec()).collect();
        config.ticketer = Arc::clone(tickets);
        // Tickets hold everything, so nothing is kept here; and a client that comes back uses one of them, not four.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        // A request in 0-RTT data can be replayed (RFC 8470).
        config.max_early_data_size = 0;
        let clients_order = Arc::new(config.clone());
        config.ignore_client_order = true;
        Ok(Self { our_order: Arc::new(config), clients_order })
    }

    /// For a client that offers these suites, the one it likes best first. The order is ours, but a client that begins
    /// with ChaCha20 is slow at AES and gets it.
    pub(crate) fn for_client(&self, offered: &[CipherSuite]) -> &Arc<ServerConfig> {
        let first = offered.iter().find(|suite| !is_grease(**suite));
        if first.is_some_and(|suite| CHACHA.contains(suite)) { &self.clients_order } else { &self.our_order }
    }
}

/// What is offered to keep servers from stumbling over what they do not know (RFC 8701).
fn is_grease(suite: CipherSuite) -> bool {
    let [high, low] = u16::from(suite).to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// Passed explicitly everywhere: with two providers compiled in, rustls would panic over which is the default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { cipher_suites: SUITES.to_vec(), ..aws_lc_rs::default_provider() })
}

fn alpn(version: HttpVersion) -> &'static [u8] {
    match version {
        HttpVersion::Http1 => b"http/1.1",
        HttpVersion::H2 => b"h2",
    }
}

/// Only those with forward secrecy and authenticated encryption, in Mozilla's order, which is that of their speed.
const SUITES: [SupportedCipherSuite; 9] = [
    TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384,
    TLS13_CHACHA20_POLY1305_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

const CHACHA: [CipherSuite; 3] = [
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grease_is_no_suite() {
        for (suite, expected) in [(0x0a0a, true), (0xfafa, true), (0x0a1a, false), (0x1301, false), (0x1303, false)] {
            assert_eq!(is_grease(CipherSuite::from(suite)), expected, "{suite:04x}");
        }
    }
}
