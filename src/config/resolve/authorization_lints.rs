//! What is legal in rules about who may do what, but probably not meant.

use super::Scope;
use crate::config::model::{AuthorizationPolicy, AuthorizationRule, Config, EVERYBODY, PolicyMode, RuleAction};
use crate::config::node::{Step, below, steps};

/// Warns of policies nobody uses, and of rules that change nothing.
pub(super) fn lint(config: &Config, scope: &mut Scope<'_>) {
    let mut used = vec![false; config.authorization_policies.len()];
    for route in &config.routes {
        let path = steps!["routes", route.name.as_str(), "authorization"];
        for (index, id) in route.authorization.iter().enumerate() {
            if let Some(used) = used.get_mut(id.0) {
                *used = true;
            }
            if let Some(policy) = config.authorization_policies.get(id.0).filter(|policy| policy.name.is_none()) {
                of_policy(policy, &scope.one_of(&path, index), scope);
            }
        }
    }
    for (policy, used) in config.authorization_policies.iter().zip(used) {
        let Some(name) = policy.name.as_deref() else { continue };
        let at = steps!["authorizationPolicies", name];
        if !used {
            let message = format!("no route uses `authorizationPolicies.{name}`");
            scope.warn_key(&at, "unused", message, format!("add `authorization: {name}` to a route"));
        }
        of_policy(policy, &at, scope);
    }
}

fn of_policy(policy: &AuthorizationPolicy, at: &[Step], scope: &mut Scope<'_>) {
    let path = below(at, "rules");
    let allowing = policy.rules.iter().filter(|(_, rule)| rule.action == RuleAction::Allow).count();
    for (index, (name, rule)) in policy.rules.iter().enumerate() {
        let at = below(&path, index);
        if let Some(key) = excluded(rule) {
            let message = format!("the rule `{name}` never holds: whatever `{key}` names is excluded again");
            scope.warn(&at, "never-holds", message, "take it out of the list of what is not meant");
        }
        if !is_for_everything(rule) {
            continue;
        }
        match rule.action {
            RuleAction::Allow if allowing > 1 => {
                let message =
                    format!("the rule `{name}` lets everything pass, so the others that allow change nothing");
                scope.warn(&at, "without-effect", message, "give it a condition, or take the others out");
            }
            RuleAction::Deny if policy.mode == PolicyMode::Enforce => {
                let message = format!("the rule `{name}` denies everything");
                scope.warn(&at, "denies-everything", message, "give it a condition");
            }
            RuleAction::Allow | RuleAction::Deny => {}
        }
    }
}

/// Whether it holds for every request.
fn is_for_everything(rule: &AuthorizationRule) -> bool {
    rule.lists().into_iter().all(|(key, is_empty)| match key {
        "roles" => is_empty || rule.roles.iter().any(|role| role == EVERYBODY),
        _ => is_empty,
    })
}

/// A key whose every value is excluded again.
fn excluded(rule: &AuthorizationRule) -> Option<&'static str> {
    fn all<T: PartialEq>(wanted: &[T], not: &[T]) -> bool {
        !wanted.is_empty() && wanted.iter().all(|wanted| not.contains(wanted))
    }
    let found = [
        ("principals", all(&rule.principals, &rule.not_principals)),
        ("roles", all(&rule.roles, &rule.not_roles) || rule.not_roles.iter().any(|role| role == EVERYBODY)),
        ("spiffe", all(&rule.spiffe, &rule.not_spiffe)),
        ("namespaces", all(&rule.namespaces, &rule.not_namespaces)),
        ("clientIps", all(&rule.client_ips, &rule.not_client_ips)),
        ("tenants", all(&rule.tenants, &rule.not_tenants)),
        ("methods", all(&rule.methods, &rule.not_methods)),
        ("operations", all(&rule.operations, &rule.not_operations)),
    ];
    found.into_iter().find_map(|(key, is_excluded)| is_excluded.then_some(key))
}
