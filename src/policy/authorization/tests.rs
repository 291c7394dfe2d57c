//! What rules say, as tables.

use http::Method;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::a2a::Operation;
use crate::config::{self, Environment};
use crate::context::{Principal, PrincipalKind};

/// The policies of a route, as they stand in a file.
fn rules(policies: &str) -> Box<Authorization> {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), format!("ann:{}\n", "0".repeat(64))).unwrap();
    let text = format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n\
         authProviders: {{ staff: {{ apiKey: {{ keysFile: '{}' }} }} }}\n\
         routes: {{ all: {{ endpoints: ['a:80'], auth: staff, authorization: {policies} }} }}",
        keys.path().display()
    );
    let loaded = config::parse(&text, "test.yaml", &Environment::empty(std::time::UNIX_EPOCH));
    let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
    Policies::build(&config, Clone::clone).of(&config.routes[0].authorization).unwrap()
}

fn ann() -> Principal {
    let serde_json::Value::Object(claims) = json!({ "realm": { "roles": ["ops"] }, "scope": "read write" }) else {
        panic!("an object")
    };
    Principal {
        name: "ann".into(),
        provider: "staff".into(),
        kind: PrincipalKind::Jwt,
        roles: ["admin".into()].into(),
        claims,
        spiffe: Some("spiffe://cluster.local/ns/monitoring/sa/prometheus".into()),
    }
}

const NOTHING: Call<'_> = Call::Known { operation: None, tenant: None };

fn asked<'a>(who: Who<'a>, path: &'a str, call: Call<'a>) -> Asked<'a> {
    let client = Some([192, 0, 2, 7].into());
    Asked { who, client, method: &Method::GET, path: RulePath::new(path), tenant: None, call }
}

fn decide(policies: &str, asked: &Asked<'_>) -> Decision {
    rules(policies).decide(PolicyMode::Enforce, asked)
}

#[test]
fn every_condition_has_to_hold_and_any_of_its_values_does() {
    let ann = ann();
    for (conditions, holds) in [
        ("{}", true),
        ("{ principals: ann }", true),
        ("{ principals: [bob, 'a*'] }", true),
        ("{ principals: '*' }", true),
        ("{ principals: bob }", false),
        ("{ principals: { provider: staff, name: ann } }", true),
        ("{ principals: { provider: staff } }", true),
        ("{ principals: { provider: guests, name: ann } }", false),
        ("{ notPrincipals: ann }", false),
        ("{ notPrincipals: bob }", true),
        ("{ roles: public }", true),
        ("{ roles: authenticated }", true),
        ("{ roles: [system, admin] }", true),
        ("{ roles: system }", false),
        ("{ notRoles: admin }", false),
        ("{ claims: { realm.roles: [dev, ops] } }", true),
        ("{ claims: { realm.roles: dev } }", false),
        ("{ claims: { scope: write } }", true),
        ("{ claims: { scope: write, realm.roles: dev } }", false),
        ("{ claims: { none: '*' } }", false),
        ("{ notClaims: { realm.roles: ops } }", false),
        ("{ notClaims: { none: '*' } }", true),
        ("{ spiffe: 'spiffe://cluster.local/ns/monitoring/sa/prometheus' }", true),
        ("{ spiffe: 'cluster.local/ns/monitoring/*' }", true),
        ("{ spiffe: 'other.local/*' }", false),
        ("{ namespaces: monitoring }", true),
        ("{ namespaces: default }", false),
        ("{ notNamespaces: monitoring }", false),
        ("{ clientIps: 192.0.2.0/24 }", true),
        ("{ clientIps: 10.0.0.0/8 }", false),
        ("{ notClientIps: 10.0.0.0/8 }", true),
        ("{ methods: [GET, HEAD] }", true),
        ("{ methods: POST }", false),
        ("{ notMethods: GET }", false),
        ("{ paths: { prefix: /a } }", true),
        ("{ paths: [{ exact: /a }, { regex: '/a/[a-z]' }] }", true),
        ("{ paths: { exact: /a } }", false),
        ("{ notPaths: { prefix: /a } }", false),
        ("{ operations: SendMessage }", false),
        ("{ tenants: '*' }", false),
        ("{ notTenants: north }", true),
        ("{ principals: ann, methods: POST }", false),
        ("{ principals: ann, methods: GET, paths: { prefix: /a }, roles: admin }", true),
    ] {
        let asked = asked(Who::Known(&ann), "/a/b", NOTHING);
        let expected = if holds { Decision::Allowed(Some(0)) } else { Decision::Denied(None) };
        assert_eq!(decide(&format!("{{ rules: [{conditions}] }}"), &asked), expected, "{conditions}");
    }
}

#[test]
fn who_proved_nothing_has_the_public_role_alone() {
    for (conditions, holds) in [
        ("{ roles: public }", true),
        ("{ roles: authenticated }", false),
        ("{ principals: '*' }", false),
        ("{ notRoles: authenticated }", true),
        ("{ notPrincipals: ann }", true),
        ("{ claims: { sub: '*' } }", false),
        ("{ spiffe: '*' }", false),
        ("{ namespaces: '*' }", false),
    ] {
        let expected = if holds { Decision::Allowed(Some(0)) } else { Decision::Denied(None) };
        let asked = asked(Who::Nobody, "/", NOTHING);
        assert_eq!(decide(&format!("{{ rules: [{conditions}] }}"), &asked), expected, "{conditions}");
    }
}

#[test]
fn what_denies_wins_and_where_any_rule_allows_the_rest_is_refused() {
    let asked = asked(Who::Nobody, "/a", NOTHING);
    let (yes, no) = ("{ paths: { prefix: /a } }", "{ paths: { prefix: /b } }");
    let deny = |rule: &str| rule.replacen('{', "{ action: deny,", 1);
    for (rules, expected) in [
        (vec![yes.to_owned()], Decision::Allowed(Some(0))),
        (vec![no.to_owned()], Decision::Denied(None)),
        (vec![no.to_owned(), yes.to_owned()], Decision::Allowed(Some(1))),
        (vec![deny(no)], Decision::Allowed(None)),
        (vec![deny(yes)], Decision::Denied(Some(0))),
        (vec![yes.to_owned(), deny(yes)], Decision::Denied(Some(1))),
        (vec![yes.to_owned(), deny(no)], Decision::Allowed(Some(0))),
        (vec![no.to_owned(), deny(no)], Decision::Denied(None)),
    ] {
        assert_eq!(decide(&format!("{{ rules: [{}] }}", rules.join(", ")), &asked), expected, "{rules:?}");
    }
    let several = format!("[{{ rules: [{no}] }}, {{ rules: [{yes}] }}, {{ mode: shadow, rules: [{}] }}]", deny(yes));
    assert_eq!(decide(&several, &asked), Decision::Allowed(Some(1)), "policies count together");
    assert_eq!(rules(&several).decide(PolicyMode::Shadow, &asked), Decision::Denied(Some(2)));
    assert_eq!(rules(&several).names().collect::<Vec<_>>(), ["0", "1/0", "2/0"]);
}

#[test]
fn what_is_not_known_yet_lets_nothing_pass_and_refuses_nothing() {
    let (of_call, never) = ("operations: SendMessage", "methods: POST");
    for (rules, before) in [
        (format!("{{ {of_call} }}"), Decision::Open),
        (format!("{{ {of_call}, {never} }}"), Decision::Denied(None)),
        (format!("{{ {of_call} }}, {{ roles: public }}"), Decision::Allowed(Some(1))),
        (format!("{{ action: deny, {of_call} }}"), Decision::Open),
        (format!("{{ action: deny, {of_call}, {never} }}"), Decision::Allowed(None)),
        (format!("{{ action: deny, {of_call} }}, {{ roles: public }}"), Decision::Open),
        (format!("{{ action: deny, {of_call} }}, {{ {never} }}"), Decision::Denied(None)),
        (format!("{{ action: deny, {of_call} }}, {{ action: deny, roles: public }}"), Decision::Denied(Some(1))),
    ] {
        let asked = asked(Who::Nobody, "/", Call::NotYet);
        assert_eq!(decide(&format!("{{ rules: [{rules}] }}"), &asked), before, "{rules}");
    }
}

#[test]
fn two_tenants_have_to_be_wanted_both_to_let_pass_and_one_is_enough_to_refuse() {
    for (header, call, allowed, denied) in [
        (None, None, false, false),
        (Some("north"), None, true, true),
        (None, Some("north"), true, true),
        (Some("north"), Some("north"), true, true),
        (Some("north"), Some("south"), false, true),
        (Some("south"), Some("north"), false, true),
        (Some("south"), None, false, false),
    ] {
        let known = Call::Known { operation: None, tenant: call };
        let asked = Asked { tenant: header, ..asked(Who::Nobody, "/", known) };
        let allow = decide("{ rules: [{ tenants: north }] }", &asked);
        assert_eq!(allow, if allowed { Decision::Allowed(Some(0)) } else { Decision::Denied(None) });
        let deny = decide("{ rules: [{ action: deny, tenants: north }] }", &asked);
        assert_eq!(deny, if denied { Decision::Denied(Some(0)) } else { Decision::Allowed(None) });
    }
}

#[test]
fn a_rule_about_calls_is_known_for_one() {
    for (policy, expected) in [
        ("{ rules: [{ operations: GetTask }] }", true),
        ("{ rules: [{ notTenants: a }] }", true),
        ("{ rules: [{ roles: admin }] }", false),
        ("{ mode: shadow, rules: [{ operations: GetTask }] }", false),
    ] {
        assert_eq!(rules(policy).acts_on_calls(), expected, "{policy}");
    }
}

#[test]
fn each_rule_is_explained_by_what_keeps_it_from_holding() {
    let rules =
        rules("{ rules: [{ name: ops, roles: ops, methods: GET }, { operations: GetTask }, { roles: public }] }");
    let asked = asked(Who::Nobody, "/", Call::NotYet);
    let said = rules.explain(&asked);
    let said: Vec<_> = said.iter().map(|one| (one.name, one.holds, one.because.as_deref())).collect();
    let expected =
        [("ops", Some(false), Some("role ops")), ("1", None, Some("operation GetTask")), ("2", Some(true), None)];
    assert_eq!(said, expected);
}

/// What decisions mean, written down as simply as can be: by what each rule comes to.
fn model(rules: &[(bool, Option<bool>)]) -> Decision {
    let first = |allows: bool, holds: Option<bool>| rules.iter().position(|rule| *rule == (allows, holds));
    let has_allow = rules.iter().any(|rule| rule.0);
    if let Some(rule) = first(false, Some(true)) {
        return Decision::Denied(Some(rule));
    }
    let allowed = first(true, Some(true));
    match (allowed, first(true, None), first(false, None)) {
        (None, None, _) if has_allow => Decision::Denied(None),
        (_, _, Some(_)) | (None, Some(_), None) => Decision::Open,
        (allowed, _, None) => Decision::Allowed(allowed),
    }
}

proptest! {
    #[test]
    fn rules_decide_as_the_model_does(kinds in prop::collection::vec((any::<bool>(), 0_u8..3), 1..8)) {
        let written = kinds.iter().map(|(allows, kind)| {
            let action = if *allows { "allow" } else { "deny" };
            let condition = ["roles: public", "methods: POST", "operations: GetTask"][usize::from(*kind)];
            format!("{{ action: {action}, {condition} }}")
        });
        let policy = format!("{{ rules: [{}] }}", written.collect::<Vec<_>>().join(", "));
        let rules = rules(&policy);
        let come_to = |unknown| {
            let each = |(allows, kind): &(bool, u8)| (*allows, [Some(true), Some(false), unknown][usize::from(*kind)]);
            kinds.iter().map(each).collect::<Vec<_>>()
        };
        let before = rules.decide(PolicyMode::Enforce, &asked(Who::Nobody, "/", Call::NotYet));
        prop_assert_eq!(before, model(&come_to(None)), "{}", policy);
        for operation in [Some(Operation::GetTask), Some(Operation::SendMessage), None] {
            let call = Call::Known { operation, tenant: None };
            let after = rules.decide(PolicyMode::Enforce, &asked(Who::Nobody, "/", call));
            prop_assert_eq!(after, model(&come_to(Some(operation == Some(Operation::GetTask)))), "{}", policy);
            // What was decided before stays.
            let is_same = std::mem::discriminant(&before) == std::mem::discriminant(&after);
            prop_assert!(before == Decision::Open || is_same, "{} {:?} {:?}", policy, before, after);
        }
    }
}
