//! Sections to the model: every reference resolved, every default filled in, every problem reported at its place. A
//! value with a problem is left out or replaced by something harmless so that the rest is still judged; the result is
//! used only when no error was found.

mod abuse;
mod access_log;
mod acme;
mod action;
mod agents;
mod auth;
mod authorization;
mod authorization_lints;
mod basic;
mod browser;
mod calls;
mod circuit_breaker;
mod client_certificate;
mod cluster;
mod common;
mod credentials_file;
mod external;
mod fault;
mod free_fields;
mod headers;
mod health;
mod https_redirect;
mod jwt;
mod limits;
mod lints;
mod listener;
mod mirror;
mod operation;
mod outlier;
mod outputs;
mod public;
mod references;
mod resource_metadata;
mod retries;
mod route;
mod screening;
mod shipped_patterns;
mod split;
mod ties;
mod tls;
mod tracing;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::decode::redact;
use super::environment::Environment;
use super::forms::RestartRequired as _;
use super::keys;
use super::model::{self, ClusterId, Config, HostPattern, ListenerId, Shutdown};
use super::node::{Blank, Node, Step, Value, steps};
use super::report::{Diagnostic, Report};
use super::suggest;

/// What every step needs: the tree for places, the outside world, and where problems go.
pub(super) struct Scope<'a> {
    tree: &'a Node,
    /// What has a name, by its section and name.
    named: HashMap<[&'a str; 2], &'a Node>,
    env: &'a Environment,
    pub(super) report: &'a mut Report,
    /// Names that the certificates of each listener hold, in the order of listeners.
    names: Vec<Vec<HostPattern>>,
}

/// Resolves everything but the hash, which needs what this reads. The result is meaningless when the report has errors.
pub(super) fn resolve(raw: keys::Root, tree: &Node, env: &Environment, report: &mut Report) -> Config {
    let mut scope = Scope { tree, named: named(tree), env, report, names: Vec::new() };
    scope.version(raw.version);
    let restart_required = restart_required(&raw);
    // These were followed on the tree, before it was read into types.
    drop((raw.include, raw.defaults));
    let (listeners, routes, clusters) = (sorted(raw.listeners), sorted(raw.routes), sorted(raw.clusters));
    let listener_ids = ids(&listeners, ListenerId);
    let zone = raw.zone.or_else(|| env.variable("ATTACHE_ZONE")).filter(|zone| !zone.is_empty());
    let cluster_ids = ids(&clusters, ClusterId);

    let mut resolved = listener::resolve(&listeners, &mut scope);
    let trusts = !raw.client_ip.trusted_proxies.is_empty();
    let redirects = listener::only_redirect(&listeners, trusts);
    let shared = sorted(raw.rate_limits);
    let mut limits = limits::Found::shared(shared, raw.client_ip.ipv6_prefix, &mut scope);
    let providers = auth::providers(sorted(raw.auth_providers), &mut scope);
    let mut policies = authorization::Found::shared(sorted(raw.authorization_policies), &mut scope);
    let mut screenings = screening::Found::default();
    let mut references = references::References {
        listeners: &listener_ids,
        redirects: &redirects,
        clusters: &cluster_ids,
        limits: &mut limits,
        providers: &providers,
        authorization: &mut policies,
        screenings: &mut screenings,
        tenant_header: raw.tenants.header.as_ref(),
    };
    let routes: Vec<model::Route> =
        routes.into_iter().map(|(name, raw)| route::resolve(&name, raw, &mut references, &mut scope)).collect();
    let clusters: Vec<model::Cluster> =
        clusters.into_iter().map(|(name, raw)| cluster::resolve(&name, raw, zone.as_deref(), &mut scope)).collect();
    let places = https_redirect::RedirectTargets { raw: &listeners, ids: &listener_ids, routes: &routes, trusts };
    https_redirect::link(&places, &mut resolved, &mut scope);
    headers::of_unrouted(&mut resolved, &routes);
    acme::link(&listeners, &routes, &mut resolved, &mut scope);
    ties::check(&routes, &resolved, &mut scope);
    operation::check_metrics(&raw.metrics, &resolved, &mut scope);
    operation::check_reload(&raw.reload, &mut scope);
    let config = Config {
        cookie_key: split::default_key(&resolved, &scope),
        workers: raw.workers,
        client_ip: raw.client_ip,
        tenants: raw.tenants,
        rate_limits: limits.finish(),
        block_list: abuse::block_list(raw.block_list, &mut scope),
        auth_failures: abuse::auth_failures(raw.auth_failures, &mut scope),
        auth_providers: providers,
        authorization_policies: policies.finish(),
        screenings: screenings.finish(),
        access_log: access_log::resolve(raw.access_log, &routes, &mut scope),
        audit_log: raw.audit_log,
        admin: operation::admin(raw.admin, &resolved, raw.metrics.address, &mut scope),
        tracing: tracing::resolve(raw.tracing, &mut scope).map(Arc::new),
        metrics: raw.metrics,
        readiness: raw.readiness,
        shutdown: Shutdown { stream_grace: Some(raw.shutdown.stream_grace()), ..raw.shutdown },
        state_file: raw.state.file,
        logging: raw.logging,
        dns: raw.dns,
        reload: raw.reload,
        listeners: resolved,
        routes: routes.into_iter().map(Arc::new).collect(),
        clusters,
        hash: String::new(),
        restart_required,
        effective: Arc::default(),
    };
    outputs::check(&config, &mut scope);
    lints::check(&config, &mut scope);
    config
}

/// Each key that cannot change while running, with its value.
fn restart_required(raw: &keys::Root) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    raw.restart_required("", &mut found);
    // What is off or absent is the same.
    found.retain(|_, value| value != "None");
    found
}

impl<'a> Scope<'a> {
    /// Reports a problem of the value at `path`, unless that value already has one.
    fn add(&mut self, path: &[Step], diagnostic: Diagnostic) {
        self.place(path, diagnostic, false);
    }

    /// Reports that something is missing below `path`, unless something below was wrong and taken out.
    fn missing(&mut self, path: &[Step], diagnostic: Diagnostic) {
        if self.tree.locate(path).blank == Blank::No {
            self.place(path, diagnostic, true);
        }
    }

    /// What stands at a path below something that has a name.
    fn find(&self, path: &[Step]) -> Option<&'a Node> {
        let [Step::Key(section), Step::Key(name), rest @ ..] = path else { return None };
        let named = *self.named.get(&[section.as_str(), name.as_str()])?;
        rest.iter().try_fold(named, |node, step| node.child(step).map(|(child, ..)| child))
    }

    /// Whether there is a value at `path`.
    fn is_given(&self, path: &[Step]) -> bool {
        self.find(path).is_some_and(|node| !node.is_null() && !node.is_blank())
    }

    /// The path of one of those at `path`, which are written as one or as a list.
    fn one_of(&self, path: &[Step], index: usize) -> Vec<Step> {
        let is_list = self.find(path).is_some_and(|node| matches!(node.value, Value::List(_)));
        let index = is_list.then(|| Step::from(index));
        path.iter().cloned().chain(index).collect()
    }

    /// The same of what stands in a section without names.
    fn one_of_section(&self, path: &[Step], index: usize) -> Vec<Step> {
        let at = path.iter().try_fold(self.tree, |node, step| node.child(step).map(|(child, ..)| child));
        let is_list = at.is_some_and(|node| matches!(node.value, Value::List(_)));
        path.iter().cloned().chain(is_list.then(|| Step::from(index))).collect()
    }

    /// Reports a problem of the key at the end of `path`.
    fn add_key(&mut self, path: &[Step], diagnostic: Diagnostic) {
        self.place(path, diagnostic, true);
    }

    /// Says what is missing below `path`.
    fn lacks(&mut self, path: &[Step], message: impl Into<String>, hint: impl Into<String>) {
        self.missing(path, Diagnostic::lacks(message).hint(hint));
    }

    /// Says why the value at `path` is not legal.
    fn invalid(&mut self, path: &[Step], message: impl Into<String>, hint: impl Into<String>) {
        self.add(path, Diagnostic::invalid(message).hint(hint));
    }

    /// Says what the key at the end of `path` contradicts.
    fn conflict(&mut self, path: &[Step], message: impl Into<String>, hint: impl Into<String>) {
        self.add_key(path, Diagnostic::conflict(message).hint(hint));
    }

    /// Reports an error with a code of its own of the value at `path`.
    fn error(&mut self, path: &[Step], code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(path, Diagnostic::error(code, message).hint(hint));
    }

    /// Warns of the value at `path`.
    fn warn(&mut self, path: &[Step], code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(path, Diagnostic::warning(code, message).hint(hint));
    }

    /// Warns of the key at the end of `path`.
    fn warn_key(&mut self, path: &[Step], code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.add_key(path, Diagnostic::warning(code, message).hint(hint));
    }

    fn place(&mut self, path: &[Step], mut diagnostic: Diagnostic, on_key: bool) {
        let place = self.tree.locate(path);
        if place.blank == Blank::Itself {
            return;
        }
        redact(&mut diagnostic, &place);
        let span = if on_key { place.key_span } else { place.span };
        diagnostic.path = place.path;
        self.report.add(diagnostic.at(span));
    }

    fn version(&mut self, version: u64) {
        if version != 1 {
            let message = format!("version {version} of the configuration language is not known");
            self.invalid(&steps!["version"], message, "write `version: 1`");
        }
    }

    /// Checks a number in this unit against its range.
    fn range(&mut self, path: &[Step], value: u64, range: RangeInclusive<u64>, unit: &str) -> u64 {
        if !range.contains(&value) {
            let name = self.tree.locate(path).path;
            let hint = format!("{}{unit} to {}{unit}", range.start(), range.end());
            self.invalid(path, format!("`{name}` is out of range"), hint);
        }
        value.clamp(*range.start(), *range.end())
    }

    /// Reports a reference to nothing.
    fn dangling<'n>(&mut self, path: &[Step], kind: &str, name: &str, known: impl Iterator<Item = &'n str>) {
        let known: Vec<&str> = known.collect();
        let kinds = kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"));
        let hint = match suggest::closest(name, known.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if known.is_empty() => format!("there are no {kinds}"),
            None if known.len() <= 6 => format!("there are `{}`", known.join("`, `")),
            None => format!("define it under `{kinds}`"),
        };
        let shown: String = name.chars().take(60).collect();
        self.error(path, "unknown-reference", format!("there is no {kind} `{shown}`"), hint);
    }
}

/// Whatever has a name. A look at the tree for each would go through all of them each time.
fn named(tree: &Node) -> HashMap<[&str; 2], &Node> {
    let sections = tree.entries().iter().map(|section| (section.key.as_str(), section.value.entries()));
    let all = sections.flat_map(|(section, entries)| entries.iter().map(move |entry| (section, entry)));
    all.map(|(section, entry)| ([section, entry.key.as_str()], &entry.value)).collect()
}

fn sorted<T>(mut entries: Vec<(String, T)>) -> Vec<(String, T)> {
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

fn ids<T, Id>(entries: &[(String, T)], id: fn(usize) -> Id) -> BTreeMap<String, Id> {
    entries.iter().enumerate().map(|(index, (name, _))| (name.clone(), id(index))).collect()
}
