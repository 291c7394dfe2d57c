//! Asks the rules of a route whether this client may do this: once when its route is known, and once more for what
//! only shows when the call of an agent is recognised.

use std::rc::Rc;

use super::audit;
use super::exchange::Exchange;
use super::facts::{Noted, Undecided};
use super::own_answer;
use super::stage::{Entry, Passage, ServedRoute};
use crate::config::model::PolicyMode;
use crate::error::Error;
use crate::policy::authorization::{Asked, Authorization, Call, Decision, RulePath, Who};

/// Refuses what the rules do not let pass. What they cannot say yet is asked again by [`check_call`].
pub(super) fn check(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let Some(rules) = &route.authorization else {
        return Ok(Passage::On);
    };
    // What the gateway answers by itself is no call.
    let may_be_call = route.settings().sees_calls() && !own_answer::is_own(exchange, route);
    let call = if may_be_call { Call::NotYet } else { Call::NONE };
    let decided = decide(exchange, route, rules, call, Undecided { acting: true, counting: true });
    note(exchange, entry, decided)
}

/// Asks those rules that could not say before.
pub(super) fn check_call(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let undecided = std::mem::take(&mut exchange.client.undecided);
    let Some(rules) = route.authorization.as_ref().filter(|_| undecided != Undecided::default()) else {
        return Ok(Passage::On);
    };
    let tenant = exchange.call.as_deref().and_then(|call| call.ids().tenant);
    let call = Call::Known { operation: exchange.operation, tenant };
    let decided = decide(exchange, route, rules, call, undecided);
    note(exchange, entry, decided)
}

/// What came of asking the rules.
#[derive(Debug, Default)]
struct Decided {
    /// The rule that counted.
    rule: Option<Rc<Noted>>,
    /// The rule that would have refused.
    shadow: Option<Rc<Noted>>,
    is_denied: bool,
    undecided: Undecided,
}

/// Asks those of the rules that are still to say something.
fn decide(
    exchange: &Exchange,
    route: &ServedRoute<'_>,
    rules: &Authorization,
    call: Call<'_>,
    wanted: Undecided,
) -> Decided {
    let identity = &exchange.client.identity;
    let asked = Asked {
        who: identity.principal.as_deref().map_or(Who::Nobody, Who::Known),
        client: Some(exchange.client.address),
        method: &exchange.request.method,
        path: RulePath::new(exchange.request.path()),
        tenant: identity.tenant.as_deref(),
        call,
    };
    let count = |rule, result| route.rule_series.as_ref().and_then(|series| series.count(rule, result));
    let mut decided = Decided::default();
    if wanted.counting && rules.has(PolicyMode::Shadow) {
        match rules.decide(PolicyMode::Shadow, &asked) {
            Decision::Allowed(rule) => drop(count(rule, "shadow_allowed")),
            Decision::Denied(rule) => decided.shadow = count(rule, "shadow_denied"),
            Decision::Open => decided.undecided.counting = true,
        }
    }
    if wanted.acting && rules.has(PolicyMode::Enforce) {
        match rules.decide(PolicyMode::Enforce, &asked) {
            Decision::Allowed(rule) => decided.rule = count(rule, "allowed"),
            Decision::Denied(rule) => {
                decided.rule = count(rule, "denied");
                decided.is_denied = true;
            }
            Decision::Open => decided.undecided.acting = true,
        }
    }
    decided
}

fn note(exchange: &mut Exchange, entry: &Entry, decided: Decided) -> Result<Passage, Error> {
    if let Some(shadow) = decided.shadow {
        audit::shadow_by(exchange, entry, &Error::Forbidden, shadow.rule.as_deref());
    }
    exchange.client.undecided = decided.undecided;
    if let Some(rule) = decided.rule {
        exchange.client.note(rule);
    }
    if decided.is_denied { Err(Error::Forbidden) } else { Ok(Passage::On) }
}
