//! The request line, the host, and what is made of them.

use super::bench::{Bench, SMUGGLED, refused};

#[tokio::test]
async fn broken_request_lines_are_refused() {
    let lines = [
        // Spaces.
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / \tHTTP/1.1",
        "\tGET / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /?a b HTTP/1.1",
        "GET / HTTP/ 1.1",
        "GET / HTTP /1.1",
        "GET / HTTP/1. 1",
        "GET\u{a0}/ HTTP/1.1",
        "GET\u{b}/\u{b}HTTP/1.1",
        "GET\u{c}/ HTTP/1.1",
        "GET / / HTTP/1.1",
        // Parts missing.
        "GET",
        "GET /",
        "GET HTTP/1.1",
        "/ HTTP/1.1",
        "HTTP/1.1",
        "GET  HTTP/1.1",
        "GET / HTTP",
        "GET / HTTP/",
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP/.1",
        // Versions.
        "GET / HTTP/0.9",
        "GET / HTTP/1.2",
        "GET / HTTP/1.9",
        "GET / HTTP/2.0",
        "GET / HTTP/2",
        "GET / HTTP/3.0",
        "GET / HTTP/10.1",
        "GET / HTTP/1.10",
        "GET / HTTP/1.1.1",
        "GET / HTTP/01.1",
        "GET / HTTP/-1.1",
        "GET / http/1.1",
        "GET / Http/1.1",
        "GET / HTTPS/1.1",
        "GET / HTPP/1.1",
        "GET / ICY/1.1",
        "GET / HTTP/1,1",
        "GET / HTTP/1.1a",
        "GET / HTTP/1.1;x",
        "GET / HTTP\\1.1",
        "GET / \0HTTP/1.1",
        "GET / SIP/2.0",
        // Methods that are no tokens.
        "GE\0T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\"T / HTTP/1.1",
        "GET: / HTTP/1.1",
        "G,T / HTTP/1.1",
        "G/T / HTTP/1.1",
        "[GET] / HTTP/1.1",
        "GÉT / HTTP/1.1",
        "GET\u{7f} / HTTP/1.1",
        "{} / HTTP/1.1",
        "@ / HTTP/1.1",
        // Targets.
        "GET /a#b HTTP/1.1",
        "GET /# HTTP/1.1",
        "GET #/ HTTP/1.1",
        "GET /?a#b HTTP/1.1",
        "GET /é HTTP/1.1",
        "GET /?é HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /?\0 HTTP/1.1",
        "GET /a\u{b}b HTTP/1.1",
        "GET x HTTP/1.1",
        "GET x/y HTTP/1.1",
        "GET ?x HTTP/1.1",
        "GET ./ HTTP/1.1",
        "GET ../ HTTP/1.1",
        "GET * HTTP/1.1",
        "POST * HTTP/1.1",
        "GET *x HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "GET localhost HTTP/1.1",
        "GET \\ HTTP/1.1",
        "GET /a\\b HTTP/1.1",
        "GET /\\..\\a HTTP/1.1",
        "OPTIONS ** HTTP/1.1",
        "OPTIONS *? HTTP/1.1",
        // Bad percent-encoding, and what must not be encoded.
        "GET /% HTTP/1.1",
        "GET /%1 HTTP/1.1",
        "GET /%zz HTTP/1.1",
        "GET /%u0041 HTTP/1.1",
        "GET /%00 HTTP/1.1",
        "GET /%-1 HTTP/1.1",
        // Absolute form.
        "GET http:// HTTP/1.1",
        "GET http:/// HTTP/1.1",
        "GET http:/x HTTP/1.1",
        "GET http:x HTTP/1.1",
        "GET http://u@a/ HTTP/1.1",
        "GET http://u:p@a/ HTTP/1.1",
        "GET http://@a/ HTTP/1.1",
        "GET http://a@/ HTTP/1.1",
        "GET http://a:x/ HTTP/1.1",
        "GET http://a:99999/ HTTP/1.1",
        "GET http://a:-1/ HTTP/1.1",
        "GET http://a:80:80/ HTTP/1.1",
        "GET http://a:80x/ HTTP/1.1",
        "GET http://:80/ HTTP/1.1",
        "GET http://a,b/ HTTP/1.1",
        "GET http://a%2eb/ HTTP/1.1",
        "GET http://a%00/ HTTP/1.1",
        "GET http://[::1/ HTTP/1.1",
        "GET http://[::g]/ HTTP/1.1",
        "GET http://a\\b/ HTTP/1.1",
        "GET http://a/#x HTTP/1.1",
        "GET http://a/é HTTP/1.1",
        "GET http://é/ HTTP/1.1",
        "GET //a@b:80 HTTP/2.0",
        "GET ://a/ HTTP/1.1",
        "GET http://a /x HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET file:///etc/passwd HTTP/1.1",
        "GET gopher://a/ HTTP/1.1",
        "GET javascript:alert(1) HTTP/1.1",
        "GET ws://a/ HTTP/1.1",
        "GET unix:/x HTTP/1.1",
    ];
    let mut cases: Vec<_> = lines.iter().map(|line| format!("{line}\r\nhost: a\r\n\r\n").into_bytes()).collect();
    cases.extend([
        b"GET / HTTP/1.1\rhost: a\r\n\r\n".to_vec(),
        b"GET /\r\n\r\n".to_vec(),
        b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\r\nhost: a\r\n\r\n".to_vec(),
        b"\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"\rGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"\0\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nhost: a\r\n\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
    ]);
    refused(&[400, 505], &cases).await;
}

#[tokio::test]
async fn long_targets_and_heads_have_a_bound() {
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(20_000));
    let query = format!("GET /?{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(20_000));
    refused(&[414], &[long, query]).await;
    let method = format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "G".repeat(100_000));
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let name = format!("GET / HTTP/1.1\r\nhost: a\r\n{}: x\r\n\r\n", "x".repeat(66_000));
    let fields = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
    refused(&[400, 414, 431], &[method, head, name, fields]).await;
}

#[tokio::test]
async fn methods_are_passed_on_as_they_are() {
    let bench = Bench::new().await;
    let methods =
        ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "Get", "PROPFIND", "M-SEARCH", "X!#$%&'*+-.^_`|~9"];
    for method in methods {
        let answers = bench.serves(format!("{method} /case HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(answers.statuses(), [200, 200], "{method}: {}", answers.text);
    }
    let server = bench.serves("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").await.statuses();
    assert_eq!(server, [204, 200], "the gateway answers for itself");
    let lines: Vec<_> = bench.finish().await.iter().map(|arrived| arrived.line().to_owned()).collect();
    let expected: Vec<_> = methods.iter().map(|method| format!("{method} /case HTTP/1.1")).collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn there_is_exactly_one_valid_host() {
    let hosts = [
        "", " ", "a b", "a\tb", "a,b", "a, b", "a;b", "a/b", "a/", "/a", "http://a", "//a", "u@a", "u:p@a", "@a", "a@",
        "a?b", "a#b", "a\\b", "a%2eb", "a%00", "a%20b", "*", "a:x", "a:-1", "a:+80", "a:80:80", "a:99999", "a:65536",
        "a:080808", "a: 80", "a :80", ":80", ":", "a:80 ", "a:8 0", "[::1", "::1", "[::1]x", "[::1]:x", "[::1]:99999",
        "[a]", "[::g]", "[]", "[::1%25eth0]", "a..b", ".", "..", ".a", "a\0b", "a\u{1}", "a\u{7f}", "é", "a<b", "a\"b",
        "a'b", "a(b", "a&b", "a=b", "$a", "{a}", "a|b", "a^b", "a`b", "<script>", "a!b", "a+b",
    ];
    let skip = ["a:80 "];
    let hosts = hosts.iter().filter(|host| !skip.contains(host));
    let mut cases: Vec<_> = hosts.map(|host| format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()).collect();
    let long = "a".repeat(300);
    let label = format!("{}.a", "a".repeat(64));
    cases.extend([long, label].iter().map(|host| format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()));
    cases.extend([
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nx: y\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\nx: y\r\nHOST: b\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: a\r\nhost:\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost:\r\nhost: a\r\n\r\n".to_vec(),
        b"GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n".to_vec(),
        b"GET / HTTP/1.0\r\nhost: a b\r\n\r\n".to_vec(),
        b"GET http://a/ HTTP/1.1\r\n\r\n".to_vec(),
        b"GET http://a/ HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n".to_vec(),
        b"GET http://a/ HTTP/1.1\r\nhost: u@b\r\n\r\n".to_vec(),
        b"GET http://a/ HTTP/1.1\r\nhost: b, c\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: \xff\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: a\r\n host: b\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost : a\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nx_host: a\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n:authority: a\r\n\r\n".to_vec(),
    ]);
    refused(&[400], &cases).await;
}

#[tokio::test]
async fn the_target_names_the_host_and_routes_ignore_its_spelling() {
    let routes = "
        routes:
          one: { hosts: [one.example], respond: { status: 201 } }
          six: { hosts: ['[::1]'], respond: { status: 206 } }
          all: { endpoints: ['{0}'] }";
    let bench = Bench::with(routes).await;
    let cases = [
        ("/", "one.example", 201),
        ("/", "ONE.Example", 201),
        ("/", "one.example:80", 201),
        ("/", "one.example:", 201),
        ("/", "one.example:0080", 201),
        ("/", "one.example.", 201),
        ("/", "One.EXAMPLE.:8443", 201),
        ("/", "[::1]", 206),
        ("/", "[::1]:80", 206),
        ("/", "[0:0:0:0:0:0:0:1]", 206),
        ("http://one.example/", "other", 201),
        ("http://ONE.example.:80/x", "other", 201),
        ("HTTP://one.example", "other", 201),
        ("https://one.example/", "other", 201),
        ("http://other/", "one.example", 200),
        ("http://two.example:81/x?y", "one.example", 200),
        ("/", "two.example", 200),
        ("//one.example/x", "two.example", 200),
        ("/http://one.example/", "two.example", 200),
        ("/", "xone.example", 200),
        ("/", "one.example.evil", 200),
        ("/", "a.one.example", 200),
    ];
    for (target, host, status) in cases {
        let answers = bench.serves(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(answers.statuses(), [status, 200], "{target} {host}: {}", answers.text);
    }
    let arrived = bench.finish().await;
    let seen: Vec<_> = arrived
        .iter()
        .map(|arrived| (arrived.field("host"), arrived.target(), arrived.field("x-forwarded-host")))
        .collect();
    let expected = [
        ("other", "/", "other"),
        ("two.example:81", "/x?y", "two.example:81"),
        ("two.example", "/", "two.example"),
        ("two.example", "/one.example/x", "two.example"),
        ("two.example", "/http:/one.example/", "two.example"),
        ("xone.example", "/", "xone.example"),
        ("one.example.evil", "/", "one.example.evil"),
        ("a.one.example", "/", "a.one.example"),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn http_1_0_without_a_host_is_given_one() {
    let bench = Bench::new().await;
    for head in [
        "GET /case HTTP/1.0\r\n\r\n",
        "POST /case HTTP/1.0\r\ncontent-length: 3\r\n\r\nabc",
        "GET /case HTTP/1.0\r\nhost: a\r\n\r\n",
    ] {
        assert_eq!(bench.converse(&[head.as_bytes()]).await.status(), 200, "{head}");
    }
    let place = crate::support::Place::place(&bench.origin);
    let hosts: Vec<_> = bench.finish().await.iter().map(|arrived| arrived.field("host").to_owned()).collect();
    assert_eq!(hosts, [place.clone(), place, "a".to_owned()], "HTTP/1.1 towards the endpoint needs one");
}

#[tokio::test]
async fn what_is_forwarded_is_written_anew() {
    let bench = Bench::new().await;
    let spellings: [&[u8]; 5] = [
        b"POST /case?q HTTP/1.1\r\nhost: a\r\nx-one: 1\r\ncontent-length: 3\r\n\r\nabc",
        b"\r\nPOST /case?q HTTP/1.1\r\nHOST:a\r\nX-ONE:1\r\nContent-Length:3\r\n\r\nabc",
        b"POST http://a/case?q HTTP/1.1\r\nHost: b\r\nX-One: \t 1 \t \r\nContent-Length:  \t3\t\r\n\r\nabc",
        b"POST /./x/../c%61se?q HTTP/1.1\r\nhost:\ta \r\nx-one:  1\r\nconnection: keep-alive\r\nkeep-alive: 5\r\ncontent-length: 003\r\n\r\nabc",
        b"POST //case?q HTTP/1.1\r\nConnection: x-two\r\nx-two: 2\r\nhOsT: a\r\nx-oNe: 1\r\ncontent-length: 3\r\n\r\nabc",
    ];
    for spelling in spellings {
        let answers = bench.serves(spelling).await;
        assert_eq!(answers.statuses(), [200, 200], "{}", answers.text);
    }
    let arrived = bench.finish().await;
    let lines = |head: &str| {
        let kept = head.lines().filter(|line| !["x-request-id", "traceparent"].iter().any(|own| line.starts_with(own)));
        let mut lines: Vec<_> = kept.map(|line| line.replace("content-length: 003", "content-length: 3")).collect();
        lines[1..].sort();
        lines
    };
    for other in &arrived {
        assert_eq!(lines(&other.head), lines(&arrived[0].head), "one form");
        assert_eq!(other.body, b"abc");
    }
    assert_eq!(arrived.len(), spellings.len());
}

#[tokio::test]
async fn a_tls_handshake_in_the_clear_is_refused_in_its_own_words() {
    let bench = Bench::new().await;
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
    let answers = bench.converse(&[&hello[..], SMUGGLED]).await;
    // A fatal alert (RFC 8446 section 6.2): unexpected_message.
    assert_eq!(answers.text.as_bytes(), b"\x15\x03\x03\x00\x02\x02\x0a");
    let arrived = bench.finish().await;
    assert!(arrived.is_empty(), "nothing is forwarded: {arrived:#?}");
}
