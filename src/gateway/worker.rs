//! The worker threads and how they are told what to do.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::runtime::{self, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::connections::report;
use super::logs::Logs;
use super::supervise::{Task, broke};
use crate::context::Connection;
use crate::edge::{self, Worker};
use crate::listener::{self, Running, Shared, Watchdog};
use crate::observe::audit::Sinks;
use crate::observe::handles::{ListenerHandles, WorkerHandles};
use crate::observe::metrics::Metrics;
use crate::snapshot::Hub;

/// Something for a worker to do.
enum WorkerCommand {
    /// Serve a listener.
    Open {
        key: u64,
        name: String,
        socket: net::TcpListener,
        shared: Arc<Shared>,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Stop accepting on the one of this key; its connections end after their present requests.
    Close(u64),
    /// Stop accepting on all and report when nothing is under way any more.
    Drain(oneshot::Sender<()>),
    /// Tell streams that their time is over and report how many were told.
    Farewell(oneshot::Sender<usize>),
    /// Cut what is left and report how many exchanges that were.
    Cut(Cut, oneshot::Sender<usize>),
}

/// What is cut at the end of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Connections that carry no stream.
    Ordinary,
    /// Connections that carry nothing but streams, and tunnels.
    Streams,
    /// All.
    Everything,
}

/// The worker threads.
#[derive(Debug)]
pub(super) struct Workers {
    workers: Vec<mpsc::Sender<WorkerCommand>>,
    threads: Vec<JoinHandle<()>>,
    /// Cancelled when a thread has ended by a panic.
    lost: CancellationToken,
}

/// Resolves as the workers finish.
#[derive(Debug)]
pub(super) struct Drain {
    waiting: Vec<oneshot::Receiver<()>>,
}

impl Drain {
    pub(super) async fn wait(&mut self) {
        while let Some(receiver) = self.waiting.last_mut() {
            // A worker that is gone has nothing under way.
            drop(receiver.await);
            self.waiting.pop();
        }
    }
}

impl Workers {
    pub(super) async fn start(count: usize, hub: &Arc<Hub>, metrics: &Arc<Metrics>, logs: &Logs) -> io::Result<Self> {
        let mut workers = Self { workers: Vec::new(), threads: Vec::new(), lost: CancellationToken::new() };
        for index in 0..count {
            let (orders, inbox) = mpsc::channel(ORDERS);
            let (started, ready) = oneshot::channel();
            let lost = workers.lost.clone();
            let (hub, own) = (Arc::clone(hub), Arc::clone(metrics));
            let begun = Begun { index, hub, metrics: own, sinks: logs.sinks() };
            let thread = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || run(begun, inbox, started, lost))?;
            workers.workers.push(orders);
            let metrics = Arc::clone(metrics);
            workers.threads.push(watch(thread, metrics, workers.lost.clone()));
            ready.await.map_err(io::Error::other)??;
        }
        Ok(workers)
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Cancelled when a worker is gone: its connections are too, and nobody accepts on its sockets.
    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Opens a listener, one socket per worker.
    pub(super) async fn open(
        &self,
        key: u64,
        name: &str,
        sockets: Vec<net::TcpListener>,
        shared: &Arc<Shared>,
    ) -> io::Result<()> {
        for (worker, socket) in self.workers.iter().zip(sockets) {
            let (done, opened) = oneshot::channel();
            let command = WorkerCommand::Open { key, name: name.to_owned(), socket, shared: Arc::clone(shared), done };
            worker.send(command).await.map_err(io::Error::other)?;
            opened.await.map_err(io::Error::other)??;
        }
        Ok(())
    }

    pub(super) async fn close(&self, key: u64) {
        for worker in &self.workers {
            drop(worker.send(WorkerCommand::Close(key)).await);
        }
    }

    pub(super) async fn drain(&self) -> Drain {
        let mut waiting = Vec::new();
        for worker in &self.workers {
            let (done, finished) = oneshot::channel();
            drop(worker.send(WorkerCommand::Drain(done)).await);
            waiting.push(finished);
        }
        Drain { waiting }
    }

    pub(super) async fn cut(&self, what: Cut) -> usize {
        self.sum(|done| WorkerCommand::Cut(what, done)).await
    }

    /// Tells streams that their time is over; whether there are any that can say so to their clients.
    pub(super) async fn farewell(&self) -> bool {
        self.sum(WorkerCommand::Farewell).await > 0
    }

    /// What the workers report when each is told this. One that is gone has nothing to report.
    async fn sum(&self, command: impl Fn(oneshot::Sender<usize>) -> WorkerCommand) -> usize {
        let mut sum = 0;
        for worker in &self.workers {
            let (done, counted) = oneshot::channel();
            drop(worker.send(command(done)).await);
            sum += counted.await.unwrap_or(0);
        }
        sum
    }

    /// Adds a worker that is gone.
    #[cfg(test)]
    pub(super) fn add_dead(&mut self) {
        self.workers.push(mpsc::channel(1).0);
    }

    /// Ends the threads.
    pub(super) async fn stop(self) {
        drop(self.workers);
        for thread in self.threads {
            drop(thread.await);
        }
    }
}

fn watch(thread: thread::JoinHandle<()>, metrics: Arc<Metrics>, lost: CancellationToken) -> JoinHandle<()> {
    drop(metrics.task_ends(Task::Worker.word()));
    tokio::task::spawn_blocking(move || {
        if thread.join().is_err() {
            broke(Task::Worker, &metrics);
            lost.cancel();
        }
    })
}

/// What a worker begins with.
struct Begun {
    /// Its number, from 0.
    index: usize,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    sinks: Sinks,
}

/// Life of one worker thread. It ends when its orders do.
fn run(
    begun: Begun,
    inbox: mpsc::Receiver<WorkerCommand>,
    started: oneshot::Sender<io::Result<()>>,
    lost: CancellationToken,
) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build_local(runtime::LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    drop(started.send(Ok(())));
    runtime.block_on(async {
        let Begun { index, hub, metrics, sinks } = begun;
        let worker = Worker::new(hub, Arc::clone(&metrics), sinks, fastrand::u64(..));
        let handles = WorkerHandles::new(&metrics, &index.to_string());
        let mut state = State {
            worker,
            metrics,
            handles,
            watchdog: Watchdog::start(),
            open: HashMap::new(),
            closing: Vec::new(),
            drained: None,
            lost,
        };
        state.serve(inbox).await;
        state.cut(Cut::Everything);
        state.worker.tick(false);
    });
    // Tasks still there are dropped with the runtime; their records are written by then or lost with the process.
    drop(runtime);
}

struct State {
    worker: Rc<Worker>,
    metrics: Arc<Metrics>,
    handles: WorkerHandles,
    watchdog: Rc<Watchdog>,
    /// By key.
    open: HashMap<u64, Open>,
    closing: Vec<Open>,
    drained: Option<oneshot::Sender<()>>,
    /// To cancel when a part of this worker is gone.
    lost: CancellationToken,
}

/// A listener on this worker.
struct Open {
    name: String,
    running: Running,
    shared: Arc<Shared>,
    handles: Rc<ListenerHandles>,
}

impl State {
    async fn serve(&mut self, mut inbox: mpsc::Receiver<WorkerCommand>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0_u32;
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.perform(command),
                    None => return,
                },
                () = self.worker.idle_is_wanted() => self.worker.evict(),
                _ = ticks.tick() => {
                    count = count.wrapping_add(1);
                    self.tick(count.is_multiple_of(SWEEP_EVERY));
                }
            }
        }
    }

    fn perform(&mut self, command: WorkerCommand) {
        match command {
            WorkerCommand::Open { key, name, socket, shared, done } => {
                done.send(self.open(key, name, socket, shared)).ok();
            }
            WorkerCommand::Close(key) => {
                if let Some(open) = self.open.remove(&key) {
                    open.running.drain();
                    self.closing.push(open);
                }
            }
            WorkerCommand::Drain(done) => {
                for open in self.open.values() {
                    open.running.drain();
                }
                self.drained = Some(done);
                self.tick(false);
            }
            WorkerCommand::Farewell(done) => {
                done.send(self.worker.farewell()).ok();
            }
            WorkerCommand::Cut(what, done) => {
                done.send(self.cut(what) + self.worker.ended_by_farewell()).ok();
            }
        }
    }

    fn open(&mut self, key: u64, name: String, socket: net::TcpListener, shared: Arc<Shared>) -> io::Result<()> {
        let worker = Rc::clone(&self.worker);
        let listener: Rc<str> = name.as_str().into();
        // Not through the tower service: hyper's own adapter spares the path a layer of moves per request.
        let service = move |connection: &Rc<Connection>| {
            let (worker, connection, listener) = (Rc::clone(&worker), Rc::clone(connection), Rc::clone(&listener));
            service_fn(move |request| edge::handle(Rc::clone(&worker), Rc::clone(&connection), &listener, request))
        };
        let handles = Rc::new(ListenerHandles::new(&self.metrics, &name));
        let running = listener::start(
            &self.watchdog,
            socket,
            Arc::clone(&shared),
            service,
            report(name.clone(), Rc::clone(&handles), Rc::clone(&self.worker)),
        )?;
        let open = Open { name, running, shared, handles };
        self.open.insert(key, open);
        Ok(())
    }

    fn tick(&mut self, sweep: bool) {
        let is_broken = self.watchdog.is_broken() || self.open.values().any(|open| open.running.is_broken());
        if is_broken && !self.lost.is_cancelled() {
            broke(Task::Worker, &self.metrics);
            self.lost.cancel();
        }
        self.worker.tick(sweep);
        self.show();
        for open in self.open.values() {
            open.handles.downstream_connections.set_count(open.shared.open());
        }
        self.closing.retain(|open| !open.running.is_over());
        self.worker.keep_retired(|name| {
            let mut here = self.open.values().chain(&self.closing);
            here.any(|open| open.name == name)
        });
        let over = self.open.values().all(|open| open.running.is_over());
        let idle = self.worker.active() == 0 && over;
        if idle
            && self.closing.is_empty()
            && let Some(done) = self.drained.take()
        {
            // Nobody waits any more when this fails.
            done.send(()).ok();
        }
    }

    /// Shows how much this worker has to do.
    fn show(&self) {
        // Of the one worker of this runtime, which is this thread.
        self.handles.worker_busy.set(Handle::current().metrics().worker_total_busy_duration(0));
        let here = self.open.values().chain(&self.closing);
        self.handles.worker_connections.set_count(here.map(|open| open.running.open()).sum());
        self.handles.worker_exchanges.set_count(self.worker.active());
    }

    /// Cuts connections, and says how many exchanges are on them.
    fn cut(&mut self, what: Cut) -> usize {
        match what {
            Cut::Everything => {
                let before = self.worker.active();
                self.worker.cut_tunnels();
                for open in self.open.values().chain(&self.closing) {
                    let _connections = open.running.abort();
                }
                before
            }
            Cut::Ordinary => self.cut_those(|connection| connection.streams.get() == 0),
            Cut::Streams => {
                let only_streams = |connection: &Connection| connection.active.get() == connection.streams.get();
                self.cut_those(only_streams) + self.worker.cut_tunnels()
            }
        }
    }

    fn cut_those(&self, which: impl Fn(&Connection) -> bool) -> usize {
        let cut = Cell::new(0);
        for open in self.open.values().chain(&self.closing) {
            open.running.abort_those(|connection| {
                let chosen = which(connection);
                cut.set(cut.get() + if chosen { connection.active.get() as usize } else { 0 });
                chosen
            });
        }
        cut.get()
    }
}

/// Orders a worker may be behind.
const ORDERS: usize = 16;
/// Housekeeping interval.
const TICK: Duration = Duration::from_millis(100);
/// Every so many ticks idle connections are looked through.
const SWEEP_EVERY: u32 = 10;
/// Tasks polled before the sockets are looked at again.
const EVENT_INTERVAL: u32 = 256;

#[cfg(test)]
mod tests;
