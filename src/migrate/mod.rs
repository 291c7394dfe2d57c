//! Configurations of other programs in the words of attache: one reader for each syntax, one model between them and one
//! printer. What comes over differently, not at all, or was a danger has a note with its line; nothing is dropped
//! without one. Knows the configuration's language and its reader, and no room of the path.

mod argo;
mod caddy;
mod case;
mod client_auth;
mod directive;
mod envoy;
mod haproxy;
mod istio;
mod model;
mod nginx;
mod note;
mod print;
mod refusal;
mod settle;
mod toml;
mod traefik;
mod tree;
mod words;

use crate::config::Report;
use crate::config::foreign::{Foreign, Place, documents, unreadable};
use directive::{Directive, Wrong, unused};
use model::{Draft, Kind as Named, Origin, Part, Section, TooLarge, Value};
pub use note::{Note, NoteKind};

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `nginx.conf`, a part of it, or what `nginx -T` prints.
    Nginx,
    /// `haproxy.cfg`.
    Haproxy,
    /// Objects of Istio: Gateway, VirtualService, DestinationRule and others.
    Istio,
    /// Rollout and AnalysisTemplate of Argo Rollouts.
    Argo,
    /// A static configuration of Envoy.
    Envoy,
    /// The static and dynamic files of Traefik, one after the other.
    Traefik,
    /// A Caddyfile.
    Caddy,
}

/// A configuration in the words of attache.
#[derive(Debug)]
pub struct Migrated {
    /// YAML with comments, which the configuration's reader takes.
    pub yaml: String,
    /// What did not come over as it was, in the order of lines.
    pub notes: Vec<Note>,
}

/// The size of a text that is read.
pub use crate::config::MAX_FILE;

/// Turns the text of a file with this name into a configuration of attache.
///
/// # Errors
/// A report of what cannot be read.
pub fn migrate(kind: Kind, text: &str, name: &str) -> Result<Migrated, Report> {
    let wrong = |wrong: &Wrong| unreadable(text, name, wrong.place, &wrong.message, &wrong.hint);
    if text.len() > MAX_FILE {
        let place = Place { line: 1, column: 1, length: 1 };
        return Err(wrong(&Wrong::new(place, "the file is larger than 4096 KiB", "migrate it in parts")));
    }
    let mut draft = Draft::default();
    let outcome = match kind {
        Kind::Nginx => of_directives(nginx::read(text), nginx::translate, nginx::why_not, &mut draft),
        Kind::Haproxy => of_directives(haproxy::read(text), haproxy::translate, haproxy::why_not, &mut draft),
        Kind::Istio => istio::translate(&objects(documents(text, name)?), &mut draft).map_err(Error::from),
        Kind::Argo => argo::translate(&objects(documents(text, name)?), &mut draft).map_err(Error::from),
        Kind::Envoy => envoy::translate(&documents(text, name)?, &mut draft).map_err(Error::from),
        Kind::Traefik => traefik::translate(&toml::documents(text, name)?, &mut draft).map_err(Error::from),
        Kind::Caddy => of_directives(caddy::read(text), caddy::translate, caddy::why_not, &mut draft),
    };
    outcome.and_then(|()| draft.check().map_err(Error::from)).map_err(|error| match error {
        Error::Wrong(found) => wrong(&found),
        Error::TooLarge => {
            let place = Place { line: 1, column: 1, length: 1 };
            wrong(&Wrong::new(
                place,
                "more than 100000 settings would come of this, or more than 1000 in one place",
                "migrate it in parts",
            ))
        }
    })?;
    complete(&mut draft, kind);
    let head = head(kind, name);
    let printed = settle::settle(&mut draft, name, &head)?;
    let mut notes = draft.notes.clone();
    for (_, parts) in draft.named() {
        notes.extend(parts.iter().flat_map(|part| part.notes.iter().cloned()));
    }
    notes.sort_by_key(|note| (note.line, note.kind));
    notes.dedup();
    Ok(Migrated { yaml: printed.text, notes })
}

enum Error {
    Wrong(Wrong),
    TooLarge,
}

impl From<TooLarge> for Error {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}

/// The objects of Kubernetes in some documents. A `List`, which kubectl prints, holds several.
fn objects(documents: Vec<Foreign>) -> Vec<Foreign> {
    documents.into_iter().flat_map(Foreign::into_objects).collect()
}

/// Reads, translates, and notes what was not used.
fn of_directives(
    read: Result<Vec<Directive>, Wrong>,
    translate: fn(&[Directive], &mut Draft) -> Result<(), TooLarge>,
    why_not: fn(&Directive) -> Option<&'static str>,
    draft: &mut Draft,
) -> Result<(), Error> {
    let directives = read.map_err(Error::Wrong)?;
    translate(&directives, draft)?;
    let mut left = Vec::new();
    unused(&directives, &mut left);
    for directive in left {
        let why = why_not(directive).unwrap_or("attache has nothing that is known to do this");
        let (line, text) = (directive.place.line, format!("{}: {why}", directive.origin().text));
        let keeps_out = REFUSALS.contains(&directive.name.as_str());
        draft.note(if keeps_out { Note::danger(line, text) } else { Note::dropped(line, text) });
    }
    Ok(())
}

/// Directives that may keep somebody out.
const REFUSALS: [&str; 18] = [
    "if", "satisfy", "limit_except", "deny", "allow", "http-request", "tcp-request", "limit_req", "limit_conn",
    "auth_basic", "auth_request", "auth_jwt", "basic_auth", "basicauth", "forward_auth", "authenticate", "authorize",
    "jwtauth",
];

/// What every configuration has.
fn complete(draft: &mut Draft, kind: Kind) {
    if draft.listeners.is_empty() {
        let name = draft.name(Named::Listener, "http");
        let mut part = Part::new(name, Origin::default());
        part.put(&["address"], Value::text("0.0.0.0:8080"), &Origin::new(0, "not in the file: choose"));
        draft.listeners.push(part);
        let text = "the file names no address to listen on: the listener `http` is a guess";
        draft.note(Note::changed(0, text));
    }
    draft.listeners.iter_mut().for_each(client_auth::keep_tls);
    redirect_to_tls(draft);
    if draft.routes.is_empty() {
        draft.note(Note::dropped(0, format!("nothing of {} was found that requests could go to", kind.shown())));
    }
}

/// Names the listener that a redirect leads to, where there are several with TLS.
fn redirect_to_tls(draft: &mut Draft) {
    let secure: Vec<String> =
        draft.listeners.iter().filter(|part| part.has(&["tls"])).map(|part| part.name.clone()).collect();
    let Some(first) = secure.first().filter(|_| secure.len() > 1) else { return };
    for part in &mut draft.listeners {
        let (value, origin) = match part.settings.entry("httpsRedirect") {
            Some(entry) if !part.has(&["httpsRedirect", "listener"]) => (entry.value.clone(), entry.origin.clone()),
            _ => continue,
        };
        let mut section = Section::of("listener", Value::text(first));
        if let Value::Map(more) = value {
            section.entries.extend(more.entries);
        }
        part.put(&["httpsRedirect"], Value::Map(section), &origin);
    }
}

/// The first comment.
fn head(kind: Kind, name: &str) -> Vec<String> {
    vec![
        format!(
            "Made by `attache migrate {}` from {name}. Comments name what a line replaces, or say what changed.",
            kind.word()
        ),
        "Look at the notes, then check it: attache validate -c FILE".to_owned(),
    ]
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Nginx, Self::Haproxy, Self::Istio, Self::Argo, Self::Envoy, Self::Traefik, Self::Caddy];

    /// The word for it on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Istio => "istio",
            Self::Argo => "argo",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
        }
    }

    /// Its name.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Istio => "Istio",
            Self::Argo => "Argo Rollouts",
            Self::Envoy => "Envoy",
            Self::Traefik => "Traefik",
            Self::Caddy => "Caddy",
        }
    }
}
