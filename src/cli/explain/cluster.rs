//! The cluster a request goes to, and its endpoints.

use crate::cli::words::time;
use crate::config::model::{BindingPlace, Cluster, Member, MemberAddress};

/// A line for the cluster and one for its endpoints.
pub(super) fn lines(cluster: &Cluster) -> Vec<String> {
    let tls = if cluster.tls.is_some() { "TLS" } else { "cleartext" };
    let connect = time(cluster.connect_timeout);
    let mut endpoints: Vec<_> = cluster.members.iter().take(MAX_ENDPOINTS).map(endpoint).collect();
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

fn endpoint(member: &Member) -> String {
    let address = match &member.address {
        MemberAddress::Socket(address) => address.to_string(),
        MemberAddress::Name { host, port } => format!("{host}:{port}"),
    };
    let weight = match member.weight {
        0 => Some("draining".to_owned()),
        1 => None,
        weight => Some(format!("weight {weight}")),
    };
    let priority = (member.priority > 0).then(|| format!("priority {}", member.priority));
    let grpc = member.grpc.map(|place| match place {
        BindingPlace::Port(port) => format!("gRPC at port {port}"),
        BindingPlace::Address(address) => format!("gRPC at {address}"),
    });
    let notes: Vec<_> = grpc.into_iter().chain(weight).chain(priority).collect();
    if notes.is_empty() { address } else { format!("{address} ({})", notes.join(", ")) }
}

const MAX_ENDPOINTS: usize = 8;
