//! One immutable state of the gateway: a validated configuration with everything built from it. Replaced whole or not
//! at all.

mod abuse;
mod agents;
mod auth;
mod remembered_card;
mod route_runtime;
mod seen_card;

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::HeaderName;
use tokio::time::Instant;
use tracing::debug_span;

use crate::acme::Challenges;
use crate::cluster::Cluster;
use crate::cluster::discovery::dns::Resolutions;
use crate::config::model::{ApiKeys, AuthKind, Config, CookieKey, KeyCarrier, ListenerId, Route};
use crate::observe::record::RecordPlans;
use crate::policy::Limits;
use crate::policy::authorization::Policies;
use crate::pool::ClientTls;
use crate::route::rollout::{Millis, Now, RolloutControl};
use crate::route::{Table, canonical_path};
use crate::upstream::{WorkerCluster, WorkerClusterError};

pub use abuse::Abuse;
pub use agents::Agents;
pub use auth::{AuthServerError, AuthState};
pub use remembered_card::{Asking, CardFault, KnownCard, RememberedCard};
use route_runtime::Build;
pub use route_runtime::RouteRuntime;
pub use seen_card::{CardSight, SeenCard};

/// A configuration in force.
#[derive(Debug)]
pub struct Snapshot {
    /// The settings.
    pub config: Arc<Config>,
    /// The routes, ready for matching.
    pub table: Table,
    /// The clusters, by [`crate::config::model::ClusterId`].
    pub clusters: Vec<Arc<Cluster>>,
    /// The limits of clients.
    pub limits: Limits,
    /// TLS towards each cluster.
    pub tls: Vec<Option<ClientTls>>,
    /// The routes while they run, by [`crate::config::model::RouteId`].
    pub routes: Vec<Arc<RouteRuntime>>,
    /// What knows clients.
    pub auth: AuthState,
    /// What is known of agents.
    pub agents: Agents,
    /// What is known of clients that are not to be served.
    pub abuse: Abuse,
    /// Challenges of certificates that are ordered, for requests without TLS.
    pub challenges: Arc<Challenges>,
    /// What the access logs make of records.
    pub access_log: Arc<RecordPlans>,
    /// What the cookies of splits are made with that have no key of their own.
    cookie_key: CookieKey,
    listeners: HashMap<String, ListenerId, foldhash::fast::RandomState>,
}

impl Snapshot {
    /// Builds the state for `config`. Endpoints and limits of `previous` go on with their counters where they are the
    /// same.
    ///
    /// # Errors
    /// When TLS files of a cluster or of a server that is asked cannot be used; nothing has changed then.
    pub fn build(config: Arc<Config>, previous: Option<&Self>, names: &Resolutions) -> Result<Self, SnapshotError> {
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
        let cookie_key = previous.map(|snapshot| snapshot.cookie_key.clone());
        let cookie_key = config.cookie_key.clone().or(cookie_key).unwrap_or_else(made_here);
        let limits = Limits::build(&config, previous.map(|snapshot| &snapshot.limits));
        let auth = AuthState::adopt(&config, previous.map(|snapshot| &snapshot.auth));
        auth.ask_servers()?;
        let authorization = Policies::build(&config, canonical_path);
        let build = Build {
            config: &config,
            limits: &limits,
            auth: &auth,
            authorization: &authorization,
            cookie_key: &cookie_key,
            now: now(),
        };
        let route = |settings: &Arc<Route>| {
            let before = previous.and_then(|snapshot| snapshot.route(&settings.name));
            Arc::new(RouteRuntime::adopt(before.map(|route| &**route), settings, &build))
        };
        let routes = config.routes.iter().map(route).collect();
        let listeners = config
            .listeners
            .iter()
            .enumerate()
            .map(|(index, listener)| (listener.name.clone(), ListenerId(index)))
            .collect();
        Ok(Self {
            table: debug_span!("table").in_scope(|| Table::build(&config.routes)),
            clusters,
            limits,
            tls,
            routes,
            auth,
            agents: Agents::adopt(previous.map(|snapshot| &snapshot.agents)),
            abuse: Abuse::adopt(previous.map(|snapshot| &snapshot.abuse)),
            challenges: previous.map(|snapshot| Arc::clone(&snapshot.challenges)).unwrap_or_default(),
            access_log: Arc::new(RecordPlans::new(&config.access_log, &key_fields(&config))),
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

    /// The route called `name`.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Arc<RouteRuntime>> {
        // In the order of their names, as in the configuration.
        let at = self.routes.binary_search_by(|route| route.name().cmp(name));
        self.routes.get(at.ok()?)
    }

    /// The live sides of the splits there are, by route.
    pub fn splits(&self) -> impl Iterator<Item = (&str, &Arc<RolloutControl>)> {
        self.routes.iter().filter_map(|route| Some((route.name(), route.split.as_ref()?)))
    }

    /// Where the listener called `name` is in this configuration.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<ListenerId> {
        self.listeners.get(name).copied()
    }
}

/// Why a configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A cluster's TLS files cannot be used.
    #[error(transparent)]
    Cluster(#[from] WorkerClusterError),
    /// The authorities of a server that decides who may come in cannot be used.
    #[error(transparent)]
    AuthServer(#[from] AuthServerError),
}

/// A key that nobody knows and that ends with the process.
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

/// A route of `config` as it runs after a start, for those who only look at it.
#[must_use]
pub fn route_at_start(config: &Config, route: &Arc<Route>) -> RouteRuntime {
    let limits = Limits::build(config, None);
    let cookie_key = config.cookie_key.clone().unwrap_or_else(made_here);
    let (auth, authorization) = (AuthState::adopt(config, None), Policies::build(config, canonical_path));
    auth.ask_nobody();
    let build = Build {
        config,
        limits: &limits,
        auth: &auth,
        authorization: &authorization,
        cookie_key: &cookie_key,
        now: now(),
    };
    RouteRuntime::adopt(None, route, &build)
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
/// Header fields that clients put their keys into.
fn key_fields(config: &Config) -> Vec<HeaderName> {
    let fields = config.auth_providers.iter().filter_map(|provider| match &provider.kind {
        AuthKind::ApiKey(ApiKeys { carrier: KeyCarrier::Header(name), .. }) => Some(name.clone()),
        _ => None,
    });
    fields.collect()
}
