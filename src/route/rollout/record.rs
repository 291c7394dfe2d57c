//! The records of a split: for the log, for the state file, and for operators.

use serde::{Deserialize, Serialize};

use super::progress::{Millis, Progress, Refusal, SLACK};
use crate::config::model::Rollout;

/// A share that an operator set by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The cluster.
    pub cluster: String,
    /// Its share in percent; the others divide the rest in the proportion of the file.
    pub weight: u32,
    /// When it ends, in milliseconds since 1970; without it only an operator ends it.
    pub until: Option<Millis>,
    /// Since when.
    pub since: Millis,
    /// Who set it.
    pub by: String,
}

/// The state that survives a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// Of the settings it belongs to.
    pub fingerprint: String,
    /// How far it is.
    pub progress: Option<Progress>,
    /// What an operator set.
    pub held: Option<Held>,
}

impl Saved {
    /// Whether it can have been so at `then`: a file may be damaged, or written by hand.
    pub(super) fn is_plausible(
        &self,
        rollout: Option<&Rollout>,
        has_cluster: impl Fn(&str) -> bool,
        then: Millis,
    ) -> bool {
        let held = self.held.as_ref().is_none_or(|held| {
            held.weight <= 100 && held.since <= then.saturating_add(SLACK) && has_cluster(&held.cluster)
        });
        let progress = match (rollout, &self.progress) {
            (None, None) => true,
            (Some(rollout), Some(progress)) => progress.fits(rollout, then),
            _ => false,
        };
        held && progress
    }
}

/// A split at one moment, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The clusters and their shares in percent.
    pub shares: Vec<Share>,
    /// The cluster a rollout leads to.
    pub canary: Option<String>,
    /// How many steps it has.
    pub steps: Option<usize>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// What an operator set.
    pub held: Option<Held>,
}

/// One cluster's share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The cluster.
    pub cluster: String,
    /// Its share in percent.
    pub percent: f64,
    /// Requests since the start that ended there and say something about it.
    pub requests: u64,
    /// Share of them that did not fail; absent without any.
    #[serde(rename = "successRate", skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<f64>,
    /// Seconds of the agent's own time that 99 % of them did not exceed; absent without any.
    #[serde(rename = "latencyP99", skip_serializing_if = "Option::is_none")]
    pub latency_p99: Option<f64>,
}

/// Why an operator's request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// There is no rollout, only a split.
    #[error("this route has a split but no rollout")]
    NoRollout,
    /// It makes no sense now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The split has no such cluster.
    #[error("the split has no cluster `{0}`")]
    NoSuchCluster(String),
    /// Which cluster is meant must be said.
    #[error("say which cluster: the split has no canary")]
    WhichCluster,
    /// The rollout decides.
    #[error("this route has a rollout: promote or abort it")]
    HasRollout,
    /// Nothing was set by hand.
    #[error("no share was set by hand")]
    NothingHeld,
    /// A share is 0 to 100 percent.
    #[error("a share is 0 to 100 percent")]
    NotAShare,
}
