//! One section of a configuration that may be broken elsewhere.

use std::fs;
use std::path::Path;

use attache::config::{admin, metrics_address};

use crate::env;

#[test]
fn a_section_is_read_whatever_else_is_wrong_and_never_guessed() {
    const ELSEWHERE: &str = "admin: { address: '127.0.0.1:9' }\nroutes: { a: { timout: 1 } }\n";
    let root = tempfile::tempdir().unwrap();
    let env = env().with_root(root.path());
    for (text, expected) in [
        (ELSEWHERE, Some(Some("http://127.0.0.1:9"))),
        ("admin: {}\nlisteners: []\n", Some(Some("http://127.0.0.1:9901"))),
        ("admin:\n", Some(None)),
        ("admin: { address: off }\n", Some(None)),
        ("routes: { a: '${NONE}' }\n", Some(None)),
        ("include: [nowhere.yaml]\nadmin: { address: '127.0.0.1:9' }\n", Some(Some("http://127.0.0.1:9"))),
        ("include: [nowhere.yaml]\n", None),
        ("", None),
        ("admin: {", None),
        ("admin: x\n", None),
        ("admin: { address: '127.0.0.1:99999' }\n", None),
        ("admin: { adress: '127.0.0.1:9' }\n", None),
        ("admin: { address: '${NONE}' }\n", None),
        ("admin: { address: '127.0.0.1:8' }\nadmin: { address: '127.0.0.1:9' }\n", None),
        ("admin: { address: '127.0.0.1:8', address: '127.0.0.1:9' }\n", None),
        ("include: [other.yaml]\nadmin: { address: '127.0.0.1:8' }\n", None),
    ] {
        fs::write(root.path().join("a.yaml"), text).unwrap();
        fs::write(root.path().join("other.yaml"), ELSEWHERE).unwrap();
        let found = admin(Path::new("a.yaml"), &env);
        let found = found.map(|admin| admin.map(|admin| admin.address.to_string()));
        if let Err(report) = &found {
            assert!(report.errors() > 0, "{text}: it says why");
        }
        let expected = expected.map(|found| found.map(str::to_owned));
        assert_eq!(found.ok(), expected, "{text}");
    }
    let nowhere = admin(Path::new("nowhere.yaml"), &env).unwrap_err();
    assert!(nowhere.to_string().contains("nowhere.yaml"), "{nowhere}");
}

#[test]
fn the_metrics_listener_is_found() {
    let root = tempfile::tempdir().unwrap();
    let env = env().with_root(root.path());
    for (text, expected) in [
        ("routes: { a: { timout: 1 } }\n", Some(Some("127.0.0.1:9090"))),
        ("metrics: { address: '0.0.0.0:7' }\n", Some(Some("0.0.0.0:7"))),
        ("metrics: { address: off }\n", Some(None)),
        ("metrics: { address: 7x }\n", None),
        ("metrics: [", None),
    ] {
        fs::write(root.path().join("a.yaml"), text).unwrap();
        let found = metrics_address(Path::new("a.yaml"), &env).ok();
        let found = found.map(|address| address.map(|address| address.to_string()));
        let expected = expected.map(|found| found.map(str::to_owned));
        assert_eq!(found, expected, "{text}");
    }
}
