//! What operators do to endpoints while the gateway runs: take one out of service, bring it back, end its ejection.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

use super::Cluster;
use super::endpoint::{Endpoint, is_usable};
use super::roster::Roster;

/// Something to do to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointVerb {
    /// It gets nothing new, and what runs on it may end. `force` also takes the last one out that can be used.
    Drain {
        /// Whether nothing need be left.
        force: bool,
    },
    /// It is in service again.
    Undrain,
    /// It is not ejected any more.
    Uneject,
}

impl EndpointVerb {
    /// The word of the API and of the audit log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drain { .. } => "drain",
            Self::Undrain => "undrain",
            Self::Uneject => "uneject",
        }
    }
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointRefusal {
    /// There is no cluster of that name.
    #[error("there is no such cluster")]
    NoCluster,
    /// There is none of that address or name.
    #[error("the cluster has no such endpoint")]
    Unknown,
    /// Nothing else could take the load.
    #[error("no other endpoint of the cluster can be used; `force=true` drains it all the same")]
    LastOne,
    /// It drains already.
    #[error("it drains already")]
    Draining,
    /// No operator drained it.
    #[error("no operator drained it")]
    NotDraining,
    /// It is not ejected.
    #[error("it is not ejected")]
    NotEjected,
}

impl Cluster {
    /// Does it to the endpoints of this address or configured name; returns their addresses.
    ///
    /// # Errors
    /// When it cannot be done; nothing has changed then.
    pub fn operate(
        &self,
        endpoint: &str,
        verb: EndpointVerb,
        now: Instant,
    ) -> Result<Vec<SocketAddr>, EndpointRefusal> {
        // Who else can be used must not change before this does.
        let mut roster = self.roster();
        let members = self.members();
        let address: Option<SocketAddr> = endpoint.parse().ok();
        let is_meant = |one: &Endpoint| Some(one.address) == address || *one.name == *endpoint;
        let meant: Vec<Arc<Endpoint>> = members.endpoints.iter().filter(|one| is_meant(one)).cloned().collect();
        if meant.is_empty() {
            return Err(EndpointRefusal::Unknown);
        }
        let addresses = meant.iter().map(|endpoint| endpoint.address).collect();
        match verb {
            EndpointVerb::Drain { force } => {
                let has_others = members.endpoints.iter().any(|one| !is_meant(one) && is_usable(one, now));
                if !force && !has_others {
                    return Err(EndpointRefusal::LastOne);
                }
                self.set_drained(&mut roster, &meant, true, now).then_some(addresses).ok_or(EndpointRefusal::Draining)
            }
            EndpointVerb::Undrain => self
                .set_drained(&mut roster, &meant, false, now)
                .then_some(addresses)
                .ok_or(EndpointRefusal::NotDraining),
            EndpointVerb::Uneject => {
                let ejected: Vec<_> = meant.iter().filter(|endpoint| endpoint.is_ejected(now)).collect();
                if ejected.is_empty() {
                    return Err(EndpointRefusal::NotEjected);
                }
                for endpoint in &ejected {
                    endpoint.pardon(now);
                    info!(cluster = %self.name, endpoint = %endpoint.address, "an operator ended an ejection");
                }
                Ok(ejected.iter().map(|endpoint| endpoint.address).collect())
            }
        }
    }

    /// Whether that changed anything.
    fn set_drained(&self, roster: &mut Roster, endpoints: &[Arc<Endpoint>], drained: bool, now: Instant) -> bool {
        let changed = endpoints.iter().filter(|endpoint| roster.set_drained(endpoint, drained)).count();
        if changed > 0 {
            self.settle(roster, now);
            info!(cluster = %self.name, endpoints = changed, drained, "an operator changed who is in service");
        }
        changed > 0
    }

    /// Whether an operator took this endpoint out of service.
    pub(super) fn is_drained(&self, endpoint: &Endpoint) -> bool {
        self.roster().is_drained(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::discovery::dns::Resolutions;
    use super::super::tests::{build, settings, socket};
    use super::*;
    use crate::outcome::{Outcome, Transport};

    fn cluster(addresses: &[&str], previous: Option<&Cluster>) -> Cluster {
        let members = addresses.iter().map(|address| socket(address, 3)).collect();
        build(settings(members), previous, &Resolutions::new())
    }

    fn weights(cluster: &Cluster) -> Vec<u32> {
        cluster.members().endpoints.iter().map(|endpoint| endpoint.weight).collect()
    }

    const DRAIN: EndpointVerb = EndpointVerb::Drain { force: false };

    #[test]
    fn a_drained_endpoint_gets_nothing_new_over_reloads_until_it_is_back() {
        let (before, now) = (cluster(&["10.0.0.1:80", "10.0.0.2:80"], None), Instant::now());
        assert_eq!(before.operate("10.0.0.1:80", DRAIN, now).unwrap().len(), 1);
        assert_eq!(before.operate("10.0.0.1:80", DRAIN, now), Err(EndpointRefusal::Draining));
        assert_eq!(weights(&before), [0, 3]);
        let after = cluster(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"], Some(&before));
        assert_eq!(weights(&after), [0, 3, 3]);
        after.operate("10.0.0.1:80", EndpointVerb::Undrain, now).unwrap();
        assert_eq!(weights(&after), [3, 3, 3]);
        assert!(after.members().endpoints[0].is_warming(Duration::from_secs(30), now), "it joins again");
        assert_eq!(after.operate("10.0.0.1:80", EndpointVerb::Undrain, now), Err(EndpointRefusal::NotDraining));
    }

    #[test]
    fn a_drain_ends_when_its_endpoint_is_configured_no_more() {
        let (before, now) = (cluster(&["10.0.0.1:80", "10.0.0.2:80"], None), Instant::now());
        before.operate("10.0.0.1:80", DRAIN, now).unwrap();
        let without = cluster(&["10.0.0.2:80"], Some(&before));
        let again = cluster(&["10.0.0.1:80", "10.0.0.2:80"], Some(&without));
        assert_eq!(weights(&again), [3, 3], "another may have the address now");
    }

    #[test]
    fn the_last_one_stays_unless_it_is_forced() {
        let (cluster, now) = (cluster(&["10.0.0.1:80", "10.0.0.2:80"], None), Instant::now());
        cluster.operate("10.0.0.1:80", DRAIN, now).unwrap();
        assert_eq!(cluster.operate("10.0.0.2:80", DRAIN, now), Err(EndpointRefusal::LastOne));
        assert_eq!(cluster.operate("10.0.0.9:80", DRAIN, now), Err(EndpointRefusal::Unknown));
        cluster.operate("10.0.0.2:80", EndpointVerb::Drain { force: true }, now).unwrap();
        assert_eq!(weights(&cluster), [0, 0]);
    }

    #[test]
    fn of_two_drains_at_once_one_leaves_the_other_endpoint() {
        for _ in 0..300 {
            let (cluster, now) = (cluster(&["10.0.0.1:80", "10.0.0.2:80"], None), Instant::now());
            let both = std::sync::Barrier::new(2);
            let drain = |address| {
                both.wait();
                cluster.operate(address, DRAIN, now).is_ok()
            };
            let drained = std::thread::scope(|scope| {
                let other = scope.spawn(|| drain("10.0.0.2:80"));
                [drain("10.0.0.1:80"), other.join().unwrap()]
            });
            assert!(drained == [true, false] || drained == [false, true], "{drained:?}");
        }
    }

    #[test]
    fn an_ejection_is_ended_by_hand() {
        let (cluster, now) = (cluster(&["10.0.0.1:80", "10.0.0.2:80"], None), Instant::now());
        let endpoint = Arc::clone(&cluster.members().endpoints[0]);
        assert_eq!(cluster.operate("10.0.0.1:80", EndpointVerb::Uneject, now), Err(EndpointRefusal::NotEjected));
        for _ in 0..10 {
            cluster.detector.report(&endpoint, Outcome::ended(Transport::ConnectFailed), None, now);
        }
        let status = cluster.status();
        assert_eq!(
            (status.endpoints[0].ejected_by, status.endpoints[0].ejections),
            (Some("consecutive_gateway_errors"), 1)
        );
        assert!(status.endpoints[0].ejected_for.is_some());
        cluster.operate("10.0.0.1:80", EndpointVerb::Uneject, now).unwrap();
        assert!(!endpoint.is_ejected(now));
        let status = cluster.status();
        assert_eq!((status.endpoints[0].ejected_by, status.endpoints[0].ejections), (None, 1), "how often is kept");
    }
}
