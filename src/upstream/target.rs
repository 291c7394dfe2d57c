//! A cluster as one worker sees it: its own copy of the members, refreshed when their generation moves on, with a lane each.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lane::{Lane, Lanes};
use crate::cluster::{Cluster, EndpointId, Members, PickRequest, Stance, Terms};
use crate::config::model::{LoadBalancer, UpstreamProtocol};
use crate::observe::handles::ClusterHandles;
use crate::pool::{ClientTls, TlsError, Transport, Version};

/// Why a cluster cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cluster `{cluster}`")]
pub struct TargetError {
    /// Its name.
    pub cluster: String,
    /// What is wrong.
    #[source]
    pub source: TlsError,
}

/// A cluster with this worker's lanes to its endpoints.
#[derive(Debug)]
pub struct Target {
    cluster: Arc<Cluster>,
    transport: Rc<Transport>,
    lanes: Rc<Lanes>,
    members: RefCell<Rc<Local>>,
    terms: Terms,
    turn: Cell<usize>,
}

#[derive(Debug)]
struct Local {
    members: Arc<Members>,
    generation: u64,
    lanes: Vec<Rc<Lane>>,
    /// Where the cluster stood, and when that was.
    stance: Cell<Option<(Stance, Instant)>>,
}

impl Target {
    /// This worker's view of `cluster`.
    #[must_use]
    pub fn new(
        cluster: Arc<Cluster>,
        tls: Option<ClientTls>,
        lanes: Rc<Lanes>,
        handles: ClusterHandles,
        turn: usize,
    ) -> Self {
        let settings = &cluster.settings;
        let version = match settings.protocol {
            UpstreamProtocol::Http1 => Version::Http1,
            UpstreamProtocol::H2 | UpstreamProtocol::H2c => Version::Http2,
            UpstreamProtocol::Auto => Version::Negotiated,
        };
        let transport = Rc::new(Transport {
            version,
            tls,
            connect_timeout: settings.connect_timeout,
            handshake_timeout: settings.handshake_timeout,
            idle_timeout: settings.idle_timeout,
            max_idle: settings.max_idle,
            handles,
        });
        let local = Rc::new(local(&cluster, &lanes, &transport));
        Self {
            terms: Terms::from(&*cluster.settings),
            cluster,
            transport,
            lanes,
            members: RefCell::new(local),
            turn: Cell::new(turn),
        }
    }

    /// TLS settings for a cluster, if it uses TLS.
    ///
    /// # Errors
    /// When its files cannot be used.
    pub fn tls(cluster: &Cluster) -> Result<Option<ClientTls>, TargetError> {
        let settings = &cluster.settings;
        let build = |tls| ClientTls::build(tls, settings.protocol);
        settings
            .tls
            .as_ref()
            .map(build)
            .transpose()
            .map_err(|source| TargetError {
                cluster: settings.name.clone(),
                source,
            })
    }

    /// Metric handles of the cluster.
    #[must_use]
    pub fn handles(&self) -> &ClusterHandles {
        &self.transport.handles
    }

    /// Load-balancing policy.
    #[must_use]
    pub fn policy(&self) -> &LoadBalancer {
        &self.cluster.settings.load_balancer
    }

    /// Chooses an endpoint.
    pub(super) fn pick(
        &self,
        hash: Option<u64>,
        tried: &[EndpointId],
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> Option<Rc<Lane>> {
        let local = self.current();
        let known = local.stance.get();
        let recent = known.filter(|(_, at)| now.saturating_duration_since(*at) < STANCE_AGE);
        let mut stance = recent.map_or_else(|| local.look(&self.terms, now), |(stance, _)| stance);
        let mut choose = |stance| {
            let request = PickRequest {
                hash,
                tried,
                stance,
                now,
            };
            local.members.pick(self.policy(), &request, rng, &self.turn)
        };
        let mut choice = choose(stance);
        if choice.is_none() && recent.is_some() {
            // The last usable one may just have gone, or one may just be back.
            stance = local.look(&self.terms, now);
            choice = choose(stance);
        }
        local.lanes.get(choice?).map(Rc::clone)
    }

    fn current(&self) -> Rc<Local> {
        let mut members = self.members.borrow_mut();
        if members.generation != self.cluster.generation() {
            *members = Rc::new(local(&self.cluster, &self.lanes, &self.transport));
        }
        Rc::clone(&members)
    }
}

impl Local {
    fn look(&self, terms: &Terms, now: Instant) -> Stance {
        let stance = self.members.stance(terms, now);
        self.stance.set(Some((stance, now)));
        stance
    }
}

/// How long a worker goes by what it found out about a cluster as a whole.
const STANCE_AGE: Duration = Duration::from_millis(50);

fn local(cluster: &Cluster, lanes: &Lanes, transport: &Rc<Transport>) -> Local {
    let members = cluster.members();
    let lanes = members
        .endpoints
        .iter()
        .map(|endpoint| lanes.lane(endpoint, &cluster.judge, transport))
        .collect();
    Local {
        generation: members.generation,
        members,
        lanes,
        stance: Cell::new(None),
    }
}
