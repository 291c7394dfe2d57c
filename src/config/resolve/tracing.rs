//! Tracing: collectors, and what routes say.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Scope, credentials_file};
use crate::config::certs;
use crate::config::keys::{OrOff, tracing as raw};
use crate::config::keys_file::entries;
use crate::config::model::{Otlp, RouteTracing, Scheme, Tracing};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;

/// `None` where nothing is traced.
pub(super) fn resolve(raw: Option<raw::Tracing>, scope: &mut Scope<'_>) -> Option<Tracing> {
    let raw = raw?;
    let at = steps!["tracing"];
    let otlp = raw.otlp.and_then(|otlp| self::otlp(&below(&at, "otlp"), otlp, scope));
    if raw.service_name.trim().is_empty() {
        scope.invalid(&below(&at, "serviceName"), "a service has a name", "write `serviceName: attache`");
    }
    Some(Tracing {
        otlp,
        sampling: raw.sampling,
        follow_parent: raw.follow_parent,
        keep: raw.keep,
        propagation: raw.propagation,
        service_name: raw.service_name,
        attributes: raw.attributes,
    })
}

/// The collector described at `at`; `None` when that was reported.
pub(super) fn otlp(at: &[Step], raw: raw::Otlp, scope: &mut Scope<'_>) -> Option<Otlp> {
    if !cfg!(feature = "otlp") {
        scope.conflict(at, "this build of attache exports nothing over OTLP", "build it with the feature `otlp`");
    }
    let Some(url) = raw.endpoint else {
        let name = scope.tree.locate(at).path;
        scope.lacks(at, format!("`{name}` has no `endpoint`"), "add `endpoint: http://otel-collector:4317`");
        return None;
    };
    if let Some(Err(problem)) = raw.ca_file.as_deref().map(|file| certs::bundle(file, scope.env)) {
        scope.add(&below(at, "caFile"), problem.diagnostic(scope.env));
    }
    let headers = raw.headers_file.as_deref().map(|file| headers(at, file, scope)).unwrap_or_default();
    if !headers.is_empty() && url.scheme == Scheme::Http && !url.is_local() {
        let message = "the fields of `headersFile` go there in the clear";
        scope.warn(&below(at, "endpoint"), "asks-in-the-clear", message, "use https, or a collector on this machine");
    }
    Some(Otlp { url, protocol: raw.protocol, headers, ca_file: raw.ca_file, timeout: raw.timeout })
}

/// Fields of a file, a line `name: value` for each. What is wrong is said by the number of its line.
fn headers(at: &[Step], file: &Path, scope: &mut Scope<'_>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let Some(bytes) = credentials_file::read(at, "headersFile", file, scope) else { return fields };
    for (line, text) in entries(&bytes) {
        let field = text.ok().and_then(|text| text.split_once(':'));
        let name = field.and_then(|(name, _)| HeaderName::try_from(name.trim()).ok());
        let value = field.and_then(|(_, value)| HeaderValue::try_from(value.trim()).ok());
        match name.zip(value) {
            Some((name, mut value)) => {
                value.set_sensitive(true);
                fields.append(name, value);
            }
            None => {
                let message = format!("line {line} of `{}` is no header field", file.display());
                scope.add(&below(at, "headersFile"), Diagnostic::invalid(message).hint("write `name: value`"));
            }
        }
    }
    fields
}

/// What a route says.
pub(super) fn of_route(raw: Option<OrOff<raw::RouteTracing>>) -> RouteTracing {
    match raw.map(OrOff::on) {
        None => RouteTracing::Default,
        Some(None) => RouteTracing::Off,
        Some(Some(given)) => given.sampling.map_or(RouteTracing::Default, RouteTracing::Share),
    }
}
