//! From one configuration to the next: what is said about the change.

use std::collections::BTreeMap;
use std::sync::Arc;

use attache::config::Effective;

use crate::loaded;

fn effective(routes: &str) -> Arc<Effective> {
    loaded(&format!("listeners: {{ http: {{ address: 127.0.0.1:80 }} }}\nroutes:\n{routes}")).config.effective
}

fn lines(before: &str, after: &str) -> Vec<String> {
    let mut lines = effective(before).difference(&effective(after)).lines();
    lines.pop();
    lines
}

#[test]
fn what_changes_is_said_in_a_few_words() {
    let with = |key: &str| format!("  a: {{ cluster: c, {key} }}\nclusters: {{ c: {{ endpoints: ['b:80'] }} }}\n");
    for (key, before, after, expected) in [
        ("timeout: %", "null", "1s", "timeout  (default) -> 1s"),
        ("hosts: [%]", "a.test, b.test", "b.test, c.test", "hosts  a.test removed, c.test added"),
        ("hosts: [%]", "a.test, b.test", "b.test, a.test", "hosts  another order"),
        ("requestHeaders: { set: { vary: % } }", "one", "two", "requestHeaders  set vary one -> two"),
        ("requestHeaders: { set: { x-a: % } }", "one", "two", "requestHeaders  set x-a changed"),
        ("requestHeaders: { set: { x-token: % } }", "one", "two", "requestHeaders  set x-token changed"),
        ("requestHeaders: { set: { link: 'https://h/?k=%' } }", "one", "two", "requestHeaders  set link changed"),
        ("match: { headers: { x-a: % } }", "one", "two", "match  headers x-a changed"),
        (
            "match: { query: { 'token:%': x } }",
            "one",
            "two",
            "match  query token:(redacted) (default) -> (redacted), token:(redacted) (redacted) -> (default)",
        ),
        (
            "streaming: { % }",
            "idleTimeout: 1m",
            "idleTimeout: 2m, maxDuration: 1h",
            "streaming  idleTimeout 1m -> 2m, maxDuration (default) -> 1h",
        ),
    ] {
        let [before, after] = [before, after].map(|value| with(&key.replace('%', value)));
        assert_eq!(lines(&before, &after), [format!("  ~ routes.a.{expected}")]);
    }
    assert_eq!(lines(&with("timeout: 3s"), &with("")), ["  ~ routes.a.timeout  3s -> (default)"]);
    assert_eq!(lines(&with(""), &with("timeout: off")), ["  ~ routes.a.timeout  (default) -> off"]);
    assert!(lines(&with(""), &format!("{}# a comment\n", with(""))).is_empty());
}

#[test]
fn however_much_changes_the_lines_are_few_and_short() {
    let routes = |answer: &str| {
        (0..500).fold(String::new(), |text, index| {
            text + &format!(
                "  r{index}: {{ match: {{ path: {{ exact: /{index} }} }}, respond: {{ body: {answer} }} }}\n"
            )
        })
    };
    let (before, after) = (routes("one"), routes(&"long".repeat(1000)));
    let found = effective(&before).difference(&effective(&after));
    assert_eq!(
        (found.changes.len(), found.more, found.unchanged.clone()),
        (100, 400, BTreeMap::from([("listeners", 1)]))
    );
    let lines = found.lines();
    assert!(lines.iter().all(|line| line.len() < 400), "{lines:?}");
    assert_eq!(lines[100], "  and 400 more");
}

#[test]
fn secrets_leave_only_the_mark_that_they_are_there() {
    let route = "  a: { respond: { body: x }, responseHeaders: { set: { x-api-key: hidden, x-link: 'https://hidden:hidden@host/' } } }\n";
    let effective = effective(route);
    assert!(!format!("{effective:?}").contains("hidden"), "not even in memory");
    let yaml = effective.yaml();
    assert!(yaml.contains("x-api-key: (redacted)\n"), "{yaml}");
}
