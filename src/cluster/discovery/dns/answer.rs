//! What a question about a name can bring.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::net::NetError;

/// Asks for the addresses of a name.
pub trait Resolve: Send + Sync {
    /// One question for both address families; once there are addresses of one, the other has `patience` left. Dropping
    /// the future gives the question up.
    fn resolve(&self, host: &str, patience: Duration) -> impl Future<Output = Result<ResolvedName, Error>> + Send;
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedName {
    /// At least one, in any order.
    pub addresses: Vec<IpAddr>,
    /// How long they hold.
    pub ttl: Duration,
    /// The family without an answer, if there is one.
    pub missing: Option<Missing>,
}

/// Half an answer that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub family: Family,
    /// Why.
    pub reason: String,
}

/// A kind of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Those in A records.
    V4,
    /// Those in AAAA records.
    V6,
}

impl Family {
    /// Whether an address is one of these.
    #[must_use]
    pub const fn holds(self, ip: IpAddr) -> bool {
        match self {
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Why a name has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The servers say that the name does not exist or has no addresses.
    #[error("the name has no addresses")]
    NoAddresses,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// No server gave a usable answer.
    #[error("resolution failed: {0}")]
    Failed(NetError),
}

/// The outcome of a round of questions, by name.
pub type Resolutions = BTreeMap<String, Result<ResolvedName, Error>>;
