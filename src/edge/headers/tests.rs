//! What `headers.rs` does, held to its promises.

use super::*;
use crate::config::model::{ListenerId, TlsVersion};
use crate::context::{Principal, TlsFacts};

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let pairs = fields.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

fn strip(headers: &mut HeaderMap) -> bool {
    let seen = Seen::of(headers);
    strip_hop_by_hop(headers, seen)
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn connection_takes_what_it_names_with_it() {
    let mut headers =
        map(&[("connection", "close, X-Private , keep-alive"), ("x-private", "1"), ("keep-alive", "3"), ("x-b", "2")]);
    assert!(!strip(&mut headers));
    assert_eq!(names(&headers), ["x-b"]);
}

#[test]
fn connection_cannot_take_framing_routing_or_credentials() {
    let mut headers = map(&[
        ("connection", "host, authorization, content-length"),
        ("host", "a"),
        ("authorization", "b"),
        ("content-length", "1"),
    ]);
    strip(&mut headers);
    assert_eq!(names(&headers), ["authorization", "content-length", "host"]);
}

#[test]
fn cookie_crumbs_become_one_line() {
    for (crumbs, expected) in
        [(&[][..], None), (&["a=1"], Some("a=1")), (&["a=1", "b=2", "c=3; d=4"], Some("a=1; b=2; c=3; d=4"))]
    {
        let fields: Vec<_> = crumbs.iter().map(|crumb| ("cookie", *crumb)).collect();
        let mut headers = map(&fields);
        join_cookies(&mut headers);
        let found: Vec<_> = headers.get_all("cookie").iter().collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{crumbs:?}");
    }
}

#[test]
fn trailers_are_remembered() {
    let mut headers = map(&[("te", "gzip, Trailers"), ("connection", "te")]);
    assert!(strip(&mut headers));
    assert!(headers.is_empty(), "{headers:?}");
}

fn forward(headers: &mut HeaderMap, trusted: bool) {
    let tls = TlsFacts {
        server_name: None,
        version: TlsVersion::V13,
        resumed: false,
        client_verified: false,
        certificate: None,
    };
    let (peer, local) = ("192.0.2.7:4711".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
    let connection = Connection::new(ListenerId(0), peer, local, Some(tls));
    let shown = Shown {
        scheme: Scheme::Https,
        host: Some(HeaderValue::from_static("a.example")),
        port: HeaderValue::from_static("443"),
        prefix: None,
    };
    let facts = Forwarded { connection: &connection, client: peer.ip(), trusted, shown };
    let seen = Seen::of(headers);
    set_forwarded(headers, seen, facts);
}

#[test]
fn an_untrusted_peer_is_not_believed() {
    let mut headers = map(&[
        ("x-forwarded-for", "10.0.0.1"),
        ("x_forwarded_for", "10.0.0.1"),
        ("x-forwarded_proto", "http"),
        ("x-real-ip", "10.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-ssl", "on"),
    ]);
    forward(&mut headers, false);
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    assert_eq!(headers["x-real-ip"], "192.0.2.7");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(
        names(&headers),
        ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"]
    );
}

#[test]
fn a_trusted_proxy_is_believed_and_appended() {
    let mut headers = map(&[
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "198.51.100.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/none"),
        ("x-forwarded-ssl", "on"),
    ]);
    forward(&mut headers, true);
    assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 198.51.100.2, 192.0.2.7");
    assert_eq!(headers["x-forwarded-proto"], "https", "what it said went into the face, which is told here");
    assert_eq!(headers["x-forwarded-ssl"], "on");
    assert!(!headers.contains_key("x-forwarded-prefix"));
}

#[test]
fn changes_apply_in_order_and_hsts_over_tls_only() {
    let pair =
        |name: &'static str, value: &'static str| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let changes = HeaderChanges {
        remove: vec![HeaderName::from_static("server")],
        set: vec![pair("x-a", "new")],
        add: vec![pair("x-b", "two")],
        hsts: Some(HeaderValue::from_static("max-age=31536000; includeSubDomains")),
        ..HeaderChanges::default()
    };
    let identity = Identity::default();
    for (tls, hsts) in [(true, Some("max-age=31536000; includeSubDomains")), (false, None)] {
        let mut headers = map(&[("server", "s"), ("x-a", "old"), ("x-b", "one")]);
        apply(&mut headers, &changes, ChangeFacts { https: tls, identity: &identity, operation: None, call: None });
        assert!(!headers.contains_key("server"));
        assert_eq!(headers["x-a"], "new");
        assert_eq!(headers.get_all("x-b").iter().count(), 2);
        let found = headers.get(header::STRICT_TRANSPORT_SECURITY);
        assert_eq!(found.map(|value| value.to_str().unwrap()), hsts, "{tls}");
    }
}

#[test]
fn what_is_known_of_a_request_is_told_and_nobody_else_can_say_it() {
    let tell = [("x-user", RequestFact::Principal), ("x-tenant", RequestFact::Tenant)];
    let tell = tell.into_iter().chain([("x-operation", RequestFact::Operation)]);
    let tell = tell.map(|(name, fact)| (HeaderName::from_static(name), fact)).collect();
    let changes = HeaderChanges { tell, ..HeaderChanges::default() };
    let forged = [("x-user", "root"), ("x-tenant", "all"), ("x-operation", "GetTask")];
    let principal = Principal { name: "ann".into(), ..Principal::default() };
    let known = Identity { principal: Some(principal.into()), tenant: Some("north\n".into()) };
    let (send, nobody) = (Some(Operation::SendMessage), Identity::default());
    for (identity, operation, expected) in
        [(&known, send, [Some("ann"), None, Some("SendMessage")]), (&nobody, None, [None, None, None])]
    {
        let mut headers = map(&forged);
        apply(&mut headers, &changes, ChangeFacts { https: false, identity, operation, call: None });
        let found = forged.map(|(name, _)| headers.get(name).map(|value| value.to_str().unwrap()));
        assert_eq!(found, expected, "a tenant that is no field value is not told");
    }
}

#[test]
fn the_client_is_the_last_untrusted_address() {
    let trusted = |address: IpAddr| address.to_string().starts_with("10.");
    for (peer, lines, expected) in [
        ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", &["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
        ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ] {
        let fields: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let found = client_ip(&map(&fields), peer.parse().unwrap(), trusted);
        assert_eq!(found.to_string(), expected, "{lines:?}");
    }
}

#[test]
fn bytes_that_are_no_text_harm_only_their_own_entry() {
    let trusted = |address: IpAddr| address.to_string().starts_with("10.");
    for (lines, expected) in [
        (&[&b"\xff, 203.0.113.9"[..]][..], "203.0.113.9"),
        (&[b"\xff, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (&[b"\xff", b"203.0.113.9"], "203.0.113.9"),
        (&[b"203.0.113.9, \xff, 10.0.0.2"], "10.0.0.2"),
    ] {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
        }
        assert_eq!(client_ip(&headers, "10.0.0.1".parse().unwrap(), trusted).to_string(), expected, "{headers:?}");
    }
    let mut headers = map(&[("x-private", "1"), ("te", "trailers")]);
    headers.append("connection", HeaderValue::from_bytes(b"\xff, x-private").unwrap());
    headers.append("te", HeaderValue::from_bytes(b"\xe9").unwrap());
    assert!(strip(&mut headers));
    assert!(headers.is_empty(), "{headers:?}");
}

#[test]
fn proxies_between_the_first_and_the_last_are_counted() {
    let trusted = |address: IpAddr| address.to_string().starts_with("10.");
    for (line, expected) in [
        ("", 0),
        ("203.0.113.9", 0),
        ("1.1.1.1, 203.0.113.9", 0),
        ("203.0.113.9, 10.0.0.2", 1),
        ("1.1.1.1, 203.0.113.9, 10.0.0.3, 10.0.0.2", 2),
        ("nonsense, 10.0.0.3, 10.0.0.2", 1),
        ("10.0.0.3, 10.0.0.2", 1),
    ] {
        let headers = map(&[("x-forwarded-for", line)]);
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(hops(&headers, peer, trusted), expected, "{line}");
    }
}
