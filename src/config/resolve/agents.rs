//! The key that a route signs cards with, and what it does not do for its agents, where its author may not know it.

use std::sync::Arc;

use super::Scope;
use crate::a2a::card::SignedCards;
use crate::config::certs;
use crate::config::model::{A2a, Config, Route};
use crate::config::node::steps;
use crate::jose::Key;

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

/// The key that the cards of a route are signed with.
pub(super) fn card_key(route: &str, settings: Option<&A2a>, scope: &mut Scope<'_>) -> Option<Arc<Key>> {
    let card = settings?.agent_card.as_ref()?;
    let at = |key: &str| steps!["routes", route, "a2a", "agentCard", key];
    let signs = card.signed_cards == SignedCards::Resign;
    let Some(signing) = &card.signing else {
        if signs {
            scope.lacks(&at("signedCards"), "`resign` needs a key", "add `signing: { keyFile: cards.key }` beside it");
        }
        return None;
    };
    if !signs {
        scope.warn_key(&at("signing"), "without-effect", "no card is signed", "add `signedCards: resign` beside it");
    }
    let Some(file) = &signing.key_file else {
        scope.lacks(&at("signing"), "a signature needs a key", "add `keyFile: cards.key`");
        return None;
    };
    let at = steps!["routes", route, "a2a", "agentCard", "signing", "keyFile"];
    match certs::key(file, scope.env).map(|key| Key::new(&key, signing.key_id.as_deref())) {
        Ok(Ok(key)) => return Some(Arc::new(key)),
        Ok(Err(error)) => {
            let hint = "make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`";
            scope.invalid(&at, format!("`{}` {error}", file.display()), hint);
        }
        Err(problem) => scope.add(&at, problem.diagnostic(scope.env)),
    }
    None
}
