//! The cluster a request goes to, and its endpoints.

use crate::cli::words::time;
use crate::config::model::Cluster;

/// A line for the cluster and one for its endpoints.
pub(super) fn lines(cluster: &Cluster) -> Vec<String> {
    let tls = if cluster.tls.is_some() { "TLS" } else { "cleartext" };
    let connect = time(cluster.connect_timeout);
    let mut endpoints: Vec<_> = cluster.members.iter().take(MAX_ENDPOINTS).map(ToString::to_string).collect();
    let more = cluster.members.len().saturating_sub(MAX_ENDPOINTS);
    if more > 0 {
        endpoints.push(format!("and {more} more"));
    }
    vec![
        format!(
            "cluster   {}, {}, {}, {tls}, connect timeout {connect}",
            cluster.name, cluster.load_balancer, cluster.protocol
        ),
        format!("endpoints {}", endpoints.join(", ")),
    ]
}

const MAX_ENDPOINTS: usize = 8;
