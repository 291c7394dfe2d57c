//! The command line as a process: runs a verb, reads what it prints, ends it with the test.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use tempfile::TempDir;

pub(crate) fn attache(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin!("attache"));
    // A variable of whoever runs the tests must not change them.
    command
        .env_remove("ATTACHE_CONFIG")
        .env_remove("ATTACHE_ADMIN")
        .env_remove("ATTACHE_ADMIN_TOKEN_FILE")
        .env_remove("ATTACHE_LAST_GOOD")
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1")
        .args(arguments);
    command
}

/// Exit code, standard output and standard error.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = attache(arguments).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

pub(crate) fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().expect("a plain path").to_owned()
}

pub(crate) fn written(directory: &TempDir, name: &str, text: &str) -> String {
    let path = path(directory, name);
    fs::write(&path, text).expect("the file is written");
    path
}

/// A process that is ended when the test is over, however it ends.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) lines: Lines<BufReader<Box<dyn Read + Send>>>,
}

impl Running {
    /// Starts a verb and reads its standard output, or with `errors` its standard error.
    pub(crate) fn start(arguments: &[&str], errors: bool) -> Self {
        Self::started(attache(arguments), errors)
    }

    /// The same for a command.
    pub(crate) fn started(mut command: Command, errors: bool) -> Self {
        if errors {
            command.stdout(Stdio::null()).stderr(Stdio::piped())
        } else {
            command.stdout(Stdio::piped()).stderr(Stdio::null())
        };
        let mut child = command.spawn().expect("the binary runs");
        let pipe: Box<dyn Read + Send> = if errors {
            Box::new(child.stderr.take().expect("piped"))
        } else {
            Box::new(child.stdout.take().expect("piped"))
        };
        Self { child, lines: BufReader::new(pipe).lines() }
    }

    /// Lines up to the one that contains `text`, which must come.
    pub(crate) fn until(&mut self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            seen.push(line.expect("text"));
            if seen.last().is_some_and(|line| line.contains(text)) {
                return seen;
            }
        }
        panic!("it ended without `{text}`:\n{}", seen.join("\n"));
    }

    /// Where the listener `web` is.
    pub(crate) fn web(&mut self) -> SocketAddr {
        self.listener("web")
    }

    /// Where a listener is, which the start-up summary says.
    pub(crate) fn listener(&mut self, name: &str) -> SocketAddr {
        let lines = self.until(&format!("listener  {name}"));
        let line = lines.last().expect("a line");
        let address = line.split([' ', ',']).find_map(|word| word.parse().ok());
        address.expect("an address")
    }

    /// Reads nothing any more, as `head` when it has enough.
    pub(crate) fn leave(&mut self) {
        let nothing: Box<dyn Read + Send> = Box::new(std::io::empty());
        self.lines = BufReader::new(nothing).lines();
    }

    /// Sends a signal and returns the exit code.
    pub(crate) fn signal(mut self, name: &str) -> i32 {
        self.send(name);
        self.wait()
    }

    pub(crate) fn send(&self, name: &str) {
        let id = self.child.id().to_string();
        Command::new("kill").args([format!("-{name}"), id]).status().expect("kill is there");
    }

    /// Waits for the end and returns the exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        // What is still printed must not fill the pipe.
        self.lines.by_ref().for_each(drop);
        self.child.wait().expect("it exits").code().expect("it exits by itself")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Serves a document below each of these paths, and 404 elsewhere. `{at}` in one stands for the server's own address.
/// Ends with the process.
pub(crate) fn documents_at(documents: &'static [(&'static str, &'static str)]) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            // A TLS handshake is no text.
            let Some(Ok(first)) = lines.next() else { continue };
            let fields: Vec<_> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let found = documents.iter().find(|(path, _)| first.split(' ').nth(1) == Some(path));
            let (status, body) = match found {
                Some((path, _)) if path.starts_with("/locked") && !fields.contains(&"x-key: open".to_owned()) => {
                    ("401 Unauthorized", String::new())
                }
                Some((_, body)) => ("200 OK", body.replace("{at}", &address.to_string())),
                None => ("404 Not Found", "no such page".to_owned()),
            };
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").ok();
        }
    });
    address
}

/// A card without faults.
pub(crate) const SOUND_CARD: &str = r#"{
    "name": "planner", "version": "2", "description": "plans", "capabilities": { "streaming": true }, "skills": [],
    "supportedInterfaces": [{ "url": "http://{at}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }],
    "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"]
}"#;
