//! The names of one cluster: what is known about each, and which is to be asked for next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::super::Discovered;
use super::answer::{Error, Resolutions, ResolvedName};
use super::resolution::{Resolution, Stale};
use crate::cluster::status::NameStatus;
use crate::config::model::{Cluster, Member, MemberAddress};

/// The state of every name. Requests never look at it.
#[derive(Debug)]
pub(in crate::cluster) struct Names {
    /// Replaces the answers' time to live.
    refresh: Option<Duration>,
    known: Mutex<BTreeMap<String, Resolution>>,
}

impl Names {
    /// Those of `settings`. Names that were not resolved now keep the addresses they had in `previous`.
    pub(in crate::cluster) fn build(settings: &Cluster, previous: Option<&Self>, resolutions: &Resolutions) -> Self {
        let mut known = BTreeMap::new();
        for host in hosts(settings) {
            let before = previous.and_then(|previous| previous.known().get(host).cloned());
            let mut resolution = before.unwrap_or_else(|| Resolution::unknown(Instant::now()));
            if let Some(outcome) = resolutions.get(host) {
                resolution.record(outcome, settings.dns_refresh, Instant::now(), SystemTime::now());
            }
            known.insert(host.to_owned(), resolution);
        }
        Self { refresh: settings.dns_refresh, known: Mutex::new(known) }
    }

    /// The endpoints that the last answers give to an entry of the configuration.
    pub(in crate::cluster) fn found(&self, member: &Member, host: &str, port: u16) -> Vec<Discovered> {
        // A final dot means "no search list" to DNS; in SNI and Host it is wrong.
        let name: Arc<str> = format!("{}:{port}", host.trim_end_matches('.')).into();
        let known = self.known();
        let addresses = known.get(host).map_or(&[][..], Resolution::addresses).iter();
        addresses.map(|ip| Discovered::of(member, SocketAddr::new(*ip, port), Arc::clone(&name))).collect()
    }

    /// What they look like right now.
    pub(in crate::cluster) fn status(&self) -> Vec<NameStatus> {
        self.known().iter().map(|(host, resolution)| resolution.status(host)).collect()
    }

    /// What to ask for next, other than the names that were asked for; `None` when there are no others.
    pub(super) fn due(&self, now: Instant, asked: &BTreeSet<String>) -> Option<Due> {
        let known = self.known();
        let others = || known.iter().filter(|(host, _)| !asked.contains(*host));
        let next = others().map(|(_, resolution)| resolution.due()).min()?;
        if next > now {
            return Some(Due::At(next));
        }
        let due = others().filter(|(_, resolution)| resolution.due() <= now);
        Some(Due::Now(due.map(|(host, _)| host.clone()).collect()))
    }

    /// What of the last answer for this name was not there.
    pub(super) fn stale(&self, host: &str) -> Option<Stale> {
        self.known().get(host).and_then(Resolution::stale)
    }

    /// Takes in the outcome of a question. Returns whether the addresses changed.
    pub(super) fn record(&self, host: &str, outcome: &Result<ResolvedName, Error>) -> bool {
        let mut known = self.known();
        let resolution = known.get_mut(host);
        resolution.is_some_and(|resolution| resolution.record(outcome, self.refresh, Instant::now(), SystemTime::now()))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Resolution>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When names are to be resolved.
#[derive(Debug)]
pub(super) enum Due {
    /// These, now.
    Now(Vec<String>),
    /// None before this.
    At(Instant),
}

/// The names a cluster needs resolved, each once.
pub(super) fn hosts(settings: &Cluster) -> BTreeSet<&str> {
    let mut hosts = BTreeSet::new();
    for member in &settings.members {
        if let MemberAddress::Name { host, .. } = &member.address {
            hosts.insert(host.as_str());
        }
    }
    hosts
}
