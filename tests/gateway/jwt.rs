//! Signed tokens as credentials: which are taken, which are not, and where the keys come from.

use std::cell::RefCell;

use attache::admin::journal::ReloadResult;
use attache::config::{self, Environment};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;

use crate::support::{
    Backend, Body, Client, DEFAULTS, Gw, Issuer, KeyServer, Live, RawBackend, TextFile, channel, claims, eventually,
    get, now, refusing, text, with_field,
};

/// One route whose tokens are of `corp`, with keys from a place.
fn template(keys: &str, more: &str) -> String {
    format!(
        "authProviders: {{ corp: {{ jwt: {{ issuer: 'https://login.example/', audiences: [agents, tools], \
         {keys}, {more} }} }} }}\n\
         routes: {{ all: {{ endpoints: ['{{0}}'], auth: corp }} }}"
    )
}

const FILE: &str = "jwks: { file: '{1}' }";
const URL: &str = "jwks: { url: 'http://{1}/keys' }";

fn with_token(token: &str) -> Request<Body> {
    with_field("authorization", &format!("Bearer {token}"), get("/"))
}

const IN: (u16, &str) = (200, "");
const INVALID: (u16, &str) = (401, "credentials_invalid");
const UNAVAILABLE: (u16, &str) = (503, "auth_unavailable");

#[tokio::test]
async fn tokens_count_for_their_issuer_audience_and_time() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let keys = TextFile::new(&Issuer::set(&[&issuer]));
    let gw = Gw::with(&template(FILE, ""), &[&backend, &keys]).await;
    for (more, expected) in [
        (json!({}), IN),
        (json!({ "aud": ["x", "tools"] }), IN),
        (json!({ "exp": now() - 30 }), IN),
        (json!({ "nbf": now() + 30 }), IN),
        (json!({ "exp": now() - 90 }), INVALID),
        (json!({ "nbf": now() + 90 }), INVALID),
        (json!({ "exp": null }), INVALID),
        (json!({ "iss": "https://login.example" }), INVALID),
        (json!({ "aud": "others" }), INVALID),
        (json!({ "aud": [] }), INVALID),
        (json!({ "sub": "" }), INVALID),
    ] {
        let token = issuer.token(&more);
        // A token that was verified is not verified again: the answer is the same.
        for _ in 0..2 {
            assert_eq!(gw.send(with_token(&token)).await.outcome(), expected, "{more}");
        }
    }
    let reply = gw.send(with_token(&issuer.token(&json!({ "exp": 1 })))).await;
    assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"agents\", error=\"invalid_token\"");
    let reply = gw.get("/").await;
    assert_eq!(
        (reply.outcome(), reply.header("www-authenticate")),
        ((401, "credentials_missing"), "Bearer realm=\"agents\"")
    );
}

#[tokio::test]
async fn what_a_head_says_chooses_neither_algorithm_nor_key() {
    let (backend, issuer, rsa) = (Backend::replying(200).await, Issuer::new("one"), Issuer::rsa("rsa"));
    let keys = TextFile::new(&Issuer::set(&[&issuer, &rsa]));
    let gw = Gw::with(&template(FILE, "algorithms: [ES256, RS256]"), &[&backend, &keys]).await;
    assert_eq!(gw.send(with_token(&issuer.token(&json!({})))).await.outcome(), IN);
    assert_eq!(gw.send(with_token(&rsa.token(&json!({})))).await.outcome(), IN);
    let elsewhere = Backend::replying(200).await.body(Issuer::set(&[&Issuer::new("evil")]));
    let own = Issuer::new("evil");
    let url = format!("http://{}/keys", elsewhere.address());
    for head in [
        json!({ "alg": "ES256", "kid": "evil", "jwk": own.public }),
        json!({ "alg": "ES256", "jwk": own.public }),
        json!({ "alg": "ES256", "kid": "one", "jku": url }),
        json!({ "alg": "ES256", "kid": "one", "x5u": url, "x5c": ["MIIB"] }),
        json!({ "alg": "ES256", "kid": url }),
        json!({ "alg": "ES256", "kid": "../../../dev/null" }),
        json!({ "alg": "ES256", "kid": "one' OR '1'='1" }),
    ] {
        assert_eq!(gw.send(with_token(&own.token_with(&head))).await.outcome(), INVALID, "{head}");
    }
    for head in [
        json!({ "alg": "ES256", "kid": "one", "crit": ["exp"] }),
        json!({ "alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false }),
        json!({ "alg": "ES256", "kid": "one", "typ": "logout+jwt" }),
        json!({ "alg": "RS256", "kid": "one" }),
        json!({ "alg": "ES256", "kid": "rsa" }),
        json!({ "alg": "ES384", "kid": "one" }),
    ] {
        assert_eq!(gw.send(with_token(&issuer.token_with(&head))).await.outcome(), INVALID, "{head}");
    }
    assert_eq!(elsewhere.hits(), 0, "nobody is asked for keys because a token says so");
}

#[tokio::test]
async fn tokens_that_nobody_signed_are_refused() {
    let (backend, rsa) = (Backend::replying(200).await, Issuer::rsa("rsa"));
    let keys = TextFile::new(&Issuer::set(&[&rsa]));
    let gw = Gw::with(&template(FILE, ""), &[&backend, &keys]).await;
    let payload = text(claims(&json!({})).to_string().as_bytes());
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let head = text(json!({ "alg": alg }).to_string().as_bytes());
        for token in [format!("{head}.{payload}."), format!("{head}.{payload}"), format!("{head}.{payload}.AAAA")] {
            assert_eq!(gw.send(with_token(&token)).await.outcome(), INVALID, "{alg}");
        }
    }
    // The public key as the secret of an HMAC, in the spellings in which it is at hand.
    let der = rsa.public["n"].as_str().unwrap().to_owned();
    for secret in [der, rsa.public.to_string(), Issuer::set(&[&rsa])] {
        for id in [Some("rsa"), None] {
            let mut head = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
            head.kid = id.map(str::to_owned);
            let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes()).unwrap();
            let token = jsonwebtoken::encode(&head, &claims(&json!({})), &key).unwrap();
            assert_eq!(gw.send(with_token(&token)).await.outcome(), INVALID);
        }
    }
    let token = rsa.token(&json!({}));
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let (head, _) = rest.split_once('.').unwrap();
    let root = text(claims(&json!({ "sub": "root" })).to_string().as_bytes());
    for forged in [
        format!("{rest}."),
        format!("{rest}.{}", &signature[4..]),
        format!("{head}.{root}.{signature}"),
        format!("{token}.x"),
        format!("{token}="),
        "x".repeat(16 * 1024),
        rsa.token(&json!({ "long": "x".repeat(16 * 1024) })),
        rsa.token(&json!({ "deep": (0..40).fold(json!(1), |inner, _| json!([inner])) })),
    ] {
        assert_eq!(gw.send(with_token(&forged)).await.outcome(), INVALID, "{forged:.40}");
    }
    let mut raw = gw.raw().await;
    let field = format!("authorization: Bearer {token}\r\n");
    raw.write(format!("GET / HTTP/1.1\r\nhost: a\r\n{field}{field}\r\n")).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 401"), "two of them");
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn a_secret_of_both_sides() {
    let backend = Backend::replying(200).await;
    let secret = "k".repeat(64);
    let keys = TextFile::new(&format!("{secret}\n"));
    let gw = Gw::with(&template("secretFile: '{1}'", "algorithms: [HS256, HS512]"), &[&backend, &keys]).await;
    for (algorithm, secret, expected) in [
        (jsonwebtoken::Algorithm::HS256, &*secret, IN),
        (jsonwebtoken::Algorithm::HS512, &secret, IN),
        (jsonwebtoken::Algorithm::HS384, &secret, INVALID),
        (jsonwebtoken::Algorithm::HS256, "another", INVALID),
    ] {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes()).unwrap();
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), &claims(&json!({})), &key).unwrap();
        assert_eq!(gw.send(with_token(&token)).await.outcome(), expected, "{algorithm:?}");
    }
}

#[tokio::test]
async fn claims_reach_agents_in_fields_that_no_client_can_set() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let keys = TextFile::new(&Issuer::set(&[&issuer]));
    let more = "forwardClaims: { sub: x-user, org.unit: x-unit, tenant: x-tenant }";
    let gw = Gw::with(&template(FILE, more), &[&backend, &keys]).await;
    let token = issuer.token(&json!({ "org": { "unit": "north" } }));
    let mut request = with_token(&token);
    for (name, value) in [("x-user", "root"), ("x_user", "root"), ("x-tenant", "evil"), ("X.Tenant", "evil")] {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    assert_eq!(gw.send(request).await.outcome(), IN);
    let seen = backend.request();
    assert_eq!((seen.all("x-user"), seen.all("x-unit")), (vec!["ann"], vec!["north"]));
    for name in ["x_user", "x-tenant", "x.tenant", "authorization"] {
        assert!(seen.all(name).is_empty(), "{name}");
    }
    let record = gw.record().await;
    assert_eq!((&record["principal"], &record["auth"]), (&json!("ann"), &json!("corp")));
}

#[tokio::test]
async fn an_unknown_key_makes_the_gateway_ask_once() {
    let (backend, old, new) = (Backend::replying(200).await, Issuer::new("old"), Issuer::new("new"));
    let server = KeyServer::new(Issuer::set(&[&old])).await;
    let mut gw = Gw::with(&template(URL, ""), &[&backend, &server.backend]).await;
    assert_eq!(gw.send(with_token(&old.token(&json!({})))).await.outcome(), IN, "it waits for the first keys");
    assert_eq!(server.backend.hits(), 1);
    server.says(200, Issuer::set(&[&new]));
    assert_eq!(gw.send(with_token(&new.token(&json!({})))).await.outcome(), IN);
    assert_eq!(server.backend.hits(), 2);
    assert_eq!(gw.send(with_token(&old.token(&json!({})))).await.outcome(), INVALID, "its key was taken back");
    for name in ["a", "b", "c"] {
        assert_eq!(gw.send(with_token(&Issuer::new(name).token(&json!({})))).await.outcome(), INVALID);
    }
    assert_eq!(server.backend.hits(), 2, "whoever makes up keys does not make the gateway ask each time");
    let fetches = [("provider", "corp"), ("result", "ok")];
    assert_eq!(gw.metric("attache_jwks_fetches_total", &fetches).await, 2.0);
    assert!(gw.metric("attache_jwks_fetched_timestamp_seconds", &fetches[..1]).await >= now() as f64 - 60.0);
    gw.reload(&template(URL, "clockSkew: 61s"), &[&backend, &server.backend]).await.unwrap();
    assert_eq!(gw.send(with_token(&new.token(&json!({})))).await.outcome(), IN);
    assert_eq!(server.backend.hits(), 2, "a reload keeps the keys");
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_lets_nobody_in_until_it_is_up() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let server = KeyServer::new(String::new()).await;
    server.says(500, String::new());
    let gw = Gw::with(&template(URL, ""), &[&backend, &server.backend]).await;
    let token = issuer.token(&json!({}));
    let reply = gw.send(with_token(&token)).await;
    assert_eq!((reply.outcome(), reply.header("retry-after")), (UNAVAILABLE, "1"));
    assert_eq!(backend.hits(), 0);
    server.says(200, Issuer::set(&[&issuer]));
    eventually("the keys are there", async || gw.send(with_token(&token)).await.status == 200).await;
}

#[tokio::test]
async fn servers_that_lie_or_hang_or_flood_give_no_keys() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let flooding = Backend::handling(async |_| {
        let (sender, body) = channel();
        tokio::spawn(async move { while sender.send(Bytes::from(vec![b' '; 65_536])).await {} });
        Response::new(body)
    })
    .await;
    let elsewhere = Backend::replying(200).await.body(Issuer::set(&[&issuer]));
    let to = format!("http://{}/", elsewhere.address());
    let redirecting = Backend::replying(302).await.header("location", &to);
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "one", "k": text(&[7; 64]), "alg": "ES256" }] });
    let many = json!({ "keys": vec![issuer.public.clone(); 101] });
    let lying = |body: String| async { Backend::replying(200).await.body(body) };
    for (server, result) in [
        (lying("<!doctype html><p>sign in</p>".to_owned()).await, "no_keys"),
        (lying(r#"{"keys":{}}"#.to_owned()).await, "no_keys"),
        (lying(r#"{"keys":[]}"#.to_owned()).await, "no_keys"),
        (lying(secret.to_string()).await, "no_keys"),
        (lying(many.to_string()).await, "no_keys"),
        (redirecting, "status"),
        (flooding, "too_large"),
    ] {
        let gw = Gw::with(&template(URL, ""), &[&backend, &server]).await;
        assert_eq!(gw.send(with_token(&issuer.token(&json!({})))).await.outcome(), UNAVAILABLE, "{result}");
        let labels = [("provider", "corp"), ("result", result)];
        assert!(gw.metric("attache_jwks_fetches_total", &labels).await >= 1.0, "{result}");
    }
    assert_eq!((backend.hits(), elsewhere.hits()), (0, 0));
    let gw = Gw::with(&template(URL, ""), &[&backend, &refusing()]).await;
    assert_eq!(gw.send(with_token(&issuer.token(&json!({})))).await.outcome(), UNAVAILABLE);
    let silent = RawBackend::silent().await;
    let gw = Gw::with(&template(URL, ""), &[&backend, &silent]).await;
    assert_eq!(
        gw.send(with_token(&issuer.token(&json!({})))).await.outcome(),
        UNAVAILABLE,
        "it waits no longer than 6 s"
    );
}

#[tokio::test]
async fn keys_are_kept_while_the_server_fails() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let server = KeyServer::new(Issuer::set(&[&issuer])).await;
    let keys = "jwks: { url: 'http://{1}/keys', refresh: 50ms, staleFor: 1h }";
    let gw = Gw::with(&template(keys, ""), &[&backend, &server.backend]).await;
    assert_eq!(gw.send(with_token(&issuer.token(&json!({})))).await.outcome(), IN);
    server.says(500, "<html>".to_owned());
    let failed = [("provider", "corp"), ("result", "status")];
    eventually("fetches fail", async || gw.metric("attache_jwks_fetches_total", &failed).await >= 3.0).await;
    assert_eq!(gw.send(with_token(&issuer.token(&json!({ "x": 1 })))).await.outcome(), IN);
    server.says(200, Issuer::set(&[&Issuer::new("two")]));
    let token = issuer.token(&json!({ "x": 2 }));
    eventually("the key is taken back", async || gw.send(with_token(&token)).await.status == 401).await;
}

#[tokio::test]
async fn keys_that_are_too_old_let_nobody_in() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let server = KeyServer::new(Issuer::set(&[&issuer])).await;
    let keys = "jwks: { url: 'http://{1}/keys', refresh: 50ms, staleFor: 200ms }";
    let gw = Gw::with(&template(keys, ""), &[&backend, &server.backend]).await;
    let token = issuer.token(&json!({}));
    eventually("there are keys", async || gw.send(with_token(&token)).await.status == 200).await;
    server.says(500, String::new());
    eventually("they are too old", async || gw.send(with_token(&token)).await.outcome() == UNAVAILABLE).await;
}

#[tokio::test]
async fn two_issuers_on_one_route() {
    let (backend, one, two) = (Backend::replying(200).await, Issuer::new("one"), Issuer::new("two"));
    let (first, second) = (TextFile::new(&Issuer::set(&[&one])), KeyServer::new(Issuer::set(&[&two])).await);
    let template = "authProviders: {
  first: { jwt: { issuer: 'https://login.example/', audiences: [agents], jwks: { file: '{1}' } } },
  second: { jwt: { issuer: 'https://two.example/', audiences: [agents], jwks: { url: 'http://{2}/' } } } }
routes: { all: { endpoints: ['{0}'], auth: [first, second] } }";
    let gw = Gw::with(template, &[&backend, &first, &second.backend]).await;
    for (token, expected) in [
        (one.token(&json!({})), IN),
        (two.token(&json!({ "iss": "https://two.example/" })), IN),
        (two.token(&json!({})), INVALID),
        (one.token(&json!({ "iss": "https://two.example/" })), INVALID),
        (one.token(&json!({ "iss": "https://three.example/" })), INVALID),
    ] {
        assert_eq!(gw.send(with_token(&token)).await.outcome(), expected);
    }
}

#[tokio::test]
async fn claims_name_the_client_and_its_roles() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let keys = TextFile::new(&Issuer::set(&[&issuer]));
    let template =
        "authProviders: { corp: { jwt: { issuer: 'https://login.example/', audiences: [agents], jwks: { file: '{1}' },
          principalClaim: user.mail, rolesClaim: realm_access.roles, trustDomain: corp.example } } }
routes: { all: { endpoints: ['{0}'], auth: { anyOf: [corp],
          identityHeaders: { principal: x-principal, roles: x-roles, spiffe: x-spiffe } } } }";
    let gw = Gw::with(template, &[&backend, &keys]).await;
    let access = json!({ "roles": ["ops", "a,b", 7, "admin"] });
    for (id, spiffe) in
        [("spiffe://corp.example/ns/a", vec!["spiffe://corp.example/ns/a"]), ("spiffe://other.example/a", vec![])]
    {
        let more = json!({ "sub": id, "user": { "mail": "ann@corp.example" }, "realm_access": access });
        assert_eq!(gw.send(with_token(&issuer.token(&more))).await.outcome(), IN);
        let seen = backend.requests().pop().unwrap();
        assert_eq!((seen.all("x-principal"), seen.all("x-roles")), (vec!["ann@corp.example"], vec!["ops,admin"]));
        assert_eq!(seen.all("x-spiffe"), spiffe);
    }
    assert_eq!(gw.send(with_token(&issuer.token(&json!({})))).await.outcome(), INVALID, "it names nobody");
    eventually("what is remembered is shown", async || {
        gw.metric("attache_auth_remembered", &[("provider", "corp")]).await == 2.0
    })
    .await;
}

#[tokio::test]
async fn a_token_in_a_field_of_its_own() {
    let (backend, issuer) = (Backend::replying(200).await, Issuer::new("one"));
    let keys = TextFile::new(&Issuer::set(&[&issuer]));
    let gw = Gw::with(&template(FILE, "header: x-token"), &[&backend, &keys]).await;
    let token = issuer.token(&json!({}));
    let with = |value: &str| with_field("x-token", value, get("/"));
    assert_eq!(gw.send(with(&token)).await.outcome(), IN);
    assert!(backend.request().all("x-token").is_empty(), "agents do not see it");
    assert_eq!(gw.send(with(&format!("Bearer {token}"))).await.outcome(), INVALID);
    assert_eq!(gw.send(with_token(&token)).await.outcome(), (401, "credentials_missing"));
    let mut twice = with(&token);
    twice.headers_mut().append("x-token", token.parse().unwrap());
    assert_eq!(gw.send(twice).await.outcome(), INVALID);
}

#[tokio::test]
async fn an_issuer_that_hangs_holds_up_nobody_elses_tokens() {
    let (backend, one, two) = (Backend::replying(200).await, Issuer::new("one"), Issuer::new("two"));
    let (silent, keys) = (RawBackend::silent().await, TextFile::new(&Issuer::set(&[&two])));
    let template = "authProviders: {
  first: { jwt: { issuer: 'https://login.example/', audiences: [agents], jwks: { url: 'http://{1}/' } } },
  second: { jwt: { issuer: 'https://two.example/', audiences: [agents], jwks: { file: '{2}' } } } }
routes: { all: { endpoints: ['{0}'], auth: [first, second] } }";
    let gw = Gw::with(template, &[&backend, &silent, &keys]).await;
    eventually("keys are asked for", async || silent.connections() == 1).await;
    let order = RefCell::new(Vec::new());
    let held_up = async {
        assert_eq!(gw.send(with_token(&one.token(&json!({})))).await.outcome(), UNAVAILABLE);
        order.borrow_mut().push("first");
    };
    let passing = async {
        eventually("its client waits", async || {
            gw.metric("attache_auth_waiting", &[("provider", "first")]).await == 1.0
        })
        .await;
        assert_eq!(gw.send(with_token(&two.token(&json!({ "iss": "https://two.example/" })))).await.outcome(), IN);
        let fetches = gw.metrics().await;
        assert!(!fetches.contains("attache_jwks_fetches_total{"), "no fetch was waited for: {fetches}");
        order.borrow_mut().push("second");
    };
    tokio::join!(held_up, passing);
    assert_eq!(order.into_inner(), ["second", "first"]);
    assert_eq!(gw.metric("attache_jwks_fetches_total", &[("provider", "first"), ("result", "timeout")]).await, 1.0);
}

#[tokio::test]
async fn a_file_that_broke_leaves_the_keys_there_are() {
    let (backend, one, two) = (Backend::replying(200).await, Issuer::new("one"), Issuer::new("two"));
    let config = template("jwks: { file: keys.json }", "").replace("{0}", &backend.address().to_string());
    let gw = Live::prepared(|directory| {
        std::fs::write(directory.join("keys.json"), Issuer::set(&[&one])).unwrap();
        let listeners = "listeners: { http: { address: '127.0.0.1:0' } }";
        std::fs::write(directory.join("gateway.yaml"), format!("{DEFAULTS}{listeners}\n{config}")).unwrap();
    })
    .await;
    let address = gw.address("http").await;
    let status = async |token: &str| Client::h1(address).await.reply(with_token(token)).await.status;
    let (first, second) = (one.token(&json!({})), two.token(&json!({})));
    assert_eq!((status(&first).await, status(&second).await), (200, 401));
    for broken in ["<html>", r#"{"keys":[]}"#] {
        gw.write("keys.json", broken);
        let done = gw.hangup().await;
        assert_eq!(done.entry.verdict, ReloadResult::Refused, "{broken}");
        assert!(done.entry.diagnostics.contains("keys.json"), "{}", done.entry.diagnostics);
        assert_eq!((status(&first).await, status(&second).await), (200, 401), "as it was");
    }
    gw.write("keys.json", &Issuer::set(&[&two]));
    eventually("the new key is taken", async || status(&second).await == 200).await;
    assert_eq!(status(&first).await, 401, "a token that was verified with a key that is gone");
    gw.stop().await;
}

#[test]
fn keys_that_cannot_be_used_stop_the_start_and_show_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let env = Environment::process().with_root(directory.path());
    let load = |jwt: &str| {
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\nauthProviders: {{ corp: {{ jwt: {{ {jwt} }} }} }}\n\
             routes: {{ all: {{ respond: {{}}, auth: corp }} }}\n"
        );
        config::parse(&text, "gateway.yaml", &env).map(drop).map_err(|report| report.to_string())
    };
    let secret = json!({ "keys": [{ "kty": "oct", "k": text(&[7; 64]), "alg": "HS256" }] }).to_string();
    for (name, content) in [
        ("good", Issuer::set(&[&Issuer::new("one")])),
        ("html", "<html>topsecret".to_owned()),
        ("empty", r#"{"keys":[]}"#.to_owned()),
        ("secret", secret),
        ("short", "topsecret\n".to_owned()),
        ("long", "topsecret".repeat(8)),
    ] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    assert_eq!(load("jwks: { file: good }"), Ok(()));
    assert_eq!(load("secretFile: long, algorithms: [HS256, HS512]"), Ok(()));
    for (jwt, said) in [
        ("jwks: { file: missing }", "there is no such file"),
        ("jwks: { file: html }", "not a set of keys"),
        ("jwks: { file: empty }", "none of 0 keys"),
        ("jwks: { file: secret }", "none of 1 keys"),
        ("jwks: { file: good }, algorithms: [RS256]", "none of 1 keys"),
        ("jwks: { file: good }, algorithms: [HS256]", "HS256 needs a secret"),
        ("jwks: { file: good }, algorithms: [none]", "none"),
        ("jwks: { file: good }, algorithms: []", "no algorithm"),
        ("jwks: { file: good, url: 'https://a.example/' }", "one place"),
        ("jwks: { file: good }, secretFile: long", "public keys or a secret"),
        ("jwks: { url: 'ftp://a.example/' }", "another scheme"),
        ("jwks: {}", "needs a place"),
        ("issuer: x", "has no keys"),
        ("secretFile: missing", "there is no such file"),
        ("secretFile: short", "a secret of 9 bytes, 32 are needed"),
        ("secretFile: long, algorithms: [HS256, RS256]", "RS256 needs public keys"),
        ("jwks: { file: good }, principalClaim: ''", "a claim has a name"),
        ("jwks: { file: good }, forwardClaims: { sub: authorization }", "`authorization` means something else"),
        ("jwks: { file: good }, forwardClaims: { sub: x-user, email: x-user }", "`x-user` is given twice"),
        ("jwks: { file: good }, trustDomain: 'spiffe://a'", "no trust domain"),
    ] {
        let report = load(jwt).unwrap_err();
        assert!(report.contains(said), "{jwt}: {report}");
        assert!(!report.contains("topsecret"), "{report}");
    }
}
