//! `attache run`: starts the gateway, then listens to signals until it ends. SIGTERM and SIGINT drain, a second one
//! ends at once; SIGHUP reads the configuration again, as a change of its files does; SIGUSR1 opens the access log's
//! file again.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::configuration::{Source, unusable};
use super::summary::{Bound, summary};
use super::{Ending, Failure, runtime, said};
use crate::admin::control::{Command, Done};
use crate::admin::journal::Trigger;
use crate::config::model::LogFormat;
use crate::config::{Document, Inputs, Loaded, Reading, last_good_file, load, log_format, read};
use crate::gateway::{self, Gateway};
use crate::listener::Inherited;
use crate::observe::stderr::Stderr;
use crate::observe::tracing_setup;
use crate::observe::voice::Voice;

/// Arguments of `attache run`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Start from this file when the configuration is broken. It is used instead of `reload.lastGoodFile`.
    #[arg(long, value_name = "FILE", env = "ATTACHE_LAST_GOOD")]
    last_good: Option<PathBuf>,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let document = arguments.source.document()?;
    let last_good = arguments.last_good.as_deref();
    run(&Start { document, last_good, remedy: |key| format!("change `{key}`") })
}

/// What to run, and what to say when it does not start.
pub(super) struct Start<'a> {
    pub(super) document: Document,
    /// Instead of `reload.lastGoodFile`.
    pub(super) last_good: Option<&'a Path>,
    /// What to do where the address or file under this key cannot be opened.
    pub(super) remedy: fn(&str) -> String,
}

/// Runs a gateway to its end. Its output goes to standard error through a queue, so nothing waits for the reader.
pub(super) fn run(start: &Start<'_>) -> Result<Ending, Failure> {
    let inherited = Inherited::from_environment().map_err(|error| {
        let remedy = "hand over sockets of TCP that listen: `ListenStream=` and no `Accept=yes`";
        Failure::new(format_args!("a socket that was handed over cannot be used: {error}"), remedy)
    })?;
    let stderr = stderr()?;
    let mut voice = Voice::new(stderr.clone(), true);
    voice.tell_panics();
    let ending = start_and_serve(start, inherited, &stderr, &mut voice).unwrap_or_else(|failure| {
        said::failure(&voice, &failure);
        Ending::Failed
    });
    // How long the end waits for the reader of standard error.
    let _written = stderr.flush(LAST_LINES);
    Ok(ending)
}

/// The way to standard error that nothing waits for.
pub(super) fn stderr() -> Result<Stderr, Failure> {
    Stderr::start().map_err(|error| {
        Failure::new(format_args!("logging cannot be set up: {error}"), "raise the limits of files and threads")
    })
}

fn start_and_serve(
    start: &Start<'_>,
    inherited: Inherited,
    stderr: &Stderr,
    voice: &mut Voice,
) -> Result<Ending, Failure> {
    let Beginning { loaded, inputs, stands_in } = start.read(voice)?;
    let voice = &*voice;
    let kept = loaded.config.reload.last_good_file.clone();
    let places = loaded.places();
    let cannot_start = |error: &gateway::Error| not_open(error, places, start.remedy, voice);
    let kept = kept.filter(|_| !stands_in).map(|file| (file, loaded.standalone()));
    // Frees the tree of the text; the gateway has the only copy of the configuration.
    let (config, _, tree) = loaded.into_parts();
    drop(tree);
    let events = tracing_setup::init(&config.logging, stderr).map_err(|error| {
        Failure::new(
            format_args!("logging cannot be set up: {error}"),
            "correct `logging.level` or RUST_LOG, such as `info`",
        )
    })?;
    let runtime = runtime()?;
    let ending = runtime.block_on(async {
        // Before anything else: a signal during start-up must not kill the process half-way.
        let signals = Signals::listen()?;
        let gateway = Box::pin(Gateway::start_on(inherited, config)).await;
        let mut gateway = gateway.map_err(|error| cannot_start(&error))?;
        gateway.count_lost_lines(stderr);
        events.show(gateway.live());
        let bound = Bound {
            listeners: gateway.addresses(),
            metrics: gateway.metrics_address(),
            admin: gateway.admin_address().cloned(),
        };
        let mut lines = summary(&gateway.config(), &bound);
        if let Some(first) = lines.first_mut() {
            // Nobody may have named it.
            first.push_str(&format!(" of {}", start.document.path().display()));
        }
        said::summary(voice, &lines);
        if stands_in {
            error!("the configuration is broken, the gateway runs on its last good state");
        }
        gateway.follow(gateway::Source::Files { document: start.document.clone(), inputs }, stands_in);
        gateway.keep_good(kept).await;
        Ok(Box::pin(serve(gateway, signals, voice)).await)
    });
    // A file system that does not answer must not keep a process that is done.
    runtime.shutdown_timeout(LAST_FILES);
    ending
}

/// Shows the place of the address that cannot be opened, and the process that holds it.
fn not_open(
    error: &gateway::Error,
    places: crate::config::OpenedAt,
    remedy: fn(&str) -> String,
    voice: &Voice,
) -> Failure {
    let Some(key) = error.key() else {
        return cannot_start(error);
    };
    let (message, holder) = (error.in_one_line(), error.holder());
    let report = places.without_warnings().refuse(&key, message, holder);
    said::report(voice, &report);
    Failure::new(
        "the gateway does not start",
        format_args!("free the address or the file named above, or {}", remedy(&key)),
    )
}

/// What to do about a gateway that does not start.
pub(super) fn cannot_start(error: &gateway::Error) -> Failure {
    Failure::new(
        format_args!("the gateway does not start: {}", error.in_one_line()),
        "free the address or the file named above, or change it in the configuration",
    )
}

/// Speaks from now on as the log is written, so that both are one.
fn speak(voice: &mut Voice, format: LogFormat) {
    let text = tracing_setup::is_text(format, io::stderr().is_terminal());
    if text != voice.is_text() {
        voice.set_text(text);
        voice.tell_panics();
    }
}

/// A configuration to start with.
struct Beginning {
    loaded: Loaded,
    /// What was read of the configuration proper.
    inputs: Inputs,
    /// Whether `loaded` is the last good state of a configuration that is broken.
    stands_in: bool,
}

impl Start<'_> {
    /// Reads the configuration, or its last good state when it is broken. The format of the log is known as soon as
    /// `logging` can be read, also when other sections are broken.
    fn read(&self, voice: &mut Voice) -> Result<Beginning, Failure> {
        let (path, env) = (self.document.path(), &self.document.environment());
        let Reading { outcome, inputs } = read(path, env);
        let stands_in = outcome.is_err();
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(report) => {
                if let Some(format) = log_format(path, env) {
                    speak(voice, format);
                }
                let failure = unusable(path);
                let configured = || last_good_file(path, env);
                let Some(last_good) = self.last_good.map(Path::to_owned).or_else(configured) else {
                    said::report(voice, &report);
                    return Err(failure);
                };
                let loaded = match load(&last_good, env) {
                    Ok(loaded) => loaded,
                    Err(none) => {
                        said::report(voice, &report);
                        let why = none.first_error().unwrap_or_default();
                        let why = format_args!("there is no last good state to start from: {why}");
                        said::warning(voice, why);
                        return Err(failure);
                    }
                };
                speak(voice, loaded.config.logging.format);
                said::report(voice, &report);
                said::warning(
                    voice,
                    format_args!(
                        "{} is broken; starting from its last good state, {}",
                        path.display(),
                        last_good.display()
                    ),
                );
                loaded
            }
        };
        speak(voice, loaded.config.logging.format);
        if !loaded.warnings.is_empty() {
            said::report(voice, &loaded.warnings);
        }
        Ok(Beginning { loaded, inputs, stands_in })
    }
}

async fn serve(mut gateway: Gateway, mut signals: Signals, voice: &Voice) -> Ending {
    let lost = gateway.lost();
    loop {
        let event = tokio::select! {
            event = signals.next() => event,
            command = gateway.wanted() => Event::Command(command),
            () = lost.cancelled() => break error!("a worker is gone: only a new start brings it back"),
        };
        // Names that do not resolve, or a file system that hangs, may delay a reload, but not the end.
        let done = match event {
            Event::Reload => tokio::select! {
                done = gateway.reload_source(Trigger::Signal) => Some(done),
                () = signals.end() => break,
            },
            Event::Command(command) => tokio::select! {
                done = gateway.perform(command) => done,
                () = signals.end() => break,
            },
            Event::Reopen => {
                gateway.reopen_log();
                continue;
            }
            Event::Stop => break,
        };
        tracing_setup::follow(gateway.live(), &gateway.config().logging);
        show(done.as_ref(), voice);
    }
    info!("stopping: no new connections, running work may finish; a second signal ends at once");
    let hurry = CancellationToken::new();
    let drain = gateway.shutdown(hurry.clone());
    tokio::pin!(drain);
    let drained = tokio::select! {
        drained = &mut drain => drained,
        () = signals.end() => {
            warn!("a second signal: stopping at once");
            hurry.cancel();
            tokio::time::timeout(AT_ONCE, drain).await.ok();
            return Ending::WorkCut;
        }
    };
    if lost.is_cancelled() {
        Ending::Failed
    } else if drained.cut == 0 {
        info!("stopped, nothing was cut off");
        Ending::Done
    } else {
        warn!(cut = drained.cut, "stopped, work was cut off");
        Ending::WorkCut
    }
}

/// Shows the diagnostics of the files. The log says whether the configuration is in force.
fn show(done: Option<&Done>, voice: &Voice) {
    if let Some(report) = done.and_then(|done| done.report.as_ref()) {
        said::report(voice, report);
    }
}

enum Event {
    Stop,
    Reload,
    Command(Command),
    Reopen,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(format_args!("signals cannot be received: {error}"), "start it again"))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            user1: listen(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            () = end(&mut self.terminate, &mut self.interrupt) => Event::Stop,
            _ = self.hangup.recv() => Event::Reload,
            _ = self.user1.recv() => Event::Reopen,
        }
    }

    /// Ends with a signal to stop. Others wait for [`Signals::next`].
    async fn end(&mut self) {
        end(&mut self.terminate, &mut self.interrupt).await;
    }
}

async fn end(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Time for a file that is being read or written when everything else has ended.
const LAST_FILES: Duration = Duration::from_secs(1);
/// Time for the last lines of the log itself.
pub(super) const LAST_LINES: Duration = Duration::from_secs(1);
/// Time for the last lines of the access log after a second signal.
const AT_ONCE: Duration = Duration::from_secs(3);

const HELP: &str = "\
Examples:
  attache run
  attache run gateway.yaml
  attache config show gateway.yaml | attache run -c -
  ATTACHE_CONFIG=/etc/attache attache run
  attache run -c /etc/attache --last-good /var/lib/attache/last-good.yaml

Changed files are taken as they come, unless the configuration says `reload: { watch: false }`.
Signals: TERM and INT drain and stop (twice: at once), HUP reads the configuration again,
USR1 opens the access log's file again. Exit codes: 0 stopped with nothing cut off, 1 did
not start or a worker broke, 2 wrong usage, 3 stopped with work cut off";
