//! The two ends of the comparison: a backend and the clients that load a proxy in front of it.
//!
//! Both share one core, so each request must cost them less than it costs the proxy; hence one thread, requests and
//! answers built once, and no HTTP library. Results go to standard output as one JSON object per line.

mod backend;
mod bodies;
mod connects;
mod h2load;
mod http;
mod idle;
mod load;
mod message;
mod sse;
mod tls;

use std::collections::HashMap;
use std::process::ExitCode;
use std::str::FromStr;

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage: loadgen COMMAND --OPTION VALUE ...
  backend --port P [--spin yes]
  load    --port P --connections N --warmup N --requests N [--path PATH] [--method POST|GET] [--ca FILE] [--spin yes]
          (TLS 1.3 when a CA is given)
  connects --port P --connections N --requests N --ca FILE [--resumed yes] [--spin yes]
          (a connection in TLS 1.3 for each request)
  bodies  --port P --connections N --requests N --bytes N --direction up|down [--spin yes]
  h2      --port P --connections N --streams N --warmup N --requests N --ca FILE [--spin yes]
  idle    --port P --connections N --calls 0|1 [--ca FILE]
  sse     --port P --streams N

All but backend print a line when they are ready, then wait for a line (or the end) of standard input.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("loadgen: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let command = args.next().ok_or(USAGE)?;
    let options = Options::read(args)?;
    let port = options.number("port")?;
    let spin = options.text("spin") == Some("yes");
    match command.as_str() {
        "backend" => backend::serve(port, spin),
        "load" => load::run(&load::Plan {
            port,
            path: options.text("path").unwrap_or("/"),
            method: options.text("method").unwrap_or("POST"),
            connections: options.number("connections")?,
            warmup: options.number("warmup")?,
            requests: options.number("requests")?,
            ca_file: options.text("ca"),
            spin,
        }),
        "connects" => connects::run(&connects::Plan {
            port,
            at_once: options.number("connections")?,
            requests: options.number("requests")?,
            ca_file: options.text("ca").ok_or(USAGE)?,
            is_resumed: options.text("resumed") == Some("yes"),
            spin,
        }),
        "bodies" => bodies::run(&bodies::Plan {
            port,
            connections: options.number("connections")?,
            requests: options.number("requests")?,
            bytes: options.number("bytes")?,
            is_upload: options.text("direction") == Some("up"),
            spin,
        }),
        "h2" => h2load::run(&h2load::Plan {
            port,
            connections: options.number("connections")?,
            streams: options.number("streams")?,
            warmup: options.number("warmup")?,
            requests: options.number("requests")?,
            ca_file: options.text("ca").ok_or(USAGE)?,
            spin,
        }),
        "idle" => {
            idle::hold(port, options.number("connections")?, options.number::<u8>("calls")? > 0, options.text("ca"))
        }
        "sse" => sse::hold(port, options.number("streams")?),
        _ => Err(USAGE.into()),
    }
}

struct Options(HashMap<String, String>);

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = HashMap::new();
        while let Some(flag) = args.next() {
            let name = flag.strip_prefix("--").ok_or(USAGE)?;
            let value = args.next().ok_or(USAGE)?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        let text = self.text(name).ok_or_else(|| format!("--{name} is missing\n{USAGE}"))?;
        text.parse().map_err(|_| format!("--{name} {text}: not a number in range").into())
    }
}

/// One thread, as everything here shares one core.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()
}

/// Waits until the script that drives us says go on. Blocks the thread: nothing else may run meanwhile.
fn wait_for_line() -> std::io::Result<()> {
    std::io::stdin().read_line(&mut String::new()).map(drop)
}

/// Keeps the thread from going to sleep while it has nothing to do; other processes of the core get their turns.
/// Whoever sends to a sleeping thread on another core pays for waking it, which a network would not charge for.
async fn spin() {
    loop {
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}
