//! What operators do to endpoints over the admin API.

use http::StatusCode;
use serde_json::{Value, json};

use super::audit::Operator;
use super::control::{AdminControl, EndpointOrder, NotDone};
use super::query::Query;
use crate::cluster::{EndpointRefusal, EndpointVerb};

/// Has an operator's request carried out and returns the result.
///
/// # Errors
/// When it was not taken.
pub(super) async fn operate(
    control: &AdminControl,
    operator: &Operator<'_>,
    query: &Query,
) -> Result<(StatusCode, Value), NotDone> {
    let text = |name| query.text(name).unwrap_or_default();
    let cluster = text("cluster");
    let verb = match text("verb") {
        "drain" => EndpointVerb::Drain { force: query.is_on("force") },
        "undrain" => EndpointVerb::Undrain,
        _ => EndpointVerb::Uneject,
    };
    let order = EndpointOrder {
        cluster: cluster.to_owned(),
        endpoint: text("endpoint").to_owned(),
        verb,
        by: operator.name(text("by")),
        reason: text("reason").to_owned(),
    };
    Ok(match control.operate(order).await? {
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            (StatusCode::OK, json!({ "done": verb.word(), "cluster": cluster, "endpoints": addresses }))
        }
        Err(error @ (EndpointRefusal::NoCluster | EndpointRefusal::Unknown)) => refused(StatusCode::NOT_FOUND, &error),
        Err(
            error @ (EndpointRefusal::LastOne
            | EndpointRefusal::Draining
            | EndpointRefusal::NotDraining
            | EndpointRefusal::NotEjected),
        ) => refused(StatusCode::CONFLICT, &error),
    })
}

fn refused(status: StatusCode, why: &EndpointRefusal) -> (StatusCode, Value) {
    (status, json!({ "error": why.to_string() }))
}
