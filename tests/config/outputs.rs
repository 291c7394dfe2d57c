//! What the gateway writes to is neither read nor written to by anything else.

use std::fs;
use std::os::unix::fs::symlink;

use attache::config::load;

use crate::env;

#[test]
fn nothing_that_is_read_or_written_is_written_over() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("parts")).unwrap();
    fs::write(at("parts/a.yaml"), "logging: { level: info }\n").unwrap();
    fs::write(at("token"), "0123456789abcdef").unwrap();
    fs::write(at("log"), "").unwrap();
    symlink("token", at("link")).unwrap();
    symlink("parts/new.yaml", at("link-to-new")).unwrap();
    fs::hard_link(at("token"), at("twin")).unwrap();
    fs::hard_link(at("log"), at("log-twin")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(at("pipe")).status();
    assert!(made.unwrap().success());
    let env = env().with_root(root.path());
    let check = |state: &str, good: &str, log: &str, socket: &str| {
        let text = format!(
            "include: [parts/*.yaml]\nlisteners: {{ http: {{ address: '127.0.0.1:80' }} }}\n\
             routes: {{ all: {{ respond: {{ status: 204 }} }} }}\nstate: {{ file: {state} }}\n\
             reload: {{ lastGoodFile: {good} }}\naccessLog: {{ output: {log} }}\n\
             admin: {{ address: 'unix:{socket}', tokenFile: token }}\n"
        );
        fs::write(at("gateway.yaml"), text).unwrap();
        match load("gateway.yaml".as_ref(), &env) {
            Ok(_) => String::new(),
            Err(report) => {
                assert_eq!(report.errors(), 1, "{report}");
                report.diagnostics()[0].path.clone()
            }
        }
    };
    let socket = at("socket").display().to_string();
    let (state, good, log) = ("state", "good", "./log");
    assert_eq!(check(state, good, log, &socket), "");
    for taken in [
        "gateway.yaml", "token", "link", "twin", "parts/a.yaml", "parts/../gateway.yaml", "parts/new.yaml",
        "link-to-new",
    ] {
        assert_eq!(check(taken, good, log, &socket), "state.file", "{taken}");
        let log = format!("./{taken}");
        assert_eq!(check(state, good, &log, &socket), "accessLog.output", "{taken}");
        let found = check(state, taken, "./log", &socket);
        assert_eq!(found, "reload.lastGoodFile", "{taken}");
    }
    let token = at("token").display().to_string();
    assert_eq!(check(state, good, log, &token), "admin.address");
    for (state, good, log, expected) in [
        ("same", "same", "./log", "reload.lastGoodFile"),
        ("same.lock", "same", "./log", "reload.lastGoodFile"),
        ("same", "good", "./same", "accessLog.output"),
        ("log-twin", "good", "./log", "accessLog.output"),
        ("parts", "good", "./log", "state.file"),
        ("pipe", "good", "./log", "state.file"),
        ("/dev/null", "good", "./log", "state.file"),
        ("state", "good", "/dev/null", ""),
    ] {
        let found = check(state, good, log, &socket);
        assert_eq!(found, expected, "{state} {good} {log}");
    }
}
