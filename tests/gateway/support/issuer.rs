//! Who issues tokens, and a file or a server with its keys.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Response;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{Backend, full};

/// Who signs tokens with one key.
pub(crate) struct Issuer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    /// The public half of its key.
    pub(crate) public: Value,
}

impl Issuer {
    /// One whose key, for ES256, has this name.
    pub(crate) fn new(id: &'static str) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self::of(id, Algorithm::ES256, EncodingKey::from_ec_der(&key.serialize_der()))
    }

    /// One with a key for RS256.
    pub(crate) fn rsa(id: &'static str) -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        // The library wants PKCS#1, which stands in PKCS#8 behind a head of 26 bytes.
        Self::of(id, Algorithm::RS256, EncodingKey::from_rsa_der(&key.as_ref()[26..]))
    }

    fn of(id: &'static str, algorithm: Algorithm, key: EncodingKey) -> Self {
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        public["kid"] = id.into();
        Self { id, algorithm, key, public }
    }

    /// A token of `ann` that counts now, with these claims over the usual ones.
    pub(crate) fn token(&self, more: &Value) -> String {
        let mut head = Header::new(self.algorithm);
        head.kid = Some(self.id.to_owned());
        jsonwebtoken::encode(&head, &claims(more), &self.key).unwrap()
    }

    /// The same with another head, which this key signs all the same.
    pub(crate) fn token_with(&self, head: &Value) -> String {
        let head = text(head.to_string().as_bytes());
        let message = format!("{head}.{}", text(claims(&json!({})).to_string().as_bytes()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// A set with the keys of these issuers.
    pub(crate) fn set(issuers: &[&Self]) -> String {
        json!({ "keys": issuers.iter().map(|issuer| issuer.public.clone()).collect::<Vec<_>>() }).to_string()
    }
}

/// Seconds since the epoch of Unix.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims of `ann` that count now.
pub(crate) fn claims(more: &Value) -> Value {
    let mut claims = json!({ "iss": "https://login.example/", "aud": "agents", "sub": "ann", "exp": now() + 300 });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

/// Bytes in base64url.
pub(crate) fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A server with a set of keys that a test can change.
pub(crate) struct KeyServer {
    pub(crate) backend: Backend,
    says: Arc<Mutex<(u16, String)>>,
}

impl KeyServer {
    pub(crate) async fn new(says: String) -> Self {
        let says = Arc::new(Mutex::new((200, says)));
        let shared = Arc::clone(&says);
        let backend = Backend::handling(move |_| {
            let (status, body) = shared.lock().unwrap().clone();
            async move { Response::builder().status(status).body(full(body)).unwrap() }
        });
        Self { backend: backend.await, says }
    }

    /// What it answers from now on.
    pub(crate) fn says(&self, status: u16, body: String) {
        *self.says.lock().unwrap() = (status, body);
    }
}
