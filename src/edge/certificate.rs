//! Whether the connection proves what the host that is asked for wants proven.

use super::exchange::Exchange;
use super::stage::{Entry, Passage};
use crate::config::model::{AuthMode, ListenerId, ListenerTls};
use crate::context::TlsFacts;
use crate::error::Error;

/// A host that this connection's certificate policy was not checked for must come on a connection of its own (RFC 9110
/// section 15.5.20). And a connection that was let in before a reload is held to what is asked for now. Where a
/// listener serves the routes of another, because a proxy in front ended TLS, nobody has shown a certificate that the
/// other asks for.
pub(super) fn check(exchange: &mut Exchange, entry: &Entry) -> Result<Passage, Error> {
    let listeners = &entry.config().listeners;
    let tls = |id: Option<ListenerId>| listeners.get(id?.0)?.tls.as_ref();
    let asks = |tls: &ListenerTls| tls.client_auth.authorities().is_some();
    let served_by = exchange.route.served_by;
    if entry.listener != served_by && tls(served_by).is_some_and(asks) {
        return Err(Error::Misdirected);
    }
    let Some(settings) = tls(entry.listener) else {
        return Ok(Passage::On);
    };
    let proven = |tls: &&TlsFacts| tls.client_verified || settings.client_auth.mode != AuthMode::Require;
    let Some(tls) = exchange.connection.tls.as_ref().filter(proven) else {
        exchange.connection.spent.set(true);
        return Err(Error::Misdirected);
    };
    let asked = tls.server_name.as_deref();
    if asks(settings) && asked.is_some_and(|asked| asked != exchange.request.host()) {
        return Err(Error::Misdirected);
    }
    Ok(Passage::On)
}
