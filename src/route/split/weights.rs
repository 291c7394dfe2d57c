//! The shares of a split at one moment, with what a choice needs computed in advance.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::model::CookieKey;

/// Immutable weights. A change makes new ones.
#[derive(Debug)]
pub struct Weights {
    parts: Box<[Part]>,
}

#[derive(Debug)]
struct Part {
    name: Box<str>,
    weight: i64,
    /// Whether callers that were given it before may still come.
    held: bool,
    /// The value in the cookie. It cannot be computed without the key.
    token: Box<str>,
    seed: u64,
}

impl Weights {
    /// From name, weight and whether callers that hold the part may still come, and the key their cookies are made
    /// with.
    #[must_use]
    pub fn new(parts: impl Iterator<Item = (String, i64, bool)>, key: &CookieKey) -> Self {
        let parts = parts.map(|(name, weight, held)| Part {
            token: key.token(&name).into(),
            seed: xxh3_64_with_seed(name.as_bytes(), SEED),
            name: name.into(),
            weight: weight.max(0),
            held,
        });
        Self { parts: parts.collect() }
    }

    /// How many parts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The weights, in the order of the parts.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.parts.iter().map(|part| part.weight)
    }

    /// The names, in the same order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| &*part.name)
    }

    /// The cookie's value for this part.
    #[must_use]
    pub fn token(&self, part: usize) -> Option<&str> {
        self.parts.get(part).map(|part| &*part.token)
    }

    pub(super) fn named(&self, name: &[u8]) -> Option<usize> {
        self.parts.iter().position(|part| part.name.as_bytes() == name)
    }

    pub(super) fn held(&self, token: &[u8]) -> Option<usize> {
        self.parts.iter().position(|part| part.held && part.token.as_bytes() == token)
    }

    /// Weighted rendezvous: when one weight grows against the others, keys move only to that part.
    pub(super) fn by_key(&self, key: u64) -> Option<usize> {
        let costs = self.parts.iter().enumerate().filter(|(_, part)| part.weight > 0);
        let cost = |part: &Part| {
            let mixed = xxh3_64_with_seed(&key.to_le_bytes(), part.seed) >> 12;
            // In (0, 1), without its ends; 52 bits and a half are exact in an f64.
            let uniform = (mixed as f64 + 0.5) / (1_u64 << 52) as f64;
            -uniform.ln() / part.weight as f64
        };
        costs.map(|(index, part)| (index, cost(part))).min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
    }
}

/// Keeps the seeds apart from other hashes of the names.
const SEED: u64 = 0x0073_706c_6974;
