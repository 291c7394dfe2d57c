//! A set of networks in little memory, asked for each request: sorted ranges of addresses without overlaps. One look is
//! a binary search, and a list of many thousand networks takes 8 bytes for each of IPv4 and 32 for each of IPv6.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Networks of both families.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// First and last addresses, in order; no two touch.
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
    given: usize,
}

impl Networks {
    /// Whether one of them holds `address`. An IPv4 address that is written as IPv6 (RFC 4291 section 2.5.5.2) is the
    /// IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }

    /// How many were given, before those were joined that touch.
    #[must_use]
    pub fn given(&self) -> usize {
        self.given
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let (mut v4, mut v6, mut given) = (Vec::new(), Vec::new(), 0);
        for network in networks {
            given += 1;
            match mapped(network) {
                IpNet::V4(network) => v4.push((network.network().to_bits(), network.broadcast().to_bits())),
                IpNet::V6(network) => v6.push((network.network().to_bits(), network.broadcast().to_bits())),
            }
        }
        let (v4, v6) = (joined(v4, |last| last.checked_add(1)), joined(v6, |last| last.checked_add(1)));
        Self { v4, v6, given }
    }
}

/// How many were given.
impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.given {
            0 => f.write_str("nobody"),
            1 => f.write_str("1 network"),
            many => write!(f, "{many} networks"),
        }
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} networks", self.given)
    }
}

/// A network of IPv4 addresses that is written as IPv6 is one of IPv4.
fn mapped(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else { return network };
    let inner = wide.prefix_len().checked_sub(MAPPED).zip(wide.network().to_ipv4_mapped());
    inner.and_then(|(prefix, address)| IpNet::new(address.into(), prefix).ok()).unwrap_or(network)
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
}

/// The ranges in order, with those made one that overlap or touch. `next` is the address after one.
fn joined<T: Ord + Copy>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut joined: Vec<(T, T)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if next(*end).is_none_or(|after| first <= after) => *end = (*end).max(last),
            _ => joined.push((first, last)),
        }
    }
    joined.into()
}

/// Bits before an IPv4 address in `::ffff:0:0/96`.
const MAPPED: u8 = 96;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_address_is_in_one_of_them_or_in_none() {
        let known =
            networks(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::ffff:198.51.100.0/120", "255.255.255.255/32"]);
        for (address, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("9.255.255.255", false),
            ("11.0.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("192.0.2.8", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:11.1.2.3", false),
            ("198.51.100.9", true),
            ("198.51.101.0", false),
            ("255.255.255.255", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(known.contains(address.parse().unwrap()), expected, "{address}");
        }
        assert!(!Networks::default().contains("10.0.0.1".parse().unwrap()) && Networks::default().is_empty());
    }

    #[test]
    fn what_touches_is_one_range() {
        let halves = networks(&["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "0.0.0.0/0"]);
        assert_eq!((halves.v4.len(), halves.given()), (1, 4));
        assert!(networks(&["::/0"]).contains("2001:db8::1".parse().unwrap()));
        assert!(!networks(&["::/0"]).contains("10.0.0.1".parse().unwrap()), "that is IPv4");
    }

    fn v4() -> impl Strategy<Value = IpNet> {
        // Few bits differ, so that networks lie in each other.
        (0_u32..4096, 16_u8..=32)
            .prop_map(|(bits, prefix)| Ipv4Net::new(Ipv4Addr::from_bits(bits << 12), prefix).unwrap().trunc().into())
    }

    fn v6() -> impl Strategy<Value = IpNet> {
        (0_u128..4096, 40_u8..=128)
            .prop_map(|(bits, prefix)| Ipv6Net::new(Ipv6Addr::from_bits(bits << 80), prefix).unwrap().trunc().into())
    }

    proptest! {
        #[test]
        fn it_says_what_a_look_at_each_would(
            known in proptest::collection::vec(prop_oneof![v4(), v6()], 0..40),
            v4 in 0_u32..4096, low in 0_u32..4, v6 in 0_u128..4096,
        ) {
            let set: Networks = known.iter().copied().collect();
            let edges = known.iter().flat_map(|network| [network.network(), network.broadcast()]);
            let others = [IpAddr::from(Ipv4Addr::from_bits(v4 << 12 | low)), Ipv6Addr::from_bits(v6 << 80).into()];
            for address in edges.chain(others) {
                let expected = known.iter().any(|network| network.contains(&address));
                prop_assert_eq!(set.contains(address), expected, "{}", address);
            }
        }
    }
}
