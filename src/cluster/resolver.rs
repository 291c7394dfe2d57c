//! The real resolver: `/etc/hosts`, then the DNS servers of the system or of the configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use tokio::time::Instant;

use super::dns::{Answer, Error, Resolve};
use super::system::{self, HostsFile};
use crate::config::model::Dns;

/// Asks the hosts file and DNS. Does not cache: the caller keeps answers. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    dns: TokioResolver,
    hosts: Arc<HostsFile>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// Reads the system's settings and hosts file, which are used until the next [`Resolver`] is made.
    ///
    /// # Errors
    /// The settings make no resolver.
    pub fn new(settings: &Dns) -> Result<Self, NetError> {
        let (mut config, mut options) = system::resolv_conf();
        if !settings.servers.is_empty() {
            config.name_servers = settings
                .servers
                .iter()
                .map(|server| name_server(*server))
                .collect();
        }
        // Refresh intervals are kept by the clusters; a cache below them would only add its own delay.
        options.cache_size = 0;
        // Hickory asks DNS for the family a hosts entry lacks; the lookup below does not.
        options.use_hosts_file = ResolveHosts::Never;
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self {
            dns: builder.build()?,
            hosts: Arc::new(HostsFile::of_system()),
        })
    }
}

impl Resolve for Resolver {
    async fn resolve(&self, host: &str) -> Result<Answer, Error> {
        if is_localhost(host) {
            return Ok(Answer {
                addresses: vec![Ipv4Addr::LOCALHOST.into()],
                ttl: STATIC_TTL,
            });
        }
        let addresses = self.hosts.addresses(host);
        if !addresses.is_empty() {
            return Ok(Answer {
                addresses,
                ttl: STATIC_TTL,
            });
        }
        // Text would be read as an international name, which has no underscores.
        let name = Name::from_ascii(host).map_err(|error| Error::Failed(error.into()))?;
        let lookup = self.dns.lookup_ip(name).await.map_err(|error| {
            if error.is_no_records_found() {
                Error::NoAddresses
            } else {
                Error::Failed(error)
            }
        })?;
        let addresses = usable(lookup.iter().collect(), has_route);
        if addresses.is_empty() {
            return Err(Error::NoAddresses);
        }
        let ttl = Instant::from_std(lookup.valid_until()).saturating_duration_since(Instant::now());
        Ok(Answer { addresses, ttl })
    }
}

/// RFC 6761 section 6.3. One address, not two: what listens on "localhost" nearly always does so on IPv4, and as an endpoint of
/// its own `::1` would only fail.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost")
}

/// Leaves out the addresses of a family this machine has no route to, unless that would leave none (RFC 6724 section 6, rule 1).
/// A machine without IPv6 would otherwise see half of the endpoints of a dual-stack name fail.
fn usable(addresses: Vec<IpAddr>, has_route: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let is_mixed = addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(IpAddr::is_ipv6);
    if !is_mixed {
        return addresses;
    }
    let (reachable, unreachable): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|ip| has_route(*ip));
    if reachable.is_empty() {
        unreachable
    } else {
        reachable
    }
}

/// Connecting a UDP socket sends nothing but fails without a route.
fn has_route(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| socket.connect((ip, 9)))
        .is_ok()
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = server.port();
    }
    NameServerConfig::new(server.ip(), true, connections.into())
}

/// The hosts file has no time to live, and is read once.
const STATIC_TTL: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::{RData, Record, RecordType};
    use tokio::net::UdpSocket as Socket;

    use super::*;

    /// A name server that knows the IPv4 address of `agent.test`, with a TTL of 42 s.
    async fn name_server_task(socket: Socket) {
        let mut buffer = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let question = query.queries[0].clone();
            let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
            reply.add_query(question.clone());
            if question.name().to_ascii() != "agent.test." {
                reply.metadata.response_code = ResponseCode::NXDomain;
            } else if question.query_type() == RecordType::A {
                reply.add_answer(Record::from_rdata(
                    question.name().clone(),
                    42,
                    RData::A(Ipv4Addr::new(10, 0, 0, 7).into()),
                ));
            }
            socket
                .send_to(&reply.to_vec().unwrap(), peer)
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn configured_servers_are_asked() {
        let socket = Socket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        let task = tokio::spawn(name_server_task(socket));
        let resolver = Resolver::new(&Dns {
            servers: vec![server],
        })
        .unwrap();
        for _ in 0..2 {
            let answer = resolver.resolve("agent.test.").await.unwrap();
            assert_eq!(answer.addresses, [IpAddr::from([10, 0, 0, 7])]);
            assert!(
                (40..=42).contains(&answer.ttl.as_secs()),
                "ttl is {:?}",
                answer.ttl
            );
        }
        let missing = resolver.resolve("nobody.test.").await;
        assert!(matches!(missing, Err(Error::NoAddresses)), "{missing:?}");
        task.abort();
    }

    #[tokio::test]
    async fn localhost_and_the_hosts_file_need_no_server() {
        let mut resolver = Resolver::new(&Dns {
            servers: vec!["127.0.0.1:1".parse().unwrap()],
        })
        .unwrap();
        let hosts = b"10.1.1.1 agent other my_agent\nfd00::1 agent\n";
        resolver.hosts = HostsFile::parse(hosts).into();
        for (host, expected) in [
            ("localhost", vec!["127.0.0.1"]),
            ("agents.localhost", vec!["127.0.0.1"]),
            ("agent", vec!["10.1.1.1", "fd00::1"]),
            ("other", vec!["10.1.1.1"]),
            ("my_agent", vec!["10.1.1.1"]),
        ] {
            let answer = resolver.resolve(host).await.unwrap();
            let found: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{host}");
        }
    }

    #[test]
    fn families_without_a_route_are_left_out_of_mixed_answers() {
        let v4 = IpAddr::from([10, 0, 0, 1]);
        let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
        for (answer, route_v4, route_v6, expected) in [
            (vec![v4, v6], true, true, vec![v4, v6]),
            (vec![v4, v6], true, false, vec![v4]),
            (vec![v4, v6], false, true, vec![v6]),
            (vec![v4, v6], false, false, vec![v4, v6]),
            (vec![v6], true, false, vec![v6]),
        ] {
            let has_route = |ip: IpAddr| if ip.is_ipv4() { route_v4 } else { route_v6 };
            assert_eq!(usable(answer, has_route), expected);
        }
    }
}
