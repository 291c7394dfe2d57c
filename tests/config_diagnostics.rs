//! What is said about configurations with mistakes: all of it at once, each thing at its place, and never a panic.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why and stops"
)]

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use attache::config::model::{LoadBalancer, RetryPolicy};
use attache::config::{Environment, Report, load, parse, show_text};
use proptest::prelude::*;

/// A fixed day, before which no certificate of these tests was made.
fn env() -> Environment {
    Environment::empty(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000))
        .with_variable("TOKEN", "do-not-print-me")
}

fn problems(text: &str) -> Report {
    match parse(text, "gateway.yaml", &env()) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    }
}

fn codes(report: &Report) -> Vec<&str> {
    report.diagnostics().iter().map(|diagnostic| diagnostic.code).collect()
}

/// One legal configuration around `routes`, for tests of a single mistake.
fn with_route(route: &str) -> String {
    format!("listeners: {{ http: {{ address: '127.0.0.1:8080' }} }}\nroutes:\n  a: {route}\n")
}

#[test]
fn a_backslash_between_double_quotes_is_pointed_to_single_ones() {
    let report = problems(&with_route("{ match: { path: { regex: \"/\\d+\" } }, respond: { status: 204 } }"));
    assert_eq!(codes(&report), ["yaml"]);
    let hint = report.diagnostics()[0].hint.as_deref();
    assert_eq!(hint, Some("a backslash is itself between single quotes: '\\d+'"));
    let single = problems(&with_route("{ match: { path: { regex: '/\\d+' } }, respond: { status: 204 } }"));
    assert_eq!(single.errors(), 0, "{single}");
}

#[test]
fn one_file_to_include_needs_no_list() {
    let directory = tempfile::tempdir().expect("a directory");
    let (main, part) = (directory.path().join("gateway.yaml"), directory.path().join("one.yaml"));
    fs::write(&part, "routes: { a: { respond: { status: 204 } } }\n").expect("written");
    fs::write(&main, "include: one.yaml\nlisteners: { http: { address: '127.0.0.1:80' } }\n").expect("written");
    let loaded = load(&main, &env()).expect("one value works");
    assert_eq!(loaded.config.routes.len(), 1);
}

#[test]
fn files_with_several_mistakes() {
    let (env, cases) = files_of("tests/config_cases");
    assert!(cases.len() >= 13, "the files are kept");
    for name in cases {
        let report = load(Path::new(&format!("{name}.yaml")), &env).expect_err("it has mistakes");
        assert!(report.errors() >= 4, "{name} has {} errors", report.errors());
        compare(name, &report.human(false));
    }
}

#[test]
fn what_is_legal_and_probably_not_meant() {
    let (env, cases) = files_of("tests/config_doubts");
    assert!(cases.len() >= 3, "the files are kept");
    for name in cases {
        let loaded = load(Path::new(&format!("{name}.yaml")), &env).expect("legal");
        compare(format!("doubts-{name}"), &loaded.warnings.human(false));
    }
}

/// The configurations in a folder, by name, and an environment in which they can be loaded.
fn files_of(folder: &str) -> (Environment, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut names: Vec<_> =
        files.map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    (env().with_root(&folder), names)
}

/// Holds what is said against what was said before.
fn compare(name: String, text: &str) {
    assert!(!text.contains("do-not-print-me"), "a secret was printed:\n{text}");
    if std::env::var_os("ATTACHE_UPDATE").is_some() {
        let head = "---\nsource: tests/config_diagnostics.rs\nexpression: text\n---\n";
        let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
        let snapshot = snapshots.join(format!("config_diagnostics__{name}.snap"));
        fs::write(snapshot, format!("{head}{}\n", text.trim_end())).expect("written");
    } else {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn connections_that_peers_may_end_are_warned_about() {
    for (keys, expected) in [
        ("keepalive: { idleTimeout: 61s }", "idle-race"),
        ("keepalive: { idleTimeout: 60s }", ""),
        ("http2: { keepalive: { interval: 299s } }", "ping-rate"),
        ("http2: { keepalive: { interval: 5m } }", ""),
        ("http2: { keepalive: { timeout: 5s } }", ""),
        ("http2: { keepalive: off }", ""),
        ("http2: { keepalive: { interval: 0s } }", "invalid-value"),
        ("tcpKeepalive: { time: 0s }", "invalid-value"),
        ("tcpKeepalive: { interval: 10h }", "invalid-value"),
        ("tcpKeepalive: { probes: 128 }", "invalid-value"),
        ("tcpKeepalive: { time: 1500ms, interval: 1s, probes: 1 }", ""),
        ("tcpKeepalive: off", ""),
    ] {
        let report = problems(&format!(
            "listeners: {{ http: {{ address: '127.0.0.1:8080' }} }}\nroutes: {{ a: {{ cluster: b }} }}\n\
             clusters: {{ b: {{ endpoints: ['b:80'], {keys} }} }}\n"
        ));
        assert_eq!(codes(&report).join(" "), expected, "{keys}");
    }
}

#[test]
fn what_is_not_done_for_agents_is_warned_about() {
    for (endpoints, a2a, expected) in [
        ("['10.0.0.1:80', '10.0.0.2:80']", "{ affinity: off }", "tasks-not-followed"),
        ("['agent.test:80']", "{ affinity: off }", "tasks-not-followed"),
        ("['10.0.0.1:80']", "{ affinity: off }", ""),
        ("['10.0.0.1:80', '10.0.0.2:80']", "{ affinity: { ttl: 1h } }", ""),
        ("['10.0.0.1:80']", "{ agentCard: off }", "cards-not-mapped"),
        ("['10.0.0.1:80', '10.0.0.2:80']", "off", ""),
    ] {
        let report = problems(&with_route(&format!("{{ endpoints: {endpoints}, a2a: {a2a} }}")));
        assert_eq!(codes(&report).join(" "), expected, "{endpoints} {a2a}");
        assert_eq!(report.errors(), 0, "they are no mistakes");
    }
}

#[test]
fn a_signature_needs_a_key_of_its_kind() {
    let directory = tempfile::tempdir().expect("a directory");
    let kinds = [("good", &rcgen::PKCS_ECDSA_P256_SHA256), ("other", &rcgen::PKCS_ED25519)];
    for (name, kind) in kinds {
        let key = rcgen::KeyPair::generate_for(kind).expect("a key");
        fs::write(directory.path().join(name), key.serialize_pem()).expect("written");
    }
    fs::write(directory.path().join("text"), "no key").expect("written");
    for (keys, expected, place) in [
        ("signedCards: resign, signing: { keyFile: 'DIR/good' }", "", ""),
        ("signedCards: resign", "missing-field", "routes.a.a2a.agentCard.signedCards"),
        ("signedCards: resign, signing: {}", "missing-field", "routes.a.a2a.agentCard.signing"),
        (
            "signedCards: resign, signing: { keyFile: 'DIR/other' }",
            "invalid-value",
            "routes.a.a2a.agentCard.signing.keyFile",
        ),
        (
            "signedCards: resign, signing: { keyFile: 'DIR/none' }",
            "missing-file",
            "routes.a.a2a.agentCard.signing.keyFile",
        ),
        (
            "signedCards: resign, signing: { keyFile: 'DIR/text' }",
            "bad-certificate",
            "routes.a.a2a.agentCard.signing.keyFile",
        ),
        ("signing: { keyFile: 'DIR/good' }", "without-effect", "routes.a.a2a.agentCard.signing"),
    ] {
        let keys = keys.replace("DIR", &directory.path().display().to_string());
        let text = with_route(&format!("{{ endpoints: ['10.0.0.1:80'], a2a: {{ agentCard: {{ {keys} }} }} }}"));
        let report = problems(&text);
        assert_eq!(codes(&report).join(" "), expected, "{keys}: {report}");
        let places: Vec<_> = report.diagnostics().iter().map(|diagnostic| diagnostic.path.as_str()).collect();
        assert_eq!(places.join(" "), place, "{keys}");
    }
}

#[test]
fn ceilings_without_effect_are_warned_about() {
    for (ceilings, hint) in [
        ("maxPendingRequests: 50, maxRetries: 3", "add `maxConnections`"),
        ("maxRequests: 50, pendingTimeout: 5s", "`maxPendingRequests`"),
        ("maxRequests: 10, perEndpoint: { maxRequests: 11 }", "raise `circuitBreaker.maxRequests`"),
    ] {
        let report = problems(&format!(
            "listeners: {{ http: {{ address: '127.0.0.1:8080' }} }}\nroutes: {{ a: {{ cluster: b }} }}\n\
             clusters: {{ b: {{ endpoints: ['b:80'], circuitBreaker: {{ {ceilings} }} }} }}\n"
        ));
        assert_eq!(codes(&report), ["no-effect"], "{ceilings}");
        assert!(report.human(false).contains(hint), "{}", report.human(false));
    }
}

#[test]
fn public_urls_that_are_probably_not_meant_are_warned_about() {
    let with = |listener: &str, route: &str| {
        problems(&format!(
            "listeners: {{ http: {{ address: '127.0.0.1:8080'{listener} }} }}\nroutes: {{ a: {{ endpoints: ['b:80'], {route} }} }}\n"
        ))
    };
    let url = ", publicUrl: 'https://a.example'";
    for (listener, route, code, hint) in [
        (
            "",
            "match: { path: { prefix: /a/b } }, publicUrl: 'https://a.example/x/a/b'",
            "doubled-prefix",
            "write `https://a.example/x`",
        ),
        (url, "hosts: [b.example]", "unused-host", "give the route a `publicUrl`"),
        (url, "hosts: ['*.a.example']", "unused-host", "names hosts"),
    ] {
        let report = with(listener, route);
        assert_eq!(codes(&report), [code], "{listener} {route}");
        let text = report.human(false);
        assert!(text.contains(hint), "{text}");
    }
    for (listener, route) in [
        (url, "timeout: 1s"),
        (url, "hosts: [b.example, a.example]"),
        (url, "hosts: ['*.example']"),
        (url, "hosts: [b.example], publicUrl: 'https://b.example'"),
        ("", "match: { path: { prefix: /a } }, publicUrl: 'https://a.example/x'"),
    ] {
        let report = with(listener, route);
        assert!(report.is_empty(), "{}", report.human(false));
    }
}

#[test]
fn a_redirect_to_https_needs_somewhere_with_https() {
    const ROUTES: &str = "routes: { a: { respond: {} } }";
    for (text, problem) in [
        ("listeners: { a: { address: '127.0.0.1:1', httpsRedirect: true } }", true),
        (
            "listeners: { a: { address: '127.0.0.1:1', httpsRedirect: true } }\nclientIp: { trustedProxies: [10.0.0.1] }",
            false,
        ),
        (
            "listeners: { a: { address: '127.0.0.1:1', httpsRedirect: { listener: a } } }\nclientIp: { trustedProxies: [10.0.0.1] }",
            false,
        ),
        ("listeners: { a: { address: '127.0.0.1:1', httpsRedirect: { listener: a } } }", true),
        ("listeners: { a: { address: '127.0.0.1:1', httpsRedirect: true, publicUrl: 'https://a.example' } }", false),
        (
            "listeners: { a: { address: '127.0.0.1:1', httpsRedirect: true }, b: { address: '127.0.0.1:2', publicUrl: 'https://a.example' } }",
            false,
        ),
        (
            "listeners: { a: { address: '127.0.0.1:1', httpsRedirect: true }, b: { address: '127.0.0.1:2', publicUrl: 'http://a.example' } }",
            true,
        ),
        (
            "listeners: { a: { address: '127.0.0.1:1', httpsRedirect: true }, b: { address: '127.0.0.1:2', publicUrl: 'https://a.example' }, c: { address: '127.0.0.1:3', publicUrl: 'https://b.example' } }",
            true,
        ),
    ] {
        let report = problems(&format!("{text}\n{ROUTES}\n"));
        let expected: &[&str] = if problem { &["invalid-reference"] } else { &[] };
        assert_eq!(codes(&report), expected, "{text}\n{}", report.human(false));
    }
}

#[test]
fn a_redirect_to_https_prefers_the_listener_that_ends_tls() {
    const PUBLIC: &str = "publicUrl: 'https://x.example'";
    const TLS: &str = "tls: { certificates: [{ certFile: a.pem, keyFile: a.pem }] }";
    for (b, c, several) in [(TLS, PUBLIC, false), (PUBLIC, TLS, false), (TLS, TLS, true), (PUBLIC, PUBLIC, true)] {
        let report = problems(&format!(
            "listeners:\n  a: {{ address: '127.0.0.1:1', httpsRedirect: true }}\n  b: {{ address: '127.0.0.1:2', {b} }}\n  c: {{ address: '127.0.0.1:3', {c} }}\nroutes: {{ a: {{ respond: {{}} }} }}\n"
        ));
        let hint = report.human(false).contains("with one of `b`, `c`");
        let found = codes(&report).contains(&"invalid-reference");
        assert_eq!((found, hint), (several, several), "{}", report.human(false));
    }
}

#[test]
fn operations_are_named_once_and_say_something() {
    for (a2a, code, words) in [
        ("methods: { SendMessage: {}, GetTask: { timeout: 7s } }", "", ""),
        ("methods: { allow: [GetTask], tasks/get: { deny: true } }", "", ""),
        ("methods: {}", "invalid-value", "give one of `allow`, `deny`"),
        ("methods: { allow: [], deny: [] }", "invalid-value", "keep one of `allow`, `deny`"),
        ("methods: { SendMesage: {} }", "invalid-value", "did you mean `SendMessage`"),
        ("methods: { GetTask: {}, tasks/get: {} }", "invalid-value", "`tasks/get` is given twice"),
        ("methods: { GetTask: { rateLimit: slow } }", "unknown-reference", "there is no rateLimit `slow`"),
        (
            "methods: { tasks/get: { rateLimit: { burst: 7 } } }",
            "missing-field",
            "`routes.a.a2a.methods.tasks/get.rateLimit`",
        ),
        ("methods: { GetTask: { timeout: 0s } }", "invalid-value", "0"),
        ("versions: 1.0", "", ""),
        ("ownership: { by: ['header:x-user', clientIp] }", "", ""),
        ("ownership: { by: global }", "invalid-value", "tell clients apart"),
        ("ownership: { by: [] }", "invalid-value", "tell clients apart"),
        ("ownership: {}, affinity: off", "conflict", "take `affinity: off` out"),
        ("versions: [1.0, 0.3, 0.2]", "", ""),
        ("versions: []", "invalid-value", "leave it out"),
        ("versions: [2.0]", "invalid-value", "`2.0` is not known here"),
    ] {
        let report = problems(&with_route(&format!("{{ endpoints: ['b:80'], a2a: {{ {a2a} }} }}")));
        assert_eq!(codes(&report).join(" "), code, "{a2a}\n{report}");
        assert!(report.human(false).contains(words), "{a2a}\n{report}");
    }
}

#[test]
fn a_time_limit_that_does_not_hold_for_the_work_of_agents_is_warned_about() {
    for (route, expected) in [
        ("timeout: 7s", ""),
        ("timeout: 7s, a2a: off", ""),
        ("timeout: 7s, a2a: { largeBodies: refuse }", "without-effect"),
        ("timeout: 7s, a2a: { methods: { GetTask: { timeout: 8s } } }", "without-effect"),
        ("timeout: 7s, a2a: { methods: { message/send: { timeout: 60s } } }", ""),
        ("timeout: off, a2a: { largeBodies: refuse }", ""),
    ] {
        let report = problems(&with_route(&format!("{{ endpoints: ['b:80'], {route} }}")));
        assert_eq!(codes(&report).join(" "), expected, "{route}\n{report}");
    }
}

#[test]
fn an_unknown_field_has_its_place_and_a_suggestion() {
    let report = problems(&with_route("{ endpoints: ['b:80'], timout: 30s }"));
    assert_eq!(
        report.human(false),
        "error[unknown-field]: `routes.a` has no field `timout`\n --> gateway.yaml:3:29\n  |\n3 |   a: { endpoints: ['b:80'], timout: 30s }\n  \
         |                             ^^^^^^ did you mean `timeout`?\n\n1 error\n"
    );
}

#[test]
fn formats_for_machines() {
    let report = problems(&with_route("{ endpoints: ['b:80'], timout: 30s }"));
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("it is JSON");
    assert_eq!(json["errors"], 1);
    let first = &json["diagnostics"][0];
    assert_eq!(
        (&first["code"], &first["line"], &first["path"]),
        (&"unknown-field".into(), &3.into(), &"routes.a.timout".into())
    );
    let github = report.github();
    assert!(github.starts_with("::error file=gateway.yaml,line=3,col="), "{github}");
    assert!(report.human(true).contains("\x1b[1;31m"), "colour when asked for");
    assert!(!report.human(false).contains('\x1b'), "none otherwise");
}

#[test]
fn what_istio_says_in_the_same_words_is_pasted_as_it_is() {
    let route = "
    cluster: c
    fault:
      delay:
        percentage:
          value: 0.1
        fixedDelay: 2s
    retries:
      attempts: 3
      perTryTimeout: 10s
      retryOn: 5xx,reset,connect-failure,refused-stream
    timeout: 30s
";
    let cluster = "clusters:
  c:
    endpoints: ['b:80', 'c:80']
    loadBalancer: LEAST_CONN
    outlierDetection:
      consecutiveErrors: 5
      interval: 30s
      baseEjectionTime: 30s
      maxEjectionPercent: 50
";
    let loaded =
        parse(&(with_route(route) + cluster), "gateway.yaml", &env()).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(codes(&loaded.warnings), ["fault-without-end", "conflict"]);
    let (route, cluster) = (&loaded.config.routes[0], &loaded.config.clusters[0]);
    let delay = route.fault.as_ref().and_then(|fault| fault.delay.as_ref());
    let delay = delay.expect("a delay");
    assert_eq!(delay.percentage.to_string(), "0.1%", "one in a thousand");
    assert_eq!(route.timeout, Some(Duration::from_secs(30)));
    let RetryPolicy::By(retries) = &route.retries else { panic!("{:?}", route.retries) };
    assert_eq!(retries.attempts, 3);
    assert_eq!(retries.per_try_timeout, Some(Duration::from_secs(10)));
    assert_eq!(cluster.load_balancer, LoadBalancer::LeastConnection);
    let detection = cluster.outlier_detection.as_ref().expect("a policy");
    assert_eq!(detection.consecutive_5xx(), Some(5));
    assert_eq!(detection.max_ejection_percent, 50);
}

#[test]
fn a_wrong_unit() {
    let report = problems(&with_route("{ endpoints: ['b:80'], timeout: 30 }"));
    assert_eq!(codes(&report), ["invalid-value"]);
    assert!(report.human(false).contains("write `30s` for seconds"), "{report}");
}

#[test]
fn a_missing_file() {
    let report = load(Path::new("nowhere.yaml"), &env()).expect_err("it is not there");
    assert_eq!(codes(&report), ["missing-file"]);
    assert!(report.human(false).contains("there is no such file"), "{report}");
}

#[test]
fn a_missing_include_is_reported_where_it_is_named() {
    let report =
        problems("include: [nowhere.yaml, 'none/*.yaml']\nlisteners: { http: { address: '127.0.0.1:8080' } }\n");
    assert!(codes(&report).contains(&"missing-file"), "{report}");
    assert!(report.human(false).contains("gateway.yaml:1:11"), "{report}");
}

#[test]
fn empty_files() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "null\n", "~", "--- \n...\n"] {
        assert_eq!(codes(&problems(text)), ["empty"], "{text:?}");
    }
    for text in ["[]", "x", "42", "'text'"] {
        assert_eq!(codes(&problems(text)), ["wrong-type"], "{text:?}");
    }
}

#[test]
fn a_name_in_two_files() {
    let root = tempfile::tempdir().expect("a directory");
    let env = env().with_root(root.path());
    fs::write(root.path().join("a.yaml"), "include: [b.yaml]\nlisteners: { http: { address: '127.0.0.1:8080' } }\nroutes: { x: { endpoints: ['b:80'] } }\n").expect("written");
    fs::write(
        root.path().join("b.yaml"),
        "listeners:\n  http: { address: '127.0.0.1:8081' }\nroutes:\n  x: { endpoints: ['c:80'] }\n",
    )
    .expect("written");
    let report = load(Path::new("a.yaml"), &env).expect_err("two of a name");
    assert_eq!(codes(&report), ["duplicate-name", "duplicate-name"]);
    let text = report.human(false);
    assert!(text.contains("b.yaml:2:3") && text.contains("a.yaml:2:14"), "both places are named:\n{text}");
}

#[test]
fn includes_that_include_each_other_end() {
    let root = tempfile::tempdir().expect("a directory");
    let env = env().with_root(root.path());
    fs::write(root.path().join("a.yaml"), "include: [b.yaml]\nlisteners: { http: { address: '127.0.0.1:8080' } }\n")
        .expect("written");
    fs::write(root.path().join("b.yaml"), "include: ['*.yaml']\nroutes: { x: { endpoints: ['c:80'] } }\n")
        .expect("written");
    let loaded = load(Path::new("a.yaml"), &env).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.files.len(), 2);
}

#[test]
fn an_include_that_goes_round_is_an_error() {
    let root = tempfile::tempdir().expect("a directory");
    let env = env().with_root(root.path());
    let file = |name: &str, text: &str| fs::write(root.path().join(name), text).expect("written");
    let whole = "listeners: { http: { address: '127.0.0.1:8080' } }\nroutes: { x: { respond: {} } }\n";
    for (a, b, c, expected) in [
        ("a.yaml", "", "", &["a.yaml:1"][..]),
        ("./a.yaml", "", "", &["a.yaml:1"]),
        ("b.yaml", "c.yaml", "a.yaml", &["c.yaml:1"]),
        ("b.yaml", "b.yaml, a.yaml", "", &["b.yaml:1", "b.yaml:1"]),
        ("b.yaml, c.yaml", "c.yaml", "", &[]),
        ("'*.yaml'", "'*.yaml'", "", &[]),
        ("'*.yaml'", "c.yaml", "a.yaml", &["c.yaml:1"]),
    ] {
        file("a.yaml", &format!("include: [{a}]\n{whole}"));
        file("b.yaml", &format!("include: [{b}]\n"));
        file("c.yaml", &format!("include: [{c}]\n"));
        let found = load(Path::new("a.yaml"), &env);
        let found = found.map_or_else(|report| report, |loaded| loaded.warnings);
        let places: Vec<_> = found
            .diagnostics()
            .iter()
            .map(|diagnostic| {
                assert_eq!(diagnostic.code, "include-loop", "{found}");
                let (file, line, ..) = found.place(diagnostic).expect("a place");
                format!("{}:{line}", file.display())
            })
            .collect();
        assert_eq!(places, expected, "{a} | {b} | {c}");
    }
}

#[test]
fn keys_that_begin_with_x_are_a_place_for_anchors() {
    let text = "x-common: &common { timeout: 3s }\nx-more: { nonsense: '${NONE}' }\nlisteners: { http: { address: '127.0.0.1:8080' } }\n\
           routes: { x: { <<: *common, endpoints: ['b:80'] } }\n";
    let loaded = parse(text, "a.yaml", &env()).unwrap_or_else(|report| panic!("{report}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.config.routes[0].timeout, Some(Duration::from_secs(3)));
    let shown = show_text(text, "a.yaml", &env(), false).expect("legal");
    assert!(!shown.contains("x-"), "{shown}");
    let below = problems(&with_route("{ endpoints: ['b:80'], x-note: 1 }"));
    assert_eq!(codes(&below), ["unknown-field"], "only at the top");
}

/// Inputs meant to hurt: each is one clear error, soon.
#[test]
fn a_limit_that_no_route_uses_is_a_warning() {
    let text = "listeners: { http: { address: '127.0.0.1:8080' } }\n\
        rateLimits: { used: { rate: 1/s }, spare: { rate: 1/s } }\n\
        routes: { a: { respond: {}, rateLimit: used } }\n";
    let loaded = parse(text, "a.yaml", &env()).expect("legal");
    assert_eq!(codes(&loaded.warnings), ["unused"]);
    assert!(loaded.warnings.to_string().contains("`rateLimits.spare`"), "{}", loaded.warnings);
}

#[test]
fn a_limit_of_two_files_is_defined_once() {
    let root = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| fs::write(root.path().join(name), text).expect("written");
    file(
        "a.yaml",
        "include: [b.yaml]\nlisteners: { http: { address: '127.0.0.1:8080' } }\n\
         rateLimits: { one: { rate: 1/s } }\nroutes: { x: { respond: {}, rateLimit: [one, two] } }\n",
    );
    file("b.yaml", "rateLimits: { two: { rate: 1/s } }\n");
    let from = env().with_root(root.path());
    let loaded = load(Path::new("a.yaml"), &from).expect("legal");
    assert_eq!(loaded.config.rate_limits.len(), 2);
    file("b.yaml", "rateLimits: { one: { rate: 1/s }, two: { rate: 1/s } }\n");
    let report = load(Path::new("a.yaml"), &from).expect_err("twice");
    assert_eq!(codes(&report), ["duplicate-name"]);
}

#[test]
fn hostile_texts_are_refused_quickly() {
    let bomb = {
        let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
        for pair in ["ab", "bc", "cd", "de", "ef", "fg", "gh", "hi"] {
            let (from, to) = pair.split_at(1);
            text.push_str(&format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 10].join(", ")));
        }
        text
    };
    let block = |levels: usize| (0..levels).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>();
    for (name, text, expected) in [
        ("a bomb", bomb, "too-large"),
        ("flow lists", "[".repeat(20_000), "too-deep"),
        ("flow mappings", "{a: ".repeat(20_000), "too-deep"),
        ("closed flow lists", format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)), "too-deep"),
        ("compact block lists", "- ".repeat(20_000), "too-deep"),
        ("block mappings", block(2_000), "too-deep"),
        ("an alias of itself", "a: &a { b: *a }".to_owned(), "yaml"),
        ("NUL bytes", "listeners:\0\0".to_owned(), "yaml"),
        ("an escape", "a: \u{1b}[2J".to_owned(), "yaml"),
        ("two documents", "a: 1\n---\nb: 2\n".to_owned(), "yaml"),
        ("tabs", "listeners:\n\thttp: {}\n".to_owned(), "yaml"),
        ("a tag", "listeners: !include x.yaml\n".to_owned(), "yaml"),
        ("an unknown alias", "a: *nothing\n".to_owned(), "yaml"),
        ("a huge file", "#".repeat(5 << 20), "too-large"),
        ("many values", format!("a: [{}]", "1,".repeat(1_200_000)), "too-large"),
        ("a long key", format!("{}: 1", "k".repeat(100_000)), "yaml"),
    ] {
        let report = problems(&text);
        assert!(codes(&report).contains(&expected), "{name}: {:?}", codes(&report));
        let shown = report.human(false);
        assert!(shown.len() < 4096, "{name}: {} bytes are said about it", shown.len());
    }
}

#[test]
fn bytes_that_are_not_text() {
    let root = tempfile::tempdir().expect("a directory");
    fs::write(root.path().join("a.yaml"), b"listeners:\n  \xff\xfe: 1\n").expect("written");
    let report = load(Path::new("a.yaml"), &env().with_root(root.path())).expect_err("it is not UTF-8");
    assert_eq!(codes(&report), ["not-utf8"]);
    assert!(report.human(false).contains("line 2"), "{report}");
    let huge = vec![b'#'; 5 << 20];
    fs::write(root.path().join("b.yaml"), huge).expect("written");
    let report = load(Path::new("b.yaml"), &env().with_root(root.path())).expect_err("it is too large");
    assert_eq!(codes(&report), ["too-large"]);
}

#[test]
fn a_file_mounted_alone_is_a_warning() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("gateway.yaml");
    fs::write(&path, with_route("{ endpoints: ['b:80'] }")).expect("written");
    let mounts = format!("36 35 98:0 /x {} rw - ext4 /dev/sda rw\n", path.display());
    let loaded = load(&path, &env().with_mounts(&mounts)).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(codes(&loaded.warnings), ["mounted-alone"]);
    let loaded = load(&path, &env().with_mounts("36 35 98:0 /x /etc rw - ext4 /dev/sda rw\n"))
        .unwrap_or_else(|report| panic!("{report}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn many_problems_are_bounded() {
    let routes: String = (0..500).map(|index| format!("  r{index}: {{ cluster: nothing{index} }}\n")).collect();
    let report = problems(&format!("listeners: {{ http: {{ address: '127.0.0.1:80' }} }}\nroutes:\n{routes}"));
    assert!(report.diagnostics().len() <= 200 && report.dropped() > 0, "{}", report.summary());
}

#[test]
fn a_mistake_in_defaults_is_said_once() {
    let text = "listeners: { http: { address: '127.0.0.1:80' } }\ndefaults: { route: { timeout: 0s, requestHeaders: { set: { host: x } } } }\n\
                routes:\n  a: { endpoints: ['b:80'] }\n  b: { match: { path: { exact: /b } }, endpoints: ['c:80'] }\n";
    assert_eq!(codes(&problems(text)), ["invalid-value", "reserved-header"]);
}

#[test]
fn a_default_gives_way_to_its_alternative() {
    let around = |defaults: &str, route: &str, cluster: &str| {
        format!(
            "listeners: {{ http: {{ address: '127.0.0.1:80' }} }}\ndefaults: {{ {defaults} }}\n\
             routes: {{ a: {{ {route} }} }}\n\
             clusters: {{ b: {{ endpoints: ['b:80'], {cluster} }}, c: {{ endpoints: ['c:80'] }} }}\n"
        )
    };
    for (defaults, route, cluster) in [
        ("route: { cluster: b }", "split: [{ cluster: b, weight: 1 }, { cluster: c, weight: 1 }]", ""),
        ("route: { split: [{ cluster: b, weight: 1 }, { cluster: c, weight: 1 }] }", "cluster: b", ""),
        ("route: { cluster: b }", "respond: {}", ""),
        (
            "cluster: { healthCheck: { type: http, path: /x, method: GET, interval: 3s } }",
            "cluster: b",
            "healthCheck: { type: tcp }",
        ),
        (
            "cluster: { healthCheck: { path: /x, expectedStatuses: 204 } }",
            "cluster: b",
            "healthCheck: { type: TCP_CHECK }",
        ),
        (
            "route: { fault: { until: 2030-01-01T00:00:00Z, abort: { percentage: 1%, httpStatus: 503 } } }",
            "cluster: b, fault: { abort: { grpcStatus: UNAVAILABLE } }",
            "",
        ),
        (
            "cluster: { outlierDetection: { consecutive5xxErrors: 5 } }",
            "cluster: b",
            "outlierDetection: { consecutiveErrors: 3 }",
        ),
    ] {
        let text = around(defaults, route, cluster);
        if let Err(report) = parse(&text, "gateway.yaml", &env()) {
            panic!("{report}");
        }
    }
    let text = around(
        "cluster: { healthCheck: { type: http, path: /x, interval: 3s, timeout: 1s } }",
        "cluster: b",
        "healthCheck: { type: tcp, timeout: 2s }",
    );
    let loaded = parse(&text, "gateway.yaml", &env()).unwrap_or_else(|report| panic!("{report}"));
    let checks: Vec<_> = loaded.config.clusters.iter().map(|cluster| cluster.health_check.as_ref()).collect();
    let times = |check: Option<&attache::config::model::HealthCheck>| {
        check.map(|check| (check.interval.as_secs(), check.limit().as_secs()))
    };
    assert_eq!(times(checks[0]), Some((3, 2)), "what both types have is shared");
    assert_eq!(times(checks[1]), Some((3, 1)));
}

#[test]
fn line_ends_and_byte_order_marks_of_other_systems() {
    let text = with_route("{ endpoints: ['b:80'], timout: 30s }").replace('\n', "\r\n");
    let report = problems(&format!("\u{feff}{text}"));
    assert_eq!(codes(&report), ["unknown-field"]);
    assert!(report.human(false).contains("gateway.yaml:3:29"), "{report}");
    assert!(!report.human(false).contains('\r'), "no carriage return is printed");
}

/// Everything that prints a configuration or what is said about it, for each of two that differ in one value.
fn printed(text: &str, other: &str) -> String {
    let mut out = String::new();
    for text in [text, other] {
        let (report, config) = match parse(text, "gateway.yaml", &env()) {
            Ok(loaded) => (loaded.warnings.clone(), Some(loaded.config)),
            Err(report) => (report, None),
        };
        out += &report.human(true);
        out += &report.human(false);
        out += &report.json();
        out += &report.github();
        out += &report.first_error().unwrap_or_default();
        for diagnostic in report.diagnostics() {
            out += &serde_json::Value::from(report.facts(diagnostic)).to_string();
        }
        for defaults in [false, true] {
            out += &show_text(text, "gateway.yaml", &env(), defaults).unwrap_or_default();
        }
        if let Some(config) = config {
            out += &config.effective.yaml();
            out += &format!("{:?}", config.effective);
        }
    }
    if let (Ok(before), Ok(after)) = (parse(text, "a.yaml", &env()), parse(other, "a.yaml", &env())) {
        for (before, after) in [(&before, &after), (&after, &before)] {
            let found = before.config.effective.difference(&after.config.effective);
            out += &found.lines().join("\n");
            out += &serde_json::to_string(&found).expect("it is JSON");
        }
    }
    out
}

/// A file in which `route`, `check` and `top` have their places, so that it stands on lines with and without mistakes.
fn with_secret(place: &str, form: &str) -> String {
    let listener = "listeners: { http: { address: '127.0.0.1:8080' } }\n";
    match place {
        "top" => format!("{form}\n{listener}routes: {{ a: {{ respond: {{}} }} }}\n"),
        "route" => format!("{listener}routes: {{ a: {{ endpoints: ['b:80'], {form} }} }}\n"),
        _ => format!("{listener}routes: {{ a: {{ cluster: b }} }}\nclusters: {{ b: {{ {form} }} }}\n"),
    }
}

/// Where a secret may stand in a route; `§` is the secret.
const ROUTE: &[&str] = &[
    // Header fields by name, whether they are set, added or wanted.
    "requestHeaders: { set: { x-basicAuth: § } }",
    "requestHeaders: { set: { x-userpwd: § } }",
    "requestHeaders: { add: { x-accesskey: § } }",
    "responseHeaders: { set: { x-licensekey: § } }",
    "responseHeaders: { add: { x-hmac: § } }",
    "requestHeaders: { set: { x-auth-profile: § } }",
    "requestHeaders: { set: { x-nobody-knows: § } }",
    "match: { headers: { x-nobody-knows: § } }",
    "match: { headers: { x-api-key: { exact: § } } }",
    "match: { headers: { accept: { regex: '§.*' } } }",
    "match: { query: { page: § } }",
    "fault: { abort: { percentage: 1%, httpStatus: 503, whenHeader: { x-a: § } } }",
    // Values by their looks, in fields that are shown otherwise.
    "requestHeaders: { set: { via: 'Token §' } }",
    "requestHeaders: { set: { via: \"Bearer\\t§\" } }",
    "requestHeaders: { set: { via: 'ghp_§' } }",
    "requestHeaders: { set: { via: 'sk-ant-§' } }",
    "requestHeaders: { set: { via: 'xoxb-§' } }",
    "requestHeaders: { set: { via: 'glpat-§' } }",
    "requestHeaders: { set: { via: 'eyJh.eyJ§.c2ln' } }",
    "requestHeaders: { set: { via: '-----BEGIN PRIVATE KEY----- §' } }",
    "requestHeaders: { set: { via: 'sv=1&sig=§' } }",
    "requestHeaders: { set: { via: 'foo; password=§' } }",
    "requestHeaders: { set: { link: 'https://u:§@host/?k=§' } }",
    "respond: { body: 'x-api-key:§' }",
    // A forgotten space.
    "requestHeaders: { set: { authorization:§ } }",
    "requestHeaders: { set: { \"x-api-key:§\": x } }",
    "requestHeaders: { authorization:§ }",
    "match: { query: { \"token:§\": x, 'x=§': y } }",
    "match: { headers: { 'x-a:§': x } }",
    "timeout:§",
    "timout: 3s, note:§",
    // Substitutions.
    "timeout: '${NOPE:-§}'",
    "timeout: '${NOPE!§}'",
    "timeout: '${no-pe:-§}'",
    "timeout: '${1:-§}'",
    "requestHeaders: { set: { x-a: '${NOPE:-§}' } }",
    "requestHeaders: { set: { authorization: '${file:§1234567}' } }",
    // Other proxies' forms, and other lines of ours.
    "requestHeaders: { set: [{ name: authorization, value: § }] }",
    "requestHeaders: { set: [{ header: { key: x-a, value: § } }] }",
    "requestHeaders: { setHeaders: { x-a: § } }",
    "requestHeaders: 'authorization §'",
    "headers: { request: { set: { x-a: § } } }",
    "add_header: 'X-Any §'",
    "match: { queryParams: { q: § } }",
    "match: { queryParams: [{ name: q, value: { exact: § } }] }",
    "basicAuth: { users: ['u:§'] }",
    "filters: [{ type: x, config: { a: § } }]",
    "auth: { jwt: { inline: § } }",
    "timeout: 3, requestHeaders: { set: { x-a: § } }",
    "timeout: 3, strange: §, timeout: §",
    "timeout: 3 } # authorization: §\n  , b: { cluster: x",
    "match: { path: { exact: /x, exact: § } }",
];

/// The same in a cluster.
const CLUSTER: &[&str] = &[
    "endpoints: ['b:80'], healthCheck: { path: '/h;token=§' }",
    "endpoints: ['b:80'], healthCheck: { path: '/h?token=§' }",
    "endpoints: ['b:80'], healthCheck: { path: '/h?token=§', interval: 1 }",
    "endpoints: ['b:80'], healthCheck: { path: /h, headers: { x-any: § } }",
    "endpoints: ['b:80'], healthCheck: '/h?token=§'",
    "endpoints: ['user:§@host:80']",
    "endpoints: ['§@host:80']",
    "endpoints: ['https://user:§@host:80']",
    "endpoints: ['b:80', { address: 'c:80', labels: { api-key: § } }]",
    "endpoints: ['b:80'], tls: { caFile: ghp_§ }",
];

/// The same at the top of the file.
const TOP: &[&str] = &[
    "x-a: { password: &p § }\ndns: { servers: [*p] }",
    "x-a: &p §\ndefaults: { route: { requestHeaders: { set: { x-a: *p } } }, cluster: { connectTimeout: *p } }",
    "x-a: { x-api-key: &m { deep: § } }\ndns: *m",
    "admin: { tokenFile: §1234567 }",
    "admin: { tokenFile: sk-proj-§ }",
    "admin: { address: '0.0.0.0:1', tokenFile: eyJh.eyJ§.c2ln }",
    "admin: { token: § }",
    "authProviders: { one: { clientSecret: § } }",
    "authorization: §",
    "logging: { level: 'password: §' }",
    "a: 'b\nsecret: §",
    "secret §: [",
    "authorization:§: [",
    "- §",
];

#[test]
fn secrets_are_printed_nowhere() {
    let mut wrong = Vec::new();
    for (place, forms) in [("route", ROUTE), ("cluster", CLUSTER), ("top", TOP)] {
        for form in forms {
            let text = |marker: &str| with_secret(place, &form.replace('§', marker));
            let shown = printed(&text("MARKED"), &text("MARKER")).to_uppercase();
            if let Some(line) = shown.lines().find(|line| line.contains("MARKE")) {
                wrong.push(format!("{form}: {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_secret_stays_visible() {
    let mut wrong = Vec::new();
    for (place, form, shown) in [
        ("route", "timeout: 30", "timeout: 30 "),
        ("route", "timout: 30s", "endpoints: ['b:80'], timout: 30s"),
        ("route", "requestHeaders: { set: { cache-control: no-store, host: x } }", "cache-control: no-store"),
        ("route", "requestHeaders: { set: { vary: visible }, remove: [x-auth] }", "x-auth"),
        ("route", "requestHeaders: { set: { x-a: '${plain:TOKEN}' } }", "x-a: do-not-print-me"),
        ("route", "responseHeaders: { preset: secure }", "preset: secure"),
        ("route", "match: { path: { prefix: /v1/auth:refresh } }", "prefix: /v1/auth:refresh"),
        ("route", "match: { headers: { x-any: { present: true } } }", "present: true"),
        ("route", "hosts: [auth.example.com]", "auth.example.com"),
        ("route", "timeout: '${NOPE}'", "timeout: '${NOPE}'"),
        ("route", "timeout: '${NOPE:-30s}'", "timeout: 30s"),
        ("route", "rateLimit: { key: 'header:x-api-key', rate: 1/s }", "key: header:x-api-key"),
        ("route", "rateLimit: { key: clinetIp, rate: 1/s }", "key: clinetIp"),
        ("route", "cluster: researchAgentCluster2024", "cluster: researchAgentCluster2024"),
        ("cluster", "endpoints: ['auth-service:8080']", "auth-service:8080"),
        ("cluster", "endpoints: ['token-service.default.svc']", "token-service.default.svc"),
        (
            "cluster",
            "endpoints: ['b:80'], healthCheck: { path: '/h?token=S&b', interval: 3s }",
            "/h?token=(redacted)&b",
        ),
        ("cluster", "endpoints: ['b:80'], loadBalancer: { hash: { cookie: sorted } }", "cookie: sorted"),
        ("cluster", "endpoints: [{ address: 'b:80', labels: { zone: eu-1 } }]", "zone: eu-1"),
        ("cluster", "endpoints: ['b:80'], tls: { caFile: certs/none.pem }", "certs/none.pem"),
        ("top", "admin: { tokenFile: run/admin-token }", "run/admin-token"),
        ("top", "authProviders: { one: {} }", "authProviders"),
    ] {
        let text = with_secret(place, form);
        let all = printed(&text, &text);
        if !all.contains(shown) {
            wrong.push(format!("{shown} of {form}: {all}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _report = problems(&text).human(true);
    }

    #[test]
    fn no_yaml_panics(text in "([a-z]{1,3}|listeners|routes|http|match|[ \n:,{}\\[\\]&*!|>'\"#%@$?-]|\\$\\{|: |\n  |- ){0,60}") {
        let _report = problems(&text).human(false);
    }

    #[test]
    fn no_value_panics(key in "[a-zA-Z]{1,12}|match|timeout|hosts|endpoints|rewrite|respond|redirect|requestHeaders", value in "\\PC{0,40}") {
        let value = serde_json::Value::from(value).to_string();
        let _report = problems(&with_route(&format!("{{ {key}: {value}, cluster: x }}"))).json();
    }
}

#[test]
fn ten_thousand_routes_load() {
    let mut text = String::from(
        "listeners: { http: { address: '127.0.0.1:8080' } }\nclusters: { c: { endpoints: ['b:80'] } }\nroutes:\n",
    );
    for index in 0..10_000 {
        text.push_str(&format!("  r{index}: {{ hosts: [h{index}.example.com], match: {{ path: {{ prefix: /p{index} }}, headers: {{ x: y }} }}, cluster: c }}\n"));
    }
    let loaded = parse(&text, "gateway.yaml", &env()).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.config.routes.len(), 10_000);
}

#[test]
fn websocket_to_a_cluster_that_knows_no_switch_is_a_warning() {
    let tls = "tls: {}";
    for (protocol, tls, warned) in
        [("h2c", "", true), ("h2", tls, true), ("auto", tls, false), ("auto", "", false), ("http/1.1", "", false)]
    {
        for websocket in [true, false] {
            let text = format!(
                "listeners: {{ http: {{ address: '127.0.0.1:8080' }} }}
routes: {{ a: {{ cluster: one, websocket: {websocket} }} }}
clusters: {{ one: {{ endpoints: ['agent:80'], protocol: {protocol}, {tls} }} }}"
            );
            let report = problems(&text);
            let found = report.to_string().contains("`clusters.one` speaks only HTTP/2");
            assert_eq!(found, warned && websocket, "{protocol}, {websocket}: {report}");
        }
    }
}
