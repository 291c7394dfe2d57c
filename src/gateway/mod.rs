//! The composition root: starts the workers and the tasks around them, swaps snapshots, drains. Workers are threads
//! with a runtime of their own; everything here runs on the caller's runtime and can be slow without hurting traffic.

mod abuse;
#[cfg(feature = "acme")]
mod acme;
mod admin;
mod affinity;
mod auth_loads;
mod certificates;
mod clusters;
mod config_thread;
mod connections;
mod expiry;
#[cfg(feature = "otlp")]
mod exports;
#[cfg(not(feature = "otlp"))]
#[path = "no_exports.rs"]
mod exports;
mod files;
mod generation;
mod holder;
mod issuer_keys;
mod limits;
mod listeners;
mod logs;
mod memory;
mod reload;
mod rollouts;
mod source;
mod supervise;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::admin::control::{self, Command};
use crate::admin::health::{Check, Health, Status};
use crate::admin::socket::{OwnFile, Socket};
use crate::admin::{api, server};
use crate::cluster::discovery::dns::{self, Resolver};
use crate::config::model::{AdminAddress, Config, Shutdown};
use crate::listener::Inherited;
use crate::observe::live::Live;
use crate::observe::metrics::Metrics;
use crate::observe::stderr::Stderr;
use crate::route::rollout::RolloutControl;
use crate::snapshot::{Hub, Snapshot, SnapshotError};
use config_thread::ConfigThread;
use files::Keeper;
use listeners::Listeners;
use logs::Logs;
use reload::Retired;
use source::Followed;
pub use source::Source;
use supervise::{Task, Tasks};
use worker::Workers;

/// Why a gateway did not start, or a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener cannot bind.
    #[error("listener `{listener}` cannot bind {address}")]
    Bind {
        /// Its name.
        listener: String,
        /// Its address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A listener's TLS files cannot be used.
    #[error("TLS of listener `{listener}`")]
    Tls {
        /// Its name.
        listener: String,
        /// Why.
        #[source]
        source: Box<crate::listener::TlsError>,
    },
    /// TLS files of a cluster or of a server that is asked cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The metrics listener cannot bind.
    #[error("metrics cannot bind {address}")]
    Metrics {
        /// Its address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The admin listener cannot bind.
    #[error("admin cannot bind {address}")]
    Admin {
        /// Its address.
        address: AdminAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Building the snapshot panicked.
    #[error("the configuration could not be built")]
    Build(#[source] tokio::task::JoinError),
    /// The access log cannot be opened.
    #[error("the access log cannot be opened")]
    AccessLog(#[source] io::Error),
    /// The audit log cannot be opened.
    #[error("the audit log cannot be opened")]
    AuditLog(#[source] io::Error),
    /// The names of endpoints cannot be resolved at all: there is no usable resolver configuration.
    #[error("no DNS resolver")]
    Resolver(#[source] hickory_resolver::net::NetError),
    /// Metric families clash.
    #[error("metrics")]
    Registry(#[from] prometheus::Error),
    /// A worker thread cannot be started.
    #[error("a worker cannot start")]
    Worker(#[source] io::Error),
    /// The change needs a restart.
    #[error("`{0}` cannot change while running; restart to change it")]
    NeedsRestart(&'static str),
}

impl Error {
    /// The key of the address it is about.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        match self {
            Self::Bind { listener, .. } | Self::Tls { listener, .. } => Some(format!("listeners.{listener}.address")),
            Self::Metrics { .. } => Some("metrics.address".to_owned()),
            Self::Admin { .. } => Some("admin.address".to_owned()),
            Self::AccessLog(_) => Some("accessLog.output".to_owned()),
            Self::AuditLog(_) => Some("auditLog.output".to_owned()),
            _ => None,
        }
    }

    /// The process that holds the address, where the system tells.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        let (address, source) = match self {
            Self::Bind { address, source, .. }
            | Self::Metrics { address, source }
            | Self::Admin { address: AdminAddress::Tcp(address), source } => (*address, source),
            _ => return None,
        };
        let is_taken = source.kind() == io::ErrorKind::AddrInUse;
        is_taken.then(|| holder::of(address))?
    }

    /// The error and what caused it.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        causes.join(": ")
    }
}

/// A running gateway. Dropping it ends everything at once; [`Gateway::shutdown`] drains.
#[derive(Debug)]
pub struct Gateway {
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    metrics_address: Option<SocketAddr>,
    logs: Logs,
    listeners: Listeners,
    workers: Workers,
    resolver: Resolver,
    /// Tasks that belong to the gateway.
    tasks: Tasks,
    /// The task that moves the splits. It writes its state at the end.
    rollouts: Tasks,
    control: control::AdminControl,
    inbox: mpsc::Receiver<Command>,
    admin_address: Option<AdminAddress>,
    admin_file: Option<OwnFile>,
    source: Option<Followed>,
    keeper: Keeper,
    retired: Retired,
    /// Reads configurations and frees what is not used any more.
    config_thread: ConfigThread,
    /// Builds what stays until the next reload.
    build_thread: ConfigThread,
    /// Whether the last reload took names away.
    names_gone: bool,
    /// Which certificates are ordered.
    #[cfg(feature = "acme")]
    orders: acme::Orders,
    /// Whether the task that orders runs.
    #[cfg(feature = "acme")]
    is_ordering: bool,
    /// Which certificates were warned of.
    said_of_certificates: certificates::Said,
    /// Tasks that belong to the present configuration.
    generation: Tasks,
    stop: CancellationToken,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Exchanges that were cut because they did not end in time.
    pub cut: usize,
}

impl Gateway {
    /// Starts with `config` and returns when every listener accepts. Must be called on a tokio runtime, which then
    /// serves metrics and resolves names.
    ///
    /// # Errors
    /// When anything cannot be set up; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, Error> {
        Box::pin(Self::start_on(Inherited::default(), config)).await
    }

    /// The same, with sockets that were handed over: a listener at the address of one of them accepts there.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub async fn start_on(inherited: Inherited, config: Config) -> Result<Self, Error> {
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::new(&config.metrics.latency_buckets)?);
        metrics.limit_endpoints(config.metrics.endpoint_series);
        metrics.show_compatibility(config.metrics.compatibility);
        let resolver = Resolver::new(&config.dns).map_err(Error::Resolver)?;
        let names = dns::resolve_all(&config, &resolver, FIRST_RESOLUTION).await;
        let hub = Arc::new(Hub::new(Snapshot::build(Arc::clone(&config), None, &names)?));
        rollouts::restore(&hub.current(), config.state_file.as_deref());
        let count = config.workers.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        tell_unused(&inherited, &config);
        let mut listeners = Listeners::with(inherited);
        let mut change = listeners.prepare(&config, count)?;
        let metrics_socket = bind_metrics(config.metrics.address).await?;
        let (admin_socket, admin_address) = admin::bind(config.admin.as_ref()).await?;
        let admin_file = admin::file(admin_socket.as_ref());
        let logs = Logs::open(&config, &metrics)?;
        let workers = Workers::start(count, &hub, &metrics, &logs).await.map_err(Error::Worker)?;
        let metrics_address = metrics_socket.as_ref().and_then(|socket| socket.local_addr().ok());
        let health = Arc::new(probes(&hub, workers.lost()));
        let (control, inbox) = control::AdminControl::new(
            Arc::clone(&hub),
            Arc::clone(&health),
            Arc::clone(&metrics),
            logs.auditor(),
            Arc::clone(&logs.live),
        );
        let mut gateway = Self {
            health,
            hub,
            control,
            inbox,
            admin_address,
            admin_file,
            source: None,
            keeper: Keeper::default(),
            retired: Retired::default(),
            config_thread: ConfigThread::new("config").map_err(Error::Worker)?,
            build_thread: ConfigThread::new("build").map_err(Error::Worker)?,
            names_gone: false,
            #[cfg(feature = "acme")]
            orders: acme::Orders::default(),
            #[cfg(feature = "acme")]
            is_ordering: false,
            said_of_certificates: certificates::Said::default(),
            tasks: Tasks::new(&metrics),
            rollouts: Tasks::new(&metrics),
            generation: Tasks::new(&metrics),
            metrics,
            metrics_address,
            logs,
            listeners,
            workers,
            resolver,
            stop: CancellationToken::new(),
        };
        let listeners = &mut gateway.listeners;
        listeners.open(&mut change, &gateway.workers).await.map_err(Error::Worker)?;
        listeners.apply(change, &config, &gateway.workers).await;
        gateway.spawn_beside(metrics_socket, admin_socket);
        gateway.in_force(&config);
        gateway.began(&config);
        gateway.health.set_started();
        Ok(gateway)
    }

    /// Starts the tasks that run beside the traffic for as long as the gateway does.
    fn spawn_beside(&mut self, metrics: Option<TcpListener>, admin: Option<Socket>) {
        if let Some(socket) = metrics {
            let socket = Arc::new(Socket::Tcp(socket));
            let (metrics, health) = (Arc::clone(&self.metrics), Arc::clone(&self.health));
            let stop = self.stop.clone();
            self.tasks.start(Task::Metrics, move || {
                let (socket, stop) = (Arc::clone(&socket), stop.clone());
                let (metrics, health) = (Arc::clone(&metrics), Arc::clone(&health));
                async move { server::serve(&socket, metrics, health, stop).await }
            });
        }
        if let Some(socket) = admin {
            let (socket, control) = (Arc::new(socket), self.control.clone());
            let stop = self.stop.clone();
            self.tasks.start(Task::Admin, move || {
                let (socket, stop) = (Arc::clone(&socket), stop.clone());
                let control = control.clone();
                async move { api::serve(&socket, control, stop).await }
            });
        }
        let (hub, metrics) = (Arc::clone(&self.hub), Arc::clone(&self.metrics));
        let stop = self.stop.clone();
        self.rollouts
            .start(Task::Rollouts, move || rollouts::run(Arc::clone(&hub), Arc::clone(&metrics), stop.clone()));
        let keeper = self.keeper.clone();
        self.tasks.start(Task::LastGood, move || keeper.clone().again());
        let (retired, metrics) = (self.retired.clone(), Arc::clone(&self.metrics));
        let config_thread = self.config_thread.handle();
        self.tasks
            .start(Task::OldConfigurations, move || retired.clone().sweep(Arc::clone(&metrics), config_thread.clone()));
    }

    /// Where each listener accepts, by name.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        self.listeners.addresses()
    }

    /// Where `/metrics` and the health paths are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Where the admin API is.
    #[must_use]
    pub fn admin_address(&self) -> Option<&AdminAddress> {
        self.admin_address.as_ref()
    }

    /// What operators look at while it happens.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.logs.live
    }

    /// The live side of a route's split.
    #[must_use]
    pub fn split(&self, route: &str) -> Option<Arc<RolloutControl>> {
        let snapshot = self.hub.current();
        snapshot.route(route)?.split.clone()
    }

    /// Cancelled when a worker thread has ended by a defect. Part of the traffic goes nowhere then: drain and start
    /// again.
    #[must_use]
    pub fn lost(&self) -> CancellationToken {
        self.workers.lost()
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.hub.current().config)
    }

    /// Re-reads certificates whose files changed, at once rather than at the next look.
    pub async fn refresh_certificates(&self) {
        certificates::refresh(&self.listeners.shared(), &self.metrics).await;
    }

    /// Counts lines that are lost on the way to standard error.
    pub fn count_lost_lines(&self, stderr: &Stderr) {
        stderr.count_in(self.metrics.log_lines_lost());
    }

    /// Fails readiness, waits for `drainDelay`, stops accepting, waits for exchanges to end within their time limits
    /// and cuts the rest. `hurry` ends the waiting at once.
    pub async fn shutdown(mut self, hurry: CancellationToken) -> Drained {
        self.inbox.close();
        let shutdown = self.config().shutdown;
        let Shutdown { drain_delay, drain_timeout, .. } = shutdown;
        let stream_grace = shutdown.stream_grace();
        self.health.set_draining();
        self.metrics.draining().set(1);
        wait(drain_delay, &hurry).await;
        self.listeners.let_go();
        let mut drained = self.workers.drain().await;
        let (first, second) = (drain_timeout.min(stream_grace), drain_timeout.max(stream_grace));
        let mut cut = 0;
        if !finished(&mut drained, first, &hurry).await {
            let what = match (hurry.is_cancelled(), drain_timeout.cmp(&stream_grace)) {
                (true, _) | (_, std::cmp::Ordering::Equal) => worker::Cut::Everything,
                (_, std::cmp::Ordering::Less) => worker::Cut::Ordinary,
                (_, std::cmp::Ordering::Greater) => worker::Cut::Streams,
            };
            if what != worker::Cut::Ordinary {
                self.say_farewell(&mut drained, &hurry).await;
            }
            cut += self.workers.cut(what).await;
            if what != worker::Cut::Everything && !finished(&mut drained, second - first, &hurry).await {
                self.say_farewell(&mut drained, &hurry).await;
                cut += self.workers.cut(worker::Cut::Everything).await;
            }
        }
        self.stop.cancel();
        self.workers.stop().await;
        if timeout(STATE_WRITE, self.rollouts.ended()).await.is_err() {
            tracing::warn!("the state file could not be written in time");
        }
        self.logs.close().await;
        Drained { cut }
    }

    /// Lets streams say to their clients that their time is over, which takes a moment.
    async fn say_farewell(&self, drained: &mut worker::Drain, hurry: &CancellationToken) {
        if !hurry.is_cancelled() && self.workers.farewell().await {
            let _over = finished(drained, FAREWELL, hurry).await;
        }
    }
}

/// How long a last word may take to leave.
const FAREWELL: Duration = Duration::from_millis(250);

/// A socket that nobody accepts from keeps its clients waiting.
fn tell_unused(inherited: &Inherited, config: &Config) {
    let listeners: Vec<_> = config.listeners.iter().map(|listener| listener.address).collect();
    for address in inherited.beside(&listeners) {
        tracing::warn!(%address, "a socket was handed over for an address that no listener has: clients wait there in vain");
    }
}

async fn bind_metrics(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Error> {
    let Some(address) = address else {
        return Ok(None);
    };
    TcpListener::bind(address).await.map(Some).map_err(|source| Error::Metrics { address, source })
}

fn probes(hub: &Arc<Hub>, lost: CancellationToken) -> Health {
    let hub = Arc::clone(hub);
    Health::new(move || {
        let snapshot = hub.current();
        let lost = lost.is_cancelled().then(|| Check {
            name: "workers".to_owned(),
            status: Status::Failing,
            detail: "a worker thread has ended".to_owned(),
        });
        let required = snapshot.config.readiness.requires_clusters();
        let clusters = snapshot.clusters.iter().map(|cluster| clusters::check(cluster, required));
        lost.into_iter().chain(clusters).collect()
    })
}

/// Waits for every worker to report that nothing is under way; false when `limit` or `hurry` came first.
async fn finished(drained: &mut worker::Drain, limit: Duration, hurry: &CancellationToken) -> bool {
    tokio::select! {
        () = drained.wait() => true,
        () = wait(limit, hurry) => false,
    }
}

async fn wait(limit: Duration, hurry: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(limit) => {}
        () = hurry.cancelled() => {}
    }
}

/// Time for the first answers of DNS; a start is not held up longer.
const FIRST_RESOLUTION: Duration = Duration::from_secs(3);
/// Time to write down how far rollouts are.
const STATE_WRITE: Duration = Duration::from_secs(2);
/// Time to write the rest of a log.
const LOG_CLOSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
