//! Faults of a route.

use std::time::UNIX_EPOCH;

use super::{Scope, headers};
use crate::config::model::{
    AbortAnswer, AbortFault, DelayFault, Disturbance, Fault, FaultByHeader, Percentage, Route, StreamFault,
};
use crate::config::node::{Step, steps};
use crate::config::raw::timestamp::Timestamp;
use crate::config::raw::{self, fault as raw_fault};
use crate::config::report::Diagnostic;

/// Resolves `fault` of the route `name`; `forwards` is false for routes that answer by themselves.
pub(super) fn resolve(
    name: &str,
    raw: Option<raw::Fault>,
    forwards: bool,
    scope: &mut Scope<'_>,
) -> Option<Box<Fault>> {
    let raw = raw?;
    if !forwards {
        answers_itself(name, scope);
        return None;
    }
    let nothing = raw.delay.is_none() && raw.abort.is_none() && raw.stream.is_none() && raw.by_header.is_none();
    if nothing {
        let diagnostic = Diagnostic::lacks(format!("`routes.{name}.fault` says nothing to inject"));
        scope
            .missing(&steps!["routes", name, "fault"], diagnostic.hint("add `delay`, `abort`, `stream` or `byHeader`"));
    }
    Some(Box::new(Fault {
        delay: raw.delay.as_ref().map(|delay| resolve_delay(name, delay, scope)),
        abort: raw.abort.as_ref().map(|abort| resolve_abort(name, abort, scope)),
        stream: raw.stream.as_ref().map(|stream| resolve_stream(name, stream, scope)),
        by_header: raw.by_header.as_ref().map(|by| resolve_by_header(name, by, scope)),
        max_active: raw.max_active,
        until: raw.until.map(Timestamp::since_epoch),
    }))
}

/// Says so, unless the fault is one of all routes.
fn answers_itself(name: &str, scope: &mut Scope<'_>) {
    let route = scope.tree.get("defaults").and_then(|all| all.get("route"));
    if route.is_some_and(|route| route.get("fault").is_some()) {
        return;
    }
    let diagnostic =
        Diagnostic::warning("without-effect", format!("`routes.{name}` answers by itself, where no fault is injected"));
    scope.add_key(&steps!["routes", name, "fault"], diagnostic.hint("take it out"));
}

fn resolve_delay(name: &str, raw: &raw_fault::DelayFault, scope: &mut Scope<'_>) -> DelayFault {
    let at = steps!["routes", name, "fault", "delay"];
    if raw.fixed_delay.is_none() {
        let diagnostic = Diagnostic::lacks("a delay says how long it is");
        scope.missing(&at, diagnostic.hint("add `fixedDelay: 2s`"));
    }
    DelayFault {
        percentage: share(&at, raw.percentage, scope),
        fixed_delay: raw.fixed_delay.unwrap_or_default(),
        when: headers::matches(&within(&at, "whenHeader"), &raw.when_header, scope),
    }
}

fn resolve_abort(name: &str, raw: &raw_fault::AbortFault, scope: &mut Scope<'_>) -> AbortFault {
    let at = steps!["routes", name, "fault", "abort"];
    let answer = match (raw.http_status, raw.grpc_status) {
        (Some(status), None) => AbortAnswer::Http(status),
        (None, Some(code)) => AbortAnswer::Grpc(code),
        (None, None) => {
            let diagnostic = Diagnostic::lacks("an abort says what it answers");
            scope.missing(&at, diagnostic.hint("add `httpStatus: 503` or `grpcStatus: UNAVAILABLE`"));
            AbortAnswer::Http(http::StatusCode::SERVICE_UNAVAILABLE)
        }
        (Some(status), Some(_)) => {
            let diagnostic = Diagnostic::conflict("`httpStatus` and `grpcStatus` are both given");
            scope.add_key(&at, diagnostic.hint("keep one of them: each is translated where the other is wanted"));
            AbortAnswer::Http(status)
        }
    };
    AbortFault {
        percentage: share(&at, raw.percentage, scope),
        answer,
        when: headers::matches(&within(&at, "whenHeader"), &raw.when_header, scope),
    }
}

fn resolve_stream(name: &str, raw: &raw_fault::StreamFault, scope: &mut Scope<'_>) -> StreamFault {
    let at = steps!["routes", name, "fault", "stream"];
    if raw.cut_after_events.is_none() && raw.delay_between_events.is_none() {
        let diagnostic = Diagnostic::lacks("this does nothing to a stream");
        scope.missing(&at, diagnostic.hint("add `cutAfterEvents: 5` or `delayBetweenEvents: 1s`"));
    }
    StreamFault {
        percentage: share(&at, raw.percentage, scope),
        disturbance: Disturbance { cut_after: raw.cut_after_events, delay: raw.delay_between_events },
        when: headers::matches(&within(&at, "whenHeader"), &raw.when_header, scope),
    }
}

fn resolve_by_header(name: &str, raw: &raw_fault::FaultByHeader, scope: &mut Scope<'_>) -> FaultByHeader {
    let at = steps!["routes", name, "fault", "byHeader"];
    let when = headers::matches(&within(&at, "whenHeader"), &raw.when_header, scope);
    if raw.clients.is_empty() && when.is_empty() {
        let diagnostic = Diagnostic::lacks("every client could ask for faults: this does not say who may");
        scope.missing(&at, diagnostic.hint("add `clients: [10.0.0.0/8]` or `whenHeader: { x-chaos: .. }`"));
    }
    FaultByHeader { percentage: raw.percentage, max_delay: raw.max_delay, clients: raw.clients.clone(), when }
}

/// A share that must be given: what is left out means everything in one proxy and nothing in another.
fn share(at: &[Step], raw: Option<Percentage>, scope: &mut Scope<'_>) -> Percentage {
    if raw.is_none() {
        let diagnostic = Diagnostic::lacks("a fault says how often it happens");
        scope.missing(at, diagnostic.hint("add `percentage: 1%`; Istio's default is `100%`"));
    }
    if raw == Some(Percentage::NONE) {
        let path = within(at, "percentage");
        let diagnostic = Diagnostic::warning("without-effect", "0% never happens");
        scope.add(&path, diagnostic.hint("take the fault out, or raise it"));
    }
    raw.unwrap_or(Percentage::NONE)
}

fn within(at: &[Step], key: &str) -> Vec<Step> {
    let mut path = at.to_vec();
    path.push(Step::from(key));
    path
}

/// What is legal but probably not meant.
pub(super) fn lint(route: &Route, scope: &mut Scope<'_>) {
    let Some(fault) = &route.fault else { return };
    let at = steps!["routes", route.name.as_str(), "fault"];
    let now = scope.env.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match fault.until {
        None => {
            let diagnostic =
                Diagnostic::warning("fault-without-end", format!("the faults of `routes.{}` never end", route.name));
            scope.add_key(&at, diagnostic.hint("add `until: 2026-12-31T00:00:00Z`"));
        }
        Some(until) if until <= now => {
            let diagnostic =
                Diagnostic::warning("without-effect", format!("the faults of `routes.{}` are over", route.name));
            scope.add(&within(&at, "until"), diagnostic.hint("take `fault` out, or set a later moment"));
        }
        Some(_) => {}
    }
    if let Some(abort) = &fault.abort
        && abort.percentage == Percentage::ALL
        && abort.when.is_empty()
    {
        let diagnostic = Diagnostic::warning(
            "fault-always",
            format!("`routes.{}` forwards nothing: every request is aborted", route.name),
        );
        scope.add(
            &steps!["routes", route.name.as_str(), "fault", "abort", "percentage"],
            diagnostic.hint("lower it, or add `whenHeader`"),
        );
    }
    if let (Some(delay), Some(timeout)) = (&fault.delay, route.timeout)
        && delay.fixed_delay >= timeout
    {
        let diagnostic = Diagnostic::warning(
            "fault-beyond-timeout",
            "no delayed request reaches an endpoint: the delay counts against the route's `timeout`",
        );
        scope.add(
            &steps!["routes", route.name.as_str(), "fault", "delay", "fixedDelay"],
            diagnostic.hint("keep it if a 504 is what you want to see"),
        );
    }
}
