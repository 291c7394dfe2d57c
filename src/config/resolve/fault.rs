//! `routes.X.fault`: what is said at all, and what is probably not meant.

use std::time::UNIX_EPOCH;

use super::{Scope, headers};
use crate::config::model::{AbortFault, Fault, Percentage, Route};
use crate::config::node::{Step, below, steps};

/// Judges `fault` of the route `name`; `forwards` is false for routes that answer by themselves.
pub(super) fn resolve(
    name: &str,
    fault: Option<Box<Fault>>,
    forwards: bool,
    scope: &mut Scope<'_>,
) -> Option<Box<Fault>> {
    let fault = fault?;
    let at = steps!["routes", name, "fault"];
    if !forwards {
        // A fault of all routes is not meant for this one.
        let usual = scope.tree.get("defaults").and_then(|all| all.get("route"));
        if usual.is_none_or(|route| route.get("fault").is_none()) {
            let message = format!("`routes.{name}` answers by itself, where no fault is injected");
            scope.warn_key(&at, "without-effect", message, "take it out");
        }
        return None;
    }
    if fault.delay.is_none() && fault.abort.is_none() && fault.stream.is_none() && fault.by_header.is_none() {
        let message = format!("`routes.{name}.fault` says nothing to inject");
        scope.lacks(&at, message, "add `delay`, `abort`, `stream` or `byHeader`");
    }
    delay(&fault, &below(&at, "delay"), scope);
    abort(&fault, &below(&at, "abort"), scope);
    stream(&fault, &below(&at, "stream"), scope);
    by_header(&fault, &below(&at, "byHeader"), scope);
    Some(fault)
}

fn delay(fault: &Fault, at: &[Step], scope: &mut Scope<'_>) {
    let Some(delay) = &fault.delay else { return };
    if delay.fixed_delay.is_none() {
        scope.lacks(at, "a delay says how long it is", "add `fixedDelay: 2s`");
    }
    share(at, delay.percentage, scope);
}

fn abort(fault: &Fault, at: &[Step], scope: &mut Scope<'_>) {
    let Some(abort) = &fault.abort else { return };
    let given = [
        ("httpStatus", abort.http_status.is_some()),
        ("grpcStatus", abort.grpc_status.is_some()),
        ("a2aError", abort.a2a_error.is_some()),
    ];
    let given: Vec<_> = given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
    match given[..] {
        [] => {
            let hint = "add `httpStatus: 503`, `grpcStatus: UNAVAILABLE` or `a2aError: InternalError`";
            scope.lacks(at, "an abort says what it answers", hint);
        }
        [_] => {}
        [first, second, ..] => {
            let hint = "keep one of them: each is translated where the other is wanted";
            scope.conflict(at, format!("`{first}` and `{second}` are both given"), hint);
        }
    }
    share(at, abort.percentage, scope);
}

fn stream(fault: &Fault, at: &[Step], scope: &mut Scope<'_>) {
    let Some(stream) = &fault.stream else { return };
    if stream.cut_after_events.is_none() && stream.delay_between_events.is_none() {
        let hint = "add `cutAfterEvents: 5` or `delayBetweenEvents: 1s`";
        scope.lacks(at, "this does nothing to a stream", hint);
    }
    share(at, stream.percentage, scope);
}

fn by_header(fault: &Fault, at: &[Step], scope: &mut Scope<'_>) {
    let Some(by) = &fault.by_header else { return };
    headers::check_names(&below(at, "whenHeader"), scope);
    if by.clients.is_empty() && by.when_header.is_empty() {
        let hint = "add `clients: [10.0.0.0/8]` or `whenHeader: { x-chaos: .. }`";
        scope.lacks(at, "every client could ask for faults: this does not say who may", hint);
    }
}

/// Of whom: a share must be given, because what is left out means everything in one proxy and nothing in another.
fn share(at: &[Step], share: Percentage, scope: &mut Scope<'_>) {
    headers::check_names(&below(at, "whenHeader"), scope);
    if !scope.is_given(&below(at, "percentage")) {
        scope.lacks(at, "a fault says how often it happens", "add `percentage: 1%`; Istio's default is `100%`");
    } else if share == Percentage::NONE {
        let hint = "take the fault out, or raise it";
        scope.warn(&below(at, "percentage"), "without-effect", "0% never happens", hint);
    }
}

/// What is legal but probably not meant.
pub(super) fn lint(route: &Route, scope: &mut Scope<'_>) {
    let Some(fault) = &route.fault else { return };
    let name = route.name.as_str();
    let at = steps!["routes", name, "fault"];
    let now = scope.env.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if fault.until.is_none() {
        let message = format!("the faults of `routes.{name}` never end");
        scope.warn_key(&at, "fault-without-end", message, "add `until: 2026-12-31T00:00:00Z`");
    }
    if fault.until.is_some_and(|until| until <= now) {
        let message = format!("the faults of `routes.{name}` are over");
        let hint = "take `fault` out, or set a later moment";
        scope.warn(&below(&at, "until"), "without-effect", message, hint);
    }
    let always = |abort: &AbortFault| abort.percentage == Percentage::ALL && abort.when_header.is_empty();
    if fault.abort.as_ref().is_some_and(always) {
        let message = format!("`routes.{name}` forwards nothing: every request is aborted");
        let at = below(&below(&at, "abort"), "percentage");
        scope.warn(&at, "fault-always", message, "lower it, or add `whenHeader`");
    }
    let delay = fault.delay.as_ref().and_then(|delay| delay.fixed_delay);
    if delay.zip(route.timeout).is_some_and(|(delay, timeout)| delay >= timeout) {
        let message = "no delayed request reaches an endpoint: the delay counts against the route's `timeout`";
        let at = below(&below(&at, "delay"), "fixedDelay");
        scope.warn(&at, "fault-beyond-timeout", message, "keep it if a 504 is what you want to see");
    }
}
