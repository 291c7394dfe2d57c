//! Who may do what: what the rules of the route say about the request, and what that depends on.

use std::borrow::Cow;

use http::Method;

use super::subject::Subject;
use crate::a2a::{Head, Recognition};
use crate::config::model::{PathMatch, PolicyMode};
use crate::head::only_value;
use crate::policy::authorization::{Asked, Call, Decision, Explained, RulePath, Who};

/// The decision, and what each rule comes to.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let Some(rules) = &subject.route.authorization else {
        return Vec::new();
    };
    let Some(who) = subject.identity.who() else {
        return vec![format!("authorize {rules}: not asked, for the client is not let in")];
    };
    let facts = subject.facts;
    let head = Head { method: facts.method, path: facts.path, query: facts.query, headers: facts.headers };
    let recognised = Recognition::of(head, true);
    let named = tenant_of_call(subject, &recognised);
    let asked = Asked {
        who,
        client: subject.client,
        method: subject.method(),
        path: RulePath::new(facts.path),
        tenant: tenant_of_client(subject, who),
        call: call(subject, &recognised, named.as_deref()),
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

/// What is asked of an agent, where the head says all of it: a request with a body may be a call, or name a tenant.
fn call<'a>(subject: &Subject<'_>, recognised: &Recognition<'_>, tenant: Option<&'a str>) -> Call<'a> {
    let has_no_body = matches!(*subject.method(), Method::GET | Method::HEAD | Method::DELETE);
    match recognised {
        _ if !subject.settings().sees_calls() => NO_CALL,
        Recognition::Other if has_no_body => NO_CALL,
        Recognition::Call(call) if has_no_body => Call::Known { operation: call.operation, tenant },
        Recognition::Other | Recognition::Call(_) | Recognition::Body(_) => Call::NotYet,
    }
}

/// The tenant that the client acts for: the one it proves where that is asked for, else the one its header names.
fn tenant_of_client<'a>(subject: &Subject<'a>, who: Who<'a>) -> Option<&'a str> {
    let tenants = &subject.config.tenants;
    let proves = tenants.claim.as_ref().filter(|_| subject.route.auth.is_some());
    match (proves, who) {
        (Some(claim), Who::Known(principal)) => principal.tenant(claim),
        _ => only_value(subject.facts.headers, tenants.header.as_ref()?)?.to_str().ok(),
    }
}

/// The tenant that the path of a call names.
fn tenant_of_call<'r>(subject: &Subject<'_>, recognised: &'r Recognition<'_>) -> Option<Cow<'r, str>> {
    let Recognition::Call(call) = recognised else { return None };
    let base = match subject.path() {
        Some(PathMatch::Prefix(prefix)) => prefix.as_str(),
        _ => "",
    };
    call.tenant(base)
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
