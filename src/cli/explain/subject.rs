//! What policies are asked about: one request, and the route that serves it as it runs.

use std::net::IpAddr;

use http::Method;

use crate::config::model::{A2a, Cluster, Config, Listener, PathMatch, Route};
use crate::policy::auth::Sender;
use crate::route::Facts;
use crate::snapshot::RouteRuntime;

/// One request on its route.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) config: &'a Config,
    /// The listener the request comes in through.
    pub(super) listener: &'a Listener,
    pub(super) route: &'a RouteRuntime,
    /// Which of the route's alternatives matched.
    pub(super) matched: usize,
    pub(super) facts: &'a Facts<'a>,
    /// Address of the client, where it is given.
    pub(super) client: Option<IpAddr>,
    /// Who it is from.
    pub(super) sender: Sender,
}

impl<'a> Subject<'a> {
    pub(super) fn settings(&self) -> &'a Route {
        &self.route.settings
    }

    pub(super) fn method(&self) -> &'a Method {
        self.facts.method
    }

    /// The path that matched.
    pub(super) fn path(&self) -> Option<&'a PathMatch> {
        self.settings().matches.get(self.matched).map(|alternative| &alternative.path)
    }

    /// What is done for agents, where the route leads to some.
    pub(super) fn agents(&self) -> Option<&'a A2a> {
        self.settings().a2a.as_ref().filter(|_| self.settings().action.forwards())
    }

    /// The clusters it may go to; none where the gateway answers by itself.
    pub(super) fn clusters(&self) -> Vec<&'a Cluster> {
        self.config.clusters_of(self.settings()).collect()
    }
}
