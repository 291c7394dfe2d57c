//! Who may do what: what the rules of the route say about the request, and what that depends on.

use super::subject::Subject;
use crate::a2a::{Head, Recognition};
use crate::cli::words::labelled;
use crate::config::model::PathMatch;
use crate::head::only_value;
use crate::policy::authorization::{Asked, Call, RulePath, Who};

/// The decision, and what each rule comes to.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let Some(rules) = &subject.route.authorization else {
        return Vec::new();
    };
    let Some(who) = subject.sender.who() else {
        return vec![labelled("authorize", format_args!("{rules}: not asked, for the client is not let in"))];
    };
    let facts = subject.facts;
    let head = Head { method: facts.method, path: facts.path, query: facts.query, headers: facts.headers };
    let recognised = Recognition::of(head, true);
    let named = recognised.tenant(subject.path().map_or("", PathMatch::base));
    let is_seen = subject.settings().sees_calls();
    let asked = Asked {
        who,
        client: subject.client,
        method: facts.method,
        path: RulePath::new(facts.path),
        tenant: tenant(subject, who),
        call: if is_seen { Call::of_head(facts.method, &recognised, named.as_deref()) } else { Call::NONE },
    };
    let explained = rules.explain(&asked);
    let mut lines = vec![labelled("authorize", format_args!("{rules}: {}", rules.verdict(&asked)))];
    lines.extend(explained.iter().take(MAX_RULES).map(|rule| labelled("rule", rule)));
    let more = explained.len().saturating_sub(MAX_RULES);
    if more > 0 {
        lines.push(labelled("", format_args!("and {more} more rules")));
    }
    lines
}

/// The tenant that the client acts for: the one it proves where that is asked for, else the one its header names.
fn tenant<'a>(subject: &Subject<'a>, who: Who<'a>) -> Option<&'a str> {
    let tenants = &subject.config.tenants;
    let proves = tenants.claim.as_ref().filter(|_| subject.route.auth.is_some());
    match (proves, who) {
        (Some(claim), Who::Known(principal)) => principal.tenant(claim),
        _ => only_value(subject.facts.headers, tenants.header.as_ref()?)?.to_str().ok(),
    }
}

const MAX_RULES: usize = 20;
