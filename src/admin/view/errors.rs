//! Recent errors by their causes.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::moment;
use crate::observe::live::{ErrorGroup, Errors};

/// Recent errors, the latest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct ErrorsView {
    errors: Vec<ErrorView>,
}

/// Errors of one cause.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ErrorView {
    status: u16,
    /// The reason word; null where an agent answered so.
    reason: Option<&'static str>,
    /// How calls failed inside the agents' answers.
    fault: Option<&'static str>,
    route: String,
    cluster: String,
    /// Flags of the access log.
    flags: &'static str,
    /// How often, since this cause is remembered.
    count: u64,
    first: String,
    last: String,
    /// The access record of a request that shows it, one of the last.
    example: Value,
}

/// At most `most` causes that `wants`.
pub(in crate::admin) fn list(errors: &Errors, most: usize, wants: impl Fn(&ErrorGroup) -> bool) -> ErrorsView {
    let errors = errors.groups().into_iter().filter(wants).take(most).map(|group| ErrorView {
        status: group.status,
        reason: group.reason,
        fault: group.fault,
        route: group.route,
        cluster: group.cluster,
        flags: group.flags,
        count: group.count,
        first: moment(group.first),
        last: moment(group.last),
        example: serde_json::from_str(&group.example).unwrap_or_default(),
    });
    ErrorsView { errors: errors.collect() }
}
