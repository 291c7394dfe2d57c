//! `config show`: the same configuration again, without its secrets.

use attache::config::{parse, show_text};

use crate::env;

#[test]
fn what_is_shown_means_the_same() {
    let text = "
listeners:
  http: { address: 127.0.0.1:80, limits: { maxHeaders: '${COUNT:-7}', maxBodyBytes: '${SIZE:-5MiB}', maxTargetBytes: '${TARGET:-9KiB}' } }
  drained: { address: '[::1]:81', protocols: [h2] }
defaults:
  route: { timeout: 3s }
  cluster: { connectTimeout: 1s }
routes:
  a:
    match: [{ path: { exact: /a }, headers: { x-a: { present: true } } }, { path: { prefix: /b }, methods: [GET, PUT] }]
    cluster: two
    requestHeaders: { set: { server: 'a: b # c', x-empty: '', age: 1.20, priority: '7', vary: 'true', via: '${N:-8}', warning: \"a b\" }, remove: [x-old] }
    responseHeaders: { preset: secure }
  b: { hosts: ['*.example.com'], endpoints: ['10.0.0.1:80', { address: 'b:80', weight: 3, labels: { zone: a } }] }
  c: { match: { path: { regex: '/c/(\\d+)' } }, rewrite: { regex: { pattern: '/c/(\\d+)', replacement: '/$1' } }, cluster: two }
  e: { match: { path: { exact: /e } }, rateLimit: [shared, { key: [clientIp, 'header:x-api-key'], rate: 10r/s, burst: 20 }], maxConcurrentPerClient: 5, cluster: two }
  d: { match: { path: { exact: /d } }, respond: { status: 200, body: '{\"a\": [1]}' } }
clusters:
  two: { discovery: { dns: 'two:80', refresh: 5s }, loadBalancer: { hash: { cookie: session } }, tls: {} }
rateLimits: { shared: { key: 'cookie:session', rate: 20/10s, cost: { GET: 0 }, mode: shadow } }
clientIp: { ipv6PrefixLen: 56 }
shutdown: { drainTimeout: 9s }
admin: {}
reload: { debounce: off }
metrics: { latencyBuckets: [0.50, 1, 1e1] }
";
    let env = env();
    let before = parse(text, "a.yaml", &env).map_err(|report| report.human(false)).expect("legal").config;
    for defaults in [false, true] {
        let shown = show_text(text, "a.yaml", &env, defaults).expect("legal");
        let mut after = parse(&shown, "b.yaml", &env).unwrap_or_else(|report| panic!("{shown}\n{report}")).config;
        after.hash.clone_from(&before.hash);
        after.effective.clone_from(&before.effective);
        assert_eq!(format!("{after:#?}"), format!("{before:#?}"), "{shown}");
    }
}

#[test]
fn a_credential_in_the_place_of_its_description_is_not_shown() {
    for rest in [
        "authProviders: { keys: { apiKey: hidden-1 } }",
        "authProviders: { keys: { apiKey: [hidden-1, hidden-2] } }",
        "authProviders: { keys: { apiKey: { bearer: hidden-1, keysFile: keys } } }",
        "authProviders: { people: { basic: hidden-1 } }",
        "authProviders: { people: { basic: { credentials: hidden-1 } } }",
        "authProviders: { tokens: { jwt: hidden-1 } }",
        "authProviders: { apiKey: hidden-1 }",
        "routes: { a: { auth: { anyOf: [keys], credentials: hidden-1 }, respond: { status: 204 } } }",
        "routes: { a: { auth: 'keys hidden-1', respond: { status: 204 } } }",
        "defaults: { route: { auth: { credentials: hidden-1 } } }",
    ] {
        let text = format!("listeners: {{ http: {{ address: '127.0.0.1:80' }} }}\n{rest}\n");
        let report = parse(&text, "a.yaml", &env()).expect_err(rest);
        let shown = format!("{}{report:?}", report.human(false));
        assert!(!report.human(false).contains("hidden"), "{shown}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let text = "
listeners: { http: { address: 127.0.0.1:80 } }
routes:
  a:
    match: { path: { exact: /a }, headers: { x-api-key: { exact: hidden-6 }, x-b: hidden-7, x-c: { regex: 'hidden-8.*' } }, query: { q: hidden-9 } }
    endpoints: ['auth:80']
    fault: { abort: { percentage: 1%, httpStatus: 503, whenHeader: { x-d: hidden-10 } } }
    requestHeaders: { set: { authorization: hidden-1, vary: visible, x-api-key: hidden-2, x-a: '${TOKEN}', x-b: '${PLAIN}', x-c: '${plain:PLAIN}', x-d: '${UNSET:-hidden-16}', via: '${UNSET:-written}', x-any: hidden-17, x-auth: hidden-11, x-e: 'Bearer hidden-12' } }
    responseHeaders: { set: { link: 'https://hidden-4:hidden-5@host/?a=hidden-13' } }
  b: { match: { path: { exact: /b } }, cluster: c }
clusters:
  c: { endpoints: ['b:80'], healthCheck: { path: '/healthz?token=hidden-14&b', headers: { x-auth: hidden-15 } }, loadBalancer: { hash: { cookie: sorted } } }
";
    let env = env().with_variable("TOKEN", "hidden-3").with_variable("PLAIN", "declared");
    let shown = show_text(text, "a.yaml", &env, true).unwrap_or_else(|report| panic!("{report}"));
    let effective = parse(text, "a.yaml", &env).expect("legal").config.effective;
    for shown in [shown, effective.yaml()] {
        assert!(!shown.contains("hidden"), "{shown}");
        for visible in [
            "vary: visible",
            "x-b: (redacted)",
            "x-c: declared",
            "via: written",
            "auth:80",
            "cookie: sorted",
            "/healthz?token=(redacted)&b",
            "https://(redacted)@host/?a=(redacted)",
        ] {
            assert!(shown.contains(visible), "{visible} in {shown}");
        }
    }
    assert!(!format!("{effective:?}").contains("hidden"), "in memory");
}
