//! `server` blocks: hosts, and one route for each `location`.

use super::addresses::{Names, is_default};
use super::site::{Match, Server};
use super::{Levels, World, access, location, redirect};
use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Kind, Origin, Part, TooLarge, Value};
use crate::migrate::note::{Note, NoteKind};

pub(super) fn translate(server: &Directive, outer: &Levels<'_, '_>, world: &mut World<'_>) -> Result<(), TooLarge> {
    let block = Block::new(server.children());
    let levels = Levels { block: &block, outer: Some(outer) };
    let entrances = world.listeners.of_server(server, &levels, world.draft);
    let Some(site) = site(server, &block, entrances, world) else {
        server.mark_all();
        return Ok(());
    };
    access::real_ip(&levels, world.draft);
    access::log(&block, world.draft);
    let mut site = site;
    scheme_conditions(&block, &mut site, world)?;
    if site.entrances.is_empty() {
        never_reached(&block, "`if ($scheme ..)` of the server comes first", world);
        return Ok(());
    }
    if let Some(directive) = block.last("return") {
        let part = redirecting(directive, &site, world);
        never_reached(&block, "`return` of the server comes first", world);
        return world.draft.add(Kind::Route, part);
    }
    let first = world.draft.routes.len();
    for one in block.named("location") {
        location::translate(one.mark(), &levels, &site, "", world)?;
    }
    protected(first, world);
    others(server, &block, &site, world)
}

/// A route with a `return` that holds for the whole server.
fn redirecting(directive: &Directive, site: &Server, world: &mut World<'_>) -> Part {
    let name = world.draft.name(Kind::Route, site.hosts.first().map_or("all", |host| host));
    let mut part = Part::new(name, directive.origin());
    site.serve(&mut part);
    redirect::translate(directive, &mut part);
    part
}

fn never_reached(block: &Block<'_>, why: &str, world: &mut World<'_>) {
    for location in block.named("location") {
        location.mark_all();
        let text = format!("{}: never reached, {why}", location.origin().text);
        world.draft.note(Note::dropped(location.place.line, text));
    }
}

/// What the locations of a server have in common. `None` where no request can come to it, or none that a route can ask
/// for.
fn site(
    server: &Directive,
    block: &Block<'_>,
    mut entrances: Vec<super::listen::Entrance>,
    world: &mut World<'_>,
) -> Option<Server> {
    let names = Names::of(block);
    let origin = block.named("server_name").first().map_or_else(Origin::default, |name| name.mark().origin());
    block.named("server_name").iter().for_each(|name| {
        name.mark();
    });
    for (line, name) in &names.odd {
        let text = format!(
            "server_name {name}: hosts are names, or `*.example.com`. Requests for these hosts get 404, or go to the server \
             that takes all hosts"
        );
        world.draft.note(Note::danger(*line, text));
    }
    let line = server.place.line;
    if names.is_nobody() {
        let other = entrances.first().map_or(0, |entrance| world.addresses.default_line(&entrance.key));
        // Another server gets what nobody names, also where this one says `_`.
        entrances.retain(|entrance| world.addresses.is_default(&entrance.key, server.place));
        if entrances.is_empty() {
            let text = format!(
                "server: never reached, as in nginx: it has no name that requests ask for, and the server of line {other} \
                 is the default of its address"
            );
            world.draft.note(Note::dropped(line, text));
            return None;
        }
    } else if names.hosts.is_empty() {
        let text = "server: none of its names can be matched here, so it is left out";
        world.draft.note(Note::danger(line, text));
        return None;
    } else if entrances.iter().any(|entrance| world.addresses.is_default(&entrance.key, server.place)) {
        let why = match block.named("listen").iter().any(|listen| is_default(listen)) {
            true => "default_server",
            false => "server, the first of its address",
        };
        let text = format!("{why}: nginx serves hosts that no server names with this one; here they get 404");
        world.draft.note(Note::changed(line, text));
    }
    let has_patterns = has_patterns(block.all);
    Some(Server { hosts: names.hosts, origin, entrances, has_patterns })
}

/// Whether a location for all paths has one with a pattern beside it, or inside.
fn has_patterns(directives: &[Directive]) -> bool {
    directives.iter().filter(|one| one.name == "location").any(|one| match location::matched(one) {
        Match::Pattern { .. } => true,
        Match::Prefix("/") => has_patterns(one.children()),
        _ => false,
    })
}

/// Says of routes that refuse or limit that they take less than their locations did.
fn protected(first: usize, world: &mut World<'_>) {
    let loose = std::mem::take(&mut world.loose);
    let Some(routes) = world.draft.routes.get_mut(first..) else { return };
    let guards: Vec<_> = routes.iter().map(guards).collect();
    let Some(is_equal) = guards.first().map(|one| guards.iter().all(|other| other == one)) else { return };
    for (route, note) in loose.into_iter().filter(|_| !is_equal) {
        let Some(at) = route.checked_sub(first) else { continue };
        if guards.get(at).is_some_and(|guards| !guards.is_empty())
            && let Some(note) = routes.get_mut(at).and_then(|part| part.notes.get_mut(note))
        {
            note.kind = NoteKind::Unsafe;
            note.text.push_str(". What this location keeps out gets in there");
        }
    }
}

/// What keeps requests out of a route.
fn guards(part: &Part) -> Vec<(&'static str, Value)> {
    let keys = ["authorization", "auth", "ipAccess", "rateLimit", "maxConcurrentPerClient"];
    let mut found: Vec<_> =
        keys.into_iter().filter_map(|key| Some((key, part.settings.get(&[key])?.clone()))).collect();
    if let Some(Value::Plain(status)) = part.settings.get(&["respond", "status"])
        && status.starts_with(['4', '5'])
    {
        found.push(("respond", Value::plain(status)));
    }
    found
}

/// A server without a location for all paths serves files, or answers 404. A request for its hosts must not go to
/// another server then.
fn others(server: &Directive, block: &Block<'_>, site: &Server, world: &mut World<'_>) -> Result<(), TooLarge> {
    let has_all = block.named("location").iter().any(|one| location::matched(one) == Match::Prefix("/"));
    if has_all || site.hosts.is_empty() || !world.addresses.has_wider(server.place) {
        return Ok(());
    }
    let name = world.draft.name(Kind::Route, site.hosts.first().map_or("all", |host| host));
    let mut part = Part::new(name, Origin::new(server.place.line, "server: what none of its locations takes"));
    site.serve(&mut part);
    location::everything(site, &server.origin(), &mut part);
    let origin = Origin::new(0, "no other server of nginx gets these requests either");
    part.put(&["respond", "status"], Value::plain(404), &origin);
    world.draft.add(Kind::Route, part)
}

/// Redirects what comes in without TLS: by the listener where all of its servers do, else by a route for the hosts of
/// this one. Its locations serve the rest.
fn scheme_conditions(block: &Block<'_>, site: &mut Server, world: &mut World<'_>) -> Result<(), TooLarge> {
    let Some((condition, target)) = redirect::scheme_condition(block) else { return Ok(()) };
    condition.mark_all();
    let status = if target.arguments.len() > 1 { target.argument(0) } else { "302" };
    let plain: Vec<_> = site.entrances.iter().filter(|entrance| !entrance.is_tls).cloned().collect();
    let (all, own): (Vec<_>, Vec<_>) = plain.into_iter().partition(|one| world.addresses.is_redirecting(&one.key));
    for entrance in &all {
        world.listeners.redirect(entrance, status, &target.origin());
    }
    if own.is_empty() {
        return Ok(());
    }
    site.entrances.retain(|entrance| own.iter().all(|own| own.key != entrance.key));
    let rest = std::mem::replace(&mut site.entrances, own);
    let part = redirecting(target, site, world);
    site.entrances = rest;
    world.draft.add(Kind::Route, part)
}
