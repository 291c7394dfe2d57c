//! Who decides about a trace, and what its spans say in the end.

use http::HeaderValue;

use super::*;
use crate::config::model::{Keep, Otlp, OtlpProtocol, Propagation, Scheme, WebUrl};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

fn settings() -> Tracing {
    let url = WebUrl {
        scheme: Scheme::Http,
        host: "127.0.0.1".into(),
        port: 4317,
        authority: HeaderValue::from_static("127.0.0.1:4317"),
        target: http::uri::PathAndQuery::from_static("/"),
    };
    let timeout = Duration::from_secs(1);
    let otlp = Otlp { url, protocol: OtlpProtocol::Grpc, headers: HeaderMap::new(), ca_file: None, timeout };
    Tracing {
        otlp: Some(otlp),
        sampling: Percentage::NONE,
        follow_parent: FollowParent::Always,
        keep: Keep { errors: false, slow: None },
        propagation: vec![Propagation::TraceContext, Propagation::Baggage],
        service_name: "attache".to_owned(),
        attributes: Vec::new(),
    }
}

fn called(flags: &str) -> HeaderMap {
    HeaderMap::from_iter([(super::super::trace::TRACEPARENT, format!("{PARENT}-{flags}").parse().unwrap())])
}

fn begun(settings: &Tracing, fields: &HeaderMap, is_trusted: bool) -> Box<RequestTrace> {
    Rc::new(Tracer::new(Arc::new(settings.clone()))).begin(fields, is_trusted, &mut Rng::with_seed(1))
}

fn served(started: Instant, took: Duration) -> Served {
    Served {
        name: "GET /".into(),
        attributes: Attributes::default(),
        failure: None,
        time: Duration::from_secs(1000),
        started,
        ended: started + took,
        first_event: None,
    }
}

#[tokio::test]
async fn who_decides_and_what_is_kept_in_the_end() {
    use FollowParent::{Always, Never, Trusted};
    use RouteTracing::{Default, Off, Share};
    let all = Percentage::ALL;
    let of = |follow_parent, sampling, keep| Tracing { follow_parent, sampling, keep, ..settings() };
    let (nothing, errors) = (Keep { errors: false, slow: None }, Keep { errors: true, slow: None });
    let slow = Keep { errors: false, slow: Some(Duration::from_secs(2)) };
    let (quick, long) = (Duration::from_secs(1), Duration::from_secs(2));
    for (settings, caller, is_trusted, route, failed, took, sampled, kept, why) in [
        (of(Always, all, nothing), None, false, Default, false, quick, true, true, "the share"),
        (of(Always, Percentage::NONE, nothing), None, false, Default, true, long, false, false, "the share"),
        (of(Always, Percentage::NONE, nothing), None, false, Share(all), false, quick, true, true, "the route's share"),
        (of(Always, all, nothing), None, false, Share(Percentage::NONE), false, quick, false, false, "the route's"),
        (of(Always, Percentage::NONE, nothing), Some("01"), false, Default, false, quick, true, true, "the caller"),
        (of(Always, all, nothing), Some("00"), false, Default, false, quick, false, false, "the caller"),
        (of(Always, all, nothing), Some("00"), false, Share(all), false, quick, false, false, "the caller's first"),
        (of(Trusted, all, nothing), Some("00"), false, Default, false, quick, true, true, "a stranger"),
        (of(Trusted, all, nothing), Some("00"), true, Default, false, quick, false, false, "a proxy of ours"),
        (of(Never, all, nothing), Some("00"), true, Default, false, quick, true, true, "nobody"),
        (of(Always, Percentage::NONE, errors), None, false, Default, true, quick, false, true, "it failed"),
        (of(Always, Percentage::NONE, errors), None, false, Default, false, long, false, false, "it did not"),
        (of(Always, all, errors), Some("00"), false, Default, true, quick, false, true, "it failed, whoever decided"),
        (of(Always, Percentage::NONE, slow), None, false, Default, false, long, false, true, "it was slow"),
        (of(Always, Percentage::NONE, slow), None, false, Default, true, quick, false, false, "it was not"),
        (of(Always, all, errors), None, false, Off, true, long, false, false, "the route is off"),
        (of(Always, all, errors), Some("01"), false, Off, true, long, true, false, "off, and the caller's word passes"),
    ] {
        let fields = caller.map(called).unwrap_or_default();
        let mut trace = begun(&settings, &fields, is_trusted);
        trace.decide(route);
        let mut sent = fields.clone();
        trace.write(&mut sent);
        let flags = &sent["traceparent"].as_bytes()[53..];
        assert_eq!(flags == b"01", sampled, "{why}: {settings:?}");
        assert_eq!(trace.is_kept(failed, took), kept, "{why}: {settings:?}");
    }
    let nowhere = Tracing { otlp: None, sampling: all, ..settings() };
    assert!(!begun(&nowhere, &HeaderMap::new(), false).is_kept(true, long), "without a collector");
}

#[test]
fn shares_are_kept_and_nested() {
    let mut rng = Rng::with_seed(7);
    let traces: Vec<_> = (0..100_000).map(|_| TraceContext::generate(&mut rng).trace_id()).collect();
    let is_in = |id: &TraceId, share| is_within(id.random_part(), Percentage::millionths(share));
    let within = |share: u32| traces.iter().filter(|id| is_in(id, share)).count();
    assert_eq!((within(0), within(1_000_000)), (0, traces.len()));
    let tenth = within(100_000);
    assert!((9_500..10_500).contains(&tenth), "{tenth}");
    let is_lost = |id: &&TraceId| is_in(id, 100_000) && !is_in(id, 200_000);
    assert_eq!(traces.iter().filter(is_lost).count(), 0, "a larger share has all of a smaller one");
}

/// A stranger that chose its trace ids would be sampled always, or never.
#[test]
fn the_trace_id_of_a_stranger_does_not_choose() {
    use FollowParent::{Always, Never, Trusted};
    const REQUESTS: usize = 10_000;
    let (high, low) = ("f".repeat(32), format!("{:032x}", 1));
    for (follow_parent, is_trusted, trace_id, share, expected, why) in [
        (Never, true, &high, 10_000, 50..200, "nobody is believed"),
        (Never, true, &low, 990_000, 9_800..9_950, "nobody is believed"),
        (Trusted, false, &high, 10_000, 50..200, "a stranger"),
        (Trusted, false, &low, 500_000, 4_800..5_200, "a stranger"),
        (Trusted, true, &high, 10_000, REQUESTS..REQUESTS + 1, "a proxy of ours leaves it to the share"),
        (Trusted, true, &low, 990_000, 0..1, "a proxy of ours leaves it to the share"),
        (Always, false, &high, 10_000, REQUESTS..REQUESTS + 1, "everybody is believed"),
        (Never, false, &String::new(), 250_000, 2_300..2_700, "it begins here"),
        (Always, false, &String::new(), 10_000, 50..200, "it begins here"),
    ] {
        let sampling = Percentage::millionths(share);
        // Of these forms B3 is the one that can leave the decision to us.
        let propagation = vec![Propagation::B3];
        let tracer = Rc::new(Tracer::new(Arc::new(Tracing { follow_parent, sampling, propagation, ..settings() })));
        let caller = format!("{trace_id}-00f067aa0ba902b7").parse().unwrap();
        let fields = HeaderMap::from_iter([(http::HeaderName::from_static("b3"), caller)]);
        let mut rng = Rng::with_seed(3);
        let is_sampled = |_: &usize| {
            let mut trace = tracer.begin(&fields, is_trusted, &mut rng);
            trace.decide(RouteTracing::Default);
            assert_eq!(trace.parent.is_some(), !trace_id.is_empty());
            trace.context.sampled()
        };
        let sampled = (0..REQUESTS).filter(is_sampled).count();
        assert!(expected.contains(&sampled), "{why}: {sampled} of {trace_id} at {sampling:?}");
    }
}

/// What came beside B3 is another trace's.
#[test]
fn a_tracestate_goes_on_only_with_its_traceparent() {
    use Propagation::{B3, TraceContext};
    let b3 = format!("{}-1", PARENT.strip_prefix("00-").unwrap());
    for (forms, expected) in [
        (vec![TraceContext, B3], Some("a=1")),
        (vec![B3, TraceContext], None),
        // Without the form the field is not ours to touch.
        (vec![B3], Some("a=1")),
    ] {
        let mut fields = called("01");
        fields.insert("tracestate", HeaderValue::from_static("a=1"));
        fields.insert("b3", b3.parse().unwrap());
        let settings = Tracing { propagation: forms, ..settings() };
        let mut trace = begun(&settings, &fields, false);
        trace.decide(RouteTracing::Default);
        trace.write(&mut fields);
        let state = fields.get("tracestate").map(|state| state.to_str().unwrap());
        assert_eq!(state, expected, "{:?}", settings.propagation);
    }
}

/// They wait for the exporter by the thousand.
#[test]
fn texts_of_clients_are_cut_in_spans_of_tries() {
    let mut trace = begun(&Tracing { sampling: Percentage::ALL, ..settings() }, &HeaderMap::new(), false);
    trace.decide(RouteTracing::Default);
    let long = "x".repeat(30_000);
    let facts = TryFacts {
        address: "10.0.0.1:8080".parse().unwrap(),
        name: "agent:8080",
        cluster: "research",
        method: &Method::from_bytes(long.as_bytes()).unwrap(),
        target: &format!("/{long}?{long}=1").parse().unwrap(),
        is_secure: false,
    };
    trace.begin_try(facts, &mut HeaderMap::new(), &mut Rng::with_seed(1));
    trace.failed("reset", Some(long.as_str().into()));
    let spans = trace.into_spans(served(Instant::now(), Duration::ZERO));
    let lengths = spans[1].attributes.iter().filter_map(|(name, value)| match value {
        crate::observe::span::Value::Text(text) => Some((*name, text.len())),
        _ => None,
    });
    let lengths: std::collections::HashMap<_, _> = lengths.collect();
    assert_eq!((lengths["http.request.method_original"], lengths["url.full"]), (NAME, PATH), "{lengths:?}");
    assert_eq!(spans[1].failure.as_ref().map(|why| why.len()), Some(PATH));
}

#[tokio::test(start_paused = true)]
async fn each_try_has_a_span_and_passes_it_on() {
    let settings = Tracing { sampling: Percentage::ALL, ..settings() };
    let started = Instant::now();
    let mut trace = begun(&settings, &called("01"), false);
    trace.decide(RouteTracing::Default);
    let target = Uri::from_static("/a?token=secret");
    let facts = TryFacts {
        address: "10.0.0.1:8080".parse().unwrap(),
        name: "agent:8080",
        cluster: "research",
        method: &Method::POST,
        target: &target,
        is_secure: true,
    };
    let mut rng = Rng::with_seed(2);
    let (mut first, mut second) = (HeaderMap::new(), HeaderMap::new());
    trace.begin_try(facts, &mut first, &mut rng);
    trace.failed("connect_failed", Some("refused".into()));
    trace.ejected("consecutive_5xx");
    trace.retries("connect_failed", Duration::from_millis(25));
    tokio::time::advance(Duration::from_secs(1)).await;
    trace.begin_try(facts, &mut second, &mut rng);
    trace.answered(StatusCode::OK, Instant::now());
    let own = trace.span_id();
    let spans = trace.into_spans(served(started, Duration::from_secs(3)));
    let [server, one, other] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(server.parent.map(|id| id.to_string()).as_deref(), Some("00f067aa0ba902b7"));
    assert_eq!((server.began, server.ended), (Duration::from_secs(1000), Duration::from_secs(1003)));
    assert_eq!(server.events.iter().map(|event| event.name).collect::<Vec<_>>(), ["retry"]);
    for (span, sent) in [(one, &first), (other, &second)] {
        assert_eq!((span.parent, span.side), (Some(own), Side::Client));
        let expected = format!("00-{}-{}-01", span.context.trace_id(), span.context.span_id());
        assert_eq!(sent["traceparent"], *expected, "what the endpoint got");
    }
    assert_eq!((one.failure.as_deref(), one.ended), (Some("refused"), Duration::from_secs(1000)));
    assert_eq!(one.events[0].name, "endpoint_ejected");
    assert_eq!((other.failure.as_deref(), other.began), (None, Duration::from_secs(1001)));
    assert_eq!(other.ended, Duration::from_secs(1003), "to the end of the body");
    let value = |span: &Span, name: &str| span.attributes.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone());
    assert_eq!(value(one, "url.full"), Some("https://agent:8080/a?token=*".to_owned().into()));
    assert_eq!(value(one, "error.type"), Some("connect_failed".into()));
    assert_eq!(value(other, "http.request.resend_count"), Some(1_u32.into()));
    assert_eq!(value(other, "server.port"), Some(8080_u16.into()));
}

#[tokio::test]
async fn tries_are_bounded() {
    let mut trace = begun(&Tracing { sampling: Percentage::ALL, ..settings() }, &HeaderMap::new(), false);
    trace.decide(RouteTracing::Default);
    let facts = TryFacts {
        address: "10.0.0.1:8080".parse().unwrap(),
        name: "agent",
        cluster: "research",
        method: &Method::GET,
        target: &Uri::from_static("/"),
        is_secure: false,
    };
    for _ in 0..1000 {
        trace.begin_try(facts, &mut HeaderMap::new(), &mut Rng::with_seed(1));
        trace.retries("reset", Duration::ZERO);
    }
    let spans = trace.into_spans(served(Instant::now(), Duration::ZERO));
    assert_eq!((spans.len(), spans[0].events.len()), (1 + MAX_TRIES, MAX_EVENTS));
}
