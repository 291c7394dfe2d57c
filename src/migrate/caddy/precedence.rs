//! Which handlers of a site refuse, and which handlers Caddy asks after them.

use std::collections::HashMap;

use super::Site;
use super::matcher::split;
use crate::migrate::case::Case;
use crate::migrate::directive::Directive;
use crate::migrate::model::Part;
use crate::migrate::note::Note;
use crate::migrate::refusal::{self, Refusals};

/// The handlers of a site in the order in which Caddy asks them.
pub(super) struct Precedence {
    refusals: Refusals,
    /// Where each refusal stands.
    places: Vec<Place>,
    handlers: HashMap<*const Directive, Place>,
}

/// Where a handler stands.
#[derive(Clone, Copy)]
struct Place {
    /// Of its name among names.
    rank: usize,
    /// Among the lines of its site.
    index: usize,
    /// Whether it has one path and nothing else. Of two such the longer one comes first, as it does here.
    is_path: bool,
    is_refusal: bool,
}

/// Names in the order in which Caddy asks them, wherever they stand.
const NAMES: [&str; 10] = [
    "redir", "handle", "handle_path", "route", "abort", "error", "respond", "reverse_proxy", "php_fastcgi",
    "file_server",
];

impl Precedence {
    /// The order, and notes about refusals that are too many.
    pub(super) fn new(children: &[&Directive], site: &Site<'_>) -> (Self, Vec<Note>) {
        let mut made = Self { refusals: Refusals::default(), places: Vec::new(), handlers: HashMap::new() };
        let mut notes = Vec::new();
        for (index, handler) in children.iter().enumerate() {
            let Some(rank) = NAMES.iter().position(|name| *name == handler.name) else { continue };
            let is_path = handler.argument(0).starts_with('/');
            let place = Place { rank, index, is_path, is_refusal: refuses(handler, site) };
            made.handlers.insert(std::ptr::from_ref(*handler), place);
            if !place.is_refusal {
                continue;
            }
            let mut case = split(handler, &site.matchers).0.unwrap_or_default();
            if case.hosts.is_empty() {
                case.hosts.clone_from(&site.hosts);
            }
            match made.refusals.add(&refusal::whole(case), &handler.origin()) {
                Some(note) => notes.push(note),
                None => made.places.push(place),
            }
        }
        (made, notes)
    }

    fn place(&self, handler: &Directive) -> Option<Place> {
        self.handlers.get(&std::ptr::from_ref(handler)).copied()
    }

    /// Whether a handler does nothing but refuse.
    pub(super) fn is_refusal(&self, handler: &Directive) -> bool {
        self.place(handler).is_some_and(|place| place.is_refusal)
    }

    /// Has the route of a handler refuse what Caddy would have refused before.
    pub(super) fn guard(&self, handler: &Directive, case: &Case, part: &mut Part) {
        let Some(later) = self.place(handler) else { return };
        let is_before = |earlier: &Place| {
            let is_earlier = (earlier.rank, earlier.index) < (later.rank, later.index);
            is_earlier && !(earlier.rank == later.rank && earlier.is_path && later.is_path)
        };
        self.refusals.guard(std::slice::from_ref(case), part, |at| self.places.get(at).is_some_and(is_before));
    }
}

/// Whether a handler, or all there is in its block, is an answer of 4xx or 5xx.
fn refuses(handler: &Directive, site: &Site<'_>) -> bool {
    let case = split(handler, &site.matchers).0.unwrap_or_default();
    if !case.unknown.is_empty() || case.connections.is_some() {
        // There is a note about it, and no route.
        return false;
    }
    match handler.name.as_str() {
        "handle" | "handle_path" | "route" => {
            let mut answers = handler.children().iter().filter(|one| NAMES.contains(&one.name.as_str()));
            matches!((answers.next(), answers.next()), (Some(only), None)
                if split(only, &site.matchers).0.is_none_or(|case| case.is_everything()) && is_answer(only, site))
        }
        _ => is_answer(handler, site),
    }
}

fn is_answer(one: &Directive, site: &Site<'_>) -> bool {
    let (_, arguments) = split(one, &site.matchers);
    let is_status = |word: &String| word.len() == 3 && word.starts_with(['4', '5']) && word.parse::<u16>().is_ok();
    match one.name.as_str() {
        "abort" => true,
        "error" => !arguments.iter().any(|word| word.parse::<u16>().is_ok()) || arguments.iter().any(is_status),
        "respond" => arguments.iter().take(2).any(is_status),
        _ => false,
    }
}
