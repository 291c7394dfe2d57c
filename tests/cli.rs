//! The command line from outside: what it prints, how it exits, and what is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod command;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use assert_cmd::assert::OutputAssertExt;
use command::{Running, SOUND_CARD, attache, documents_at, path, run, written};
use tempfile::TempDir;

// ---------------------------------------------------------------------------------------------- usage

#[test]
fn without_a_verb_it_prints_help_and_exits_2() {
    let (code, _, error) = run(&[]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("Usage: attache") && error.contains("Examples:"), "{error}");
}

#[test]
fn wrong_usage_exits_2() {
    for arguments in [
        &["nonsense"][..],
        &["run"],
        &["validate"],
        &["explain", "GET"],
        &["explain", "get", "http://localhost/", "-c", "x.yaml"],
        &["version", "--yaml"],
        &["demo", "--https-port", "70000"],
        &["demo", "--agents-only", "--http-port", "1"],
        &["demo", "--public-url", "https://localhost"],
        &["healthcheck", "--timeout", "0"],
        &["completions", "tcl"],
        &["reload"],
        &["reload", "--admin", "somewhere"],
    ] {
        let (code, out, error) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(error.contains("Usage:") || error.contains("--help"), "{arguments:?} says how: {error}");
    }
}

#[test]
fn help_goes_to_standard_output_and_exits_0() {
    let (code, out, _) = run(&["run", "--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("Examples:") && out.contains("ATTACHE_CONFIG"), "{out}");
}

#[test]
fn version_is_told_to_people_and_to_machines() {
    let (code, out, _) = run(&["version"]);
    assert_eq!(code, 0);
    assert!(out.starts_with(concat!("attache ", env!("CARGO_PKG_VERSION"))), "{out}");
    let (_, out, _) = run(&["version", "--json"]);
    let facts: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(facts["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn completions_and_manual_pages_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", shell]);
        assert!(code == 0 && out.contains("healthcheck"), "{shell}");
    }
    let (code, out, _) = run(&["man"]);
    assert!(code == 0 && out.contains(".TH attache"), "{out}");
    let directory = TempDir::new().unwrap();
    let (code, out, error) = run(&["man", "--out", &path(&directory, "man1")]);
    assert_eq!((code, out.as_str()), (0, ""), "{error}");
    let page = fs::read_to_string(path(&directory, "man1/attache-run.1")).expect("a page for each verb");
    assert!(page.contains("ATTACHE"), "{page}");
}

#[test]
fn a_reader_that_leaves_early_is_no_panic() {
    let mut child = attache(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it exits");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

// ---------------------------------------------------------------------------------------------- certificates

#[test]
fn development_certificates_are_made_once() {
    let directory = TempDir::new().unwrap();
    let out = path(&directory, "certs");
    attache(&["certs", "dev", "--out", &out, "--host", "agents.test"]).assert().success();
    let key = format!("{out}/gateway.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "the key is its owner's");
    let before = fs::read(&key).unwrap();

    let (code, _, error) = run(&["certs", "dev", "--out", &out]);
    assert_eq!(code, 1);
    assert!(error.contains("--force"), "it says what to do: {error}");
    attache(&["certs", "dev", "--out", &out, "--if-missing"]).assert().success();
    assert_eq!(fs::read(&key).unwrap(), before, "nothing was replaced");
    attache(&["certs", "dev", "--out", &out, "--force"]).assert().success();
    assert_ne!(fs::read(&key).unwrap(), before, "now it was");
}

#[test]
fn a_host_that_cannot_be_certified_is_refused() {
    let directory = TempDir::new().unwrap();
    let (code, _, error) = run(&["certs", "dev", "--out", &path(&directory, "c"), "--host", "käse.test"]);
    assert_eq!(code, 1);
    assert!(error.contains("next:") && !Path::new(&path(&directory, "c/ca.crt")).exists(), "{error}");
}

// ---------------------------------------------------------------------------------------------- configuration

const GOOD: &str = "\
listeners:
  web: { address: \"127.0.0.1:0\" }
routes:
  admin: { match: { path: { exact: /admin } }, respond: { status: 403, body: no } }
  research:
    hosts: [agents.test]
    match: { path: { prefix: /research }, headers: { a2a-version: \"1.0\" } }
    rewrite: { prefix: / }
    requestHeaders: { set: { x-edge: one } }
    endpoints: [\"127.0.0.1:1\"]
metrics: { address: \"127.0.0.1:0\" }
";
/// For tests of what a start says to people: off a terminal it is JSON.
const TEXT: &str = "logging: { format: text }\n";

#[test]
fn a_valid_configuration_is_summed_up() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, "gateway.yaml", GOOD);
    let (code, out, error) = run(&["validate", "-c", &file]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("1 listener, 2 routes, 1 cluster"), "{out}");
    attache(&["validate"]).env("ATTACHE_CONFIG", &file).assert().success();
}

#[test]
fn a_file_may_be_named_without_a_flag() {
    let directory = TempDir::new().unwrap();
    let good = written(&directory, "good.yaml", GOOD);
    let bad = written(&directory, "bad.yaml", "listeners: []\n");
    let url = "http://agents.test/admin";
    for (arguments, variable, expected) in [
        (&["validate", &good][..], None, 0),
        (&["validate", &good, &good], None, 0),
        (&["validate", &good, &bad], None, 1),
        (&["validate", "-c", &good, &bad], None, 1),
        (&["validate", "-c", &bad, &good], None, 1),
        (&["validate", &good], Some(&bad), 0),
        (&["validate", &bad], Some(&good), 1),
        (&["config", "show", &good], None, 0),
        (&["config", "show", &good], Some(&bad), 0),
        (&["config", "show", &good, "-c", &good], None, 2),
        (&["explain", "GET", url, &good], None, 0),
        (&["explain", "GET", url, &good], Some(&bad), 0),
        (&["run", &bad], Some(&good), 1),
        (&["run", "-c", &good, &bad], None, 2),
        (&["reload", &bad], Some(&good), 1),
        (&["reload", &good, "-c", &good], None, 2),
    ] {
        let mut command = attache(arguments);
        if let Some(variable) = variable {
            command.env("ATTACHE_CONFIG", variable);
        }
        let output = command.output().expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {error}");
        if expected == 2 {
            assert!(error.contains("twice"), "{arguments:?}: {error}");
        }
    }
}

#[test]
fn an_invalid_configuration_is_explained_in_every_format() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, "gateway.yaml", &GOOD.replace("hosts:", "hots:"));
    let (code, out, error) = run(&["validate", "-c", &file]);
    assert_eq!((code, out.as_str()), (1, ""), "{error}");
    assert!(error.contains("hots") && error.contains(":6:"), "with its place: {error}");
    let (code, out, _) = run(&["validate", "-c", &file, "--format", "json"]);
    assert_eq!(code, 1);
    serde_json::from_str::<serde_json::Value>(&out).expect("JSON");
    let (_, out, _) = run(&["validate", "-c", &file, "--format", "github"]);
    assert!(out.starts_with("::error file="), "{out}");

    written(&directory, "gateway.yaml", &(GOOD.replace("hosts:", "hots:") + TEXT));
    for verb in [&["run"][..], &["config", "show"], &["explain", "GET", "http://agents.test/"]] {
        let (code, out, error) = run(&[verb, &["-c", &file]].concat());
        assert_eq!((code, out.as_str()), (1, ""), "{verb:?}: {error}");
        assert!(error.contains("hots") && error.contains("next:"), "{verb:?}: {error}");
    }
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let (code, _, error) = run(&["run", "-c", "/nonexistent/gateway.yaml"]);
    assert_eq!(code, 1);
    assert!(error.contains("/nonexistent/gateway.yaml") && error.contains("next:"), "{error}");
}

#[test]
fn a_verb_for_a_running_gateway_never_guesses_where_it_is() {
    let directory = TempDir::new().unwrap();
    let nowhere = path(&directory, "nowhere.yaml");
    let unread = written(&directory, "unread.yaml", "include: [none.yaml]\n");
    let unclear = written(&directory, "unclear.yaml", "admin: { adress: \"[::1]:9901\" }\n");
    for verb in [
        &["reload"][..],
        &["rollout", "status"],
        &["rollout", "switch", "a", "b"],
        &["rollout", "set-weight", "a", "1"],
        &["status"],
        &["top"],
        &["tail"],
        &["streams"],
        &["drain", "a", "b"],
    ] {
        for (file, why) in [
            (&nowhere, "nowhere.yaml`: there is no such file"),
            (&unread, "none.yaml`: there is no such file"),
            (&unclear, "no field `adress`"),
        ] {
            let (code, out, error) = run(&[verb, &["-c", file]].concat());
            assert_eq!((code, out.as_str()), (1, ""), "{verb:?}: {error}");
            // Of a file that is not there it is not said what it does not say.
            let silent = error.contains("does not say where the admin API is");
            assert_eq!(silent, *file != nowhere, "{verb:?}: {error}");
            let said = error.contains(why) && error.contains("--admin");
            assert!(said && !error.contains("9901:"), "{verb:?}: {error}");
        }
    }
    for (file, why) in [(&nowhere, "no such file"), (&unread, "no such file")] {
        let (code, out, error) = run(&["healthcheck", "-c", file]);
        assert_eq!((code, out.as_str()), (1, ""), "{error}");
        assert!(error.contains(why) && !error.contains("9090"), "{error}");
        let silent = error.contains("does not say where the metrics listener is");
        assert_eq!(silent, *file != nowhere, "{error}");
    }
}

#[test]
fn show_and_schema_print_documents() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, "gateway.yaml", GOOD);
    let (code, plain, error) = run(&["config", "show", "-c", &file]);
    assert_eq!(code, 0, "{error}");
    let (_, full, _) = run(&["config", "show", "-c", &file, "--defaults"]);
    assert!(full.len() > plain.len() && full.contains("maxHeaders"), "defaults are more: {full}");
    let (_, schema, _) = run(&["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert!(schema["properties"]["listeners"].is_object(), "{schema}");
}

#[test]
fn explain_says_which_route_and_why() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, "gateway.yaml", GOOD);
    let url = "http://agents.test/research/tasks/1?x=1";
    let (code, out, error) = run(&["explain", "GET", url, "-H", "A2A-Version: 1.0", "-c", &file]);
    assert_eq!(code, 0, "{error}");
    for part in [
        "listener  web", "route     research", "path sent /tasks/1?x=1", "127.0.0.1:1", "=x-edge", "retries   1, when",
        "not taken admin",
    ] {
        assert!(out.contains(part), "`{part}` is missing in\n{out}");
    }
    let (code, out, _) = run(&["explain", "GET", url, "-c", &file]);
    assert_eq!(code, 1, "no header, no route");
    assert!(out.contains("404") && out.contains("not taken research"), "{out}");
    let (code, _, error) = run(&["explain", "GET", "https://agents.test/", "-c", &file]);
    assert!(code == 1 && error.contains("no listener speaks https"), "{error}");
}

#[test]
fn explain_takes_the_url_that_clients_use() {
    let directory = TempDir::new().unwrap();
    let text = "
listeners:
  http: { address: '127.0.0.1:8080', httpsRedirect: true }
  web: { address: '127.0.0.1:8081', publicUrl: 'https://agents.test/team' }
  more: { address: '127.0.0.1:8082', publicUrl: 'https://agents.test:9443' }
clientIp: { trustedProxies: [10.0.0.1] }
routes:
  planner: { listeners: [web], match: { path: { prefix: /planner } }, rewrite: { prefix: / }, endpoints: ['127.0.0.1:1'] }
  own: { listeners: [more], match: { path: { prefix: /own } }, publicUrl: 'https://own.test', endpoints: ['127.0.0.1:1'] }
  rest: { listeners: [more], endpoints: ['127.0.0.1:1'] }
";
    let file =
        written(&directory, "gateway.yaml", &text.replace("httpsRedirect: true", "httpsRedirect: { listener: web }"));
    for (arguments, parts) in [
        (
            &["https://agents.test/team/planner/x"][..],
            &[
                "listener  web on 127.0.0.1:8081, cleartext",
                "route     planner",
                "path sent /x",
                "public    https://agents.test/team (publicUrl of the listener), the agent is told the prefix /team/planner",
            ][..],
        ),
        (&["https://agents.test:9443/x"], &["listener  more", "route     rest", "public    https://agents.test:9443"]),
        (
            &["https://own.test/own"],
            &["listener  more", "route     own", "public    https://own.test (publicUrl of the route)"],
        ),
        (
            &["http://agents.test/x"],
            &[
                "listener  http",
                "answer    301, the same path at https://agents.test/team",
                "served by the routes of web",
            ],
        ),
        (&["https://agents.test/planner/", "--listener", "http"], &["listener  http", "route     planner"]),
    ] {
        let all = [&["explain", "GET"], arguments, &["-c", &file]].concat();
        let (code, out, error) = run(&all);
        assert_eq!(code, 0, "{arguments:?}: {error}");
        let out = out.replace("\n          ", " ");
        for part in parts {
            assert!(out.contains(part), "`{part}` is missing in\n{out}");
        }
    }
}

#[test]
fn explain_knows_no_port_that_no_listener_has() {
    let directory = TempDir::new().unwrap();
    let text = "
listeners:
  web: { address: '127.0.0.1:8081' }
  more: { address: '127.0.0.1:8082', publicUrl: 'https://agents.test:9443' }
routes: { a: { respond: {} } }
";
    let file = written(&directory, "gateway.yaml", text);
    for (arguments, expected) in [
        (&["http://x:8081/"][..], Ok("listener  web")),
        (&["http://x/"], Ok("listener  web")),
        (&["https://agents.test:9443/"], Ok("listener  more")),
        (&["https://agents.test/"], Ok("listener  more")),
        (&["http://x:8080/", "--listener", "web"], Ok("listener  web")),
        (&["http://x:8080/"], Err("no listener speaks http on port 8080")),
        (&["http://x:8082/"], Err("web (127.0.0.1:8081)")),
        (&["https://agents.test:8443/"], Err("no listener speaks https on port 8443")),
    ] {
        let (code, out, error) = run(&[&["explain", "GET"], arguments, &["-c", &file]].concat());
        match expected {
            Ok(part) => assert!(code == 0 && out.contains(part), "{arguments:?}: {out}{error}"),
            Err(part) => assert!(code == 1 && error.contains(part), "{arguments:?}: {out}{error}"),
        }
    }
}

#[test]
fn explain_says_every_policy_in_lines_that_fit() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/istio.yaml");
    let url = "https://agents.example.com/api/v1/tasks";
    let (code, out, error) = run(&["explain", "GET", url, "-c", file]);
    assert_eq!(code, 0, "{error}");
    for part in [
        "cluster   mcp-agent, least-connection",
        "ejection  after 5 failures in a row (any 5xx), for 30s times",
        "\n          50% of the endpoints or one",
        "ceilings  connections 100, requests 100, retries 3",
        "whole 30s (of a stream only its head)",
        "fault     0.1% delayed by 2s",
        "retries   up to 3 on no connection",
        "10s per try; budget 20% of first tries",
    ] {
        assert!(out.contains(part), "`{part}` is missing in\n{out}");
    }
    assert!(out.lines().all(|line| line.len() <= 110), "{out}");
    let (_, out, _) = run(&["explain", "POST", url, "-c", file]);
    let sends = "up to 3 on no connection, no connection in time, a refused stream; 10s";
    assert!(out.contains(sends), "{out}");
}

/// Every line of every policy, for requests that meet it and requests that do not.
#[test]
fn explain_says_what_the_committed_text_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (file, expected) = (root.join("tests/explain/gateway.yaml"), root.join("tests/snapshots/explain.txt"));
    let mut said = String::new();
    for arguments in [
        &["GET", "/limits"][..],
        &["GET", "/moved"],
        &["POST", "/moved"],
        &["GET", "/plain/x?y=1"],
        &["POST", "/plain/x"],
        &["GET", "/rewritten/x?y=1"],
        &["GET", "/faults"],
        &["POST", "/faults", "-H", "x-chaos: on"],
        &["GET", "/forever"],
        &["GET", "/retried"],
        &["POST", "/retried"],
        &["GET", "/split"],
        &["GET", "/nothing"],
        &["GET", "/.well-known/agents.json"],
    ] {
        let url = format!("http://agents.test:8080{}", arguments[1]);
        let file = file.to_str().expect("a plain path");
        let (_, out, _) = run(&[&["explain", arguments[0], &url], &arguments[2..], &["-c", file]].concat());
        // Which others there are says the same of each.
        let lines = out.lines().filter(|line| !line.starts_with("not taken ") && !line.starts_with("          and "));
        said += &format!("{}\n\n", lines.collect::<Vec<_>>().join("\n"));
    }
    assert!(!said.contains("secret") && !said.contains("abc"), "what may be secret is not shown:\n{said}");
    if std::env::var_os("ATTACHE_UPDATE").is_some() {
        fs::write(&expected, &said).expect("written");
    }
    let expected = fs::read_to_string(&expected).unwrap_or_default();
    assert!(said == expected, "run `ATTACHE_UPDATE=1 cargo test --test cli`, and look at the difference:\n{said}");
}

/// A configuration with rules, and files with what Ann, Bob and a workload present.
fn rules() -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let digest = |key: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let keys = format!("ann:{}:ops\nbob:{}\n", digest("ann-key"), digest("bob-key"));
    written(&directory, "clients.keys", &keys);
    for name in ["ann-key", "bob-key", "no-key"] {
        written(&directory, name, &format!("{name}\n"));
    }
    let mut names = rcgen::CertificateParams::new(Vec::<String>::new()).expect("no names");
    let id = "spiffe://cluster.local/ns/monitoring/sa/prometheus".try_into().expect("an id");
    names.subject_alt_names.push(rcgen::SanType::URI(id));
    let key = rcgen::KeyPair::generate().expect("a key");
    written(&directory, "workload.crt", &names.self_signed(&key).expect("a certificate").pem());
    let text = "
listeners: { web: { address: '127.0.0.1:8080' } }
tenants: { header: x-tenant }
authProviders:
  staff: { apiKey: { keysFile: clients.keys } }
  mesh: { clientCertificate: { trustDomains: cluster.local } }
routes:
  all:
    endpoints: ['127.0.0.1:1']
    auth: { anyOf: [staff, mesh], except: cards }
    authorization:
      rules:
        - { name: ops, roles: ops }
        - { name: read, roles: authenticated, operations: GetTask }
        - { name: metrics, namespaces: monitoring, paths: { exact: /metrics } }
        - { name: cards, operations: GetAgentCard }
        - { name: closed, action: deny, paths: { prefix: /closed } }
        - { name: north, action: deny, tenants: north }
";
    let file = written(&directory, "gateway.yaml", text);
    (directory, file)
}

#[test]
fn explain_says_that_a_server_would_have_to_decide() {
    let directory = TempDir::new().unwrap();
    let text = "
listeners: { http: { address: '127.0.0.1:8080' } }
authProviders: { gate: { external: { url: 'http://127.0.0.1:1/' } } }
routes: { all: { endpoints: ['127.0.0.1:1'], auth: gate, maxBodyBytes: off } }
";
    let file = written(&directory, "gateway.yaml", text);
    let token = format!("token:{}", written(&directory, "token", "abc"));
    let (code, out, error) = run(&["explain", "GET", "http://a.test:8080/", "--as", &token, "-c", &file]);
    assert_eq!(code, 0, "{error}");
    for part in ["client    one of gate has to find out", "limits    body unlimited,"] {
        assert!(out.contains(part), "`{part}` is missing in\n{out}");
    }
}

#[test]
fn the_fields_for_a_collector_lie_beside_the_configuration() {
    let directory = TempDir::new().unwrap();
    written(&directory, "otlp.fields", "authorization: Bearer hidden\n");
    let text = "
listeners: { http: { address: '127.0.0.1:8080' } }
routes: { all: { respond: { status: 204 } } }
tracing: { otlp: { endpoint: 'http://127.0.0.1:4317', headersFile: otlp.fields } }
";
    let file = written(&directory, "gateway.yaml", text);
    let (code, out, error) = run(&["config", "show", "-c", &file]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains(path(&directory, "otlp.fields").as_str()) && !out.contains("hidden"), "{out}");
}

#[test]
fn explain_says_what_a_client_may_and_by_which_rule() {
    let (directory, file) = rules();
    let from = |kind: &str, name: &str| format!("{kind}:{}", path(&directory, name));
    let (ann, bob, other) = (from("key", "ann-key"), from("key", "bob-key"), from("key", "no-key"));
    let (workload, token) = (from("cert", "workload.crt"), from("token", "ann-key"));
    for (method, target, given, expected) in [
        ("DELETE", "/x", &["--as", &ann][..], &["client    ann of staff, roles ops", "passes by rule ops"][..]),
        ("GET", "/closed/x", &["--as", &ann], &["403 by rule closed", "rule      ops, allow: holds"]),
        ("GET", "/tasks/7", &["--as", &bob], &["client    bob of staff, roles none", "passes by rule read"]),
        ("GET", "/x", &["--as", &bob], &["403, no rule allows it", "for it asks for role ops"]),
        (
            "POST",
            "/x",
            &["--as", &bob],
            &["depends on what the rules ask for", "holds if this is so: operation GetTask"],
        ),
        ("GET", "/tasks/7", &["--as", &bob, "-H", "x-tenant: north"], &["403 by rule north"]),
        ("GET", "/tasks/7", &["-H", "x-api-key: bob-key"], &["client    bob of staff", "passes by rule read"]),
        ("GET", "/metrics", &["--as", &workload], &["/sa/prometheus of mesh", "by rule metrics"]),
        ("GET", "/x", &["--as", &other], &["client    not let in: staff says invalid", "not asked, for the client"]),
        ("GET", "/x", &["--as", &token], &["client    not let in: no provider looks for what it presents, 401"]),
        ("GET", "/.well-known/agent-card.json", &[], &["passes by rule cards"]),
        ("GET", "/tasks/7", &[], &["depends on what the rules ask for", "holds if this is so: role ops"]),
    ] {
        let url = format!("http://agents.test:8080{target}");
        let (code, out, error) = run(&[&["explain", method, &url], given, &["-c", &file]].concat());
        assert_eq!(code, 0, "{error}");
        for part in expected {
            assert!(out.contains(part), "{method} {target} {given:?}: `{part}` is missing in\n{out}");
        }
        assert!(!["ann-key", "bob-key", "no-key"].iter().any(|key| out.contains(key)), "it is not shown:\n{out}");
    }
    for (given, expected) in [
        ("key", "does not say what it is"),
        ("ticket:x", "`ticket` is no kind of credential"),
        ("key:/nowhere/key", "cannot be read"),
        (&from("cert", "ann-key"), "holds no certificate"),
    ] {
        let (code, _, error) = run(&["explain", "GET", "http://agents.test:8080/", "--as", given, "-c", &file]);
        assert!(code != 0 && error.contains(expected), "{given}: {error}");
    }
}

#[test]
fn explain_does_without_the_certificates() {
    let directory = TempDir::new().unwrap();
    let text = "
listeners:
  web: { address: '127.0.0.1:0', tls: { certificates: [{ certFile: no.crt, keyFile: no.key }] } }
routes: { all: { endpoints: ['127.0.0.1:1'] } }
";
    let file = written(&directory, "gateway.yaml", text);
    let (code, out, error) = run(&["explain", "GET", "https://agents.test/", "-c", &file]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("route     all"), "{out}");
    assert!(error.contains("no.crt") && error.contains("warning"), "{error}");
    let (code, _, error) = run(&["validate", "-c", &file]);
    assert!(code == 1 && error.contains("missing-file"), "{error}");
}

// ---------------------------------------------------------------------------------------------- running

#[test]
fn the_demo_agents_alone_end_on_ctrl_c() {
    let mut agents = Running::start(&["demo", "--agents-only", "--address", "127.0.0.1:0"], false);
    let said = agents.until("Ctrl-C").join("\n");
    for name in ["fast", "slow", "flaky", "second", "team-1", "team-2", "team-3"] {
        assert!(said.contains(name), "{said}");
    }
    let url = said.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).expect("a URL");
    let (code, out, error) = run(&["healthcheck", "--url", &format!("{url}health")]);
    assert_eq!((code, out.trim()), (0, "ok"), "{error}");
    let (code, _, error) = run(&["healthcheck", "--url", &format!("{url}nothing")]);
    assert!(code == 1 && error.contains("404"), "{error}");
    assert_eq!(agents.signal("INT"), 0);
}

#[test]
fn a_gateway_says_what_it_does_and_drains() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, "gateway.yaml", &format!("{GOOD}{TEXT}"));
    let mut gateway = Running::start(&["run", "-c", &file], true);
    let said = gateway.until("not protected");
    assert!(said.len() <= 12, "{said:?}");
    let said = said.join("\n");
    assert!(said.contains("web on 127.0.0.1:") && said.contains("admin, research"), "{said}");
    let metrics = said.split_whitespace().find(|word| word.ends_with("/metrics")).expect("a metrics URL");
    let (code, _, error) = run(&["healthcheck", "--url", &metrics.replace("/metrics", "/ready")]);
    assert_eq!(code, 0, "{error}");
    let address = metrics.trim_start_matches("http://");
    let address = address.trim_end_matches("/metrics");
    let text = format!("metrics: {{ address: \"{address}\" }}\nroutes: broken\n");
    let elsewhere = written(&directory, "elsewhere.yaml", &text);
    let (code, _, error) = run(&["healthcheck", "-c", &elsewhere]);
    assert_eq!(code, 0, "broken only where it does not matter: {error}");
    assert_eq!(gateway.signal("TERM"), 0, "nothing was cut off");
}

/// A running gateway in front of a slow agent, and a client in the middle of a stream through it.
struct Streaming {
    gateway: Running,
    client: TcpStream,
    _agents: Running,
    _directory: TempDir,
}

impl Streaming {
    fn begin(shutdown: &str) -> Self {
        let mut agents = Running::start(&["demo", "--agents-only", "--address", "127.0.0.1:0"], false);
        let said = agents.until("slow");
        let slow = said.last().and_then(|line| line.split(['/', ' ']).find(|part| part.starts_with("127.0.0.1:")));
        let text = format!(
            "listeners: {{ web: {{ address: \"127.0.0.1:0\" }} }}\nroutes: {{ slow: {{ endpoints: [\"{}\"] }} }}\n\
             metrics: {{ address: \"127.0.0.1:0\" }}\nshutdown: {{ {shutdown} }}\n",
            slow.expect("an address")
        );
        let directory = TempDir::new().unwrap();
        let mut gateway = Running::start(&["run", "-c", &written(&directory, "gateway.yaml", &text)], true);
        let web = gateway.web();
        gateway.until("not protected");

        let mut client = TcpStream::connect(web).expect("the listener accepts");
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let body = r#"{"message":{"parts":[{"text":"hello"}]}}"#;
        let head = format!("POST /message:stream HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        client.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("TASK_STATE_WORKING") {
            let mut piece = [0; 4096];
            let count = client.read(&mut piece).expect("events come");
            assert!(count > 0, "the stream ended early: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..count]);
        }
        Self { gateway, client, _agents: agents, _directory: directory }
    }

    /// What still comes; `None` when the stream did not end as chunked coding wants it.
    fn rest(mut self) -> Option<String> {
        let mut rest = Vec::new();
        self.client.read_to_end(&mut rest).ok()?;
        let rest = String::from_utf8_lossy(&rest).into_owned();
        rest.ends_with("\r\n0\r\n\r\n").then_some(rest)
    }
}

/// [`GOOD`] with another answer.
fn gone(good: &str) -> String {
    good.replace("status: 403", "status: 410")
}

/// [`GOOD`] with a mistake.
fn misspelt(good: &str) -> String {
    good.replace("respond", "respnd")
}

/// Status of a GET.
fn status(address: SocketAddr, path: &str) -> u16 {
    let mut client = TcpStream::connect(address).expect("the listener accepts");
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(client, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
}

#[test]
fn a_stream_may_end_before_the_gateway_does() {
    let mut streaming = Streaming::begin("drainTimeout: 60s");
    streaming.gateway.send("TERM");
    assert_eq!(streaming.gateway.wait(), 0, "nothing was cut off");
    let rest = streaming.rest().expect("the stream ended properly");
    assert!(rest.contains("TASK_STATE_COMPLETED"), "{rest}");
}

#[test]
fn a_stream_that_takes_too_long_is_cut_and_the_code_says_so() {
    let mut streaming = Streaming::begin("drainTimeout: 100ms");
    streaming.gateway.send("TERM");
    assert_eq!(streaming.gateway.wait(), 3);
    assert_eq!(streaming.rest(), None, "it must not look finished");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut streaming = Streaming::begin("drainTimeout: 10m");
    streaming.gateway.send("TERM");
    streaming.gateway.until("stopping");
    streaming.gateway.send("TERM");
    assert_eq!(streaming.gateway.wait(), 3);
    assert_eq!(streaming.rest(), None, "it must not look finished");
}

#[test]
fn a_hangup_reads_the_configuration_again_and_a_mistake_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let good = format!("{GOOD}reload: {{ watch: false }}\n");
    let file = written(&directory, "gateway.yaml", &good);
    let mut gateway = Running::start(&["run", "-c", &file], true);
    let web = gateway.web();
    gateway.until("not protected");
    assert_eq!(status(web, "/admin"), 403);

    written(&directory, "gateway.yaml", &gone(&good));
    gateway.send("HUP");
    gateway.until("configuration reloaded");
    assert_eq!(status(web, "/admin"), 410, "the new configuration is in force");
    gateway.send("HUP");
    let seen = gateway.until("configuration read again, unchanged");
    assert!(!seen.iter().any(|line| line.contains("configuration reloaded")), "{seen:?}");

    written(&directory, "gateway.yaml", &misspelt(&good));
    gateway.send("HUP");
    gateway.until("not reloaded");
    gateway.until("did you mean");
    assert_eq!(status(web, "/admin"), 410, "the running configuration goes on");
    assert_eq!(gateway.signal("TERM"), 0);
}

#[test]
fn a_signal_to_stop_is_heard_during_a_reload() {
    // Questions for names go where nobody answers, so a reload waits as long as it may.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let directory = TempDir::new().unwrap();
    let dns = format!("dns: {{ servers: [\"{}\"] }}\nreload: {{ watch: false }}\n", silent.local_addr().unwrap());
    let file = written(&directory, "gateway.yaml", &format!("{GOOD}{dns}"));
    let mut gateway = Running::start(&["run", "-c", &file], true);
    gateway.until("not protected");
    let named = GOOD.replace("127.0.0.1:1\"", "agents.example:80\"");
    written(&directory, "gateway.yaml", &format!("{named}{dns}"));
    gateway.send("HUP");
    silent.recv(&mut [0; 512]).expect("the name is asked for");
    gateway.send("TERM");
    let rest: Vec<String> = gateway.lines.by_ref().map(Result::unwrap).collect();
    assert_eq!(gateway.wait(), 0);
    let rest = rest.join("\n");
    assert!(rest.contains("stopping"), "{rest}");
    assert!(!rest.contains("reloaded"), "it was not waited for: {rest}");
}

#[test]
fn the_level_of_the_log_follows_the_configuration() {
    let directory = TempDir::new().unwrap();
    let socket = path(&directory, "admin.sock");
    let text = |level: &str| {
        format!(
            "{GOOD}reload: {{ watch: false }}\nadmin: {{ address: \"unix:{socket}\" }}\nlogging: {{ level: {level} }}\n"
        )
    };
    let file = written(&directory, "gateway.yaml", &text("error"));
    let mut gateway = Running::start(&["run", "-c", &file], true);
    gateway.until("not protected");
    written(&directory, "gateway.yaml", &text("info"));
    // The second is in force after the first is done with.
    for _ in 0..2 {
        let (code, _, error) = run(&["reload", "-c", &file]);
        assert_eq!(code, 0, "{error}");
    }
    gateway.until("configuration read again, unchanged");
    assert_eq!(gateway.signal("TERM"), 0);
}

#[test]
fn a_failed_check_says_in_the_log_what_it_failed_by() {
    let directory = TempDir::new().unwrap();
    // Bound but not listening: connections are refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    let dead = socket.local_addr().unwrap().as_socket().unwrap();
    let text = format!(
        "listeners: {{ web: {{ address: '127.0.0.1:0' }} }}\nmetrics: {{ address: '127.0.0.1:0' }}\n\
         routes: {{ all: {{ cluster: all }} }}\n\
         clusters: {{ all: {{ endpoints: ['{dead}'], healthCheck: {{ type: tcp }} }} }}\n"
    );
    let file = written(&directory, "gateway.yaml", &text);
    let mut gateway = Running::start(&["run", "-c", &file], true);
    let line = gateway.until("endpoint is unhealthy").pop().unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(event["reason"], "connect_failed", "{line}");
    let told = event["upstream_error"].as_str().unwrap_or_default();
    assert!(told.contains("os error 111"), "{line}");
    assert_eq!(gateway.signal("TERM"), 0);
}

#[test]
fn a_check_in_the_wrong_http_version_says_what_to_do() {
    let directory = TempDir::new().unwrap();
    let agent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = agent.local_addr().expect("bound");
    let answering = std::thread::spawn(move || {
        let (mut socket, _) = agent.accept().expect("a check");
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).expect("the preface");
        socket.write_all(b"HTTP/1.1 505 No\r\ncontent-length: 0\r\n\r\n").expect("answered");
        socket
    });
    let text = format!(
        "listeners: {{ web: {{ address: '127.0.0.1:0' }} }}\nmetrics: {{ address: '127.0.0.1:0' }}\n\
         routes: {{ all: {{ cluster: all }} }}\n\
         clusters: {{ all: {{ endpoints: ['{address}'], protocol: h2c, healthCheck: {{ path: /health }} }} }}\n"
    );
    let file = written(&directory, "gateway.yaml", &text);
    let mut gateway = Running::start(&["run", "-c", &file], true);
    let line = gateway.until("endpoint is unhealthy").pop().unwrap();
    assert!(line.contains("the endpoint does not speak HTTP/2: take `protocol: h2c` out"), "{line}");
    drop(answering.join());
    assert_eq!(gateway.signal("TERM"), 0);
}

#[test]
fn a_flood_of_refused_admin_requests_does_not_fill_the_log() {
    let directory = TempDir::new().unwrap();
    written(&directory, "token", "0123456789abcdef");
    let text = format!("{GOOD}admin: {{ address: '127.0.0.1:0', tokenFile: token }}\nlogging: {{ format: text }}\n");
    let file = written(&directory, "gateway.yaml", &text);
    let mut gateway = Running::start(&["run", "-c", &file], true);
    let line = gateway.until("admin     http://").pop().unwrap();
    let address = line.rsplit("http://").next().unwrap();
    let admin: SocketAddr = address.trim().parse().unwrap();
    let path = "x".repeat(8000);
    let begun = SystemTime::now();
    let sent = 50;
    for _ in 0..sent {
        let mut client = TcpStream::connect(admin).unwrap();
        let head = format!("GET /{path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    let most = usize::try_from(begun.elapsed().unwrap().as_secs()).unwrap() + 2;
    gateway.send("TERM");
    let rest: Vec<String> = gateway.lines.by_ref().map(Result::unwrap).collect();
    assert_eq!(gateway.wait(), 0);
    let told: Vec<_> = rest.iter().filter(|line| line.contains("admin request refused")).collect();
    assert!((1..=most).contains(&told.len()), "{} lines", told.len());
    assert!(told.iter().all(|line| line.len() < 500), "{told:?}");
}

#[test]
fn a_reload_from_the_command_line_says_what_it_did() {
    let directory = TempDir::new().unwrap();
    let socket = path(&directory, "admin.sock");
    let good = format!("{GOOD}reload: {{ watch: false }}\nadmin: {{ address: \"unix:{socket}\" }}\n");
    let file = written(&directory, "gateway.yaml", &good);
    let (code, _, error) = run(&["reload", "-c", &file]);
    assert!(code == 1 && error.contains("could not connect"), "{error}");
    let mut gateway = Running::start(&["run", "-c", &file], true);
    let web = gateway.web();
    let said = gateway.until("not protected").join("\n");
    assert!(said.contains(&format!("admin     unix:{socket}")), "{said}");

    written(&directory, "gateway.yaml", &gone(&good));
    let (code, out, error) = run(&["reload", "-c", &file]);
    assert_eq!(code, 0, "{error}");
    assert!(out.starts_with("reloaded config "), "{out}");
    assert!(out.contains("~ routes.admin.respond  status 403 -> 410"), "{out}");
    assert_eq!(status(web, "/admin"), 410, "in force when the verb returns");
    gateway.until("routes.admin.respond");

    for broken in [misspelt(&good), "listeners: {".to_owned()] {
        written(&directory, "gateway.yaml", &broken);
        let (_, _, expected) = run(&["validate", "-c", &file]);
        let admin = format!("unix:{socket}");
        let (code, out, error) = run(&["reload", "--admin", &admin]);
        assert_eq!((code, out.as_str()), (1, ""), "{error}");
        let expected = format!("{expected}The running configuration was not changed.\n");
        assert_eq!(error, expected, "as `validate` says it");
        assert_eq!(status(web, "/admin"), 410);
    }
    let (code, out, _) = run(&["reload", "--json", "--admin", &format!("unix:{socket}")]);
    let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &answer["verdict"]), (1, &"refused".into()), "{out}");
    assert_eq!(gateway.signal("TERM"), 0);
    assert!(!Path::new(&socket).exists(), "the socket's file is gone");
}

#[test]
fn what_is_named_by_hand_goes_before_the_environment() {
    let directory = TempDir::new().unwrap();
    let with_admin = |name: &str| {
        let socket = path(&directory, &format!("{name}.sock"));
        let text = format!("{GOOD}admin: {{ address: \"unix:{socket}\" }}\n");
        (written(&directory, &format!("{name}.yaml"), &text), format!("unix:{socket}"))
    };
    let ((here, socket), (away, nobody)) = (with_admin("here"), with_admin("away"));
    let mut gateway = Running::start(&["run", "-c", &here], true);
    gateway.until("not protected");
    let asked = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = attache(arguments);
        let output = command.envs(variables.iter().copied()).output();
        let output = output.expect("the binary runs");
        (output.status.success(), String::from_utf8(output.stderr).expect("text"))
    };
    for (arguments, variables, is_here) in [
        (&["-c", &here][..], &[("ATTACHE_ADMIN", nobody.as_str())][..], true),
        (&["-c", &away], &[("ATTACHE_ADMIN", &socket)], false),
        (&["--admin", &socket], &[("ATTACHE_CONFIG", &away)], true),
        (&["--admin", &socket], &[("ATTACHE_CONFIG", "/nowhere.yaml")], true),
        (&["--admin", &socket, "-c", &away], &[], true),
        (&["--admin", &socket, "-c", "/nowhere.yaml"], &[], false),
        (&[], &[("ATTACHE_CONFIG", &away), ("ATTACHE_ADMIN", &socket)], true),
        (&[], &[("ATTACHE_CONFIG", "/nowhere.yaml"), ("ATTACHE_ADMIN", &socket)], false),
    ] {
        let (found, error) = asked(&[&["reload"], arguments].concat(), variables);
        assert_eq!(found, is_here, "{arguments:?} {variables:?}: {error}");
    }
    assert_eq!(gateway.signal("TERM"), 0);
}

#[test]
fn a_rollout_is_watched_over_a_restart_of_its_gateway() {
    let directory = TempDir::new().unwrap();
    let (socket, state) = (path(&directory, "admin.sock"), path(&directory, "state.json"));
    let text = format!(
        "listeners: {{ web: {{ address: \"127.0.0.1:0\" }} }}
metrics: {{ address: \"127.0.0.1:0\" }}
admin: {{ address: \"unix:{socket}\" }}
state: {{ file: \"{state}\" }}
clusters: {{ a: {{ endpoints: [\"127.0.0.1:1\"] }}, b: {{ endpoints: [\"127.0.0.1:1\"] }} }}
routes:
  fixed: {{ match: {{ path: {{ exact: /fixed }} }}, split: [{{ cluster: a, weight: 50 }}, {{ cluster: b, weight: 50 }}] }}
  moved:
    split: [{{ cluster: a, weight: 100 }}, {{ cluster: b, weight: 0 }}]
    rollout: {{ canary: b, steps: [{{ setWeight: 10 }}, {{ pause: {{}} }}, {{ setWeight: 100 }}] }}
"
    );
    let file = written(&directory, "gateway.yaml", &text);
    let watched = ["rollout", "status", "moved", "--watch", "-c", &file];
    let (code, _, error) = run(&watched);
    assert!(code == 1 && error.contains("could not connect"), "{error}");
    let start = || {
        let mut gateway = Running::start(&["run", "-c", &file], true);
        gateway.until("listener  web");
        gateway
    };
    let gateway = start();
    let (code, _, error) = run(&["rollout", "status", "fixed", "--watch", "-c", &file]);
    assert!(code == 1 && error.contains("has no rollout"), "{error}");
    let mut watch = Running::start(&watched, false);
    watch.until("step 2 of 3");
    assert_eq!(gateway.signal("TERM"), 0);
    let gateway = start();
    let (code, _, error) = run(&["rollout", "resume", "moved", "-c", &file]);
    assert_eq!(code, 0, "{error}");
    watch.until("promoted");
    assert_eq!(watch.wait(), 0);
    assert_eq!(gateway.signal("TERM"), 0);
}

#[test]
fn a_broken_configuration_starts_from_its_last_good_state() {
    let directory = TempDir::new().unwrap();
    let (kept, secret) = (path(&directory, "last-good.yaml"), "hidden-secret");
    written(&directory, "token", secret);
    written(
        &directory,
        "part.yaml",
        "routes: { more: { match: { path: { prefix: /more } }, requestHeaders: { set: { authorization: '${file:token}' } }, endpoints: [\"127.0.0.1:1\"] } }\n",
    );
    let good = format!("{GOOD}include: [part.yaml]\nreload: {{ lastGoodFile: last-good.yaml }}\n");
    let file = written(&directory, "gateway.yaml", &good);
    let mut gateway = Running::start(&["run", "-c", &file], true);
    gateway.until("not protected");
    assert_eq!(gateway.signal("TERM"), 0);
    let text = fs::read_to_string(&kept).expect("it is written");
    assert!(text.contains("${file:/") && !text.contains(secret), "secrets stay where they are: {text}");
    let mode = fs::metadata(&kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, _, error) = run(&["validate", "-c", &kept]);
    assert_eq!(code, 0, "it stands alone: {error}");

    // A mistake in it still says where the last good state is; a file that cannot be read at all needs the flag.
    written(&directory, "gateway.yaml", &misspelt(&good));
    let mut gateway = Running::start(&["run", "-c", &file], true);
    let web = gateway.web();
    gateway.until("its last good state");
    assert_eq!(status(web, "/admin"), 403);
    written(&directory, "gateway.yaml", &gone(&good));
    gateway.until("configuration reloaded");
    assert_eq!(status(web, "/admin"), 410, "repaired");
    assert_eq!(gateway.signal("TERM"), 0);

    written(&directory, "gateway.yaml", "");
    let (code, _, error) = run(&["run", "-c", &file]);
    assert!(code == 1 && error.contains("is empty"), "{error}");
    let (code, _, error) = run(&["run", "-c", &file, "--last-good", "nowhere.yaml"]);
    assert!(code == 1 && error.contains("no last good state") && error.contains("nowhere.yaml"), "{error}");
    let arguments = ["run", "-c", &file, "--last-good", &kept];
    let mut gateway = Running::start(&arguments, true);
    let web = gateway.web();
    gateway.until("its last good state");
    assert_eq!(status(web, "/admin"), 410, "the newest good state");
    assert_eq!(gateway.signal("TERM"), 0);
}

/// A gateway whose rollout is at a pause, with what `rest` says.
fn pausing(rest: &str) -> String {
    format!(
        "listeners: {{ web: {{ address: \"127.0.0.1:0\" }} }}
metrics: {{ address: \"127.0.0.1:0\" }}
clusters: {{ a: {{ endpoints: [\"127.0.0.1:1\"] }}, b: {{ endpoints: [\"127.0.0.1:1\"] }} }}
routes:
  moved:
    split: [{{ cluster: a, weight: 100 }}, {{ cluster: b, weight: 0 }}]
    rollout: {{ canary: b, steps: [{{ setWeight: 10 }}, {{ pause: {{}} }}, {{ setWeight: 100 }}] }}
{rest}
"
    )
}

#[test]
fn a_state_file_behind_a_link_is_written_where_it_stands() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("data")).unwrap();
    symlink("data/state.json", directory.path().join("link.json")).unwrap();
    // Relative to the configuration, not to where the gateway is started.
    let first = written(&directory, "first.yaml", &pausing("state: { file: link.json }"));
    let second = written(&directory, "second.yaml", &pausing("state: { file: data/state.json }"));
    let mut gateway = Running::start(&["run", &first], true);
    gateway.until("listener  web");
    let target = directory.path().join("data/state.json");
    let is_there = |path: &Path| fs::metadata(path).is_ok();
    while !is_there(&target) {
        assert!(gateway.child.try_wait().unwrap().is_none(), "it runs");
        std::thread::yield_now();
    }
    let mut other = Running::start(&["run", &second], true);
    other.until("the state file cannot be written");
    assert_eq!(other.signal("TERM"), 0);
    assert_eq!(gateway.signal("TERM"), 0);
    let link = fs::symlink_metadata(directory.path().join("link.json")).unwrap();
    assert!(link.is_symlink(), "the link stays");
    let text = fs::read_to_string(&target).unwrap();
    assert!(text.contains("\"moved\""), "{text}");
    assert!(is_there(&directory.path().join("data/state.json.lock")));
    assert!(!is_there(&directory.path().join("link.json.lock")), "one lock, whatever the name");

    // A link that was turned leads to nothing that is written over.
    fs::remove_file(directory.path().join("link.json")).unwrap();
    symlink("second.yaml", directory.path().join("link.json")).unwrap();
    let before = fs::read_to_string(&second).unwrap();
    let mut gateway = Running::start(&["run", &first], true);
    gateway.until("not written by attache");
    assert_eq!(gateway.signal("TERM"), 0);
    assert_eq!(fs::read_to_string(&second).unwrap(), before);
}

#[test]
fn a_foreign_file_in_the_place_of_a_lock_is_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    let lock = written(&directory, "state.json.lock", "my notes\n");
    let file = written(&directory, "gateway.yaml", &pausing("state: { file: state.json }"));
    let mut gateway = Running::start(&["run", &file], true);
    let said = gateway.until("the state file cannot be written").pop().unwrap();
    assert!(said.contains("state.json.lock is there and no lock of a gateway"), "{said}");
    assert_eq!(gateway.signal("TERM"), 0);
    assert_eq!(fs::read_to_string(&lock).unwrap(), "my notes\n");
    fs::remove_file(&lock).unwrap();
    for _ in 0..2 {
        let mut gateway = Running::start(&["run", &file], true);
        gateway.until("listener  web");
        assert_eq!(gateway.signal("TERM"), 0);
        let owner = fs::read_to_string(&lock).expect("its own lock is taken again");
        assert!(owner.starts_with("process "), "{owner}");
    }
    assert!(directory.path().join("state.json").exists());
}

#[test]
fn a_last_good_file_that_is_somebody_elses_is_not_replaced() {
    let directory = TempDir::new().unwrap();
    let theirs = written(&directory, "good.yaml", "# mine\nlisteners: {}\n");
    let text = format!("{GOOD}reload: {{ lastGoodFile: good.yaml }}\n{TEXT}");
    let file = written(&directory, "gateway.yaml", &text);
    for verb in ["validate", "run"] {
        let (code, out, error) = run(&[verb, &file]);
        let said = out + &error;
        assert!(code == 1 && said.contains("is there and was not written by attache"), "{said}");
        assert!(said.contains("gateway.yaml:12:25"), "{said}");
    }
    let mut gateway = Running::start(&["run", &written(&directory, "gateway.yaml", GOOD)], true);
    gateway.until("not protected");
    written(&directory, "gateway.yaml", &format!("{GOOD}reload: {{ lastGoodFile: good.yaml }}\n"));
    gateway.until("not reloaded");
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "# mine\nlisteners: {}\n");
    written(&directory, "good.yaml", "");
    gateway.send("HUP");
    gateway.until("configuration reloaded");
    gateway.send("HUP");
    gateway.until("configuration");
    assert_eq!(gateway.signal("TERM"), 0);
    let text = fs::read_to_string(&theirs).unwrap();
    assert!(text.starts_with("# The last good configuration, written by attache."), "{text}");
    let mut gateway = Running::start(&["run", &file], true);
    gateway.until("not protected");
    assert_eq!(gateway.signal("TERM"), 0);
}

#[test]
fn an_access_log_that_became_a_link_to_the_configuration_is_not_opened() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("state")).unwrap();
    let (log, moved) = (directory.path().join("access.log"), directory.path().join("moved.log"));
    let text = format!("{GOOD}accessLog: {{ output: access.log }}\nstate: {{ file: state/state.json }}\n");
    let file = written(&directory, "gateway.yaml", &text);
    let mut gateway = Running::start(&["run", &file], true);
    let web = gateway.web();
    gateway.until("not protected");
    fs::rename(&log, &moved).unwrap();
    for (target, why) in [
        ("gateway.yaml", "the configuration is read from there"),
        ("state/state.json.lock", "the gateway writes something else there"),
    ] {
        symlink(target, &log).unwrap();
        gateway.send("USR1");
        let said = gateway.until("not opened again").pop().unwrap();
        assert!(said.contains(why) && said.contains("the old file is kept"), "{said}");
        fs::remove_file(&log).unwrap();
    }
    assert_eq!(status(web, "/admin"), 403);
    symlink("gateway.yaml", &log).unwrap();
    assert_eq!(gateway.signal("TERM"), 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "nothing is appended to it");
    assert_eq!(fs::read_to_string(&moved).unwrap().lines().count(), 1, "the old file is kept");
}

#[test]
fn the_demo_answers_what_it_prints_and_cleans_up() {
    let arguments = ["demo", "--https-port", "0", "--http-port", "0", "--quiet"];
    let mut demo = Running::start(&arguments, false);
    let said = demo.until("Ctrl-C");
    let directory = said.last().and_then(|line| line.split_whitespace().last()).expect("the directory").to_owned();
    assert!(Path::new(&directory).join("ca.crt").exists(), "{said:?}");
    let lines: Vec<_> = said.iter().filter(|line| line.trim_start().starts_with("curl ")).collect();
    assert!(lines.len() >= 8, "{said:?}");
    let make = said.iter().find(|line| line.trim_start().starts_with("TASK=")).expect("a task is made");
    // The lines are for people with curl; without it the gateway is tested elsewhere.
    if Command::new("curl").arg("--version").output().is_ok() {
        let home = TempDir::new().unwrap();
        written(&home, ".curlrc", "silent\nshow-error\nmax-time = 20\n");
        for line in lines {
            let script = if line.contains("$TASK") { format!("{make}\n{line}") } else { line.clone() };
            let output = Command::new("sh").args(["-c", &script]).env("CURL_HOME", home.path()).output();
            let output = output.expect("a shell is there");
            let out = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && !out.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            let answered = [
                "heard", "TASK_STATE_", "supportedInterfaces", "HTTP/1.1 301", "http_requests_total", "flaky by design",
            ];
            assert!(answered.iter().any(|part| out.contains(part)), "{line}\n{out}");
        }
    }
    let log = fs::read_to_string(Path::new(&directory).join("access.log"));
    assert!(log.is_ok(), "the access log is where it says: {log:?}");
    assert_eq!(demo.signal("INT"), 0);
    assert!(!Path::new(&directory).exists(), "the directory is gone");
}

#[test]
fn the_demo_shows_that_tasks_stay_with_their_replicas() {
    let mut demo = Running::start(&["demo", "--https-port", "0", "--http-port", "0"], false);
    let said = demo.until(" again");
    let line = |word: &str| {
        let line = said.iter().find(|line| line.trim_start().starts_with(word));
        line.unwrap_or_else(|| panic!("{word}: {said:?}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(line("made ").starts_with("made 9 tasks: "), "{said:?}");
    assert_eq!(line("asked for "), "asked for each of them: 9 of 9 found");
    let killed = line("killed ");
    let killed = killed.split(' ').nth(1).expect("a name");
    let another = said.iter().find(|line| line.contains("another one: 1 on team-")).expect("a task is made");
    assert!(!another.contains(killed), "{said:?}");
    assert_eq!(line("followed "), "followed the first: 2 events");
    let cancelled = line("cancelled ");
    let (done, all) = cancelled.rsplit_once(": ").and_then(|(_, counts)| counts.split_once(" of ")).expect("counts");
    assert!(done == all && done != "0", "{cancelled}");
    assert_eq!(line("started "), format!("started {killed} again"));
    assert_eq!(demo.signal("INT"), 0);
}

#[test]
fn a_taken_address_names_its_place_and_who_has_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let directory = TempDir::new().unwrap();
    let holder = format!("process {}", std::process::id());
    for (from, to, place) in [
        ("127.0.0.1:0\" }\nroutes", format!("{address}\" }}\nroutes"), ":2:19"),
        ("metrics: { address: \"127.0.0.1:0", format!("metrics: {{ address: \"{address}"), ":11:21"),
        ("metrics:", format!("admin: {{ address: \"{address}\" }}\nmetrics:"), ":11:19"),
    ] {
        let file = written(&directory, "gateway.yaml", &(GOOD.replace(from, &to) + TEXT));
        let (code, _, error) = run(&["run", &file]);
        assert_eq!(code, 1, "{error}");
        for part in ["cannot-open", &format!("gateway.yaml{place}"), &holder, "does not start"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

#[test]
fn a_pipe_that_nobody_reads_is_named_with_its_place() {
    let directory = TempDir::new().unwrap();
    let made = Command::new("mkfifo").arg(directory.path().join("log.pipe")).status();
    assert!(made.unwrap().success());
    let file = written(&directory, "gateway.yaml", &format!("{GOOD}accessLog: {{ output: log.pipe }}\n{TEXT}"));
    let (code, _, error) = run(&["run", &file]);
    assert_eq!(code, 1, "{error}");
    for part in ["log.pipe: it is a pipe that nobody reads", "gateway.yaml:12:22", "`accessLog.output`"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_taken_port_names_the_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let (code, _, error) = run(&["demo", "--https-port", &port, "--http-port", "0"]);
    assert_eq!(code, 1);
    assert!(error.contains(&port) && error.contains("--https-port"), "{error}");
    let (code, _, error) = run(&["demo", "--agents-only", "--address", &format!("127.0.0.1:{port}")]);
    assert!(code == 1 && error.contains("--address"), "{error}");
}

// ------------------------------------------------------------------------------------------------ cards

const OLD_CARD: &str = r#"{ "name": "old", "version": "1", "capabilities": {}, "skills": [], "url": "/rpc" }"#;

#[test]
fn a_card_is_fetched_checked_and_explained() {
    let address = documents_at(&[
        ("/.well-known/agent-card.json", SOUND_CARD),
        ("/old/.well-known/agent.json", OLD_CARD),
        ("/locked/card.json", SOUND_CARD),
        ("/page.json", "<html>"),
    ]);
    let (code, out, error) = run(&["card", &format!("http://{address}")]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.starts_with(&format!("http://{address}/.well-known/agent-card.json\n")), "{out}");
    assert!(out.contains(&format!("JSONRPC 1.0  http://{address}/rpc")) && out.contains("nothing wrong"), "{out}");
    // Under the older name, with a problem.
    let (code, out, _) = run(&["card", &format!("http://{address}/old/"), "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &found["name"], &found["a2a"][0]), (1, &"old".into(), &"0.1 or 0.2".into()));
    assert_eq!(found["problems"][0]["what"], "`/rpc` is relative; clients need a whole URL");
    for (arguments, expected) in [
        (vec![format!("http://{address}/none")], "no card at"),
        (vec![format!("http://{address}/page.json")], "is no agent card"),
        (vec![format!("http://{address}/locked/card.json")], "answered 401"),
        (vec![format!("https://{address}")], "TLS"),
        (vec!["somewhere".to_owned()], "is not a URL"),
    ] {
        let arguments: Vec<_> = std::iter::once("card").chain(arguments.iter().map(String::as_str)).collect();
        let (code, out, error) = run(&arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}");
        assert!(error.contains(expected) && error.contains("next: "), "{error}");
    }
    let (code, ..) = run(&["card", &format!("http://{address}/locked/card.json"), "-H", "X-Key: open"]);
    assert_eq!(code, 0);
}

#[test]
fn a_check_says_where_a_card_leads_past_the_gateway() {
    const CARD: &str = "/.well-known/agent-card.json";
    for (card, route, expected) in [
        (
            r#""url": "https://elsewhere.example/", "signatures": []"#,
            "",
            "neither an endpoint of the cluster nor public",
        ),
        // The binding for gRPC is the agent's own, by whatever name: the first that is not is named.
        (
            r#""supportedInterfaces": [{ "url": "localhost:9" }, { "url": "grpc://127.0.0.1:9" },
                                       { "url": "https://elsewhere.example/" }]"#,
            "",
            "neither an endpoint of the cluster nor public",
        ),
        (r#""url": "http://{at}/", "signatures": [{}]"#, "", "leads clients past the gateway and is signed"),
        (r#""url": "http://{at}/""#, ", a2a: { agentCard: off }", "`a2a.agentCard` is off on a route"),
    ] {
        let card = format!(r#"{{ "name": "a", "version": "1", "capabilities": {{}}, "skills": [], {card} }}"#);
        let documents: &'static [(&str, &str)] = Box::leak(Box::new([(CARD, &*card.leak())]));
        let address = documents_at(documents);
        let directory = TempDir::new().unwrap();
        let text = format!(
            "listeners: {{ web: {{ address: '127.0.0.1:0' }} }}\nmetrics: {{ address: '127.0.0.1:0' }}\n\
             routes: {{ all: {{ cluster: all{route} }} }}\n\
             clusters: {{ all: {{ endpoints: [{{ address: '{address}', grpc: 9 }}], healthCheck: {{ type: agent-card }} }} }}\n"
        );
        let file = written(&directory, "gateway.yaml", &text);
        let mut gateway = Running::start(&["run", "-c", &file], true);
        let line = gateway.until(expected).pop().unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&event["level"], &event["cluster"]), (&"WARN".into(), &"all".into()), "{line}");
        assert!(event["url"].as_str().is_some_and(|url| url.starts_with("http")), "{line}");
        assert_eq!(gateway.signal("TERM"), 0);
    }
}
