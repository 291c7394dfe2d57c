//! YAML to validated configuration.
//!
//! Text becomes a tree that remembers positions (`yaml`, `node`), variables and includes are put in (`substitute`,
//! `source`), the tree is read into the file's own types (`de`, `decode`, `raw`), and those become the [`model`]
//! (`resolve`). Every step reports all it finds. Imports no runtime room.

mod certs;
mod de;
mod decode;
mod environment;
mod foreign;
pub mod model;
mod node;
mod raw;
mod render;
mod report;
mod resolve;
mod secrets;
mod show;
mod source;
mod spread;
mod substitute;
mod suggest;
mod yaml;

use std::path::{Path, PathBuf};

pub use environment::Environment;
pub use report::{Diagnostic, Report, Severity};

use node::{Node, Value};
use source::{Reader, Tree};

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: model::Config,
    /// What is legal but probably not meant; has no errors.
    pub warnings: Report,
    /// Every configuration file that was read, includes with them, in order. Certificates are named in the configuration.
    pub files: Vec<PathBuf>,
    /// Directories in which a new file would matter: those of the files, and those that patterns looked in.
    pub directories: Vec<PathBuf>,
}

/// Loads a file, or each `*.yaml` and `*.yml` of a directory in name order. A file may have 4 MiB.
///
/// # Errors
/// A report with at least one error, and everything else that was found.
pub fn load(path: &Path, env: &Environment) -> Result<Loaded, Report> {
    build(Reader::new(env).read(path), env).map(|built| built.loaded)
}

/// Loads one text under the given name. Relative paths in it are relative to the name's directory.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, name: &str, env: &Environment) -> Result<Loaded, Report> {
    build(Reader::new(env).take(text, name), env).map(|built| built.loaded)
}

/// The effective configuration as YAML, without secrets. With `defaults`, every default is filled in and marked.
///
/// # Errors
/// As [`load`].
pub fn show(path: &Path, env: &Environment, defaults: bool) -> Result<String, Report> {
    build(Reader::new(env).read(path), env).map(|built| show::show(&built.root, defaults))
}

/// As [`show`], for a text in memory.
///
/// # Errors
/// As [`load`].
pub fn show_text(
    text: &str,
    name: &str,
    env: &Environment,
    defaults: bool,
) -> Result<String, Report> {
    build(Reader::new(env).take(text, name), env).map(|built| show::show(&built.root, defaults))
}

/// JSON Schema of a configuration file.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::generate::SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<raw::Root>();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

struct Built {
    loaded: Loaded,
    root: Node,
}

fn build((tree, mut report): (Option<Tree>, Report), env: &Environment) -> Result<Built, Report> {
    let Some(Tree {
        mut root,
        files,
        directories,
    }) = tree
    else {
        report.sort();
        return Err(report);
    };
    let hash = format!("{:016x}", hash(&root));
    let config = decode::decode(&mut root, &mut report).and_then(|_| {
        spread::spread(&mut root, &mut report);
        let raw = decode::decode(&mut root, &mut report)?;
        Some(resolve::resolve(raw, &root, env, &mut report, hash))
    });
    report.sort();
    match config {
        Some(config) if report.errors() == 0 => Ok(Built {
            loaded: Loaded {
                config,
                warnings: report,
                files,
                directories,
            },
            root,
        }),
        _ => Err(report),
    }
}

/// A number that changes when any value of the configuration does, and not when only comments or layout do.
fn hash(root: &Node) -> u64 {
    fn feed(node: &Node, hasher: &mut xxhash_rust::xxh3::Xxh3) {
        match &node.value {
            Value::Scalar(scalar) => {
                hasher.update(if scalar.plain { b"p" } else { b"q" });
                hasher.update(scalar.text.as_bytes());
            }
            Value::List(items) => items.iter().for_each(|item| {
                hasher.update(b"-\0");
                feed(item, hasher);
            }),
            Value::Map(entries) => entries.iter().for_each(|entry| {
                hasher.update(b":\0");
                hasher.update(entry.key.as_bytes());
                hasher.update(b"\0");
                feed(&entry.value, hasher);
            }),
            Value::Blank => {}
        }
        hasher.update(b"\0.");
    }
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    feed(root, &mut hasher);
    hasher.digest()
}
