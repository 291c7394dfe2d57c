//! The request as the endpoint sees it, the answer as the client sees it, and how large and how long they may be.

use super::subject::Subject;
use crate::cli::words::{bytes, time, time_or_none};
use crate::config::model::{HeaderChanges, UpstreamHost};
use crate::route;
use http::Method;

/// Path, host and fields that are sent, and the limits of a request that is forwarded.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let changes = changes("request", &subject.settings().request_headers);
    if subject.clusters().is_empty() {
        return changes.into_iter().collect();
    }
    let sent = [path(subject), host(subject)];
    sent.into_iter().chain(changes).chain([limits(subject), timeouts(subject)]).collect()
}

/// Changes to the fields of the answer.
pub(super) fn response(subject: &Subject<'_>) -> Vec<String> {
    changes("response", &subject.settings().response_headers).into_iter().collect()
}

fn path(subject: &Subject<'_>) -> String {
    let facts = subject.facts;
    let query = facts.query.map(|query| format!("?{query}")).unwrap_or_default();
    match (&subject.settings().rewrite, subject.path()) {
        (Some(rewrite), Some(matched)) => match route::rewrite(rewrite, matched, facts.path, facts.query) {
            Ok(target) => format!("path sent {target} (rewritten)"),
            Err(reason) => format!("path sent none: the rewrite makes no valid path, the answer is 400 ({reason})"),
        },
        _ => format!("path sent {}{query}", facts.path),
    }
}

fn host(subject: &Subject<'_>) -> String {
    match &subject.settings().upstream_host {
        UpstreamHost::Preserve => format!("host sent {} (the client's)", subject.facts.host),
        UpstreamHost::Endpoint => "host sent the endpoint's name and port".to_owned(),
        UpstreamHost::Fixed(value) => format!("host sent {}", String::from_utf8_lossy(value.as_bytes())),
    }
}

fn limits(subject: &Subject<'_>) -> String {
    let (route, limits) = (subject.settings(), &subject.listener.limits);
    let body = route.body_limit(limits).map_or_else(|| "unlimited".to_owned(), bytes);
    format!(
        "limits    body {body}, head {} in {} fields, target {}, websocket {}",
        bytes(limits.max_header_bytes as u64),
        limits.max_headers,
        bytes(limits.max_target_bytes as u64),
        if route.websocket { "allowed" } else { "refused" },
    )
}

fn timeouts(subject: &Subject<'_>) -> String {
    let route = subject.settings();
    let head = time_or_none(route.head_limit(matches!(*subject.method(), Method::GET | Method::HEAD), false));
    let whole =
        route.timeout.map_or_else(|| "none".to_owned(), |limit| format!("{} (of a stream only its head)", time(limit)));
    format!(
        "timeouts  response head {head}, whole {whole}, stream silence {}, stream life {}",
        time_or_none(route.streaming.idle_timeout),
        time_or_none(route.streaming.max_duration),
    )
}

/// Names only: values may be credentials.
fn changes(direction: &str, changes: &HeaderChanges) -> Option<String> {
    let removed = changes.remove.iter().map(|name| format!("-{name}"));
    let set = changes.set.iter().map(|(name, _)| format!("={name}"));
    let added = changes.add.iter().map(|(name, _)| format!("+{name}"));
    let hsts = changes.hsts.as_ref().map(|_| "=strict-transport-security".to_owned());
    let all: Vec<_> = removed.chain(set).chain(added).chain(hsts).collect();
    (!all.is_empty()).then(|| format!("headers   {direction}: {} (- removed, = set, + added)", all.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_not_shown() {
        let set = vec![(http::header::AUTHORIZATION, http::HeaderValue::from_static("secret"))];
        let line = changes("request", &HeaderChanges { set, ..HeaderChanges::default() }).unwrap();
        assert!(line.contains("=authorization") && !line.contains("secret"), "{line}");
    }
}
