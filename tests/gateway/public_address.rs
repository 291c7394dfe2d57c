//! Where clients see the gateway: behind a balancer that ends TLS, in a container that publishes another port, under a
//! path that a proxy in front takes away. Every redirect, forwarding field, cookie and location agrees with it.

use http::Request;

use crate::support::{
    Backend, Body, Ca, Client, Gw, Identity, Reply, Seen, Speak, Tls, at_host, get, post, refusing, with_field,
};

const HSTS: &str = "strict-transport-security";
/// A peer that is believed, and one that is not.
const TRUST: &str = "clientIp: { trustedProxies: [127.0.0.0/8] }";

/// `request` as a proxy passes it on.
fn proxied(fields: &[(&'static str, &str)], request: Request<Body>) -> Request<Body> {
    let add = |request, (name, value): &(&'static str, &str)| with_field(name, value, request);
    fields.iter().fold(request, add)
}

fn on_https(request: Request<Body>) -> Request<Body> {
    proxied(&[("x-forwarded-proto", "https")], request)
}

/// One connection of each kind.
async fn clients(gw: &Gw) -> [Client; 2] {
    [gw.h1().await, gw.h2().await]
}

fn answer(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.header("location"))
}

// ------------------------------------------------------------------------------------ redirects to HTTPS

/// A listener that redirects to another with TLS, and one route that is reached through the latter alone.
fn two_listeners(more: &str) -> String {
    format!(
        "
        {more}
        listeners:
          http: {{ address: '127.0.0.1:0', httpsRedirect: true, protocols: [http/1.1, h2] }}
          https: {{ address: '127.0.0.1:0', tls: {{ certificates: [{{ {{1}} }}] }} }}
        routes:
          all: {{ listeners: [https], hosts: [a.example], endpoints: ['{{0}}'], responseHeaders: {{ preset: secure }} }}
        "
    )
}

async fn behind_two_listeners(more: &str) -> (Backend, Gw) {
    let backend = Backend::replying(200).await;
    let identity: Identity = Ca::new().issue(&["a.example"]);
    let gw = Gw::with(&two_listeners(more), &[&backend, &identity]).await;
    (backend, gw)
}

#[tokio::test]
async fn a_client_on_https_by_the_word_of_a_trusted_proxy_is_not_redirected() {
    let (backend, gw) = behind_two_listeners(TRUST).await;
    for mut client in clients(&gw).await {
        let reply = client.reply(on_https(at_host("a.example", get("/x")))).await;
        assert_eq!(reply.status, 200, "{:?}", reply.headers);
        assert_ne!(reply.header(HSTS), "", "its client uses HTTPS");
        let seen = backend.requests().pop().unwrap();
        assert_eq!(seen.header("x-forwarded-proto"), "https");
        assert_eq!(seen.header("x-forwarded-port"), "443");
    }
    let reply = gw.send(on_https(at_host("b.example", get("/")))).await;
    assert_eq!(
        (reply.status, reply.reason()),
        (404, "no_route"),
        "by the routes of the listener it would have been led to"
    );
}

#[tokio::test]
async fn a_client_on_http_by_the_word_of_a_trusted_proxy_is_sent_to_the_proxys_https() {
    let (backend, gw) = behind_two_listeners(TRUST).await;
    let plain = [
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-host", "a.example"),
        ("x-forwarded-prefix", "/team/"),
    ];
    for mut client in clients(&gw).await {
        let asked = proxied(&plain, at_host("gw.internal:8080", get("/x?y=%2f")));
        let reply = client.reply(asked).await;
        // Not the port that the listener with TLS is bound to: the proxy has one of its own.
        assert_eq!(answer(&reply), (301, "https://a.example/team/x?y=%2f"));
        assert_eq!(reply.header(HSTS), "");
        let elsewhere = proxied(
            &[("x-forwarded-proto", "http"), ("x-forwarded-host", "evil.example")],
            at_host("a.example", get("/")),
        );
        assert_eq!(client.reply(elsewhere).await.status, 421);
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn what_a_client_says_by_itself_gets_it_past_no_redirect() {
    let (backend, gw) = behind_two_listeners("").await;
    for mut client in clients(&gw).await {
        let asked = proxied(
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example"), ("x-forwarded-prefix", "/evil")],
            at_host("a.example", get("/x")),
        );
        let reply = client.reply(asked).await;
        assert_eq!(answer(&reply), (301, "https://a.example:0/x"));
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn one_listener_behind_a_balancer_that_ends_tls_redirects_and_serves() {
    let backend = Backend::replying(200).await;
    let template = format!(
        "
        {TRUST}
        listeners: {{ http: {{ address: '127.0.0.1:0', httpsRedirect: true, protocols: [http/1.1, h2] }} }}
        routes: {{ all: {{ endpoints: ['{{0}}'], responseHeaders: {{ preset: secure }} }} }}
        "
    );
    let gw = Gw::with(&template, &[&backend]).await;
    for mut client in clients(&gw).await {
        let plain = client.reply(at_host("a.example:80", post("/x", "y"))).await;
        assert_eq!(answer(&plain), (308, "https://a.example/x"));
        let said = proxied(&[("x-forwarded-proto", "http")], at_host("a.example", get("/")));
        assert_eq!(answer(&client.reply(said).await), (301, "https://a.example/"));
        let reply = client.reply(on_https(at_host("a.example", get("/x")))).await;
        assert_eq!(reply.status, 200);
        assert_ne!(reply.header(HSTS), "");
    }
    assert_eq!(backend.hits(), 2);
}

#[tokio::test]
async fn a_listener_that_asks_for_certificates_is_not_reached_around_them() {
    let (ca, backend) = (Ca::new(), Backend::replying(200).await);
    let identity = ca.issue(&["a.example"]);
    for mode in ["require", "optional"] {
        let template = two_listeners(TRUST)
            .replace("certificates:", &format!("clientAuth: {{ mode: {mode}, caFile: '{{2}}' }}, certificates:"));
        let gw = Gw::with(&template, &[&backend, &identity, &ca]).await;
        let reply = gw.send(on_https(at_host("a.example", get("/")))).await;
        assert_eq!((reply.status, reply.reason()), (421, "misdirected"), "{mode}");
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn the_public_url_says_where_a_redirect_to_https_leads() {
    let backend = Backend::replying(200).await;
    let identity = Ca::new().issue(&["a.example", "b.example"]);
    let template = "
        listeners:
          http: { address: '127.0.0.1:0', httpsRedirect: true }
          https: { address: '127.0.0.1:0', publicUrl: 'https://a.example', tls: { certificates: [{ {1} }] } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&backend, &identity]).await;
    for (host, expected) in [
        ("a.example:8080", "https://a.example/x"),
        ("b.example", "https://b.example/x"),
        ("10.0.0.1", "https://a.example/x"),
    ] {
        let reply = gw.send(at_host(host, get("/x"))).await;
        assert_eq!(answer(&reply), (301, expected), "{host}");
    }
    let lone = "
        listeners: { http: { address: '127.0.0.1:0', httpsRedirect: true, publicUrl: 'https://a.example:9443/team' } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(lone, &[&backend]).await;
    let reply = gw.send(on_https(at_host("gw.internal", get("/x")))).await;
    assert_eq!(answer(&reply), (301, "https://a.example:9443/team/x"));
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn a_cleartext_listener_whose_public_url_is_https_can_be_redirected_to() {
    let backend = Backend::replying(200).await;
    let template = "
        listeners:
          http: { address: '127.0.0.1:0', httpsRedirect: true }
          behind: { address: '127.0.0.1:0', publicUrl: 'https://a.example' }
        routes: { all: { endpoints: ['{0}'], responseHeaders: { preset: secure } } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    let reply = gw.send(at_host("a.example", get("/x"))).await;
    assert_eq!(answer(&reply), (301, "https://a.example/x"));
    let reply = Client::h1(gw.at("behind")).await.reply(get("/x")).await;
    assert_eq!(reply.status, 200);
    assert_ne!(reply.header(HSTS), "");
}

// --------------------------------------------------------------------------------- redirects of routes

#[tokio::test]
async fn redirects_of_routes_lead_to_what_clients_see() {
    let routes = "
        routes:
          old: { match: { path: { prefix: /old } }, redirect: { prefix: /new } }
          there: { match: { path: { prefix: /there } }, redirect: { host: b.example } }
          own: { match: { path: { prefix: /own } }, publicUrl: 'https://own.example:1/o', redirect: { path: /x } }
          named: { hosts: [named.example], redirect: { path: /x } }
    ";
    let listener =
        |more: &str| format!("listeners: {{ http: {{ address: '127.0.0.1:0', protocols: [http/1.1, h2]{more} }} }}");
    let public = listener(", publicUrl: 'https://a.example/team'");
    let plain = listener("");
    let said: &[(&str, &str)] = &[
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "said.example"),
        ("x-forwarded-port", "8443"),
        ("x-forwarded-prefix", "/p"),
    ];
    for (trust, listener, fields, path, expected) in [
        ("", &plain, &[][..], "/old/1", "http://gw.internal:8080/new/1"),
        ("", &plain, said, "/old/1", "http://gw.internal:8080/new/1"),
        (TRUST, &plain, said, "/old/1?q", "https://said.example:8443/p/new/1?q"),
        (TRUST, &plain, &said[..1], "/old/1", "https://gw.internal:8080/new/1"),
        ("", &public, &[], "/old/1", "https://a.example/team/new/1"),
        (TRUST, &public, said, "/old/1", "https://a.example/team/new/1"),
        (TRUST, &public, said, "/there/1", "https://b.example/team/there/1"),
        (TRUST, &public, said, "/own", "https://own.example:1/o/x"),
        ("", &plain, &[], "/own", "https://own.example:1/o/x"),
    ] {
        let gw = Gw::with(&format!("{trust}\n{listener}\n{}", outdented(routes)), &[]).await;
        for mut client in clients(&gw).await {
            let asked = proxied(fields, at_host("gw.internal:8080", get(path)));
            let reply = client.reply(asked).await;
            assert_eq!(answer(&reply), (302, expected), "{trust} {listener} {path}");
        }
    }
    let gw = Gw::with(&format!("{public}\n{}", outdented(routes)), &[]).await;
    let reply = gw.send(at_host("Named.Example:8080", get("/"))).await;
    let expected = "https://named.example/team/x";
    assert_eq!(answer(&reply), (302, expected), "it names its hosts itself");
}

/// Text as it stands at the margin.
fn outdented(text: &str) -> String {
    let lines = text.lines().map(|line| line.get(8..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

// ------------------------------------------------------------------------------- fields agents are sent

/// What an agent is told of the client's address: scheme, host, port, prefix.
fn told(seen: &Seen) -> [&str; 4] {
    ["proto", "host", "port", "prefix"]
        .map(|name| seen.all(&format!("x-forwarded-{name}")).first().copied().unwrap_or("-"))
}

#[tokio::test]
async fn the_forwarding_fields_agree_with_each_other() {
    let backend = Backend::replying(200).await;
    const PUBLIC: &str = "https://a.example";
    const TEAM: &str = "http://a.example:8080/team";
    for (trust, url, host, fields, expected) in [
        ("", "", "b.example", &[][..], ["http", "b.example", "80", "-"]),
        ("", "", "b.example:81", &[], ["http", "b.example:81", "81", "-"]),
        ("", "", "[::1]:81", &[], ["http", "[::1]:81", "81", "-"]),
        (
            "",
            "",
            "b.example",
            &[
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil.example"),
                ("x-forwarded-port", "1"),
                ("x-forwarded-prefix", "/evil"),
            ],
            ["http", "b.example", "80", "-"],
        ),
        (TRUST, "", "b.example", &[("x-forwarded-proto", "https")], ["https", "b.example", "443", "-"]),
        (
            TRUST,
            "",
            "gw:8080",
            &[("x-forwarded-proto", "https"), ("x-forwarded-port", "443")],
            ["https", "gw", "443", "-"],
        ),
        (
            TRUST,
            "",
            "gw:8080",
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example"), ("x-forwarded-port", "8443")],
            ["https", "a.example:8443", "8443", "-"],
        ),
        (
            TRUST,
            "",
            "gw:8080",
            &[
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "a.example:30443"),
                ("x-forwarded-port", "443"),
                ("x-forwarded-prefix", "/p/"),
            ],
            ["https", "a.example:30443", "30443", "/p"],
        ),
        (
            TRUST,
            "",
            "gw",
            &[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b"), ("x-forwarded-port", "x")],
            ["http", "gw", "80", "-"],
        ),
        (
            TRUST,
            "",
            "gw",
            &[
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-host", "evil.example, a.example"),
                ("x-forwarded-proto", "http, https"),
            ],
            ["https", "a.example", "443", "-"],
        ),
        (
            TRUST,
            "",
            "gw",
            &[
                ("x-forwarded-for", "203.0.113.9, 127.0.0.2"),
                ("x-forwarded-host", "evil.example, a.example, inner.example"),
                ("x-forwarded-proto", "https, http"),
            ],
            ["https", "a.example", "443", "-"],
        ),
        ("", PUBLIC, "gw:8080", &[], ["https", "a.example", "443", "-"]),
        (
            TRUST,
            PUBLIC,
            "gw:8080",
            &[("x-forwarded-proto", "http"), ("x-forwarded-port", "1"), ("x-forwarded-prefix", "/p")],
            ["https", "a.example", "443", "-"],
        ),
        ("", TEAM, "gw", &[], ["http", "a.example:8080", "8080", "/team"]),
        (TRUST, TEAM, "gw", &[("x-forwarded-prefix", "/p")], ["http", "a.example:8080", "8080", "/team"]),
    ] {
        let url = if url.is_empty() { String::new() } else { format!(", publicUrl: '{url}'") };
        let template = format!(
            "{trust}\nlisteners: {{ http: {{ address: '127.0.0.1:0', protocols: [http/1.1, h2]{url} }} }}\n\
             routes: {{ all: {{ endpoints: ['{{0}}'] }} }}"
        );
        let gw = Gw::with(&template, &[&backend]).await;
        for mut client in clients(&gw).await {
            // Twice: what is made once for a connection is the same again.
            for _ in 0..2 {
                let asked = proxied(fields, at_host(host, get("/")));
                assert_eq!(client.reply(asked).await.status, 200);
                let seen = backend.requests().pop().unwrap();
                assert_eq!(told(&seen), expected, "{trust} {url} {host} {fields:?}");
                assert_eq!(seen.header("host"), host, "the agent's Host is another matter");
            }
        }
    }
}

#[tokio::test]
async fn rfc9112_3_2_a_request_without_a_host_has_the_port_of_the_socket() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.0\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    let port = gw.address().port().to_string();
    assert_eq!(told(&backend.request()), ["http", "-", port.as_str(), "-"]);
}

#[tokio::test]
async fn tls_of_the_connection_is_what_agents_hear_of_where_nobody_stands_before() {
    let (ca, backend) = (Ca::new(), Backend::replying(200).await);
    let identity = ca.issue(&["localhost"]);
    let template = "
        listeners: { https: { address: '127.0.0.1:0', tls: { certificates: [{ {1} }] } } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&backend, &identity]).await;
    for protocol in ["http/1.1", "h2"] {
        let tls = Tls::new(&ca, &[protocol]);
        let mut client = gw.tls(&tls, "localhost").await.unwrap();
        client.reply(get("/")).await;
        let seen = backend.requests().pop().unwrap();
        // A container that publishes it as 443: clients leave the port out, so it is 443.
        assert_eq!(told(&seen), ["https", "localhost", "443", "-"], "{protocol}");
    }
}

#[tokio::test]
async fn agents_are_told_the_prefix_that_they_do_not_see() {
    let backend = Backend::replying(200).await;
    for (url, route, path, sent, expected) in [
        ("", "match: { path: { prefix: /planner } }, rewrite: { prefix: / }", "/planner/x", "/x", "/planner"),
        ("", "match: { path: { prefix: /a/v1 } }, rewrite: { prefix: /v1 }", "/a/v1/x", "/v1/x", "/a"),
        ("", "match: { path: { prefix: /foo } }, rewrite: { prefix: /xyz }", "/foo/x", "/xyz/x", "-"),
        ("", "rewrite: { path: /only }", "/x", "/only", "-"),
        (
            "https://a.example/team",
            "match: { path: { prefix: /planner } }, rewrite: { prefix: / }",
            "/planner/x",
            "/x",
            "/team/planner",
        ),
        ("https://a.example/team", "timeout: off", "/x", "/x", "/team"),
        (
            "https://a.example/team",
            "publicUrl: 'https://b.example/o', match: { path: { prefix: /planner } }, rewrite: { prefix: / }",
            "/planner/x",
            "/x",
            "/o/planner",
        ),
    ] {
        let url = if url.is_empty() { String::new() } else { format!(", publicUrl: '{url}'") };
        let template = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0'{url} }} }}\n\
             routes: {{ all: {{ endpoints: ['{{0}}'], {route} }} }}"
        );
        let gw = Gw::with(&template, &[&backend]).await;
        assert_eq!(gw.get(path).await.status, 200);
        let seen = backend.requests().pop().unwrap();
        assert_eq!((seen.uri.path(), told(&seen)[3]), (sent, expected), "{url} {route}");
    }
    let template = format!(
        "{TRUST}\nroutes: {{ all: {{ endpoints: ['{{0}}'], match: {{ path: {{ prefix: /planner }} }}, rewrite: {{ prefix: / }} }} }}"
    );
    let gw = Gw::with(&template, &[&backend]).await;
    gw.send(proxied(&[("x-forwarded-prefix", "/p")], get("/planner/x"))).await;
    let seen = backend.requests().pop().unwrap();
    assert_eq!(seen.all("x-forwarded-prefix"), ["/p/planner"]);
}

// -------------------------------------------------------------------------------- HSTS and our own cookies

#[tokio::test]
async fn rfc6797_7_2_hsts_and_secure_cookies_go_to_clients_that_use_https() {
    let backend = Backend::replying(200).await;
    let routes = "
        routes:
          all:
            split: { clusters: [{ cluster: one, weight: 1 }], sticky: { cookie: side } }
            responseHeaders: { preset: secure }
          own: { match: { path: { prefix: /own } }, publicUrl: 'https://own.example', cluster: one, responseHeaders: { preset: secure } }
        clusters: { one: { endpoints: ['{0}'] } }
    ";
    for (trust, url, fields, path, secure) in [
        ("", "", &[][..], "/", false),
        ("", "", &[("x-forwarded-proto", "https")], "/", false),
        (TRUST, "", &[("x-forwarded-proto", "https")], "/", true),
        (TRUST, "", &[("x-forwarded-proto", "http")], "/", false),
        ("", ", publicUrl: 'https://a.example'", &[], "/", true),
        ("", ", publicUrl: 'http://a.example'", &[], "/", false),
        ("", ", publicUrl: 'http://a.example'", &[], "/own", true),
    ] {
        let template = format!(
            "{trust}\nlisteners: {{ http: {{ address: '127.0.0.1:0', protocols: [http/1.1, h2]{url} }} }}\n{}",
            outdented(routes)
        );
        let gw = Gw::with(&template, &[&backend]).await;
        for mut client in clients(&gw).await {
            let reply = client.reply(proxied(fields, get(path))).await;
            assert_eq!(reply.status, 200);
            assert_eq!(!reply.header(HSTS).is_empty(), secure, "{trust} {url} {path}");
            let cookie = reply.header("set-cookie");
            if path == "/" {
                assert!(cookie.starts_with("side="), "{cookie}");
                assert_eq!(cookie.ends_with("; Secure"), secure, "{trust} {url}: {cookie}");
            }
        }
    }
}

// ------------------------------------------------------------------------------------ locations of agents

/// What an answer of an agent with this field becomes.
async fn mapped(gw: &Gw, name: &str, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for mut client in clients(gw).await {
        let reply = client.reply(at_host("a.example:8080", get(path))).await;
        found.push(reply.header(name).to_owned());
    }
    found
}

#[tokio::test]
async fn locations_that_lead_back_to_the_agent_lead_through_the_gateway() {
    const STRIP: &str = "match: { path: { prefix: /planner } }, rewrite: { prefix: / }";
    const SWAP: &str = "match: { path: { prefix: /planner } }, rewrite: { prefix: /in }";
    const PUBLIC: &str = "publicUrl: 'https://agents.example'";
    const TEAM: &str = "publicUrl: 'https://agents.example/team'";
    for (route, name, location, expected) in [
        (format!("{STRIP}, {PUBLIC}"), "location", "/tasks/7?x", "/planner/tasks/7?x"),
        (STRIP.to_owned(), "location", "/tasks/7", "/planner/tasks/7"),
        (STRIP.to_owned(), "location", "/planner/tasks/7", "/planner/tasks/7"),
        (STRIP.to_owned(), "location", "tasks/7", "tasks/7"),
        (format!("{STRIP}, {PUBLIC}"), "location", "http://{agent}/x", "https://agents.example/planner/x"),
        (format!("{STRIP}, {PUBLIC}"), "location", "http://a.example:8080/x", "https://agents.example/planner/x"),
        (STRIP.to_owned(), "location", "http://a.example:8080/x", "http://a.example:8080/planner/x"),
        (
            format!("{STRIP}, {PUBLIC}"),
            "location",
            "https://agents.example/planner/x",
            "https://agents.example/planner/x",
        ),
        (format!("{STRIP}, {PUBLIC}"), "location", "https://elsewhere.example/x", "https://elsewhere.example/x"),
        (format!("{STRIP}, {PUBLIC}"), "location", "http://127.0.0.1:1/x", "http://127.0.0.1:1/x"),
        (format!("{STRIP}, {PUBLIC}"), "content-location", "http://{agent}/x", "https://agents.example/planner/x"),
        (STRIP.to_owned(), "refresh", "5; url=/x", "5; url=/planner/x"),
        (
            format!("{STRIP}, upstreamHost: inner.example, {PUBLIC}"),
            "location",
            "http://inner.example/x",
            "https://agents.example/planner/x",
        ),
        (
            format!("{STRIP}, upstreamHost: inner.example, {PUBLIC}"),
            "location",
            "http://a.example:8080/x",
            "http://a.example:8080/x",
        ),
        (format!("{SWAP}, {PUBLIC}"), "location", "/in/x", "/planner/x"),
        (format!("{SWAP}, {PUBLIC}"), "location", "/inner/x", "/inner/x"),
        (format!("{SWAP}, {PUBLIC}"), "location", "http://{agent}/elsewhere", "http://{agent}/elsewhere"),
        (PUBLIC.to_owned(), "location", "http://{agent}/x", "https://agents.example/x"),
        (PUBLIC.to_owned(), "location", "/x", "/x"),
        (TEAM.to_owned(), "location", "/x", "/team/x"),
        (TEAM.to_owned(), "location", "/team/x", "/team/x"),
        (format!("{STRIP}, {TEAM}"), "location", "/x", "/team/planner/x"),
        (format!("{STRIP}, mapLocation: false"), "location", "http://{agent}/x", "http://{agent}/x"),
        (format!("{STRIP}, mapLocation: false"), "location", "/x", "/x"),
        (format!("{STRIP}, responseHeaders: {{ set: {{ location: /said }} }}"), "location", "/x", "/said"),
        ("rewrite: { path: /only }".to_owned(), "location", "http://{agent}/x", "http://{agent}/x"),
    ] {
        for http2 in [false, true] {
            let speak = Speak { http2, ..Speak::default() };
            let backend = Backend::replying_as(speak, 201).await;
            let agent = backend.address().to_string();
            let name: &'static str = name;
            let backend = backend.header(name, &location.replace("{agent}", &agent));
            let protocol = if http2 { "h2c" } else { "http/1.1" };
            let template = format!(
                "routes: {{ all: {{ cluster: one, {route} }} }}\n\
                 clusters: {{ one: {{ endpoints: ['{{0}}'], protocol: {protocol} }} }}"
            );
            let gw = Gw::with(&template, &[&backend]).await;
            let expected = expected.replace("{agent}", &agent);
            let found = mapped(&gw, name, "/planner/start").await;
            assert_eq!(found, [expected.as_str(), &expected], "{route}: {name}: {location}");
        }
    }
}

#[tokio::test]
async fn the_name_of_a_cluster_that_another_endpoint_has_is_the_agents_too() {
    let backend = Backend::replying(302).await.header("location", "http://localhost:1/x");
    let template = "
        routes: { all: { cluster: one, publicUrl: 'https://agents.example' } }
        clusters: { one: { endpoints: ['{0}', { address: 'localhost:1', weight: 0 }] } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    assert_eq!(gw.get("/").await.header("location"), "https://agents.example/x");
}

#[tokio::test]
async fn a_trusted_proxys_word_counts_for_locations_too() {
    let backend = Backend::replying(302).await.header("location", "http://gw.internal/x");
    let template = format!(
        "{TRUST}\nroutes: {{ all: {{ endpoints: ['{{0}}'], match: {{ path: {{ prefix: /planner }} }}, rewrite: {{ prefix: / }} }} }}"
    );
    let gw = Gw::with(&template, &[&backend]).await;
    for mut client in clients(&gw).await {
        let fields =
            [("x-forwarded-proto", "https"), ("x-forwarded-host", "agents.example"), ("x-forwarded-prefix", "/team")];
        let asked = proxied(&fields, at_host("gw.internal", get("/planner/start")));
        let reply = client.reply(asked).await;
        assert_eq!(reply.header("location"), "https://agents.example/team/planner/x");
    }
}

#[tokio::test]
async fn paths_of_an_agents_cookies_stay_as_they_are() {
    let backend = Backend::replying(200).await.header("set-cookie", "a=1; Path=/app");
    let template =
        "routes: { all: { endpoints: ['{0}'], match: { path: { prefix: /planner } }, rewrite: { prefix: / } } }";
    let gw = Gw::with(template, &[&backend]).await;
    assert_eq!(gw.get("/planner/x").await.header("set-cookie"), "a=1; Path=/app");
}

// --------------------------------------------------------------------------------------------- reloading

#[tokio::test]
async fn a_reload_takes_another_public_url_without_a_new_connection() {
    let dead = refusing();
    let template = |url: &str| {
        format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0', publicUrl: '{url}' }} }}\n\
             routes:\n  all: {{ endpoints: ['{{0}}'] }}\n  old: {{ match: {{ path: {{ prefix: /old }} }}, redirect: {{ path: /new }} }}"
        )
    };
    let mut gw = Gw::with(&template("https://a.example"), &[&dead]).await;
    let mut client = gw.h1().await;
    let reply = client.reply(get("/old")).await;
    assert_eq!(reply.header("location"), "https://a.example/new");
    gw.reload(&template("https://b.example:8443"), &[&dead]).await.unwrap();
    let reply = client.reply(get("/old")).await;
    assert_eq!(reply.header("location"), "https://b.example:8443/new");
}
