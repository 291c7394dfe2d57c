//! Who may do what.

use std::fmt;

use super::{AuthorizationRule, PolicyMode, RuleAction};

/// Rules that count together.
#[derive(Clone, Debug)]
pub struct AuthorizationPolicy {
    /// Its name, where routes share it.
    pub name: Option<String>,
    /// Whether it refuses.
    pub mode: PolicyMode,
    /// Its rules, at least one, each under the name it has in metrics and log.
    pub rules: Vec<(String, AuthorizationRule)>,
}

/// Index into the authorization policies of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthorizationPolicyId(pub usize);

impl AuthorizationPolicy {
    /// Whether what no rule allows is refused.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.rules.iter().any(|(_, rule)| rule.action == RuleAction::Allow)
    }
}

impl AuthorizationRule {
    /// Whether it asks for who the client is.
    #[must_use]
    pub fn asks_who(&self) -> bool {
        let names = [&self.spiffe, &self.not_spiffe, &self.namespaces, &self.not_namespaces];
        let roles = self.roles.iter().chain(&self.not_roles);
        names.into_iter().any(|names| !names.is_empty())
            || !(self.principals.is_empty() && self.not_principals.is_empty())
            || !(self.claims.is_empty() && self.not_claims.is_empty())
            || roles.into_iter().any(|role| role != EVERYBODY)
    }

    /// Each key that holds a list, and whether it is empty.
    pub(in crate::config) fn lists(&self) -> [(&'static str, bool); 20] {
        [
            ("principals", self.principals.is_empty()),
            ("notPrincipals", self.not_principals.is_empty()),
            ("roles", self.roles.is_empty()),
            ("notRoles", self.not_roles.is_empty()),
            ("claims", self.claims.is_empty()),
            ("notClaims", self.not_claims.is_empty()),
            ("spiffe", self.spiffe.is_empty()),
            ("notSpiffe", self.not_spiffe.is_empty()),
            ("namespaces", self.namespaces.is_empty()),
            ("notNamespaces", self.not_namespaces.is_empty()),
            ("clientIps", self.client_ips.is_empty()),
            ("notClientIps", self.not_client_ips.is_empty()),
            ("tenants", self.tenants.is_empty()),
            ("notTenants", self.not_tenants.is_empty()),
            ("methods", self.methods.is_empty()),
            ("notMethods", self.not_methods.is_empty()),
            ("paths", self.paths.is_empty()),
            ("notPaths", self.not_paths.is_empty()),
            ("operations", self.operations.is_empty()),
            ("notOperations", self.not_operations.is_empty()),
        ]
    }

    /// Whether it asks what an agent is asked.
    #[must_use]
    pub fn asks_what(&self) -> bool {
        !(self.operations.is_empty() && self.not_operations.is_empty())
    }
}

/// What it does.
impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The role that everybody has.
pub const EVERYBODY: &str = "public";
/// The role of everybody who proved anything.
pub const AUTHENTICATED: &str = "authenticated";
