//! The listeners of the gateway: bound when it starts or reloads, opened on every worker, replaced without rebinding.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::Error;
use super::worker::Workers;
use crate::config::model::{Config, Listener, ListenerId};
use crate::listener::{self, Inherited, Settings, Shared};

/// Every open listener, by name.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    open: BTreeMap<String, Open>,
    /// Ports this process has listened on. Old sockets may still be draining there, so whether they are free cannot be
    /// asked.
    held: BTreeSet<u16>,
    /// Sockets that were bound before this process was there.
    inherited: Inherited,
    opened: u64,
}

#[derive(Debug)]
struct Open {
    /// The number by which workers know it. A name may belong to two listeners for a while: one that opens and one that
    /// drains.
    key: u64,
    configured: SocketAddr,
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The workers' sockets once more, to be handed to a listener that takes this one's place.
    sockets: Vec<TcpListener>,
}

/// A listener with its sockets, which do not listen yet.
#[derive(Debug)]
struct Bound {
    name: String,
    open: Open,
    sockets: Vec<TcpListener>,
}

/// The changes of a reload, prepared completely before the first one is made.
#[derive(Debug)]
pub(super) struct Change {
    settings: Vec<(String, Settings)>,
    bound: Vec<Bound>,
}

impl Listeners {
    pub(super) fn with(inherited: Inherited) -> Self {
        Self { inherited, ..Self::default() }
    }

    pub(super) fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        self.open.iter().map(|(name, open)| (name.clone(), open.address)).collect()
    }

    pub(super) fn shared(&self) -> Vec<(String, Arc<Shared>)> {
        self.open.iter().map(|(name, open)| (name.clone(), Arc::clone(&open.shared))).collect()
    }

    /// Loads certificates and binds the new sockets of `config`. Clients cannot connect to them yet.
    pub(super) fn prepare(&mut self, config: &Config, workers: usize) -> Result<Change, Error> {
        let (mut settings, mut fresh) = (Vec::new(), Vec::new());
        for (index, listener) in config.listeners.iter().enumerate() {
            let open = self.open.get(&listener.name);
            let previous = open.map(|open| open.shared.settings());
            let loaded = load(ListenerId(index), listener, previous.as_deref())?;
            match open.filter(|open| open.configured == listener.address) {
                Some(_) => settings.push((listener.name.clone(), loaded)),
                None => fresh.push((listener, loaded)),
            }
        }
        let bound = fresh
            .into_iter()
            .map(|(listener, settings)| self.bind(listener, settings, config, workers))
            .collect::<Result<_, _>>()?;
        Ok(Change { settings, bound })
    }

    fn bind(
        &mut self,
        listener: &Listener,
        settings: Settings,
        config: &Config,
        workers: usize,
    ) -> Result<Bound, Error> {
        let configured = listener.address;
        let failed = |source| Error::Bind { listener: listener.name.clone(), address: configured, source };
        let inherited = self.inherited.at(configured, workers);
        let sockets = match (inherited, self.leaving(config, configured)) {
            (Some(inherited), _) => inherited,
            // A connection that is being made belongs to a socket, and would be reset with it.
            (None, Some(open)) => duplicates(&open.sockets),
            (None, None) => {
                if configured.port() != 0 && !self.held.contains(&configured.port()) {
                    listener::probe(configured).map_err(failed)?;
                }
                listener::bind(configured, workers)
            }
        };
        let sockets = sockets.map_err(failed)?;
        let kept = duplicates(&sockets).map_err(failed)?;
        let address = sockets.first().map_or(Ok(configured), TcpListener::local_addr).map_err(failed)?;
        self.opened += 1;
        Ok(Bound {
            name: listener.name.clone(),
            open: Open { key: self.opened, configured, address, shared: Shared::held(settings), sockets: kept },
            sockets,
        })
    }

    /// The open listener at `address` that `config` no longer has, or has elsewhere.
    fn leaving(&self, config: &Config, address: SocketAddr) -> Option<&Open> {
        let stays = |name: &str, open: &Open| {
            let mut known = config.listeners.iter();
            known.any(|known| known.name == name && known.address == open.configured)
        };
        let mut here = self.open.iter();
        here.find(|(name, open)| open.address == address && !stays(name, open)).map(|(_, open)| open)
    }

    /// Keeps no socket: when the workers have closed theirs, the port is free.
    pub(super) fn let_go(&mut self) {
        self.inherited.let_go();
        for open in self.open.values_mut() {
            open.sockets.clear();
        }
    }

    /// Opens the new listeners on every worker. Clients can connect, but no connection is accepted before
    /// [`Listeners::apply`].
    pub(super) async fn open(&self, change: &mut Change, workers: &Workers) -> io::Result<()> {
        for bound in &mut change.bound {
            let sockets = std::mem::take(&mut bound.sockets);
            let open = &bound.open;
            let opened = workers.open(open.key, &bound.name, sockets, &open.shared);
            if let Err(error) = opened.await {
                for bound in &change.bound {
                    workers.close(bound.open.key).await;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Applies a change whose listeners are open: accepts their connections, and closes the listeners that `config` no
    /// longer has.
    pub(super) async fn apply(&mut self, change: Change, config: &Config, workers: &Workers) {
        for (name, settings) in change.settings {
            if let Some(open) = self.open.get(&name) {
                open.shared.replace(settings);
            }
        }
        let named = |name: &String| config.listeners.iter().any(|known| known.name == *name);
        let mut gone: Vec<_> = self.open.extract_if(.., |name, _| !named(name)).collect();
        for bound in change.bound {
            let place = bound.open.address;
            let before = gone.iter().map(|(_, open)| open);
            let before = before.chain(self.open.get(&bound.name));
            before.filter(|open| open.address == place).for_each(|open| open.shared.hold());
            bound.open.shared.admit();
            self.held.insert(bound.open.address.port());
            let moved = self.open.insert(bound.name.clone(), bound.open);
            gone.extend(moved.map(|open| (bound.name, open)));
        }
        for (_, mut open) in gone {
            open.sockets.clear();
            workers.close(open.key).await;
        }
    }
}

/// The same sockets once more, each with its queue.
fn duplicates(sockets: &[TcpListener]) -> io::Result<Vec<TcpListener>> {
    sockets.iter().map(TcpListener::try_clone).collect()
}

fn load(id: ListenerId, listener: &Listener, previous: Option<&Settings>) -> Result<Settings, Error> {
    Settings::load(id, listener, previous)
        .map_err(|source| Error::Tls { listener: listener.name.clone(), source: Box::new(source) })
}
