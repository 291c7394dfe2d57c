//! Verbs say for programs what they say for people: one JSON document on standard output, and the same exit code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod command;

use command::{Running, SOUND_CARD, documents_at, path, run, written};
use serde_json::{Value, json};
use tempfile::TempDir;

const GOOD: &str = "
listeners: { web: { address: \"127.0.0.1:0\" } }
metrics: { address: \"127.0.0.1:0\" }
routes: { research: { match: { path: { prefix: /research } }, endpoints: [\"127.0.0.1:1\"] } }
";

/// The exit code of a verb, and what it said.
fn said(arguments: &[&str]) -> (i32, Value) {
    let (code, out, error) = run(&[arguments, &["--json"]].concat());
    let value = serde_json::from_str(&out).unwrap_or_else(|fault| panic!("{arguments:?}: {fault}\n{out}\n{error}"));
    (code, value)
}

#[test]
fn a_configuration_is_shown_and_can_be_read_again() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, "gateway.yaml", GOOD);
    for more in [&[][..], &["--defaults"]] {
        let (code, shown) = said(&[&["config", "show", &file], more].concat());
        assert_eq!((code, &shown["listeners"]["web"]["address"]), (0, &json!("127.0.0.1:0")));
        assert_eq!(shown["listeners"]["web"]["limits"].is_object(), !more.is_empty(), "{shown}");
        let again = written(&directory, "again.yaml", &shown.to_string());
        assert_eq!(said(&["validate", &again]).0, 0);
        assert_eq!(said(&[&["config", "show", &again], more].concat()).1, shown);
    }
}

#[test]
fn problems_are_told() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, "gateway.yaml", "routes: { all: { endpoint: [] } }");
    let (code, report) = said(&["validate", &file]);
    assert_eq!((code, report.to_string().contains("endpoints")), (1, true), "{report}");
    let (code, _, error) = run(&["validate", &file, "--json", "--format", "github"]);
    assert_eq!(code, 2, "{error}");
}

#[test]
fn what_happens_to_a_request_is_told_fact_by_fact() {
    let directory = TempDir::new().unwrap();
    let file = written(
        &directory,
        "gateway.yaml",
        GOOD.replace("web: { address: \"127.0.0.1:0\"", "web: { address: \"127.0.0.1:8080\"").as_str(),
    );
    let (code, explained) = said(&["explain", "GET", "http://localhost:8080/research/x", "-c", &file]);
    assert_eq!((code, &explained["matches"]), (0, &json!(true)));
    let facts = explained["facts"].as_array().unwrap();
    assert_eq!(facts[0], json!({ "about": "request", "says": "GET http://localhost:8080/research/x" }));
    let about = |label: &str| facts.iter().filter(|fact| fact["about"] == label).count();
    assert!(about("route") > 0 && about("listener") > 0 && about("") == 0, "{explained}");
    let (code, explained) = said(&["explain", "GET", "http://localhost:8080/other", "-c", &file]);
    assert_eq!((code, &explained["matches"]), (1, &json!(false)));
    let not_taken = explained["facts"].as_array().unwrap().iter().find(|fact| fact["about"] == "not taken");
    assert!(not_taken.unwrap()["says"].as_str().unwrap().starts_with("research: "), "{explained}");
}

#[test]
fn a_running_gateway_is_asked() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, "gateway.yaml", &format!("{GOOD}logging: {{ format: text }}\n"));
    let mut gateway = Running::start(&["run", "-c", &file], true);
    let lines = gateway.until("/metrics");
    let metrics = lines.last().unwrap().split_whitespace().find(|word| word.ends_with("/metrics")).unwrap();
    let url = |path: &str| metrics.replace("/metrics", path);
    assert_eq!(
        said(&["healthcheck", "--url", &url("/health")]),
        (0, json!({ "ok": true, "url": url("/health"), "status": 200, "error": null }))
    );
    let (code, answer) = said(&["healthcheck", "--url", &url("/nothing")]);
    assert_eq!((code, &answer["ok"], &answer["status"]), (1, &json!(false), &json!(404)));
    assert_eq!(gateway.signal("TERM"), 0);
    let (code, answer) = said(&["healthcheck", "--url", &url("/health")]);
    assert!(code == 1 && answer["status"].is_null() && answer["error"].is_string(), "{answer}");
}

#[test]
fn certificates_are_named() {
    let directory = TempDir::new().unwrap();
    let out = path(&directory, "certs");
    for is_new in [true, false] {
        let (code, made) = said(&["certs", "dev", "--out", &out, "--if-missing"]);
        let names = |file: &str| json!(format!("{out}/{file}"));
        let expected = json!({
            "authority": names("ca.crt"), "certificate": names("gateway.crt"), "key": names("gateway.key"),
            "isNew": is_new,
        });
        assert_eq!((code, made), (0, expected));
    }
}

#[test]
fn a_card_is_told() {
    let address = documents_at(&[("/.well-known/agent-card.json", SOUND_CARD)]);
    let url = format!("http://{address}");
    let (code, card) = said(&["card", &url]);
    assert!(card["name"].is_string() && card["problems"].is_array(), "{code} {card}");
    assert_eq!(run(&["card", &url, "--format", "json"]).1, run(&["card", &url, "--json"]).1);
}
