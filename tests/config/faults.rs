//! What is said about faults and mirrors that contradict themselves, and which blocks of other proxies are understood.

use std::time::Duration;

use attache::config::model::{AbortAnswer, Config};
use attache::config::{Report, parse, show_text};

use crate::{codes, env, loaded};

fn text(route: &str) -> String {
    let route = route.replace('\n', "\n    ");
    format!(
        "listeners: {{ http: {{ address: '127.0.0.1:8080' }} }}\nroutes:\n  a:\n    cluster: one\n    {route}\n  \
         b: {{ hosts: [b.test], cluster: two }}\n\
         clusters: {{ one: {{ endpoints: ['127.0.0.1:1'] }}, two: {{ endpoints: ['127.0.0.1:2'] }} }}\n"
    )
}

fn problems(route: &str) -> Report {
    match parse(&text(route), "gateway.yaml", &env()) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    }
}

fn config(route: &str) -> Config {
    loaded(&text(route)).config
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of cases is as long as it has to be")]
fn contradictions_are_said_with_a_suggestion() {
    const END: &str = "until: 2026-12-31T00:00:00Z";
    for (route, expected, hint) in [
        (
            "fault: { delay: { percentage: 0.1, fixedDelay: 2s }, END }",
            "invalid-value",
            "write `0.1%` for 0.1 in a hundred",
        ),
        ("fault: { delay: { percentage: 101%, fixedDelay: 2s }, END }", "invalid-value", "write `0.1%`"),
        ("fault: { delay: { fixedDelay: 2s }, END }", "missing-field", "Istio's default is `100%`"),
        ("fault: { delay: { percentage: 1% }, END }", "missing-field", "add `fixedDelay: 2s`"),
        ("fault: { delay: { percentage: 1%, fixedDelay: 0s }, END }", "invalid-value", "1ms to"),
        ("fault: { delay: { percentage: 1%, fixedDelay: 2h }, END }", "invalid-value", "to 3600000ms"),
        ("fault: { delay: { percentage: 0%, fixedDelay: 2s }, END }", "without-effect", "raise it"),
        ("fault: { abort: { percentage: 1% }, END }", "missing-field", "`httpStatus: 503`"),
        ("fault: { abort: { percentage: 1%, httpStatus: 503, grpcStatus: 14 }, END }", "conflict", "keep one of them"),
        ("fault: { abort: { percentage: 1%, httpStatus: 200 }, END }", "invalid-value", "400 to 599"),
        ("fault: { abort: { percentage: 1%, grpcStatus: OK }, END }", "invalid-value", "`UNAVAILABLE`"),
        ("fault: { abort: { percentage: 100%, httpStatus: 503 }, END }", "fault-always", "`whenHeader`"),
        ("fault: { abort: { percent: 5, httpStatus: 503 }, END }", "unknown-field", "`percentage: 10%`"),
        (
            "fault: { abort: { percentage: 1%, httpStatus: 503, whenHeader: { 'x y': a } }, END }",
            "invalid-value",
            "letters, digits",
        ),
        ("fault: { stream: { percentage: 1% }, END }", "missing-field", "`cutAfterEvents: 5`"),
        ("fault: { byHeader: { percentage: 5% }, END }", "missing-field", "`clients: [10.0.0.0/8]`"),
        ("fault: { maxActive: 0, delay: { percentage: 1%, fixedDelay: 2s }, END }", "invalid-value", "1 to 1000000"),
        ("fault: { END }", "missing-field", "`delay`, `abort`, `stream` or `byHeader`"),
        ("fault: { delay: { percentage: 1%, fixedDelay: 2s } }", "fault-without-end", "add `until:"),
        (
            "fault: { delay: { percentage: 1%, fixedDelay: 2s }, until: 2026-01-01T00:00:00Z }",
            "without-effect",
            "a later moment",
        ),
        (
            "fault: { delay: { percentage: 1%, fixedDelay: 2s }, until: tomorrow }",
            "invalid-value",
            "date, time and offset",
        ),
        ("timeout: 2s\nfault: { delay: { percentage: 1%, fixedDelay: 2s }, END }", "fault-beyond-timeout", "a 504"),
        ("httpFault: {}", "unknown-field", "that is `fault:"),
        ("mirrorPercentage: { value: 5 }", "unknown-field", "that is `mirror:"),
        ("mirror: { host: two, subset: v2 }", "unknown-field", "`cluster: name`"),
        ("mirror: { percentage: 5% }", "missing-field", "add `cluster: name`"),
        ("mirror: { cluster: tow }", "unknown-reference", "did you mean `two`?"),
        ("mirror: { cluster: two, methods: POST }", "conflict", "`unsafe: true`"),
        ("mirror: { cluster: two, methods: POST, unsafe: true }", "mirror-unsafe", "reaches nobody"),
        ("mirror: { cluster: two, unsafe: true }", "mirror-unsafe", "reaches nobody"),
        ("mirror: { cluster: one }", "mirror-of-itself", "twice"),
        ("mirror: { cluster: two, maxBodyBytes: 1GiB }", "invalid-value", "1B to 16777216B"),
        ("mirror: { cluster: two, maxActive: 0 }", "invalid-value", "1 to 100000"),
    ] {
        let report = problems(&route.replace("END", END));
        let human = report.human(false);
        assert_eq!(codes(&report).first(), Some(&expected), "{route}\n{human}");
        assert!(human.contains(hint), "{route}: no {hint:?} in\n{human}");
    }
}

#[test]
fn what_is_right_needs_no_word() {
    for route in [
        "fault: off",
        "mirror: off",
        "fault: null",
        "mirror: { cluster: two, percentage: 5%, methods: [GET, HEAD], maxBodyBytes: 1MiB }",
        "fault: { byHeader: { clients: 10.0.0.0/8 }, until: 2026-12-31T00:00:00Z }",
    ] {
        let report = problems(route);
        assert!(codes(&report).is_empty(), "{route}\n{}", report.human(false));
    }
}

#[test]
fn the_blocks_of_istio_paste() {
    let config = config(
        "fault:
  delay:
    percentage:
      value: 0.1
    fixedDelay: 5s
  abort:
    percentage:
      value: 10
    grpcStatus: \"UNAVAILABLE\"
timeout: 30s",
    );
    let route = config.routes.first().expect("a route");
    let fault = route.fault.as_ref().expect("a fault");
    let delay = fault.delay.as_ref().expect("a delay");
    assert_eq!(delay.percentage.of_million(), 1_000, "one in a thousand");
    assert_eq!(delay.fixed_delay, Some(Duration::from_secs(5)));
    let abort = fault.abort.as_ref().expect("an abort");
    assert_eq!(abort.percentage.to_string(), "10%");
    assert!(matches!(abort.answer(), AbortAnswer::Grpc(code) if code.code() == 14));
    assert_eq!((fault.max_active, route.timeout), (100, Some(Duration::from_secs(30))));
}

#[test]
fn a_route_that_answers_itself_says_that_nothing_is_injected() {
    let text = |defaults: &str, fault: &str| {
        format!(
            "listeners: {{ http: {{ address: '127.0.0.1:8080' }} }}\n{defaults}\n\
             routes: {{ a: {{ respond: {{ status: 200 }}{fault} }} }}\n"
        )
    };
    let fault = "fault: { delay: { percentage: 1%, fixedDelay: 1s } }";
    let warnings = |text: &str| {
        let loaded = parse(text, "gateway.yaml", &env()).expect("it is legal");
        loaded.warnings.diagnostics().len()
    };
    assert_eq!(warnings(&text("", &format!(", {fault}"))), 1);
    let everywhere = format!("defaults: {{ route: {{ {fault} }} }}");
    assert_eq!(warnings(&text(&everywhere, "")), 0);
}

#[test]
fn defaults_are_shown_and_mean_the_same() {
    let text =
        text("fault: { byHeader: { clients: 10.0.0.0/8 }, until: 2026-12-31T00:00:00Z }\nmirror: { cluster: two }");
    let shown = show_text(&text, "gateway.yaml", &env(), true).expect("it is legal");
    for line in ["maxActive: 100", "maxDelay: 10s", "maxBodyBytes: 256KiB", "unsafe: false"] {
        assert!(shown.contains(line), "no {line:?} in\n{shown}");
    }
    let again = parse(&shown, "gateway.yaml", &env()).expect("what is shown is legal").config;
    let once = parse(&text, "gateway.yaml", &env()).expect("it is legal").config;
    assert_eq!(format!("{:?}", again.routes), format!("{:?}", once.routes));
}
