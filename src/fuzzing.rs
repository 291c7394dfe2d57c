//! Entry points of the fuzz targets in `fuzz/` and of tests/fuzz.rs: one function for each parser of bytes that come
//! from a peer or a file. Each calls its parser and asserts what must hold for any bytes. Nothing else uses this.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{COOKIE, HeaderName, HeaderValue};

use crate::a2a::wire::Framed;
use crate::a2a::{
    AnswerReader, Body, BodyReader, EventReader, Fault, Generation, GrpcAnswerReader, GrpcRequestReader, Ids,
    Operation, card, wire,
};
use crate::body::events;
use crate::cluster::health;
use crate::config::model::PathPolicy;
use crate::config::{self, Environment};
use crate::context::ScannerRefusal;
use crate::edge::claimed::Claimed;
use crate::edge::headers;
use crate::head::{cookie, only_cookie};
use crate::jose::{Algorithm, ClaimRules, KeySet, MAX_KEYS, Token, TokenFault};
use crate::listener::frames::{Frames, Traffic};
use crate::listener::is_valid_host;
use crate::listener::proxy_protocol;
use crate::listener::scan::{Next, Phase, ScanLimits, Scanner};
use crate::migrate;
use crate::observe::trace::TraceContext;
use crate::pem;
use crate::pool::scan::HeadScan;
use crate::route::{host_of, normalise};

/// What a target does with some bytes.
pub type Target = fn(&[u8]);

/// Every target with the name of its program in `fuzz/fuzz_targets` and of its folder in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("a2a_events", a2a_events),
    ("a2a_grpc", a2a_grpc),
    ("a2a_json", a2a_json),
    ("agent_card", agent_card),
    ("agent_card_grpc", agent_card_grpc),
    ("agent_card_map", agent_card_map),
    ("configuration", configuration),
    ("cookies", cookies),
    ("events", events),
    ("forwarded", forwarded),
    ("frames", frames),
    ("grpc_health", grpc_health),
    ("host", host),
    ("key_sets", key_sets),
    ("migrate", migrate),
    ("path", path),
    ("pem", pem),
    ("proxy_protocol", proxy_protocol),
    ("request_heads", request_heads),
    ("response_heads", response_heads),
    ("tokens", tokens),
    ("traceparent", traceparent),
];

/// The body of a JSON-RPC call: it is JSON when another parser says so too, and what it says is the same for every
/// splitting.
pub fn a2a_json(bytes: &[u8]) {
    let whole = json_call([bytes]);
    assert_eq!(json_call(bytes.chunks(piece(bytes))), whole, "the splitting of the bytes must not matter");
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    assert!(is_json || whole.is_err(), "what is read is JSON");
    // What is kept must be text, which the other parser does not ask for.
    let is_text = std::str::from_utf8(bytes).is_ok();
    assert!(!is_json || !is_text || whole != Err(Fault::Malformed), "JSON is read");
}

/// Method, id, ids of two shapes, and whether there is doubt.
type Said = (Option<String>, Option<String>, [String; 2], [bool; 3]);

fn json_call<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Said, Fault> {
    let mut reader = BodyReader::json_rpc();
    pieces.into_iter().try_for_each(|piece| reader.feed(piece))?;
    reader.finish().map(|body| said(&body))
}

fn said(body: &Body) -> Said {
    let text = |ids: Ids<'_>| format!("{ids:?}");
    let older = body.ids(Operation::GetTaskPushNotificationConfig, Generation::V0_3);
    let ids = [text(body.ids(Operation::SendMessage, Generation::V1_0)), text(older)];
    let doubt = [body.is_batch(), body.is_ambiguous(), body.is_incomplete()];
    assert!(body.push_urls().chain(body.file_urls()).all(|url| url.len() <= 512), "what is kept is bounded");
    (body.method().map(str::to_owned), body.id().map(str::to_owned), ids, doubt)
}

/// A stream of A2A events: what each says is the same for every splitting, and they end where events end.
pub fn a2a_events(bytes: &[u8]) {
    let read = |size: usize| {
        let mut reader = EventReader::new(AnswerReader::json_rpc());
        let (mut found, mut before) = (Vec::new(), 0);
        for piece in bytes.chunks(size) {
            let mut rest = piece;
            while let Some(end) = reader.read(rest) {
                let event = reader.event();
                let said = event.answer.map(|answer| {
                    let phase = (answer.state(), answer.is_final(), answer.error());
                    let doubt = (answer.is_ambiguous(), answer.is_incomplete());
                    format!("{:?} {:?} {:?} {phase:?} {doubt:?}", answer.kind(), answer.task(), answer.context())
                });
                found.push((before + piece.len() - rest.len() + end, said, event.has_data, event.is_error));
                rest = rest.get(end..).unwrap_or_default();
            }
            before += piece.len();
        }
        found
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(read(piece(bytes)), whole, "the splitting of the bytes must not matter");
    let found: Vec<usize> = whole.into_iter().map(|(end, ..)| end).collect();
    assert_eq!(found, ends(events::Events::Lines, [bytes]), "ends are where the other scanner finds them");
}

/// Messages of A2A over gRPC, taken for requests and for answers: the same for every splitting.
pub fn a2a_grpc(bytes: &[u8]) {
    let operations = Operation::ALL.into_iter().filter(|operation| *operation != Operation::GetAgentCard);
    for operation in operations {
        for generation in [Generation::V0_3, Generation::V1_0] {
            let request = |size: usize| {
                let mut reader = GrpcRequestReader::new(operation, generation);
                let whole = bytes.chunks(size).filter(|piece| reader.read(piece)).count();
                (whole, reader.body().as_ref().map(said))
            };
            let whole = request(bytes.len().max(1));
            assert_eq!(request(piece(bytes)), whole, "the splitting of the bytes must not matter");
            assert!(whole.0 <= 1, "a request has one message");
        }
        let answers = |size: usize| {
            let (mut reader, mut found) = (GrpcAnswerReader::new(operation), Vec::new());
            for piece in bytes.chunks(size) {
                let mut rest = piece;
                while let Some(end) = reader.read(rest) {
                    found.push(reader.answer().map(|answer| format!("{answer:?}")));
                    rest = rest.get(end..).unwrap_or_default();
                }
            }
            found
        };
        assert_eq!(answers(piece(bytes)), answers(bytes.len().max(1)), "the splitting of the bytes must not matter");
    }
}

/// Raw HTTP/1 requests: the scanner finds the same for every splitting of the bytes.
pub fn request_heads(bytes: &[u8]) {
    let whole = scan([bytes]);
    assert_eq!(scan(bytes.chunks(piece(bytes))), whole, "the splitting of the bytes must not matter");
    assert!(whole.kept.len() <= bytes.len(), "the scanner must not make bytes up");
}

#[derive(Debug, PartialEq, Eq)]
struct ScanResult {
    kept: Vec<u8>,
    next: Next,
    phase: Phase,
    requests: u64,
    verdict: Option<ScannerRefusal>,
}

fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> ScanResult {
    let mut scanner = Scanner::new(ScanLimits { head: 4096, target: 1024 });
    let (mut kept, mut next) = (Vec::new(), Next::More);
    for piece in pieces {
        let scanned = scanner.scan(piece);
        kept.extend_from_slice(piece.get(..scanned.keep).unwrap_or_default());
        next = scanned.next;
        if next != Next::More {
            break;
        }
    }
    ScanResult { kept, next, phase: scanner.phase(), requests: scanner.requests(), verdict: scanner.verdict() }
}

/// Raw HTTP/1 response heads of agents: the same for every splitting, also for what the parser gets of them.
pub fn response_heads(bytes: &[u8]) {
    let scan = |size: usize| {
        let scan = HeadScan::default();
        scan.expect();
        let (mut read, mut fields) = (Vec::new(), HeaderMap::new());
        let is_sound = bytes.chunks(size).all(|chunk| {
            let seen = if scan.is_awaiting() { scan.accepts(chunk) } else { Some(chunk.len()) };
            read.extend_from_slice(seen.and_then(|seen| chunk.get(..seen)).unwrap_or_default());
            scan.give(&mut read);
            seen.is_some()
        });
        scan.complete(&mut fields);
        (is_sound, scan.is_awaiting(), is_sound.then_some((read, fields)))
    };
    assert_eq!(scan(piece(bytes)), scan(bytes.len().max(1)), "the splitting of the bytes must not matter");
}

/// Frames of HTTP/2: a flood ends inside the bytes.
pub fn frames(bytes: &[u8]) {
    let mut frames = Frames::default();
    for piece in bytes.chunks(piece(bytes)) {
        match frames.look(piece, 0) {
            Traffic::Fine => {}
            Traffic::Flood(end) => {
                assert!(end <= piece.len(), "a flood ends inside the bytes");
                return;
            }
            Traffic::Broken => return,
        }
    }
}

/// A PROXY header of version 1 or 2.
pub fn proxy_protocol(bytes: &[u8]) {
    if let Ok(Some(proxied)) = proxy_protocol::decode(bytes) {
        assert_eq!(proxied.source.is_ipv4(), proxied.destination.is_ipv4(), "one family in one header");
    }
}

/// A configuration: it is loaded, or its mistakes are reported in every form.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let environment = || Environment::empty(SystemTime::UNIX_EPOCH).with_root("/nonexistent").without_certificates();
    match config::parse(text, "fuzz.yaml", &environment()) {
        Ok(_) => {
            let shown = config::show_text(text, "fuzz.yaml", &environment(), true);
            assert!(shown.is_ok(), "what loads can be shown");
        }
        Err(report) => {
            assert!(report.errors() > 0, "a refused configuration has an error");
            assert!(!report.human(false).is_empty() && !report.json().is_empty() && !report.github().is_empty());
        }
    }
}

/// A path: the first byte chooses the policy. The canonical form is its own canonical form.
pub fn path(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    let policy = PathPolicy { merge_slashes: choice & 1 == 0, allow_encoded_slash: choice & 2 == 0 };
    let Ok(path) = std::str::from_utf8(rest) else {
        return;
    };
    if let Ok(once) = normalise(path, policy) {
        assert!(once.starts_with('/'), "{path:?} became {once:?}");
        assert!(!once.split('/').any(|segment| segment == "." || segment == ".."), "{path:?} became {once:?}");
        assert_eq!(normalise(&once, policy).as_deref(), Ok(&*once), "{path:?}");
    }
}

/// The host of a request: the canonical form is its own canonical form, and the listener's check agrees.
pub fn host(bytes: &[u8]) {
    let is_valid = is_valid_host(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert!(!is_valid, "a host is ASCII");
        return;
    };
    if let Ok(host) = host_of(text) {
        assert_eq!(host_of(&host).as_deref(), Ok(&*host), "{text:?}");
        assert!(is_valid, "{text:?} passes the edge and not the listener");
    }
}

/// Forwarding headers, one on each line: the first byte of a line chooses the header.
pub fn forwarded(bytes: &[u8]) {
    let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix"];
    let mut fields = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(100) {
        let Some((choice, value)) = line.split_first() else {
            continue;
        };
        let name = names.get(usize::from(*choice) % names.len()).copied().unwrap_or("forwarded");
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.append(HeaderName::from_static(name), value);
        }
    }
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let is_trusted = |address: IpAddr| matches!(address, IpAddr::V4(address) if address.octets().starts_with(&[10]));
    let client = headers::client_ip(&fields, peer, is_trusted);
    assert!(client == peer || fields.contains_key("x-forwarded-for"), "an address comes from somewhere");
    assert_eq!(headers::client_ip(&fields, peer, |_| false), peer, "an untrusted peer speaks for itself");
    drop(Claimed::read(&fields, || headers::hops(&fields, peer, is_trusted)));
}

/// Cookie fields, one on each line.
pub fn cookies(bytes: &[u8]) {
    let mut fields = HeaderMap::new();
    let values = bytes.split(|byte| *byte == b'\n').take(100).filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.for_each(|value| {
        fields.append(COOKIE, value);
    });
    for name in [&b"a"[..], b"session"] {
        let only = only_cookie(&fields, name);
        assert!(only.is_none() || only == cookie(&fields, name), "the only cookie is the first");
    }
    assert!(fields.contains_key(COOKIE) || cookie(&fields, b"a").is_none());
}

/// An agent card.
pub fn agent_card(bytes: &[u8]) {
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    assert!(is_json || !health::is_card(bytes), "a card is JSON");
}

/// The mapping of an agent card: what comes out is JSON where JSON went in, and a second mapping changes nothing.
pub fn agent_card_map(bytes: &[u8]) {
    for place in [card::Place::Whole, card::Place::Result] {
        if let Some(once) = mapped_once(bytes, place) {
            assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&once).is_ok(), "a card stays JSON");
        }
    }
}

/// The mapping of an agent card that comes over gRPC, with its frame and without: a second mapping changes nothing.
pub fn agent_card_grpc(bytes: &[u8]) {
    let (message, rest) = match wire::in_frame(bytes) {
        Framed::Whole(message, rest) => (message, rest),
        Framed::Begun { length } => {
            assert!(length.is_none_or(|length| length > bytes.len() - 5), "what has come is no message yet");
            (bytes, &[][..])
        }
        Framed::Compressed | Framed::Other => (bytes, &[][..]),
    };
    for generation in [Generation::V0_3, Generation::V1_0] {
        if let Some(once) = mapped_once(message, card::Place::Message(generation)) {
            let framed = wire::framed(&once, rest);
            assert_eq!(wire::in_frame(&framed), Framed::Whole(&once, rest), "what is framed is found");
        }
    }
}

/// A card with its URLs mapped and its signatures taken out, if it changes: then another mapping does not change it,
/// and every URL in it was there before or is the gateway's.
fn mapped_once(bytes: &[u8], place: card::Place) -> Option<Vec<u8>> {
    let map = |bytes: &[u8]| {
        let mut urls = Vec::new();
        let mapping = card::map(bytes, place, card::SignedCards::Strip, |transport, url| {
            urls.push(url.to_owned());
            match (url.strip_prefix("http://inner"), transport) {
                (Some(path), _) => card::Verdict::Mapped(format!("https://out{path}")),
                (None, _) if url.starts_with("https://out") => card::Verdict::Public,
                (None, card::Transport::Grpc) => card::Verdict::NotServed,
                (None, card::Transport::Http) if url.starts_with("http://10.") => card::Verdict::UnknownPath,
                (None, card::Transport::Http) => card::Verdict::UnknownHost,
            }
        });
        mapping.ok().map(|mapping| (mapping, urls))
    };
    let (mapping, before) = map(bytes)?;
    let card::Outcome::Changed(once) = mapping.outcome else { return None };
    assert!(mapping.mapped > 0 || mapping.dropped > 0, "a card changes for a reason");
    let (again, after) = map(&once).unwrap_or_default();
    assert!(!after.is_empty() || mapping.dropped > 0, "a card stays one");
    assert_eq!(again.outcome, card::Outcome::Unchanged, "a second mapping changes nothing");
    assert!(after.iter().all(|url| url.starts_with("https://out") || before.contains(url)), "no URL is made up");
    Some(once)
}

/// An answer of the gRPC health service.
pub fn grpc_health(bytes: &[u8]) {
    assert!(bytes.len() >= 5 || health::grpc_status(bytes).is_none(), "a message has a prefix of five bytes");
}

/// Event streams and gRPC messages: the ends of events are the same for every splitting.
pub fn events(bytes: &[u8]) {
    for kind in [events::Events::Lines, events::Events::Messages] {
        let whole = ends(kind, [bytes]);
        assert_eq!(ends(kind, bytes.chunks(piece(bytes))), whole, "the splitting of the bytes must not matter");
        assert!(whole.is_sorted() && whole.iter().all(|end| *end <= bytes.len()), "ends are in order");
    }
}

fn ends<'a>(kind: events::Events, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<usize> {
    let mut scanner = events::Scanner::new(kind);
    let (mut found, mut before) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece;
        while let Some(end) = scanner.end(rest) {
            found.push(before + piece.len() - rest.len() + end);
            rest = rest.get(end..).unwrap_or_default();
        }
        before += piece.len();
    }
    found
}

/// A `traceparent`: what is read is written the same.
pub fn traceparent(bytes: &[u8]) {
    if let Some(context) = TraceContext::parse(bytes) {
        assert_eq!(TraceContext::parse(&context.to_bytes()), Some(context));
    }
}

/// Certificates and keys.
pub fn pem(bytes: &[u8]) {
    drop((pem::certificates(bytes), pem::private_key(bytes)));
}

/// Signed tokens: as they are, or a head and claims with a line feed between them. None counts but the one that was
/// signed.
pub fn tokens(bytes: &[u8]) {
    const SIGNED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSJ9.\
        eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjpbImFnZW50cyJdLCJzdWIiOiJhbm4i\
        LCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6MSwicm9sZXMiOlsiYSIsImIiXX0.\
        vkrGc1N_84SxPKwY5jVdnBiUIWhmKhTFNMMaFImVAqc";
    let rules = ClaimRules {
        issuer: Some("https://login.example/".into()),
        audiences: vec!["agents".into()],
        clock_skew: Duration::from_secs(60),
        subject: "sub".into(),
    };
    let keys = KeySet::secret(&[b'k'; 32], &[Algorithm::Hs256]);
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (head, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let composed = format!("{}.{}.{}", encode(head), encode(claims), encode(b"no signature"));
    for text in [&*String::from_utf8_lossy(bytes), &composed] {
        let Ok(token) = Token::read(text) else { continue };
        let is_signed = keys.as_ref().is_ok_and(|keys| keys.verify(&token).is_ok());
        assert_eq!(is_signed, text == SIGNED, "one text is signed, and in one spelling");
        for now in [Duration::ZERO, Duration::from_secs(1_800_000_000), Duration::MAX] {
            if let Ok(claims) = rules.read(&token, now) {
                assert!(now < claims.end && !claims.subject.chars().any(char::is_control));
            }
        }
    }
}

/// A set of keys as an issuer publishes it. No secret is among them.
pub fn key_sets(bytes: &[u8]) {
    let Ok(keys) = KeySet::read(bytes, &Algorithm::ALL) else { return };
    assert!((1..=MAX_KEYS).contains(&keys.len()), "there is one, and not more than allowed");
    let of_secret = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256"}"#));
    let token = Token::read(&of_secret);
    assert!(
        token.is_ok_and(|token| keys.verify(&token) == Err(TokenFault::UnknownKey)),
        "what is published is no secret"
    );
}

/// The configuration of another program, its kind by the first byte: what comes of it is taken by our own reader, and
/// holds every note.
pub fn migrate(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let kinds = migrate::Kind::ALL;
    let Some(kind) = kinds.get(usize::from(*first) % kinds.len()) else { return };
    let Ok(migrated) = migrate::migrate(*kind, text, "x") else { return };
    let environment = Environment::empty(SystemTime::UNIX_EPOCH).without_certificates();
    let loaded = config::parse(&migrated.yaml, "attache.yaml", &environment);
    assert!(loaded.is_ok(), "{}", loaded.err().map(|report| report.human(false)).unwrap_or_default());
    assert!(migrated.yaml.lines().count() >= migrated.notes.len(), "a note is a line at least");
}

/// How large the pieces are in which the bytes come.
fn piece(bytes: &[u8]) -> usize {
    usize::from(bytes.last().copied().unwrap_or_default() % 16) + 1
}
