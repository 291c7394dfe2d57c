//! The routing table: built once per snapshot, asked once per request. Precedence is the Gateway API's and does not
//! depend on the order of the file: the host decides first, then the path, then the other conditions, then the name.

use std::borrow::{Borrow, Cow};
use std::cmp::Reverse;
use std::net::Ipv6Addr;

use super::condition::{Conditions, Facts, Miss};
use super::index::{Hosts, suffixes};
use super::path_match::{canonical_path, path_rank};
use crate::config::model::{HostPattern, ListenerId, PathMatch, Route, RouteId};

/// The routes of a snapshot, indexed by listener, host and path. Immutable.
#[derive(Debug)]
pub struct Table {
    /// By [`ListenerId`].
    listeners: Vec<Hosts>,
    /// By the numbers the indexes hand out, best first on the same host.
    conditions: Vec<Conditions>,
    /// As `conditions`; only [`Table::explain`] reads it.
    origins: Vec<Origin>,
}

/// The route of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The route.
    pub route: RouteId,
    /// Which of its alternatives matched: an index into [`Route::matches`].
    pub matched: usize,
}

/// One alternative a request was held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// The route.
    pub route: RouteId,
    /// Its name.
    pub name: String,
    /// An index into [`Route::matches`].
    pub matched: usize,
    /// The first reason why it does not match; none when it does. The first without one is what [`Table::find`] finds.
    pub miss: Option<Miss>,
}

/// Where an alternative comes from.
#[derive(Debug)]
struct Origin {
    name: String,
    listeners: Vec<ListenerId>,
    hosts: Vec<HostPattern>,
    path: PathMatch,
}

impl Table {
    /// Indexes `routes`, whose positions are their [`RouteId`]s.
    #[must_use]
    pub fn build<R: Borrow<Route>>(routes: &[R]) -> Self {
        let mut alternatives: Vec<(Conditions, Origin)> =
            routes.iter().enumerate().flat_map(|(at, route)| alternatives_of(RouteId(at), route.borrow())).collect();
        alternatives.sort_by(|(left, left_origin), (right, right_origin)| {
            path_rank(&left_origin.path)
                .cmp(&path_rank(&right_origin.path))
                .then_with(|| left.rank().cmp(&right.rank()))
                .then_with(|| left_origin.name.cmp(&right_origin.name))
                .then_with(|| left.matched.cmp(&right.matched))
        });
        let (conditions, origins): (Vec<_>, Vec<_>) = alternatives.into_iter().unzip();
        Self { listeners: index(&origins), conditions, origins }
    }

    /// The route of a request that came in through `listener`. A request that fails the conditions of the most specific
    /// candidate falls through to the next, also to a less specific host.
    #[must_use]
    pub fn find(&self, listener: ListenerId, facts: &Facts<'_>) -> Option<Found> {
        let holds = |at: usize| self.conditions.get(at).is_some_and(|conditions| conditions.hold(facts));
        let found = self.listeners.get(listener.0)?.find(facts.host, facts.path, holds)?;
        let conditions = self.conditions.get(found)?;
        Some(Found { route: conditions.route, matched: conditions.matched })
    }

    /// Every alternative behind `listener` in order of precedence, those of other hosts last. Its cost grows with the
    /// number of routes, so only `explain` uses it, never a request.
    #[must_use]
    pub fn explain(&self, listener: ListenerId, facts: &Facts<'_>) -> Vec<Considered> {
        let pairs = self.conditions.iter().zip(&self.origins);
        let mut considered: Vec<_> = pairs
            .filter(|(_, origin)| origin.listeners.contains(&listener))
            .map(|(conditions, origin)| {
                let host = origin.host_rank(facts.host);
                let miss = match host {
                    None => Some(Miss::Host),
                    Some(_) if !origin.path.holds(facts.path) => Some(Miss::Path),
                    Some(_) => conditions.miss(facts),
                };
                let (route, matched) = (conditions.route, conditions.matched);
                (host, Considered { route, name: origin.name.clone(), matched, miss })
            })
            .collect();
        // Stable: on the same host the order of the table stays.
        considered.sort_by_key(|(host, _)| Reverse(*host));
        considered.into_iter().map(|(_, considered)| considered).collect()
    }
}

impl Origin {
    /// How well the route's hosts fit: not at all, as one of every host, by a wildcard of some length, exactly.
    fn host_rank(&self, host: &str) -> Option<usize> {
        if self.hosts.is_empty() {
            return Some(0);
        }
        let rank = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(name) => (name == host).then_some(usize::MAX),
            HostPattern::Wildcard(suffix) => suffixes(host).any(|end| end == suffix).then(|| suffix.len() + 1),
        };
        self.hosts.iter().filter_map(rank).max()
    }
}

fn alternatives_of(id: RouteId, route: &Route) -> impl Iterator<Item = (Conditions, Origin)> {
    let hosts: Vec<_> = route.hosts.iter().map(canonical_host).collect();
    route.matches.iter().enumerate().map(move |(at, alternative)| {
        let origin = Origin {
            name: route.name.clone(),
            listeners: route.listeners.clone(),
            hosts: hosts.clone(),
            path: canonical_path(&alternative.path),
        };
        (Conditions::new(id, at, alternative), origin)
    })
}

fn index(origins: &[Origin]) -> Vec<Hosts> {
    let mut listeners: Vec<Hosts> = Vec::new();
    for (at, origin) in origins.iter().enumerate() {
        for listener in &origin.listeners {
            if listeners.len() <= listener.0 {
                listeners.resize_with(listener.0 + 1, Hosts::default);
            }
            let Some(hosts) = listeners.get_mut(listener.0) else {
                continue;
            };
            if origin.hosts.is_empty() {
                hosts.add(None, &origin.path, at);
            }
            for host in &origin.hosts {
                hosts.add(Some(host), &origin.path, at);
            }
        }
    }
    listeners.iter_mut().for_each(Hosts::seal);
    listeners
}

/// An IPv6 address may be written without its brackets in a list of hosts.
fn canonical_host(host: &HostPattern) -> HostPattern {
    match host {
        HostPattern::Exact(name) if name.parse::<Ipv6Addr>().is_ok() => {
            let bracketed = format!("[{name}]");
            HostPattern::Exact(super::host_of(&bracketed).map(Cow::into_owned).unwrap_or(bracketed))
        }
        HostPattern::Exact(name) => {
            HostPattern::Exact(super::host_of(name).map_or_else(|_| name.clone(), Cow::into_owned))
        }
        HostPattern::Wildcard(suffix) => HostPattern::Wildcard(suffix.clone()),
    }
}
