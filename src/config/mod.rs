//! YAML to validated configuration.
//!
//! Text becomes a tree that remembers positions (`yaml`, `node`), variables and includes are put in (`substitute`,
//! `source`), the tree is read into its sections (`de`, `decode`, `keys`), and those become the [`model`] (`resolve`).
//! Every step reports all it finds. Imports no runtime room.

mod certs;
mod decode;
mod document;
mod effective;
mod environment;
mod files;
mod fill;
pub mod foreign;
mod forms;
mod hosts;
mod inputs;
mod keys;
mod keys_file;
mod merge_defaults;
pub mod model;
mod networks_file;
mod render;
mod resolve;
mod restart_required;
mod schema;
mod section;
mod show;
mod suggest;
mod text;
mod types;
mod units;
mod users_file;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use document::Document;
pub use effective::{Change, ChangeKind, Difference, Effective};
pub use environment::Environment;
pub use files::read_regular;
pub use inputs::Inputs;
pub use report::{Diagnostic, Report, Severity};
pub use restart_required::{OpenedAt, needs_restart};
pub use schema::schema;
pub use section::{admin, last_good_file, log_format, metrics_address};
pub use units::{bytes, time};
pub use written::{Untouchable, behind_links, is_foreign, lock_of};

use node::{Node, Value};
pub use source::MAX_FILE;
use source::{Reader, Tree};
use text::{de, node, report, source, substitute, yaml};
use tracing::debug_span;

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: model::Config,
    /// What is legal but probably not meant; has no errors.
    pub warnings: Report,
    /// Every configuration file that was read, includes with them, in order.
    pub files: Vec<PathBuf>,
    root: Node,
}

/// Reads a duration as the files have it: `250ms`, `30s`, `2m`, `1h30m`.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    forms::values::duration(text)
}

/// Loads a file, or each `*.yaml` and `*.yml` of a directory in name order. A file may have 4 MiB.
///
/// # Errors
/// A report with at least one error, and everything else that was found.
pub fn load(path: &Path, env: &Environment) -> Result<Loaded, Report> {
    read(path, env).outcome
}

/// What reading a configuration came to, and what was read for it.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, or a report of its errors.
    pub outcome: Result<Loaded, Report>,
    /// Every file and directory that was looked at.
    pub inputs: Inputs,
}

/// As [`load`], and remembers what was read.
#[must_use]
pub fn read(path: &Path, env: &Environment) -> Reading {
    let env = env.afresh();
    Reading { outcome: build(Reader::new(&env).read(path), &env), inputs: env.inputs() }
}

/// Loads one text under the given name. Relative paths in it are relative to the name's directory.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, name: &str, env: &Environment) -> Result<Loaded, Report> {
    let env = &env.afresh();
    build(Reader::new(env).take(text, name), env)
}

/// The effective configuration as YAML, without secrets. With `defaults`, every default is filled in and marked.
///
/// # Errors
/// As [`load`].
pub fn show(path: &Path, env: &Environment, defaults: bool) -> Result<String, Report> {
    build(Reader::new(env).read(path), env).map(|loaded| show::show(&loaded.root, defaults))
}

/// As [`show`], for a text in memory.
///
/// # Errors
/// As [`load`].
pub fn show_text(text: &str, name: &str, env: &Environment, defaults: bool) -> Result<String, Report> {
    build(Reader::new(env).take(text, name), env).map(|loaded| show::show(&loaded.root, defaults))
}

/// The tree a configuration was made from. It is kept apart because dropping it takes a while with thousands of routes.
#[derive(Debug)]
pub struct Remains {
    _root: Node,
}

impl Loaded {
    /// The configuration with its warnings, and what can be dropped later.
    #[must_use]
    pub fn into_parts(self) -> (model::Config, Report, Remains) {
        (self.config, self.warnings, Remains { _root: self.root })
    }

    /// The configuration as one file that can be loaded by itself. What was substituted is a reference again, so it
    /// holds no secret that its files do not.
    #[must_use]
    pub fn standalone(&self) -> String {
        show::standalone(&self.root)
    }
}

fn build((tree, mut report): (Option<Tree>, Report), env: &Environment) -> Result<Loaded, Report> {
    let Some(Tree { mut root, files, .. }) = tree else {
        report.sort();
        return Err(report);
    };
    let content = debug_span!("hash").in_scope(|| hash(&root));
    let config = decoded(&mut root, &mut report).and_then(|mut raw| {
        if debug_span!("defaults").in_scope(|| merge_defaults::merge_defaults(&mut root, &mut report)) {
            raw = decoded(&mut root, &mut report)?;
        }
        let resolving = debug_span!("resolve");
        Some(resolving.in_scope(|| resolve::resolve(raw, &root, env, &mut report)))
    });
    report.sort();
    match config {
        Some(mut config) if report.errors() == 0 => {
            let beside = env.with_inputs(|inputs| inputs.beside());
            config.hash = format!("{:016x}", whole(content, &beside));
            let effective = debug_span!("effective");
            let effective = effective.in_scope(|| Effective::new(&root, beside));
            config.effective = Arc::new(effective);
            Ok(Loaded { config, warnings: report, files, root })
        }
        _ => Err(report),
    }
}

fn decoded(root: &mut Node, report: &mut Report) -> Option<keys::Root> {
    debug_span!("decode").in_scope(|| decode::decode(root, report))
}

/// `content` with the files beside it.
fn whole(content: u64, beside: &BTreeMap<PathBuf, u64>) -> u64 {
    if beside.is_empty() {
        return content;
    }
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(&content.to_le_bytes());
    for (path, hash) in beside {
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(&hash.to_le_bytes());
    }
    hasher.digest()
}

/// A number that changes when any value of the configuration does, and not when only comments or layout do.
fn hash(root: &Node) -> u64 {
    fn feed(node: &Node, out: &mut Vec<u8>) {
        match &node.value {
            Value::Scalar(scalar) => {
                out.extend_from_slice(if scalar.plain { b"p" } else { b"q" });
                out.extend_from_slice(scalar.text.as_bytes());
            }
            Value::List(items) => items.iter().for_each(|item| {
                out.extend_from_slice(b"-\0");
                feed(item, out);
            }),
            Value::Map(entries) => entries.iter().for_each(|entry| {
                out.extend_from_slice(b":\0");
                out.extend_from_slice(entry.key.as_bytes());
                out.extend_from_slice(b"\0");
                feed(&entry.value, out);
            }),
            Value::Blank => {}
        }
        out.extend_from_slice(b"\0.");
    }
    // Written out first: thousands of small pieces are hashed much faster as one.
    let mut text = Vec::new();
    feed(root, &mut text);
    xxhash_rust::xxh3::xxh3_64(&text)
}
