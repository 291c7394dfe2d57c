//! `authorizationPolicies` and `routes.X.authorization`. Shared policies come first, so that routes can refer to them
//! by number; a route's own follow.

use std::collections::BTreeMap;

use super::Scope;
use crate::config::keys::authorization as raw;
use crate::config::model::{AuthorizationPolicy, AuthorizationPolicyId, AuthorizationRule};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;

/// The policies found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    policies: Vec<AuthorizationPolicy>,
    shared: BTreeMap<String, AuthorizationPolicyId>,
}

/// Where a policy stands.
struct Place<'a> {
    at: &'a [Step],
    /// Its own name, where it is shared.
    name: Option<String>,
    /// Before the names of its rules.
    prefix: String,
}

impl Found {
    /// Resolves the shared policies.
    pub(super) fn shared(entries: Vec<(String, raw::AuthorizationPolicy)>, scope: &mut Scope<'_>) -> Self {
        let mut found = Self::default();
        for (name, raw) in entries {
            let at = steps!["authorizationPolicies", name.as_str()];
            let id = found.add(&Place { at: &at, name: Some(name.clone()), prefix: format!("{name}/") }, raw, scope);
            found.shared.insert(name, id);
        }
        found
    }

    /// Resolves the policies of a route.
    pub(super) fn of_route(
        &mut self,
        route: &str,
        uses: Option<Vec<raw::AuthorizationUse>>,
        scope: &mut Scope<'_>,
    ) -> Vec<AuthorizationPolicyId> {
        let path = steps!["routes", route, "authorization"];
        let Some(uses) = uses else { return Vec::new() };
        match uses.len() {
            0 => {
                let diagnostic = Diagnostic::invalid("an empty list of policies lets everybody pass");
                scope.missing(&path, diagnostic.hint("write `authorization: off` if that is meant"));
            }
            1..=MAX_USES => {}
            many => {
                let message = format!("`routes.{route}` has {many} authorization policies");
                scope.add_key(&path, Diagnostic::invalid(message).hint(format!("{MAX_USES} are possible")));
            }
        }
        let mut ids = Vec::new();
        for (index, used) in uses.into_iter().enumerate() {
            let at = scope.one_of(&path, index);
            match used {
                raw::AuthorizationUse::Own(raw) => {
                    let prefix = if index == 0 { String::new() } else { format!("{index}/") };
                    let place = Place { at: &at, name: None, prefix };
                    ids.push(self.add(&place, *raw, scope));
                }
                raw::AuthorizationUse::Shared(name) => match self.shared.get(&name) {
                    None => {
                        scope.dangling(&at, "authorizationPolicy", &name, self.shared.keys().map(String::as_str));
                    }
                    Some(id) if ids.contains(id) => {
                        scope.add(&at, Diagnostic::invalid(format!("`{name}` is given twice")));
                    }
                    Some(id) => ids.push(*id),
                },
            }
        }
        ids
    }

    fn rules(&self, ids: &[AuthorizationPolicyId]) -> impl Iterator<Item = &(String, AuthorizationRule)> {
        ids.iter().filter_map(|id| self.policies.get(id.0)).flat_map(|policy| &policy.rules)
    }

    /// Refuses rules about who a client is where nobody finds that out: one that denies would never hold.
    pub(super) fn check_who(&self, route: &str, ids: &[AuthorizationPolicyId], scope: &mut Scope<'_>) {
        if let Some((name, _)) = self.rules(ids).find(|(_, rule)| rule.asks_who()) {
            let message = format!("the rule `{name}` asks who a client is, and `routes.{route}` has no `auth`");
            let hint = "add `auth: PROVIDER` with one of `authProviders`, or give the route other rules";
            scope.conflict(&steps!["routes", route, "authorization"], message, hint);
        }
    }

    /// Refuses rules about operations where nobody recognises calls.
    pub(super) fn check_calls(&self, route: &str, ids: &[AuthorizationPolicyId], scope: &mut Scope<'_>) {
        if let Some((name, _)) = self.rules(ids).find(|(_, rule)| rule.asks_what()) {
            let message =
                format!("the rule `{name}` asks for operations, which `routes.{route}` does not know with `a2a: off`");
            let hint = "take `a2a: off` out, or give the route other rules";
            scope.conflict(&steps!["routes", route, "authorization"], message, hint);
        }
    }

    /// All of them.
    pub(super) fn finish(self) -> Vec<AuthorizationPolicy> {
        self.policies
    }

    fn add(
        &mut self,
        place: &Place<'_>,
        raw: raw::AuthorizationPolicy,
        scope: &mut Scope<'_>,
    ) -> AuthorizationPolicyId {
        let path = below(place.at, "rules");
        match raw.rules.len() {
            0 => {
                let diagnostic = Diagnostic::lacks("a policy without rules says nothing");
                scope.missing(&path, diagnostic.hint("add a rule, such as `- { roles: authenticated }`"));
            }
            1..=MAX_RULES => {}
            many => {
                let diagnostic = Diagnostic::invalid(format!("this policy has {many} rules"));
                scope.add_key(&path, diagnostic.hint(format!("{MAX_RULES} are possible")));
            }
        }
        let mut rules: Vec<(String, AuthorizationRule)> = Vec::new();
        for (index, rule) in raw.rules.into_iter().enumerate() {
            let at = below(&path, index);
            let name = name(&rule, index, &at, scope);
            let label = format!("{}{name}", place.prefix);
            if rules.iter().any(|(known, _)| *known == label) {
                let diagnostic = Diagnostic::invalid(format!("two rules of this policy are called `{name}`"));
                scope.add(&below(&at, "name"), diagnostic);
            }
            check(&rule, &at, scope);
            rules.push((label, rule));
        }
        self.policies.push(AuthorizationPolicy { name: place.name.clone(), mode: raw.mode, rules });
        AuthorizationPolicyId(self.policies.len() - 1)
    }
}

/// The name of a rule among those of its policy.
fn name(rule: &AuthorizationRule, index: usize, at: &[Step], scope: &mut Scope<'_>) -> String {
    let Some(name) = &rule.name else { return index.to_string() };
    scope.own_name("rule", name, at);
    name.clone()
}

/// Refuses conditions that could not mean what they seem to.
fn check(rule: &AuthorizationRule, at: &[Step], scope: &mut Scope<'_>) {
    for (key, is_empty) in rule.lists() {
        let path = below(at, key);
        if is_empty && scope.is_given(&path) {
            let diagnostic = Diagnostic::invalid(format!("an empty `{key}` holds for nothing, or for everything"));
            scope.missing(&path, diagnostic.hint("leave it out, or name something"));
        }
    }
    for (key, claims) in [("claims", &rule.claims), ("notClaims", &rule.not_claims)] {
        for (claim, values) in claims {
            let path = below(&below(at, key), claim.as_str());
            if values.is_empty() {
                scope.missing(&path, Diagnostic::invalid("this claim has no value that it could have"));
            }
            if claim.is_empty() || claim.matches('.').count() > MAX_DOTS {
                let diagnostic = Diagnostic::invalid(format!("`{claim}` is not the path of a claim"));
                scope.add_key(&path, diagnostic.hint("write `realm.roles` for `roles` inside `realm`"));
            }
        }
    }
}

/// Policies of one route.
const MAX_USES: usize = 16;
/// Rules of one policy.
const MAX_RULES: usize = 1000;
/// How deep a claim may lie.
const MAX_DOTS: usize = 8;
