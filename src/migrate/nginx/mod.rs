//! nginx: `http`, `server`, `location` and `upstream`, whole or in parts.

mod access;
mod addresses;
mod headers;
mod limits;
mod listen;
mod location;
mod proxy;
mod redirect;
mod server;
mod site;
mod syntax;
mod unknown;
mod upstream;

use std::collections::HashMap;

use super::directive::{Block, Directive, Wrong};
use super::model::{Draft, TooLarge};
use super::note::Note;
use addresses::Addresses;
use limits::Zones;
use listen::Listeners;
pub(super) use unknown::why_not;
use upstream::Upstreams;

pub(super) fn read(text: &str) -> Result<Vec<Directive>, Wrong> {
    syntax::read(text)
}

/// What is known of the whole file while its servers are translated.
struct World<'a> {
    draft: &'a mut Draft,
    upstreams: Upstreams,
    listeners: Listeners,
    zones: Zones<'a>,
    addresses: Addresses,
    /// Routes of a server that take less than their locations did: the place of each, and of the note that says so.
    loose: Vec<(usize, usize)>,
}

/// The blocks around a directive, from the innermost outwards.
#[derive(Clone, Copy)]
struct Levels<'a, 'b> {
    block: &'b Block<'a>,
    outer: Option<&'b Self>,
}

impl<'a, 'b> Levels<'a, 'b> {
    /// The value that holds here: of the innermost block that has one.
    fn last(&self, name: &str) -> Option<&'a Directive> {
        self.all(name).last().copied()
    }

    /// Directives of a name of the innermost block that has any, marked as used.
    fn all(&self, name: &str) -> &'b [&'a Directive] {
        let here = self.block.named(name);
        if here.is_empty() {
            return self.outer.map_or(&[], |outer| outer.all(name));
        }
        here.iter().for_each(|directive| {
            directive.mark();
        });
        here
    }
}

/// Translates everything that stands in `http`, or at the top of a part of it.
pub(super) fn translate(directives: &[Directive], draft: &mut Draft) -> Result<(), TooLarge> {
    let top = Block::new(directives);
    let https: Vec<Block<'_>> = top.named("http").iter().map(|http| Block::new(http.mark().children())).collect();
    let blocks: Vec<&Block<'_>> = https.iter().chain([&top]).collect();
    let mut zones = HashMap::new();
    for block in &blocks {
        limits::collect(block, false, &mut zones, draft);
        for server in block.named("server") {
            limits::collect(&Block::new(server.children()), true, &mut zones, draft);
        }
    }
    let upstreams = Upstreams::new(&blocks, draft)?;
    let zones = Zones { by_name: zones, made: HashMap::new() };
    let all = blocks.iter().flat_map(|block| block.named("server")).copied();
    let all: Vec<&Directive> = all.filter(|server| server.block.is_some()).collect();
    let addresses = Addresses::of(&all);
    let mut world = World { draft, upstreams, listeners: Listeners::default(), zones, addresses, loose: Vec::new() };
    let top_level = Levels { block: &top, outer: None };
    for http in &https {
        let level = Levels { block: http, outer: Some(&top_level) };
        servers(&level, &mut world)?;
    }
    servers(&top_level, &mut world)?;
    let listeners = std::mem::take(&mut world.listeners);
    listeners.finish(world.draft)
}

fn servers(level: &Levels<'_, '_>, world: &mut World<'_>) -> Result<(), TooLarge> {
    access::real_ip(level, world.draft);
    access::log(level.block, world.draft);
    for server in level.block.named("server") {
        if server.block.is_none() {
            world.draft.note(Note::dropped(server.mark().place.line, "server: it has no block"));
            continue;
        }
        server::translate(server.mark(), level, world)?;
    }
    Ok(())
}
