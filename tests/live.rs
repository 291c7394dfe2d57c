//! The verbs that look at a running gateway, and what only the program has: its events, and the level of its log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod command;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use command::{Running, attache, path, run, written};
use serde_json::Value;
use tempfile::TempDir;

/// A gateway with an admin socket, an endpoint that answers and a cluster of two.
struct World {
    directory: TempDir,
    file: String,
    gateway: Running,
    web: SocketAddr,
    agent: SocketAddr,
}

impl World {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let agent = answering();
        let text = format!(
            "workers: 1
listeners: {{ web: {{ address: '127.0.0.1:0' }} }}
metrics: {{ address: '127.0.0.1:0' }}
admin: {{ address: 'unix:{}', writes: all }}
accessLog: {{ output: off }}
logging: {{ level: info, format: text }}
clusters: {{ pool: {{ endpoints: ['{agent}', '127.0.0.1:1'] }} }}
routes:
  all: {{ cluster: pool }}
",
            path(&directory, "admin.sock")
        );
        let file = written(&directory, "gateway.yaml", &text);
        let mut gateway = Running::start(&["run", "-c", &file], true);
        let web = gateway.web();
        Self { directory, file, gateway, web, agent }
    }

    fn verb(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&[arguments, &["-c", &self.file]].concat())
    }

    /// A request to the admin API; the body of its answer.
    fn ask(&self, method: &str, path: &str) -> Value {
        let mut stream = UnixStream::connect(self.directory.path().join("admin.sock")).unwrap();
        let kind = if method == "POST" { "content-type: application/json\r\n" } else { "" };
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{kind}content-length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.web).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// An agent that answers every request with 200, as long as the process runs.
fn answering() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                while stream.read(&mut head).is_ok_and(|size| size > 0) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn what_a_gateway_does_is_shown_in_the_terminal() {
    let world = World::new();
    for (verb, said) in [
        (&["status"][..], "in service"),
        (&["streams"], "no stream is open"),
        (&["tasks"], "0 tasks go on"),
        (&["tasks", "t-1"], "nobody is known to hold t-1"),
        (&["agents"], "speaks A2A"),
        (&["top", "--once"], "req/s"),
    ] {
        let (code, out, error) = world.verb(verb);
        assert_eq!(code, 0, "{verb:?}: {error}");
        assert!(out.contains(said), "{verb:?}: {out}");
        let (code, out, error) = world.verb(&[verb, &["--json"]].concat());
        assert_eq!(code, 0, "{verb:?}: {error}");
        assert!(serde_json::from_str::<Value>(&out).is_ok_and(|answer| answer.is_object()), "{verb:?}: {out}");
    }
    assert_eq!(world.gateway.signal("TERM"), 0);
}

#[test]
fn requests_are_followed_in_the_terminal() {
    let world = World::new();
    let arguments = ["tail", "--method", "GET", "--path", "/seen", "-n", "1", "-c", &world.file];
    let mut tail = Running::start(&arguments, false);
    // It is not said when it has begun; so requests come until one is shown.
    while tail.child.try_wait().unwrap().is_none() {
        assert!(world.get("/seen").starts_with("HTTP/1.1"));
    }
    let line = tail.lines.next().unwrap().unwrap();
    assert!(line.contains(" GET /seen "), "{line}");
    assert_eq!(tail.wait(), 0);
    let (code, _, error) = world.verb(&["tail", "--status", "9xx"]);
    assert!(code == 1 && error.contains("`status` is a code"), "{error}");
    assert_eq!(world.gateway.signal("TERM"), 0);
}

#[test]
fn what_goes_on_ends_when_its_reader_leaves() {
    let world = World::new();
    let mut top = Running::start(&["top", "--json", "-c", &world.file], false);
    let line = top.lines.next().unwrap().unwrap();
    assert!(line.starts_with('{'), "{line}");
    top.leave();
    assert_eq!(top.wait(), 0);
    // Also where nothing comes that could not be written.
    let mut tail = Running::start(&["tail", "-c", &world.file], false);
    tail.leave();
    assert_eq!(tail.wait(), 0);
    assert_eq!(world.gateway.signal("TERM"), 0);
}

#[test]
fn an_endpoint_is_drained_from_the_terminal() {
    let world = World::new();
    let agent = world.agent.to_string();
    let (code, out, error) = world.verb(&["drain", "pool", &agent, "--reason", "update"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains(&format!("{agent} drains")) && out.contains("nothing runs on it any more"), "{out}");
    let (code, out, _) = world.verb(&["status"]);
    assert!(code == 0 && out.contains("drained by an operator"), "{out}");
    let (code, _, error) = world.verb(&["drain", "pool", "127.0.0.1:1"]);
    assert!(code == 1 && error.contains("force=true"), "{error}");
    let (code, out, error) = world.verb(&["drain", "pool", &agent, "--undo"]);
    assert!(code == 0 && out.contains("is in service"), "{out}{error}");
    let mut nameless = attache(&["drain", "pool", &agent, "--no-wait", "-c", &world.file]);
    let drained = nameless.env("USER", "").output().unwrap();
    assert!(drained.status.success(), "without a user: {}", String::from_utf8_lossy(&drained.stderr));
    let (code, _, error) = world.verb(&["drain", "other", &agent]);
    assert!(code == 1 && error.contains("no such cluster"), "{error}");
    assert_eq!(world.gateway.signal("TERM"), 0);
}

#[test]
fn events_are_shown_whatever_the_level_of_the_log_and_that_can_be_set() {
    let mut world = World::new();
    let level = |world: &World| world.ask("GET", "/log-level");
    assert_eq!((&level(&world)["level"], &level(&world)["left"]), (&"info".into(), &Value::Null));
    let set = world.ask("POST", "/log-level?level=error&for=1h");
    assert!(set["level"] == "error" && set["left"].as_f64() > Some(3590.0), "{set}");
    let refused = world.ask("POST", "/log-level?level=attache%3Dloud");
    assert!(refused["error"].as_str().is_some_and(|why| why.contains("invalid log filter")), "{refused}");
    world.ask("POST", "/endpoints?cluster=pool&endpoint=127.0.0.1:1&verb=drain");
    let events = world.ask("GET", "/events");
    let is_there = events["events"].as_array().unwrap().iter().any(|event| event["drained"] == true);
    assert!(is_there, "{events}");
    let set = world.ask("POST", "/log-level");
    assert_eq!(set["level"], "info", "as configured");
    world.ask("POST", "/endpoints?cluster=pool&endpoint=127.0.0.1:1&verb=undrain");
    let lines = world.gateway.until("changed who is in service");
    let told: Vec<_> = lines.iter().filter(|line| line.contains("changed who is in service")).collect();
    assert!(told.len() == 1 && told[0].contains("drained=false"), "the other one was not logged: {lines:?}");
    assert_eq!(world.gateway.signal("TERM"), 0);
}

/// An admin API that answers when it is told to.
fn patient() -> (SocketAddr, std::sync::mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        wait.recv().ok();
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        // It reads the question whenever that comes.
        client.read_to_end(&mut Vec::new()).ok();
    });
    (address, answer)
}

#[test]
fn a_person_who_waits_is_told_what_for_and_a_program_is_not() {
    let (address, answer) = patient();
    let binary = assert_cmd::cargo::cargo_bin!("attache").display().to_string();
    let asked = format!("{binary} reload --admin {address}");
    let mut terminal = std::process::Command::new("script");
    terminal.args(["--quiet", "--flush", "--command", &asked, "/dev/null"]).stdin(std::process::Stdio::null());
    let mut terminal = Running::started(terminal, false);
    terminal.until("waiting for the gateway to take its configuration");
    answer.send(()).unwrap();
    assert_eq!(terminal.wait(), 0);

    let (address, answer) = patient();
    std::thread::spawn(move || {
        // Longer than the second after which a person would be told.
        let (_silent, nobody) = std::sync::mpsc::channel::<()>();
        nobody.recv_timeout(std::time::Duration::from_millis(1_500)).unwrap_err();
        answer.send(()).unwrap();
    });
    let (code, _, error) = run(&["reload", "--admin", &address.to_string()]);
    assert_eq!((code, error.as_str()), (0, ""));
}
