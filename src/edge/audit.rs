//! Tells the audit log of decisions about requests.

use http::HeaderValue;

use super::exchange::Exchange;
use super::facts::without_userinfo;
use super::stage::Entry;
use crate::a2a::Operation;
use crate::error::Error;
use crate::observe::audit::{AuditDecision, AuditEvent, AuditedClient, AuditedRequest};
use crate::observe::handles::RouteHandles;

/// A request was refused. Most errors are no decision, and are not told of.
pub(super) fn refused(exchange: &Exchange, entry: &Entry, error: &Error) {
    tell(exchange, entry, error, AuditDecision::Refused, noted(exchange, error));
}

/// It would have been refused with this error, if the rule were enforced.
pub(super) fn shadow(exchange: &Exchange, entry: &Entry, error: &Error) {
    tell(exchange, entry, error, AuditDecision::Shadow, noted(exchange, error));
}

/// The same where a rule says so that counts for nothing else.
pub(super) fn shadow_by(exchange: &Exchange, entry: &Entry, error: &Error, rule: Option<&str>) {
    tell(exchange, entry, error, AuditDecision::Shadow, rule);
}

/// The client is blocked from now on.
pub(super) fn blocked(exchange: &Exchange, entry: &Entry, error: &Error) {
    tell(exchange, entry, error, AuditDecision::Blocked, None);
}

/// The rule or pattern of the route that the error is about.
fn noted<'e>(exchange: &'e Exchange, error: &Error) -> Option<&'e str> {
    let noted = exchange.client.noted.as_deref()?;
    match error {
        Error::Forbidden => noted.rule.as_deref(),
        Error::Screened => noted.pattern.as_deref(),
        _ => None,
    }
}

fn tell(exchange: &Exchange, entry: &Entry, error: &Error, decision: AuditDecision, by: Option<&str>) {
    let Some(sink) = &exchange.worker.audit else { return };
    let Some((kind, rule)) = error.audited() else { return };
    let (request, identity) = (&exchange.request, &exchange.client.identity);
    let principal = identity.principal.as_deref();
    let authority = without_userinfo(request.asked());
    let is_over = decision == AuditDecision::Refused;
    let event = AuditEvent {
        time: request.time,
        kind,
        decision,
        reason: error.reason(),
        rule: rule.or(by),
        request: Some(AuditedRequest {
            id: request.id.as_ref().map_or(b"-", HeaderValue::as_bytes),
            trace_id: request.trace_id,
            principal: identity.name(),
            auth: principal.map(|principal| &*principal.provider),
            tenant: exchange.tenant(),
            listener: entry.settings().ok().map(|listener| listener.name.as_str()),
            route: exchange.route.id.and(exchange.route.handles.as_ref()).map(RouteHandles::route),
            operation: exchange.operation.map(Operation::name),
            method: request.method.as_str(),
            authority: if authority.is_empty() { "-" } else { authority },
            path: request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            status: is_over.then_some(exchange.outcome.status),
        }),
        client: Some(AuditedClient::Address(exchange.client.address)),
        by: None,
        detail: None,
    };
    sink.tell(&entry.config().audit_log, &event);
}
