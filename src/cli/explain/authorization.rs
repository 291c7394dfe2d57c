//! Who may do what: what the rules of the route say about the request, and what that depends on.

use super::subject::Subject;
use crate::config::model::PolicyMode;
use crate::policy::authorization::{Asked, Call, Decision, Explained, RulePath, Who};

/// The decision, and what each rule comes to.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let Some(rules) = &subject.route.authorization else {
        return Vec::new();
    };
    let call = if subject.settings().sees_calls() { Call::NotYet } else { NO_CALL };
    let asked = Asked {
        who: subject.who.principal.as_deref().map_or(Who::Unknown, Who::Known),
        client: None,
        method: subject.method(),
        path: RulePath::new(subject.facts.path),
        tenant: None,
        call,
    };
    let names: Vec<_> = rules.names().collect();
    let by = |rule: Option<usize>| match rule.and_then(|number| names.get(number)) {
        Some(name) => format!(" by rule {name}"),
        None => ", no rule is about it".to_owned(),
    };
    let decision = match rules.decide(PolicyMode::Enforce, &asked) {
        Decision::Allowed(rule) => format!("passes{}", by(rule)),
        Decision::Denied(None) => "403, no rule allows it".to_owned(),
        Decision::Denied(rule) => format!("403{}", by(rule)),
        Decision::Open => "depends on what the rules ask for".to_owned(),
    };
    let mut lines = vec![format!("authorize {rules}: {decision}")];
    let explained = rules.explain(&asked);
    let more = explained.len().saturating_sub(MAX_RULES);
    lines.extend(explained.iter().take(MAX_RULES).map(line));
    if more > 0 {
        lines.push(format!("          and {more} more rules"));
    }
    lines
}

fn line(rule: &Explained<'_>) -> String {
    let because = rule.because.as_deref().unwrap_or_default();
    let holds = match rule.holds {
        Some(true) => "holds".to_owned(),
        Some(false) => format!("does not hold, for it asks for {because}"),
        None => format!("holds if this is so: {because}"),
    };
    let counted = if rule.mode == PolicyMode::Shadow { ", only counted" } else { "" };
    format!("rule      {}, {}{counted}: {holds}", rule.name, rule.action)
}

const NO_CALL: Call<'_> = Call::Known { operation: None, tenant: None };
const MAX_RULES: usize = 20;
