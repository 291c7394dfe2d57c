//! Issuers for tests.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::{Algorithm, KeyKind};

/// Who signs tokens with one key.
pub(crate) struct Issuer {
    algorithm: Algorithm,
    pub(crate) key: EncodingKey,
    /// The public half of the key, without a name and an algorithm.
    pub(crate) public: Value,
}

impl Issuer {
    /// One with a new key.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let generate = |kind| rcgen::KeyPair::generate_for(kind).unwrap().serialize_der();
        let key = match algorithm.kind() {
            // The library wants PKCS#1, which stands in PKCS#8 behind a head of 26 bytes.
            KeyKind::Rsa => EncodingKey::from_rsa_der(
                &KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap().as_ref()[26..],
            ),
            KeyKind::P256 => EncodingKey::from_ec_der(&generate(&rcgen::PKCS_ECDSA_P256_SHA256)),
            KeyKind::P384 => EncodingKey::from_ec_der(&generate(&rcgen::PKCS_ECDSA_P384_SHA384)),
            KeyKind::Ed25519 | KeyKind::Secret => {
                EncodingKey::from_ed_der(Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap().as_ref())
            }
        };
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm.library()).unwrap()).unwrap();
        public.as_object_mut().unwrap().remove("alg");
        Self { algorithm, key, public }
    }

    /// A token with these claims.
    pub(crate) fn token(&self, id: Option<&str>, claims: &Value) -> String {
        signed(self.algorithm, &self.key, id, claims)
    }
}

/// A token that is signed like this.
pub(crate) fn signed(algorithm: Algorithm, key: &EncodingKey, id: Option<&str>, claims: &Value) -> String {
    let mut head = Header::new(algorithm.library());
    head.kid = id.map(str::to_owned);
    jsonwebtoken::encode(&head, claims, key).unwrap()
}

/// A set of these keys.
pub(crate) fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// A key that says more of itself.
pub(crate) fn with(key: &Value, more: &Value) -> Value {
    let mut key = key.clone();
    key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    key
}
