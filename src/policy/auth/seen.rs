//! Credentials that were verified a moment ago, so that the same ones need not be verified again. They are known by a
//! keyed digest of 128 bits, whose key nobody has and which ends with the process: neither can credentials be read out
//! of the memory of this, nor can others be found that are taken for them. Bounded by what they weigh; shared by all
//! workers in many small parts, so that no two requests wait for each other for long.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// What came of credentials.
#[derive(Debug)]
pub(super) struct Seen<T> {
    known: Cache<SeenKey, (T, u32), Weight>,
    /// `None` where the system has no random numbers: then nothing is remembered.
    secret: Option<hmac::Key>,
}

/// Credentials, as they are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SeenKey([u8; 16]);

#[derive(Clone, Debug)]
struct Weight;

impl<T> Weighter<SeenKey, (T, u32)> for Weight {
    fn weight(&self, _key: &SeenKey, (_, weight): &(T, u32)) -> u64 {
        u64::from(*weight) + OVERHEAD
    }
}

impl<T: Clone> Seen<T> {
    /// Nothing as yet.
    pub(super) fn new() -> Self {
        let usual = usize::try_from(MOST / (OVERHEAD * 2)).unwrap_or(1);
        Self {
            known: Cache::with_weighter(usual, MOST, Weight),
            secret: hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).ok(),
        }
    }

    /// How credentials are remembered that consist of these parts.
    pub(super) fn key<'p>(&self, parts: impl IntoIterator<Item = &'p [u8]>) -> Option<SeenKey> {
        let mut digest = hmac::Context::with_key(self.secret.as_ref()?);
        for part in parts {
            digest.update(&u64::try_from(part.len()).ok()?.to_be_bytes());
            digest.update(part);
        }
        let digest = digest.sign();
        Some(SeenKey(*digest.as_ref().first_chunk()?))
    }

    /// What came of them.
    pub(super) fn get(&self, key: SeenKey) -> Option<T> {
        self.known.get(&key).map(|(found, _)| found)
    }

    /// Remembers what came of credentials that make an entry of about this many bytes.
    pub(super) fn note(&self, key: SeenKey, found: T, bytes: usize) {
        self.known.insert(key, (found, u32::try_from(bytes).unwrap_or(u32::MAX)));
    }

    /// Forgets them.
    pub(super) fn forget(&self, key: SeenKey) {
        self.known.remove(&key);
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

/// Bytes of all credentials that are remembered, with their overhead.
const MOST: u64 = 16 << 20;
/// Bytes of an entry beside what it says itself.
const OVERHEAD: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_told_apart_and_bounded() {
        let seen = Seen::new();
        let key = |parts: &[&[u8]]| seen.key(parts.iter().copied()).unwrap();
        assert_eq!(key(&[b"ab", b"c"]), key(&[b"ab", b"c"]));
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]), "parts do not run together");
        assert_ne!(key(&[b"a"]), Seen::<u8>::new().key([&b"a"[..]]).unwrap(), "each has a secret of its own");
        seen.note(key(&[b"a"]), 7, 1000);
        assert_eq!((seen.get(key(&[b"a"])), seen.get(key(&[b"b"]))), (Some(7), None));
        seen.forget(key(&[b"a"]));
        assert_eq!(seen.get(key(&[b"a"])), None);
        for number in 0..20_000_u32 {
            seen.note(key(&[&number.to_be_bytes()]), number, 2000);
        }
        assert!(seen.len() <= 16 * 1024 * 1024 / 2512, "{} entries", seen.len());
        assert!(seen.len() > 1000);
    }
}
