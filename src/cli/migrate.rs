//! `attache migrate`: a configuration of another proxy in the words of attache. The file goes to standard output or a
//! file, what did not come over as it was to standard error.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::certificates::write_file;
use super::configuration::{INPUT_NAME, STANDARD_INPUT, standard_input};
use super::{Ending, Failure, terminal};
use crate::config::read_regular;
use crate::migrate::{Kind, MAX_FILE, Note, NoteKind, migrate};

/// Arguments of `attache migrate`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Whose configuration it is.
    #[arg(value_enum)]
    from: From,
    /// Its file; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The file to write. [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum From {
    /// nginx.conf, a part of it, or what `nginx -T` prints.
    Nginx,
    /// haproxy.cfg.
    Haproxy,
    /// Objects of Istio: Gateway, VirtualService, DestinationRule and others.
    Istio,
    /// Rollout and AnalysisTemplate of Argo Rollouts.
    Argo,
    /// A static configuration, in YAML or JSON.
    Envoy,
    /// The static and the dynamic file, each in YAML or TOML, one after the other with `---` between them.
    Traefik,
    /// A Caddyfile.
    Caddy,
}

impl From {
    fn kind(self) -> Kind {
        match self {
            Self::Nginx => Kind::Nginx,
            Self::Haproxy => Kind::Haproxy,
            Self::Istio => Kind::Istio,
            Self::Argo => Kind::Argo,
            Self::Envoy => Kind::Envoy,
            Self::Traefik => Kind::Traefik,
            Self::Caddy => Kind::Caddy,
        }
    }
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    if let Some(out) = arguments.out.as_ref().filter(|out| !arguments.force && out.symlink_metadata().is_ok()) {
        return Err(Failure::new(
            format_args!("{} is already there", out.display()),
            "pass --force to replace it, or name another file with --out",
        ));
    }
    let (text, name) = read(&arguments.file)?;
    let migrated = match migrate(arguments.from.kind(), &text, &name) {
        Ok(migrated) => migrated,
        Err(report) => {
            terminal::note(report.human(terminal::has_color()).trim_end());
            return Ok(Ending::Failed);
        }
    };
    match &arguments.out {
        None => terminal::print_bytes(migrated.yaml.as_bytes())?,
        Some(out) => write_file(out, &migrated.yaml, 0o644).map_err(|error| {
            Failure::new(format_args!("{} cannot be written: {error}", out.display()), "name another file with --out")
        })?,
    }
    for note in &migrated.notes {
        terminal::note(note.placed(&name));
    }
    terminal::note(summary(&migrated.notes));
    Ok(Ending::Done)
}

/// The text of a file and its name in messages.
fn read(file: &Path) -> Result<(String, String), Failure> {
    if file == Path::new(STANDARD_INPUT) {
        return Ok((standard_input()?, INPUT_NAME.to_owned()));
    }
    let name = file.display().to_string();
    let bytes = read_regular(file, MAX_FILE).map_err(|error| {
        Failure::new(format_args!("{name} cannot be read: {error}"), "name a file of at most 4 MiB, or `-`")
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = valid.filter(|byte| **byte == b'\n').count() + 1;
        Failure::new(format_args!("{name}:{line}: this is not UTF-8 text"), "save it as UTF-8")
    })?;
    Ok((text, name))
}

/// How much there is to look at.
fn summary(notes: &[Note]) -> String {
    let count = |kind: NoteKind| notes.iter().filter(|note| note.kind == kind).count();
    format!(
        "{}: {} unsafe, {} changed, {} dropped. They stand in the file as comments too",
        terminal::count(notes.len(), "note"),
        count(NoteKind::Unsafe),
        count(NoteKind::Changed),
        count(NoteKind::Dropped)
    )
}

const HELP: &str = "\
Examples:
  attache migrate nginx /etc/nginx/nginx.conf --out attache.yaml
  nginx -T 2>/dev/null | attache migrate nginx - --out attache.yaml
  attache migrate haproxy haproxy.cfg > attache.yaml
  kubectl get gateway,virtualservice,destinationrule -o yaml | attache migrate istio - > attache.yaml

Exit codes: 0 written (look at the notes), 1 the file cannot be read, 2 wrong usage";
