//! Which addresses a client may give to an agent that will then post or fetch there. An agent stands in a private
//! network, and what reads its URLs is not known, so only what every reader takes for the same host is let through:
//! no user, no spelling of an address but the usual one, no character that readers treat differently. Names are not
//! looked up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::model::{HostPattern, UrlGuard};

/// Whether an agent may be given that address.
#[must_use]
pub fn may_use(url: &str, guard: &UrlGuard) -> bool {
    let Some((is_https, host)) = host(url) else { return false };
    if !is_https && !guard.http {
        return false;
    }
    if guard.allow.is_empty() { guard.private || host.is_public() } else { host.is_named(&guard.allow) }
}

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// A name in lower case, without a dot at its end.
    Name(String),
    Address(IpAddr),
}

/// The host of a URL, and whether its scheme is `https`; `None` where readers may differ, and for other schemes.
fn host(url: &str) -> Option<(bool, Host)> {
    let is_plain = |byte: u8| byte > b' ' && byte != 0x7F && byte != b'\\';
    let (scheme, rest) = url.split_once("://").filter(|_| url.bytes().all(is_plain))?;
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let address = address.parse::<Ipv6Addr>().ok()?;
        return is_port(port).then_some((is_https, Host::Address(address.into())));
    }
    let at = authority.find(':').unwrap_or(authority.len());
    let (name, port) = authority.split_at_checked(at)?;
    if is_port(port) { Some((is_https, named(name)?)) } else { None }
}

/// Whether that is nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(':') else { return text.is_empty() };
    digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
}

/// A name or an IPv4 address. What one reader takes for a number and another for a name is none.
fn named(name: &str) -> Option<Host> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.bytes().all(is_known)
    };
    if !name.split('.').all(is_label) {
        return None;
    }
    if is_number(name.rsplit('.').next()?) {
        // Exactly four decimal numbers without zeros before them: everything else is read as octal by some.
        return name.parse::<Ipv4Addr>().ok().map(|address| Host::Address(address.into()));
    }
    Some(Host::Name(name.to_ascii_lowercase()))
}

/// Whether a last label makes an address of a name, as the WHATWG and `inet_aton` read it.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    let is_hex = hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hex || label.bytes().all(|byte| byte.is_ascii_digit())
}

impl Host {
    fn is_public(&self) -> bool {
        match self {
            Self::Name(name) => is_public_name(name),
            Self::Address(IpAddr::V4(address)) => is_public_v4(*address),
            Self::Address(IpAddr::V6(address)) => is_public_v6(*address),
        }
    }

    fn is_named(&self, patterns: &[HostPattern]) -> bool {
        patterns.iter().any(|pattern| match (pattern, self) {
            (HostPattern::Exact(known), Self::Name(name)) => known == name,
            (HostPattern::Exact(known), Self::Address(address)) => crate::host::address(known) == Some(*address),
            (HostPattern::Wildcard(parent), Self::Name(name)) => {
                name.strip_suffix(parent.as_str()).is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
            }
            (HostPattern::Wildcard(_), Self::Address(_)) => false,
        })
    }
}

/// Whether a name is none that only a private network knows. `metadata.google.internal` and its like are among them.
fn is_public_name(name: &str) -> bool {
    let last = name.rsplit_once('.').map(|(_, last)| last);
    last.is_some_and(|last| !PRIVATE_DOMAINS.contains(&last)) && !name.ends_with(".home.arpa")
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    let is_in = |(network, length): &(Ipv4Addr, u32)| (bits ^ network.to_bits()).checked_shr(32 - length) == Some(0);
    !NOT_PUBLIC_V4.iter().any(is_in)
}

/// Only what is given out as global unicast (2000::/3), without what stands for an IPv4 address in it, and without
/// what is reserved.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global = first & 0xE000 == 0x2000;
    let is_reserved = match first {
        // Protocols (Teredo, ORCHID and others), and documentation.
        0x2001 => second < 0x200 || second == 0xDB8,
        // 6to4, and more documentation.
        0x2002 => true,
        0x3FFF => second < 0x1000,
        _ => false,
    };
    is_global && !is_reserved
}

/// Last labels of names that are not in the public DNS.
const PRIVATE_DOMAINS: [&str; 11] =
    ["localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "svc", "cluster"];

/// Networks that no public host is in (RFC 6890 and its successors), and the one address of Azure's that answers with
/// metadata although it is public.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

#[cfg(test)]
mod tests;
