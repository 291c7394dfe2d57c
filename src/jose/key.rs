//! A private key on the curve P-256, what it signs, and its public half as others find it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Map, Value, json};

use super::base64url::encode;
use super::canonical;

/// A key that signs with ES256.
pub struct Key {
    pair: EcdsaKeyPair,
    id: String,
    jwks: String,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// RSA, Ed25519, or another curve.
    #[error("is no key on the curve P-256")]
    OtherKind,
}

/// A signature with its header, as JSON has it (RFC 7515 section 7.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The header that is signed, in base64url.
    pub protected: String,
    /// The signature, in base64url.
    pub signature: String,
}

impl Key {
    /// A key under the name `id`; without one it is named by its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// When it is a key of another kind.
    pub fn new(key: &PrivateKeyDer<'_>, id: Option<&str>) -> Result<Self, KeyError> {
        let pair = match key {
            PrivateKeyDer::Pkcs8(key) => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der())
            }
            PrivateKeyDer::Sec1(key) => {
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_sec1_der())
            }
            _ => return Err(KeyError::OtherKind),
        };
        let pair = pair.map_err(|_refused| KeyError::OtherKind)?;
        // A point that is not compressed: 4, then two numbers of 32 bytes.
        let Some((&[4], point)) = pair.public_key().as_ref().split_first_chunk::<1>() else {
            return Err(KeyError::OtherKind);
        };
        let (x, y) = point.split_at_checked(32).ok_or(KeyError::OtherKind)?;
        let public = json!({ "crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y) });
        let thumbprint = || encode(digest(&SHA256, canonical(&public).as_bytes()).as_ref());
        let id = id.map_or_else(thumbprint, str::to_owned);
        let mut jwk = json!({ "alg": "ES256", "kid": &id, "use": "sig" });
        if let (Some(jwk), Value::Object(public)) = (jwk.as_object_mut(), public) {
            jwk.extend(public);
        }
        let jwks = json!({ "keys": [jwk] }).to_string();
        Ok(Self { pair, id, jwks })
    }

    /// The name that signatures give it (`kid`).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The set of keys with its public half, as JSON.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// Signs a payload. `found_at` is the URL of the set of keys; two signatures of the same are not the same. `None`
    /// when the system has no random numbers.
    #[must_use]
    pub fn sign(&self, payload: &[u8], found_at: Option<&str>) -> Option<Signature> {
        let mut header = Map::new();
        header.insert("alg".to_owned(), "ES256".into());
        header.insert("typ".to_owned(), "JOSE".into());
        header.insert("kid".to_owned(), self.id.as_str().into());
        header.extend(found_at.map(|url| ("jku".to_owned(), url.into())));
        let protected = encode(Value::Object(header).to_string().as_bytes());
        let message = format!("{protected}.{}", encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).ok()?;
        Some(Signature { protected, signature: encode(signature.as_ref()) })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;
    use crate::pem;

    fn key(kind: &'static rcgen::SignatureAlgorithm, id: Option<&str>) -> Result<(Key, Vec<u8>), KeyError> {
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        let der = pem::private_key(pair.serialize_pem().as_bytes()).unwrap();
        Ok((Key::new(&der, id)?, rcgen::PublicKeyData::der_bytes(&pair).to_vec()))
    }

    fn decoded(text: &str) -> Vec<u8> {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits: Vec<u8> = text
            .chars()
            .flat_map(|c| {
                let at = alphabet.find(c).unwrap();
                (0..6).rev().map(move |bit| u8::from(at >> bit & 1 == 1))
            })
            .collect();
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect()
    }

    #[test]
    fn a_signature_can_be_verified() {
        let (key, public) = key(&rcgen::PKCS_ECDSA_P256_SHA256, Some("one")).unwrap();
        let signed = key.sign(b"{\"a\":1}", Some("https://a.example/jwks.json")).unwrap();
        let header: Value = serde_json::from_slice(&decoded(&signed.protected)).unwrap();
        let expected = json!({ "alg": "ES256", "typ": "JOSE", "kid": "one", "jku": "https://a.example/jwks.json" });
        assert_eq!(header, expected);
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
        let message = format!("{}.{}", signed.protected, encode(b"{\"a\":1}"));
        let signature = decoded(&signed.signature);
        assert!(public.verify(message.as_bytes(), &signature).is_ok());
        assert!(public.verify(&message.as_bytes()[1..], &signature).is_err());
    }

    #[test]
    fn its_public_half_is_in_the_set() {
        let (key, public) = key(&rcgen::PKCS_ECDSA_P256_SHA256, None).unwrap();
        let set: Value = serde_json::from_str(key.jwks()).unwrap();
        let jwk = &set["keys"][0];
        let point: Vec<u8> = ["x", "y"].iter().flat_map(|name| decoded(jwk[*name].as_str().unwrap())).collect();
        assert_eq!([&[4], &point[..]].concat(), public);
        assert_eq!((&jwk["kty"], &jwk["crv"], &jwk["alg"]), (&json!("EC"), &json!("P-256"), &json!("ES256")));
        assert_eq!((jwk["kid"].as_str(), key.id().len()), (Some(key.id()), 43), "the thumbprint");
        assert!(!key.jwks().contains("\"d\""), "nothing of the private half");
        assert!(!format!("{key:?}").contains("pair"));
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for kind in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
            assert_eq!(key(kind, None).unwrap_err(), KeyError::OtherKind);
        }
    }
}
