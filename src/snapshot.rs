//! One immutable state of the gateway: a validated configuration with everything built from it. Replaced whole or not
//! at all.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tracing::debug_span;

use crate::cluster::Cluster;
use crate::cluster::discovery::dns::Resolutions;
use crate::config::model::{Action, Config, CookieKey, ListenerId, Route};
use crate::policy;
use crate::policy::Limits;
use crate::pool::ClientTls;
use crate::route::rollout::{Millis, Now, RolloutControl};
use crate::route::{PathMappings, Table};
use crate::upstream::{WorkerCluster, WorkerClusterError};

/// A configuration in force.
#[derive(Debug)]
pub struct Snapshot {
    /// The settings.
    pub config: Arc<Config>,
    /// The routes, ready for matching.
    pub table: Table,
    /// How the paths of clients relate to those of agents.
    pub paths: PathMappings,
    /// The clusters, by [`crate::config::model::ClusterId`].
    pub clusters: Vec<Arc<Cluster>>,
    /// The limits of clients.
    pub limits: Limits,
    /// TLS towards each cluster.
    pub tls: Vec<Option<ClientTls>>,
    /// Counters of each route, by [`crate::config::model::RouteId`].
    pub live: Vec<policy::Live>,
    /// The key of sticky cookies for splits without a key of their own.
    cookie_key: CookieKey,
    /// The live side of each route's split, by [`crate::config::model::RouteId`].
    pub splits: Vec<Option<Arc<RolloutControl>>>,
    listeners: HashMap<String, ListenerId, foldhash::fast::RandomState>,
}

impl Snapshot {
    /// Builds the state for `config`. Endpoints and limits of `previous` go on with their counters where they are the
    /// same.
    ///
    /// # Errors
    /// When a cluster's TLS files cannot be used; nothing has changed then.
    pub fn build(
        config: Arc<Config>,
        previous: Option<&Self>,
        names: &Resolutions,
    ) -> Result<Self, WorkerClusterError> {
        let before: HashMap<&str, &Cluster> = previous
            .iter()
            .flat_map(|snapshot| &snapshot.clusters)
            .map(|cluster| (&*cluster.name, &**cluster))
            .collect();
        let clusters: Vec<_> = config
            .clusters
            .iter()
            .map(|settings| {
                let previous = before.get(settings.name.as_str()).copied();
                Arc::new(Cluster::build(Arc::new(settings.clone()), previous, names))
            })
            .collect();
        let tls = clusters.iter().map(|cluster| WorkerCluster::tls(cluster)).collect::<Result<_, _>>()?;
        let live = config
            .routes
            .iter()
            .map(|route| {
                let before = previous.and_then(|snapshot| snapshot.live(&route.name));
                policy::Live::of(route, before)
            })
            .collect();
        let cookie_key = previous.map(|snapshot| snapshot.cookie_key.clone());
        let cookie_key = config.cookie_key.clone().or(cookie_key).unwrap_or_else(made_here);
        let splits = splits(&config, previous, &cookie_key, now());
        let listeners = config
            .listeners
            .iter()
            .enumerate()
            .map(|(index, listener)| (listener.name.clone(), ListenerId(index)))
            .collect();
        Ok(Self {
            table: debug_span!("table").in_scope(|| Table::build(&config.routes)),
            paths: PathMappings::build(&config),
            limits: Limits::build(&config, previous.map(|snapshot| &snapshot.limits)),
            clusters,
            tls,
            live,
            splits,
            cookie_key,
            listeners,
            config,
        })
    }

    /// The key of sticky cookies for splits without a key of their own.
    #[must_use]
    pub fn cookie_key(&self) -> &CookieKey {
        &self.cookie_key
    }

    /// Counters of the route called `name`.
    fn live(&self, name: &str) -> Option<&policy::Live> {
        let routes = &self.config.routes;
        let at = routes.binary_search_by(|route| route.name.as_str().cmp(name));
        self.live.get(at.ok()?)
    }

    /// Where the listener called `name` is in this configuration.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<ListenerId> {
        self.listeners.get(name).copied()
    }
}

/// A split keeps its state when neither its clusters and weights nor its rollout changed; the others begin.
fn splits(config: &Config, previous: Option<&Snapshot>, key: &CookieKey, now: Now) -> Vec<Option<Arc<RolloutControl>>> {
    let before: HashMap<&str, &Arc<RolloutControl>> = previous
        .iter()
        .flat_map(|snapshot| snapshot.config.routes.iter().zip(&snapshot.splits))
        .filter_map(|(route, control)| Some((route.name.as_str(), control.as_ref()?)))
        .collect();
    let control = |route: &Route| {
        let Action::Split(split) = &route.action else {
            return None;
        };
        let known = before.get(route.name.as_str());
        let known = known.filter(|control| control.is_of(split));
        Some(known.map_or_else(|| Arc::new(RolloutControl::new(split, key, now)), |control| Arc::clone(control)))
    };
    config.routes.iter().map(control).collect()
}

/// A random key that ends with the process.
fn made_here() -> CookieKey {
    let mut secret = [0; 32];
    // Where the system has no random numbers, the hash seeds of the standard library are used.
    if aws_lc_rs::rand::fill(&mut secret).is_err() {
        for bytes in secret.chunks_mut(8) {
            let seed = std::hash::RandomState::new().hash_one(0);
            bytes.iter_mut().zip(seed.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
    }
    CookieKey::of(&secret)
}

/// This moment, as rollouts take it.
#[must_use]
pub fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now { wall: u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(Millis::MAX), steady: Instant::now() }
}

/// The place where the current snapshot hangs. Workers compare the generation per request and fetch the snapshot only
/// when it moved on, so that no shared reference count is touched per request.
#[derive(Debug)]
pub struct Hub {
    current: ArcSwap<Snapshot>,
    generation: AtomicU64,
}

impl Hub {
    /// Starts with `snapshot`.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self { current: ArcSwap::from_pointee(snapshot), generation: AtomicU64::new(1) }
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Changes whenever the snapshot does.
    #[must_use]
    pub fn generation(&self) -> u64 {
        // Acquire: a reader that sees the number finds at least that snapshot.
        self.generation.load(Ordering::Acquire)
    }

    /// Puts `snapshot` in force.
    pub fn replace(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
        self.generation.fetch_add(1, Ordering::Release);
    }
}
