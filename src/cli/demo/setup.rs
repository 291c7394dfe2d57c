//! Prepares the demo: free ports, a temporary directory with certificates and a configuration, and the text that
//! explains it.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::cli::certificates::{Development, Files};
use crate::config::model::AdminAddress;
use crate::demo::{Agent, Personality};

/// Ports of the demo's listeners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) https: u16,
    http: u16,
}

impl Ports {
    /// Makes sure both are free, and finds free ones for 0. Somebody may take one before the gateway does; its own
    /// error says so then.
    pub(super) fn choose(https: u16, http: u16) -> Result<Self, Failure> {
        let (https_held, http_held) = (hold(https, "--https-port")?, hold(http, "--http-port")?);
        let port = |held: &TcpListener| held.local_addr().map(|address| address.port());
        match (port(&https_held), port(&http_held)) {
            (Ok(https), Ok(http)) => Ok(Self { https, http }),
            _ => Err(Failure::new("no free port was found", "choose one with --https-port and --http-port")),
        }
    }
}

/// Binds a port without `SO_REUSEPORT`: with it, two demos would share a port and each get half of the connections.
fn hold(port: u16, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(|error| {
        let what = if error.kind() == ErrorKind::AddrInUse {
            "is taken".to_owned()
        } else {
            format!("cannot be used: {error}")
        };
        Failure::new(
            format_args!("port {port} {what}"),
            format_args!(
                "choose another with {flag}, such as {flag} {}; 0 takes any free one",
                port.saturating_add(1000)
            ),
        )
    })
}

/// The demo's temporary directory; dropping it removes it.
#[derive(Debug)]
pub(super) struct Setup {
    ports: Ports,
    directory: PathBuf,
    /// The configuration file.
    pub(super) config: PathBuf,
    /// The certificate clients must trust.
    pub(super) authority: PathBuf,
}

impl Setup {
    /// Makes the directory and everything in it.
    pub(super) fn create(ports: Ports, agents: &[Agent]) -> Result<Self, Failure> {
        let unwritable = |error: std::io::Error| {
            Failure::new(
                format_args!("{} cannot be written to: {error}", std::env::temp_dir().display()),
                "name a directory you may write to in TMPDIR",
            )
        };
        let directory = std::env::temp_dir().join(format!("attache-demo-{:08x}", fastrand::u32(..)));
        DirBuilder::new().mode(0o700).create(&directory).map_err(unwritable)?;
        let files = Files::within(&directory);
        let setup =
            Self { ports, config: directory.join("gateway.yaml"), authority: files.authority.clone(), directory };

        let made = Development::make(&[]).map_err(|error| {
            Failure::new(format_args!("no certificate could be made: {error}"), "is the clock set to a sensible time?")
        })?;
        made.write(&files).map_err(unwritable)?;
        fs::write(&setup.config, configuration(ports, &setup.directory, agents)).map_err(unwritable)?;
        Ok(setup)
    }

    /// The text that the demo prints when it runs.
    pub(super) fn welcome(&self, metrics: Option<SocketAddr>, admin: Option<&AdminAddress>) -> String {
        let (https, http) = (self.ports.https, self.ports.http);
        let ca = format!("--cacert {} ", self.authority.display());
        let base = format!("https://localhost:{https}");
        let directory = self.directory.display();
        let admin = admin.map(|address| format!("\n# all of it, live, in a browser\n  {address}/dashboard"));
        let metrics = metrics.map(|address| format!("\n# what the gateway counts\n  curl http://{address}/metrics\n"));
        format!(
            "A gateway with seven A2A agents behind it. Paste any line into another terminal:\n
# one call, answered at once (A2A 1.0, REST)
  {}
# three replicas of one agent, each with tasks of its own: make a task, ask for it, follow it, cancel it
  TASK=$({} | grep -o '\"id\":\"[^\"]*' | cut -d'\"' -f4)
  curl {ca}{base}/team/tasks/$TASK
  curl -N -X POST {ca}{base}/team/tasks/$TASK:subscribe | head -n 4
  curl -X POST {ca}{base}/team/tasks/$TASK:cancel
# a stream: ten pieces, one every half second
  {}
# A2A 0.3 (JSON-RPC) to an agent that fails every third call
  {}
# an agent's card, with the gateway's URL in it
  curl {ca}{base}/fast/.well-known/agent-card.json
# plain HTTP is redirected
  curl -i http://localhost:{http}/fast/health{}{}
configuration {directory}/gateway.yaml
access log    tail -f {directory}/access.log
Ctrl-C ends it and removes {directory}\n",
            send(&ca, &format!("{base}/fast")),
            call(&format!("-s {ca}"), &format!("{base}/team/message:send"), LONG_WORK),
            call(&format!("-N {ca}"), &format!("{base}/slow/message:stream"), MESSAGE),
            call(&ca, &format!("{base}/flaky/"), OLD_CALL),
            admin.unwrap_or_default(),
            metrics.unwrap_or_default(),
        )
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// Where clients reach an agent through the demo's gateway.
pub(super) fn public_url(https: u16, personality: Personality) -> String {
    format!("https://localhost:{https}/{}/", personality.route())
}

/// A `curl` line that sends one message by REST.
pub(super) fn send(options: &str, base: &str) -> String {
    call(options, &format!("{base}/message:send"), MESSAGE)
}

fn call(options: &str, url: &str, body: &str) -> String {
    format!("curl {options}{url} -H content-type:application/json -d '{body}'")
}

fn configuration(ports: Ports, directory: &Path, agents: &[Agent]) -> String {
    use std::fmt::Write;

    let mut text = format!(
        "# The configuration of this demo.
listeners:
  http: {{ address: \"127.0.0.1:{}\", httpsRedirect: true }}
  https:
    address: \"127.0.0.1:{}\"
    tls:
      certificates:
        - {{ certFile: gateway.crt, keyFile: gateway.key }}
metrics: {{ address: \"127.0.0.1:0\" }}
admin: {{ address: \"127.0.0.1:0\" }}
accessLog: {{ output: \"{}/access.log\" }}
logging: {{ level: warn }}
shutdown: {{ drainTimeout: 1s, streamGrace: 1s }}
routes:
",
        ports.http,
        ports.https,
        directory.display()
    );
    let mut routes = |name: &str, endpoints: &str| {
        // Writing to a string cannot fail.
        write!(
            text,
            "  {name}:\n    match: {{ path: {{ prefix: /{name} }} }}\n    rewrite: {{ prefix: / }}\n    endpoints: [{endpoints}]\n"
        )
        .ok();
    };
    let (team, alone): (Vec<_>, Vec<_>) = agents.iter().partition(|agent| agent.personality().is_replica());
    for agent in alone {
        routes(agent.personality().route(), &format!("\"{}\"", agent.address()));
    }
    let team: Vec<_> = team.iter().map(|agent| format!("\"{}\"", agent.address())).collect();
    routes("team", &team.join(", "));
    text
}

const MESSAGE: &str = r#"{"message":{"messageId":"1","role":"ROLE_USER","parts":[{"text":"hello"}]}}"#;
/// For an agent that works for long: it answers as soon as there is a task.
const LONG_WORK: &str = r#"{"message":{"messageId":"1","role":"ROLE_USER","parts":[{"text":"hello"}]},"configuration":{"returnImmediately":true}}"#;
const OLD_CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"messageId":"1","role":"user","parts":[{"kind":"text","text":"hello"}]}}}"#;
