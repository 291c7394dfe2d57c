//! Keys that tokens of others are verified with: a set of public keys as an issuer publishes it (RFC 7517 section 5),
//! or one secret. A set of public keys holds no secret and a secret is no public key, so that nobody can make a token
//! with what everybody knows.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{Algorithm, KeyKind};
use super::base64url::decode;
use super::token::{Token, TokenFault};

/// Keys of one issuer. Two of them are equal if they come from the same text.
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    left_out: usize,
    /// SHA-256 of the text they come from.
    source: [u8; 32],
}

struct VerifyingKey {
    id: Option<Box<str>>,
    kind: KeyKind,
    /// The only algorithm it is for, where it says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It is no JSON, or another.
    #[error("not a set of keys (`{{\"keys\": [..]}}`)")]
    NoSet(#[source] serde_json::Error),
    /// There are more than [`MAX_KEYS`].
    #[error("{0} keys, more than {MAX_KEYS}")]
    TooMany(usize),
    /// None of the keys can verify a token in a way that is allowed.
    #[error(
        "none of {0} keys can be used: it takes a public key for signatures with an allowed algorithm, RSA from 2048 bits"
    )]
    NoneUsable(usize),
    /// A secret that is too easily guessed.
    #[error("a secret of {found} bytes, {least} are needed")]
    ShortSecret {
        /// Bytes it has.
        found: usize,
        /// Bytes it must have.
        least: usize,
    },
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl KeySet {
    /// The keys of a published set that can be used with one of `algorithms`. The others are left out, as RFC 7517
    /// section 5 wants it.
    ///
    /// # Errors
    /// When it is no set, is too large, or holds nothing that can be used.
    pub fn read(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        let Published { keys } = serde_json::from_slice(text).map_err(KeySetError::NoSet)?;
        let many = keys.len();
        if many > MAX_KEYS {
            return Err(KeySetError::TooMany(many));
        }
        let mut usable: Vec<_> = keys.into_iter().filter_map(VerifyingKey::of).collect();
        usable.retain(|key| algorithms.iter().any(|algorithm| key.fits(*algorithm)));
        if usable.is_empty() {
            return Err(KeySetError::NoneUsable(many));
        }
        Ok(Self { left_out: many - usable.len(), keys: usable, source: digest_of(text) })
    }

    /// A secret that both sides know, for these algorithms.
    ///
    /// # Errors
    /// When it is shorter than an algorithm needs it (RFC 7518 section 3.2).
    pub fn secret(secret: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        let least = algorithms.iter().map(|algorithm| algorithm.shortest_secret()).max().unwrap_or_default().max(1);
        let short = KeySetError::ShortSecret { found: secret.len(), least };
        if secret.len() < least {
            return Err(short);
        }
        let key = DecodingKey::from_secret(secret).map_err(|_empty| short)?;
        let key = VerifyingKey { id: None, kind: KeyKind::Secret, algorithm: None, key };
        Ok(Self { keys: vec![key], left_out: 0, source: digest_of(secret) })
    }

    /// Keys that can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none, which cannot be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys that are there and of no use here.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether one of the keys signed the token. A name of a key is looked up as it is; without one, and where a key
    /// has none, the first few that fit are tried.
    ///
    /// # Errors
    /// When no key fits, or the signature is of none of them.
    pub fn verify(&self, token: &Token<'_>) -> Result<(), TokenFault> {
        let named = |key: &&VerifyingKey| match (&token.key_id, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            (None, _) | (_, None) => true,
        };
        let mut fitting = self.keys.iter().filter(|key| key.fits(token.algorithm)).filter(named).peekable();
        if fitting.peek().is_none() {
            return Err(TokenFault::UnknownKey);
        }
        let signed = |key: &VerifyingKey| {
            let (message, algorithm) = (token.message.as_bytes(), token.algorithm.library());
            crypto::verify(token.signature, message, &key.key, algorithm).unwrap_or(false)
        };
        if fitting.take(MAX_TRIED).any(signed) { Ok(()) } else { Err(TokenFault::Signature) }
    }
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.keys.len() == other.keys.len()
    }
}

impl Eq for KeySet {}

// The digest of a secret is nobody's business either.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| (&key.id, key.kind)).collect();
        f.debug_struct("KeySet").field("keys", &ids).field("left_out", &self.left_out).finish_non_exhaustive()
    }
}

fn digest_of(text: &[u8]) -> [u8; 32] {
    digest(&SHA256, text).as_ref().try_into().unwrap_or_default()
}

impl VerifyingKey {
    /// A published key, if it is a public one for signatures.
    fn of(published: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(published).ok()?;
        let about = &jwk.common;
        let is_for_signatures = about.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature)
            && about.key_operations.as_ref().is_none_or(|uses| uses.contains(&KeyOperations::Verify));
        if !is_for_signatures {
            return None;
        }
        let (kind, key) = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) => (KeyKind::Rsa, rsa_key(&rsa.n, &rsa.e)?),
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => (KeyKind::P256, point(&curve.x, &curve.y, 32)?),
                EllipticCurve::P384 => (KeyKind::P384, point(&curve.x, &curve.y, 48)?),
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                let x = decode(&pair.x).filter(|x| x.len() == 32)?;
                (KeyKind::Ed25519, DecodingKey::from_ed_der(&x))
            }
            // A secret that is published is none.
            _ => return None,
        };
        let algorithm = match about.key_algorithm {
            Some(named) => Some(Algorithm::of_name(&named.to_string()).filter(|algorithm| algorithm.kind() == kind)?),
            None => None,
        };
        Some(Self { id: jwk.common.key_id.map(String::into_boxed_str), kind, algorithm, key })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.kind() && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

/// An RSA key of a size that is safe and that the library takes (RFC 7518 section 3.3).
fn rsa_key(modulus: &str, exponent: &str) -> Option<DecodingKey> {
    let (modulus, exponent) = (decode(modulus)?, decode(exponent)?);
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let modulus = modulus.get(first..)?;
    let bits = modulus.len() * 8 - usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    (2048..=8192).contains(&bits).then(|| DecodingKey::from_rsa_raw_components(modulus, &exponent))
}

/// A point that is not compressed: 4, then two numbers.
fn point(x: &str, y: &str, size: usize) -> Option<DecodingKey> {
    let number = |text: &str| decode(text).filter(|number| number.len() == size);
    let point = [&[4], &*number(x)?, &*number(y)?].concat();
    Some(DecodingKey::from_ec_der(&point))
}

/// Keys a set may have.
pub const MAX_KEYS: usize = 100;
/// Keys that are tried for one token.
const MAX_TRIED: usize = 4;

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use serde_json::json;

    use super::*;
    use crate::jose::base64url::encode;
    use crate::jose::issuer_tests::{Issuer, set, signed as sign, with};

    fn signed(algorithm: Algorithm, key: &EncodingKey, id: Option<&str>) -> String {
        sign(algorithm, key, id, &json!({ "sub": "ann" }))
    }

    fn verdict(keys: &KeySet, token: &str) -> Result<(), TokenFault> {
        keys.verify(&Token::read(token).unwrap())
    }

    #[test]
    fn a_key_verifies_what_it_signed_and_nothing_else() {
        for algorithm in
            [Algorithm::Rs256, Algorithm::Rs512, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa]
        {
            let (Issuer { key, public, .. }, other) = (Issuer::new(algorithm), Issuer::new(algorithm));
            let keys = KeySet::read(&set(&[public]), &[algorithm]).unwrap();
            let token = signed(algorithm, &key, None);
            assert_eq!(verdict(&keys, &token), Ok(()), "{algorithm}");
            assert_eq!(verdict(&keys, &signed(algorithm, &other.key, None)), Err(TokenFault::Signature), "{algorithm}");
            let (rest, signature) = token.rsplit_once('.').unwrap();
            for broken in [format!("{rest}."), format!("{rest}.{}", signature.split_at(1).1), format!("{rest}.%%")] {
                assert_eq!(verdict(&keys, &broken), Err(TokenFault::Signature), "{algorithm}");
            }
            let (head, _) = rest.split_once('.').unwrap();
            let forged = format!("{head}.{}.{signature}", encode(br#"{"sub":"root"}"#));
            assert_eq!(verdict(&keys, &forged), Err(TokenFault::Signature), "{algorithm}");
        }
    }

    #[test]
    fn what_everybody_knows_is_no_secret() {
        let Issuer { public, .. } = Issuer::new(Algorithm::Rs256);
        let modulus = decode(public["n"].as_str().unwrap()).unwrap();
        let keys = KeySet::read(&set(&[public]), &Algorithm::ALL).unwrap();
        let token = signed(Algorithm::Hs256, &EncodingKey::from_secret(&modulus).unwrap(), None);
        assert_eq!(verdict(&keys, &token), Err(TokenFault::UnknownKey));
        let published = json!({ "kty": "oct", "k": encode(&[7; 64]), "alg": "HS256" });
        assert!(matches!(KeySet::read(&set(&[published]), &Algorithm::ALL), Err(KeySetError::NoneUsable(1))));
    }

    #[test]
    fn a_secret_verifies_only_what_is_signed_with_a_secret() {
        let secret = [7; 64];
        let keys = KeySet::secret(&secret, &[Algorithm::Hs256, Algorithm::Hs512]).unwrap();
        let key = EncodingKey::from_secret(&secret).unwrap();
        for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
            assert_eq!(verdict(&keys, &signed(algorithm, &key, Some("any"))), Ok(()));
        }
        let Issuer { key: other, .. } = Issuer::new(Algorithm::Es256);
        assert_eq!(verdict(&keys, &signed(Algorithm::Es256, &other, None)), Err(TokenFault::UnknownKey));
        assert!(matches!(
            KeySet::secret(&[7; 47], &[Algorithm::Hs256, Algorithm::Hs384]),
            Err(KeySetError::ShortSecret { found: 47, least: 48 })
        ));
        assert!(!format!("{keys:?}").contains("7, 7"));
    }

    #[test]
    fn a_name_chooses_its_key_and_no_other() {
        let (Issuer { key, public: one, .. }, two) =
            (Issuer::new(Algorithm::Es256), Issuer::new(Algorithm::Es256).public);
        let public = [with(&two, &json!({ "kid": "two" })), with(&one, &json!({ "kid": "one" }))];
        let keys = KeySet::read(&set(&public), &[Algorithm::Es256]).unwrap();
        for (id, expected) in [
            (Some("one"), Ok(())),
            (None, Ok(())),
            (Some("two"), Err(TokenFault::Signature)),
            (Some("One"), Err(TokenFault::UnknownKey)),
            (Some("one\0"), Err(TokenFault::UnknownKey)),
            (Some("' OR 1=1 --"), Err(TokenFault::UnknownKey)),
            (Some("../one"), Err(TokenFault::UnknownKey)),
            (Some("http://127.0.0.1/one"), Err(TokenFault::UnknownKey)),
            (Some(""), Err(TokenFault::UnknownKey)),
        ] {
            assert_eq!(verdict(&keys, &signed(Algorithm::Es256, &key, id)), expected, "{id:?}");
        }
        let many: Vec<_> = (0..MAX_TRIED).map(|_| two.clone()).chain([public[1].clone()]).collect();
        let keys = KeySet::read(&set(&many), &[Algorithm::Es256]).unwrap();
        let found = verdict(&keys, &signed(Algorithm::Es256, &key, None));
        assert_eq!(found, Err(TokenFault::Signature), "no more than a few are tried");
    }

    #[test]
    fn keys_that_are_not_for_this_are_left_out() {
        let Issuer { key, public, .. } = Issuer::new(Algorithm::Es256);
        let rsa_1024 = json!({ "kty": "RSA", "n": encode(&[0xff; 128]), "e": "AQAB" });
        let padded = json!({ "kty": "RSA", "n": encode(&[vec![0; 128], vec![0xff; 128]].concat()), "e": "AQAB" });
        for other in [
            with(&public, &json!({ "use": "enc" })),
            with(&public, &json!({ "key_ops": ["sign"] })),
            with(&public, &json!({ "alg": "ES384" })),
            with(&public, &json!({ "alg": "HS256" })),
            with(&public, &json!({ "alg": "RSA-OAEP" })),
            with(&public, &json!({ "alg": "unheard of" })),
            with(&public, &json!({ "crv": "P-384" })),
            with(&public, &json!({ "crv": "P-521" })),
            with(&public, &json!({ "x": "AAAA" })),
            with(&public, &json!({ "kty": "OKP" })),
            rsa_1024,
            padded,
            json!({ "kty": "PQC" }),
            json!("key"),
            json!(null),
        ] {
            let alone = KeySet::read(&set(std::slice::from_ref(&other)), &Algorithm::ALL);
            assert!(matches!(alone, Err(KeySetError::NoneUsable(1))), "{other}");
            let keys = KeySet::read(&set(&[other, public.clone()]), &Algorithm::ALL).unwrap();
            assert_eq!((keys.len(), keys.left_out()), (1, 1));
            assert_eq!(verdict(&keys, &signed(Algorithm::Es256, &key, None)), Ok(()));
        }
        let for_it = with(&public, &json!({ "use": "sig", "key_ops": ["verify"], "alg": "ES256" }));
        assert_eq!(KeySet::read(&set(&[for_it]), &Algorithm::ALL).unwrap().len(), 1);
        assert!(matches!(KeySet::read(&set(&[public]), &[Algorithm::Rs256]), Err(KeySetError::NoneUsable(1))));
    }

    #[test]
    fn what_is_no_set_of_keys() {
        for text in ["", "<html>", "{}", "[]", r#"{"keys":{}}"#, "null", r#"{"keys":"x"}"#] {
            assert!(matches!(KeySet::read(text.as_bytes(), &Algorithm::ALL), Err(KeySetError::NoSet(_))), "{text}");
        }
        assert!(matches!(KeySet::read(&set(&[]), &Algorithm::ALL), Err(KeySetError::NoneUsable(0))));
        let many = vec![json!(null); MAX_KEYS + 1];
        assert!(matches!(KeySet::read(&set(&many), &Algorithm::ALL), Err(KeySetError::TooMany(101))));
    }
}
