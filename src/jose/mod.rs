//! Signatures as JOSE has them: a key of the gateway on the curve P-256 (ES256, RFC 7518), its public half as a set of
//! keys (RFC 7517), and JSON in the one form that is signed (RFC 8785).

mod base64url;
mod canonical;
mod key;

pub use canonical::canonical;
pub use key::{Key, KeyError, Signature};
