//! Which tokens are taken, what they say, and what is remembered of them.

use serde_json::json;

use super::*;
use crate::config::model::RemoteJwks;
use crate::jose::issuer_tests::{Issuer, set, with};
use crate::jose::{Algorithm, ClaimRules};
use crate::policy::auth::presented::tests::{fields, presented};

const TIME: Duration = Duration::from_secs(1_800_000_000);

fn settings(keys: JwtKeys) -> model::Jwt {
    model::Jwt {
        rules: ClaimRules {
            issuer: Some("https://login.example/".into()),
            audiences: vec!["agents".into()],
            clock_skew: Duration::from_secs(60),
            subject: "sub".into(),
        },
        algorithms: vec![Algorithm::Es256],
        keys,
        header: None,
        forward_claims: vec![
            ("sub".to_owned(), HeaderName::from_static("x-user")),
            ("org.unit".to_owned(), HeaderName::from_static("x-unit")),
            ("tags".to_owned(), HeaderName::from_static("x-tags")),
        ],
        roles_claim: "scope".to_owned(),
        trust_domain: Some("corp".into()),
    }
}

fn of(issuer: &Issuer) -> JwtKeys {
    JwtKeys::Known(Arc::new(
        KeySet::read(&set(&[with(&issuer.public, &json!({ "kid": "one" }))]), &[Algorithm::Es256]).unwrap(),
    ))
}

fn remote() -> RemoteJwks {
    RemoteJwks {
        url: serde_json::from_str("\"https://login.example/keys\"").unwrap(),
        ca_file: None,
        refresh: Duration::from_secs(600),
        stale_for: Duration::from_secs(3600),
    }
}

fn tokens(settings: &model::Jwt) -> Arc<Tokens> {
    Tokens::adopt(&"corp".into(), settings, None, Instant::now())
}

fn claims() -> Value {
    json!({ "iss": "https://login.example/", "aud": "agents", "sub": "ann", "exp": TIME.as_secs() + 300 })
}

fn verify(tokens: &Arc<Tokens>, token: &str) -> Verdict {
    let headers = fields(&[("authorization", &format!("Bearer {token}"))]);
    tokens.verify(&presented(&headers, None))
}

fn verified(verdict: Verdict) -> Verified {
    match verdict {
        Verdict::Verified(verified) => verified,
        Verdict::Refused(refusal) => panic!("{refusal:?}"),
        other => panic!("{other:?}"),
    }
}

fn is_refused(verdict: &Verdict, refusal: Refusal) -> bool {
    matches!(verdict, Verdict::Refused(found) if *found == refusal)
}

#[test]
fn a_token_says_who_somebody_is() {
    let issuer = Issuer::new(Algorithm::Es256);
    let tokens = tokens(&settings(of(&issuer)));
    let more =
        json!({ "scope": "read write a,b", "org": { "unit": 7 }, "tags": ["x", "y"], "sub": "spiffe://corp/ns/a" });
    let told = verified(verify(&tokens, &issuer.token(Some("one"), &with(&claims(), &more))));
    let principal = &told.principal;
    assert_eq!((&*principal.name, &*principal.provider), ("spiffe://corp/ns/a", "corp"));
    assert_eq!(principal.spiffe.as_deref(), Some("spiffe://corp/ns/a"));
    assert_eq!(principal.roles.iter().map(|role| &**role).collect::<Vec<_>>(), ["read", "write"]);
    assert_eq!(principal.claims["org"]["unit"], 7);
    let fields = told.fields.unwrap();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(fields, [("x-user", "spiffe://corp/ns/a"), ("x-unit", "7"), ("x-tags", "x,y")]);
    let forwards: Vec<_> = tokens.forwards().map(HeaderName::as_str).collect();
    assert_eq!(forwards, ["x-user", "x-unit", "x-tags"], "also where a token has no such claim");
    let plain = verified(verify(&tokens, &issuer.token(Some("one"), &claims())));
    assert_eq!((plain.principal.spiffe.as_deref(), plain.principal.roles.len()), (None, 0));
    for (trust_domain, id) in [
        (Some("corp"), "spiffe://other/ns/a"),
        (None, "spiffe://corp/ns/a"),
        (Some("corp"), "spiffe://corp"),
        (Some("corp"), "spiffe://corp.evil/a"),
    ] {
        let settings = model::Jwt { trust_domain: trust_domain.map(Into::into), ..settings(of(&issuer)) };
        let told = verified(verify(
            &self::tokens(&settings),
            &issuer.token(Some("one"), &with(&claims(), &json!({ "sub": id }))),
        ));
        assert_eq!((told.principal.spiffe.as_deref(), &*told.principal.name), (None, id), "{trust_domain:?}");
    }
}

#[test]
fn what_is_no_token_of_ours_is_refused() {
    let (issuer, other) = (Issuer::new(Algorithm::Es256), Issuer::new(Algorithm::Es256));
    let tokens = tokens(&settings(of(&issuer)));
    let ed = Issuer::new(Algorithm::EdDsa);
    let late = with(&claims(), &json!({ "exp": TIME.as_secs() - 60 }));
    for token in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        "é.é.é".to_owned(),
        issuer.token(Some("two"), &claims()),
        other.token(Some("one"), &claims()),
        other.token(None, &claims()),
        ed.token(None, &claims()),
        issuer.token(Some("one"), &late),
        issuer.token(Some("one"), &json!({ "sub": "ann" })),
    ] {
        assert!(is_refused(&verify(&tokens, &token), Refusal::Invalid), "{token}");
    }
    let headers = fields(&[("authorization", "Basic abc")]);
    assert!(matches!(tokens.verify(&presented(&headers, None)), Verdict::Absent));
    let token = format!("Bearer {}", issuer.token(Some("one"), &claims()));
    let headers = fields(&[("authorization", &token), ("authorization", &token)]);
    assert!(is_refused(&tokens.verify(&presented(&headers, None)), Refusal::Invalid), "two of them");
}

#[test]
fn a_token_is_remembered_until_its_end() {
    let issuer = Issuer::new(Algorithm::Es256);
    let tokens = tokens(&settings(of(&issuer)));
    let token = issuer.token(Some("one"), &claims());
    let first = verified(verify(&tokens, &token));
    let again = verified(verify(&tokens, &token));
    assert!(Arc::ptr_eq(&first.principal, &again.principal));
    let now = Instant::now();
    let last = TIME + Duration::from_secs(359);
    assert!(tokens.check(&token, last, now).is_ok());
    let end = TIME + Duration::from_secs(360);
    assert_eq!(tokens.check(&token, end, now).err(), Some(Fault::Token(TokenFault::Expired)));
    assert_eq!(tokens.seen.len(), 0, "it is forgotten");
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{rest}.{}", signature.chars().rev().collect::<String>());
    assert_eq!(tokens.check(&forged, TIME, now).err(), Some(Fault::Token(TokenFault::Signature)));
}

#[tokio::test(start_paused = true)]
async fn other_keys_are_waited_for_and_end_what_is_remembered() {
    let (first, second) = (Issuer::new(Algorithm::Es256), Issuer::new(Algorithm::Es256));
    let tokens = tokens(&settings(JwtKeys::Remote(remote())));
    let keys = Arc::clone(tokens.remote_keys().unwrap());
    let one = with(&first.public, &json!({ "kid": "one" }));
    let two = with(&second.public, &json!({ "kid": "two" }));
    let read = |keys: &[Value]| Some(KeySet::read(&set(keys), &[Algorithm::Es256]).unwrap());
    let old = first.token(Some("one"), &claims());
    let Verdict::Wait(waiting) = verify(&tokens, &old) else { panic!("there are no keys yet") };
    keys.begin();
    keys.end(read(std::slice::from_ref(&one)), Instant::now(), 0.5);
    verified(waiting.await);
    verified(verify(&tokens, &old));
    let new = second.token(Some("two"), &claims());
    let foreign = with(&claims(), &json!({ "iss": "https://other.example/" }));
    let foreign = verify(&tokens, &second.token(Some("two"), &foreign));
    assert!(is_refused(&foreign, Refusal::Invalid), "a token of others makes nobody ask");
    let Verdict::Wait(waiting) = verify(&tokens, &new) else { panic!("it may be one that is new") };
    keys.begin();
    keys.end(read(&[two]), Instant::now(), 0.5);
    verified(waiting.await);
    assert!(
        is_refused(&verify(&tokens, &old), Refusal::Invalid),
        "its key was taken back, and keys were fetched just now"
    );
}

#[tokio::test(start_paused = true)]
async fn without_keys_nobody_gets_in() {
    let issuer = Issuer::new(Algorithm::Es256);
    let tokens = tokens(&settings(JwtKeys::Remote(remote())));
    let keys = Arc::clone(tokens.remote_keys().unwrap());
    let token = issuer.token(None, &claims());
    let Verdict::Wait(waiting) = verify(&tokens, &token) else { panic!("there are no keys yet") };
    keys.begin();
    keys.end(None, Instant::now(), 0.5);
    assert!(is_refused(&waiting.await, Refusal::Unavailable));
    assert!(is_refused(&verify(&tokens, &token), Refusal::Unavailable), "and nobody waits");
    assert!(is_refused(&verify(&tokens, "x"), Refusal::Invalid), "no keys would help");
    let foreign = with(&claims(), &json!({ "iss": "https://other.example/" }));
    assert!(is_refused(&verify(&tokens, &issuer.token(None, &foreign)), Refusal::Invalid), "nor would they here");
}

#[test]
fn a_reload_keeps_what_means_the_same() {
    let issuer = Issuer::new(Algorithm::Es256);
    let (now, name) = (Instant::now(), "corp".into());
    let before = tokens(&settings(of(&issuer)));
    assert!(Arc::ptr_eq(&before, &Tokens::adopt(&name, &settings(of(&issuer)), Some(&before), now)));
    let other = Tokens::adopt(&name, &settings(of(&Issuer::new(Algorithm::Es256))), Some(&before), now);
    assert!(!Arc::ptr_eq(&before, &other));
    let before = tokens(&settings(JwtKeys::Remote(remote())));
    let mut changed = settings(JwtKeys::Remote(remote()));
    changed.roles_claim = "roles".to_owned();
    let after = Tokens::adopt(&name, &changed, Some(&before), now);
    assert!(!Arc::ptr_eq(&before, &after));
    assert!(Arc::ptr_eq(before.remote_keys().unwrap(), after.remote_keys().unwrap()), "the keys go on");
    changed.algorithms = vec![Algorithm::Rs256];
    let after = Tokens::adopt(&name, &changed, Some(&after), now);
    assert!(!Arc::ptr_eq(before.remote_keys().unwrap(), after.remote_keys().unwrap()));
}

#[test]
fn claims_as_fields() {
    for (claim, expected) in [
        (json!("ann"), Some("ann")),
        (json!(7.5), Some("7.5")),
        (json!(true), Some("true")),
        (json!(["a", "b"]), Some("a,b")),
        (json!(["a,admin"]), None),
        (json!(["a", 7]), None),
        (json!("a\r\nx-admin: 1"), None),
        (json!(null), None),
        (json!({}), None),
        (json!("x".repeat(4097)), None),
    ] {
        assert_eq!(text(&claim).as_ref().map(|value| value.to_str().unwrap()), expected, "{claim}");
    }
}
