//! API keys. The gateway knows the SHA-256 of each: a key has enough randomness that its digest cannot be turned back,
//! and needs no slow hash. A key is looked up by its digest, under a hash whose seed nobody knows, and digests are
//! compared in constant time.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use super::{Presented, Refusal, Verdict, Verified};
use crate::config::model::{self, KeyCarrier};
use crate::context::{Principal, PrincipalKind};

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct ApiKeys {
    carrier: KeyCarrier,
    principals: HashMap<Digest, Arc<Principal>, foldhash::quality::RandomState>,
}

/// What a key is known by.
#[derive(Clone, Copy)]
struct Digest([u8; 32]);

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl ApiKeys {
    pub(super) fn new(provider: &Arc<str>, settings: &model::ApiKeys) -> Self {
        let principal = |key: &model::KnownKey| Principal {
            name: key.name.clone(),
            provider: Arc::clone(provider),
            kind: PrincipalKind::ApiKey,
            roles: key.roles.clone(),
            ..Principal::default()
        };
        let keys = settings.keys.iter().map(|key| (Digest(key.digest), Arc::new(principal(key))));
        Self { carrier: settings.carrier.clone(), principals: keys.collect() }
    }

    pub(super) fn carrier(&self) -> &KeyCarrier {
        &self.carrier
    }

    pub(super) fn verify(&self, presented: &Presented<'_>) -> Verdict {
        let found = match &self.carrier {
            KeyCarrier::Header(name) => presented.field(name).map(|key| key.map(|key| self.find(key))),
            KeyCarrier::Bearer => presented.authorization("bearer").map(|key| key.map(|key| self.find(key))),
            KeyCarrier::Query(name) => presented.parameter(name).map(|key| key.map(|key| self.find(key.as_bytes()))),
        };
        match found {
            Ok(None) => Verdict::Absent,
            Ok(Some(Some(principal))) => Verdict::Verified(Verified { principal: Arc::clone(principal), fields: None }),
            Ok(Some(None)) => Verdict::Refused(Refusal::Invalid),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    fn find(&self, key: &[u8]) -> Option<&Arc<Principal>> {
        let digest: [u8; 32] = digest(&SHA256, key).as_ref().try_into().ok()?;
        self.principals.get(&Digest(digest))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::super::presented::tests::{fields, presented};
    use super::*;

    fn keys(carrier: KeyCarrier) -> ApiKeys {
        let key = |name: &str, key: &str, roles: &[&str]| model::KnownKey {
            name: name.into(),
            digest: digest(&SHA256, key.as_bytes()).as_ref().try_into().unwrap(),
            roles: roles.iter().map(|role| (*role).into()).collect(),
        };
        let keys = vec![key("ann", "a-key", &["admin"]), key("bob", "b key", &[])];
        ApiKeys::new(&"keys".into(), &model::ApiKeys { carrier, keys })
    }

    fn said(verdict: Verdict) -> String {
        match verdict {
            Verdict::Verified(verified) => verified.principal.name.to_string(),
            other => other.word().to_owned(),
        }
    }

    #[test]
    fn a_key_is_somebodys_or_refused() {
        let header = KeyCarrier::Header(HeaderName::from_static("x-api-key"));
        for (carrier, name, value, expected) in [
            (&header, "x-api-key", "a-key", "ann"),
            (&header, "x-api-key", " b key ", "bob"),
            (&header, "x-api-key", "A-KEY", "invalid"),
            (&header, "x-api-key", "a-key ann", "invalid"),
            (&header, "x-api-key", "", "absent"),
            (&header, "authorization", "Bearer a-key", "absent"),
            (&KeyCarrier::Bearer, "authorization", "Bearer a-key", "ann"),
            (&KeyCarrier::Bearer, "authorization", "Bearer none", "invalid"),
            (&KeyCarrier::Bearer, "authorization", "Basic a-key", "absent"),
            (&KeyCarrier::Bearer, "x-api-key", "a-key", "absent"),
        ] {
            let headers = fields(&[(name, value)]);
            assert_eq!(said(keys(carrier.clone()).verify(&presented(&headers, None))), expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_key_of_the_query_is_decoded() {
        let keys = keys(KeyCarrier::Query("key".to_owned()));
        let headers = fields(&[]);
        for (query, expected) in [
            (Some("key=a-key"), "ann"),
            (Some("x=1&key=b%20key"), "bob"),
            (Some("key=b+key"), "bob"),
            (Some("key=none"), "invalid"),
            (Some("key=a-key&key=a-key"), "invalid"),
            (Some("key="), "absent"),
            (Some("Key=a-key"), "absent"),
            (None, "absent"),
        ] {
            assert_eq!(said(keys.verify(&presented(&headers, query))), expected, "{query:?}");
        }
    }
}
