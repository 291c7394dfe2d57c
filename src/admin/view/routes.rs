//! Routes: what they match, where they lead, and how their traffic goes.

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::traffic::{Rate, Rates};
use crate::config::model::{Action, Config, Match, Route};
use crate::snapshot::{RouteRuntime, Snapshot};

/// Routes of a configuration.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct Routes {
    routes: Vec<RouteView>,
    /// How many more there are.
    left_out: usize,
}

/// One route.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct RouteView {
    name: String,
    /// The listeners it is reachable through.
    listeners: Vec<String>,
    /// Hosts it serves; empty for all.
    hosts: Vec<String>,
    /// What a request must look like: one of these.
    matches: Vec<String>,
    /// `forward`, `split`, `redirect` or `respond`.
    action: &'static str,
    /// Where it leads, with its share of the traffic.
    towards: Vec<Towards>,
    /// Whether agents that speak A2A are behind it.
    agents: bool,
    in_flight: i64,
    streams: i64,
    #[serde(flatten)]
    rate: Rate,
}

/// A cluster a route leads to.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Towards {
    cluster: String,
    percent: f64,
    #[serde(flatten)]
    rate: Rate,
}

/// At most `most` routes that `wants`, the busiest first where not all are shown.
pub(in crate::admin) fn list(snapshot: &Snapshot, rates: &Rates, most: usize, wants: impl Fn(&str) -> bool) -> Routes {
    let rate = |route: &RouteRuntime| rates.routes.get(route.name()).map_or(0.0, |rate| rate.per_second);
    let mut routes: Vec<_> = snapshot.routes.iter().filter(|route| wants(route.name())).collect();
    let left_out = routes.len().saturating_sub(most);
    if left_out > 0 {
        routes.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
        routes.truncate(most);
    }
    let routes = routes.into_iter().map(|route| RouteView::of(&snapshot.config, route, rates)).collect();
    Routes { routes, left_out }
}

impl RouteView {
    fn of(config: &Config, route: &RouteRuntime, rates: &Rates) -> Self {
        let settings = &*route.settings;
        let listeners = settings.listeners.iter().filter_map(|id| config.listeners.get(id.0));
        let count = |counts: &std::collections::BTreeMap<Box<str>, i64>| counts.get(route.name()).copied();
        Self {
            name: settings.name.clone(),
            listeners: listeners.map(|listener| listener.name.clone()).collect(),
            hosts: settings.hosts.iter().map(ToString::to_string).collect(),
            matches: settings.matches.iter().map(described).collect(),
            action: match &settings.action {
                Action::Forward(_) => "forward",
                Action::Split(_) => "split",
                Action::Redirect(_) => "redirect",
                Action::Respond(_) => "respond",
            },
            towards: towards(config, settings, route, rates),
            agents: settings.a2a.is_some() && settings.leads_to_agents()
                || route.is_agent.load(std::sync::atomic::Ordering::Relaxed),
            in_flight: count(&rates.in_flight).unwrap_or_default(),
            streams: count(&rates.streams).unwrap_or_default(),
            rate: rates.routes.get(route.name()).cloned().unwrap_or_default(),
        }
    }
}

fn towards(config: &Config, settings: &Route, route: &RouteRuntime, rates: &Rates) -> Vec<Towards> {
    let rate = |cluster: &str| {
        let pair = (Box::from(settings.name.as_str()), Box::from(cluster));
        rates.pairs.get(&pair).cloned().unwrap_or_default()
    };
    if let Some(split) = &route.split {
        let shares = split.status().shares;
        return shares
            .into_iter()
            .map(|share| Towards { rate: rate(&share.cluster), cluster: share.cluster, percent: share.percent })
            .collect();
    }
    let clusters = config.clusters_of(settings);
    clusters
        .map(|cluster| Towards { cluster: cluster.name.clone(), percent: 100.0, rate: rate(&cluster.name) })
        .collect()
}

/// `GET,POST /a2a* with 2 headers`.
fn described(one: &Match) -> String {
    let mut text = one.methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(",");
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(&one.path.to_string());
    for (count, what) in [(one.headers.len(), "headers"), (one.query.len(), "query parameters")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if one.tenant.is_some() {
        text.push_str(", a tenant");
    }
    text
}
