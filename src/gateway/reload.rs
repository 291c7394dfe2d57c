//! Taking another configuration while running: read, build, then swap whole, or change nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tracing::debug_span;

use super::source::{Followed, Sound, Source};
use super::supervise::{Task, broke};
use super::{Error, FIRST_RESOLUTION, Gateway, admin, memory, rollouts};
use crate::admin::control::{Command, Done};
use crate::admin::journal::{Entry, ReloadResult, Trigger};
use crate::cluster::discovery::dns::{self, Resolver};
use crate::config::model::{Action, AuthorizationPolicy, Config, Route, Screening, UNREAD};
use crate::config::{ChangeKind, Difference, Report, needs_restart};
use crate::observe::audit::AuditDecision;
use crate::observe::family::Object;
use crate::observe::metrics::Metrics;
use crate::observe::tenants;
use crate::snapshot::Snapshot;

impl Gateway {
    /// Takes its configuration from `source` from now on: when asked to, and when that holds another. What it holds now
    /// is expected to be in force, unless `stands_in`: then the gateway runs on an older state because this one is
    /// broken.
    pub fn follow(&mut self, source: Source, stands_in: bool) {
        let settings = self.config().reload.clone();
        let (followed, watch) = Followed::begin(source, settings, self.control.clone());
        self.source = Some(followed);
        self.tasks.start(Task::Files, watch);
        self.metrics.config_last_good().set(stands_in.into());
        if stands_in {
            self.metrics.config_refused();
        }
    }

    /// The next command. To be carried out with [`Gateway::perform`], which is not given up half-way but to shut down.
    /// Cancel safe.
    pub async fn wanted(&mut self) -> Command {
        match self.inbox.recv().await {
            Some(command) => command,
            // The gateway itself holds a sender.
            None => std::future::pending().await,
        }
    }

    /// Carries out a command, answers its sender and logs the result. Returns the outcome of a reload.
    pub async fn perform(&mut self, command: Command) -> Option<Done> {
        match command {
            Command::Reload { trigger, done } => {
                let outcome = self.reload_source(trigger).await;
                // The sender may have left.
                done.send(outcome.clone()).ok();
                Some(outcome)
            }
            Command::Endpoint(command) => {
                command.carry_out(&self.hub.current(), Instant::now());
                None
            }
        }
    }

    /// Carries out commands as they come. Never ends.
    pub async fn perform_all(&mut self) {
        loop {
            let command = self.wanted().await;
            Box::pin(self.perform(command)).await;
        }
    }

    /// Reads the source again and puts in force what it holds. A failure changes nothing, but for a defect, which may
    /// have left it half done: then the gateway is [`lost`](Self::lost).
    pub async fn reload_source(&mut self, trigger: Trigger) -> Done {
        let began = Instant::now();
        let whole = AssertUnwindSafe(self.read_and_take(trigger, began));
        if let Ok(done) = Box::pin(whole).catch_unwind().await {
            return done;
        }
        broke(Task::Reload, &self.metrics);
        self.workers.lost().cancel();
        let why = "the reload broke half-way, the gateway drains".to_owned();
        self.refused(trigger, began, None, why)
    }

    async fn read_and_take(&mut self, trigger: Trigger, began: Instant) -> Done {
        let Some(reader) = self.source.as_ref().map(Followed::reader) else {
            let why = "this gateway was not started from a file".to_owned();
            return self.refused(trigger, began, None, why);
        };
        if trigger == Trigger::Watch {
            // A renewed certificate is loaded even when the configuration is broken.
            self.refresh_certificates().await;
        }
        let running = self.config();
        let read = match self.config_thread.run(move || reader(&running)).await {
            Ok(read) => read,
            Err(broken) => {
                let why = Error::Build(broken).in_one_line();
                self.metrics.config_refused();
                return self.refused(trigger, began, None, why);
            }
        };
        let done = match read.outcome {
            Err(report) => {
                let text = report.human(false);
                self.metrics.config_refused();
                self.refused(trigger, began, Some(report), text)
            }
            Ok(sound) => {
                let same = sound.config.hash == self.config().hash;
                if same && trigger == Trigger::Watch {
                    self.unchanged(trigger, began)
                } else {
                    Box::pin(self.take(trigger, began, sound)).await
                }
            }
        };
        if let Some(source) = &self.source {
            source.watch_from(&self.config().reload, read.revision);
        }
        if done.entry.verdict != ReloadResult::Refused {
            self.metrics.config_last_good().set(0);
            self.keep_good(read.kept).await;
        }
        self.config_thread.run(move || {
            debug_span!("free tree").in_scope(|| drop(read.tree));
            memory::give_back();
        });
        done
    }

    /// What to write to the last-good file, if one is configured: a path and the text.
    pub async fn keep_good(&self, kept: Option<(PathBuf, String)>) {
        match kept {
            Some((path, text)) => self.keeper.keep(path, text).await,
            None => self.keeper.forget(),
        }
    }

    async fn take(&mut self, trigger: Trigger, began: Instant, sound: Sound) -> Done {
        let Sound { config, warnings, places } = sound;
        let (hash, was) = (config.hash.clone(), self.config().hash.clone());
        match self.reload(config).await {
            Err(error) => {
                if let Some(key) = error.key() {
                    let report = places.refuse(&key, error.in_one_line(), error.holder());
                    let text = report.human(false);
                    return self.refused(trigger, began, Some(Arc::new(report)), text);
                }
                let mut text = format!("error: {}\n", error.in_one_line());
                if let Some(warnings) = &warnings {
                    text.insert_str(0, &warnings.human(false));
                }
                self.refused(trigger, began, None, text)
            }
            Ok(difference) => {
                let took = began.elapsed();
                self.metrics.config_reload_took(took);
                let mut entry = Entry::new(trigger, ReloadResult::Applied, &hash, &was, took);
                let what = if hash == was { "configuration read again, unchanged" } else { "configuration reloaded" };
                tracing::info!(
                    config = hash,
                    was,
                    trigger = trigger.word(),
                    duration_ms = entry.milliseconds,
                    "{what}"
                );
                for line in difference.lines() {
                    tracing::info!("reload: {}", line.trim_start());
                }
                if difference.is_empty() {
                    entry.last_change = self.control.journal.last_change();
                }
                entry.difference = Some(difference);
                if let Some(warnings) = &warnings {
                    entry.diagnostics = warnings.human(false);
                }
                self.control.journal.add(entry.clone());
                self.audit_configuration(AuditDecision::Changed, "reload", &entry);
                Done { entry, report: warnings }
            }
        }
    }

    fn unchanged(&self, trigger: Trigger, began: Instant) -> Done {
        self.metrics.config_reload_ok().set(1);
        let hash = &self.config().hash;
        let mut entry = Entry::new(trigger, ReloadResult::Unchanged, hash, hash, began.elapsed());
        entry.last_change = self.control.journal.last_change();
        tracing::debug!(config = hash, "files changed, the configuration did not");
        Done { entry, report: None }
    }

    fn refused(&self, trigger: Trigger, began: Instant, report: Option<Arc<Report>>, text: String) -> Done {
        let took = began.elapsed();
        self.metrics.config_reload_took(took);
        let hash = &self.config().hash;
        let mut entry = Entry::new(trigger, ReloadResult::Refused, hash, hash, took);
        let first = report.as_deref().and_then(Report::first_error);
        let plain = || text.trim_end().trim_start_matches("error: ").to_owned();
        let error = first.unwrap_or_else(plain);
        tracing::error!(error, trigger = trigger.word(), "not reloaded, the running configuration was not changed");
        entry.diagnostics = error;
        self.audit_configuration(AuditDecision::Refused, "reload", &entry);
        entry.diagnostics = text;
        self.control.journal.add(entry.clone());
        Done { entry, report }
    }

    /// Puts `config` in force and returns what changed. Requests under way keep the configuration they began with;
    /// endpoints that stay keep their connections and counters.
    ///
    /// # Errors
    /// When anything of it cannot be set up; nothing has changed then.
    pub async fn reload(&mut self, config: Config) -> Result<Difference, Error> {
        let outcome = Box::pin(self.try_reload(config)).await;
        if outcome.is_err() {
            self.metrics.config_refused();
        }
        outcome
    }

    async fn try_reload(&mut self, config: Config) -> Result<Difference, Error> {
        let before = self.hub.current();
        if let Some(key) = needs_restart(&before.config, &config).first() {
            return Err(Error::NeedsRestart(key));
        }
        let resolver = Resolver::new(&config.dns).map_err(Error::Resolver)?;
        let names = dns::resolve_all(&config, &resolver, FIRST_RESOLUTION).await;
        // Thousands of routes take long enough to keep a probe waiting. The thread is not the one that reads: what
        // stays would lie in the pages of what is freed after each reload, and keep every one of them.
        let built = self.build_thread.run({
            let before = Arc::clone(&before);
            move || {
                let compact = debug_span!("compact");
                let config = Arc::new(compact.in_scope(move || config.compact()));
                let building = debug_span!("snapshot");
                let snapshot = building.in_scope(|| Snapshot::build(Arc::clone(&config), Some(&before), &names))?;
                let comparing = debug_span!("difference");
                let difference = comparing.in_scope(|| before.config.effective.difference(&config.effective));
                let gone = Names::of(&before.config).has_more_than(&Names::of(&config));
                Ok::<_, Error>((snapshot, difference, gone))
            }
        });
        let (snapshot, mut difference, gone) = built.await.map_err(Error::Build)??;
        let config = Arc::clone(&snapshot.config);
        let mut change = self.listeners.prepare(&config, self.workers.len())?;
        self.listeners.open(&mut change, &self.workers).await.map_err(Error::Worker)?;
        // Nothing fails from here on.
        rollouts::announce(&before, &snapshot);
        self.resolver = resolver;
        self.metrics.limit_endpoints(config.metrics.endpoint_series);
        self.metrics.show_compatibility(config.metrics.compatibility);
        self.hub.replace(snapshot);
        self.listeners.apply(change, &config, &self.workers).await;
        self.in_force(&config);
        self.logs.follow(&config);
        admin::follow(self.admin_file.as_ref(), config.admin.as_ref());
        self.forget_gone(gone, &config);
        self.metrics.config_reloads("ok").inc();
        tell_what_drains(&mut difference, &before);
        self.retired.add(before);
        Ok(difference)
    }

    /// Notes the first configuration.
    pub(super) fn began(&self, config: &Config) {
        self.metrics.config_last_good().set(0);
        let entry = Entry::new(Trigger::Start, ReloadResult::Applied, &config.hash, "", Duration::ZERO);
        self.audit_configuration(AuditDecision::Changed, "start", &entry);
        self.control.journal.add(entry);
    }

    /// Drops the series of objects that the configuration no longer has. Looking through all series takes long with
    /// thousands of routes, so a separate task does it, and only when names are gone. The next reload does it once
    /// more, because a request under way may have brought a series back.
    fn forget_gone(&mut self, gone: bool, after: &Arc<Config>) {
        if std::mem::replace(&mut self.names_gone, gone) || gone {
            let (metrics, config) = (Arc::clone(&self.metrics), Arc::clone(after));
            let forget = move || {
                let names = Names::of(&config);
                metrics.retain(|object, name| name == "-" || names.has(object, name));
            };
            let config_thread = self.config_thread.handle();
            self.generation.start_job(Task::OldSeries, &config_thread, forget);
        }
    }
}

/// The names a configuration gives, as far as metrics have them for labels.
struct Names<'a> {
    known: HashSet<(Object, Cow<'a, str>)>,
    /// Routes with rules or patterns.
    parts: HashMap<&'a str, Parts<'a>>,
}

/// What names a route gives within itself.
struct Parts<'a> {
    policies: Vec<&'a AuthorizationPolicy>,
    screening: Option<&'a Screening>,
}

impl<'a> Parts<'a> {
    fn of(route: &Route, config: &'a Config) -> Option<Self> {
        let policies: Vec<_> =
            route.authorization.iter().filter_map(|id| config.authorization_policies.get(id.0)).collect();
        let screening = route.screening.and_then(|id| config.screenings.get(id.0)).map(|screening| &**screening);
        (!policies.is_empty() || screening.is_some()).then_some(Self { policies, screening })
    }

    fn rules(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().flat_map(|policy| policy.rules.iter().map(|(name, _)| name.as_str()))
    }

    fn patterns(&self) -> impl Iterator<Item = &str> {
        let own = self.screening.iter().flat_map(|screening| screening.names.iter().map(String::as_str));
        own.chain(self.screening.map(|_| UNREAD))
    }
}

impl<'a> Names<'a> {
    fn of(config: &'a Config) -> Self {
        let mut known = HashSet::with_capacity(config.routes.len() + config.clusters.len());
        let parts = config.routes.iter().filter_map(|route| Some((&*route.name, Parts::of(route, config)?))).collect();
        for route in &config.routes {
            known.insert((Object::Route, Cow::from(&route.name)));
            if matches!(&route.action, Action::Split(split) if split.rollout.is_some()) {
                known.insert((Object::Rollout, Cow::from(&route.name)));
            }
        }
        for cluster in &config.clusters {
            known.insert((Object::Cluster, Cow::from(&cluster.name)));
            if cluster.health_check.is_some() {
                known.insert((Object::HealthCheck, Cow::from(&cluster.name)));
            }
            if cluster.circuit_breaker.half_open.is_some() {
                known.insert((Object::Breaker, Cow::from(&cluster.name)));
            }
            if cluster.adaptive_concurrency.is_some() {
                known.insert((Object::Adaptive, Cow::from(&cluster.name)));
            }
        }
        known.extend(config.listeners.iter().map(|listener| (Object::Listener, Cow::from(&listener.name))));
        known.extend(config.rate_limits.iter().map(|limit| (Object::RateLimit, Cow::from(limit.scope.to_string()))));
        let providers = config.auth_providers.iter();
        known.extend(providers.map(|provider| (Object::AuthProvider, Cow::from(&*provider.name))));
        known.extend((!config.auth_providers.is_empty()).then_some((Object::AuthProvider, Cow::from("-"))));
        let tenants = &config.tenants.series;
        known.extend(tenants.iter().map(|tenant| (Object::Tenant, Cow::from(tenant))));
        known.extend((!tenants.is_empty()).then_some((Object::Tenant, Cow::from(tenants::OTHERS))));
        Self { known, parts }
    }

    fn has(&self, object: Object, name: &str) -> bool {
        let part = || name.split_once('\n').and_then(|(route, part)| Some((self.parts.get(route)?, part)));
        match object {
            // There is always a series for what no rule is about.
            Object::Rule => part().is_some_and(|(parts, rule)| rule == "-" || parts.rules().any(|one| one == rule)),
            Object::Pattern => part().is_some_and(|(parts, name)| parts.patterns().any(|one| one == name)),
            _ => self.known.contains(&(object, Cow::from(name))),
        }
    }

    /// Whether there are names here that the other does not have; perhaps, where a route's parts are others.
    fn has_more_than(&self, other: &Self) -> bool {
        let has_same = |(route, parts): (&&str, &Parts<'_>)| {
            let after = other.parts.get(*route);
            after.is_some_and(|after| parts.rules().eq(after.rules()) && parts.patterns().eq(after.patterns()))
        };
        !self.known.is_subset(&other.known) || !self.parts.iter().all(has_same)
    }
}

/// Says what still runs on removed clusters.
fn tell_what_drains(difference: &mut Difference, before: &Snapshot) {
    let clusters: BTreeMap<&str, _> = before.clusters.iter().map(|cluster| (&*cluster.name, cluster)).collect();
    let removed = difference.changes.iter_mut();
    for change in removed.filter(|change| change.kind == ChangeKind::Removed) {
        let name = change.path.strip_prefix("clusters.");
        let Some(cluster) = name.and_then(|name| clusters.get(name)) else {
            continue;
        };
        let members = cluster.members();
        let count = members.endpoints.len();
        let open: u32 = members.endpoints.iter().map(|endpoint| endpoint.in_flight()).sum();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        change.detail =
            format!("{count} endpoint{} draining, {open} request{} open", plural(count), plural(open as usize));
    }
}

/// Configurations that are no longer in force. They are let go here and not by the last worker that used them: freeing
/// thousands of routes takes milliseconds that requests should not wait for.
#[derive(Clone, Debug, Default)]
pub(super) struct Retired(Arc<Mutex<Vec<Arc<Snapshot>>>>);

impl Retired {
    fn add(&self, snapshot: Arc<Snapshot>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot);
    }

    /// Frees snapshots that are no longer used, and counts the others. Never ends.
    pub(super) async fn sweep(self, metrics: Arc<Metrics>, config_thread: Handle) {
        loop {
            let unused: Vec<_> = {
                let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let unused = waiting.extract_if(.., |snapshot| Arc::strong_count(snapshot) == 1);
                unused.collect()
            };
            if !unused.is_empty() {
                let free = move || {
                    debug_span!("free snapshot").in_scope(|| drop(unused));
                    memory::give_back();
                };
                config_thread.spawn_blocking(free).await.ok();
            }
            let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
            metrics.config_snapshots().set_count(waiting + 1);
            sleep(SWEEP).await;
        }
    }
}

/// Time between two looks at old configurations.
const SWEEP: Duration = Duration::from_millis(250);
