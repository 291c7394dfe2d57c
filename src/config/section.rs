//! One section of a configuration that may be broken elsewhere, for verbs that only have to find a running gateway.
//! Where the section is unclear, that is an error: a guess could find another gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::model::{Admin, Config, LogFormat};
use super::node::{Entry, Node, Span, Value};
use super::report::{Report, Severity};
use super::source::{Reader, Tree};
use super::{decode, resolve};

/// The admin listener of a configuration; `None` when it has none.
///
/// # Errors
/// When the files or the `admin` section do not say.
pub fn admin(path: &Path, env: &Environment) -> Result<Option<Admin>, Report> {
    clear(path, env, "admin").map(|config| config.admin)
}

/// Where the metrics listener of a configuration is; `None` when it has none.
///
/// # Errors
/// When the files or the `metrics` section do not say.
pub fn metrics_address(path: &Path, env: &Environment) -> Result<Option<SocketAddr>, Report> {
    clear(path, env, "metrics").map(|config| config.metrics.address)
}

/// Where a configuration keeps its last good state, as far as that can be made out.
#[must_use]
pub fn last_good_file(path: &Path, env: &Environment) -> Option<PathBuf> {
    let (tree, mut report) = Reader::new(env).read(path);
    let config = alone(&mut tree?.root, "reload", env, &mut report)?;
    config.reload.last_good_file
}

/// How a configuration wants its log written, as far as that can be made out.
#[must_use]
pub fn log_format(path: &Path, env: &Environment) -> Option<LogFormat> {
    let (tree, mut report) = Reader::new(env).read(path);
    let config = alone(&mut tree?.root, "logging", env, &mut report)?;
    Some(config.logging.format)
}

fn clear(path: &Path, env: &Environment, section: &str) -> Result<Config, Report> {
    let (tree, mut report) = Reader::new(env).read(path);
    let Some(Tree { mut root, is_whole, .. }) = tree else { return Err(report) };
    let places = root.entries().iter().find(|entry| entry.key == section);
    // Without the section it may be in what was not read.
    let is_told = is_whole || places.is_some();
    let places = places.map(places_of).unwrap_or_default();
    let told = report.clone();
    let config = alone(&mut root, section, env, &mut report);
    match config {
        Some(config) if is_told && !is_wrong(&report, &places) => Ok(config),
        _ if report.errors() == 0 => Err(told),
        _ => Err(report),
    }
}

/// What the rest of the configuration would be with this section only. Reports what cannot be read of it.
fn alone(root: &mut Node, section: &str, env: &Environment, report: &mut Report) -> Option<Config> {
    if let Value::Map(entries) = &mut root.value {
        entries.retain(|entry| entry.key == section);
    }
    let raw = decode::decode(root, report)?;
    // The other sections were taken out, so a report that listeners are missing would be wrong.
    Some(resolve::resolve(raw, root, env, &mut Report::default()))
}

/// Whether an error is about one of these places.
fn is_wrong(report: &Report, places: &[Span]) -> bool {
    report.diagnostics().iter().any(|diagnostic| {
        let related = diagnostic.related.as_ref().map(|(span, _)| span);
        let mut about = diagnostic.span.iter().chain(related);
        diagnostic.severity == Severity::Error && about.any(|span| places.contains(span))
    })
}

fn places_of(entry: &Entry) -> Vec<Span> {
    let mut places = vec![entry.key_span];
    collect(&entry.value, &mut places);
    places
}

fn collect(node: &Node, places: &mut Vec<Span>) {
    places.push(node.span);
    places.extend(node.entries().iter().map(|entry| entry.key_span));
    node.children().for_each(|child| collect(child, places));
}
