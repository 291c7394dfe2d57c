//! What rules come to, in words for operators.

use std::fmt;

use super::condition::LastClaim;
use super::{Asked, Authorization, Decision};
use crate::config::model::{PolicyMode, RuleAction};

/// What one rule comes to.
#[derive(Debug)]
pub struct Explained<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it does.
    pub action: RuleAction,
    /// Whether its policy acts.
    pub mode: PolicyMode,
    /// Whether it holds; `None` where that is not known.
    pub holds: Option<bool>,
    /// The condition that keeps it from holding, or that is not known.
    pub because: Option<String>,
}

impl Authorization {
    /// What becomes of a request, and by which rule.
    #[must_use]
    pub fn verdict(&self, asked: &Asked<'_>) -> String {
        let by = |rule: Option<usize>| match rule.and_then(|number| self.names().nth(number)) {
            Some(name) => format!(" by rule {name}"),
            None => ", no rule is about it".to_owned(),
        };
        match self.decide(PolicyMode::Enforce, asked) {
            Decision::Allowed(rule) => format!("passes{}", by(rule)),
            Decision::Denied(None) => "403, no rule allows it".to_owned(),
            Decision::Denied(rule) => format!("403{}", by(rule)),
            Decision::Open => "depends on what the rules ask for".to_owned(),
        }
    }

    /// What each rule comes to.
    #[must_use]
    pub fn explain(&self, asked: &Asked<'_>) -> Vec<Explained<'_>> {
        let last = LastClaim::default();
        let all = self.policies.iter().flat_map(|policy| policy.rules.iter().map(|rule| (policy.mode, rule)));
        let explained = all.map(|(mode, rule)| {
            let holds = rule.holds(asked, &last);
            let mut conditions = rule.conditions.iter();
            let because = conditions.find(|condition| condition.holds(asked, &last) == holds && holds != Some(true));
            Explained { name: &rule.name, action: rule.action, mode, holds, because: because.map(ToString::to_string) }
        });
        explained.collect()
    }
}

/// How many rules of which kind.
impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |mode, action| self.rules(mode).filter(|(_, rule)| rule.action == action).count();
        let (allow, deny) =
            (count(PolicyMode::Enforce, RuleAction::Allow), count(PolicyMode::Enforce, RuleAction::Deny));
        write!(f, "{allow} allow, {deny} deny")?;
        f.write_str(if allow > 0 { ", what no rule allows gets 403" } else { "" })?;
        if self.has(PolicyMode::Shadow) {
            write!(f, ", {} only counted", self.rules(PolicyMode::Shadow).count())?;
        }
        Ok(())
    }
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = if self.mode == PolicyMode::Shadow { ", only counted" } else { "" };
        let because = self.because.as_deref().unwrap_or_default();
        write!(f, "{}, {}{counted}: ", self.name, self.action)?;
        match self.holds {
            Some(true) => f.write_str("holds"),
            Some(false) => write!(f, "does not hold, for it asks for {because}"),
            None => write!(f, "holds if this is so: {because}"),
        }
    }
}
