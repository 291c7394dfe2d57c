//! The key by which a limit tells clients apart: address, header, cookie or method, packed into 16 bytes whatever its
//! length.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU64;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use crate::a2a::Operation;
use crate::config::model::LimitKey;
use crate::context::{Principal, PrincipalKind};
use crate::head::{method_word, only_cookie, only_value};
use crate::jose::claim;

/// What a key is made of.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Address of the client, as far as the proxies in front of us are believed.
    pub client: IpAddr,
    /// Method of the request.
    pub method: &'a Method,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Who the client proved to be.
    pub principal: Option<&'a Principal>,
    /// On whose behalf it acts, as far as that is known.
    pub tenant: Option<&'a str>,
    /// What the request asks of an agent.
    pub operation: Option<Operation>,
}

impl<'a> Caller<'a> {
    /// A client of whom nothing is proven, with a request that nobody has looked into.
    #[must_use]
    pub fn new(client: IpAddr, method: &'a Method, headers: &'a HeaderMap) -> Self {
        Self { client, method, headers, principal: None, tenant: None, operation: None }
    }
}

/// One client of one limit. Addresses are kept as they are; everything else is a 128-bit hash with a secret seed, so
/// that a client cannot choose a value with another client's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u64; 2]);

/// Makes the keys of one limit. Keys of different keyrings have nothing to do with each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyring {
    seed: RandomState,
}

impl Keyring {
    /// The key of `caller`. What is absent, a header or cookie that is empty or given twice as well, is replaced by the
    /// client's address: leaving it out must neither be a way around the limit nor throw everyone without it together.
    pub(super) fn key(&self, parts: &[LimitKey], ipv6_prefix: u8, caller: &Caller<'_>) -> Key {
        let address = || Key::address(caller.client, ipv6_prefix);
        match parts {
            [] | [LimitKey::Global] => Key([0, 0]),
            [LimitKey::ClientIp] => address(),
            [part] => value(part, caller).map_or_else(address, |values| self.hash([Some(values)], address)),
            _ => self.hash(parts.iter().map(|part| value(part, caller)), address),
        }
    }

    /// A hash of all parts, with the client's address in the place of those that are absent.
    fn hash<'a>(&self, parts: impl IntoIterator<Item = Option<Values<'a>>>, address: impl Fn() -> Key) -> Key {
        let mut halves = [0, 1].map(|half| {
            let mut hasher = self.seed.build_hasher();
            hasher.write_u8(half);
            hasher
        });
        for part in parts {
            for hasher in &mut halves {
                if let Some(values) = &part {
                    for value in values {
                        // With its length, so that ("ab", "c") and ("a", "bc") differ.
                        hasher.write_usize(value.len());
                        hasher.write(value);
                    }
                } else {
                    let Key(address) = address();
                    hasher.write_usize(usize::MAX);
                    address.iter().for_each(|word| hasher.write_u64(*word));
                }
            }
        }
        Key(halves.map(|half| half.finish()))
    }
}

/// Makes the numbers that stand for clients: the same for the same client, as long as the gateway runs.
#[derive(Clone, Debug, Default)]
pub struct Makers {
    ring: Keyring,
}

impl Makers {
    /// The number of `caller`, told apart by `by` as by a limit.
    #[must_use]
    pub fn of(&self, by: &[LimitKey], ipv6_prefix: u8, caller: &Caller<'_>) -> NonZeroU64 {
        let key = self.ring.key(by, ipv6_prefix, caller);
        NonZeroU64::new(self.ring.seed.hash_one(key)).unwrap_or(NonZeroU64::MIN)
    }
}

impl Key {
    /// The network of a client: a whole IPv4 address, or the prefix of an IPv6 address, because a client with one
    /// address of a network can use all of them.
    #[must_use]
    pub fn address(client: IpAddr, ipv6_prefix: u8) -> Self {
        let bits = match network(client, ipv6_prefix) {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        let [high, low] = [bits >> 64, bits & u128::from(u64::MAX)];
        // Both halves fit.
        Self([high, low].map(|half| u64::try_from(half).unwrap_or_default()))
    }
}

/// The address that stands for a client: its own in IPv4, the first one of its network in IPv6.
pub(super) fn network(client: IpAddr, ipv6_prefix: u8) -> IpAddr {
    let IpAddr::V6(address) = client.to_canonical() else { return client.to_canonical() };
    let host_bits = 128 - u32::from(ipv6_prefix.min(128));
    let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask).into()
}

/// What stands for one part of a key.
type Values<'a> = [Cow<'a, [u8]>; 2];

/// The bytes of one part of a key, or `None` for the client's address. A name means something together with who gave it
/// only, so both count.
fn value<'a>(part: &'a LimitKey, caller: &Caller<'a>) -> Option<Values<'a>> {
    let named =
        |principal: &'a Principal| [principal.provider.as_bytes(), principal.name.as_bytes()].map(Cow::Borrowed);
    let alone = match part {
        LimitKey::ClientIp => return None,
        LimitKey::Principal => return caller.principal.map(named),
        LimitKey::ApiKey => {
            return caller.principal.filter(|principal| principal.kind == PrincipalKind::ApiKey).map(named);
        }
        LimitKey::Claim(name) => {
            let principal = caller.principal?;
            let value = single(claim(&principal.claims, name)?)?;
            return Some([Cow::Borrowed(principal.provider.as_bytes()), value]);
        }
        LimitKey::Global => b"",
        LimitKey::Method => method_word(caller.method).1.as_bytes(),
        LimitKey::Header(name) => only_value(caller.headers, name).map(HeaderValue::as_bytes)?,
        LimitKey::Tenant => caller.tenant?.as_bytes(),
        LimitKey::Operation => caller.operation?.name().as_bytes(),
        LimitKey::Cookie(name) => only_cookie(caller.headers, name.as_bytes()).filter(|value| !value.is_empty())?,
    };
    Some([alone, b""].map(Cow::Borrowed))
}

/// A claim that is one value. What is a list or an object tells nobody apart.
fn single(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::String(text) => (!text.is_empty()).then_some(Cow::Borrowed(text.as_bytes())),
        Value::Number(number) => Some(Cow::Owned(number.to_string().into_bytes())),
        Value::Bool(is_true) => Some(Cow::Borrowed(if *is_true { b"true" } else { b"false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::{HeaderName, header};
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str, prefix: u8) -> Key {
        Key::address(text.parse().unwrap(), prefix)
    }

    #[test]
    fn ipv4_is_whole_and_ipv6_a_network() {
        for (one, other, prefix, same) in [
            ("192.0.2.1", "192.0.2.1", 64, true),
            ("192.0.2.1", "192.0.2.2", 64, false),
            ("192.0.2.1", "::ffff:192.0.2.1", 64, true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 64, false),
            ("2001:db8::1", "2001:db8::ffff:0:0:2", 64, true),
            ("2001:db8::1", "2001:db8:0:1::1", 64, false),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", 56, true),
            ("2001:db8:0:1::1", "2001:db8:0:100::1", 56, false),
            ("2001:db8::1", "2001:db8::2", 128, false),
            ("2001:db8::1", "3001:db8::1", 1, true),
            ("::1", "192.0.2.1", 64, false),
        ] {
            let equal = address(one, prefix) == address(other, prefix);
            assert_eq!(equal, same, "{one} and {other} at /{prefix}");
        }
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |&(name, value)| {
            let value = HeaderValue::from_static(value);
            (HeaderName::from_static(name), value)
        };
        let mut headers = HeaderMap::new();
        headers.extend(fields.iter().map(field));
        let twice = fields.iter().map(field).filter(|(name, _)| name == "x-twice");
        for (name, value) in twice {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn each_kind_of_key_tells_its_clients_apart() {
        let ring = Keyring::default();
        let user = LimitKey::Header(HeaderName::from_static("x-user"));
        let twice = LimitKey::Header(HeaderName::from_static("x-twice"));
        let session = LimitKey::Cookie("session".to_owned());
        let key = |parts: &[LimitKey], client: &str, method: &Method, fields: &[_]| {
            let headers = headers(fields);
            let client = client.parse().unwrap();
            let caller = Caller::new(client, method, &headers);
            ring.key(parts, 64, &caller)
        };
        let (get, post) = (&Method::GET, &Method::POST);
        let brew = &Method::from_bytes(b"BREW").unwrap();
        let stir = &Method::from_bytes(b"STIR").unwrap();
        let (a, b) = ("192.0.2.1", "192.0.2.2");
        let parts = &[user.clone()][..];
        let alice = key(parts, a, get, &[("x-user", "alice")]);
        assert_eq!(alice, key(parts, b, post, &[("x-user", "alice")]));
        assert_ne!(alice, key(parts, a, get, &[("x-user", "bob")]));
        let none = key(parts, a, get, &[]);
        assert_eq!(none, address(a, 64), "without a header by address");
        assert_eq!(none, key(parts, a, get, &[("x-user", "")]));
        assert_ne!(none, key(parts, b, get, &[]));
        assert_eq!(
            key(&[twice], a, get, &[("x-twice", "x")]),
            address(a, 64),
            "one of two values could be changed at will"
        );
        let parts = &[session][..];
        let crumb = key(parts, a, get, &[("cookie", "a=1; session=s")]);
        assert_eq!(crumb, key(parts, b, get, &[("cookie", "session=s")]));
        assert_ne!(crumb, key(parts, a, get, &[("cookie", "session=t")]));
        for (first, second) in [("session=s; session=t", ""), ("session=s", "session=t")] {
            let fields = [("cookie", first), ("x-twice", "no cookie"), ("cookie", second)];
            let fields = fields.map(|(name, value)| (name, value));
            let several = key(parts, a, get, fields.as_slice());
            assert_eq!(several, address(a, 64), "{first} {second}");
        }
        let parts = &[LimitKey::Method][..];
        assert_eq!(key(parts, a, get, &[]), key(parts, b, get, &[]));
        assert_ne!(key(parts, a, get, &[]), key(parts, a, post, &[]));
        assert_eq!(key(parts, a, brew, &[]), key(parts, a, stir, &[]));
        let parts = &[LimitKey::Global][..];
        assert_eq!(key(parts, a, get, &[]), key(parts, b, post, &[]));
        let parts = &[LimitKey::ClientIp, LimitKey::Method, user][..];
        let distinct: HashSet<_> = [
            key(parts, a, get, &[]),
            key(parts, b, get, &[]),
            key(parts, a, post, &[]),
            key(parts, a, get, &[("x-user", "alice")]),
        ]
        .into();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn what_is_known_of_a_client_tells_it_apart_and_what_is_not_is_its_address() {
        let (ring, headers) = (Keyring::default(), HeaderMap::new());
        let [ann, bob] = ["ann", "bob"].map(|name| Principal { name: name.into(), ..Principal::default() });
        let (ann, bob, nobody) = ((Some(&ann), Some("north")), (Some(&bob), Some("north")), (None, None));
        let key = |part: LimitKey, last: u8, (principal, tenant), operation: Option<Operation>| {
            let caller = Caller::new([192, 0, 2, last].into(), &Method::GET, &headers);
            ring.key(&[part], 64, &Caller { principal, tenant, operation, ..caller })
        };
        let (principal, tenant, operation) = (LimitKey::Principal, LimitKey::Tenant, LimitKey::Operation);
        let (send, get) = (Some(Operation::SendMessage), Some(Operation::GetTask));
        assert_eq!(key(principal.clone(), 1, ann, None), key(principal.clone(), 2, ann, get));
        assert_ne!(key(principal.clone(), 1, ann, None), key(principal.clone(), 1, bob, None));
        assert_eq!(key(tenant.clone(), 1, ann, None), key(tenant.clone(), 2, bob, None));
        assert_eq!(key(operation.clone(), 1, nobody, send), key(operation.clone(), 2, ann, send));
        assert_ne!(key(operation.clone(), 1, nobody, send), key(operation.clone(), 1, nobody, get));
        for part in [principal, tenant, operation] {
            assert_eq!(key(part.clone(), 1, nobody, None), address("192.0.2.1", 64), "{part:?}");
        }
    }

    #[test]
    fn a_client_has_one_number_wherever_it_is_asked_for() {
        let (makers, user) = (Makers::default(), [LimitKey::Header(HeaderName::from_static("x-user"))]);
        let of = |makers: &Makers, client: u8, user_name: Option<&'static str>| {
            let headers = user_name.map(|name| headers(&[("x-user", name)])).unwrap_or_default();
            makers.of(&user, 64, &Caller::new([192, 0, 2, client].into(), &Method::GET, &headers))
        };
        assert_eq!(of(&makers, 1, Some("ann")), of(&makers.clone(), 2, Some("ann")));
        assert_ne!(of(&makers, 1, Some("ann")), of(&makers, 1, Some("bob")));
        assert_ne!(of(&makers, 1, Some("ann")), of(&makers, 1, None));
        assert_ne!(of(&makers, 1, None), of(&makers, 2, None));
        assert_ne!(of(&makers, 1, Some("ann")), of(&Makers::default(), 1, Some("ann")));
    }

    #[test]
    fn the_same_value_has_another_key_in_another_limit() {
        let parts = [LimitKey::Header(header::AUTHORIZATION)];
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("x"))]);
        let caller = Caller::new([192, 0, 2, 1].into(), &Method::GET, &headers);
        let [one, other] = [Keyring::default(), Keyring::default()];
        assert_ne!(one.key(&parts, 64, &caller), other.key(&parts, 64, &caller));
    }

    proptest! {
        #[test]
        fn values_of_any_bytes_and_length_make_a_key(value in prop::collection::vec(1_u8.., 0..5000)) {
            let parts = [LimitKey::Header(header::AUTHORIZATION), LimitKey::Cookie("a".to_owned())];
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.clone()), (header::COOKIE, value)]);
                let caller = Caller::new([192, 0, 2, 1].into(), &Method::GET, &headers);
                let ring = Keyring::default();
                prop_assert_eq!(ring.key(&parts, 64, &caller), ring.key(&parts, 64, &caller));
            }
        }
    }
}
