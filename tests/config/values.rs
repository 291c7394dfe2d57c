//! What single values of a file come to.

use std::sync::Arc;
use std::time::Duration;

use attache::config::model::{Buckets, Failure, LimitKey, PublicUrl, RetryOn, RetryPolicy, Route, Scheme};
use attache::config::{Report, parse};
use http::HeaderName;

use crate::{env, loaded};

/// The buckets of a rate limit.
fn buckets(limit: &str) -> Buckets {
    let base = "listeners: { http: { address: '127.0.0.1:80' } }\nroutes: { a: { respond: {}, rateLimit: l } }\n";
    let config = loaded(&format!("{base}rateLimits: {{ l: {{ {limit} }} }}\n")).config;
    config.rate_limits[0].buckets.clone()
}

/// A route that forwards.
fn route(more: &str) -> Result<Arc<Route>, Report> {
    let base = "listeners: { http: { address: '127.0.0.1:80' } }\n";
    let text = format!("{base}routes: {{ a: {{ endpoints: ['b:80'], {more} }} }}\n");
    parse(&text, "gateway.yaml", &env()).map(|mut loaded| loaded.config.routes.remove(0))
}

#[test]
fn rates() {
    for (text, requests, millis) in [
        ("100/minute", 100, 60_000),
        ("10/second", 10, 1000),
        ("10r/s", 10, 1000),
        ("30r/m", 30, 60_000),
        ("20/10s", 20, 10_000),
        ("5/hour", 5, 3_600_000),
        ("1000/day", 1000, 86_400_000),
        ("3/1m30s", 3, 90_000),
        ("1/100ms", 1, 100),
        ("10 / second", 10, 1000),
        ("1000000/s", 1_000_000, 1000),
    ] {
        let quota = buckets(&format!("rate: '{text}'")).quota;
        assert_eq!((quota.requests.get(), quota.per), (requests, Duration::from_millis(millis)), "{text}");
    }
}

#[test]
fn keys() {
    for (text, expected) in [
        ("clientIp", LimitKey::ClientIp),
        ("client_ip", LimitKey::ClientIp),
        ("remote_address", LimitKey::ClientIp),
        ("global", LimitKey::Global),
        ("Tenant", LimitKey::Tenant),
        ("operation", LimitKey::Operation),
        ("method", LimitKey::Method),
        ("header:X-Api-Key", LimitKey::Header(HeaderName::from_static("x-api-key"))),
        ("header: x-user", LimitKey::Header(HeaderName::from_static("x-user"))),
        ("cookie:Session", LimitKey::Cookie("Session".to_owned())),
    ] {
        assert_eq!(buckets(&format!("key: '{text}', rate: 1/s")).key, [expected], "{text}");
    }
}

#[test]
fn legal_urls_come_out_in_one_spelling() {
    for (text, expected) in [
        ("https://agents.example.com", "https://agents.example.com"),
        ("https://agents.example.com/", "https://agents.example.com"),
        ("HTTPS://Agents.Example.COM.:443/", "https://agents.example.com"),
        ("https://a.example:8443", "https://a.example:8443"),
        ("http://a.example:80/team", "http://a.example/team"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://a.example/team/blue/", "https://a.example/team/blue"),
        ("https://a.example/t%20b", "https://a.example/t%20b"),
        ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
        ("https://[::1]", "https://[::1]"),
        ("https://[0:0::1]:8443/a", "https://[::1]:8443/a"),
        ("http://my_gateway", "http://my_gateway"),
    ] {
        let loaded = loaded(&format!(
            "listeners: {{ http: {{ address: '127.0.0.1:80', publicUrl: '{text}' }} }}\nroutes: {{ a: {{ respond: {{}} }} }}\n"
        ));
        let found = loaded.config.listeners[0].public_url.as_ref().map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn the_schemes_own_port_is_left_out() {
    for (scheme, host, port, prefix, expected) in [
        (Scheme::Https, "a.example", None, "", "https://a.example"),
        (Scheme::Https, "a.example", Some(443), "", "https://a.example"),
        (Scheme::Http, "a.example", Some(443), "", "http://a.example:443"),
        (Scheme::Https, "[::1]", Some(8443), "/a", "https://[::1]:8443/a"),
    ] {
        let url = PublicUrl::new(scheme, host, port, prefix).unwrap();
        assert_eq!(url.to_string(), expected);
        let authority = url.authority_value().to_str().unwrap();
        assert_eq!(format!("{scheme}://{authority}{prefix}"), expected);
    }
    assert!(PublicUrl::new(Scheme::Http, "a\nb", None, "").is_none());
    assert!(PublicUrl::new(Scheme::Http, "a", None, "/\n").is_none());
}

#[test]
fn words_of_several_proxies() {
    use Failure::{Connect, ConnectTimeout, Invalid, Refused, Reset, Timeout};
    let all = Failure::ALL.to_vec();
    for (text, failures, statuses, grpc) in [
        ("connect-failure", vec![Connect, ConnectTimeout], vec![], vec![]),
        ("refused-stream", vec![Refused], vec![], vec![]),
        ("reset", vec![Reset, Timeout], vec![], vec![]),
        ("5xx", all.clone(), vec![500..=599], vec![]),
        ("gateway-error", all, vec![502..=504], vec![]),
        ("retriable-4xx,429", vec![], vec![409..=409, 429..=429], vec![]),
        (
            "error timeout invalid_header http_500 http_502 http_503",
            vec![Connect, Refused, Reset, Timeout, ConnectTimeout, Invalid],
            vec![500..=500, 502..=502, 503..=503],
            vec![],
        ),
        (
            "conn-failure empty-response junk-response response-timeout 503",
            vec![Connect, ConnectTimeout, Reset, Timeout, Invalid],
            vec![503..=503],
            vec![],
        ),
        ("cancelled,deadline-exceeded, internal,resource-exhausted,unavailable", vec![], vec![], vec![1, 4, 13, 8, 14]),
    ] {
        let headers = vec![];
        let expected = RetryOn { failures, statuses, grpc, headers };
        let RetryPolicy::By(retries) = route(&format!("retries: {{ retryOn: '{text}' }}")).unwrap().retries.clone()
        else {
            panic!("{text}");
        };
        assert_eq!(retries.retry_on, expected, "{text}");
    }
}

#[test]
fn moments() {
    let until =
        |text: &str| route(&format!("fault: {{ until: '{text}', abort: {{ percentage: 1%, httpStatus: 503 }} }}"));
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-07-20T20:17:40Z", 0),
        ("2000-02-29T12:00:00Z", 951_825_600),
        ("2026-12-31T00:00:00Z", 1_798_675_200),
        ("2026-12-31T01:00:00+01:00", 1_798_675_200),
        ("2026-12-30T19:30:00-04:30", 1_798_675_200),
        ("2026-12-31t00:00:00.999z", 1_798_675_200),
        ("2026-12-31 00:00:00Z", 1_798_675_200),
    ] {
        let until = until(text).unwrap().fault.as_ref().unwrap().until;
        assert_eq!(until.map(|since| since.as_secs()), Some(seconds), "{text}");
    }
    for text in [
        "", "2026-12-31", "2026-12-31T00:00:00", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "2026-12-31T24:00:00Z", "2026-12-31T00:60:00Z", "2026-12-31T00:00:00.Z", "2026-12-31T00:00:00+1:00",
        "2026-12-31T00:00:00+01:00x", "2026/12/31T00:00:00Z", "+026-12-31T00:00:00Z", "tomorrow",
        "2026-12-31T00:00:00é",
    ] {
        assert!(until(text).is_err(), "{text}");
    }
}
