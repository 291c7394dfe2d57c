//! Faults of a route.

use std::time::{Duration, UNIX_EPOCH};

use super::{Scope, headers, to_usize};
use crate::config::model::{
    AbortAnswer, AbortFault, DelayFault, Disturbance, Fault, FaultByHeader, HeaderMatch, Percentage, Route, StreamFault,
};
use crate::config::node::{Step, steps};
use crate::config::raw::percentage::Percentage as RawPercentage;
use crate::config::raw::route::ValueMatch;
use crate::config::raw::timestamp::Timestamp;
use crate::config::raw::values::Time;
use crate::config::raw::{self, Named, OrOff, fault as raw_fault};
use crate::config::report::Diagnostic;

/// Resolves `fault` of the route `name`; `forwards` is false for routes that answer by themselves.
pub(super) fn resolve(
    name: &str,
    raw: Option<OrOff<raw::Fault>>,
    forwards: bool,
    scope: &mut Scope<'_>,
) -> Option<Box<Fault>> {
    let raw = raw.and_then(OrOff::on)?;
    if !forwards {
        answers_itself(name, scope);
        return None;
    }
    let nothing = raw.delay.is_none() && raw.abort.is_none() && raw.stream.is_none() && raw.by_header.is_none();
    if nothing {
        let diagnostic = Diagnostic::error("missing-field", format!("`routes.{name}.fault` says nothing to inject"));
        scope
            .missing(&steps!["routes", name, "fault"], diagnostic.hint("add `delay`, `abort`, `stream` or `byHeader`"));
    }
    let max_active =
        scope.range(&steps!["routes", name, "fault", "maxActive"], raw.max_active.unwrap_or(100), 1..=1_000_000, "");
    Some(Box::new(Fault {
        delay: raw.delay.as_ref().map(|delay| resolve_delay(name, delay, scope)),
        abort: raw.abort.as_ref().map(|abort| resolve_abort(name, abort, scope)),
        stream: raw.stream.as_ref().map(|stream| resolve_stream(name, stream, scope)),
        by_header: raw.by_header.as_ref().map(|by| resolve_by_header(name, by, scope)),
        max_active: to_usize(max_active),
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

fn resolve_delay(name: &str, raw: &raw_fault::Delay, scope: &mut Scope<'_>) -> DelayFault {
    let at = steps!["routes", name, "fault", "delay"];
    if raw.fixed_delay.is_none() {
        let diagnostic = Diagnostic::error("missing-field", "a delay says how long it is");
        scope.missing(&at, diagnostic.hint("add `fixedDelay: 2s`"));
    }
    DelayFault {
        percentage: share(&at, raw.percentage, scope),
        fixed_delay: pause(&at, "fixedDelay", raw.fixed_delay, scope).unwrap_or_default(),
        when: when(&at, raw.when_header.as_ref(), scope),
    }
}

fn resolve_abort(name: &str, raw: &raw_fault::Abort, scope: &mut Scope<'_>) -> AbortFault {
    let at = steps!["routes", name, "fault", "abort"];
    let answer = match (raw.http_status, raw.grpc_status) {
        (Some(status), None) => AbortAnswer::Http(status.0),
        (None, Some(code)) => AbortAnswer::Grpc(code.0),
        (None, None) => {
            let diagnostic = Diagnostic::error("missing-field", "an abort says what it answers");
            scope.missing(&at, diagnostic.hint("add `httpStatus: 503` or `grpcStatus: UNAVAILABLE`"));
            AbortAnswer::Http(http::StatusCode::SERVICE_UNAVAILABLE)
        }
        (Some(status), Some(_)) => {
            let diagnostic = Diagnostic::error("conflict", "`httpStatus` and `grpcStatus` are both given");
            scope.add_key(&at, diagnostic.hint("keep one of them: each is translated where the other is wanted"));
            AbortAnswer::Http(status.0)
        }
    };
    AbortFault {
        percentage: share(&at, raw.percentage, scope),
        answer,
        when: when(&at, raw.when_header.as_ref(), scope),
    }
}

fn resolve_stream(name: &str, raw: &raw_fault::Stream, scope: &mut Scope<'_>) -> StreamFault {
    let at = steps!["routes", name, "fault", "stream"];
    if raw.cut_after_events.is_none() && raw.delay_between_events.is_none() {
        let diagnostic = Diagnostic::error("missing-field", "this does nothing to a stream");
        scope.missing(&at, diagnostic.hint("add `cutAfterEvents: 5` or `delayBetweenEvents: 1s`"));
    }
    StreamFault {
        percentage: share(&at, raw.percentage, scope),
        disturbance: Disturbance {
            cut_after: raw.cut_after_events,
            delay: pause(&at, "delayBetweenEvents", raw.delay_between_events, scope),
        },
        when: when(&at, raw.when_header.as_ref(), scope),
    }
}

fn resolve_by_header(name: &str, raw: &raw_fault::ByHeader, scope: &mut Scope<'_>) -> FaultByHeader {
    let at = steps!["routes", name, "fault", "byHeader"];
    let clients: Vec<_> = raw.clients.iter().flat_map(|many| &many.0).collect();
    let when = when(&at, raw.when_header.as_ref(), scope);
    if clients.is_empty() && when.is_empty() {
        let diagnostic =
            Diagnostic::error("missing-field", "every client could ask for faults: this does not say who may");
        scope.missing(&at, diagnostic.hint("add `clients: [10.0.0.0/8]` or `whenHeader: { x-chaos: .. }`"));
    }
    FaultByHeader {
        percentage: raw.percentage.map_or(Percentage::ALL, |share| share.0),
        max_delay: pause(&at, "maxDelay", raw.max_delay, scope).unwrap_or(MAX_DELAY),
        clients: clients.iter().map(|network| network.0).collect(),
        when,
    }
}

/// A share that must be given: what is left out means everything in one proxy and nothing in another.
fn share(at: &[Step], raw: Option<RawPercentage>, scope: &mut Scope<'_>) -> Percentage {
    if raw.is_none() {
        let diagnostic = Diagnostic::error("missing-field", "a fault says how often it happens");
        scope.missing(at, diagnostic.hint("add `percentage: 1%`; Istio's default is `100%`"));
    }
    if raw.is_some_and(|share| share.0 == Percentage::NONE) {
        let path = within(at, "percentage");
        let diagnostic = Diagnostic::warning("without-effect", "0% never happens");
        scope.add(&path, diagnostic.hint("take the fault out, or raise it"));
    }
    raw.map_or(Percentage::NONE, |share| share.0)
}

fn pause(at: &[Step], key: &str, raw: Option<Time>, scope: &mut Scope<'_>) -> Option<Duration> {
    let path = within(at, key);
    let millis = u64::try_from(raw?.0.as_millis()).unwrap_or(u64::MAX);
    let millis = scope.range(&path, millis, 1..=3_600_000, "ms");
    Some(Duration::from_millis(millis))
}

fn when(at: &[Step], raw: Option<&Named<ValueMatch>>, scope: &mut Scope<'_>) -> Vec<HeaderMatch> {
    let mut matches: Vec<HeaderMatch> = Vec::new();
    for (field, value) in raw.iter().flat_map(|named| &named.0) {
        let problem = match headers::field(field) {
            Ok(name) if matches.iter().any(|other| other.name == name) => {
                Diagnostic::error("duplicate-key", format!("`{name}` is already given in another case"))
            }
            Ok(name) => {
                let value = value.0.clone();
                matches.push(HeaderMatch { name, value });
                continue;
            }
            Err(diagnostic) => *diagnostic,
        };
        let mut path = within(at, "whenHeader");
        path.push(Step::from(field.as_str()));
        scope.add_key(&path, problem);
    }
    matches
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

/// The longest delay a client may ask for when the file does not say.
const MAX_DELAY: Duration = Duration::from_secs(10);
