//! `server` blocks: hosts, and one route for each `location`.

use super::site::Server;
use super::{Levels, World, access, location, redirect};
use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Origin, Part, TooLarge};
use crate::migrate::note::Note;

pub(super) fn translate(server: &Directive, outer: &Levels<'_, '_>, world: &mut World<'_>) -> Result<(), TooLarge> {
    let block = Block::new(server.children());
    let levels = Levels { block: &block, outer: Some(outer) };
    let entrances = world.listeners.of_server(&levels, world.draft);
    let Some((hosts, origin)) = hosts(server, &block, world) else {
        server.mark_all();
        return Ok(());
    };
    access::real_ip(&levels, world.draft);
    access::log(&block, world.draft);
    let patterns = block.named("location").iter().filter(|one| one.argument(0).starts_with('~')).count();
    let server = Server { hosts, origin, entrances, has_patterns: patterns > 0 };
    scheme_conditions(&block, &server, world);
    if let Some(directive) = block.last("return") {
        let name =
            world.draft.name(crate::migrate::model::Kind::Route, server.hosts.first().map_or("all", |host| host));
        let mut part = Part::new(name, directive.origin());
        server.serve(&mut part);
        redirect::translate(directive, &mut part);
        for location in block.named("location") {
            location.mark_all();
            let text = format!("{}: never reached, `return` of the server comes first", location.origin().text);
            part.notes.push(Note::dropped(location.place.line, text));
        }
        return world.draft.add(crate::migrate::model::Kind::Route, part);
    }
    for one in block.named("location") {
        location::translate(one.mark(), &levels, &server, world)?;
    }
    Ok(())
}

/// The hosts of a server and where they come from; none of them are all. `None` where it has names that cannot be
/// matched and no other.
fn hosts(server: &Directive, block: &Block<'_>, world: &mut World<'_>) -> Option<(Vec<String>, Origin)> {
    let names = block.named("server_name");
    let Some(first) = names.first() else { return Some((Vec::new(), Origin::default())) };
    let (mut hosts, mut lost, mut is_all) = (Vec::new(), false, false);
    for directive in names {
        for name in &directive.mark().arguments {
            match name.as_str() {
                "_" | "" => is_all = true,
                name if name.starts_with('.') => {
                    let parent = name.trim_start_matches('.');
                    hosts.extend([parent.to_owned(), format!("*.{parent}")]);
                }
                name if name.starts_with('~') || name.ends_with(".*") || name.contains('$') => {
                    lost = true;
                    let text = format!("server_name {name}: hosts are names, or `*.example.com`");
                    world.draft.note(Note::dropped(directive.place.line, text));
                }
                name => hosts.push(name.to_owned()),
            }
        }
    }
    hosts.sort();
    hosts.dedup();
    if hosts.is_empty() && lost && !is_all {
        let text = "server: none of its names can be matched here, so it is left out";
        world.draft.note(Note::danger(server.place.line, text));
        return None;
    }
    if is_all {
        return Some((Vec::new(), first.origin()));
    }
    let is_default = block.named("listen").iter().any(|listen| listen.has_argument("default_server"));
    if is_default {
        let text = "default_server: nginx serves hosts that no server names with this one; here they get 404";
        world.draft.note(Note::changed(server.place.line, text));
    }
    Some((hosts, first.origin()))
}

/// `if ($scheme != https) { return 301 .. }`, which many servers have.
fn scheme_conditions(block: &Block<'_>, server: &Server, world: &mut World<'_>) {
    for condition in block.named("if") {
        let text: String = condition.arguments.concat();
        let is_plain = matches!(text.as_str(), "($scheme=http)" | "($scheme!=https)" | "($https=)" | "($https!=on)");
        let inner = Block::new(condition.children());
        let target = inner.named("return").first().filter(|_| is_plain && condition.children().len() == 1);
        let Some(target) = target.filter(|target| target.arguments.iter().any(|one| one.starts_with("https://")))
        else {
            continue;
        };
        condition.mark_all();
        let status = if target.arguments.len() > 1 { target.argument(0) } else { "302" };
        world.listeners.redirect(&server.entrances, status, &target.origin());
    }
}
