//! What a request's fields may be in HTTP/2 (h2spec http2/8.1, 8.1.2.1 to 8.1.2.6, 8.2; generic/4).

use super::bench::Bench;
use super::frames::{DATA, END_STREAM, End, H2, PROTOCOL_ERROR, block, frame, headers};

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

/// A sound request's pseudo-fields, but for one, and then more fields.
fn with<'a>(name: &'a str, value: &'a [u8], more: &[(&'a str, &'a [u8])]) -> Fields<'a> {
    let mut fields: Fields<'a> =
        vec![(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/case"), (b":authority", b"a")];
    if let Some(field) = fields.iter_mut().find(|(found, _)| *found == name.as_bytes()) {
        field.1 = value;
    }
    fields.extend(more.iter().map(|(name, value)| (name.as_bytes(), *value)));
    fields
}

fn plus<'a>(more: &[(&'a str, &'a [u8])]) -> Fields<'a> {
    with("", b"", more)
}

/// Sends each as the only request of a connection; all must be refused and none forwarded.
async fn refused(cases: &[Fields<'_>]) {
    let bench = Bench::new().await;
    let mut complaints = Vec::new();
    for fields in cases {
        let mut client = H2::connect(bench.gw.address()).await;
        client.send(headers(1, END_STREAM, &block(fields))).await;
        let answer = client.answer(1).await;
        if !answer.is_refusal() {
            let shown: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
                .collect();
            complaints.push(format!("{shown:?} got {answer:?}"));
        }
    }
    assert!(
        complaints.is_empty(),
        "{} of {} are not refused:\n{}",
        complaints.len(),
        cases.len(),
        complaints.join("\n")
    );
    let arrived = bench.finish().await;
    assert!(arrived.is_empty(), "nothing is forwarded: {arrived:#?}");
}

#[tokio::test]
async fn field_names_are_lower_case_tokens() {
    let names: [&[u8]; 31] = [
        b"X", b"x-A", b"Content-Length", b"Host", b"x y", b" x", b"x ", b"x:", b"x:y", b"", b"x\0", b"\0", b"x\r",
        b"x\n", b"x\r\ny", b"x\t", b"x\x7f", b"x\x01", b"x\x80", b"x\xff", b"x,y", b"x;y", b"x(y", b"x/y", b"x@y",
        b"x[y", b"x{y", b"x\"y", b"x\\y", b"x=y", b"x?y",
    ];
    let cases: Vec<Fields<'_>> =
        names.iter().map(|name| plus(&[]).into_iter().chain([(*name, &b"1"[..])]).collect()).collect();
    refused(&cases).await;
}

#[tokio::test]
async fn values_hold_no_line_ends_and_no_edge_spaces() {
    let values: [&[u8]; 26] = [
        b"\r",
        b"\n",
        b"\0",
        b"a\r\nb: c",
        b"a\rb",
        b"a\nb",
        b"a\0b",
        b"\r\n",
        b"a\r\n",
        b"a\n",
        b"a\r",
        b"a\0",
        b"\na",
        b"\0a",
        b"\x01",
        b"a\x0bb",
        b"a\x0cb",
        b"a\x1bb",
        b"a\x7fb",
        b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        b" a",
        b"a ",
        b"\ta",
        b"a\t",
        b" ",
        b"  a  ",
    ];
    let mut cases: Vec<Fields<'_>> = values.iter().map(|value| plus(&[("x", value)])).collect();
    for name in [
        "cookie", "host", "content-length", "content-type", "user-agent", "x-forwarded-for", "x-request-id",
        "traceparent",
    ] {
        cases.extend([b"a\r\nb: c", &b"a\nb: c"[..], b"a\0", b" a"].map(|value| plus(&[(name, value)])));
    }
    refused(&cases).await;
}

#[tokio::test]
async fn pseudo_fields_come_once_first_and_complete() {
    let without =
        |gone: &str| -> Fields<'_> { plus(&[]).into_iter().filter(|(name, _)| *name != gone.as_bytes()).collect() };
    let mut cases = vec![
        without(":method"),
        without(":scheme"),
        without(":path"),
        Vec::new(),
        vec![(&b":method"[..], &b"GET"[..])],
    ];
    for (name, value) in [(":method", &b"GET"[..]), (":scheme", b"http"), (":path", b"/case"), (":authority", b"a")] {
        cases.push(plus(&[(name, value)]));
        let moved: Fields<'_> =
            without(name).into_iter().chain([(&b"x"[..], &b"y"[..]), (name.as_bytes(), value)]).collect();
        cases.push(moved);
        cases.push(with(name, b"", &[]));
    }
    for name in [":status", ":foo", ":", ":Method", ":protocol", ":host", ":version", "::path", ":path ", ":reason"] {
        cases.push(plus(&[(name, b"200")]));
        cases.push([(name.as_bytes(), &b"websocket"[..])].into_iter().chain(plus(&[])).collect());
    }
    cases.push(with(":method", b"CONNECT", &[]));
    cases.push(vec![(b":method", b"CONNECT"), (b":authority", b"a:443")]);
    cases.push([(&b":protocol"[..], &b"websocket"[..])].into_iter().chain(with(":method", b"CONNECT", &[])).collect());
    cases.push(with(":method", b"TRACE", &[]));
    refused(&cases).await;
}

#[tokio::test]
async fn pseudo_values_are_as_strict_as_a_request_line() {
    let mut cases = Vec::new();
    let paths: [&[u8]; 25] = [
        b"case",
        b"*",
        b"?x",
        b"/a b",
        b" /",
        b"/ ",
        b"/\t",
        b"/\r\n",
        b"/a\r\nx: y",
        b"/\0",
        b"/\x01",
        b"/\x7f",
        b"/\xc3\xa9",
        b"/\xff",
        b"/?\xff",
        b"/\\x",
        b"/%00",
        b"/%2f..",
        b"/%zz",
        b"http://a/",
        b"a:80",
        b"/ HTTP/1.1\r\nhost: b\r\n\r\n",
        b"//a b",
        b"/?a b",
        b"/?a\tb",
    ];
    cases.extend(paths.iter().map(|path| with(":path", path, &[])));
    let methods: [&[u8]; 12] = [
        b"GE T",
        b"GET ",
        b" GET",
        b"G(T",
        b"GET\r\n",
        b"GET\0",
        b"G\"T",
        b"GET /",
        b"GET / HTTP/1.1\r\nhost: b\r\n\r\n",
        b"G\xc3\x89T",
        b"G:T",
        b"\x7f",
    ];
    cases.extend(methods.iter().map(|method| with(":method", method, &[])));
    let schemes: [&[u8]; 12] = [
        b"ftp", b"file", b"http:", b"http://b/", b"javascript", b"ht tp", b"http\r\n", b"http\0", b"1http", b"ws",
        b"http://b/?", b"http\xff",
    ];
    cases.extend(schemes.iter().map(|scheme| with(":scheme", scheme, &[])));
    let authorities: [&[u8]; 26] = [
        b"a b", b"a,b", b"u@a", b"u:p@a", b"@a", b"a@", b"a/b", b"a?b", b"a#b", b"a\\b", b"a:x", b"a:99999",
        b"a:80:80", b":80", b"a\r\n", b"a\0", b"a\r\nx: y", b"\xff", b"a%2eb", b"[::1", b"[x]", b"*", b"a ", b" a",
        b"http://a", b"a..b",
    ];
    cases.extend(authorities.iter().map(|authority| with(":authority", authority, &[])));
    refused(&cases).await;
}

#[tokio::test]
async fn a_fragment_goes_nowhere() {
    // The parser below cuts a fragment off before anybody can see it, so it is either refused or gone: what was matched
    // is forwarded.
    let bench = Bench::with("routes: { admin: { match: { path: { prefix: /admin } }, respond: { status: 203 } }, all: { endpoints: ['{0}'] } }").await;
    for (path, guarded) in [("/case#/admin", false), ("/case?x#y", false), ("/admin#/case", true), ("/#", false)] {
        let mut client = H2::connect(bench.gw.address()).await;
        client.send(headers(1, END_STREAM, &super::frames::get(path))).await;
        let answer = client.answer(1).await;
        assert!(answer.is_refusal() || answer.status == if guarded { 203 } else { 200 }, "{path}: {answer:?}");
    }
    assert!(
        bench.finish().await.iter().all(|arrived| !arrived.head.contains("admin")),
        "nothing behind the mark is forwarded"
    );
}

#[tokio::test]
async fn host_and_authority_agree() {
    refused(&[
        plus(&[("host", b"b")]),
        plus(&[("host", b"a:80")]),
        plus(&[("host", b"")]),
        plus(&[("host", b"a"), ("host", b"a")]),
        plus(&[("host", b"a"), ("host", b"b")]),
        plus(&[("host", b"a, b")]),
        plus(&[("host", b"u@a")]),
        vec![(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/case")],
        vec![(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/case"), (b"host", b"a b")],
        vec![(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/case"), (b"host", b"a"), (b"host", b"b")],
    ])
    .await;
    let bench = Bench::new().await;
    let host_only: Fields<'_> =
        vec![(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/case"), (b"host", b"a")];
    for fields in [plus(&[]), plus(&[("host", b"a")]), plus(&[("host", b"A")]), host_only] {
        let mut client = H2::connect(bench.gw.address()).await;
        client.send(headers(1, END_STREAM, &block(&fields))).await;
        assert_eq!(client.answer(1).await.status, 200);
    }
    for arrived in bench.finish().await {
        assert_eq!(arrived.field("host").to_ascii_lowercase(), "a", "{arrived:#?}");
    }
}

#[tokio::test]
async fn fields_of_a_connection_are_refused() {
    refused(&[
        plus(&[("connection", b"close")]),
        plus(&[("connection", b"keep-alive")]),
        plus(&[("connection", b"upgrade"), ("upgrade", b"websocket")]),
        plus(&[("keep-alive", b"1")]),
        plus(&[("proxy-connection", b"keep-alive")]),
        plus(&[("transfer-encoding", b"chunked")]),
        plus(&[("transfer-encoding", b"identity")]),
        plus(&[("transfer-encoding", b"")]),
        plus(&[("upgrade", b"h2c")]),
        plus(&[("te", b"gzip")]),
        plus(&[("te", b"trailers, gzip")]),
        plus(&[("te", b"chunked")]),
        plus(&[("te", b"")]),
        plus(&[("content-length", b"0"), ("transfer-encoding", b"chunked")]),
        plus(&[("te", b"trailers"), ("te", b"gzip")]),
    ])
    .await;
    let bench = Bench::new().await;
    let mut client = H2::connect(bench.gw.address()).await;
    client.send(headers(1, END_STREAM, &block(&plus(&[("te", b"trailers")])))).await;
    assert_eq!(client.answer(1).await.status, 200, "the one that is allowed");
    drop(client);
    assert_eq!(bench.finish().await.remove(0).field("te"), "trailers");
}

#[tokio::test]
async fn content_length_is_digits_and_equals_the_data() {
    // Length, pieces of data, and whether that agrees.
    let inner = super::bench::SMUGGLED;
    let cases: [(&[&[u8]], &[&[u8]], bool); 22] = [
        (&[b"3"], &[b"abc"], true),
        (&[b"3"], &[b"a", b"", b"bc"], true),
        (&[b"0"], &[b""], true),
        (&[], &[b"abc"], true),
        (&[b"003"], &[b"abc"], true),
        (&[b"4"], &[b"abc"], false),
        (&[b"2"], &[b"abc"], false),
        (&[b"0"], &[b"abc"], false),
        (&[b"0"], &[inner], false),
        (&[b"1"], &[b"a", inner], false),
        (&[b"3"], &[b""], false),
        (&[b"3"], &[b"a", b"b"], false),
        (&[b"3"], &[b"ab", b"cd"], false),
        (&[b"-3"], &[b"abc"], false),
        (&[b"+3"], &[b"abc"], false),
        (&[b"0x3"], &[b"abc"], false),
        (&[b"3, 3"], &[b"abc"], false),
        (&[b"3 "], &[b"abc"], false),
        (&[b""], &[b"abc"], false),
        (&[b"99999999999999999999"], &[b"abc"], false),
        (&[b"3", b"4"], &[b"abc"], false),
        (&[b"9223372036854775808"], &[b"abc"], false),
    ];
    let bench = Bench::new().await;
    for (lengths, pieces, agrees) in cases {
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        let announced = lengths.first().and_then(|length| std::str::from_utf8(length).ok()?.parse::<usize>().ok());
        let path: &[u8] = if agrees {
            b"/agrees"
        } else if announced.is_some_and(|length| length < size) {
            b"/more"
        } else {
            b"/differs"
        };
        let lengths_as_fields: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
        let mut fields = with(":method", b"POST", &lengths_as_fields);
        fields[2].1 = path;
        let mut bytes = headers(1, 0, &block(&fields));
        for (index, piece) in pieces.iter().enumerate() {
            let last = if index + 1 == pieces.len() { END_STREAM } else { 0 };
            bytes.extend(frame(DATA, last, 1, piece));
        }
        let mut client = H2::connect(bench.gw.address()).await;
        client.send(bytes).await;
        let answer = client.answer(1).await;
        let as_expected = if agrees { answer.status == 200 } else { answer.is_refusal() };
        assert!(as_expected, "{lengths:?} {pieces:?}: {answer:?}");
    }
    // A length without any data at all.
    let mut client = H2::connect(bench.gw.address()).await;
    client.send(headers(1, END_STREAM, &block(&with(":method", b"POST", &[("content-length", b"3")])))).await;
    assert!(client.answer(1).await.is_refusal());
    drop(client);
    let arrived = bench.finish().await;
    assert_eq!(
        arrived.iter().filter(|arrived| arrived.target() == "/agrees" && arrived.whole).count(),
        5,
        "{arrived:#?}"
    );
    for arrived in arrived {
        // What comes after the announced length is reset, but nobody can know that before it comes.
        assert!(arrived.target() != "/differs" || !arrived.whole, "{arrived:#?}");
        assert_ne!(arrived.target(), "/smuggled", "no data becomes a request");
    }
}

#[tokio::test]
async fn trailers_are_fields_and_end_the_stream() {
    let bench = Bench::new().await;
    let request = |trailers: &[u8], flags: u8| {
        [
            headers(1, 0, &block(&with(":method", b"POST", &[("trailer", b"x-sum")]))),
            frame(DATA, 0, 1, b"abc"),
            headers(1, flags, trailers),
        ]
        .concat()
    };
    for (trailers, flags) in [
        (block(&[("x-sum", "7")]), 0),
        (block(&[("X-Sum", "7")]), END_STREAM),
        (block(&[("x-sum", "a\r\nb")]), END_STREAM),
        (block(&[("connection", "close")]), END_STREAM),
        (block(&[("transfer-encoding", "chunked")]), END_STREAM),
    ] {
        let mut client = H2::connect(bench.gw.address()).await;
        client.send(request(&trailers, flags)).await;
        let answer = client.answer(1).await;
        assert!(
            matches!(answer.end, End::Reset(PROTOCOL_ERROR) | End::GoAway(PROTOCOL_ERROR)),
            "{trailers:?}: {answer:?}"
        );
    }
    // The parser below drops pseudo-fields of trailers before anybody can see them: refused, or gone.
    for name in [":path", ":status", ":authority"] {
        let mut client = H2::connect(bench.gw.address()).await;
        client.send(request(&block(&[("x-sum", "7"), (name, "/smuggled")]), END_STREAM)).await;
        let answer = client.answer(1).await;
        assert!(answer.is_refusal() || answer.status == 200, "{name}: {answer:?}");
    }
    let mut client = H2::connect(bench.gw.address()).await;
    client
        .send(request(
            &block(&[("x-sum", "7"), ("host", "evil"), ("authorization", "x"), ("content-length", "9")]),
            END_STREAM,
        ))
        .await;
    assert_eq!(client.answer(1).await.status, 200);
    drop(client);
    let arrived = bench.finish().await;
    let whole: Vec<_> = arrived.iter().filter(|arrived| arrived.whole).collect();
    assert!((1..=4).contains(&whole.len()), "{arrived:#?}");
    assert!(whole.iter().all(|arrived| arrived.trailers == "x-sum: 7"), "{whole:#?}");
}
