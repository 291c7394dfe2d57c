//! The listeners of the gateway: bound when it starts or reloads, opened on every worker, replaced without rebinding.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use super::Error;
use super::worker::Crew;
use crate::config::model::{Config, Listener, ListenerId};
use crate::context::Connection;
use crate::listener::{self, ConnectionEnd, Expiry, Report, Settings, Shared};
use crate::observe::handles::ListenerHandles;

/// Every open listener, by name.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    open: BTreeMap<String, Open>,
    bound: Vec<Bound>,
}

#[derive(Debug)]
struct Open {
    configured: SocketAddr,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A listener with its sockets, not yet accepting.
#[derive(Debug)]
struct Bound {
    name: String,
    open: Open,
    sockets: Vec<TcpListener>,
}

/// What a reload changes; prepared in full before anything is changed.
#[derive(Debug)]
pub(super) struct Change {
    settings: Vec<(String, Settings)>,
    bound: Vec<Bound>,
    gone: Vec<String>,
}

impl Listeners {
    /// Binds every listener of `config` for `workers`.
    pub(super) fn bind(config: &Config, workers: usize) -> Result<Self, Error> {
        let numbered = config.listeners.iter().enumerate();
        let bound = numbered
            .map(|(index, listener)| bind(ListenerId(index), listener, workers))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            open: BTreeMap::new(),
            bound,
        })
    }

    /// Lets the workers accept.
    pub(super) async fn open(&mut self, crew: &Crew) -> io::Result<()> {
        for bound in std::mem::take(&mut self.bound) {
            crew.open(&bound.name, bound.sockets, &bound.open.shared)
                .await?;
            self.open.insert(bound.name, bound.open);
        }
        Ok(())
    }

    pub(super) fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        self.open
            .iter()
            .map(|(name, open)| (name.clone(), open.address))
            .collect()
    }

    pub(super) fn shared(&self) -> Vec<(String, Arc<Shared>)> {
        self.open
            .iter()
            .map(|(name, open)| (name.clone(), Arc::clone(&open.shared)))
            .collect()
    }

    /// Loads and binds what `config` needs beyond what is open.
    pub(super) fn prepare(&self, config: &Config, workers: usize) -> Result<Change, Error> {
        let mut change = Change {
            settings: Vec::new(),
            bound: Vec::new(),
            gone: Vec::new(),
        };
        for (index, listener) in config.listeners.iter().enumerate() {
            match self
                .open
                .get(&listener.name)
                .filter(|open| open.configured == listener.address)
            {
                Some(open) => {
                    let previous = open.shared.settings();
                    change.settings.push((
                        listener.name.clone(),
                        load(ListenerId(index), listener, Some(&previous))?,
                    ));
                }
                None => change
                    .bound
                    .push(bind(ListenerId(index), listener, workers)?),
            }
        }
        let moved = |name: &String| change.bound.iter().any(|bound| bound.name == *name);
        let kept = |name: &String| {
            config
                .listeners
                .iter()
                .any(|listener| listener.name == *name)
        };
        change.gone = self
            .open
            .keys()
            .filter(|name| moved(name) || !kept(name))
            .cloned()
            .collect();
        Ok(change)
    }

    /// Carries out a change.
    pub(super) async fn apply(&mut self, change: Change, crew: &Crew) -> io::Result<()> {
        for (name, settings) in change.settings {
            if let Some(open) = self.open.get(&name) {
                open.shared.replace(settings);
            }
        }
        for name in change.gone {
            crew.close(&name).await;
            self.open.remove(&name);
        }
        self.bound = change.bound;
        self.open(crew).await
    }
}

fn bind(id: ListenerId, listener: &Listener, workers: usize) -> Result<Bound, Error> {
    let settings = load(id, listener, None)?;
    let failed = |source| Error::Bind {
        listener: listener.name.clone(),
        address: listener.address,
        source,
    };
    let sockets = listener::bind(listener.address, workers).map_err(failed)?;
    let address = sockets
        .first()
        .map_or(Ok(listener.address), TcpListener::local_addr)
        .map_err(failed)?;
    let open = Open {
        configured: listener.address,
        address,
        shared: Shared::new(settings),
    };
    Ok(Bound {
        name: listener.name.clone(),
        open,
        sockets,
    })
}

fn load(
    id: ListenerId,
    listener: &Listener,
    previous: Option<&Settings>,
) -> Result<Settings, Error> {
    Settings::load(id, listener, previous).map_err(|source| Error::Tls {
        listener: listener.name.clone(),
        source: Box::new(source),
    })
}

/// Counts what happens to a listener's connections on one worker.
pub(super) fn report(name: String, handles: Rc<ListenerHandles>) -> impl Fn(&Report<'_>) {
    move |event| match event {
        Report::Accepted => handles.accepted(),
        Report::AtCeiling => handles.refused("ceiling"),
        Report::OverClientCeiling => handles.refused("client_ceiling"),
        Report::AcceptFailed(error) => tracing::warn!(listener = %name, %error, "cannot accept"),
        Report::HandshakeFailed(end) => {
            handles.handshake_failed();
            tracing::debug!(listener = %name, ?end, "connection ended before HTTP");
        }
        Report::Ended(connection, end) => ended(&name, &handles, connection, *end),
    }
}

fn ended(name: &str, handles: &ListenerHandles, connection: &Connection, end: ConnectionEnd) {
    match end {
        ConnectionEnd::Refused(status) => {
            // hyper answered by itself: there is no exchange and so no access record.
            let reason = match status.as_u16() {
                414 => "target_too_long",
                431 => "head_too_large",
                _ => "not_http",
            };
            handles.malformed(reason);
            tracing::info!(listener = %name, peer = %connection.peer, reason, "request refused");
        }
        ConnectionEnd::Expired(expiry) => {
            let reason = match expiry {
                Expiry::Idle => return,
                Expiry::Head => "head_timeout",
                Expiry::Body => "body_timeout",
                Expiry::Write => "write_timeout",
                Expiry::Linger => "linger_timeout",
            };
            handles.malformed(reason);
        }
        ConnectionEnd::Closed
        | ConnectionEnd::Upgraded
        | ConnectionEnd::Broken
        | ConnectionEnd::Aborted => {}
    }
}
