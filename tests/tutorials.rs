//! Tutorials and the quick start are carried out as they are written: their shell commands, one after the other, and
//! what they say is printed. Only addresses differ, because a test has no port of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use tempfile::TempDir;

/// Demo agents, on the ports from 9101.
const AGENTS: usize = 7;

/// A fenced block of a document.
struct Block {
    language: String,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The demo agents on ports of their own.
struct Agents {
    child: Child,
    addresses: Vec<String>,
}

impl Agents {
    fn start() -> Self {
        let mut child = Command::new(cargo_bin!("attache"))
            .args(["demo", "--agents-only", "--address", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the agents start");
        let output = child.stdout.take().expect("piped");
        let lines = BufReader::new(output).lines();
        let address = |line: String| {
            let (_, rest) = line.split_once("http://")?;
            Some(rest.split('/').next()?.to_owned())
        };
        let addresses = lines.map_while(Result::ok).filter_map(address);
        let addresses: Vec<String> = addresses.take(AGENTS).collect();
        assert_eq!(addresses.len(), AGENTS, "all agents");
        Self { child, addresses }
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether there is a curl as the tutorial needs it. A machine with nothing but a Rust toolchain may have none; the
/// traffic comes from the test then.
fn has_curl() -> bool {
    let output = Command::new("curl").args(["--rate", "50/s", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Calls every 20 ms, while the gateway lasts.
fn call(gateway: &str) {
    let body = r#"{"message":{"messageId":"1","role":"ROLE_USER","parts":[{"text":"hello"}]}}"#;
    let request = format!(
        "POST /message:send HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut up = false;
    loop {
        match TcpStream::connect(gateway) {
            Ok(mut stream) => {
                up = true;
                let asked = stream.write_all(request.as_bytes());
                drop(asked.and_then(|()| stream.read_to_end(&mut Vec::new())));
            }
            Err(_) if up => return,
            Err(_) => {}
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A port that nobody listens on; the kernel hands it to nobody else soon.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// A tutorial as a test can carry it out.
struct Tutorial {
    script: String,
    /// What must be printed, in this order.
    expected: Vec<String>,
    directory: TempDir,
    _agents: Agents,
}

impl Tutorial {
    /// Reads a tutorial. `ready` waits for a gateway; blocks of which `omits` says so are left out.
    fn read(name: &str, ready: &str, omits: impl Fn(&str) -> bool) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let document = fs::read_to_string(root.join("docs").join(name)).expect("it is there");
        let agents = Agents::start();
        let (mut script, mut expected) = (String::from("set -u\n"), Vec::new());
        for block in blocks(&document) {
            match block.language.as_str() {
                // The agents run already.
                "sh" if block.text.starts_with("attache demo") || omits(&block.text) => {}
                "sh" if block.text.contains("attache run") => {
                    script.push_str(&block.text);
                    script.push_str(ready);
                }
                "sh" => {
                    script.push_str(&block.text);
                    script.push_str("echo \"exit code $?\"\n");
                }
                "text" => expected.extend(block.text.lines().map(str::to_owned)),
                other => panic!("a block of {other}"),
            }
        }
        let mut tutorial = Self { script, expected, directory: TempDir::new().expect("a directory"), _agents: agents };
        for (at, port) in (9101_u16..).take(AGENTS).enumerate() {
            let to = tutorial._agents.addresses[at].clone();
            tutorial.replace(&format!("127.0.0.1:{port}"), &to);
        }
        tutorial
    }

    /// Puts another address in the place of one.
    fn replace(&mut self, from: &str, to: &str) {
        self.script = self.script.replace(from, to);
        self.expected.iter_mut().for_each(|line| *line = line.replace(from, to));
    }

    /// Puts a free address in the place of one that the tutorial has.
    fn move_to_free(&mut self, from: &str) -> String {
        assert!(self.script.contains(from), "the tutorial has {from}");
        let to = free_address();
        self.replace(from, &to);
        to
    }

    /// Carries it out: what it printed and the gateway's log.
    fn run(&self) -> (String, String) {
        let binary = cargo_bin!("attache").to_path_buf();
        let folder = binary.parent().expect("a directory").display();
        let output = Command::new("timeout")
            .args(["120", "bash", "-c", &self.script])
            .current_dir(&self.directory)
            .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()))
            .env("NO_COLOR", "1")
            .env_remove("ATTACHE_CONFIG")
            .env_remove("ATTACHE_ADMIN")
            .output()
            .expect("bash runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = fs::read_to_string(self.directory.path().join("gateway.log")).unwrap_or_default();
        let mut rest = said.as_str();
        for line in &self.expected {
            let Some(at) = rest.find(line.as_str()) else {
                let errors = String::from_utf8_lossy(&output.stderr);
                panic!("`{line}` is missing in what follows of:\n{said}\n{errors}\n{log}");
            };
            rest = rest.split_at(at + line.len()).1;
        }
        (said, log)
    }
}

#[test]
fn a_bad_canary_is_rolled_back_while_the_reader_watches() {
    let ready = "until test -S admin.sock; do sleep 0.05; done\n";
    let mut tutorial = Tutorial::read("tutorials/canary.md", ready, |block| block.starts_with("curl") && !has_curl());
    let gateway = tutorial.move_to_free("127.0.0.1:8080");
    if !has_curl() {
        std::thread::spawn(move || call(&gateway));
    }
    let (said, log) = tutorial.run();
    assert!(said.contains("exit code 1"), "the watch ends with 1:\n{said}");
    assert!(log.contains("rolled_back"), "the log says so:\n{log}");
}

#[test]
fn tasks_get_lost_and_found_as_the_tutorial_says() {
    // Nearly every line of it is a call.
    if !has_curl() {
        return;
    }
    let ready = "until attache healthcheck -c gateway.yaml > health.log 2>&1; do sleep 0.05; done\n";
    let mut tutorial = Tutorial::read("tutorials/a2a.md", ready, |_| false);
    for address in ["127.0.0.1:8080", "127.0.0.1:9090"] {
        tutorial.move_to_free(address);
    }
    let (_, log) = tutorial.run();
    assert!(log.contains("stopped, nothing was cut off"), "the first gateway ends well:\n{log}");
}

#[test]
fn the_quick_start_leads_to_a_stream_and_to_tls() {
    // Nothing of it can be seen without calls.
    if !has_curl() {
        return;
    }
    let ready = "until attache healthcheck --url http://127.0.0.1:9090/ready > health.log 2>&1; do sleep 0.05; done\n";
    let mut start = Tutorial::read("quick-start.md", ready, |_| false);
    // It says nothing of metrics, whose port may be another test's.
    start.script = start.script.replace("routes:\n", "metrics: { address: \"127.0.0.1:9090\" }\nroutes:\n");
    start.move_to_free("127.0.0.1:9090");
    start.move_to_free("127.0.0.1:8080");
    let https = start.move_to_free("127.0.0.1:8443");
    start.replace("localhost:8443", &https.replace("127.0.0.1", "localhost"));
    let (said, log) = start.run();
    assert!(said.contains("exit code 0"), "{said}");
    assert!(log.contains("stopped, nothing was cut off"), "the gateway ends well:\n{log}");
}
