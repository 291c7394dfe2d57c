//! A gateway that follows files, as `attache run` does: changes, signals and the admin API reach it while the test goes
//! on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use attache::admin::client::Client as Operator;
use attache::admin::control::Done;
use attache::admin::journal::{ReloadResult, Trigger};
use attache::config::model::AdminAddress;
use attache::config::{self, Document, Environment};
use attache::gateway::{Drained, Gateway, Source};
use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Client, GUARD, Reply, get, soon, within};

/// The gateway with its directory.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) directory: TempDir,
    pub(crate) metrics: SocketAddr,
    pub(crate) admin: AdminAddress,
    control: Handle,
    asks: mpsc::Sender<Ask>,
    ended: oneshot::Receiver<Drained>,
}

enum Ask {
    Hangup(oneshot::Sender<Done>),
    Address(String, oneshot::Sender<Option<SocketAddr>>),
    Stop,
}

/// What every configuration here needs: free ports, and an admin API.
pub(crate) const DEFAULTS: &str =
    "workers: 2\nmetrics: { address: '127.0.0.1:0' }\nadmin: { address: '127.0.0.1:0' }\naccessLog: { output: off }\n";

impl Live {
    /// Starts from `gateway.yaml` in a directory that `prepare` has filled.
    pub(crate) async fn prepared(prepare: impl FnOnce(&Path)) -> Self {
        let directory = TempDir::new().unwrap();
        prepare(directory.path());
        let path = directory.path().join("gateway.yaml");
        Self::following(directory, &path).await
    }

    /// Starts from `text` and what every configuration needs.
    pub(crate) async fn with(text: &str) -> Self {
        Self::prepared(|directory| {
            std::fs::write(directory.join("gateway.yaml"), format!("{DEFAULTS}{text}")).unwrap();
        })
        .await
    }

    /// Starts from a file. What beside the workers belongs to the gateway has a thread of its own, as in the program.
    pub(crate) async fn following(directory: TempDir, path: &Path) -> Self {
        let (asks, inbox) = mpsc::channel(1);
        let (tell, started) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let path = path.to_owned();
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let gateway = started_from(path).await;
                let metrics = gateway.metrics_address().unwrap();
                let admin = gateway.admin_address().unwrap().clone();
                tell.send((metrics, admin, Handle::current())).unwrap();
                // The test may be over without having asked.
                end.send(drive(gateway, inbox).await).ok();
            });
        });
        let (metrics, admin, control) = within("the gateway starts", started).await.unwrap();
        Self { directory, metrics, admin, control, asks, ended }
    }

    /// Tasks of the gateway beside those of its workers.
    pub(crate) fn tasks(&self) -> usize {
        self.control.metrics().num_alive_tasks()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of its directory in place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Writes `gateway.yaml` with what every configuration needs.
    pub(crate) fn rewrite(&self, text: &str) {
        self.write("gateway.yaml", &format!("{DEFAULTS}{text}"));
    }

    /// Where a listener is; panics when there is none.
    pub(crate) async fn address(&self, listener: &str) -> SocketAddr {
        self.try_address(listener).await.expect("it listens")
    }

    pub(crate) async fn try_address(&self, listener: &str) -> Option<SocketAddr> {
        let (told, address) = oneshot::channel();
        self.asks.send(Ask::Address(listener.to_owned(), told)).await.unwrap();
        within("the address is told", address).await.unwrap()
    }

    /// GET on a connection of its own to the listener `http`.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        let address = self.address("http").await;
        Client::h1(address).await.reply(get(path)).await
    }

    /// Waits until `GET /` is answered with this body.
    pub(crate) async fn serves(&self, body: &str) {
        soon(&format!("`{body}` is served"), || async { (self.get("/").await.text() == body).then_some(()) }).await;
    }

    /// Reads the files again as `SIGHUP` does.
    pub(crate) async fn hangup(&self) -> Done {
        let (told, done) = oneshot::channel();
        self.asks.send(Ask::Hangup(told)).await.unwrap();
        within("the files are read", done).await.unwrap()
    }

    /// As [`Live::hangup`], which must be taken.
    pub(crate) async fn reloaded(&self) -> Done {
        let done = self.hangup().await;
        assert_eq!(done.entry.verdict, ReloadResult::Applied, "{}", done.entry.diagnostics);
        done
    }

    /// Asks the admin API.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> (u16, String) {
        let operator = Operator::new(self.admin.clone(), None).unwrap();
        let (status, body) = operator.ask(method, path, GUARD).await.unwrap();
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    /// `POST /reload`.
    pub(crate) async fn ask_reload(&self) -> (u16, Value) {
        let (status, body) = self.ask(Method::POST, "/reload").await;
        (status, serde_json::from_str(&body).unwrap())
    }

    /// A series of the metrics; `None` when it is not there.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = Client::h1(self.metrics).await.reply(get("/metrics")).await;
        let mut lines = text.text().lines();
        lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Drains.
    pub(crate) async fn stop(self) -> Drained {
        self.asks.send(Ask::Stop).await.unwrap();
        within("the gateway ends", self.ended).await.unwrap()
    }

    /// As [`Live::stop`], and leaves the directory to look at.
    pub(crate) async fn stop_keeping_files(self) -> TempDir {
        self.asks.send(Ask::Stop).await.unwrap();
        within("the gateway ends", self.ended).await.unwrap();
        self.directory
    }
}

async fn started_from(path: PathBuf) -> Gateway {
    let reading = config::read(&path, &Environment::process());
    let loaded = reading.outcome.unwrap_or_else(|report| panic!("{report}"));
    let mut gateway = Gateway::start(loaded.config).await.unwrap();
    gateway.follow(Source::Files { document: Document::at(path), inputs: reading.inputs }, false);
    gateway
}

async fn drive(mut gateway: Gateway, mut asks: mpsc::Receiver<Ask>) -> Drained {
    loop {
        let ask = tokio::select! {
            command = gateway.wanted() => {
                gateway.perform(command).await;
                continue;
            }
            ask = asks.recv() => ask,
        };
        match ask {
            Some(Ask::Hangup(done)) => {
                let outcome = gateway.reload_source(Trigger::Signal).await;
                done.send(outcome).unwrap();
            }
            Some(Ask::Address(name, told)) => {
                told.send(gateway.addresses().get(&name).copied()).unwrap();
            }
            Some(Ask::Stop) | None => return gateway.shutdown(CancellationToken::new()).await,
        }
    }
}
