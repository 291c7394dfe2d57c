//! What is sent, where it goes and how often, and what comes back.

use super::subject::Subject;
use crate::cli::words::labelled;
use crate::config::model::{Action, Cluster};
use crate::route;
use crate::upstream::Repeat;

/// How the route's traffic is divided, and what moves that.
pub(super) fn split(subject: &Subject<'_>) -> Vec<String> {
    let Action::Split(split) = &subject.settings().action else {
        return Vec::new();
    };
    let steps = split.steps().map(|steps| labelled("rollout", steps));
    [labelled("split", split)].into_iter().chain(steps).collect()
}

/// The request as the endpoint sees it, and how large and how long it and its answer may be.
pub(super) fn request(subject: &Subject<'_>) -> Vec<String> {
    let (route, facts) = (subject.settings(), subject.facts);
    let changes = route.request_headers.names().map(|names| labelled("headers", format_args!("request: {names}")));
    if subject.clusters().is_empty() {
        return changes.into_iter().collect();
    }
    let sent = [labelled("path sent", path(subject)), labelled("host sent", route.upstream_host.sent(facts.host))];
    let limits = labelled("limits", route.sizes(&subject.listener.limits));
    sent.into_iter().chain(changes).chain([limits, labelled("timeouts", route.times(facts.method))]).collect()
}

fn path(subject: &Subject<'_>) -> String {
    let facts = subject.facts;
    let (Some(rewrite), Some(matched)) = (&subject.settings().rewrite, subject.path()) else {
        let query = facts.query.map(|query| format!("?{query}"));
        return format!("{}{}", facts.path, query.unwrap_or_default());
    };
    match route::rewrite(rewrite, matched, facts.path, facts.query) {
        Ok(target) => format!("{target} (rewritten)"),
        Err(reason) => format!("none: the rewrite makes no valid path, the answer is 400 ({reason})"),
    }
}

/// Whether another cluster gets a copy.
pub(super) fn mirror(subject: &Subject<'_>) -> Vec<String> {
    let mirror = subject.settings().mirror.iter().filter(|_| subject.route.mirrors.is_some());
    mirror.map(|mirror| labelled("mirror", mirror.settings.copy_of(subject.method()))).collect()
}

/// Each cluster that the request may go to.
pub(super) fn clusters(subject: &Subject<'_>) -> Vec<String> {
    subject.clusters().into_iter().flat_map(cluster).collect()
}

/// A cluster, which of its endpoints are used, what it carries at once and how it is checked.
fn cluster(cluster: &Cluster) -> Vec<String> {
    let shown = cluster.members.iter().take(MAX_ENDPOINTS).map(ToString::to_string);
    let more = cluster.members.len().saturating_sub(MAX_ENDPOINTS);
    let more = (more > 0).then(|| format!("and {more} more"));
    let endpoints: Vec<_> = shown.chain(more).collect();
    let ejection = cluster.outlier_detection.as_ref().map_or_else(|| "off".to_owned(), ToString::to_string);
    let always = [
        labelled("cluster", cluster),
        labelled("endpoints", endpoints.join(", ")),
        labelled("use", cluster.preference()),
        labelled("ejection", ejection),
    ];
    let circuit = &cluster.circuit_breaker;
    let if_set = [
        circuit.ceilings().map(|ceilings| labelled("ceilings", ceilings)),
        cluster.adaptive_concurrency.as_ref().map(|adaptive| labelled("adaptive", adaptive)),
        circuit.half_open.as_ref().map(|breaker| labelled("breaker", breaker)),
        cluster.health_check.as_ref().map(|check| labelled("health", check)),
    ];
    always.into_iter().chain(if_set.into_iter().flatten()).collect()
}

/// How often the request is tried again, on a route that forwards.
pub(super) fn retries(subject: &Subject<'_>) -> Vec<String> {
    if subject.clusters().is_empty() {
        return Vec::new();
    }
    let method = subject.method();
    let retries = Repeat::of_method(method).retries(&subject.settings().retries);
    vec![labelled("retries", retries.unwrap_or_else(|| format!("none for {method}")))]
}

/// Changes to the answer.
pub(super) fn response(subject: &Subject<'_>) -> Vec<String> {
    let changes = subject.settings().response_headers.names();
    changes.iter().map(|names| labelled("headers", format_args!("response: {names}"))).collect()
}

const MAX_ENDPOINTS: usize = 8;
