//! What is counted and said of the connections of a listener.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Connection;
use crate::edge::{self, Worker};
use crate::listener::{ConnectionEnd, Expiry, HandshakeEnd, Report};
use crate::observe::handles::ListenerHandles;

/// Counts what happens to a listener's connections on one worker.
pub(super) fn report(name: String, handles: Rc<ListenerHandles>, worker: Rc<Worker>) -> impl Fn(&Report<'_>) {
    let told = Cell::new(None);
    move |event| match event {
        Report::Accepted => handles.connections.inc(),
        Report::AtCeiling => {
            // With as many clients as places it happens with every connection that ends.
            let now = Instant::now();
            let again = |told| now.saturating_duration_since(told) >= TELL_AGAIN;
            if told.get().is_none_or(again) {
                told.set(Some(now));
                tracing::warn!(listener = %name, "maxConnections is reached, new clients wait");
            }
        }
        Report::OverCeiling => handles.connections_refused.count("ceiling"),
        Report::OverClientCeiling => handles.connections_refused.count("client_ceiling"),
        Report::AcceptFailed(error) => tracing::warn!(listener = %name, %error, "cannot accept"),
        Report::HandshakeFailed(HandshakeEnd::Challenge) => {
            tracing::debug!(listener = %name, "a certificate authority looked at a challenge");
        }
        Report::HandshakeFailed(end) => {
            handles.handshake_failures.inc();
            tracing::debug!(listener = %name, ?end, "connection ended before HTTP");
        }
        Report::Ended(connection, end) => ended(&worker, &handles, connection, *end),
    }
}

fn ended(worker: &Worker, handles: &ListenerHandles, connection: &Connection, end: ConnectionEnd) {
    match end {
        ConnectionEnd::Refused(status) => {
            handles.malformed.count(edge::unparsed(worker, connection, status));
        }
        ConnectionEnd::Expired(expiry) => {
            let reason = match expiry {
                Expiry::Idle => return,
                Expiry::Head => "head_timeout",
                Expiry::Body => "body_timeout",
                Expiry::Write => "write_timeout",
                Expiry::Linger => "linger_timeout",
            };
            handles.malformed.count(reason);
        }
        ConnectionEnd::Closed | ConnectionEnd::Upgraded | ConnectionEnd::Broken | ConnectionEnd::Aborted => {}
    }
}

/// Time between two log lines that say that a listener is full.
const TELL_AGAIN: Duration = Duration::from_secs(60);
