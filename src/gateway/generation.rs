//! The tasks that belong to one configuration: started when it comes into force, ended with the one after it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::supervise::{Task, Tasks};
use super::{Gateway, abuse, affinity, auth_loads, certificates, issuer_keys, limits};
use crate::a2a::card::SignedCards;
use crate::cluster::health::CardPlaces;
use crate::cluster::watch::watch;
use crate::cluster::{discovery::dns, health};
use crate::config::model::{Config, HostPattern, ProbeKind, Route};
use crate::observe::handles::HealthHandles;
use crate::pool::{ClientTls, DialLimits, Dialer, Version};

impl Gateway {
    /// Starts the tasks of the configuration that just came into force, and ends those of the one before.
    pub(super) fn in_force(&mut self, config: &Config) {
        let mut generation = Tasks::new(&self.metrics);
        let snapshot = self.hub.current();
        for (cluster, tls) in snapshot.clusters.iter().zip(&snapshot.tls) {
            cluster.enter_into_force(Instant::now());
            let resolving = (Arc::clone(cluster), Arc::clone(&self.metrics));
            let resolver = self.resolver.clone();
            generation.start(Task::Dns, move || {
                let (cluster, metrics) = resolving.clone();
                dns::refresh(cluster, resolver.clone(), metrics)
            });
            if let Some(check) = &cluster.settings.health_check {
                let limits = DialLimits::each(check.limit());
                let (cluster, metrics) = (Arc::clone(cluster), Arc::clone(&self.metrics));
                let mut dialer = Dialer { version: cluster.settings.protocol.into(), tls: tls.clone(), limits };
                if check.kind == ProbeKind::Grpc && cluster.settings.has_grpc() {
                    dialer = Dialer { version: Version::Http2, tls: tls.as_ref().map(ClientTls::only_http2), limits };
                }
                let places = match check.kind {
                    ProbeKind::AgentCard => card_places(config, &cluster.name),
                    ProbeKind::Http | ProbeKind::Tcp | ProbeKind::Grpc => CardPlaces::default(),
                };
                generation.start(Task::Health, move || {
                    let dialer = dialer.clone();
                    let handles = HealthHandles::new(&metrics, &cluster.name, &health::RESULTS);
                    health::watch(Arc::clone(&cluster), dialer, handles, places.clone(), fastrand::Rng::new())
                });
            }
        }
        let (clusters, metrics) = (snapshot.clusters.clone(), Arc::clone(&self.metrics));
        generation.start(Task::Clusters, move || watch(clusters.clone(), Arc::clone(&metrics)));
        let (clusters, metrics) = (snapshot.clusters.clone().into(), Arc::clone(&self.metrics));
        let table = Arc::clone(&snapshot.agents.affinity);
        generation.start(Task::Affinity, move || {
            affinity::watch(Arc::clone(&clusters), Arc::clone(&table), Arc::clone(&metrics))
        });
        let (swept, metrics) = (Arc::clone(&snapshot), Arc::clone(&self.metrics));
        generation.start(Task::Abuse, move || abuse::watch(Arc::clone(&swept), Arc::clone(&metrics)));
        for (provider, keys) in snapshot.auth.remote_keys() {
            let (provider, keys, metrics) = (provider.into(), Arc::clone(keys), Arc::clone(&self.metrics));
            generation.start(Task::IssuerKeys, move || {
                issuer_keys::keep(Arc::clone(&provider), Arc::clone(&keys), Arc::clone(&metrics))
            });
        }
        let (shown, metrics) = (Arc::clone(&snapshot), Arc::clone(&self.metrics));
        generation.start(Task::AuthLoads, move || auth_loads::show(Arc::clone(&shown), Arc::clone(&metrics)));
        let metrics = Arc::clone(&self.metrics);
        generation.start(Task::RateLimits, move || limits::sweep(Arc::clone(&snapshot), Arc::clone(&metrics)));
        let (listeners, metrics) = (self.listeners.shared(), Arc::clone(&self.metrics));
        let said = Arc::clone(&self.said_of_certificates);
        generation.start(Task::Certificates, move || {
            certificates::watch(listeners.clone(), Arc::clone(&metrics), Arc::clone(&said))
        });
        self.order_certificates();
        self.generation = generation;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        self.metrics.config_accepted(&config.hash, i64::try_from(now).unwrap_or(i64::MAX));
        self.health.set_config_hash(&config.hash);
    }
}

#[cfg(feature = "acme")]
impl Gateway {
    /// Has ordered the certificates that listeners want ordered. The task that does begins with the first of them, and
    /// is not one of a generation: a reload does not end it.
    fn order_certificates(&mut self) {
        let is_any = self.orders.want(self.listeners.shared(), &self.hub.current().challenges, &self.metrics);
        if is_any && !std::mem::replace(&mut self.is_ordering, true) {
            let (orders, metrics) = (self.orders.clone(), Arc::clone(&self.metrics));
            self.tasks.start(Task::Acme, move || orders.clone().run(Arc::clone(&metrics)));
        }
    }
}

#[cfg(not(feature = "acme"))]
impl Gateway {
    #[allow(clippy::unused_self, reason = "as where they are ordered")]
    fn order_certificates(&mut self) {}
}

/// What the routes to a cluster make of the cards of its agents.
fn card_places(config: &Config, cluster: &str) -> CardPlaces {
    let leads = |route: &&Arc<Route>| config.clusters_of(route).any(|one| *one.name == *cluster);
    let mut places = CardPlaces::default();
    let listeners = config.listeners.iter().filter_map(|listener| listener.public_url.as_deref());
    places.public.extend(listeners.map(|url| url.host().to_ascii_lowercase()));
    for route in config.routes.iter().filter(leads) {
        let card = route.agent_card();
        places.unmapped |= card.is_none();
        places.keeps_signed |= card.is_some_and(|card| card.signed_cards == SignedCards::Keep);
        let urls = route.public_url.as_deref().into_iter().chain(card.and_then(|card| card.public_url.as_deref()));
        places.public.extend(urls.map(|url| url.host().to_ascii_lowercase()));
        let exact = route.hosts.iter().filter_map(|host| match host {
            HostPattern::Exact(host) => Some(host.clone()),
            HostPattern::Wildcard(_) => None,
        });
        places.public.extend(exact);
    }
    places
}
