//! What operators do to endpoints over the admin API.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::audit::Operator;
use super::query::Query;
use crate::cluster::{EndpointRefusal, EndpointVerb};
use crate::snapshot::Snapshot;

/// Carries out an operator's request and returns the result.
pub(super) fn operate(snapshot: &Snapshot, operator: &Operator<'_>, query: &Query) -> (StatusCode, Value) {
    let text = |name| query.text(name).unwrap_or_default();
    let (cluster, endpoint, word) = (text("cluster"), text("endpoint"), text("verb"));
    let Some(found) = snapshot.clusters.iter().find(|known| *known.name == *cluster) else {
        return refused(StatusCode::NOT_FOUND, "there is no such cluster");
    };
    let verb = match word {
        "drain" => EndpointVerb::Drain { force: query.is_on("force") },
        "undrain" => EndpointVerb::Undrain,
        _ => EndpointVerb::Uneject,
    };
    match found.operate(endpoint, verb, Instant::now()) {
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let detail = format!("{cluster} {} {}", addresses.join(" "), text("reason"));
            operator.changed(snapshot, word, text("by"), None, detail.trim_end());
            (StatusCode::OK, json!({ "done": word, "cluster": cluster, "endpoints": addresses }))
        }
        Err(error @ EndpointRefusal::Unknown) => refused(StatusCode::NOT_FOUND, &error.to_string()),
        Err(
            error @ (EndpointRefusal::LastOne
            | EndpointRefusal::Draining
            | EndpointRefusal::NotDraining
            | EndpointRefusal::NotEjected),
        ) => refused(StatusCode::CONFLICT, &error.to_string()),
    }
}

fn refused(status: StatusCode, why: &str) -> (StatusCode, Value) {
    (status, json!({ "error": why }))
}
