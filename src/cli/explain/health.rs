//! The line about a cluster's health check.

use crate::config::model::Cluster;

/// The line of a cluster that has one.
pub(super) fn lines(cluster: &Cluster) -> Vec<String> {
    cluster.health_check.iter().map(|check| format!("health    {check}")).collect()
}
