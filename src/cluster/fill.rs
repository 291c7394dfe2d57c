//! How full a ceiling is, for operators.

use schemars::JsonSchema;
use serde::Serialize;

/// A ceiling at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CeilingStatus {
    /// What it bounds: `requests`, `streams`, `retries`, `connections`, `pending` or `adaptive`.
    pub what: &'static str,
    /// How many there are.
    pub taken: usize,
    /// How many there may be.
    pub limit: usize,
}
