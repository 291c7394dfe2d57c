//! Weighted splits of a route's traffic, and the rollouts that move their weights.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use serde::Serialize;

use super::{ClusterId, HashKey};
use crate::config::keys::split as settings;

/// A route's traffic, divided over clusters.
#[derive(Clone, Debug)]
pub struct Split {
    /// The clusters, at least one, each once; their weights are not all 0.
    pub parts: Vec<Part>,
    /// What keeps a caller with the cluster it was given. Default: nothing.
    pub sticky: Option<HashKey>,
    /// What the cookie of `sticky` is made with. Default: a key that is made at the start.
    pub cookie_key: Option<CookieKey>,
    /// A header or cookie that names the cluster, for testers. Never [`HashKey::ClientIp`]. Default: none.
    pub chosen_by: Option<HashKey>,
    /// Moves the weights by itself.
    pub rollout: Option<Rollout>,
}

impl Split {
    /// Its rollout in words, where it has one.
    #[must_use]
    pub fn steps(&self) -> Option<String> {
        let rollout = self.rollout.as_ref()?;
        let canary = self.parts.get(rollout.canary).map_or("-", |part| &part.name);
        let steps: Vec<_> = rollout.steps.iter().map(Step::to_string).collect();
        Some(format!("to {canary}: {}", steps.join(", ")))
    }
}

/// How traffic is divided.
impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.parts.iter().map(|part| format!("{} {}", part.name, part.weight)).collect();
        write!(f, "by weight: {}", parts.join(", "))?;
        self.sticky.iter().try_for_each(|sticky| write!(f, "; sticky by {sticky}"))?;
        self.chosen_by.iter().try_for_each(|chosen_by| write!(f, "; {chosen_by} may name one"))
    }
}

/// A key that cookies are made with, so that nobody who has one can compute another.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieKey([u8; 32]);

impl CookieKey {
    /// The key that this secret stands for, whatever its length.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let hash = digest(&SHA256, secret);
        let mut key = [0; 32];
        key.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self(key)
    }

    /// What a cookie holds for `name`: 128 bits of HMAC-SHA256 (RFC 2104) in hexadecimal.
    #[must_use]
    pub fn token(&self, name: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, name.as_bytes());
        let bytes = tag.as_ref().iter().take(16);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A secret is not shown.
impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(..)")
    }
}

/// One cluster's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The cluster.
    #[serde(skip)]
    pub cluster: ClusterId,
    /// Its name in the file.
    pub name: String,
    /// Share of the sum of the weights; 0 gets nothing.
    pub weight: u32,
}

/// Steps from the first share of the new version to all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Index of the new version among the parts.
    pub canary: usize,
    /// What happens, in order; at least one.
    pub steps: Vec<Step>,
    /// What the file says beside: how it is measured, what a failure does, when it begins.
    pub settings: settings::Rollout,
}

/// One step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The canary's share in percent.
    SetWeight(u32),
    /// Time to pass, or `None` until an operator resumes.
    Pause(Option<Duration>),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetWeight(weight) => write!(f, "{weight} %"),
            Self::Pause(Some(duration)) => write!(f, "wait {duration:?}"),
            Self::Pause(None) => f.write_str("wait for resume"),
        }
    }
}
