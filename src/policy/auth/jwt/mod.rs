//! Signed tokens (RFC 7519) as credentials. The claims are judged before the signature, because that costs less and so
//! that a token of another issuer makes nobody fetch keys; nothing is believed before both are good.

mod remote_keys;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::Instant;

use super::seen::{Seen, SeenKey};
use super::{Carrier, Presented, Refusal, Verdict, Verified};
use crate::config::model::{self, JwtKeys, trust_domain};
use crate::context::{Principal, PrincipalKind};
use crate::jose::{Claims, KeySet, MAX_TOKEN, Token, TokenFault, claim, words};

pub use remote_keys::RemoteKeys;

/// A provider that takes tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    provider: Arc<str>,
    settings: model::Jwt,
    keys: Keys,
    seen: Seen<Known>,
}

#[derive(Debug)]
enum Keys {
    Known(Arc<KeySet>),
    Remote(Arc<RemoteKeys>),
}

/// A token that was verified.
#[derive(Clone, Debug)]
struct Known {
    verified: Verified,
    /// Its end, since the epoch of Unix.
    end: Duration,
    /// The keys it was verified with.
    generation: u64,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NoKeys,
    Token(TokenFault),
}

impl From<TokenFault> for Fault {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}

impl Tokens {
    /// The provider with these settings. What `previous` knows goes on where it means the same.
    pub(super) fn adopt(
        provider: &Arc<str>,
        settings: &model::Jwt,
        previous: Option<&Arc<Self>>,
        now: Instant,
    ) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.settings == *settings) {
            return Arc::clone(previous);
        }
        let keys = match &settings.keys {
            JwtKeys::Known(keys) => Keys::Known(Arc::clone(keys)),
            JwtKeys::Remote(source) => {
                let same = previous.and_then(|previous| previous.remote_keys());
                let same = same.filter(|keys| keys.serves(source, &settings.algorithms)).map(Arc::clone);
                Keys::Remote(same.unwrap_or_else(|| RemoteKeys::new(source.clone(), settings.algorithms.clone(), now)))
            }
        };
        Arc::new(Self { provider: Arc::clone(provider), settings: settings.clone(), keys, seen: Seen::new() })
    }

    /// The keys, where they come from a server.
    #[must_use]
    pub(super) fn remote_keys(&self) -> Option<&Arc<RemoteKeys>> {
        match &self.keys {
            Keys::Remote(keys) => Some(keys),
            Keys::Known(_) => None,
        }
    }

    /// Tokens that are remembered, and requests that wait for keys.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.seen.len(), self.remote_keys().map_or(0, |keys| keys.waiting()))
    }

    pub(super) fn carrier(&self) -> Carrier<'_> {
        self.settings.header.as_ref().map_or(Carrier::Authorization("bearer"), Carrier::Header)
    }

    pub(super) fn forwards(&self) -> impl Iterator<Item = &HeaderName> {
        self.settings.forward_claims.iter().map(|(_, field)| field)
    }

    pub(super) fn verify(self: &Arc<Self>, presented: &Presented<'_>) -> Verdict {
        let token = match &self.settings.header {
            None => presented.authorization("bearer"),
            Some(name) => presented.field(name),
        };
        let token = match token {
            Ok(None) => return Verdict::Absent,
            Ok(Some(token)) => std::str::from_utf8(token).unwrap_or_default(),
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let (time, now) = (presented.time, presented.now);
        let fault = match self.check(token, time, now) {
            Ok(verified) => return Verdict::Verified(verified),
            Err(fault) => fault,
        };
        if let Some(others) = self.others(fault, now) {
            let (tokens, token) = (Arc::clone(self), token.to_owned());
            return Verdict::Wait(Box::pin(async move {
                others.await;
                let later = Instant::now();
                let checked = tokens.check(&token, time + later.saturating_duration_since(now), later);
                checked.map_or_else(|fault| tokens.refuse(fault), Verdict::Verified)
            }));
        }
        self.refuse(fault)
    }

    /// What may help against a fault: that keys are fetched.
    fn others(&self, fault: Fault, now: Instant) -> Option<impl Future<Output = ()> + use<>> {
        let helps = matches!(fault, Fault::NoKeys | Fault::Token(TokenFault::UnknownKey));
        self.remote_keys().filter(|_| helps)?.others(now)
    }

    fn refuse(&self, fault: Fault) -> Verdict {
        let (refusal, why) = match fault {
            Fault::NoKeys => (Refusal::Unavailable, "no_keys"),
            Fault::Token(fault) => (Refusal::Invalid, fault.word()),
        };
        tracing::debug!(auth = &*self.provider, reason = why, "token refused");
        Verdict::Refused(refusal)
    }

    fn check(&self, text: &str, time: Duration, now: Instant) -> Result<Verified, Fault> {
        if text.len() > MAX_TOKEN {
            return Err(TokenFault::TooLarge.into());
        }
        match &self.keys {
            Keys::Known(keys) => self.check_by(Some((keys, 0)), text, time),
            Keys::Remote(remote) => {
                let fetched = remote.load();
                let fetched = fetched.as_ref().filter(|fetched| remote.counts(fetched, now));
                self.check_by(fetched.map(|fetched| (&fetched.keys, fetched.generation)), text, time)
            }
        }
    }

    /// Checks a token by the keys there are and their generation. Without keys it is looked at all the same: a token
    /// of another issuer is refused at once, and nobody waits for keys that would not help.
    fn check_by(&self, keys: Option<(&KeySet, u64)>, text: &str, time: Duration) -> Result<Verified, Fault> {
        let key = self.seen.key([text.as_bytes()]);
        if let (Some(key), Some((_, generation))) = (key, keys)
            && let Some(verified) = self.known(key, generation, time)
        {
            return Ok(verified);
        }
        let token = Token::read(text)?;
        if !self.settings.algorithms.contains(&token.algorithm) {
            return Err(TokenFault::Algorithm.into());
        }
        let claims = self.settings.rules.read(&token, time)?;
        let (keys, generation) = keys.ok_or(Fault::NoKeys)?;
        keys.verify(&token)?;
        let end = claims.end;
        let verified = self.introduce(claims);
        if let Some(key) = key {
            let known = Known { verified: verified.clone(), end, generation };
            self.seen.note(key, known, text.len());
        }
        Ok(verified)
    }

    fn known(&self, key: SeenKey, generation: u64, time: Duration) -> Option<Verified> {
        let known = self.seen.get(key)?;
        if known.generation == generation && time < known.end {
            return Some(known.verified);
        }
        self.seen.forget(key);
        None
    }

    /// Whether it is a SPIFFE id of the trust domain that this issuer may speak for.
    fn vouches_for(&self, id: &str) -> bool {
        trust_domain(id).is_some_and(|domain| self.settings.trust_domain.as_deref() == Some(domain))
    }

    /// Whom a token that counts is about.
    fn introduce(&self, claims: Claims) -> Verified {
        let Claims { all, subject, .. } = claims;
        let roles = claim(&all, &self.settings.roles_claim);
        let roles = roles.into_iter().flat_map(words).filter(|role| is_word(role)).map(Into::into).collect();
        let told = self.settings.forward_claims.iter();
        let told = told.filter_map(|(path, field)| Some((field.clone(), text(claim(&all, path)?)?)));
        let fields: Vec<_> = told.collect();
        let spiffe = all.get("sub").and_then(Value::as_str).filter(|id| self.vouches_for(id)).map(Into::into);
        let principal = Principal {
            spiffe,
            name: subject,
            provider: Arc::clone(&self.provider),
            kind: PrincipalKind::Jwt,
            roles,
            claims: all,
        };
        Verified { principal: Arc::new(principal), fields: (!fields.is_empty()).then(|| fields.into()) }
    }
}

/// A claim as the value of a field: text, a number, or a list of texts with commas. What cannot be written so that it
/// is read as it was meant is left out.
fn text(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| item.as_str().filter(|item| is_word(item))).collect();
            items?.join(",")
        }
        Value::Null | Value::Object(_) => return None,
    };
    HeaderValue::from_bytes(text.as_bytes()).ok().filter(|value| value.len() <= MAX_FIELD)
}

/// Whether a text can stand in a list without being taken for several.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(',') && !text.chars().any(char::is_control)
}

/// Bytes of a field that tells a claim.
const MAX_FIELD: usize = 4096;

#[cfg(test)]
mod tests;
