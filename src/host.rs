//! What several rooms ask of the host in a URL, in a `Host` field or in the configuration, and of `host:port`.

use std::net::IpAddr;

/// A host without the brackets of an IPv6 address.
#[must_use]
pub fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// The address that a host is, in brackets or without; `None` for a name.
#[must_use]
pub fn address(host: &str) -> Option<IpAddr> {
    bare(host).parse().ok()
}

/// Whether a host means the machine of whoever says it.
#[must_use]
pub fn is_itself(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// The host of `host:port`, with the brackets of an IPv6 address.
#[must_use]
pub fn without_port(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(host, _)| host)
}

/// The host of `host:port` without brackets, for SNI and the checks of certificates.
#[must_use]
pub fn of_place(place: &str) -> &str {
    bare(without_port(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_ports_are_left_out() {
        for (place, host, expected) in [
            ("agent.local:8080", "agent.local", "agent.local"),
            ("10.0.0.1:80", "10.0.0.1", "10.0.0.1"),
            ("[::1]:80", "[::1]", "::1"),
        ] {
            assert_eq!((without_port(place), of_place(place)), (host, expected));
        }
        for (host, expected) in [("[::1", "[::1"), ("::1]", "::1]"), ("[]", ""), ("", "")] {
            assert_eq!(bare(host), expected, "{host}");
        }
        assert_eq!(address("[::1]"), address("::1"));
        assert_eq!((address("agent"), address("[::1")), (None, None));
    }

    #[test]
    fn a_machine_means_itself_by_several_names() {
        for host in ["localhost", "LocalHost", "0.0.0.0", "127.3.2.1", "::1", "[::1]", "[::]"] {
            assert!(is_itself(host), "{host}");
        }
        for host in ["local", "localhost.example", "10.0.0.8", "[fd00::1]", ""] {
            assert!(!is_itself(host), "{host}");
        }
    }
}
