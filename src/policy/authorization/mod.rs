//! Who may do what: whether the rules of a route let a request pass, as a pure function of the rules and of what is
//! known of it. A rule that denies wins; where any rule allows, what none allows is refused. What is not known yet is
//! never taken for what would let a request pass.

mod condition;
mod in_words;
mod path;

use std::sync::Arc;

use crate::config::model::{
    AuthorizationPolicy, AuthorizationPolicyId, AuthorizationRule, Config, PolicyMode, RuleAction,
};

pub use condition::{Asked, Call, Who};
use condition::{Condition, LastClaim};
pub use in_words::Explained;
pub use path::{Canonical, RulePath};

/// Every policy of a configuration, ready to be asked, by [`AuthorizationPolicyId`].
#[derive(Debug, Default)]
pub struct Policies {
    policies: Vec<Arc<Policy>>,
}

/// A policy, ready to be asked. Routes share it.
#[derive(Debug)]
struct Policy {
    mode: PolicyMode,
    rules: Box<[Rule]>,
}

#[derive(Debug)]
struct Rule {
    name: Box<str>,
    action: RuleAction,
    conditions: Box<[Condition]>,
}

/// The policies of one route, whose rules count together: those that act, and those that only count.
#[derive(Debug)]
pub struct Authorization {
    policies: Box<[Arc<Policy>]>,
}

/// A rule of a route by its number among all of them.
pub type RuleNumber = usize;

/// What rules say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It passes, because of this rule, or because no rule is about it.
    Allowed(Option<RuleNumber>),
    /// It is refused, because of this rule, or because no rule allows it.
    Denied(Option<RuleNumber>),
    /// That follows from what is not known yet.
    Open,
}

impl Policies {
    /// Makes those of `config` ready. `canonical` brings a path into the spelling in which requests are matched.
    #[must_use]
    pub fn build(config: &Config, canonical: Canonical) -> Self {
        let policies = config.authorization_policies.iter();
        Self { policies: policies.map(|policy| Arc::new(Policy::new(policy, canonical))).collect() }
    }

    /// Those of a route; `None` where there are none.
    #[must_use]
    pub fn of(&self, ids: &[AuthorizationPolicyId]) -> Option<Box<Authorization>> {
        let policies: Box<[_]> = ids.iter().filter_map(|id| self.policies.get(id.0).cloned()).collect();
        (!policies.is_empty()).then(|| Box::new(Authorization { policies }))
    }
}

impl Policy {
    fn new(policy: &AuthorizationPolicy, canonical: Canonical) -> Self {
        let rules = policy.rules.iter().map(|(name, rule)| Rule::new(name, rule, canonical)).collect();
        Self { mode: policy.mode, rules }
    }
}

impl Rule {
    fn new(name: &str, rule: &AuthorizationRule, canonical: Canonical) -> Self {
        Self { name: name.into(), action: rule.action, conditions: condition::of_rule(rule, canonical) }
    }

    /// Whether it holds; `None` where that is not known.
    fn holds<'a>(&'a self, asked: &Asked<'a>, last: &LastClaim<'a>) -> Option<bool> {
        let mut known = Some(true);
        for condition in &self.conditions {
            match condition.holds(asked, last) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => known = None,
            }
        }
        known
    }
}

impl Authorization {
    /// What the rules of the policies of this mode say.
    #[must_use]
    pub fn decide(&self, mode: PolicyMode, asked: &Asked<'_>) -> Decision {
        let last = LastClaim::default();
        let (mut allowed, mut is_closed, mut may_be_allowed, mut may_be_denied) = (None, false, false, false);
        for (number, rule) in self.rules(mode) {
            match rule.action {
                RuleAction::Deny => match rule.holds(asked, &last) {
                    Some(true) => return Decision::Denied(Some(number)),
                    Some(false) => {}
                    None => may_be_denied = true,
                },
                RuleAction::Allow if allowed.is_some() => {}
                RuleAction::Allow => {
                    is_closed = true;
                    match rule.holds(asked, &last) {
                        Some(true) => allowed = Some(number),
                        Some(false) => {}
                        None => may_be_allowed = true,
                    }
                }
            }
        }
        if is_closed && allowed.is_none() && !may_be_allowed {
            Decision::Denied(None)
        } else if may_be_denied || (is_closed && allowed.is_none()) {
            Decision::Open
        } else {
            Decision::Allowed(allowed)
        }
    }

    /// Whether it has a policy of this mode.
    #[must_use]
    pub fn has(&self, mode: PolicyMode) -> bool {
        self.policies.iter().any(|policy| policy.mode == mode)
    }

    /// Whether a rule that acts asks for what is known of a call only.
    #[must_use]
    pub fn acts_on_calls(&self) -> bool {
        let mut rules = self.rules(PolicyMode::Enforce);
        rules.any(|(_, rule)| rule.conditions.iter().any(Condition::is_about_calls))
    }

    /// The names of all its rules, by their numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().flat_map(|policy| &policy.rules).map(|rule| &*rule.name)
    }

    /// The rules of the policies of this mode, with their numbers.
    fn rules(&self, mode: PolicyMode) -> impl Iterator<Item = (RuleNumber, &Rule)> {
        let mut first = 0;
        let numbered = self.policies.iter().map(move |policy| {
            let start = first;
            first += policy.rules.len();
            (start, policy)
        });
        let acting = numbered.filter(move |(_, policy)| policy.mode == mode);
        acting.flat_map(|(start, policy)| policy.rules.iter().enumerate().map(move |(at, rule)| (start + at, rule)))
    }
}

#[cfg(test)]
mod tests;
