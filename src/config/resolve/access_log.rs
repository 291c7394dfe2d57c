//! Access logs: what fits together.

use super::{Scope, tracing};
use crate::config::keys::access_log as raw;
use crate::config::model::{AccessLog, LogOutput, RecordFormat, Route};
use crate::config::node::{below, steps};

/// Every access log, in the order of the file.
pub(super) fn resolve(raw: Vec<raw::AccessLog>, routes: &[Route], scope: &mut Scope<'_>) -> Vec<AccessLog> {
    raw.into_iter().enumerate().map(|(index, raw)| one(index, raw, routes, scope)).collect()
}

fn one(index: usize, raw: raw::AccessLog, routes: &[Route], scope: &mut Scope<'_>) -> AccessLog {
    let at = scope.one_of_section(&steps!["accessLog"], index);
    let is_otlp = raw.output == Some(LogOutput::Otlp);
    if is_otlp && raw.otlp.is_none() {
        scope.lacks(&at, "there is no collector to send to", "add `otlp: { endpoint: http://otel-collector:4317 }`");
    }
    if !is_otlp && raw.otlp.is_some() {
        scope.conflict(&below(&at, "otlp"), "the log does not go there", "write `output: otlp`, or take it out");
    }
    let is_json = is_otlp || matches!(raw.format, RecordFormat::Json | RecordFormat::Auto);
    let given = [
        ("fields", raw.fields.is_some()),
        ("requestHeaders", !raw.request_headers.is_empty()),
        ("responseHeaders", !raw.response_headers.is_empty()),
    ];
    for (key, _) in given.into_iter().filter(|(_, is_given)| *is_given && !is_json) {
        scope.conflict(
            &below(&at, key),
            "only JSON has fields of one's choice",
            "write `format: json`, or take it out",
        );
    }
    if raw.fields.as_ref().is_some_and(Vec::is_empty) {
        scope.invalid(&below(&at, "fields"), "a record has at least one field", "name some, or take it out");
    }
    for (position, name) in raw.only.routes.iter().enumerate() {
        if !routes.iter().any(|route| route.name == *name) {
            let at = below(&below(&at, "only"), "routes");
            let at = scope.one_of_section(&at, position);
            scope.dangling(&at, "route", name, routes.iter().map(|route| route.name.as_str()));
        }
    }
    let otlp = raw.otlp.and_then(|otlp| tracing::otlp(&below(&at, "otlp"), otlp, scope));
    AccessLog {
        output: raw.output,
        format: raw.format,
        otlp,
        fields: raw.fields,
        request_headers: raw.request_headers,
        response_headers: raw.response_headers,
        redact_headers: raw.redact_headers,
        redact: raw.redact,
        sample: raw.sample,
        statuses: raw.only.statuses,
        min_duration: raw.only.min_duration.unwrap_or_default(),
        routes: raw.only.routes,
        exclude: raw.exclude,
    }
}
