//! Names and passwords: who gets in by one, and that nobody else waits for it.

use std::cell::RefCell;

use argon2::{Algorithm, Argon2, Params, Version};
use attache::admin::journal::ReloadResult;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::Request;

use crate::support::{Backend, Body, Client, DEFAULTS, Gw, Live, Place, TextFile, get, soon, with_field};

/// A line of a file of users, with so much memory in KiB for the hash.
fn argon2(name: &str, password: &str, memory: u32) -> String {
    let mut tag = [0; 32];
    let params = Params::new(memory, 1, 1, Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.as_bytes(), b"a salt for tests", &mut tag).unwrap();
    let (salt, tag) = (STANDARD_NO_PAD.encode("a salt for tests"), STANDARD_NO_PAD.encode(tag));
    format!("{name}:$argon2id$v=19$m={memory},t=1,p=1${salt}${tag}")
}

fn bcrypt(name: &str, password: &str) -> String {
    format!("{name}:{}", bcrypt::hash(password, 4).unwrap())
}

fn as_user(credentials: &str, request: Request<Body>) -> Request<Body> {
    with_field("authorization", &format!("Basic {}", STANDARD.encode(credentials)), request)
}

const TEMPLATE: &str = "
    authProviders: { staff: { basic: { usersFile: '{1}', atOnce: 1 } } }
    routes:
      all: { endpoints: ['{0}'], auth: { anyOf: [staff], identityHeaders: { principal: x-who, roles: x-roles } } }
      open: { match: { path: { prefix: /open } }, respond: { body: open } }
";

#[tokio::test]
async fn rfc7617_a_password_lets_its_user_in_and_nobody_else() {
    let backend = Backend::replying(200).await;
    let users = TextFile::new(&format!("{}:admin\n{}\n", argon2("ann", "it's: me", 64), bcrypt("bob", "me too")));
    let gw = Gw::with(TEMPLATE, &[&backend, &users]).await;
    for (credentials, expected) in [
        ("ann:it's: me", (200, "")),
        ("ann:it's: me", (200, "")), // From memory.
        ("bob:me too", (200, "")),
        ("ann:me too", (401, "credentials_invalid")),
        ("eve:me too", (401, "credentials_invalid")),
        ("ann:", (401, "credentials_invalid")),
        ("ann", (401, "credentials_invalid")),
    ] {
        for mut client in [gw.h1().await, gw.h2().await] {
            let reply = client.reply(as_user(credentials, get("/"))).await;
            assert_eq!((reply.status, reply.reason()), expected, "{credentials}");
            if reply.status == 401 {
                let challenge = reply.header("www-authenticate");
                assert_eq!(challenge, r#"Basic realm="agents", charset="UTF-8""#, "the same, whichever half is wrong");
            }
        }
    }
    let seen = backend.requests();
    assert_eq!(seen.len(), 6);
    let told: Vec<_> = seen.iter().map(|seen| [seen.header("x-who"), seen.header("x-roles")]).collect();
    assert!(told[..4].iter().all(|told| *told == ["ann", "admin"]), "{told:?}");
    assert!(seen.iter().all(|seen| seen.header("authorization").is_empty()), "the password stays here");
    let labels = |result| [("provider", "staff"), ("result", result)];
    assert_eq!(gw.metric("attache_auth_total", &labels("ok")).await, 6.0);
    assert_eq!(gw.metric("attache_auth_total", &labels("invalid")).await, 8.0);
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.reason()), (401, "credentials_missing"));
}

#[tokio::test]
async fn nobody_waits_while_a_hash_is_computed() {
    let backend = Backend::replying(200).await;
    // The hash takes a while, and the one worker that there is serves others in the meantime.
    let users = TextFile::new(&argon2("ann", "password", 16 << 10));
    let gw = Gw::with(&format!("\n    workers: 1{TEMPLATE}"), &[&backend, &users]).await;
    let (mut slow, mut other) = (gw.h1().await, gw.h1().await);
    let order = RefCell::new(Vec::new());
    let wrong = async {
        assert_eq!(slow.reply(as_user("ann:wrong", get("/"))).await.status, 401);
        order.borrow_mut().push("hash");
    };
    let open = async {
        for _ in 0..3 {
            assert_eq!(other.reply(get("/open")).await.status, 200);
        }
        order.borrow_mut().push("open");
    };
    tokio::join!(wrong, open);
    assert_eq!(order.into_inner(), ["open", "hash"]);
}

#[tokio::test]
async fn equal_requests_at_the_same_time_all_get_in() {
    let backend = Backend::replying(200).await;
    let users = TextFile::new(&argon2("ann", "password", 1024));
    let gw = Gw::with(TEMPLATE, &[&backend, &users]).await;
    let client = gw.h2().await;
    let all = (0..50).map(|_| {
        let mut client = client.fork();
        async move { client.reply(as_user("ann:password", get("/"))).await.status }
    });
    let statuses = futures_util::future::join_all(all).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[tokio::test]
async fn a_file_of_users_is_read_again_when_it_changes_and_kept_when_it_cannot_be() {
    let backend = Backend::replying(200).await;
    let gw = Live::prepared(|directory| {
        std::fs::write(directory.join("staff.users"), argon2("ann", "old", 64)).unwrap();
        let text = format!(
            "{DEFAULTS}listeners: {{ http: {{ address: '127.0.0.1:0' }} }}
authProviders: {{ staff: {{ basic: {{ usersFile: staff.users }} }} }}
routes: {{ all: {{ endpoints: ['{}'], auth: staff }} }}\n",
            backend.place()
        );
        std::fs::write(directory.join("gateway.yaml"), text).unwrap();
    })
    .await;
    let address = gw.address("http").await;
    let status = async |password: &str| {
        let request = as_user(&format!("ann:{password}"), get("/"));
        Client::h1(address).await.reply(request).await.status
    };
    assert_eq!((status("old").await, status("new").await), (200, 401));
    gw.write("staff.users", &argon2("ann", "new", 64));
    soon("the new password is taken", || async { (status("new").await == 200).then_some(()) }).await;
    assert_eq!(status("old").await, 401, "what was good once is forgotten");
    for broken in ["ann:new\n", "\u{0}"] {
        gw.write("staff.users", broken);
        let done = gw.hangup().await;
        assert_eq!(done.entry.verdict, ReloadResult::Refused, "{broken:?}");
        assert!(done.entry.diagnostics.contains("staff.users"), "{}", done.entry.diagnostics);
        assert_eq!((status("new").await, status("old").await), (200, 401), "as it was");
    }
    gw.stop().await;
}
