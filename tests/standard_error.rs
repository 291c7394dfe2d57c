//! The binary with a standard error that is full, gone or not read: lines are lost and counted, and everything else
//! goes on.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Nothing is waited for longer than this.
const GUARD: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < GUARD, "never happened: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Status and body of a GET; status 0 when there is no answer.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = || {
        let mut client = TcpStream::connect(address)?;
        client.set_read_timeout(Some(GUARD))?;
        write!(client, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        client.read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    let text = answer().unwrap_or_default();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or(0), body.to_owned())
}

/// An agent that is well, or fails its checks or its calls.
struct Agent {
    address: SocketAddr,
    ill: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
}

impl Agent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let agent = Self { address: listener.local_addr().unwrap(), ill: Arc::default(), fails: Arc::default() };
        let (ill, fails) = (Arc::clone(&agent.ill), Arc::clone(&agent.fails));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (ill, fails) = (Arc::clone(&ill), Arc::clone(&fails));
                thread::spawn(move || {
                    let mut head = [0; 4096];
                    let count = stream.read(&mut head).unwrap_or(0);
                    let is_check = head[..count].starts_with(b"GET /health ");
                    let is_bad = if is_check { &ill } else { &fails };
                    let status = if is_bad.load(Ordering::Relaxed) { "503 No" } else { "200 Yes" };
                    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
                });
            }
        });
        agent
    }
}

struct Gateway {
    child: Child,
    directory: TempDir,
    agent: Agent,
    /// Well throughout.
    other: Agent,
    metrics: SocketAddr,
    web: SocketAddr,
}

impl Gateway {
    async fn start(stderr: Stdio) -> Self {
        let directory = TempDir::new().unwrap();
        let (agent, other) = (Agent::start(), Agent::start());
        let file = directory.path().join("gateway.yaml");
        fs::write(&file, text([agent.address, other.address], 403)).unwrap();
        let child = Command::new(cargo_bin!("attache"))
            .env_remove("RUST_LOG")
            .env_remove("ATTACHE_LAST_GOOD")
            .args(["run", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let id = child.id();
        let mut gateway = Self {
            child,
            directory,
            agent,
            other,
            // Nobody can be told where it listens, so each listener has a loopback address to be known by.
            metrics: ([127, 0, 0, 3], 0).into(),
            web: ([127, 0, 0, 2], 0).into(),
        };
        gateway.metrics = soon("metrics listen", || listens(id, gateway.metrics)).await;
        gateway.web = soon("the listener listens", || listens(id, gateway.web)).await;
        soon("it is ready", || (get(gateway.metrics, "/ready").0 == 200).then_some(())).await;
        gateway
    }

    fn write(&self, text: &str) {
        // As an editor does.
        let (file, new) = (self.file("gateway.yaml"), self.file("new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A sample as `/metrics` has it.
    fn metric(&self, series: &str) -> Option<String> {
        let (status, text) = get(self.metrics, "/metrics");
        assert_eq!(status, 200, "metrics are answered");
        let mut lines = text.lines();
        lines.find_map(|line| Some(line.strip_prefix(series)?.trim().to_owned()))
    }

    async fn shows(&self, series: &str, value: &str) {
        soon(&format!("{series} {value}"), || (self.metric(series)? == value).then_some(())).await;
    }

    fn send(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([format!("-{signal}"), id]).status();
        assert!(sent.unwrap().success());
    }

    /// Everything that writes a log line, and what must go on afterwards.
    async fn lives(&mut self) {
        let agents = [self.agent.address, self.other.address];
        let health = |state| format!("attache_health_endpoints{{cluster=\"all\",state=\"{state}\"}}");
        let (healthy, unhealthy) = (health("healthy"), health("unhealthy"));
        for _ in 0..2 {
            self.shows(&healthy, "2").await;
            self.agent.ill.store(true, Ordering::Relaxed);
            self.shows(&unhealthy, "1").await;
            self.agent.ill.store(false, Ordering::Relaxed);
        }
        self.shows(&healthy, "2").await;

        self.write(&text(agents, 403).replace("respond", "respnd"));
        self.shows("attache_config_last_reload_successful", "0").await;
        self.write(&text(agents, 410));
        soon("the mended file is in force", || (get(self.web, "/fixed").0 == 410).then_some(())).await;
        let reloads = "attache_config_reloads_total{result=\"ok\"}";
        self.shows(reloads, "1").await;
        self.send("HUP");
        self.shows(reloads, "2").await;

        self.agent.fails.store(true, Ordering::Relaxed);
        soon("the endpoint is ejected", || {
            get(self.web, "/agent");
            (self.metric("attache_endpoints_ejected{cluster=\"all\"}")? == "1").then_some(())
        })
        .await;
        for call in 0..40 {
            assert_eq!(get(self.web, "/agent").0, 200, "call {call}");
            assert_eq!(get(self.web, "/fixed").0, 410, "call {call}");
        }
        assert_eq!(get(self.metrics, "/ready").0, 200);
    }

    fn lost(&self) -> u64 {
        self.metric("attache_log_lines_lost_total").unwrap().parse().unwrap()
    }

    /// Ends it by a signal, and says how it ended.
    async fn ends(&mut self) -> Option<i32> {
        self.send("TERM");
        let child = &mut self.child;
        soon("it ends", || child.try_wait().unwrap()).await.code()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn text([agent, other]: [SocketAddr; 2], fixed: u16) -> String {
    format!(
        "workers: 1
listeners: {{ web: {{ address: \"127.0.0.2:0\" }} }}
metrics: {{ address: \"127.0.0.3:0\" }}
reload: {{ debounce: off, poll: 1s }}
accessLog: {{ output: off }}
clusters:
  all:
    endpoints: [\"{agent}\", \"{other}\"]
    healthCheck: {{ path: /health, interval: 100ms, unhealthyThreshold: 1, healthyThreshold: 1 }}
    outlierDetection: {{ consecutive5xxErrors: 2, baseEjectionTime: 1h, maxEjectionTime: 1h, maxEjectionPercent: 100 }}
    panic: {{ action: fail }}
routes:
  agent: {{ match: {{ path: {{ prefix: /agent }} }}, cluster: all }}
  fixed: {{ match: {{ path: {{ prefix: /fixed }} }}, respond: {{ status: {fixed} }} }}
"
    )
}

/// Where process `id` listens at the address of `wanted`.
fn listens(id: u32, wanted: SocketAddr) -> Option<SocketAddr> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{id}/fd"))
        .ok()?
        .flatten()
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_str()?.to_owned()))
        .collect();
    let SocketAddr::V4(wanted) = wanted else {
        return None;
    };
    let address = format!("{:08X}:", u32::from_ne_bytes(wanted.ip().octets()));
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = fields[1].strip_prefix(&address)?;
        let (is_listening, socket) = (fields[3] == "0A", format!("socket:[{}]", fields[9]));
        let port = u16::from_str_radix(port, 16).ok()?;
        (is_listening && sockets.contains(&socket)).then(|| (*wanted.ip(), port).into())
    })
}

#[tokio::test]
async fn a_full_device_costs_lines_only() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut gateway = Gateway::start(full.into()).await;
    gateway.lives().await;
    assert!(gateway.lost() > 0);
    assert_eq!(gateway.ends().await, Some(0));
}

#[tokio::test]
async fn a_reader_that_is_gone_costs_lines_only() {
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let writer = std::os::fd::OwnedFd::from(writer);
    let mut gateway = Gateway::start(writer.into()).await;
    gateway.lives().await;
    assert!(gateway.lost() > 0);
    assert_eq!(gateway.ends().await, Some(0));
}

/// A pipe in which there is no room, and who could read it.
fn full_pipe() -> (UnixStream, UnixStream) {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    for piece in [&[b'x'; 4096][..], b"x"] {
        let full = loop {
            if let Err(error) = writer.write(piece) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
    writer.set_nonblocking(false).unwrap();
    (reader, writer)
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_costs_lines_only() {
    let (reader, writer) = full_pipe();
    let mut gateway = Gateway::start(std::os::fd::OwnedFd::from(writer).into()).await;
    gateway.lives().await;
    assert_eq!(gateway.ends().await, Some(0), "it does not wait for who reads");
    drop(reader);
}

#[tokio::test]
async fn a_start_that_is_refused_does_not_wait_for_who_reads() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("gateway.yaml");
    fs::write(&file, "listners: {}\n").unwrap();
    let (reader, writer) = full_pipe();
    let mut child = Command::new(cargo_bin!("attache"))
        .args(["run", "-c"])
        .arg(&file)
        .stderr(Stdio::from(std::os::fd::OwnedFd::from(writer)))
        .spawn()
        .unwrap();
    let ended = soon("it ends", || child.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(1));
    drop(reader);
}

/// Every verb that prints, to a device that takes nothing.
#[test]
fn a_verb_that_cannot_print_does_not_panic() {
    let directory = TempDir::new().unwrap();
    let (good, bad) = (directory.path().join("good.yaml"), directory.path().join("bad.yaml"));
    fs::write(&good, text([([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()], 403)).unwrap();
    fs::write(&bad, "listners: {}\n").unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let certs = directory.path().join("certs");
    let certs = ["certs", "dev", "--out", certs.to_str().unwrap()];
    for (arguments, code, tells) in [
        (&["version"][..], 1, true),
        (&["version", "--json"], 1, true),
        (&["--version"], 1, true),
        (&["--help"], 1, true),
        (&["config", "--help"], 1, true),
        (&["nonsense"], 2, false),
        (&["man"], 1, true),
        (&["completions", "bash"], 1, true),
        (&["validate", "-c", good], 1, true),
        (&["validate", "-c", good, "--format", "json"], 1, true),
        (&["validate", "-c", bad], 1, false),
        (&["validate", "-c", bad, "--format", "json"], 1, true),
        (&["config", "show", "-c", good], 1, true),
        (&["config", "schema"], 1, true),
        (&["explain", "GET", "http://a/fixed", "-c", good], 1, true),
        (&["run", "-c", bad], 1, false),
        (&["healthcheck", "--url", "http://127.0.0.1:1/ready"], 1, false),
        // What it made is there, whether or not it could say so; the second time it has nothing to do.
        (&certs, 0, true),
        (&[&certs[..], &["--if-missing"]].concat(), 0, true),
    ] {
        let ended = Command::new(cargo_bin!("attache")).args(arguments).stdout(full()).stderr(full()).status().unwrap();
        let heard = Command::new(cargo_bin!("attache"))
            .args(arguments)
            .args((arguments == certs).then_some("--force"))
            .stdout(full())
            .output()
            .unwrap();
        let said = String::from_utf8(heard.stderr).unwrap();
        assert_eq!(ended.code(), Some(code), "{arguments:?}");
        assert_eq!(heard.status.code(), Some(code), "{arguments:?}: {said}");
        let told = said.contains("standard output cannot be written to");
        assert_eq!(told, tells, "{arguments:?}: {said}");
    }
}

/// A gateway's answer is an exit code, so a probe whose output is lost is still right.
#[tokio::test]
async fn a_check_that_cannot_print_says_what_the_gateway_said() {
    let gateway = Gateway::start(Stdio::null()).await;
    let url = format!("http://{}/ready", gateway.metrics);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = Command::new(cargo_bin!("attache"))
        .args(["healthcheck", "--url", &url])
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(ended.code(), Some(0));
}

/// `attache config schema | head -1`.
#[test]
fn a_reader_that_is_gone_is_no_failure() {
    for arguments in [&["config", "schema"][..], &["man"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = Command::new(cargo_bin!("attache")).args(arguments).stdout(writer).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}");
        assert!(ended.stderr.is_empty(), "{arguments:?}: nothing to tell");
    }
}

/// With `format: json` each line is an object, whatever it says. So it is with `auto` where nobody sits before it.
#[tokio::test]
async fn a_log_in_json_is_json_to_the_last_line() {
    for logging in ["logging: { format: json }\n", ""] {
        is_json_to_the_last_line(logging);
    }
}

fn is_json_to_the_last_line(logging: &str) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("gateway.yaml");
    let agents = [([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
    // The ceiling of ejections is something to warn of.
    let good = format!("{}{logging}", text(agents, 403)).replace("debounce: off, poll: 1s", "watch: false");
    fs::write(&file, &good).unwrap();
    let (reader, writer) = UnixStream::pair().unwrap();
    reader.set_read_timeout(Some(GUARD)).unwrap();
    let mut child = Command::new(cargo_bin!("attache"))
        .env_remove("RUST_LOG")
        .args(["run", "-c"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::from(std::os::fd::OwnedFd::from(writer)))
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reader).lines().map(|line| {
        let line = line.unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    let mut until = |text: &str| {
        lines
            .find(|line| line["message"].as_str().unwrap().contains(text))
            .unwrap_or_else(|| panic!("it ended without `{text}`"))
    };
    let signal = |name: &str| {
        let id = child.id().to_string();
        let sent = Command::new("kill").args([format!("-{name}"), id]).status();
        assert!(sent.unwrap().success());
    };
    until("is running, configuration");
    until("listener  web on 127.0.0.2:");
    assert_eq!(until("not protected")["level"], "WARN");
    fs::write(&file, good.replace("respond", "respnd")).unwrap();
    signal("HUP");
    let told = until("respnd");
    assert_eq!(told["level"], "ERROR");
    let told = if told["code"].is_null() { until("respnd") } else { told };
    assert_eq!(told["code"], "unknown-field");
    assert!(told["line"].is_u64() && told["file"].is_string(), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("respond"), "{told}");
    signal("TERM");
    until("stopped, nothing was cut off");
    assert_eq!(lines.count(), 0, "that was the last line");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // So is what a start says that a mistake elsewhere in the file prevents.
    let refused = Command::new(cargo_bin!("attache")).args(["run", "-c"]).arg(&file).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    let objects: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let mut codes = objects.iter().map(|line| &line["code"]);
    assert!(codes.any(|code| code == "unknown-field"), "{text}");
}
