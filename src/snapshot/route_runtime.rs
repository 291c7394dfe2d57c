//! Everything one route needs while it runs, in one place: its settings and what lives as long as the route does, over
//! all workers and reloads. What a worker has of its own about it (handles, its turn in a split) is made from this.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::bounded::Count;
use crate::config::model::{Action, Config, CookieKey, Route, Screening};
use crate::observe::told::Told;
use crate::policy::auth::RouteAuth;
use crate::policy::authorization::{Authorization, Policies};
use crate::policy::{CallLimits, Limits, RouteLimits, RouteShares};
use crate::route::PathMappings;
use crate::route::rollout::{Now, RolloutControl};
use crate::snapshot::{AuthState, RememberedCard, SeenCard};

/// A route in force. What is configured is in `settings`; all else is counted or worked out, and absent where nothing
/// of it is configured.
#[derive(Debug)]
pub struct RouteRuntime {
    /// What the file says of it.
    pub settings: Arc<Route>,
    /// How the paths of clients relate to those of agents.
    pub paths: PathMappings,
    /// Who may come in.
    pub auth: Option<Box<RouteAuth>>,
    /// Who may do what.
    pub authorization: Option<Box<Authorization>>,
    /// What its requests are searched for.
    pub screening: Option<Arc<Screening>>,
    /// What one client may send, and have open.
    pub limits: Option<RouteLimits>,
    /// The same for single operations of agents.
    pub calls: Option<Box<CallLimits>>,
    /// Calls that equal ones share.
    pub shares: Option<Box<RouteShares>>,
    /// Faults active.
    pub faults: Option<Arc<Count>>,
    /// Mirrored requests under way.
    pub mirrors: Option<Arc<Count>>,
    /// How its traffic is divided at the moment, and what moves that.
    pub split: Option<Arc<RolloutControl>>,
    /// Whether guards that somebody chose, or rules about who may do what, have to know every call; see
    /// [`A2a::is_strict`](crate::config::model::A2a::is_strict). Where tenants are proven, no call may name another
    /// unseen.
    pub is_strict: bool,
    /// Whether an agent behind it has answered in A2A. Then a request that may be a call is taken for one.
    pub is_agent: Arc<AtomicBool>,
    /// Agent cards that were warned of.
    pub cards_told: Told,
    /// The card of its agents that a client got last.
    pub seen_card: Arc<SeenCard>,
    /// The card of its agents, where a catalog lists them.
    pub remembered_card: Option<Arc<RememberedCard>>,
}

/// What the routes of one configuration are built with.
#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) config: &'a Config,
    pub(super) limits: &'a Limits,
    pub(super) auth: &'a AuthState,
    pub(super) authorization: &'a Policies,
    /// For the cookies of splits that have no key of their own.
    pub(super) cookie_key: &'a CookieKey,
    pub(super) now: Now,
}

impl RouteRuntime {
    /// Builds what `settings` ask for. What lives goes on from `previous`, the route of the same name before, where it
    /// means the same: counts whatever the settings were, a split where neither its clusters and weights nor its
    /// rollout changed.
    pub(super) fn adopt(previous: Option<&Self>, settings: &Arc<Route>, build: &Build<'_>) -> Self {
        let limits = previous.and_then(|before| before.limits.as_ref());
        let authorization = build.authorization.of(&settings.authorization);
        let decides_on_calls = authorization.as_ref().is_some_and(|rules| rules.acts_on_calls());
        Self {
            paths: PathMappings::of(build.config, settings),
            auth: build.auth.of(settings),
            limits: build.limits.of(&settings.rate_limits, settings.concurrency, settings.sees_calls(), limits),
            calls: CallLimits::adopt(
                &settings.calls,
                build.limits,
                previous.and_then(|before| before.calls.as_deref()),
            ),
            shares: RouteShares::adopt(settings.a2a.as_ref(), previous.and_then(|before| before.shares.as_deref())),
            faults: go_on(settings.fault.is_some(), previous.and_then(|before| before.faults.as_ref())),
            mirrors: go_on(settings.mirror.is_some(), previous.and_then(|before| before.mirrors.as_ref())),
            split: split(settings, previous.and_then(|before| before.split.as_ref()), build),
            is_strict: decides_on_calls && settings.a2a.is_some() || is_strict(settings, build.config),
            authorization,
            screening: settings.screening.and_then(|id| build.config.screenings.get(id.0).cloned()),
            is_agent: previous.map(|before| Arc::clone(&before.is_agent)).unwrap_or_default(),
            cards_told: Told::default(),
            seen_card: previous.map(|before| Arc::clone(&before.seen_card)).unwrap_or_default(),
            remembered_card: is_listed(settings, build.config)
                .then(|| RememberedCard::adopt(previous.and_then(|before| before.remembered_card.as_deref()))),
            settings: Arc::clone(settings),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }
}

fn is_strict(settings: &Route, config: &Config) -> bool {
    let proves_tenants = settings.auth.is_some() && config.tenants.claim.is_some();
    settings.a2a.as_ref().is_some_and(|a2a| a2a.is_strict() || proves_tenants)
}

/// Whether a catalog may list its agents.
fn is_listed(settings: &Route, config: &Config) -> bool {
    let mut listeners = settings.listeners.iter().filter_map(|id| config.listeners.get(id.0));
    settings.leads_to_agents() && listeners.any(|listener| listener.catalog.is_some())
}

fn go_on(wanted: bool, before: Option<&Arc<Count>>) -> Option<Arc<Count>> {
    wanted.then(|| before.map(Arc::clone).unwrap_or_default())
}

fn split(settings: &Route, before: Option<&Arc<RolloutControl>>, build: &Build<'_>) -> Option<Arc<RolloutControl>> {
    let Action::Split(split) = &settings.action else {
        return None;
    };
    let same = before.filter(|control| control.is_of(split));
    Some(same.map_or_else(|| Arc::new(RolloutControl::new(split, build.cookie_key, build.now)), Arc::clone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::discovery::dns::Resolutions;
    use crate::config::{self, Environment};
    use crate::snapshot::Snapshot;

    fn snapshot(routes: &str, previous: Option<&Snapshot>) -> Snapshot {
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n\
             clusters: {{ one: {{ endpoints: ['a:80'] }}, two: {{ endpoints: ['b:80'] }} }}\nroutes: {{ {routes} }}"
        );
        let loaded = config::parse(&text, "test.yaml", &Environment::empty(std::time::UNIX_EPOCH));
        let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
        Snapshot::build(Arc::new(config), previous, &Resolutions::new()).unwrap()
    }

    /// Whether each of what lives is the same in both.
    fn same(one: &RouteRuntime, other: &RouteRuntime) -> [bool; 3] {
        fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            one.zip(other).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
        }
        [
            same(one.faults.as_ref(), other.faults.as_ref()),
            same(one.mirrors.as_ref(), other.mirrors.as_ref()),
            same(one.split.as_ref(), other.split.as_ref()),
        ]
    }

    const FAULTS: &str = "fault: { delay: { fixedDelay: 1s, percentage: 1% } }, mirror: { cluster: one }";

    #[test]
    fn what_lives_goes_on_under_the_same_name() {
        let split = "split: { clusters: [{ cluster: one, weight: 90 }, { cluster: two, weight: 10 }] }";
        let before = snapshot(
            &format!("a: {{ {split}, {FAULTS} }}, b: {{ match: {{ path: {{ prefix: /b }} }}, cluster: one }}"),
            None,
        );
        for (routes, expected) in [
            (format!("a: {{ {split}, {FAULTS} }}"), [true, true, true]),
            (
                format!("a: {{ {split}, {FAULTS} }}, A: {{ match: {{ path: {{ prefix: /x }} }}, respond: {{}} }}"),
                [true, true, true],
            ),
            (format!("a: {{ {split}, timeout: 7s, {FAULTS} }}"), [true, true, true]),
            (
                format!(
                    "a: {{ split: {{ clusters: [{{ cluster: one, weight: 80 }}, {{ cluster: two, weight: 20 }}] }}, {FAULTS} }}"
                ),
                [true, true, false],
            ),
            (format!("a: {{ cluster: one, {FAULTS} }}"), [true, true, false]),
            (format!("a: {{ {split} }}"), [false, false, true]),
            (format!("c: {{ {split}, {FAULTS} }}"), [false, false, false]),
        ] {
            let after = snapshot(&routes, Some(&before));
            let route = after.routes.iter().find(|route| matches!(route.name(), "a" | "c")).unwrap();
            assert_eq!(same(&before.routes[0], route), expected, "{routes}");
        }
    }
}
