//! Clients that guess credentials: they wait longer and longer, and are then blocked for a time.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{
    Backend, Body, Client, DEFAULTS, Gw, Issuer, Live, Place, Reply, TextFile, eventually, full, get, soon, with_field,
};

const ROUTES: &str = "
authProviders: { keys: { apiKey: { keysFile: '{1}' } } }
clientIp: { trustedProxies: 127.0.0.1 }
routes:
  all: { endpoints: ['{0}'], auth: keys }
  open: { match: { path: { prefix: /open } }, endpoints: ['{0}'] }
";

async fn guarded(failures: &str, backend: &Backend) -> Gw {
    Gw::with(&format!("{ROUTES}authFailures: {{ {failures} }}\n"), &[backend, &TextFile::keys(&[("secret", "ann")])])
        .await
}

/// A request of this client, through the proxy that is trusted.
fn of(client: &str, key: &str, path: &str) -> Request<Body> {
    with_field("x-forwarded-for", client, with_field("x-api-key", key, get(path)))
}

const WRONG: (u16, &str) = (401, "credentials_invalid");
const SLOWED: (u16, &str) = (429, "auth_slowed");
const BLOCKED: (u16, &str) = (429, "auth_blocked");
const SERVED: (u16, &str) = (200, "");

#[tokio::test]
async fn who_fails_again_and_again_has_to_wait() {
    let backend = Backend::replying(200).await;
    let gw = guarded("slowAfter: 2, delay: 1h, maxDelay: 2h", &backend).await;
    for (mut client, address) in [(gw.h1().await, "192.0.2.1"), (gw.h2().await, "192.0.2.2")] {
        for _ in 0..2 {
            assert_eq!(client.reply(of(address, "guess", "/")).await.outcome(), WRONG);
            assert_eq!(client.reply(of(address, "secret", "/")).await.outcome(), SERVED, "free so far");
        }
        assert_eq!(client.reply(of(address, "guess", "/")).await.outcome(), WRONG, "and from here on it waits");
        let reply = client.reply(of(address, "secret", "/")).await;
        assert_eq!(reply.outcome(), SLOWED, "the right key tells a guesser nothing either");
        let wait: u64 = reply.header("retry-after").parse().unwrap();
        assert!((3500..=3600).contains(&wait), "{wait}");
        assert_eq!(client.reply(of(address, "guess", "/open")).await.outcome(), SERVED, "where nobody asks for a key");
        assert_eq!(client.reply(of("192.0.2.9", "secret", "/")).await.outcome(), SERVED, "nobody else waits");
    }
    assert_eq!(gw.metric("attache_auth_slowed_total", &[("route", "all"), ("mode", "enforce")]).await, 2.0);
    assert_eq!(gw.metric("attache_auth_failures_total", &[("result", "counted")]).await, 4.0);
    assert_eq!(gw.metric("attache_auth_failures_total", &[("result", "slowed")]).await, 2.0);
}

/// Guesses until the answer is this one.
async fn guess_until(address: std::net::SocketAddr, client: &str, expected: (u16, &str)) -> Reply {
    soon("the guesser is treated as it should be", || async {
        let reply = Client::h1(address).await.reply(of(client, "guess", "/")).await;
        (reply.outcome() == expected).then_some(reply)
    })
    .await
}

#[tokio::test]
async fn a_guesser_is_blocked_until_an_operator_lets_it_in() {
    let backend = Backend::replying(200).await;
    let (key, defaults) = (
        TextFile::keys(&[("secret", "ann")]),
        DEFAULTS.replace("admin: { address: '127.0.0.1:0' }", "admin: { address: '127.0.0.1:0', writes: all }"),
    );
    let text = format!(
        "{defaults}listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n\
         authFailures: {{ slowAfter: 1, delay: 1ms, maxDelay: 1ms, blockAfter: 4, blockFor: 1h }}\n{ROUTES}"
    );
    let text = text.replace("{0}", &backend.place()).replace("{1}", &key.place());
    let gw = Live::prepared(|directory| std::fs::write(directory.join("gateway.yaml"), text).unwrap()).await;
    let address = gw.address("http").await;
    let reply = guess_until(address, "2001:db8::1", BLOCKED).await;
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    let ask = async |client: &str, path: &str| Client::h1(address).await.reply(of(client, "secret", path)).await;
    for (client, path, expected) in [
        ("2001:db8::1", "/", BLOCKED),
        ("2001:db8::ffff", "/open", BLOCKED),
        ("2001:db8::1", "/nothing", BLOCKED),
        ("2001:db8:0:1::1", "/", SERVED),
        ("192.0.2.1", "/", SERVED),
    ] {
        assert_eq!(ask(client, path).await.outcome(), expected, "{client} {path}");
    }
    let listed: Value = serde_json::from_str(&gw.ask(Method::GET, "/blocks").await.1).unwrap();
    let failures = listed["failures"].as_array().unwrap();
    assert_eq!(
        (failures.len(), &failures[0]["client"], &failures[0]["failures"]),
        (1, &json!("2001:db8::"), &json!(4))
    );
    soon("who is blocked is counted", || async {
        (gw.metric("attache_block_list_entries{by=\"failures\"}").await == Some(1.0)).then_some(())
    })
    .await;
    // What is held against clients outlives a reload.
    gw.reloaded().await;
    assert_eq!(ask("2001:db8::1", "/").await.outcome(), BLOCKED);
    let (status, told) = gw.ask(Method::DELETE, "/blocks?network=2001:db8::/64").await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(ask("2001:db8::1", "/").await.outcome(), SERVED);
    assert_eq!(gw.metric("attache_auth_failures_total{result=\"blocked\"}").await, Some(1.0));
    gw.stop().await;
}

#[tokio::test]
async fn many_addresses_of_one_owner_have_the_tries_of_few() {
    let backend = Backend::replying(200).await;
    let gw = guarded("slowAfter: 1, delay: 1h, maxDelay: 1h, maxClients: 1024", &backend).await;
    let mut client = gw.h2().await;
    let network = |at: u32| format!("2001:db8:{at:x}::1");
    let mut wrong = 0;
    for at in 0..1500 {
        match client.reply(of(&network(at), "guess", "/")).await.outcome() {
            WRONG => wrong += 1,
            other => assert_eq!(other, SLOWED, "network {at}"),
        }
    }
    assert_eq!(wrong, 1024 + 2, "a try for each place, and those of one client for all others together");
    assert_eq!(client.reply(of(&network(7), "guess", "/")).await.outcome(), WRONG, "who has a place has its own tries");
    assert_eq!(client.reply(of(&network(7), "guess", "/")).await.outcome(), SLOWED, "and keeps its wait");
    let mut served = 0;
    for owner in 0..20 {
        let other = format!("2a00:{owner:x}::1");
        served += usize::from(client.reply(of(&other, "secret", "/")).await.outcome() == SERVED);
    }
    assert!(served >= 19, "{served} of 20 other owners are let in");
    soon("they are counted", || async {
        let overflowed = gw.metric("attache_auth_failures_overflowed_total", &[]).await;
        let clients = gw.metric("attache_auth_failing_clients", &[]).await;
        (overflowed == 2.0 && clients == 1024.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_no_guess_is_not_counted() {
    let backend = Backend::replying(200).await;
    let gw = guarded("slowAfter: 1, delay: 1h, maxDelay: 1h, exempt: 10.0.0.0/8", &backend).await;
    let mut client = gw.h1().await;
    for _ in 0..5 {
        let missing = with_field("x-forwarded-for", "192.0.2.1", get("/"));
        assert_eq!(client.reply(missing).await.outcome(), (401, "credentials_missing"));
        assert_eq!(client.reply(of("10.0.0.1", "guess", "/")).await.outcome(), WRONG, "exempt");
        let by_proxy = with_field("x-api-key", "guess", get("/"));
        assert_eq!(client.reply(by_proxy).await.outcome(), WRONG, "the proxy itself is everybody behind it");
    }
    assert_eq!(client.reply(of("192.0.2.1", "secret", "/")).await.outcome(), SERVED);
}

#[tokio::test]
async fn shadow_only_counts() {
    let backend = Backend::replying(200).await;
    let gw = guarded("slowAfter: 1, delay: 1h, maxDelay: 1h, blockAfter: 3, mode: shadow", &backend).await;
    let mut client = gw.h1().await;
    for _ in 0..5 {
        assert_eq!(client.reply(of("192.0.2.1", "guess", "/")).await.outcome(), WRONG);
    }
    assert_eq!(client.reply(of("192.0.2.1", "secret", "/")).await.outcome(), SERVED);
    assert_eq!(gw.metric("attache_auth_slowed_total", &[("mode", "shadow")]).await, 4.0);
    assert_eq!(gw.metric("attache_auth_failures_total", &[("result", "blocked")]).await, 3.0);
}

#[tokio::test]
async fn guesses_at_the_same_time_tell_no_more_than_one_after_the_other() {
    let (backend, issuer, other) = (Backend::replying(200).await, Issuer::new("one"), Issuer::new("one"));
    let (release, released) = tokio::sync::watch::channel(false);
    let set = Issuer::set(&[&issuer]);
    // What it is asked for comes when all guesses are under way.
    let server = Backend::handling(move |_| {
        let (mut released, set) = (released.clone(), set.clone());
        async move {
            released.wait_for(|is_released| *is_released).await.unwrap();
            http::Response::new(full(set))
        }
    })
    .await;
    let text = "workers: 1\nclientIp: { trustedProxies: 127.0.0.1 }\n\
        authProviders: { corp: { jwt: { issuer: 'https://login.example/', audiences: agents, jwks: { url: 'http://{1}/' } } } }\n\
        authFailures: { slowAfter: 1, delay: 1h, maxDelay: 1h }\nroutes: { all: { endpoints: ['{0}'], auth: corp } }";
    let gw = Gw::with(text, &[&backend, &server]).await;
    let of = |client: &str, token: &str| {
        with_field("x-forwarded-for", client, with_field("authorization", &format!("Bearer {token}"), get("/")))
    };
    let guesses = (0..8).map(|number| gw.send(of("192.0.2.1", &other.token(&json!({ "n": number })))));
    let right = gw.send(of("192.0.2.2", &issuer.token(&json!({}))));
    let (replies, right, ()) = tokio::join!(futures_util::future::join_all(guesses), right, async {
        eventually("the keys are asked for", async || server.hits() == 1).await;
        release.send(true).unwrap();
    });
    let many = |expected: (u16, &str)| replies.iter().filter(|reply| reply.outcome() == expected).count();
    assert_eq!((many(WRONG), many(SLOWED)), (2, 6), "who is slowed down learns nothing from the rest");
    assert_eq!(right.outcome(), SERVED, "nobody else waits");
    assert_eq!(gw.send(of("192.0.2.1", &issuer.token(&json!({})))).await.outcome(), SLOWED);
    assert!(gw.metric("attache_auth_failures_total", &[("result", "counted")]).await >= 1.0);
}
