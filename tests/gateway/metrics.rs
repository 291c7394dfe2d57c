//! What `/metrics` shows: every series of a gateway that has done a bit of everything, and the series of what comes and
//! goes.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write;
use std::net::IpAddr;

use http::{HeaderMap, Response};

use crate::support::{
    Backend, Gw, NameServer, Place, RawBackend, Says, Speak, Sse, empty, eventually, full, post, refusing, request,
    with_field, with_trailers,
};

/// A gateway that has most of what is counted.
const EVERYTHING: &str = "
    rateLimits: { edge: { rate: 1/hour, burst: 1 } }
    routes:
      plain: { cluster: main, match: { path: { prefix: /plain } } }
      mirrored: { cluster: main, match: { path: { prefix: /mirrored } }, mirror: { cluster: shadow, timeout: 20s } }
      faulty:
        cluster: main
        match: { path: { prefix: /faulty } }
        fault: { abort: { percentage: 100%, httpStatus: 503 } }
      limited: { cluster: main, match: { path: { prefix: /limited } }, rateLimit: edge, maxConcurrentPerClient: 9 }
      events: { cluster: events, match: { path: { prefix: /events } } }
      dead: { cluster: dead, match: { path: { prefix: /dead } } }
      own: { respond: { status: 204 }, match: { path: { prefix: /own } } }
      divided:
        match: { path: { prefix: /divided } }
        split: [{ cluster: main, weight: 100 }, { cluster: shadow, weight: 0 }]
        rollout: { canary: shadow, steps: [{ setWeight: 100 }, { pause: {} }] }
    clusters:
      main:
        endpoints: ['{0}']
        healthCheck: { path: /health, interval: 1h }
        circuitBreaker: { halfOpen: { failureThreshold: 9 } }
      shadow: { endpoints: ['{0}'] }
      events: { endpoints: ['{1}'] }
      dead: { endpoints: ['{2}'] }
";

/// The text of a scrape without values, the figures of the process and what differs from run to run.
fn shape(scrape: &str, places: &[(String, &str)]) -> BTreeSet<String> {
    let lines = scrape.lines().filter(|line| !line.contains("process_"));
    lines
        .map(|line| {
            let line = if line.starts_with('#') {
                line.to_owned()
            } else {
                line.rsplit_once(' ').expect("a value").0.to_owned()
            };
            let line = places.iter().fold(line, |line, (place, word)| line.replace(place, word));
            match line.split_once("{hash=\"") {
                Some((name, _)) => format!("{name}{{hash=*}}"),
                None => line,
            }
        })
        .collect()
}

#[tokio::test]
async fn a_scrape_has_the_series_it_always_had() {
    let (backend, sse, dead) = (Backend::replying(200).await, Sse::new().await, refusing());
    let gw = Gw::with(EVERYTHING, &[&backend, &sse, &dead]).await;
    for path in ["/plain", "/mirrored", "/faulty", "/limited", "/limited", "/dead", "/own", "/divided", "/nowhere"] {
        gw.get(path).await;
    }
    gw.send(post("/plain", "12345")).await;
    let mut client = gw.h1().await;
    let open = client.send(request("GET", "/events", empty())).await.unwrap();
    let stream = sse.stream().await;
    stream.event("one").await;
    let mut raw = gw.raw().await;
    raw.write("not http at all\r\n\r\n").await;
    raw.rest().await;
    eventually("all of it is counted", || async {
        gw.metric("attache_malformed_requests_total", &[]).await == 1.0
            && gw.metric("attache_mirrors_total", &[("result", "answered")]).await == 1.0
            && gw.metric("attache_streams_open", &[]).await == 1.0
            && gw.metric("attache_health_checks_total", &[("result", "ok")]).await == 1.0
            && gw.metric("attache_endpoints_usable", &[("cluster", "dead")]).await == 1.0
            && gw.metric("attache_rate_limit_clients", &[("limit", "edge")]).await == 1.0
            && gw.metric("attache_connections_total", &[]).await > 10.0
    })
    .await;
    let places = [(backend.place(), "MAIN"), (sse.backend().place(), "EVENTS"), (dead.place(), "DEAD")];
    let shown = shape(&gw.metrics().await, &places);
    drop((open, stream));
    let mut text = String::new();
    for line in &shown {
        writeln!(text, "{line}").unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/metrics.txt");
    if env::var_os("ATTACHE_UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    let known: BTreeSet<&str> = expected.lines().collect();
    let gone: Vec<_> = known.iter().filter(|line| !shown.contains(**line)).collect();
    let new: Vec<_> = shown.iter().filter(|line| !known.contains(&***line)).collect();
    assert!(gone.is_empty() && new.is_empty(), "no longer shown: {gone:#?}\nnew: {new:#?}");
}

const POOL: &str = "
    routes: { all: { cluster: pool, retries: { attempts: 1, retryOn: [5xx, connect-failure], backoff: { base: 1ms, max: 1ms } } } }
    clusters: { pool: { endpoints: ['{0}', '{1}'], loadBalancer: round-robin, outlierDetection: off } }
";

/// Tries at one endpoint that ended so.
async fn tries(gw: &Gw, endpoint: &dyn Place, class: &str) -> f64 {
    let labels = [("endpoint", &*endpoint.place()), ("code_class", class)];
    gw.metric("attache_endpoint_requests_total", &labels).await
}

#[tokio::test]
async fn each_try_is_counted_once_for_its_endpoint() {
    let (good, bad) = (Backend::replying(200).await, Backend::replying(503).await);
    let gw = Gw::with(POOL, &[&good, &bad]).await;
    for _ in 0..10 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    gw.records(10).await;
    let failed = bad.hits() as f64;
    assert!(failed > 0.0, "some were tried again");
    assert_eq!((tries(&gw, &good, "2xx").await, tries(&gw, &good, "5xx").await), (10.0, 0.0));
    assert_eq!((tries(&gw, &bad, "2xx").await, tries(&gw, &bad, "5xx").await), (0.0, failed));
    let all = gw.metric("attache_endpoint_requests_total", &[("cluster", "pool")]).await;
    assert_eq!(all, gw.metric("attache_attempts_total", &[("cluster", "pool")]).await);
    let place = good.place();
    let timed = gw.metric("attache_endpoint_response_seconds_count", &[("endpoint", &place)]).await;
    assert_eq!(timed, 10.0);
}

#[tokio::test]
async fn a_try_that_reaches_nobody_failed_and_has_no_time() {
    let dead = refusing();
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], retries: off } }", &[&dead]).await;
    assert_eq!(gw.get("/").await.reason(), "connect_failed");
    assert_eq!(tries(&gw, &dead, "failed").await, 1.0);
    assert_eq!(gw.metric("attache_endpoint_requests_total", &[]).await, 1.0);
    assert_eq!(gw.metric("attache_endpoint_response_seconds_count", &[]).await, 0.0);
}

#[tokio::test]
async fn a_try_whose_client_leaves_is_cancelled() {
    let backend = RawBackend::silent().await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let mut raw = gw.raw().await;
    raw.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
    eventually("it is in flight", || async { gw.metric("attache_endpoint_requests_in_flight", &[]).await == 1.0 })
        .await;
    drop(raw);
    eventually("it is counted", || async { tries(&gw, &backend, "cancelled").await == 1.0 }).await;
    assert_eq!(gw.metric("attache_endpoint_requests_total", &[]).await, 1.0);
    eventually("it is over", || async { gw.metric("attache_endpoint_requests_in_flight", &[]).await == 0.0 }).await;
}

#[tokio::test]
async fn of_hedged_tries_one_answers_and_one_is_cancelled() {
    let (slow, quick) = (RawBackend::silent().await, Backend::replying(200).await);
    let template = "
        routes: { all: { cluster: pool, retries: { perTryTimeout: 200ms, hedging: true } } }
        clusters: { pool: { endpoints: ['{0}', '{1}'], loadBalancer: round-robin, outlierDetection: off } }
    ";
    let gw = Gw::with(template, &[&slow, &quick]).await;
    for _ in 0..4 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    gw.records(4).await;
    let overtaken = gw.metric("attache_hedges_total", &[("result", "won")]).await;
    assert!(overtaken > 0.0, "the slow one was asked first at least once");
    assert_eq!(tries(&gw, &quick, "2xx").await, 4.0);
    eventually("the slow tries are counted", || async { tries(&gw, &slow, "cancelled").await == overtaken }).await;
    let all = gw.metric("attache_endpoint_requests_total", &[]).await;
    assert_eq!(all, gw.metric("attache_attempts_total", &[]).await);
}

#[tokio::test]
async fn copies_count_for_the_endpoint_that_gets_them() {
    let (main, shadow) = (Backend::replying(200).await, Backend::replying(500).await);
    let template = "
        routes: { all: { cluster: main, mirror: { cluster: shadow, timeout: 20s } } }
        clusters: { main: { endpoints: ['{0}'] }, shadow: { endpoints: ['{1}'] } }
    ";
    let gw = Gw::with(template, &[&main, &shadow]).await;
    gw.get("/").await;
    eventually("the copy is counted", || async { tries(&gw, &shadow, "5xx").await == 1.0 }).await;
    assert_eq!(tries(&gw, &main, "2xx").await, 1.0);
    assert_eq!(gw.metric("http_requests_total", &[]).await, 1.0);
}

#[tokio::test]
async fn refusals_of_our_own_count_for_no_endpoint_and_have_no_first_byte() {
    let backend = Backend::replying(200).await;
    let template = "
        routes:
          all: { endpoints: ['{0}'], match: { path: { prefix: /a } }, rateLimit: { rate: 1/hour } }
          own: { respond: { status: 204 }, match: { path: { prefix: /own } } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    let mut statuses = Vec::new();
    for path in ["/a", "/a", "/own", "/nowhere"] {
        statuses.push(gw.get(path).await.status);
    }
    assert_eq!(statuses, [200, 429, 204, 404]);
    gw.records(4).await;
    assert_eq!(gw.metric("attache_endpoint_requests_total", &[]).await, 1.0);
    assert_eq!(gw.metric("attache_time_to_first_byte_seconds_count", &[]).await, 1.0);
    assert_eq!(gw.metric("http_request_duration_seconds_count", &[]).await, 4.0);
    for (route, reason) in [("all", "rate_limited"), ("-", "no_route")] {
        let labels = [("route", route), ("reason", reason)];
        assert_eq!(gw.metric("attache_errors_total", &labels).await, 1.0, "{reason} on {route}");
        assert_eq!(gw.metric("errors_total", &[("reason", reason)]).await, 1.0);
    }
}

#[tokio::test]
async fn errors_say_on_which_route_and_towards_which_cluster() {
    let dead = refusing();
    let template = "
        routes:
          one: { cluster: gone, match: { path: { prefix: /one } } }
          other: { cluster: gone, match: { path: { prefix: /other } } }
        clusters: { gone: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&dead]).await;
    for path in ["/one", "/other", "/other"] {
        assert_eq!(gw.get(path).await.reason(), "connect_failed");
    }
    for (route, count) in [("one", 1.0), ("other", 2.0)] {
        let labels = [("route", route), ("cluster", "gone"), ("reason", "connect_failed")];
        assert_eq!(gw.metric("attache_errors_total", &labels).await, count, "{route}");
    }
    assert_eq!(gw.metric("errors_total", &[("reason", "connect_failed")]).await, 3.0);
}

#[tokio::test]
async fn a_stream_has_its_first_byte_at_once_and_its_duration_at_the_end() {
    let sse = Sse::new().await;
    let gw =
        Gw::with("routes: { all: { cluster: events } }\nclusters: { events: { endpoints: ['{0}'] } }", &[&sse]).await;
    let mut client = gw.h1().await;
    let open = client.send(request("GET", "/", empty())).await.unwrap();
    let stream = sse.stream().await;
    let streams = [("route", "all"), ("cluster", "events")];
    assert_eq!(tries(&gw, sse.backend(), "2xx").await, 1.0, "its head has come");
    assert_eq!(gw.metric("attache_endpoint_requests_in_flight", &[("cluster", "events")]).await, 1.0);
    assert_eq!(gw.metric("attache_stream_duration_seconds_count", &streams).await, 0.0);
    stream.end();
    drop(open);
    eventually("its end is counted", || async {
        gw.metric("attache_stream_duration_seconds_count", &streams).await == 1.0
    })
    .await;
    let longest = [streams.as_slice(), &[("le", "43200")]].concat();
    assert_eq!(gw.metric("attache_stream_duration_seconds_bucket", &longest).await, 1.0, "buckets of its own");
    assert_eq!(gw.metric("attache_time_to_first_byte_seconds_count", &streams).await, 1.0);
    assert_eq!(gw.metric("http_request_duration_seconds_count", &streams).await, 1.0);
    assert_eq!(gw.metric("attache_endpoint_requests_in_flight", &[("cluster", "events")]).await, 0.0);
}

#[tokio::test]
async fn an_ordinary_answer_is_no_stream() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    gw.get("/").await;
    gw.record().await;
    assert!(!gw.metrics().await.contains("attache_stream_duration_seconds"));
}

#[tokio::test]
async fn grpc_answers_are_counted_by_their_status() {
    const SPEAK: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };
    let status = |text: &str| {
        let mut fields = HeaderMap::new();
        fields.insert("grpc-status", text.parse().unwrap());
        fields
    };
    let backend = Backend::handling_as(SPEAK, move |request| async move {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let answer = Response::builder().header("content-type", "application/grpc");
        match path.split_once('/') {
            Some(("trailers", text)) => answer.body(with_trailers("message", status(text))).unwrap(),
            Some(("head", text)) => answer.header("grpc-status", text).body(empty()).unwrap(),
            _ => answer.body(full("message")).unwrap(),
        }
    })
    .await;
    let template = "routes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
    let gw = Gw::with(template, &[&backend]).await;
    let paths = ["/trailers/0", "/trailers/0", "/trailers/14", "/head/5", "/head/99", "/trailers/x", "/neither"];
    for path in paths {
        let call = with_field("content-type", "application/grpc", request("POST", path, full("message")));
        gw.h2().await.reply(call).await;
    }
    gw.records(paths.len()).await;
    for (status, count) in [("0", 2.0), ("14", 1.0), ("5", 1.0), ("other", 2.0), ("none", 1.0)] {
        let labels = [("route", "all"), ("cluster", "one"), ("grpc_status", status)];
        assert_eq!(gw.metric("attache_grpc_responses_total", &labels).await, count, "{status}");
    }
    assert_eq!(gw.metric("attache_grpc_responses_total", &[]).await, 7.0);
}

#[tokio::test]
async fn names_of_other_systems_are_left_out_by_choice() {
    let dead = refusing();
    let template = "
        metrics: { address: '127.0.0.1:0', compatibility: false }
        routes: { all: { cluster: one } }
        clusters: { one: { endpoints: ['{0}'] } }
    ";
    let mut gw = Gw::with(template, &[&dead]).await;
    gw.get("/").await;
    gw.records(1).await;
    let names = ["errors_total", "active_workflows", "a2a_system_health"];
    let shown = |text: &str| names.map(|name| text.lines().any(|line| line.starts_with(name)));
    let text = gw.metrics().await;
    assert_eq!(shown(&text), [false; 3]);
    assert!(text.contains("attache_errors_total{"), "its own names stay");
    gw.reload(&template.replace(", compatibility: false", ""), &[&dead]).await.unwrap();
    assert_eq!(shown(&gw.metrics().await), [true; 3]);
}

#[tokio::test]
async fn what_a_reload_takes_away_takes_its_series_along() {
    let (stays, goes, dead) = (Backend::replying(200).await, Backend::replying(200).await, refusing());
    let both = "
        routes:
          stays: { cluster: stays, match: { path: { prefix: /stays } } }
          goes: { cluster: goes, match: { path: { prefix: /goes } } }
          dead: { cluster: dead, match: { path: { prefix: /dead } } }
        clusters: { stays: { endpoints: ['{0}'] }, goes: { endpoints: ['{1}'] }, dead: { endpoints: ['{2}'] } }
    ";
    let mut gw = Gw::with(both, &[&stays, &goes, &dead]).await;
    for path in ["/stays", "/goes", "/dead"] {
        gw.get(path).await;
    }
    gw.records(3).await;
    assert_eq!((tries(&gw, &stays, "2xx").await, tries(&gw, &goes, "2xx").await), (1.0, 1.0));
    assert_eq!(tries(&gw, &dead, "failed").await, gw.metric("attache_attempts_total", &[("cluster", "dead")]).await);
    let one = "
        routes: { stays: { cluster: stays, match: { path: { prefix: /stays } } } }
        clusters: { stays: { endpoints: ['{0}'] } }
    ";
    gw.reload(one, &[&stays]).await.unwrap();
    eventually("their series are gone", || async {
        let text = gw.metrics().await;
        let names = ["\"goes\"", "\"dead\"", &goes.place(), &dead.place()];
        !names.iter().any(|name| text.contains(name))
    })
    .await;
    gw.get("/stays").await;
    gw.records(4).await;
    assert_eq!(tries(&gw, &stays, "2xx").await, 2.0, "what stays goes on counting");
    assert_eq!(gw.metric("attache_time_to_first_byte_seconds_count", &[("route", "stays")]).await, 2.0);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_keeps_its_series_to_the_end_of_its_last_stream() {
    let (sse, other) = (Sse::new().await, Backend::replying(200).await);
    let template = "routes: { all: { cluster: pool } }\nclusters: { pool: { endpoints: ['{0}'] } }";
    let mut gw = Gw::with(template, &[&sse]).await;
    let mut client = gw.h1().await;
    let open = client.send(request("GET", "/", empty())).await.unwrap();
    let stream = sse.stream().await;
    gw.reload(template, &[&other]).await.unwrap();
    gw.get("/").await;
    let place = sse.backend().place();
    assert_eq!(gw.metric("attache_endpoint_requests_in_flight", &[("endpoint", &place)]).await, 1.0);
    stream.end();
    drop(open);
    eventually("its series are gone", || async { !gw.metrics().await.contains(&place) }).await;
    assert_eq!(tries(&gw, &other, "2xx").await, 1.0);
}

#[tokio::test]
async fn an_address_that_a_name_loses_takes_its_series_along() {
    let (server, backend) = (NameServer::new().await, Backend::replying(200).await);
    let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
    server.say("agent.test", Says::Are(vec![here, there]), Says::Nothing);
    let port = backend.address().port();
    let template = format!(
        "
        dns: {{ servers: ['{{0}}'] }}
        routes: {{ all: {{ cluster: pool }} }}
        clusters: {{ pool: {{ endpoints: ['agent.test.:{port}'] }} }}
        "
    );
    let gw = Gw::with(&template, &[&server]).await;
    assert_eq!(gw.get("/").await.status, 200);
    let gone = format!("127.0.0.2:{port}");
    assert!(gw.metrics().await.contains(&gone));
    server.say("agent.test", Says::Are(vec![here]), Says::Nothing);
    eventually("its series are gone, though nobody asks", || async { !gw.metrics().await.contains(&gone) }).await;
    assert_eq!(tries(&gw, &backend, "2xx").await, 1.0);
}

#[tokio::test]
async fn endpoints_beyond_the_limit_share_series() {
    let backends = [Backend::replying(200).await, Backend::replying(200).await, Backend::replying(200).await];
    let template = "
        metrics: { address: '127.0.0.1:0', endpointSeries: 1 }
        routes: { all: { cluster: pool } }
        clusters: { pool: { endpoints: ['{0}', '{1}', '{2}'], loadBalancer: round-robin } }
    ";
    let mut gw = Gw::with(template, &[&backends[0], &backends[1], &backends[2]]).await;
    for _ in 0..9 {
        gw.get("/").await;
    }
    gw.records(9).await;
    let shared = gw.metric("attache_endpoint_requests_total", &[("cluster", "-"), ("endpoint", "other")]).await;
    let own = gw.metric("attache_endpoint_requests_total", &[("cluster", "pool")]).await;
    assert!(own > 0.0 && shared > own, "{own} and {shared}");
    assert_eq!(own + shared, 9.0);
    assert_eq!(gw.metric("attache_endpoints_without_series", &[]).await, 2.0);
    // More room, without a restart.
    let more = template.replace("endpointSeries: 1", "endpointSeries: 3");
    gw.reload(&more, &[&backends[0], &backends[1], &backends[2]]).await.unwrap();
    eventually("each has its own", || async {
        gw.get("/").await;
        gw.metric("attache_endpoints_without_series", &[]).await == 0.0
    })
    .await;
    for backend in &backends {
        eventually("it is counted by itself", || async {
            gw.get("/").await;
            tries(&gw, backend, "2xx").await > 0.0
        })
        .await;
    }
}

#[tokio::test]
async fn series_of_endpoints_can_be_switched_off() {
    let backend = Backend::replying(200).await;
    let template = "
        metrics: { address: '127.0.0.1:0', endpointSeries: off }
        routes: { all: { cluster: pool } }
        clusters: { pool: { endpoints: ['{0}'] } }
    ";
    let mut gw = Gw::with(template, &[&backend]).await;
    gw.get("/").await;
    gw.record().await;
    assert!(!gw.metrics().await.contains("attache_endpoint_re"));
    gw.reload(&template.replace("off", "9"), &[&backend]).await.unwrap();
    gw.get("/").await;
    gw.records(2).await;
    assert_eq!(tries(&gw, &backend, "2xx").await, 1.0);
    gw.reload(template, &[&backend]).await.unwrap();
    // Each worker lets go of them with its next request.
    eventually("they are gone", || async {
        gw.get("/").await;
        !gw.metrics().await.contains("attache_endpoint_re")
    })
    .await;
}
