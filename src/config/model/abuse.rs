//! Who is not served because of where it comes from.

use std::fmt;
use std::net::IpAddr;

use super::{LimitMode, Networks};

/// Which addresses of clients are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpAccess {
    /// Those that are; `None` means all. One that is empty serves nobody.
    pub allow: Option<Networks>,
    /// Those that are not, whatever `allow` says.
    pub deny: Networks,
    /// Whether others are refused.
    pub mode: LimitMode,
}

impl IpAccess {
    /// The list that keeps this client out; `None` where it is served.
    #[must_use]
    pub fn refusal(&self, client: IpAddr) -> Option<IpRule> {
        if self.deny.contains(client) {
            return Some(IpRule::Deny);
        }
        self.allow.as_ref().is_some_and(|allowed| !allowed.contains(client)).then_some(IpRule::Allow)
    }
}

/// Who is served, and what becomes of others.
impl fmt::Display for IpAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.allow {
            Some(allowed) => write!(f, "{allowed}")?,
            None => f.write_str("all clients")?,
        }
        if !self.deny.is_empty() {
            write!(f, " but {}", self.deny)?;
        }
        write!(f, ", {}", self.mode.of_others())
    }
}

/// A list that keeps a client out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpRule {
    /// It is not in the list of those that are served.
    Allow,
    /// It is in the list of those that are not.
    Deny,
}

/// How it keeps a client out.
impl fmt::Display for IpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "not served, it is not in `allow`",
            Self::Deny => "not served by `deny`",
        })
    }
}

/// Clients that no listener serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockList {
    /// Those that the configuration names.
    pub networks: Networks,
    /// How many more operators may block at a time. Default 10,000.
    pub max_entries: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(allow: Option<&[&str]>, deny: &[&str]) -> IpAccess {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        IpAccess { allow: allow.map(networks), deny: networks(deny), mode: LimitMode::Enforce }
    }

    #[test]
    fn deny_overrules_allow() {
        let both = access(Some(&["10.0.0.0/8"]), &["10.9.0.0/16"]);
        let (open, shut) = (access(None, &["192.0.2.0/24"]), access(Some(&[]), &[]));
        for (lists, client, expected) in [
            (&both, "10.1.0.1", None),
            (&both, "10.9.0.1", Some(IpRule::Deny)),
            (&both, "192.0.2.1", Some(IpRule::Allow)),
            (&both, "::ffff:10.1.0.1", None),
            (&open, "192.0.2.1", Some(IpRule::Deny)),
            (&open, "192.0.3.1", None),
            (&shut, "10.1.0.1", Some(IpRule::Allow)),
            (&shut, "::1", Some(IpRule::Allow)),
        ] {
            assert_eq!(lists.refusal(client.parse().unwrap()), expected, "{client}");
        }
    }
}
