//! What the admin API needs of a gateway: its state, and a queue of commands. The gateway runs the commands one by one,
//! so that none interleaves with a reload.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::audit;
use super::cache::Cache;
use super::health::Health;
use super::journal::{Entry, Journal, Trigger};
use super::refusals::Refusals;
use super::traffic::TrafficBook;
use crate::cluster::{EndpointRefusal, EndpointVerb};
use crate::config::Report;
use crate::observe::audit::Auditor;
use crate::observe::live::Live;
use crate::observe::metrics::Metrics;
use crate::snapshot::{Hub, Snapshot};

/// Orders that may wait; more are refused.
const QUEUE: usize = 16;

/// Something the gateway is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Read the configuration again and put it in force.
    Reload {
        /// What asks for it.
        trigger: Trigger,
        /// Where the outcome goes.
        done: oneshot::Sender<Done>,
    },
    /// Do something to endpoints. A reload that is under way would not see it, and two at once not each other.
    Endpoint(EndpointCommand),
}

/// Something to do to endpoints, and who waits for it.
#[derive(Debug)]
pub struct EndpointCommand {
    order: EndpointOrder,
    auditor: Arc<Auditor>,
    done: oneshot::Sender<Result<Vec<SocketAddr>, EndpointRefusal>>,
}

/// What an operator wants of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointOrder {
    /// The cluster.
    pub cluster: String,
    /// Address of an endpoint, or its name for all addresses of the name.
    pub endpoint: String,
    /// What is done.
    pub verb: EndpointVerb,
    /// Who wants it, for the audit log.
    pub by: String,
    /// Why, for the audit log; empty for no reason.
    pub reason: String,
}

impl EndpointCommand {
    /// Carries it out on the configuration in force, writes that down and answers, unless nobody waits for that any
    /// more: who was told that there is no answer must not get his way later.
    pub fn carry_out(self, snapshot: &Snapshot, now: Instant) {
        if self.done.is_closed() {
            return;
        }
        let EndpointOrder { cluster, endpoint, verb, by, reason } = &self.order;
        let found = snapshot.clusters.iter().find(|known| *known.name == **cluster);
        let outcome = found.map_or(Err(EndpointRefusal::NoCluster), |cluster| cluster.operate(endpoint, *verb, now));
        if let Ok(addresses) = &outcome {
            // Here and not where the answer is made: who asked may leave before that.
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let detail = format!("{cluster} {} {reason}", addresses.join(" "));
            audit::changed(&self.auditor, snapshot, verb.word(), by, None, detail.trim_end());
        }
        self.done.send(outcome).ok();
    }
}

/// The result of a reload.
#[derive(Clone, Debug)]
pub struct Done {
    /// The facts.
    pub entry: Entry,
    /// Everything that was found in the files; `None` when they were not the problem.
    pub report: Option<Arc<Report>>,
}

/// Why an order was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// Too many wait already.
    #[error("too many orders wait already")]
    Busy,
    /// The gateway ends.
    #[error("the gateway is stopping")]
    Stopping,
}

/// A gateway as its admin API sees it.
#[derive(Clone, Debug)]
pub struct AdminControl {
    /// The configuration in force and what is built from it.
    pub hub: Arc<Hub>,
    /// Whether it is started, ready, draining.
    pub health: Arc<Health>,
    /// The last attempts to take a configuration.
    pub journal: Arc<Journal>,
    /// Counters of what operators do.
    pub metrics: Arc<Metrics>,
    /// Where what operators do is written down.
    pub auditor: Arc<Auditor>,
    /// What operators look at while it happens.
    pub live: Arc<Live>,
    pub(super) traffic: Arc<TrafficBook>,
    /// What dashboards show.
    pub(super) state: Arc<Cache>,
    pub(super) refusals: Arc<Refusals>,
    orders: mpsc::Sender<Command>,
}

impl AdminControl {
    /// A control and the queue its orders arrive in.
    #[must_use]
    pub fn new(
        hub: Arc<Hub>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        auditor: Arc<Auditor>,
        live: Arc<Live>,
    ) -> (Self, mpsc::Receiver<Command>) {
        let (orders, inbox) = mpsc::channel(QUEUE);
        let control = Self {
            hub,
            health,
            journal: Arc::default(),
            metrics,
            auditor,
            live,
            traffic: Arc::default(),
            state: Arc::default(),
            refusals: Arc::default(),
            orders,
        };
        (control, inbox)
    }

    /// Has the configuration read again and waits until it is in force or refused.
    ///
    /// # Errors
    /// When the order was not taken. Dropping the future does not take it back.
    pub async fn reload(&self, trigger: Trigger) -> Result<Done, NotDone> {
        self.order(|done| Command::Reload { trigger, done }).await
    }

    /// Has something done to endpoints and waits for the outcome: their addresses, or why nothing was done.
    ///
    /// # Errors
    /// When the order was not taken. Dropping the future takes it back as long as it waits.
    pub async fn operate(&self, order: EndpointOrder) -> Result<Result<Vec<SocketAddr>, EndpointRefusal>, NotDone> {
        let auditor = Arc::clone(&self.auditor);
        self.order(|done| Command::Endpoint(EndpointCommand { order, auditor, done })).await
    }

    async fn order<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, NotDone> {
        let (done, outcome) = oneshot::channel();
        let sent = self.orders.try_send(command(done));
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotDone::Busy,
            mpsc::error::TrySendError::Closed(_) => NotDone::Stopping,
        })?;
        outcome.await.map_err(|_gone| NotDone::Stopping)
    }
}
