//! A route as one worker sees it: what all workers share, and this worker's handles and turns. Made when the first
//! request comes, so that thousands of routes nobody asks for cost a worker nothing.

use std::cell::OnceCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::followed::Followed;
use super::rule_series::RuleSeries;
use crate::config::model::{Action, ClusterId, Part, Route};
use crate::observe::handles::{AuthHandles, AuthorizationHandles, RouteHandles, ScreeningHandles};
use crate::observe::metrics::Metrics;
use crate::policy::auth::{Provider, RouteAuth};
use crate::policy::{WorkerCallLimits, WorkerLimits};
use crate::route::rollout::{RolloutControl, RolloutSample};
use crate::route::split::{Choice, Chooser};
use crate::snapshot::RouteRuntime;
use crate::upstream::WorkerCluster;

/// A route with this worker's side of it. Never leaves its thread.
#[derive(Debug)]
pub(super) struct WorkerRoute {
    runtime: Arc<RouteRuntime>,
    /// Its series, towards its cluster where it has one.
    pub(super) handles: RouteHandles,
    pub(super) auth_handles: Option<Box<RouteAuthHandles>>,
    /// Where the rules that decide are counted.
    pub(super) rule_series: Option<Box<RuleSeries<AuthorizationHandles>>>,
    /// Where patterns are counted that are found.
    pub(super) screening_series: Option<Box<RuleSeries<ScreeningHandles>>>,
    pub(super) limits: Option<WorkerLimits>,
    /// Those of single operations of agents.
    pub(super) call_limits: Option<Box<WorkerCallLimits>>,
    /// Where it forwards to one cluster.
    pub(super) cluster: Option<Rc<WorkerCluster>>,
    /// Where it forwards to one of several.
    pub(super) split: Option<WorkerSplit>,
    /// What its requests are followed by, where they are.
    pub(super) followed: Option<Followed>,
    /// Where copies of its requests go.
    pub(super) mirror: Option<Rc<WorkerCluster>>,
}

/// The series of a route's providers.
#[derive(Debug)]
pub(super) struct RouteAuthHandles {
    providers: Box<[AuthHandles]>,
    nobody: AuthHandles,
}

/// A split with this worker's turn in it.
#[derive(Debug)]
pub(super) struct WorkerSplit {
    pub(super) chooser: Chooser,
    pub(super) control: Arc<RolloutControl>,
    parts: Box<[WorkerPart]>,
}

/// One of the clusters of a split.
#[derive(Debug)]
pub(super) struct WorkerPart {
    pub(super) cluster: Rc<WorkerCluster>,
    /// Each version has series of its own.
    handles: OnceCell<RouteHandles>,
}

impl WorkerRoute {
    /// This worker's side of `runtime`; `cluster` finds its side of a cluster, and `turn` says where it begins in a
    /// split.
    pub(super) fn new(
        runtime: &Arc<RouteRuntime>,
        metrics: &Arc<Metrics>,
        turn: usize,
        cluster: impl Fn(ClusterId) -> Option<Rc<WorkerCluster>>,
    ) -> Self {
        let settings = &runtime.settings;
        let forwards = match &settings.action {
            Action::Forward(id) => cluster(*id),
            Action::Split(_) | Action::Redirect(_) | Action::Respond(_) => None,
        };
        let name = forwards.as_ref().map_or("-", |cluster| cluster.name());
        let (rules, screening) = (runtime.authorization.as_ref(), runtime.screening.as_ref());
        let (limits, calls) = (runtime.limits.as_ref(), runtime.calls.as_deref());
        let part = |part: &Part| Some(WorkerPart { cluster: cluster(part.cluster)?, handles: OnceCell::new() });
        let parts = match &settings.action {
            Action::Split(split) => split.parts.iter().filter_map(part).collect(),
            Action::Forward(_) | Action::Redirect(_) | Action::Respond(_) => Vec::new(),
        };
        Self {
            handles: RouteHandles::new(Arc::clone(metrics), &*settings.name, name),
            auth_handles: runtime.auth.as_deref().map(|auth| Box::new(RouteAuthHandles::new(auth, metrics))),
            rule_series: rules.map(|rules| RuleSeries::of_rules(&settings.name, rules.names(), metrics)),
            screening_series: screening.map(|screening| {
                RuleSeries::of_patterns(&settings.name, screening.names.iter().map(String::as_str), metrics)
            }),
            limits: limits.map(|limits| WorkerLimits::new(&settings.name, limits, metrics)),
            call_limits: calls.map(|calls| Box::new(WorkerCallLimits::new(&settings.name, calls, metrics))),
            split: runtime.split.as_ref().map(|control| WorkerSplit {
                chooser: Chooser::new(Arc::clone(control.shares()), &mut fastrand::Rng::with_seed(turn as u64)),
                control: Arc::clone(control),
                parts: parts.into(),
            }),
            followed: settings.a2a.as_ref().and_then(|a2a| a2a.affinity.as_ref()).map(Followed::of),
            mirror: settings.mirror.as_ref().and_then(|mirror| cluster(mirror.cluster)),
            cluster: forwards,
            runtime: Arc::clone(runtime),
        }
    }

    /// What the file says of it.
    pub(super) fn settings(&self) -> &Route {
        &self.runtime.settings
    }

    /// The clusters it forwards to, in the order of its split.
    pub(super) fn clusters(&self) -> impl Iterator<Item = &Rc<WorkerCluster>> {
        let parts = self.split.iter().flat_map(|split| &split.parts).map(|part| &part.cluster);
        self.cluster.iter().chain(parts)
    }

    /// Its series towards one cluster of its split.
    pub(super) fn part_handles<'a>(&self, part: &'a WorkerPart) -> &'a RouteHandles {
        part.handles.get_or_init(|| self.handles.towards(part.cluster.name()))
    }
}

impl Deref for WorkerRoute {
    type Target = RouteRuntime;

    fn deref(&self) -> &RouteRuntime {
        &self.runtime
    }
}

impl RouteAuthHandles {
    fn new(auth: &RouteAuth, metrics: &Metrics) -> Self {
        let of = |provider: &Arc<Provider>| AuthHandles::new(metrics, provider.name());
        Self { providers: auth.providers().iter().map(of).collect(), nobody: AuthHandles::new(metrics, "-") }
    }

    /// Counts what the provider at that position said, or that none had anything to say.
    pub(super) fn count(&self, provider: Option<usize>, result: &'static str) {
        let handles = provider.and_then(|at| self.providers.get(at)).unwrap_or(&self.nobody);
        handles.results.count(result);
    }
}

impl WorkerSplit {
    /// One of its clusters.
    pub(super) fn part(&self, index: usize) -> Option<&WorkerPart> {
        self.parts.get(index)
    }

    /// A request's place in it.
    pub(super) fn sample(&self, choice: Choice) -> RolloutSample {
        RolloutSample::new(Arc::clone(&self.control), choice)
    }
}
