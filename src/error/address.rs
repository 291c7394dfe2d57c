//! Why a client is not served because of its address.

use crate::config::model::IpRule;

/// Who blocks a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockedBy {
    /// `blockList` of the configuration.
    Configuration,
    /// An operator, through the admin API.
    Operator,
    /// The gateway itself, after the client failed to authenticate too often.
    Failures,
}

impl BlockedBy {
    /// Word for metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Operator => "operator",
            Self::Failures => "failures",
        }
    }

    /// The rule, as the audit log names it.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Configuration => "blockList.networks",
            Self::Operator => "blockList.operator",
            Self::Failures => "authFailures.blockAfter",
        }
    }
}

/// The list that keeps a client out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRule {
    list: IpRule,
    is_of_route: bool,
}

impl AddressRule {
    /// A list of a listener.
    #[must_use]
    pub fn of_listener(list: IpRule) -> Self {
        Self { list, is_of_route: false }
    }

    /// A list of a route.
    #[must_use]
    pub fn of_route(list: IpRule) -> Self {
        Self { list, is_of_route: true }
    }

    /// The rule, as the audit log names it.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match (self.is_of_route, self.list) {
            (false, IpRule::Allow) => "listener.ipAccess.allow",
            (false, IpRule::Deny) => "listener.ipAccess.deny",
            (true, IpRule::Allow) => "route.ipAccess.allow",
            (true, IpRule::Deny) => "route.ipAccess.deny",
        }
    }
}
