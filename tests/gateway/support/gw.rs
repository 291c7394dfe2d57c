//! A gateway of its own for each test.

use std::net::SocketAddr;

use attache::config::{self, Environment};
use attache::gateway::{Drained, Error, Gateway};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Body, Client, Raw, Reply, Tls, get, soon, within};

/// Something that has a place in a configuration.
pub(crate) trait Place {
    /// What `{n}` in a template stands for.
    fn place(&self) -> String;
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gw {
    gateway: Gateway,
    directory: TempDir,
}

impl Gw {
    /// Starts a gateway. `{0}`, `{1}` and so on in the template stand for `places`. Where the template does not say
    /// otherwise there is one listener, `http`, that speaks HTTP/1.1 and HTTP/2, and two workers.
    pub(crate) async fn with(template: &str, places: &[&dyn Place]) -> Self {
        let directory = TempDir::new().unwrap();
        let config = parse(template, places, &directory);
        let gateway = within("the gateway starts", Gateway::start(config)).await.expect("the gateway starts");
        Self { gateway, directory }
    }

    /// The live side of a route's split.
    pub(crate) fn split(&self, route: &str) -> std::sync::Arc<attache::route::rollout::RolloutControl> {
        self.gateway.split(route).expect("the route has a split")
    }

    /// Puts another configuration in force.
    pub(crate) async fn reload(&mut self, template: &str, places: &[&dyn Place]) -> Result<(), Error> {
        let config = parse(template, places, &self.directory);
        within("the gateway reloads", self.gateway.reload(config)).await.map(drop)
    }

    /// Address of the only listener, or of the one called `http`.
    pub(crate) fn address(&self) -> SocketAddr {
        let addresses = self.gateway.addresses();
        if addresses.len() == 1 { *addresses.values().next().unwrap() } else { addresses["http"] }
    }

    /// Address of the listener called `name`.
    pub(crate) fn at(&self, name: &str) -> SocketAddr {
        self.gateway.addresses()[name]
    }

    /// Whether a listener of this name is open.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.gateway.addresses().contains_key(name)
    }

    /// A new HTTP/1.1 connection.
    pub(crate) async fn h1(&self) -> Client {
        Client::h1(self.address()).await
    }

    /// A new HTTP/2 connection in the clear.
    pub(crate) async fn h2(&self) -> Client {
        Client::h2c(self.address()).await
    }

    /// A new connection without any protocol.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.address()).await
    }

    /// A new TLS connection that asks for `name`.
    pub(crate) async fn tls(&self, tls: &Tls, name: &str) -> std::io::Result<Client> {
        tls.connect(self.address(), name).await
    }

    /// GET on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(get(path)).await
    }

    /// Any request on a connection of its own.
    pub(crate) async fn send(&self, request: http::Request<Body>) -> Reply {
        self.h1().await.reply(request).await
    }

    /// The access records, once there are `count` of them. Each worker writes its own in order; those of several
    /// workers come as they come.
    pub(crate) async fn records(&self, count: usize) -> Vec<Value> {
        let path = self.directory.path().join("access.log");
        let found = soon(&format!("{count} access records"), || async {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let records: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            (records.len() >= count).then_some(records)
        })
        .await;
        assert_eq!(found.len(), count, "one access record for each exchange: {found:#?}");
        found
    }

    /// The lines of the file `{log}{suffix}`, once there are `count` of them.
    pub(crate) async fn lines(&self, suffix: &str, count: usize) -> Vec<String> {
        let path = self.directory.path().join(format!("access.log{suffix}"));
        let found = soon(&format!("{count} lines"), || async {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<String> =
                text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
        .await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// The events of the audit log `{log}.audit`, once there are `count` of them.
    pub(crate) async fn audited(&self, count: usize) -> Vec<Value> {
        let path = self.directory.path().join("access.log.audit");
        let found = soon(&format!("{count} events"), || async {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            (events.len() >= count).then_some(events)
        })
        .await;
        assert_eq!(found.len(), count, "one event for each decision: {found:#?}");
        found
    }

    /// The audit log `{log}.audit` as it is.
    pub(crate) fn text_of_audit(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("access.log.audit")).unwrap_or_default()
    }

    /// The only access record.
    pub(crate) async fn record(&self) -> Value {
        self.records(1).await.remove(0)
    }

    /// The sum of a metric's series that have these labels; 0 when there is none.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.metrics().await;
        let wanted: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let series = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && wanted.iter().all(|pair| rest.contains(pair))
        });
        series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    /// Everything `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        let reply = self.admin("/metrics").await;
        assert_eq!(reply.status, 200, "metrics are served");
        reply.text().to_owned()
    }

    /// A path of the metrics listener.
    pub(crate) async fn admin(&self, path: &str) -> Reply {
        let address = self.gateway.metrics_address().expect("metrics are on");
        Client::h1(address).await.reply(get(path)).await
    }

    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.gateway.metrics_address().expect("metrics are on")
    }

    /// Moves the access log away, as a log rotation does, and has it opened again; what was written until then.
    pub(crate) async fn rotate_log(&self) -> std::path::PathBuf {
        let path = self.directory.path().join("access.log");
        let moved = self.directory.path().join("access.log.1");
        std::fs::rename(&path, &moved).unwrap();
        self.gateway.reopen_log();
        soon("the log is opened again", || async { path.exists().then_some(()) }).await;
        moved
    }

    /// Looks at the certificates' files now.
    pub(crate) async fn refresh_certificates(&self) {
        self.gateway.refresh_certificates().await;
    }

    /// Drains with the configured limits. The directory with the access log comes back.
    pub(crate) async fn shutdown(self) -> (Drained, Ended) {
        self.shutdown_with(CancellationToken::new()).await
    }

    /// Drains; `hurry` cuts it short.
    pub(crate) async fn shutdown_with(self, hurry: CancellationToken) -> (Drained, Ended) {
        let drained = within("the gateway ends", self.gateway.shutdown(hurry)).await;
        (drained, Ended { directory: self.directory })
    }
}

/// What a gateway that has ended leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    directory: TempDir,
}

impl Ended {
    /// The access log as it is.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("access.log")).unwrap()
    }

    /// The file `{log}{suffix}` as it is.
    pub(crate) fn text_of(&self, suffix: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("access.log{suffix}"))).unwrap()
    }

    /// Every access record.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Fills a template in and parses it.
fn parse(template: &str, places: &[&dyn Place], directory: &TempDir) -> config::model::Config {
    let mut text = template.to_owned();
    for (index, place) in places.iter().enumerate() {
        text = text.replace(&format!("{{{index}}}"), &place.place());
    }
    let lines: Vec<&str> = text.lines().collect();
    let indent =
        lines.iter().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len()).min();
    let mut text: String =
        lines.iter().map(|line| line.get(indent.unwrap_or(0)..).unwrap_or_default().to_owned() + "\n").collect();
    let log = directory.path().join("access.log");
    for (key, usual) in [
        ("workers", "workers: 2".to_owned()),
        ("metrics", "metrics: { address: \"127.0.0.1:0\" }".to_owned()),
        ("accessLog", format!("accessLog: {{ output: \"{}\", format: json }}", log.display())),
        ("listeners", "listeners: { http: { address: \"127.0.0.1:0\", protocols: [http/1.1, h2] } }".to_owned()),
    ] {
        if !text.lines().any(|line| line.starts_with(&format!("{key}:"))) {
            text += &(usual + "\n");
        }
    }
    let text = text.replace("{log}", &log.display().to_string());
    match config::parse(&text, "test.yaml", &Environment::process()) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("the configuration is refused: {report:?}\n{text}"),
    }
}
