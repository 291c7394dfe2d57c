//! The machine's settings for names: `/etc/hosts` and `/etc/resolv.conf`. A line that cannot be used is skipped.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::rr::Name;
use tracing::warn;

/// Names with their addresses, as the hosts file has them.
#[derive(Debug, Default)]
pub(super) struct HostsFile(HashMap<String, Vec<IpAddr>>);

impl HostsFile {
    /// Reads the system's; an empty one where there is none.
    pub(super) fn of_system() -> Self {
        std::fs::read("/etc/hosts").map(|bytes| Self::parse(&bytes)).unwrap_or_default()
    }

    /// Reads lines of an address and its names.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in String::from_utf8_lossy(bytes).lines() {
            let line = line.trim_start_matches('\u{feff}');
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
                continue;
            };
            for word in words {
                let known = names.entry(spelling(word)).or_default();
                if !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        Self(names)
    }

    /// The addresses of a name, IPv4 first.
    pub(super) fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let mut addresses = self.0.get(&spelling(host)).cloned().unwrap_or_default();
        addresses.sort_by_key(IpAddr::is_ipv6);
        addresses
    }
}

fn spelling(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Name servers, search list and options of the system.
pub(super) fn resolv_conf() -> (ResolverConfig, ResolverOpts) {
    let bytes = std::fs::read("/etc/resolv.conf").unwrap_or_else(|error| {
        warn!(%error, "system DNS settings not readable");
        Vec::new()
    });
    let name = rustix::system::uname();
    let host = name.nodename().to_string_lossy();
    settings(&String::from_utf8_lossy(&bytes), &host)
}

/// Reads the usable lines of resolv.conf(5). The library's reader refuses the whole file for one search domain it does
/// not accept.
fn settings(text: &str, host: &str) -> (ResolverConfig, ResolverOpts) {
    let mut servers = Vec::new();
    let mut search: Option<Vec<Name>> = None;
    let mut options = ResolverOpts::default();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().and_then(server)),
            // The last one counts.
            Some("search" | "domain") => search = Some(words.filter_map(domain).collect()),
            Some("options") => words.for_each(|word| option(word, &mut options)),
            _ => {}
        }
    }
    if servers.is_empty() {
        // The name server of this machine.
        servers.push(NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into()));
    }
    let local = || host.split_once('.').and_then(|(_, rest)| domain(rest));
    let search = search.unwrap_or_else(|| local().into_iter().collect());
    (ResolverConfig::from_parts(None, search, servers), options)
}

fn server(word: &str) -> Option<NameServerConfig> {
    let parsed = word.parse::<IpAddr>();
    if let Err(error) = &parsed {
        warn!(server = word, %error, "name server of /etc/resolv.conf left out");
    }
    parsed.ok().map(NameServerConfig::udp_and_tcp)
}

/// A domain of the search list; a lone dot stands for the name as it is, which is asked for anyway.
fn domain(word: &str) -> Option<Name> {
    if word == "." {
        return None;
    }
    let parsed = Name::from_ascii(word);
    if let Err(error) = &parsed {
        warn!(domain = word, %error, "search domain of /etc/resolv.conf left out");
    }
    parsed.ok()
}

/// One of `options`; options of other resolvers are ignored. Numbers have glibc's bounds.
fn option(word: &str, options: &mut ResolverOpts) {
    let Some((key, value)) = word.split_once(':') else {
        options.edns0 |= word == "edns0";
        return;
    };
    let Ok(value) = value.parse::<u8>() else {
        return;
    };
    match key {
        "ndots" => options.ndots = value.min(15).into(),
        "timeout" => options.timeout = Duration::from_secs(value.clamp(1, 30).into()),
        "attempts" => options.attempts = value.clamp(1, 5).into(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_hosts_file_that_makes_no_sense_costs_nothing_but_itself() {
        let text = b"\xef\xbb\xbf10.0.0.1 first\r\n\
            # 10.9.9.9 comment\n\
            not-an-address broken\n\
            fe80::1%lo0 scoped\n\
            10.0.0.2 \xff\xfe latin caf\xe9 # comment 10.3.3.3\n\
            fd00::1 My_Agent both.example.\n\
            10.0.0.3\tmy_agent my_agent -odd- both.example\n\
            10.0.0.4";
        let hosts = HostsFile::parse(text);
        for (host, expected) in [
            ("first", &["10.0.0.1"][..]),
            ("comment", &[]),
            ("broken", &[]),
            ("scoped", &[]),
            ("latin", &["10.0.0.2"]),
            ("my_agent", &["10.0.0.3", "fd00::1"]),
            ("MY_AGENT.", &["10.0.0.3", "fd00::1"]),
            ("-odd-", &["10.0.0.3"]),
            ("both.example", &["10.0.0.3", "fd00::1"]),
        ] {
            let found: Vec<String> = hosts.addresses(host).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{host}");
        }
    }

    #[test]
    fn a_line_of_resolv_conf_that_makes_no_sense_costs_nothing_but_itself() {
        for (text, servers, search, ndots) in [
            ("", &["127.0.0.1"][..], &["home.test"][..], 1),
            (
                "nameserver 10.0.0.1\nsearch a.test b.test # both\noptions ndots:5 timeout:2\n",
                &["10.0.0.1"],
                &["a.test", "b.test"],
                5,
            ),
            (
                "\u{feff}nameserver 10.0.0.1\r\nsearch a..test b!.test my_zone.test .\r\n",
                &["10.0.0.1"],
                &["my_zone.test"],
                1,
            ),
            (
                "nameserver dns.example\nnameserver fd00::2\nsearch ..\noptions ndots:x ndots:99\n",
                &["fd00::2"],
                &[],
                15,
            ),
            (
                "domain a.test\noptions ndots:3 rotate\nwhat is this\n; nameserver 10.0.0.9\n",
                &["127.0.0.1"],
                &["a.test"],
                3,
            ),
        ] {
            let (config, options) = settings(text, "machine.home.test");
            let found: Vec<String> = config.name_servers.iter().map(|server| server.ip.to_string()).collect();
            assert_eq!(found, servers, "{text}");
            let found: Vec<String> = config.search.iter().map(ToString::to_string).collect();
            assert_eq!(found, search, "{text}");
            assert_eq!(options.ndots, ndots, "{text}");
        }
    }

    #[test]
    fn numbers_of_resolv_conf_have_bounds() {
        let (_, options) = settings("options timeout:0 attempts:200 edns0", "machine");
        let found = (options.timeout, options.attempts, options.edns0);
        assert_eq!(found, (Duration::from_secs(1), 5, true));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_make_settings(
            bytes: Vec<u8>,
            text in "((nameserver|search|options|domain) ?[ -~]{0,20}\n){0,4}",
        ) {
            for bytes in [&bytes[..], text.as_bytes()] {
                let _names = HostsFile::parse(bytes);
                let (config, _) = settings(&String::from_utf8_lossy(bytes), "machine");
                proptest::prop_assert!(!config.name_servers.is_empty());
            }
        }
    }
}
