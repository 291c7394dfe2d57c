//! Signatures as JOSE has them: a key of the gateway on the curve P-256 (ES256, RFC 7518), its public half as a set of
//! keys (RFC 7517), JSON in the one form that is signed (RFC 8785); and tokens of others (RFC 7519), verified with keys
//! of theirs. Time is an argument, and nothing here fetches anything.

mod algorithm;
mod base64url;
mod canonical;
mod claims;
#[cfg(test)]
pub(crate) mod issuer_tests;
mod key;
mod key_set;
mod token;

pub use algorithm::{Algorithm, KeyKind};
pub use canonical::canonical;
pub use claims::{ClaimRules, Claims, claim, words};
pub use key::{Key, KeyError, Signature};
pub use key_set::{KeySet, KeySetError, MAX_KEYS};
pub use token::{MAX_TOKEN, Token, TokenFault};
