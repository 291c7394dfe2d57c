//! What holds for single operations of A2A on a route.

use super::Scope;
use super::limits::Found;
use crate::a2a::Operation;
use crate::config::keys::a2a::A2a;
use crate::config::model::{CallPolicy, LimitKey, LimitScope};
use crate::config::node::steps;
use crate::config::report::Diagnostic;

/// Resolves `a2a.methods` of a route. `has_timeout`: the route limits the time of its exchanges.
pub(super) fn resolve(
    route: &str,
    a2a: Option<&A2a>,
    has_timeout: bool,
    limits: &mut Found,
    scope: &mut Scope<'_>,
) -> Vec<CallPolicy> {
    let Some(a2a) = a2a else { return Vec::new() };
    ownership(route, a2a, scope);
    if a2a.versions.as_ref().is_some_and(Vec::is_empty) {
        let at = steps!["routes", route, "a2a", "versions"];
        scope.missing(&at, Diagnostic::invalid("no generation of A2A is left").hint("leave it out to take all"));
    }
    let each = a2a.methods.iter().flat_map(|methods| methods.each.clone());
    let mut policies = Vec::new();
    for (key, operation, policy) in each {
        let at = steps!["routes", route, "a2a", "methods", key.as_str()];
        let place = |index| LimitScope::Call { route: route.to_owned(), operation: operation.name(), index };
        policies.push(CallPolicy {
            operation,
            rate_limits: limits.of_uses(&at, place, policy.rate_limit, scope),
            concurrency: limits.concurrency(policy.max_concurrent_per_client),
            max_concurrent: policy.max_concurrent,
            timeout: policy.timeout,
        });
    }
    policies.retain(|policy| !policy.is_empty());
    if has_timeout && !policies.iter().any(|policy| TAKES_TIME.contains(&policy.operation) && policy.timeout.is_some())
    {
        warn_of_timeout(route, scope);
    }
    policies
}

/// Judges `a2a.ownership`.
fn ownership(route: &str, a2a: &A2a, scope: &mut Scope<'_>) {
    let Some(ownership) = &a2a.ownership else { return };
    let at = steps!["routes", route, "a2a", "ownership"];
    let tells_nobody =
        |key: &LimitKey| matches!(key, LimitKey::Global | LimitKey::Method | LimitKey::Tenant | LimitKey::Operation);
    if ownership.by.is_empty() || ownership.by.iter().any(tells_nobody) {
        let hint = "write `clientIp`, `principal`, `header:NAME` or `cookie:NAME`";
        let diagnostic = Diagnostic::invalid("this does not tell clients apart").hint(hint);
        scope.missing(&steps!["routes", route, "a2a", "ownership", "by"], diagnostic);
    }
    if a2a.affinity.is_none() {
        let message = format!("`routes.{route}` does not follow tasks, so it does not know who made them");
        scope.conflict(&at, message, "take `affinity: off` out");
    }
}

/// A route that is known to lead to agents by what its file says, and whose `timeout` means less than it seems.
fn warn_of_timeout(route: &str, scope: &mut Scope<'_>) {
    if !scope.is_given(&steps!["routes", route, "a2a"]) {
        return;
    }
    let message = "calls that send a message or get a stream are not held to the route's `timeout`";
    let hint = "add `a2a: { methods: { SendMessage: { timeout: 60s } } }` where they should be";
    scope.warn(&steps!["routes", route, "timeout"], "without-effect", message, hint);
}

/// What agents may take their time for.
const TAKES_TIME: [Operation; 3] =
    [Operation::SendMessage, Operation::SendStreamingMessage, Operation::SubscribeToTask];
