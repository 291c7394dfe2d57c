//! Agents behind routes, and the cards that were seen of them.

use std::sync::atomic::Ordering::Relaxed;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::a2a::card::Listed;
use crate::observe::clock::rfc3339;
use crate::snapshot::{RouteRuntime, Snapshot};

/// Agents by route.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct Agents {
    agents: Vec<AgentView>,
    /// How many more there are.
    left_out: usize,
}

/// The agents behind one route.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AgentView {
    route: String,
    clusters: Vec<String>,
    /// Whether one of them has answered in A2A.
    has_answered: bool,
    /// What the card says that was seen last: name, version, description, provider and skills. Text of the agent.
    card: Option<Value>,
    /// The endpoint it came from; null for one that the gateway fetched for a catalog.
    card_from: Option<String>,
    card_at: Option<String>,
    /// Why the gateway could not fetch it, where a catalog lists it.
    card_fault: Option<&'static str>,
}

/// At most `most` routes that lead to agents, or that have shown a card.
pub(in crate::admin) fn list(snapshot: &Snapshot, most: usize) -> Agents {
    let is_agent = |route: &RouteRuntime| {
        route.is_agent.load(Relaxed) || route.seen_card.last().is_some() || route.settings.leads_to_agents()
    };
    let mut found: Vec<_> = snapshot.routes.iter().filter(|route| is_agent(route)).collect();
    let left_out = found.len().saturating_sub(most);
    found.truncate(most);
    let agents = found.into_iter().map(|route| {
        let known = route.remembered_card.as_ref().map(|card| card.known()).unwrap_or_default();
        let seen = route.seen_card.last();
        let card = seen.as_ref().map(|seen| &seen.card).or(known.card.as_ref());
        AgentView {
            route: route.name().to_owned(),
            clusters: snapshot.config.clusters_of(&route.settings).map(|cluster| cluster.name.clone()).collect(),
            has_answered: route.is_agent.load(Relaxed),
            card: card.and_then(|card| said(card)),
            card_at: seen.as_ref().map(|seen| rfc3339(seen.at)),
            card_from: seen.map(|seen| seen.endpoint),
            card_fault: known.fault.map(crate::snapshot::CardFault::word),
        }
    });
    Agents { agents: agents.collect(), left_out }
}

fn said(card: &Listed) -> Option<Value> {
    serde_json::from_str(&format!("{{{}}}", card.members())).ok()
}
