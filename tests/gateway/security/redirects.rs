//! A cleartext listener that sends everybody to HTTPS, and nowhere else.

use crate::support::{Backend, Ca, Gw};

/// A redirecting listener in front of routes for `a.example` and `*.b.example`.
async fn redirecting(backend: &Backend) -> Gw {
    let ca = Ca::new();
    let identity = ca.issue(&["a.example"]);
    Gw::with(
        "
        listeners:
          http: { address: '127.0.0.1:0', httpsRedirect: true }
          https: { address: '127.0.0.1:0', tls: { certificates: [{ {1} }] } }
        routes:
          a: { hosts: [a.example], endpoints: ['{0}'] }
          b: { hosts: ['*.b.example'], endpoints: ['{0}'] }",
        &[backend, &identity],
    )
    .await
}

async fn ask(gw: &Gw, request: &str) -> String {
    let mut client = gw.raw().await;
    client.try_write(request.replacen("\r\n", "\r\nconnection: close\r\n", 1)).await;
    client.rest().await
}

fn location(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("location: "))
}

#[tokio::test]
async fn redirects_lead_to_configured_hosts_and_keep_the_target() {
    let backend = Backend::replying(200).await;
    let gw = redirecting(&backend).await;
    // The port is the configured one, which is 0 here.
    let cases = [
        ("GET", "/", "a.example", 301, "a.example", "/"),
        ("HEAD", "/x", "a.example", 301, "a.example", "/x"),
        ("POST", "/x?y=z", "a.example", 308, "a.example", "/x?y=z"),
        ("DELETE", "/x", "A.EXAMPLE:80", 308, "a.example", "/x"),
        ("GET", "/x", "a.example.:8080", 301, "a.example", "/x"),
        ("GET", "/x", "y.b.example", 301, "y.b.example", "/x"),
        ("GET", "http://a.example/x?q", "evil.example", 301, "a.example", "/x?q"),
        ("GET", "http://a.example:81/x", "evil.example", 301, "a.example", "/x"),
        ("GET", "//evil.example/x", "a.example", 301, "a.example", "//evil.example/x"),
        ("GET", "///evil.example", "a.example", 301, "a.example", "///evil.example"),
        ("GET", "/%0d%0aset-cookie:%20x", "a.example", 301, "a.example", "/%0d%0aset-cookie:%20x"),
        ("GET", "/?x=%0D%0A%0D%0A%3Chtml%3E", "a.example", 301, "a.example", "/?x=%0D%0A%0D%0A%3Chtml%3E"),
        ("GET", "/@evil.example", "a.example", 301, "a.example", "/@evil.example"),
        ("GET", "/.evil.example", "a.example", 301, "a.example", "/.evil.example"),
        ("GET", "/?u=http://evil.example", "a.example", 301, "a.example", "/?u=http://evil.example"),
        ("GET", "/a%61?b=%61", "a.example", 301, "a.example", "/a%61?b=%61"),
    ];
    for (method, target, host, status, to, path) in cases {
        let text = ask(&gw, &format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {target} {host}: {text}");
        assert_eq!(location(&text), Some(&*format!("https://{to}:0{path}")), "{method} {target} {host}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
        assert!(!text.contains("\r\nset-cookie"), "{text}");
    }
    assert_eq!(backend.hits(), 0, "nothing goes on in the clear");
}

#[tokio::test]
async fn nobody_else_is_redirected_to() {
    let backend = Backend::replying(200).await;
    let gw = redirecting(&backend).await;
    let cases = [
        "GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example.evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: xa.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: xb.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET https://evil.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET http://a.example@evil.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET http://evil.example@a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET javascript://a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example@evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: evil.example#a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: evil.example/a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example, evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example\r\nhost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example\rlocation: //evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example\nx: y\r\n\r\n",
        "GET /\\evil.example HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET /#@evil.example HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET /\rx HTTP/1.1\r\nhost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: evil.example\r\nx-forwarded-host: a.example\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n",
    ];
    for case in cases {
        let text = ask(&gw, case).await;
        let status: u16 = text.get(9..12).map_or(0, |status| status.parse().unwrap());
        assert!((400..500).contains(&status), "{case:?}: {text}");
        assert_eq!(location(&text), None, "{case:?}: {text}");
        assert!(!text.contains("evil"), "{case:?}: {text}");
    }
    let text = ask(&gw, "GET / HTTP/1.1\r\nhost: a.example\r\nx-forwarded-host: evil.example\r\nx-forwarded-proto: https\r\nforwarded: host=evil.example\r\n\r\n").await;
    assert!(location(&text).is_some_and(|to| to.starts_with("https://a.example:")), "{text}");
    assert_eq!(backend.hits(), 0, "nothing goes on in the clear");
}
