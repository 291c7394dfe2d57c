//! A cluster's ceilings, the limit that it finds out, and its breaker.

use crate::config::model::Cluster;

/// One line for each, where there are any.
pub(super) fn lines(cluster: &Cluster) -> Vec<String> {
    let circuit = &cluster.circuit_breaker;
    let ceilings = circuit.ceilings().map(|text| format!("ceilings  {text}"));
    let breaker = circuit.half_open.as_ref().map(|breaker| format!("breaker   {breaker}"));
    let adaptive = cluster.adaptive_concurrency.as_ref().map(|adaptive| format!("adaptive  {adaptive}"));
    ceilings.into_iter().chain(adaptive).chain(breaker).collect()
}
