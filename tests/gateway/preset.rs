//! `responseHeaders: { preset: secure }`, and what of it belongs on TLS only.

use crate::support::{Backend, Ca, Client, Gw, Tls, get};

#[tokio::test]
async fn rfc6797_7_2_hsts_goes_out_over_tls_only() {
    let (ca, backend) = (Ca::new(), Backend::replying(200).await);
    let identity = ca.issue(&["localhost"]);
    let gw = Gw::with(
        "
        listeners:
          clear: { address: '127.0.0.1:0' }
          tls: { address: '127.0.0.1:0', tls: { certificates: [{ {1} }] } }
        defaults: { route: { responseHeaders: { preset: secure } } }
        routes:
          all: { endpoints: ['{0}'] }
          own: { match: { path: { exact: /own } }, respond: { body: ok } }
          moved: { match: { path: { exact: /moved } }, redirect: { path: / } }
        ",
        &[&backend, &identity],
    )
    .await;
    let mut tls = Tls::new(&ca, &["h2"]).connect(gw.at("tls"), "localhost").await.unwrap();
    let mut clear = Client::h1(gw.at("clear")).await;
    for path in ["/", "/own", "/moved"] {
        let reply = tls.reply(get(path)).await;
        let hsts = reply.headers.get("strict-transport-security");
        let expected = "max-age=31536000; includeSubDomains";
        assert_eq!(hsts.map(|value| value.to_str().unwrap()), Some(expected), "{path}");
        let reply = clear.reply(get(path)).await;
        assert!(!reply.headers.contains_key("strict-transport-security"), "{path}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn what_is_the_default_of_routes_holds_for_answers_without_one() {
    let gw = Gw::with(
        "
        listeners:
          http: { address: '127.0.0.1:0', protocols: [http/1.1, h2] }
          moves: { address: '127.0.0.1:0', httpsRedirect: true, publicUrl: https://a.example }
          secure: { address: '127.0.0.1:0', publicUrl: https://a.example }
        defaults: { route: { responseHeaders: { preset: secure, set: { x-own: yes }, remove: [x-frame-options] } } }
        routes: { one: { match: { path: { exact: /one } }, respond: {} } }
        ",
        &[],
    )
    .await;
    let moved = Client::h1(gw.at("moves")).await.reply(get("/one")).await;
    assert_eq!(moved.status, 301);
    let missing = Client::h2c(gw.at("http")).await.reply(get("/none")).await;
    assert_eq!(missing.status, 404);
    let invalid = Client::h1(gw.at("http")).await.reply(get("/a%00b")).await;
    assert_eq!(invalid.status, 400);
    for reply in [moved, missing, invalid] {
        assert_eq!((reply.header("x-content-type-options"), reply.header("x-own")), ("nosniff", "yes"));
        assert_eq!(reply.header("x-frame-options"), "", "removed");
    }
}

#[tokio::test]
async fn each_preset_sets_its_fields_on_refusals_too() {
    let gw = Gw::with(
        "
        listeners: { http: { address: '127.0.0.1:0', publicUrl: https://agents.example } }
        routes:
          secure: { match: { path: { prefix: /secure } }, endpoints: ['127.0.0.1:1'], responseHeaders: { preset: secure } }
          starter: { match: { path: { prefix: /starter } }, endpoints: ['127.0.0.1:1'], responseHeaders: { preset: starter } }
          strict: { match: { path: { prefix: /strict } }, endpoints: ['127.0.0.1:1'], responseHeaders: { preset: strict } }
        ",
        &[],
    )
    .await;
    for (preset, hsts, policy, referrer) in [
        ("secure", "max-age=31536000; includeSubDomains", "default-src 'self'", "strict-origin-when-cross-origin"),
        ("starter", "max-age=31536000", "default-src 'self'", "strict-origin-when-cross-origin"),
        (
            "strict",
            "max-age=63072000; includeSubDomains",
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "no-referrer",
        ),
    ] {
        let reply = gw.get(&format!("/{preset}")).await;
        assert_eq!(reply.status, 502);
        for (name, expected) in [
            ("strict-transport-security", hsts),
            ("content-security-policy", policy),
            ("referrer-policy", referrer),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-xss-protection", ""),
        ] {
            assert_eq!(reply.header(name), expected, "{preset}: {name}");
        }
    }
}
