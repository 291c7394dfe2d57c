//! TLS termination.

use crate::config::model::{HttpVersion, ListenerTls};

/// TLS of one listener: certificates, tickets and the rest of its server configuration.
#[derive(Debug)]
pub struct Tls {}

/// Why a TLS configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn load(tls: &ListenerTls, protocols: &[HttpVersion], previous: Option<&Self>) -> Result<Self, TlsError> {
        let _ = (tls, protocols, previous);
        todo!()
    }

    /// Reads files again whose content changed. What cannot be used keeps its old content and is reported. Reads files: call it
    /// from the control thread. Returns whether anything changed.
    #[must_use]
    pub fn refresh(&self) -> (bool, Vec<TlsError>) {
        todo!()
    }

    /// Whether the certificate a handshake for `server_name` got also serves `host`. Where it does not, the answer is 421.
    #[must_use]
    pub fn covers(&self, server_name: Option<&str>, host: &str) -> bool {
        let _ = (server_name, host);
        todo!()
    }
}
