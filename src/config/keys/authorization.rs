//! `authorizationPolicies.X` and `routes.X.authorization`: who may do what.

use std::fmt;

use http::Method;
use ipnet::IpNet;

use super::{List, Many, Named, Network, Verb, choice, find, section, text_or, text_value};
use crate::a2a::Operation;
use crate::config::de::with_hint;
use crate::config::types::{PathMatch, TextPattern};

section! {
    #[derive()]
    /// Who may do what. Of the rules that hold for a request, one that denies wins; where any rule allows, what none of
    /// them allows is refused with 403.
    pub(in crate::config) struct AuthorizationPolicy {
        /// `enforce` refuses, `shadow` only counts in the metrics what it would do.
        mode: PolicyMode = enforce,
        /// Its rules, in any order; at least one. Required.
        rules: Vec<AuthorizationRule> as List<AuthorizationRule>; empty,
    }
}

section! {
    #[derive()]
    /// A rule. It holds where every key that is given holds, and a key does where any of its values does. One without
    /// conditions holds for every request.
    pub struct AuthorizationRule {
        /// Its name in metrics, log and `attache explain`. Default: its place among the rules, from 0.
        name: Option<String>,
        /// `allow` or `deny`.
        action: RuleAction = allow,
        /// Who the client proved to be: `ann`, `team-*`, `*@example.com`, `*` for everybody who proved anything, or
        /// `{ provider: NAME, name: ann }` for one that a certain provider vouches for.
        principals: Vec<PrincipalPattern> as Many<PrincipalPattern>; empty,
        /// None of these.
        not_principals: Vec<PrincipalPattern> as Many<PrincipalPattern>; empty,
        /// `public` (everybody), `authenticated`, or a role that a provider gives, such as `admin`.
        roles: Vec<String> as Many<String>; empty,
        /// None of these.
        not_roles: Vec<String> as Many<String>; empty,
        /// Claims of its token by their path, `realm.roles: [admin]`: equal, or one of a list in the token, or one word
        /// of `scope` and `scp`.
        claims: Vec<(String, Vec<TextPattern>)> as Named<Many<Text>>; empty,
        /// For each of these claims, none of these values.
        not_claims: Vec<(String, Vec<TextPattern>)> as Named<Many<Text>>; empty,
        /// The SPIFFE id of its certificate or token: `spiffe://cluster.local/ns/default/sa/web`, with or without
        /// `spiffe://`.
        spiffe: Vec<TextPattern> as Many<SpiffeText>; empty,
        /// None of these.
        not_spiffe: Vec<TextPattern> as Many<SpiffeText>; empty,
        /// The namespace in that id.
        namespaces: Vec<TextPattern> as Many<Text>; empty,
        /// None of these.
        not_namespaces: Vec<TextPattern> as Many<Text>; empty,
        /// Networks of the client's address, as far as proxies in front are believed.
        client_ips: Vec<IpNet> as Many<Network>; empty,
        /// None of these.
        not_client_ips: Vec<IpNet> as Many<Network>; empty,
        /// On whose behalf it acts: what `tenants.header` names, and what a call of an agent names.
        tenants: Vec<TextPattern> as Many<Text>; empty,
        /// None of these.
        not_tenants: Vec<TextPattern> as Many<Text>; empty,
        /// Methods.
        methods: Vec<Method> as Many<Verb>; empty,
        /// None of these.
        not_methods: Vec<Method> as Many<Verb>; empty,
        /// Paths in the one spelling in which they are matched and forwarded.
        paths: Vec<PathMatch> as Many<PathMatch>; empty,
        /// None of these.
        not_paths: Vec<PathMatch> as Many<PathMatch>; empty,
        /// What is asked of an agent, by its name in A2A: `SendMessage`, .., or `GetAgentCard` for the public card.
        operations: Vec<Operation> as Many<RuleOperation>; empty,
        /// None of these.
        not_operations: Vec<Operation> as Many<RuleOperation>; empty,
    }

    #[derive(PartialEq, Eq)]
    /// Somebody whom a certain provider vouches for.
    pub(in crate::config) struct ProvidedPrincipal {
        /// The provider, by its name in `authProviders`. Default: any.
        provider: Option<String>,
        /// The name.
        name: TextPattern as Text = "*",
    }
}

/// The name of a shared policy, or a policy of the route's own.
#[derive(Clone, Debug)]
pub(in crate::config) enum AuthorizationUse {
    Shared(String),
    Own(Box<AuthorizationPolicy>),
}

impl TryFrom<AuthorizationPolicy> for AuthorizationUse {
    type Error = String;
    fn try_from(own: AuthorizationPolicy) -> Result<Self, String> {
        Ok(Self::Own(Box::new(own)))
    }
}

text_or!(
    AuthorizationUse, AuthorizationPolicy, "the name of a policy in `authorizationPolicies`, or `{ rules: [..] }`",
    |text| Ok(Self::Shared(text.to_owned())),
    { "type": "string" }
);

choice! {
    /// Whether a policy acts.
    pub enum PolicyMode {
        /// It refuses.
        Enforce = ["enforce", "enforced"],
        /// It counts what it would refuse, and lets it pass.
        Shadow = ["shadow", "dry-run", "report-only", "audit"],
    }

    /// What a rule does about what it holds for.
    pub enum RuleAction {
        /// Lets it pass, unless another denies it.
        Allow = ["allow"],
        /// Refuses it.
        Deny = ["deny"],
    }
}

/// Who a client may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalPattern {
    /// The provider that has to vouch for it; `None` is any.
    pub provider: Option<Box<str>>,
    /// Its name.
    pub name: TextPattern,
}

impl TryFrom<ProvidedPrincipal> for PrincipalPattern {
    type Error = String;
    fn try_from(given: ProvidedPrincipal) -> Result<Self, String> {
        if given.provider.is_none() && given.name == TextPattern::Any {
            return Err(with_hint("this says nothing", "give `provider`, `name` or both, or write `*`"));
        }
        Ok(Self { provider: given.provider.map(String::into_boxed_str), name: given.name })
    }
}

text_or!(
    PrincipalPattern, ProvidedPrincipal, "a name such as `ann`, or `{ provider: .., name: .. }`",
    |written| text(written).map(|Text(name)| Self { provider: None, name }),
    { "type": "string" }
);

impl fmt::Display for PrincipalPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        self.provider.iter().try_for_each(|provider| write!(f, " of {provider}"))
    }
}

text_value!(
    /// A name, with `*` at its end or beginning for any rest.
    Text(TextPattern), text, "a text such as `ann`, `team-*` or `*`", {
    "type": "string",
    "description": "A text, with * at its end or beginning for any rest."
});

fn text(text: &str) -> Result<Text, String> {
    let plain = |rest: &str| !rest.is_empty() && !rest.contains('*');
    let pattern = match (text, text.strip_prefix('*'), text.strip_suffix('*')) {
        ("*", ..) => TextPattern::Any,
        (exact, None, None) if plain(exact) => TextPattern::Exact(exact.into()),
        (_, Some(end), None) if plain(end) => TextPattern::Suffix(end.into()),
        (_, None, Some(start)) if plain(start) => TextPattern::Prefix(start.into()),
        ("", ..) => return Err(with_hint("an empty text fits nobody", "write a name, or `*` for all")),
        _ => {
            let message = format!("`{text}` has a `*` in the middle, or more than one");
            return Err(with_hint(message, "write `start*` or `*end`; several stand in a list"));
        }
    };
    Ok(Text(pattern))
}

text_value!(
    /// A SPIFFE id without its scheme, with `*` at its end or beginning for any rest.
    SpiffeText(TextPattern), spiffe_text, "an id such as `spiffe://cluster.local/ns/default/sa/web`", {
    "type": "string",
    "description": "A SPIFFE id, with * at its end or beginning for any rest."
});

fn spiffe_text(written: &str) -> Result<SpiffeText, String> {
    let bare = written.strip_prefix(SPIFFE).unwrap_or(written);
    if bare.contains("://") {
        return Err(with_hint(format!("`{written}` is no SPIFFE id"), "write `spiffe://trust-domain/path`"));
    }
    text(bare).map(|Text(pattern)| SpiffeText(pattern))
}

/// What SPIFFE ids begin with.
pub const SPIFFE: &str = "spiffe://";

text_value!(
    /// An operation of A2A, the public card among them.
    RuleOperation(Operation), rule_operation, "an operation such as `SendMessage`", {
    "type": "string",
    "description": "An operation of A2A by its name: SendMessage, GetTask, .., or GetAgentCard for the public card."
});

fn rule_operation(text: &str) -> Result<RuleOperation, String> {
    // The public card is no call, and so has no name where calls are named.
    let is_card = text.eq_ignore_ascii_case(Operation::GetAgentCard.name());
    if is_card { Ok(RuleOperation(Operation::GetAgentCard)) } else { find(text).map(RuleOperation) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_at_one_end() {
        for (written, expected) in [
            ("ann", Some(TextPattern::Exact("ann".into()))),
            ("*", Some(TextPattern::Any)),
            ("team-*", Some(TextPattern::Prefix("team-".into()))),
            ("*@a.test", Some(TextPattern::Suffix("@a.test".into()))),
            ("", None),
            ("**", None),
            ("*a*", None),
            ("a*b", None),
        ] {
            assert_eq!(text(written).ok().map(|text| text.0), expected, "{written}");
        }
    }

    #[test]
    fn ids_have_a_scheme_or_none() {
        let exact = TextPattern::Exact("cluster.local/ns/a/sa/b".into());
        for written in ["spiffe://cluster.local/ns/a/sa/b", "cluster.local/ns/a/sa/b"] {
            assert_eq!(spiffe_text(written).unwrap().0, exact);
        }
        assert!(spiffe_text("https://cluster.local/ns/a").is_err());
    }

    #[test]
    fn the_public_card_has_a_name_here() {
        assert_eq!(rule_operation("GetAgentCard").unwrap().0, Operation::GetAgentCard);
        assert_eq!(rule_operation("tasks/get").unwrap().0, Operation::GetTask);
        assert!(rule_operation("tools/list").is_err());
    }
}
