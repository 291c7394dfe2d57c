//! What a route does not do for its agents, where its author may not know it.

use super::Scope;
use crate::config::model::{Config, Route};
use crate::config::node::steps;

/// Tasks that are not followed although there are several endpoints, and cards that are not mapped.
pub(super) fn lint(route: &Route, config: &Config, scope: &mut Scope<'_>) {
    let Some(settings) = &route.a2a else { return };
    let name = route.name.as_str();
    let at = |key: &str| steps!["routes", name, "a2a", key];
    if settings.affinity.is_none() && config.has_replicas(route) {
        let message = format!("a call may reach an endpoint of `routes.{name}` that does not have its task");
        scope.warn(&at("affinity"), "tasks-not-followed", message, "keep it if the endpoints share their tasks");
    }
    if settings.agent_card.is_none() {
        let message = format!("agent cards of `routes.{name}` pass as they are, and may lead clients past the gateway");
        scope.warn(&at("agentCard"), "cards-not-mapped", message, "keep it if the agents name their public URL");
    }
}
