//! Rules about paths and what agents make of a path: what is let through is what the rules let through, however an
//! agent reads it.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::sample::select;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::support::{Backend, Gw};

/// What paths are made of here. Each is a way to write a slash, a dot segment, a parameter or a name.
const PIECES: &[&str] = &[
    "/", "/", "/", "admin", "public", "Admin", "x", "..", ".", ";", ";a=b", "%2e", "%2E%2e", "%252e", "%2f", "%252F",
    "%5c", "%255C", "%3b", "%253B", "%61dmin", "%2561dmin", "admin/", "public/", "/..;/", "%20",
];

/// Spellings that have led into closed places elsewhere.
const KNOWN: &[&str] = &[
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/public/..;/admin",
    "/public/..;a=b/admin",
    "/public/.;/../admin",
    "/public/%252e%252e/admin",
    "/public%2f..%2fadmin",
    "/public/..%2fadmin",
    "/public%5c..%5cadmin",
    "//admin",
    "/public//../admin",
    "/;/admin",
    "/admin;x=1",
    "/admin;x=1/y",
    "/%61dmin",
    "/%2561dmin",
    "/admin%2fx",
    "/ADMIN",
    "/admin/",
    "/admin/.",
    "/admin/..;/admin",
    "/public/a%252Fb/..;/..;/admin",
    "/admin;a%252Fb",
    "/admin%3Bx%252Fy",
    "/public/..%252fadmin",
    "/public%252f..%252f..%252fadmin",
    "/x/../admin",
    "/./admin",
    "/admin%3bx",
    "/.;/admin",
];

/// A gateway that refuses as little as it can by itself, with this rule.
async fn before(agent: &Backend, rule: &str) -> Gw {
    let text = format!(
        "workers: 1\n\
         listeners: {{ http: {{ address: '127.0.0.1:0', paths: {{ mergeSlashes: false, allowEncodedSlash: true }} }} }}\n\
         routes: {{ all: {{ endpoints: ['{{0}}'], a2a: off, authorization: {{ rules: [{rule}] }} }} }}"
    );
    Gw::with(&text, &[agent]).await
}

/// Every way in which an agent may read a path: each does some of these things, in some order, perhaps twice.
fn readings(path: &str) -> BTreeSet<String> {
    let steps: [fn(&str) -> String; 6] = [
        decoded,
        |path| path.split('/').map(|part| part.split(';').next().unwrap()).collect::<Vec<_>>().join("/"),
        |path| path.replace('\\', "/"),
        resolved,
        |path| path.split('/').filter(|part| !part.is_empty()).fold(String::new(), |made, part| made + "/" + part),
        |path| path.to_ascii_lowercase(),
    ];
    let mut found = BTreeSet::from([path.to_owned()]);
    let mut new = vec![path.to_owned()];
    while let Some(path) = new.pop() {
        for step in steps {
            let read = step(&path);
            if found.insert(read.clone()) {
                new.push(read);
            }
        }
    }
    found
}

/// Decoded once.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut read = parts.next().unwrap().to_owned();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => read.extend([char::from(value)].into_iter().chain(part[2..].chars())),
            None => read.extend(["%", part]),
        }
    }
    read
}

/// Without dot segments (RFC 3986 section 5.2.4).
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Sends a path and shows what of it reached the agent: that counts, and not what a client sent.
async fn forwarded(gw: &Gw, agent: &Backend, path: &str) -> Option<String> {
    let hits = agent.hits();
    let mut raw = gw.raw().await;
    raw.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
    let (head, _) = raw.read_message().await;
    let passed = head.starts_with("HTTP/1.1 200");
    assert_eq!(agent.hits() - hits, usize::from(passed), "{path}: {head}");
    assert!(passed || head.contains(" 403 ") || head.contains(" 400 "), "{path}: {head}");
    passed.then(|| agent.requests().last().unwrap().uri.path().to_owned())
}

fn paths(count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let path = vec(select(PIECES), 1..9).prop_map(|pieces| format!("/{}", pieces.concat()));
    let made = (0..count).map(|_| path.new_tree(&mut runner).unwrap().current());
    KNOWN.iter().map(|path| (*path).to_owned()).chain(made).collect()
}

#[tokio::test]
async fn no_spelling_leads_where_a_rule_denies() {
    let agent = Backend::replying(200).await;
    for rule in ["{ action: deny, paths: { prefix: /admin } }", "{ notPaths: { prefix: /admin/ } }"] {
        let gw = before(&agent, rule).await;
        let mut passed = 0;
        for path in paths(400) {
            let Some(seen) = forwarded(&gw, &agent, &path).await else { continue };
            passed += 1;
            for read in readings(&seen) {
                assert!(!is_below(&read, "/admin"), "{rule}: {path} came as {seen} and may be read as {read}");
            }
        }
        assert!(passed > 50, "the rest passes: {passed}");
    }
}

#[tokio::test]
async fn no_spelling_of_one_path_passes_a_rule_that_denies_it() {
    let agent = Backend::replying(200).await;
    let gw = before(&agent, "{ action: deny, paths: { exact: /admin } }").await;
    for path in paths(400) {
        let Some(seen) = forwarded(&gw, &agent, &path).await else { continue };
        for read in readings(&seen) {
            assert_ne!(read.strip_suffix('/').unwrap_or(&read), "/admin", "{path} came as {seen}");
        }
    }
}

#[tokio::test]
async fn no_spelling_leads_out_of_what_a_rule_allows() {
    let agent = Backend::replying(200).await;
    for rule in ["{ paths: { prefix: /public } }", "{ action: deny, notPaths: { prefix: /public } }"] {
        let gw = before(&agent, rule).await;
        let mut passed = 0;
        for path in paths(400).into_iter().map(|path| format!("/public{path}")) {
            let Some(seen) = forwarded(&gw, &agent, &path).await else { continue };
            passed += 1;
            for read in readings(&seen) {
                assert!(is_below(&read, "/public"), "{rule}: {path} came as {seen} and may be read as {read}");
            }
        }
        assert!(passed > 50, "the rest passes: {passed}");
    }
}
