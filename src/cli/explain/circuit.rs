//! A cluster's ceilings and its breaker.

use crate::config::model::Cluster;

/// One line for the ceilings and one for the breaker, where there are any.
pub(super) fn lines(cluster: &Cluster) -> Vec<String> {
    let circuit = &cluster.circuit_breaker;
    let ceilings = circuit.ceilings().map(|text| format!("ceilings  {text}"));
    let breaker = circuit.half_open.as_ref().map(|breaker| format!("breaker   {breaker}"));
    ceilings.into_iter().chain(breaker).collect()
}
