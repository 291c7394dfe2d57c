//! The first minutes with the command line: a gateway without a file, a first file, and where files are looked for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, which is what it is for")]

mod command;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use command::{Running, SOUND_CARD, attache, documents_at, path, run, written};
use tempfile::TempDir;

const GOOD: &str = "
metrics: { address: off }
listeners: { web: { address: \"127.0.0.1:0\" } }
routes: { all: { respond: { status: 204 } } }
";

/// A verb in a directory.
fn within(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = attache(arguments);
    command.current_dir(directory.path());
    command
}

/// Exit code, standard output and standard error of a command that reads `input`.
fn fed(mut command: Command, input: &str) -> (i32, String, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A verb that reads nothing closes the pipe.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    std::io::read_to_string(stream).unwrap()
}

// ---------------------------------------------------------------------------------------------- proxy

#[test]
fn a_proxy_needs_no_file() {
    let agent = documents_at(&[("/hello", "from the agent")]).to_string();
    let arguments = ["proxy", "--to", &agent, "--listen", "127.0.0.1:0", "--metrics", "off"];
    let mut proxy = Running::start(&arguments, true);
    let shown = proxy.until("# Try it: curl").join("\n");
    assert!(shown.contains(&format!("agent: {{ endpoints: [\"{agent}\"] }}")), "{shown}");
    let address = proxy.listener("http");
    assert!(get(address, "/hello").ends_with("from the agent"));
    proxy.send("HUP");
    proxy.until("configuration read again, unchanged");
    assert_eq!(proxy.signal("TERM"), 0);
}

#[test]
fn a_proxy_prints_a_file_that_does_the_same() {
    let directory = TempDir::new().unwrap();
    let arguments = ["proxy", "--to", "9101", "--to", "agent.test", "--listen", ":8080", "--print"];
    let (code, text, error) = run(&arguments);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(
        text.contains("endpoints: [\"127.0.0.1:9101\", \"agent.test:80\"]") && text.contains("0.0.0.0:8080"),
        "{text}"
    );
    let file = written(&directory, "gateway.yaml", &text);
    let (code, _, error) = run(&["validate", &file]);
    assert_eq!((code, error.as_str()), (0, ""));
}

#[test]
fn a_proxy_serves_https_with_a_certificate_of_its_own() {
    let home = TempDir::new().unwrap();
    let start = || {
        let arguments = ["proxy", "--to", "9101", "--listen", "127.0.0.1:0", "--metrics", "off", "--tls", "dev"];
        let mut command = attache(&arguments);
        command.env_remove("XDG_DATA_HOME").env("HOME", home.path());
        let mut proxy = Running::started(command, true);
        let said = proxy.until("TLS 1.2 and later").join("\n");
        assert!(said.contains("--cacert"), "{said}");
        assert_eq!(proxy.signal("TERM"), 0);
        fs::read(home.path().join(".local/share/attache/dev/gateway.crt")).unwrap()
    };
    assert_eq!(start(), start(), "the certificate is used again");
}

#[test]
fn a_proxy_that_cannot_begin_names_the_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let directory = TempDir::new().unwrap();
    let empty = path(&directory, "");
    for (arguments, code, part) in [
        (&["proxy", "--to", "9101", "--listen", &taken, "--metrics", "off"][..], 1, "--listen"),
        (&["proxy", "--to", "9101", "--listen", "127.0.0.1:0", "--metrics", &taken], 1, "--metrics off"),
        (&["proxy", "--to", "9101", "--to", "https://agent.test"], 1, "https://"),
        (&["proxy", "--to", "9101", "--tls", &empty], 1, "tls.crt with tls.key"),
        (&["proxy"], 2, "--to"),
        (&["proxy", "--to", "no agent"], 2, "127.0.0.1:9101"),
        (&["proxy", "--to", "9101", "--listen", "agent.test:80"], 2, ":8080"),
    ] {
        let (given, _, error) = run(arguments);
        assert!(given == code && error.contains(part), "{arguments:?}: {given} {error}");
    }
}

// ---------------------------------------------------------------------------------------------- init

#[test]
fn a_first_file_knows_what_the_card_says() {
    let directory = TempDir::new().unwrap();
    let agent = documents_at(&[("/.well-known/agent-card.json", SOUND_CARD)]).to_string();
    let (code, out, error) = fed(within(&directory, &["init", "--to", &agent, "--tls", "dev"]), "");
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("attache.yaml written") && out.ends_with("run it: attache run\n"), "{out}");
    assert!(error.contains("its card calls it \"planner\", version 2"), "{error}");
    let text = fs::read_to_string(directory.path().join("attache.yaml")).unwrap();
    for part in ["  planner:\n", &format!("- \"{agent}\""), "certFile: \"certs/gateway.crt\"", "# rateLimit:"] {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
    let (code, _, error) = fed(within(&directory, &["validate"]), "");
    assert_eq!((code, error.as_str()), (0, ""), "the file here is found, and its certificate too");
    let (code, _, error) = fed(within(&directory, &["init", "--to", &agent]), "");
    assert!(code == 1 && error.contains("--force"), "{error}");
    assert_eq!(fs::read_to_string(directory.path().join("attache.yaml")).unwrap(), text);
    let (code, _, _) = fed(within(&directory, &["init", "--to", &agent, "--force", "--no-card"]), "");
    let text = fs::read_to_string(directory.path().join("attache.yaml")).unwrap();
    assert!(code == 0 && text.contains("  agent:\n"), "{text}");
}

#[test]
fn a_first_file_can_be_written_for_an_agent_that_is_not_there() {
    // Bound to its end, so that nobody else gets the port, and never listened to.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let nobody = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    let (code, text, error) = run(&["init", "--to", &nobody, "--out", "-"]);
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("no card was read") && text.contains(&nobody), "{error}{text}");
    let (code, _, error) = fed(attache(&["validate", "-"]), &text);
    assert_eq!((code, error.as_str()), (0, ""));
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let directory = TempDir::new().unwrap();
    let (code, _, error) = fed(within(&directory, &["init"]), "9101\n\n\n");
    assert!(code == 1 && error.contains("--to 127.0.0.1:9101"), "{error}");
    assert!(fs::read_dir(&directory).unwrap().next().is_none(), "nothing is written");
}

// ---------------------------------------------------------------------------------------------- where files are

#[test]
fn the_file_here_is_found() {
    let directory = TempDir::new().unwrap();
    let (code, _, error) = fed(within(&directory, &["run"]), "");
    assert!(code == 2 && error.contains("attache.yaml") && error.contains("attache init"), "{error}");
    written(&directory, "attache.yaml", GOOD);
    for arguments in [&["validate"][..], &["config", "show"], &["explain", "GET", "http://localhost/"]] {
        let (code, out, error) = fed(within(&directory, arguments), "");
        assert!(code == 0 && !out.is_empty(), "{arguments:?}: {error}");
    }
    let mut gateway = Running::started(within(&directory, &["run"]), true);
    assert!(get(gateway.web(), "/").starts_with("HTTP/1.1 204"));
    fs::write(directory.path().join("attache.yaml"), GOOD.replace("204", "205")).unwrap();
    gateway.until("configuration reloaded");
    assert_eq!(gateway.signal("TERM"), 0);
    // A named file that is not there is never replaced by the one that is.
    for arguments in
        [&["run", "-c", "other.yaml"][..], &["validate", "other.yaml"], &["config", "show", "-c", "other.yaml"]]
    {
        let (code, _, error) = fed(within(&directory, arguments), "");
        assert!(code == 1 && error.contains("other.yaml"), "{arguments:?}: {error}");
    }
}

#[test]
fn a_configuration_may_come_from_standard_input() {
    let directory = TempDir::new().unwrap();
    written(&directory, "route.yaml", "routes: { all: { respond: { status: 204 } } }\n");
    let text = "metrics: { address: off }\nlisteners: { web: { address: \"127.0.0.1:0\" } }\ninclude: [route.yaml]\n";
    let mut command = within(&directory, &["run", "-c", "-"]);
    let (reader, mut writer) = std::io::pipe().unwrap();
    command.stdin(reader);
    writer.write_all(text.as_bytes()).unwrap();
    drop(writer);
    let mut gateway = Running::started(command, true);
    let address = gateway.web();
    assert!(get(address, "/").starts_with("HTTP/1.1 204"));
    // What it includes is a file, and is followed.
    written(&directory, "route.yaml", "routes: { all: { respond: { status: 205 } } }\n");
    gateway.until("configuration reloaded");
    assert!(get(address, "/").starts_with("HTTP/1.1 205"));
    gateway.send("HUP");
    gateway.until("configuration read again, unchanged");
    assert_eq!(gateway.signal("TERM"), 0);
}

#[test]
fn what_is_wrong_with_standard_input_is_said_with_its_line() {
    let (code, _, error) = fed(attache(&["validate", "-c", "-"]), "listeners: {}\nrutes: {}\n");
    assert!(code == 1 && error.contains("<standard input>:2"), "{error}");
    let (code, _, error) = fed(attache(&["config", "show", "-"]), "");
    assert!(code == 1 && error.contains("empty"), "{error}");
    let (code, _, error) = fed(attache(&["validate", "-"]), &format!("# {}\n", "x".repeat(5 << 20)));
    assert!(code == 1 && error.contains("too-large") && error.contains("4096 KiB"), "{error}");
    let mut child = attache(&["validate", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"routes: \xff\n").unwrap();
    let line = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(!child.wait().unwrap().success() && line.contains("standard input cannot be read"), "{line}");
}

#[test]
fn a_verb_for_a_running_gateway_finds_the_file_here() {
    let directory = TempDir::new().unwrap();
    let socket = path(&directory, "admin.sock");
    let text = GOOD.replace("metrics:", &format!("admin: {{ address: \"unix:{socket}\" }}\nmetrics:"));
    written(&directory, "attache.yaml", &text);
    let mut gateway = Running::started(within(&directory, &["run"]), true);
    gateway.web();
    let (code, out, error) = fed(within(&directory, &["reload"]), "");
    assert!(code == 0 && out.contains("is in force"), "{out}{error}");
    assert_eq!(gateway.signal("TERM"), 0);
}

// ------------------------------------------------------------------------------------------------ migrate

const NGINX: &str = "server {\n listen 8080;\n location / { proxy_pass http://127.0.0.1:9; frob on; }\n}\n";

#[test]
fn a_file_of_another_proxy_becomes_one_of_ours_with_notes() {
    let directory = TempDir::new().unwrap();
    let theirs = written(&directory, "n.conf", NGINX);
    let ours = path(&directory, "attache.yaml");
    let (code, out, error) = run(&["migrate", "nginx", &theirs, "--out", &ours]);
    assert_eq!((code, out.as_str()), (0, ""), "{error}");
    assert!(
        error.contains("n.conf:3: dropped: frob on: ") && error.contains("1 unsafe, 0 changed, 1 dropped"),
        "{error}"
    );
    let text = fs::read_to_string(&ours).unwrap();
    assert!(text.contains("n.conf:3: dropped: frob on"), "notes stand in the file: {text}");
    assert_eq!(run(&["validate", &ours]).0, 0);
    assert_eq!(run(&["migrate", "nginx", &theirs, "--out", &ours]).0, 1, "a file that is there stays");
    assert_eq!(run(&["migrate", "nginx", &theirs, "--out", &ours, "--force"]).0, 0);
    assert_eq!(run(&["migrate", "apache", &theirs]).0, 2);
}

#[test]
fn what_is_to_be_migrated_may_come_from_standard_input_and_be_broken() {
    let (code, out, error) = fed(attache(&["migrate", "nginx", "-"]), NGINX);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("address: \"0.0.0.0:8080\"") && error.contains("<standard input>:3: "), "{out}{error}");
    for (kind, text, place) in [
        ("nginx", "server {\n listen 80\n}\n", "<standard input>:2:2"),
        ("istio", "kind: a\nkind: b\n", "<standard input>:2:1"),
        ("caddy", "a.com {\n", "<standard input>:1:1"),
    ] {
        let (code, out, error) = fed(attache(&["migrate", kind, "-"]), text);
        assert_eq!((code, out.as_str()), (1, ""), "{error}");
        assert!(error.contains(place) && error.contains('^'), "{error}");
    }
}
