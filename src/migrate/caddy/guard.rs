//! Credentials that a site asks for on some of its paths, whichever handler answers there. They do not come over, so
//! what is below these paths is closed.

use super::matcher::split;
use super::{Site, World};
use crate::migrate::case::{self, Case};
use crate::migrate::directive::Directive;
use crate::migrate::model::{Kind, Origin, Part, TooLarge, Value};
use crate::migrate::note::Note;

/// Directives that ask who a client is.
const NAMES: [&str; 6] = ["basic_auth", "basicauth", "forward_auth", "authenticate", "authorize", "jwtauth"];

/// Those of a site that ask on some requests alone, with what these look like.
fn guards<'a>(shared: &[&'a Directive], site: &Site<'_>) -> Vec<(&'a Directive, Case)> {
    let asked = |one: &&'a Directive| Some((*one, split(one, &site.matchers).0.filter(|case| !case.is_everything())?));
    shared.iter().filter(|one| NAMES.contains(&one.name.as_str())).filter_map(asked).collect()
}

/// Closes a route for whose requests the site, or the handler itself, may ask for credentials.
pub(super) fn close(shared: &[&Directive], own: &[&Directive], case: &Case, site: &Site<'_>, part: &mut Part) {
    let of_site = guards(shared, site)
        .into_iter()
        .filter(|(_, asked)| !has_places(asked) || case.paths.iter().any(|path| is_below(path, asked)));
    for (guard, _) in of_site.chain(guards(own, site)) {
        guard.mark_all();
        part.close(&guard.origin(), &why(guard));
    }
}

/// A closed route for the paths on which a site asks for credentials, where no handler has the same.
pub(super) fn routes(
    children: &[&Directive],
    shared: &[&Directive],
    site: &Site<'_>,
    world: &mut World<'_, '_>,
) -> Result<(), TooLarge> {
    let handlers = children.iter().filter(|one| !shared.iter().any(|other| std::ptr::eq(**one, *other)));
    let taken: Vec<Case> = handlers.filter_map(|one| split(one, &site.matchers).0).collect();
    for (guard, asked) in guards(shared, site).into_iter().filter(|(_, asked)| has_places(asked)) {
        guard.mark_all();
        let mut case = Case { hosts: asked.hosts.clone(), ..Case::default() };
        if case.hosts.is_empty() {
            case.hosts.clone_from(&site.hosts);
        }
        let is_taken =
            |path: &&(&str, String)| taken.iter().flat_map(|case| &case.paths).any(|other| is_same(path, other));
        case.paths = asked.paths.iter().filter(|path| !is_taken(path)).cloned().collect();
        if let Some(path) = asked.loose_prefix() {
            let text =
                format!("{path}*: a prefix ends where a segment ends here; Caddy asks for credentials on {path}x too");
            world.draft.note(Note::danger(guard.place.line, text));
        }
        let Some((_, first)) = case.paths.first() else { continue };
        let mut part = Part::new(world.draft.name(Kind::Route, first), guard.origin());
        part.put(&["listeners"], Value::texts(site.listeners.iter().cloned()), &Origin::default());
        case::ask(std::slice::from_ref(&case), &guard.origin(), &mut part);
        part.put(&["respond", "status"], Value::plain(403), &Origin::new(0, "nobody gets so far"));
        part.close(&guard.origin(), &why(guard));
        world.draft.add(Kind::Route, part)?;
    }
    Ok(())
}

fn why(guard: &Directive) -> String {
    let provider = if guard.name == "forward_auth" { "external" } else { "basic" };
    format!("{}: write `authProviders`: `{provider}`, and `auth` in the route", guard.origin().text)
}

/// Whether it is plain which paths these are.
fn has_places(asked: &Case) -> bool {
    asked.unknown.is_empty() && !asked.is_every_path() && asked.paths.iter().all(|(kind, _)| *kind != "regex")
}

fn is_same(one: &(&str, String), other: &(&str, String)) -> bool {
    one.0 == other.0 && one.1.trim_end_matches('/') == other.1.trim_end_matches('/')
}

/// Whether a path, or all below it, is among what is asked for.
fn is_below(path: &(&str, String), asked: &Case) -> bool {
    let (kind, path) = (path.0, path.1.trim_end_matches('/'));
    asked.paths.iter().any(|(asked, place)| {
        let place = place.trim_end_matches('/');
        let is_equal = path == place && (*asked == "prefix" || kind == "exact");
        is_equal || *asked == "prefix" && path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
    })
}
