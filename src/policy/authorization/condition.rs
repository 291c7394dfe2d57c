//! One condition of a rule: whether it holds for a request, as far as that is known.

use std::cell::Cell;
use std::fmt::{self, Display};
use std::net::IpAddr;

use http::Method;
use ipnet::IpNet;
use serde_json::Value;

use super::path::{Canonical, PathTest, RulePath};
use crate::a2a::{Operation, Recognition};
use crate::config::model::{
    AUTHENTICATED, AuthorizationRule, EVERYBODY, PrincipalPattern, RuleAction, SPIFFE, TextPattern,
};
use crate::context::Principal;
use crate::jose::claim;

/// What rules ask about.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Who the client is.
    pub who: Who<'a>,
    /// Its address; `None` where it is not known.
    pub client: Option<IpAddr>,
    /// The method.
    pub method: &'a Method,
    /// The path in its one spelling.
    pub path: RulePath<'a>,
    /// The tenant that the head names.
    pub tenant: Option<&'a str>,
    /// What it asks of an agent.
    pub call: Call<'a>,
}

/// Who a client is.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// That is not known.
    Unknown,
    /// It proved nothing.
    Nobody,
    /// It proved to be this.
    Known(&'a Principal),
}

/// What is asked of an agent.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// That is not known yet.
    NotYet,
    /// It is known.
    Known {
        /// The operation; `None` is no call, or one that this gateway does not know.
        operation: Option<Operation>,
        /// The tenant that the call names.
        tenant: Option<&'a str>,
    },
}

impl<'a> Call<'a> {
    /// None at all.
    pub const NONE: Self = Self::Known { operation: None, tenant: None };

    /// What the head of a request to an agent says of it, and the tenant that its path names. With a body it may be a
    /// call that the head does not show, or name another tenant.
    #[must_use]
    pub fn of_head(method: &Method, recognised: &Recognition<'_>, tenant: Option<&'a str>) -> Self {
        let has_no_body = matches!(*method, Method::GET | Method::HEAD | Method::DELETE);
        match recognised {
            Recognition::Other if has_no_body => Self::NONE,
            Recognition::Call(call) if has_no_body => Self::Known { operation: call.operation, tenant },
            Recognition::Other | Recognition::Call(_) | Recognition::Body(_) => Self::NotYet,
        }
    }
}

/// The claim that was looked up last. Rules mostly ask about the same one, and each look-up goes down the whole token.
#[derive(Debug, Default)]
pub(super) struct LastClaim<'a>(Cell<Option<(&'a str, Option<&'a Value>)>>);

impl<'a> LastClaim<'a> {
    fn of(&self, principal: &'a Principal, path: &'a str) -> Option<&'a Value> {
        if let Some((_, found)) = self.0.get().filter(|(last, _)| *last == path) {
            return found;
        }
        let found = claim(&principal.claims, path);
        self.0.set(Some((path, found)));
        found
    }
}

/// A condition, ready to be asked.
#[derive(Debug)]
pub(super) struct Condition {
    test: Test,
    /// It holds where the test does not.
    is_negated: bool,
    /// Whether the test has to hold for a request to pass, or keeps it from passing. What can be read in two ways
    /// counts against it.
    lets_pass: bool,
}

#[derive(Debug)]
enum Test {
    Methods(Box<[Method]>),
    Operations(Box<[Operation]>),
    Roles(Box<[Box<str>]>),
    Principals(Box<[PrincipalPattern]>),
    Spiffe(Box<[TextPattern]>),
    Namespaces(Box<[TextPattern]>),
    Tenants(Box<[TextPattern]>),
    ClientIps(Box<[IpNet]>),
    Claim(Box<str>, Box<[TextPattern]>),
    Paths(Box<[PathTest]>, Box<str>),
}

/// The conditions of a rule, what is quickly asked first.
pub(super) fn of_rule(rule: &AuthorizationRule, canonical: Canonical) -> Box<[Condition]> {
    let mut conditions = of_side(rule, canonical, false);
    conditions.extend(of_side(rule, canonical, true));
    conditions.sort_by_key(|condition| condition.test.cost());
    conditions.into()
}

/// What a rule asks for, or what it asks not to be.
fn of_side(rule: &AuthorizationRule, canonical: Canonical, is_negated: bool) -> Vec<Condition> {
    fn list<T: Clone>(wanted: &[T], make: fn(Box<[T]>) -> Test) -> Option<Test> {
        (!wanted.is_empty()).then(|| make(wanted.into()))
    }
    macro_rules! side {
        ($plain:ident, $negated:ident) => {
            if is_negated { &rule.$negated } else { &rule.$plain }
        };
    }
    let lets_pass = (rule.action == RuleAction::Allow) != is_negated;
    let roles: Vec<Box<str>> = side!(roles, not_roles).iter().map(|role| role.as_str().into()).collect();
    let paths = side!(paths, not_paths);
    let shown: Vec<_> = paths.iter().map(ToString::to_string).collect();
    let paths: Vec<_> = paths.iter().map(|path| PathTest::new(canonical(path), lets_pass)).collect();
    let claims = side!(claims, not_claims).iter();
    let tests = [
        list(side!(methods, not_methods), Test::Methods),
        list(side!(operations, not_operations), Test::Operations),
        list(&roles, Test::Roles),
        list(side!(principals, not_principals), Test::Principals),
        list(side!(spiffe, not_spiffe), Test::Spiffe),
        list(side!(namespaces, not_namespaces), Test::Namespaces),
        list(side!(tenants, not_tenants), Test::Tenants),
        list(side!(client_ips, not_client_ips), Test::ClientIps),
        (!paths.is_empty()).then(|| Test::Paths(paths.into(), shown.join(", ").into())),
    ];
    let claims = claims.map(|(path, values)| Test::Claim(path.as_str().into(), values.as_slice().into()));
    tests.into_iter().flatten().chain(claims).map(|test| Condition { test, is_negated, lets_pass }).collect()
}

impl Condition {
    /// Whether it holds; `None` where that is not known. `last` is that of this request.
    pub(super) fn holds<'a>(&'a self, asked: &Asked<'a>, last: &LastClaim<'a>) -> Option<bool> {
        Some(self.test.holds(asked, self.lets_pass, last)? != self.is_negated)
    }

    /// Whether it asks for what is known of a call only.
    pub(super) fn is_about_calls(&self) -> bool {
        matches!(self.test, Test::Operations(_) | Test::Tenants(_))
    }
}

impl Test {
    fn cost(&self) -> u8 {
        match self {
            Self::Methods(_) | Self::Operations(_) => 0,
            Self::Roles(_) | Self::Principals(_) => 1,
            Self::Spiffe(_) | Self::Namespaces(_) | Self::Tenants(_) | Self::ClientIps(_) => 2,
            Self::Paths(..) => 3,
            Self::Claim(..) => 4,
        }
    }

    fn holds<'a>(&'a self, asked: &Asked<'a>, lets_pass: bool, last: &LastClaim<'a>) -> Option<bool> {
        let proven = |fits: &dyn Fn(&'a Principal) -> bool| match asked.who {
            Who::Unknown => None,
            Who::Nobody => Some(false),
            Who::Known(principal) => Some(fits(principal)),
        };
        match self {
            Self::Methods(methods) => Some(methods.contains(asked.method)),
            Self::Operations(operations) => match asked.call {
                Call::NotYet => None,
                Call::Known { operation, .. } => Some(operation.is_some_and(|asks| operations.contains(&asks))),
            },
            Self::Roles(roles) => has_role(roles, asked.who),
            Self::Principals(patterns) => proven(&|principal| patterns.iter().any(|wanted| is_one(wanted, principal))),
            Self::Spiffe(patterns) => {
                proven(&|principal| spiffe(principal).is_some_and(|id| patterns.iter().any(|wanted| wanted.fits(id))))
            }
            Self::Namespaces(patterns) => proven(&|principal| {
                namespace(principal).is_some_and(|name| patterns.iter().any(|wanted| wanted.fits(name)))
            }),
            Self::Tenants(patterns) => is_of_tenant(patterns, asked, lets_pass),
            Self::ClientIps(networks) => {
                asked.client.map(|client| networks.iter().any(|network| network.contains(&client)))
            }
            Self::Claim(path, wanted) => proven(&|principal| {
                let is_list = matches!(&**path, "scope" | "scp");
                last.of(principal, path).is_some_and(|found| is_value(found, wanted, is_list))
            }),
            Self::Paths(paths, _) if lets_pass => Some(paths.iter().any(|wanted| wanted.surely_holds(&asked.path))),
            Self::Paths(paths, _) => Some(paths.iter().any(|wanted| wanted.may_hold(&asked.path))),
        }
    }
}

fn is_one(wanted: &PrincipalPattern, principal: &Principal) -> bool {
    wanted.provider.as_ref().is_none_or(|provider| **provider == *principal.provider)
        && wanted.name.fits(&principal.name)
}

fn has_role(roles: &[Box<str>], who: Who<'_>) -> Option<bool> {
    let wants = |role: &str| roles.iter().any(|wanted| **wanted == *role);
    match who {
        _ if wants(EVERYBODY) => Some(true),
        Who::Unknown => None,
        Who::Nobody => Some(false),
        Who::Known(principal) => Some(wants(AUTHENTICATED) || principal.roles.iter().any(|role| wants(role))),
    }
}

/// A request may name a tenant in its head and another one in its call: to let it pass both must be wanted, to refuse
/// it one is enough.
fn is_of_tenant(patterns: &[TextPattern], asked: &Asked<'_>, lets_pass: bool) -> Option<bool> {
    let fits = |tenant: &str| patterns.iter().any(|wanted| wanted.fits(tenant));
    let Call::Known { tenant: of_call, .. } = asked.call else { return None };
    let mut named = [asked.tenant, of_call].into_iter().flatten().peekable();
    Some(if lets_pass { named.peek().is_some() && named.all(fits) } else { named.any(fits) })
}

/// The SPIFFE id without its scheme.
fn spiffe(principal: &Principal) -> Option<&str> {
    let id = principal.spiffe.as_deref()?;
    Some(id.strip_prefix(SPIFFE).unwrap_or(id))
}

/// The namespace in an id as Istio writes them: `trust-domain/ns/NAMESPACE/sa/ACCOUNT`.
fn namespace(principal: &Principal) -> Option<&str> {
    let (_trust_domain, path) = spiffe(principal)?.split_once('/')?;
    path.strip_prefix("ns/")?.split('/').next()
}

/// Whether a claim is one of the wanted values, or a list with one of them.
fn is_value(found: &Value, wanted: &[TextPattern], is_list: bool) -> bool {
    let fits = |text: &str| wanted.iter().any(|wanted| wanted.fits(text));
    match found {
        Value::String(text) if is_list => fits(text) || text.split(' ').any(|word| !word.is_empty() && fits(word)),
        Value::String(text) => fits(text),
        Value::Bool(true) => fits("true"),
        Value::Bool(false) => fits("false"),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => fits(itoa::Buffer::new().format(number)),
            (None, Some(number)) => fits(itoa::Buffer::new().format(number)),
            (None, None) => fits(&number.to_string()),
        },
        Value::Array(items) => items.iter().any(|item| !item.is_array() && is_value(item, wanted, false)),
        Value::Null | Value::Object(_) => false,
    }
}

/// What is wanted, as it stands in the file.
impl Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn all<T: Display>(wanted: &[T]) -> String {
            wanted.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
        }
        let (what, wanted) = match &self.test {
            Test::Methods(wanted) => ("method", all(wanted)),
            Test::Operations(wanted) => {
                ("operation", wanted.iter().map(|asks| asks.name()).collect::<Vec<_>>().join(", "))
            }
            Test::Roles(wanted) => ("role", all(wanted)),
            Test::Principals(wanted) => ("principal", all(wanted)),
            Test::Spiffe(wanted) => ("SPIFFE id", all(wanted)),
            Test::Namespaces(wanted) => ("namespace", all(wanted)),
            Test::Tenants(wanted) => ("tenant", all(wanted)),
            Test::ClientIps(wanted) => ("client address", all(wanted)),
            Test::Claim(path, wanted) => return write!(f, "{}claim {path} {}", self.negation(), all(wanted)),
            Test::Paths(_, shown) => return write!(f, "{}{shown}", self.negation()),
        };
        write!(f, "{}{what} {wanted}", self.negation())
    }
}

impl Condition {
    fn negation(&self) -> &'static str {
        if self.is_negated { "not " } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        let Value::Object(claims) = value else { panic!("{value}") };
        claims
    }

    #[test]
    fn a_claim_is_found_by_its_path_and_the_longest_name_counts() {
        let claims = claims(json!({
            "sub": "ann", "realm": { "roles": ["admin"], "a.b": { "c": 1 } }, "https://a.test/roles": ["ops"],
            "x.y": { "z": 2 }, "x": { "y": { "z": 3 } },
        }));
        for (path, expected) in [
            ("sub", Some(json!("ann"))),
            ("realm.roles", Some(json!(["admin"]))),
            ("realm.a.b.c", Some(json!(1))),
            ("https://a.test/roles", Some(json!(["ops"]))),
            ("x.y.z", Some(json!(2))),
            ("realm.none", None),
            ("none", None),
            ("sub.x", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(claim(&claims, path), expected.as_ref(), "{path}");
        }
    }

    #[test]
    fn a_claim_has_a_value_or_a_list_of_them() {
        let wanted = |text: &str| vec![TextPattern::Exact(text.into())];
        for (found, text, is_list, expected) in [
            (json!("admin"), "admin", false, true),
            (json!("admin user"), "admin", false, false),
            (json!("admin user"), "admin", true, true),
            (json!(["user", "admin"]), "admin", false, true),
            (json!([["admin"]]), "admin", false, false),
            (json!(true), "true", false, true),
            (json!(7), "7", false, true),
            (json!(u64::MAX), "18446744073709551615", false, true),
            (json!(null), "null", false, false),
            (json!({ "admin": 1 }), "admin", false, false),
        ] {
            assert_eq!(is_value(&found, &wanted(text), is_list), expected, "{found} {text}");
        }
        assert!(is_value(&json!("x"), &[TextPattern::Any], false));
        assert!(!is_value(&json!([]), &[TextPattern::Any], false));
    }

    #[test]
    fn a_namespace_stands_where_istio_writes_it() {
        for (id, expected) in [
            (Some("spiffe://cluster.local/ns/istio-system/sa/gateway"), Some("istio-system")),
            (Some("spiffe://cluster.local/x/ns/a/sa/b"), None),
            (Some("spiffe://ns/a"), None),
            (None, None),
        ] {
            let principal = Principal { spiffe: id.map(Into::into), ..Principal::default() };
            assert_eq!(namespace(&principal), expected, "{id:?}");
        }
    }
}
