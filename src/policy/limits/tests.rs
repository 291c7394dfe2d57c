//! What `limits.rs` does, held to its promises.

use tokio::time::advance;

use super::*;
use crate::config::{self, Environment};

/// The limits of the route `all`, which `route` describes, beside shared ones.
struct Bench {
    limits: Limits,
    route: RouteLimits,
    metrics: Metrics,
}

impl Bench {
    fn new(shared: &str, route: &str, previous: Option<&Self>) -> Self {
        Self::of(shared, &format!("respond: {{}}, {route}"), previous)
    }

    fn forwarding(shared: &str, route: &str) -> Self {
        Self::of(shared, &format!("endpoints: ['127.0.0.1:9'], {route}"), None)
    }

    fn of(shared: &str, route: &str, previous: Option<&Self>) -> Self {
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\nrateLimits: {shared}\nroutes: {{ all: {{ {route} }} }}"
        );
        let loaded = config::parse(&text, "test.yaml", &Environment::process());
        let config = loaded.unwrap_or_else(|report| panic!("{report:?}")).config;
        let limits = Limits::build(&config, previous.map(|previous| &previous.limits));
        let route = {
            let (settings, previous) = (&config.routes[0], previous.map(|previous| &previous.route));
            limits.of(&settings.rate_limits, settings.concurrency, settings.sees_calls(), previous).unwrap()
        };
        Self { limits, route, metrics: Metrics::new(&[1.0]).unwrap() }
    }

    fn route(&self) -> WorkerLimits {
        WorkerLimits::new("all", &self.route, &self.metrics)
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.render().unwrap();
        let series = text.lines().filter(|line| line.starts_with(name));
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
}

fn ask(route: &WorkerLimits, method: &Method, last: u8) -> Result<Admitted, Refused> {
    let headers = HeaderMap::new();
    route.admit(&Caller::new([192, 0, 2, last].into(), method, &headers))
}

fn passed(route: &WorkerLimits, times: u32) -> u32 {
    let asked = (0..times).map(|_| ask(route, &Method::GET, 1).is_ok());
    asked.map(u32::from).sum()
}

fn fields(rate_limit_headers: Option<Box<RateLimitHeaders>>) -> (String, String) {
    let mut headers = HeaderMap::new();
    if let Some(rate_limit_headers) = rate_limit_headers {
        rate_limit_headers.tell(&mut headers);
    }
    let field = |name| headers.get(name).map_or("", |value| value.to_str().unwrap());
    (field(POLICY).to_owned(), field(STATE).to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_counts_nowhere() {
    let shared = "{ tight: { rate: 1/10s }, wide: { rate: 5/100s } }";
    for order in ["tight, wide", "wide, tight"] {
        let bench = Bench::new(shared, &format!("rateLimit: [{order}]"), None);
        let route = bench.route();
        assert_eq!(passed(&route, 100), 1, "{order}");
        for turn in 2..=5 {
            advance(Duration::from_secs(10)).await;
            assert_eq!(passed(&route, 100), 1, "{order}, turn {turn}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_wait_and_the_least_left_are_shown() {
    let shared = "{ short: { rate: 2/1s }, long: { rate: 3/60s, burst: 3 } }";
    let bench = Bench::new(shared, "rateLimit: [short, long]", None);
    let route = bench.route();
    let policies = ["\"short\";q=2;w=1", "\"long\";q=4;w=80"];
    for (at, state) in
        [(0, "\"short\";r=1;t=1"), (0, "\"short\";r=0;t=1"), (1, "\"long\";r=1;t=60"), (1, "\"long\";r=0;t=20")]
    {
        let admitted = ask(&route, &Method::GET, 1).unwrap();
        let expected = (policies[at].to_owned(), state.to_owned());
        assert_eq!(fields(admitted.rate_limit_headers), expected);
        if state.contains("r=0") {
            advance(Duration::from_secs(1)).await;
        }
    }
    let refused = ask(&route, &Method::GET, 1).unwrap_err();
    assert!(matches!(refused.error, Error::RateLimited(wait) if wait == Duration::from_secs(18)));
    let expected = (policies[1].to_owned(), "\"long\";r=0;t=18".to_owned());
    assert_eq!(fields(refused.rate_limit_headers), expected);
}

#[tokio::test(start_paused = true)]
async fn limits_about_the_call_are_asked_when_it_is_known() {
    let shared = "{ clients: { rate: 3/300s, burst: 2 }, tenants: { key: [tenant, operation], rate: 1/60s } }";
    let headers = HeaderMap::new();
    let of = |tenant| Caller { tenant: Some(tenant), ..Caller::new([192, 0, 2, 1].into(), &Method::POST, &headers) };
    for order in ["clients, tenants", "tenants, clients"] {
        let bench = Bench::forwarding(shared, &format!("rateLimit: [{order}]"));
        let route = bench.route();
        assert!(route.wait_for_calls());
        let ask = |tenant: &'static str| {
            let admitted = route.admit(&Caller { tenant: None, ..of(tenant) })?;
            route.admit_call(&of(tenant), admitted.counted, admitted.rate_limit_headers)
        };
        assert_eq!(fields(ask("north").unwrap()).1, "\"tenants\";r=0;t=60", "{order}");
        for _ in 0..9 {
            let refused = ask("north").unwrap_err();
            assert!(matches!(refused.error, Error::RateLimited(wait) if wait == Duration::from_secs(60)));
            assert_eq!(fields(refused.rate_limit_headers).1, "\"tenants\";r=0;t=60");
        }
        assert_eq!(fields(ask("south").unwrap()).1, "\"tenants\";r=0;t=60", "the client was not counted, {order}");
        assert_eq!(fields(ask("west").unwrap()).1, "\"clients\";r=0;t=100", "of those with nothing left the slower");
        assert!(ask("east").is_err(), "three are all a client has");
    }
    let answering = Bench::new(shared, "rateLimit: [clients, tenants]", None).route();
    assert!(!answering.wait_for_calls(), "what a route answers by itself is never looked into");
}

#[tokio::test(start_paused = true)]
async fn a_shadow_counts_and_lets_pass() {
    let shared = "{ dark: { rate: 2/60s, mode: shadow }, real: { rate: 8/60s, headers: false } }";
    let bench = Bench::new(shared, "rateLimit: [dark, real]", None);
    let route = bench.route();
    let admitted = ask(&route, &Method::GET, 1).unwrap();
    assert_eq!(fields(admitted.rate_limit_headers), (String::new(), String::new()));
    assert_eq!(passed(&route, 9), 7);
    let name = "attache_rate_limited_total{limit=\"dark\",mode=\"shadow\"}";
    assert_eq!(bench.metric(name), 8.0, "two were still taken back");
    let name = "attache_rate_limited_total{limit=\"real\",mode=\"enforce\"}";
    assert_eq!(bench.metric(name), 2.0);
}

#[tokio::test(start_paused = true)]
async fn methods_count_what_they_cost() {
    let limit = "{ rate: 10/60s, cost: { POST: 4, OPTIONS: 0 } }";
    let bench = Bench::new("{}", &format!("rateLimit: {limit}"), None);
    let route = bench.route();
    let ask = |method: Method| ask(&route, &method, 1).is_ok();
    assert!(ask(Method::POST) && ask(Method::POST), "4 and 4");
    assert!(!ask(Method::POST));
    assert!(ask(Method::GET) && ask(Method::PUT) && !ask(Method::GET));
    assert!((0..50).all(|_| ask(Method::OPTIONS)), "free of charge");
}

#[tokio::test(start_paused = true)]
async fn counts_go_on_over_a_reload_while_they_mean_the_same() {
    let before = Bench::new(
        "{ edge: { rate: 2/60s } }",
        "rateLimit: [edge, { key: global, rate: 9/60s }], maxConcurrentPerClient: 2",
        None,
    );
    assert_eq!(passed(&before.route(), 5), 2);
    let held = ask(&before.route(), &Method::GET, 2).unwrap();
    for (shared, route, expected) in [
        ("{ edge: { rate: 2/60s } }", "rateLimit: edge", 0),
        ("{ edge: { rate: 2/60s, headers: false } }", "rateLimit: edge", 0),
        ("{ edge: { rate: 2/60s, mode: shadow } }", "rateLimit: edge", 5),
        ("{ edge: { rate: 3/60s } }", "rateLimit: edge", 3),
        ("{ edge: { rate: 2/60s, key: method } }", "rateLimit: edge", 2),
        ("{ edge: { rate: 2/60s, maxKeys: 9 } }", "rateLimit: edge", 2),
        ("{ other: { rate: 2/60s } }", "rateLimit: other", 2),
        ("{}", "rateLimit: { rate: 2/60s }", 2),
        ("{ edge: { rate: 2/60s } }", "rateLimit: [edge, { key: global, rate: 9/60s }]", 0),
    ] {
        let after = Bench::new(shared, route, Some(&before));
        assert_eq!(passed(&after.route(), 5), expected, "{shared} {route}");
    }
    let route = "maxConcurrentPerClient: 1";
    let after = Bench::new("{}", route, Some(&before));
    let refused = ask(&after.route(), &Method::GET, 2).unwrap_err();
    assert!(matches!(refused.error, Error::TooManyOpen), "one is open");
    drop(held);
    assert!(ask(&after.route(), &Method::GET, 2).is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_has_too_much_open_is_not_counted() {
    let bench = Bench::new("{}", "rateLimit: { rate: 5/60s }, maxConcurrentPerClient: 1", None);
    let route = bench.route();
    let held = ask(&route, &Method::GET, 1).unwrap();
    for _ in 0..9 {
        assert!(ask(&route, &Method::GET, 1).is_err());
    }
    drop(held);
    assert_eq!(passed(&route, 9), 4);
    assert_eq!(bench.metric("attache_concurrency_limited_total"), 9.0);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_says_how_many_clients_are_known() {
    let bench = Bench::new("{}", "rateLimit: { rate: 1/60s, maxKeys: 2 }", None);
    let route = bench.route();
    for last in 0..5 {
        drop(ask(&route, &Method::GET, last));
    }
    bench.limits.sweep(&bench.metrics);
    assert_eq!(bench.metric("attache_rate_limit_clients"), 2.0);
    assert_eq!(bench.metric("attache_rate_limit_overflow_total"), 3.0);
    advance(Duration::from_secs(121)).await;
    bench.limits.sweep(&bench.metrics);
    assert_eq!(bench.metric("attache_rate_limit_clients"), 0.0);
}

#[test]
fn what_an_endpoint_says_of_its_own_limits_stays() {
    let value = HeaderValue::from_static;
    let (policy, state) = (value("\"edge\";q=1;w=1"), value("\"edge\";r=0;t=1"));
    let rate_limit_headers = RateLimitHeaders { policy, state, leeway: (0, Reverse(Duration::from_secs(1))) };
    let mut headers = HeaderMap::from_iter([(POLICY, value("\"agent\";q=5"))]);
    rate_limit_headers.tell(&mut headers);
    assert_eq!(headers, HeaderMap::from_iter([(POLICY, value("\"agent\";q=5"))]));
}

#[test]
fn names_become_strings_of_a_field() {
    for (name, expected) in [("edge", "\"edge\""), ("a \"b\" \\ c", "\"a 'b' ' c\""), ("größe", "\"gr??e\"")] {
        assert_eq!(quoted(name), expected);
    }
}

#[test]
fn seconds_are_rounded_up() {
    for (millis, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
        assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
    }
}
