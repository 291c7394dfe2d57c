//! The real resolver: `/etc/hosts`, then the DNS servers of the system or of the configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::Instant;

use super::answer::{Error, Family, Resolve, ResolvedName};
use super::lookup::{Found, Lack, Reply, families};
use super::system::{self, HostsFile};
use crate::config::model::Dns;

/// Asks the hosts file and DNS. Does not cache: the caller keeps answers. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    dns: TokioResolver,
    hosts: Arc<HostsFile>,
    search: Arc<[Name]>,
    ndots: usize,
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
            config.name_servers = settings.servers.iter().map(|server| name_server(*server)).collect();
        }
        // Refresh intervals are kept by the clusters; a cache below them would only add its own delay.
        options.cache_size = 0;
        // Hickory asks DNS for the family a hosts entry lacks; the lookup below does not.
        options.use_hosts_file = ResolveHosts::Never;
        let (search, ndots) = (config.search.clone().into(), options.ndots);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self { dns: builder.build()?, hosts: Arc::new(HostsFile::of_system()), search, ndots })
    }
}

impl Resolver {
    /// The names to ask for, best first: those of the search list unless the name ends in a dot, and the name itself
    /// before them when it has dots enough (resolv.conf(5)).
    fn candidates(&self, name: Name) -> Vec<Name> {
        if name.is_fqdn() {
            return vec![name];
        }
        let is_long = usize::from(name.num_labels()) > self.ndots;
        let searched = self.search.iter();
        // A candidate that would be too long is skipped.
        let searched = searched.filter_map(|domain| name.clone().append_domain(domain).ok());
        let mut candidates: Vec<Name> = searched.collect();
        let place = if is_long { 0 } else { candidates.len() };
        candidates.insert(place, name);
        for candidate in &mut candidates {
            candidate.set_fqdn(true);
        }
        candidates
    }

    async fn ask(&self, name: Name, family: Family) -> Reply {
        let record_type = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        let lookup = match self.dns.lookup(name, record_type).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_nx_domain() => return Err(Lack::NoName),
            Err(error) if error.is_no_records_found() => return Err(Lack::NoData),
            Err(error) => return Err(Lack::Failed(Error::Failed(error))),
        };
        let records = lookup.answers().iter();
        let addresses: Vec<IpAddr> = records.filter_map(|record| record.data.ip_addr()).collect();
        if addresses.is_empty() {
            return Err(Lack::NoData);
        }
        let ttl = Instant::from_std(lookup.valid_until()).saturating_duration_since(Instant::now());
        Ok(Found { addresses, ttl })
    }
}

impl Resolve for Resolver {
    async fn resolve(&self, host: &str, patience: Duration) -> Result<ResolvedName, Error> {
        if is_localhost(host) {
            return Ok(written(vec![Ipv4Addr::LOCALHOST.into()]));
        }
        let addresses = self.hosts.addresses(host);
        if !addresses.is_empty() {
            return Ok(written(addresses));
        }
        // Text would be read as an international name, which has no underscores.
        let name = Name::from_ascii(host).map_err(|error| Error::Failed(error.into()))?;
        let mut failure = Error::NoAddresses;
        for name in self.candidates(name) {
            let ask = |family| self.ask(name.clone(), family);
            match families(ask, patience, has_route).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// An answer that is written down somewhere.
fn written(addresses: Vec<IpAddr>) -> ResolvedName {
    ResolvedName { addresses, ttl: STATIC_TTL, missing: None }
}

/// RFC 6761 section 6.3. One address, not two: a server on "localhost" nearly always listens on IPv4, and `::1` as an
/// endpoint of its own would only fail.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost")
}

/// Connecting a UDP socket sends nothing but fails without a route.
fn has_route(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((ip, 9))).is_ok()
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
    use hickory_resolver::proto::rr::{RData, Record};
    use tokio::net::UdpSocket as Socket;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

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
            socket.send_to(&reply.to_vec().unwrap(), peer).await.unwrap();
        }
    }

    #[tokio::test]
    async fn configured_servers_are_asked() {
        let socket = Socket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        let task = tokio::spawn(name_server_task(socket));
        let resolver = Resolver::new(&Dns { servers: vec![server] }).unwrap();
        for _ in 0..2 {
            let answer = resolver.resolve("agent.test.", PATIENCE).await.unwrap();
            assert_eq!(answer.addresses, [IpAddr::from([10, 0, 0, 7])]);
            assert!((40..=42).contains(&answer.ttl.as_secs()), "ttl is {:?}", answer.ttl);
        }
        let missing = resolver.resolve("nobody.test.", PATIENCE).await;
        assert!(matches!(missing, Err(Error::NoAddresses)), "{missing:?}");
        task.abort();
    }

    #[tokio::test]
    async fn localhost_and_the_hosts_file_need_no_server() {
        let mut resolver = Resolver::new(&Dns { servers: vec!["127.0.0.1:1".parse().unwrap()] }).unwrap();
        let hosts = b"10.1.1.1 agent other my_agent\nfd00::1 agent\n";
        resolver.hosts = HostsFile::parse(hosts).into();
        for (host, expected) in [
            ("localhost", vec!["127.0.0.1"]),
            ("agents.localhost", vec!["127.0.0.1"]),
            ("agent", vec!["10.1.1.1", "fd00::1"]),
            ("other", vec!["10.1.1.1"]),
            ("my_agent", vec!["10.1.1.1"]),
        ] {
            let answer = resolver.resolve(host, PATIENCE).await.unwrap();
            let found: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{host}");
        }
    }

    #[test]
    fn the_search_list_is_tried_in_its_order() {
        let mut resolver = Resolver::new(&Dns::default()).unwrap();
        resolver.search = ["a.test", "b.test."].map(|name| Name::from_ascii(name).unwrap()).into();
        for (ndots, host, expected) in [
            (1, "agent", "agent.a.test. agent.b.test. agent."),
            (1, "my_agent.x", "my_agent.x. my_agent.x.a.test. my_agent.x.b.test."),
            (2, "agent.x", "agent.x.a.test. agent.x.b.test. agent.x."),
            (5, "agent.x.", "agent.x."),
        ] {
            resolver.ndots = ndots;
            let candidates = resolver.candidates(Name::from_ascii(host).unwrap());
            let found: Vec<String> = candidates.iter().map(Name::to_ascii).collect();
            assert_eq!(found.join(" "), expected);
        }
    }
}
