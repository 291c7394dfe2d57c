//! Keys for the hash policy and the scores made from them. Everything here is the same in every process and on every
//! machine, so that replicas of the gateway agree.

use std::net::IpAddr;

use http::HeaderMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::model::HashKey;
use crate::head::cookie;

/// Hash of the policy's key, or `None` when the request does not have it. An empty value counts as absent, because it
/// would send all clients without an identity to the same endpoint.
#[must_use]
pub fn hash_key(key: &HashKey, headers: &HeaderMap, client: IpAddr) -> Option<u64> {
    match key {
        HashKey::ClientIp => Some(match client.to_canonical() {
            IpAddr::V4(ip) => xxh3_64(&ip.octets()),
            IpAddr::V6(ip) => xxh3_64(&ip.octets()),
        }),
        HashKey::Header(name) => headers.get(name).map(|value| value.as_bytes()).and_then(hash_value),
        HashKey::Cookie(name) => cookie(headers, name.as_bytes()).and_then(hash_value),
    }
}

fn hash_value(value: &[u8]) -> Option<u64> {
    (!value.is_empty()).then(|| xxh3_64(value))
}

/// Scores of one endpoint for one key.
pub(super) mod score {
    /// Uniform over all 64-bit numbers.
    pub(in crate::cluster) fn hash(key: u64, seed: u64) -> u64 {
        // The finaliser of splitmix64: every input bit flips every output bit with a chance of one half.
        let mut mixed = (key ^ seed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The same in (0, 1), without its ends.
    pub(in crate::cluster) fn uniform(key: u64, seed: u64) -> f64 {
        // 52 bits and a half: exact in an f64.
        let upper = hash(key, seed) >> 12;
        (upper as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// `-ln(u) / weight`: an endpoint has the lowest of these with probability `weight / total` (Schindelhauer and
    /// Schomaker, "Weighted distributed hash tables").
    pub(in crate::cluster) fn cost(uniform: f64, weight: f64) -> f64 {
        -uniform.ln() / weight
    }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn key_is_stable_over_processes() {
        let key = HashKey::Header(HeaderName::from_static("x-user"));
        assert_eq!(hash_key(&key, &headers(&[("x-user", "alice")]), CLIENT), Some(xxh3_64(b"alice")));
        assert_eq!(hash_key(&HashKey::ClientIp, &headers(&[]), CLIENT), Some(xxh3_64(&[192, 0, 2, 1])));
    }

    #[test]
    fn client_key_takes_the_whole_address_and_unmaps_ipv4() {
        let key = |ip: &str| hash_key(&HashKey::ClientIp, &HeaderMap::new(), ip.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8::2"));
    }

    #[test]
    fn cookies_are_found() {
        for (fields, expected) in [
            (&[("cookie", "session=abc")][..], Some("abc")),
            (&[("cookie", "a=1; session=abc; b=2")], Some("abc")),
            (&[("cookie", "a=1;session=abc")], Some("abc")),
            (&[("cookie", "a=1"), ("cookie", "session=abc")], Some("abc")),
            (&[("cookie", "session=a=b")], Some("a=b")),
            (&[("cookie", "session=one; session=two")], Some("one")),
            (&[("cookie", "my_session=abc")], None),
            (&[("cookie", "session2=abc")], None),
            (&[("cookie", "Session=abc")], None),
            (&[("cookie", "session=")], None),
            (&[("cookie", "session")], None),
            (&[("cookie", "")], None),
            (&[], None),
        ] {
            let found = hash_key(&HashKey::Cookie("session".to_owned()), &headers(fields), CLIENT);
            assert_eq!(found, expected.map(|value| xxh3_64(value.as_bytes())), "{fields:?}");
        }
    }

    #[test]
    fn missing_or_empty_header_is_no_key() {
        let key = HashKey::Header(HeaderName::from_static("x-user"));
        assert_eq!(hash_key(&key, &headers(&[]), CLIENT), None);
        assert_eq!(hash_key(&key, &headers(&[("x-user", "")]), CLIENT), None);
    }

    proptest! {
        #[test]
        fn any_cookie_field_is_survived(field in prop::collection::vec(any::<u8>(), 0..200), name in ".{0,10}") {
            if let Ok(value) = HeaderValue::from_bytes(&field) {
                let headers = HeaderMap::from_iter([(COOKIE, value)]);
                let found = hash_key(&HashKey::Cookie(name.clone()), &headers, CLIENT);
                prop_assert_eq!(found, hash_key(&HashKey::Cookie(name), &headers, CLIENT));
            }
        }

        #[test]
        fn cost_is_finite_and_positive(key: u64, seed: u64, weight in 1_u32..) {
            let uniform = score::uniform(key, seed);
            let cost = score::cost(uniform, f64::from(weight));
            prop_assert!(cost.is_finite() && cost > 0.0);
            let bound = (1.0 - uniform) / f64::from(weight);
            prop_assert!(cost >= bound * (1.0 - 1e-12), "the shortcut of the balancer holds");
        }
    }
}
