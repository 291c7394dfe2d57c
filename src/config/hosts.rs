//! Which host names are legal for endpoints, served hosts, public URLs and `Host` fields. Every name that is accepted
//! here must also be accepted by the libraries that get it later: the resolver, TLS and HTTP. The tests below compare
//! it with them.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::uri::Authority;

/// Whether this is a DNS name in lower case, without a final dot. Container platforms use underscores in theirs.
pub(super) fn is_name(host: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(legal) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or("");
    // A name that ends in a number is an IP address to everyone else (WHATWG URL).
    host.len() <= 253 && host.split('.').all(label) && !last.chars().all(|c| c.is_ascii_digit())
}

/// Whether this can stand in a `Host` field: a name or an address, perhaps with a port.
pub(super) fn is_authority(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let host = authority.host();
    let after = text.strip_prefix(host);
    // The library accepts user information, an empty port and one that is no number.
    let legal_port = match after.map(|after| (after, after.strip_prefix(':'))) {
        Some(("", _)) => true,
        Some((_, Some(port))) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        _ => false,
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let legal_host = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok() || is_name(&host.to_ascii_lowercase()),
    };
    legal_port && legal_host
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::Name;
    use proptest::{prop_assert, prop_assert_eq, proptest};
    use rustls_pki_types::ServerName;

    use super::*;

    #[test]
    fn names() {
        for host in [
            "agent", "my_agent", "_agents._tcp.example", "xn--nxasmq6b.example", "xn--a.example", "a--b.example",
            "3com.example", "1.2.3.x",
        ] {
            assert!(is_name(host), "{host}");
        }
        for host in ["", ".", "agent.", "a..b", "-a.b", "a-.b", "a.1", "256.1.1.1", "Agent", "a b", "\u{e9}.com", "*.a"]
        {
            assert!(!is_name(host), "{host}");
        }
        assert!(is_name(&"a".repeat(63)) && !is_name(&"a".repeat(64)));
        let label = "a".repeat(63);
        let longest = [&"a".repeat(61), &label, &label, &label].map(String::as_str).join(".");
        assert!(is_name(&longest) && !is_name(&format!("a{longest}")));
    }

    #[test]
    fn authorities() {
        for text in ["agent", "My_Agent:8080", "10.0.0.1", "10.0.0.1:80", "[::1]", "[::1]:80"] {
            assert!(is_authority(text), "{text}");
        }
        for text in ["", "a:", "a:x", "a:99999", "me@a", "me:pw@a:80", "[::1", "[x]", "::1", "10.0.0", "a/b", "a,b"] {
            assert!(!is_authority(text), "{text}");
        }
    }

    proptest! {
        /// A name that passes here and fails in a library would be found out by the first request.
        #[test]
        fn every_library_accepts_what_is_accepted_here(
            host in "[a-z0-9_-]{1,8}(\\.[a-z0-9_-]{1,8}){0,3}|xn--[a-z0-9-]{0,8}(\\.[a-z]{1,3})?",
            port in 1_u16..,
        ) {
            if is_name(&host) {
                prop_assert!(Name::from_ascii(&host).is_ok(), "the resolver refuses {}", host);
                prop_assert!(ServerName::try_from(host.as_str()).is_ok(), "TLS refuses {}", host);
                let text = format!("{host}:{port}");
                let authority = text.parse::<Authority>();
                let found = authority.as_ref().map(|authority| authority.host()).ok();
                prop_assert_eq!(found, Some(host.as_str()), "HTTP refuses {}", text);
                prop_assert!(is_authority(&text));
            }
        }
    }
}
