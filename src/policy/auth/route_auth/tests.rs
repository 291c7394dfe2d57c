//! Providers beside and behind each other, and what needs none.

use aws_lc_rs::digest::{SHA256, digest};

use super::super::Credential;
use super::super::presented::tests::{fields, presented};
use super::*;
use crate::config::model::{ApiKeys, AuthKind, AuthProvider, AuthProviderId, KeyCarrier, KnownKey};

/// Three providers: `one` and `two` look at `x-key`, `token` at bearer tokens.
fn providers() -> Vec<Arc<Provider>> {
    let header = || KeyCarrier::Header(HeaderName::from_static("x-key"));
    [("one", header()), ("two", header()), ("token", KeyCarrier::Bearer)].map(provider).into()
}

/// A provider with the key of its own name.
fn provider((name, carrier): (&str, KeyCarrier)) -> Arc<Provider> {
    let key = KnownKey {
        name: format!("of {name}").into(),
        digest: digest(&SHA256, name.as_bytes()).as_ref().try_into().unwrap(),
        roles: [name.into(), "all".into()].into(),
    };
    let kind = AuthKind::ApiKey(ApiKeys { carrier, keys: vec![key] });
    Arc::new(Provider::adopt(&AuthProvider { name: name.into(), kind }, None))
}

fn settings(needed: Needed, optional: bool) -> model::RouteAuth {
    model::RouteAuth {
        needed,
        except: vec![
            AuthException::Cards,
            AuthException::Health,
            AuthException::Path { path: PathMatch::Prefix("/open".to_owned()), methods: vec![Method::GET] },
        ],
        optional,
        credentials: Credentials::Strip,
        identity_headers: IdentityHeaders::default(),
        realm: "a \"b\"".to_owned(),
        resource_metadata: None,
    }
}

fn auth(needed: Needed, optional: bool) -> RouteAuth {
    RouteAuth::new(&settings(needed, optional), &providers(), PathMatch::clone)
}

fn any(optional: bool) -> RouteAuth {
    auth(Needed::Any([0, 1, 2].map(AuthProviderId).into()), optional)
}

fn decided(auth: &RouteAuth, sent: &[(&'static str, &str)]) -> String {
    let headers = fields(sent);
    match auth.go_on(&presented(&headers, None), &mut Progress::default(), None) {
        Step::Decided(Decision::Verified(at, verified)) => {
            format!("{at} {} {}", verified.principal.name, verified.principal.roles.join("+"))
        }
        Step::Decided(other) => format!("{other:?}"),
        Step::Wait(_) => "wait".to_owned(),
    }
}

const TOKEN: (&str, &str) = ("authorization", "Bearer token");

#[test]
fn the_first_whose_credentials_are_there_decides() {
    for (sent, expected) in [
        (&[("x-key", "one")][..], "0 of one one+all"),
        (&[("x-key", "two")], "1 of two two+all"),
        (&[TOKEN], "2 of token token+all"),
        (&[TOKEN, ("x-key", "two")], "1 of two two+all"),
        (&[TOKEN, ("x-key", "wrong")], "Refused(0, Invalid)"),
        (&[("authorization", "Bearer wrong"), ("x-key", "one")], "0 of one one+all"),
        (&[("authorization", "Bearer wrong")], "Refused(2, Invalid)"),
        (&[("authorization", "Basic wrong")], "Missing"),
        (&[("x-key", "one"), ("x-key", "one")], "Refused(0, Invalid)"),
        (&[], "Missing"),
    ] {
        assert_eq!(decided(&any(false), sent), expected, "{sent:?}");
        let optional = if expected == "Missing" { "Anonymous" } else { expected };
        assert_eq!(decided(&any(true), sent), optional, "{sent:?}, optional");
    }
}

#[test]
fn a_credential_is_tried_where_providers_look_for_it() {
    let headers = HeaderMap::new();
    let request = presented(&headers, Some("x=1"));
    let (key, token) = (|text: &str| Credential::Key(text.to_owned()), Credential::Token("token".to_owned()));
    let in_query = [provider(("asked", KeyCarrier::Query("key".to_owned())))];
    let in_query = RouteAuth::new(&settings(Needed::Any(vec![AuthProviderId(0)]), false), &in_query, PathMatch::clone);
    for (auth, credential, expected) in [
        (&any(false), Some(&key("two")), Some("of two of two, roles two, all")),
        (&any(false), Some(&key("wrong")), Some("not let in: one says invalid")),
        (&any(false), Some(&key("no\nfield")), Some("not let in: no provider looks for what it presents, 401")),
        (&any(false), Some(&token), Some("of token of token, roles token, all")),
        (&any(false), None, None),
        (&in_query, Some(&key("asked")), Some("of asked of asked, roles asked, all")),
        (&in_query, Some(&token), Some("not let in: no provider looks for what it presents, 401")),
    ] {
        assert_eq!(auth.sender(&request, credential).words().as_deref(), expected, "{credential:?}");
    }
}

#[test]
fn all_must_know_the_client_and_the_first_says_who_it_is() {
    for (sent, expected) in [
        (&[("x-key", "one"), TOKEN][..], "0 of one one+all+token"),
        (&[("x-key", "one")], "Missing"),
        (&[TOKEN], "Missing"),
        (&[("x-key", "wrong"), TOKEN], "Refused(0, Invalid)"),
        (&[("x-key", "one"), ("authorization", "Bearer wrong")], "Refused(1, Invalid)"),
        (&[], "Missing"),
    ] {
        let all = |optional| auth(Needed::All([0, 2].map(AuthProviderId).into()), optional);
        assert_eq!(decided(&all(false), sent), expected, "{sent:?}");
        // Half of what is asked for is not nothing.
        let optional = if sent.is_empty() { "Anonymous" } else { expected };
        assert_eq!(decided(&all(true), sent), optional, "{sent:?}, optional");
    }
}

#[tokio::test]
async fn what_has_to_be_found_out_goes_on_where_it_stopped() {
    let (auth, headers) = (any(false), fields(&[TOKEN]));
    let presented = presented(&headers, None);
    for (found, expected) in [
        (Verdict::Absent, "Decided 2"),
        (Verdict::Refused(Refusal::Invalid), "Refused(0, Invalid)"),
        (Verdict::Refused(Refusal::Unavailable), "Refused(0, Unavailable)"),
    ] {
        let said = match auth.go_on(&presented, &mut Progress::default(), Some(found)) {
            Step::Decided(Decision::Verified(at, _)) => format!("Decided {at}"),
            other => format!("{other:?}"),
        };
        assert_eq!(said, expected);
    }
    let waits = Verdict::Wait(Box::pin(async { Verdict::Absent }));
    let Step::Wait(waiting) = auth.go_on(&presented, &mut Progress::default(), Some(waits)) else {
        panic!("it waits");
    };
    assert_eq!(waiting.await.word(), "absent");
}

#[test]
fn what_is_public_needs_nothing() {
    let auth = any(false);
    for (method, path, expected) in [
        (Method::GET, "/.well-known/agent-card.json", true),
        (Method::HEAD, "/research/.well-known/agent.json", true),
        (Method::POST, "/.well-known/agent-card.json", false),
        (Method::GET, "/.well-known/agent-card.json/x", false),
        (Method::GET, "/healthz", true),
        (Method::HEAD, "/a2a/health", true),
        (Method::POST, "/health", false),
        (Method::GET, "/research/health", false),
        (Method::GET, "/health/", false),
        (Method::GET, "/open", true),
        (Method::GET, "/open/%C3%A4;a=b/...", true),
        (Method::GET, "/open/..;/x", false),
        (Method::GET, "/open/.;a/x", false),
        (Method::GET, "/open/..%2fx", false),
        (Method::GET, "/open/%5C", false),
        (Method::GET, "/open/%252e", false),
        (Method::GET, "/open/%3B", false),
        (Method::GET, "/open/%00", false),
        (Method::GET, "/open/%2", false),
        (Method::GET, "/open\\x", false),
        (Method::GET, "/x/..;/.well-known/agent-card.json", false),
        (Method::GET, "/open/x", true),
        (Method::POST, "/open", false),
        (Method::GET, "/opened", false),
        (Method::GET, "/Open", false),
        (Method::GET, "/", false),
    ] {
        assert_eq!(auth.is_public(&method, path), expected, "{method} {path}");
    }
}

#[test]
fn challenges_are_told_once_and_the_wrong_one_says_so() {
    let values = |refused| {
        any(false).challenges(refused).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let key = r#"ApiKey realm="a \"b\"", in="header", name="x-key""#;
    assert_eq!(values(None), [key, r#"Bearer realm="a \"b\"""#]);
    assert_eq!(values(Some(2)), [key, r#"Bearer realm="a \"b\"", error="invalid_token""#]);
    assert_eq!(values(Some(0)), values(None));
}

#[test]
fn credentials_are_taken_out_where_they_are_looked_for() {
    let mut headers = fields(&[TOKEN, ("x-key", "a"), ("x_key", "b"), ("x-other", "c")]);
    any(false).strip(&mut headers);
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    let kind = AuthKind::ApiKey(ApiKeys { carrier: KeyCarrier::Query("key".to_owned()), keys: Vec::new() });
    let provider = Arc::new(Provider::adopt(&AuthProvider { name: "q".into(), kind }, None));
    let settings = settings(Needed::Any(vec![AuthProviderId(0)]), false);
    let auth = RouteAuth::new(&settings, &[provider], PathMatch::clone);
    for (query, expected) in [
        ("key=secret", Some("")),
        ("a=1&key=secret&b=%20", Some("a=1&b=%20")),
        ("%6bey=secret&key&x", Some("x")),
        ("a=key&keys=1", None),
        ("", None),
    ] {
        assert_eq!(auth.stripped_query(query).as_deref(), expected, "{query}");
    }
}
