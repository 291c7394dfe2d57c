//! HAProxy: `frontend`, `backend`, `listen`, `defaults` and `global`.

mod backend;
mod bind;
mod condition;
mod frontend;
mod headers;
mod limits;
mod servers;
mod syntax;
mod unknown;

use std::collections::HashMap;

use super::directive::{Block, Directive, Wrong};
use super::model::{Draft, Origin, Part, TooLarge, Value};
use super::note::Note;
use super::words;
use backend::Backend;
use bind::Entrance;
use condition::Acls;
pub(super) use unknown::why_not;

pub(super) fn read(text: &str) -> Result<Vec<Directive>, Wrong> {
    syntax::read(text)
}

/// A section with the defaults that hold for it.
struct Proxy<'a> {
    name: &'a str,
    directive: &'a Directive,
    block: Block<'a>,
    defaults: Option<usize>,
}

/// All sections.
struct Sections<'a> {
    global: Vec<Block<'a>>,
    defaults: Vec<Block<'a>>,
    proxies: Vec<Proxy<'a>>,
}

/// What is known of the whole file while its frontends are translated.
struct World<'a, 's> {
    draft: &'s mut Draft,
    sections: &'s Sections<'a>,
    backends: HashMap<&'a str, Backend>,
    /// Frontends whose listeners redirect to one with TLS.
    redirects: Vec<Redirect>,
}

/// A listener that redirects, and the frontend's own listener with TLS.
struct Redirect {
    listener: usize,
    secure: Option<String>,
    status: Option<String>,
    origin: Origin,
}

/// A frontend while its rules are read.
struct Frontend<'a> {
    acls: Acls<'a>,
    entrances: Vec<Entrance>,
    /// What holds for each of its routes.
    shared: Part,
}

impl<'a> Sections<'a> {
    fn new(directives: &'a [Directive]) -> Self {
        let mut sections = Self { global: Vec::new(), defaults: Vec::new(), proxies: Vec::new() };
        let mut named: HashMap<&str, usize> = HashMap::new();
        for directive in directives {
            let block = Block::new(directive.children());
            match directive.name.as_str() {
                "global" => sections.global.push(block),
                "defaults" => {
                    named.insert(directive.argument(0), sections.defaults.len());
                    sections.defaults.push(block);
                }
                "frontend" | "backend" | "listen" => {
                    let from =
                        if directive.argument(1) == "from" { named.get(directive.argument(2)).copied() } else { None };
                    let defaults = from.or_else(|| sections.defaults.len().checked_sub(1));
                    sections.proxies.push(Proxy { name: directive.argument(0), directive, block, defaults });
                }
                _ => continue,
            }
            directive.mark();
        }
        sections
    }

    /// The last directive of a name whose first word is this, of the section or of its defaults, marked as used.
    fn last(&self, proxy: &Proxy<'a>, name: &str, word: &str) -> Option<&'a Directive> {
        let find = |block: &Block<'a>| {
            let fits = |directive: &&&Directive| word.is_empty() || directive.argument(0) == word;
            let found: Vec<_> = block.named(name).iter().filter(fits).map(|directive| directive.mark()).collect();
            found.last().copied()
        };
        let default = || find(self.defaults.get(proxy.defaults?)?);
        find(&proxy.block).or_else(default)
    }

    /// A time of the section or of its defaults.
    fn time(&self, proxy: &Proxy<'a>, word: &str) -> Option<(String, Origin)> {
        let found = self.last(proxy, "timeout", word)?;
        Some((words::time(found.argument(1), 1)?, found.origin()))
    }

    /// The mode of a section.
    fn mode(&self, proxy: &Proxy<'a>) -> &'a str {
        self.last(proxy, "mode", "").map_or("tcp", |mode| mode.argument(0))
    }
}

/// Translates every section.
pub(super) fn translate(directives: &[Directive], draft: &mut Draft) -> Result<(), TooLarge> {
    let sections = Sections::new(directives);
    global(&sections, draft);
    let (mut backends, mut is_tcp) = (HashMap::new(), Vec::new());
    for proxy in &sections.proxies {
        let has_servers = proxy.block.has("server") || proxy.block.has("server-template");
        if proxy.block.has("stick-table") && !has_servers && proxy.directive.name == "backend" {
            // A table that frontends count in.
            continue;
        }
        if sections.mode(proxy) != "http" {
            let text = format!(
                "{}: `mode tcp`, which HAProxy has where nothing is written; attache speaks HTTP",
                proxy.directive.shown()
            );
            draft.note(Note::dropped(proxy.directive.place.line, text));
            proxy.directive.mark_all();
            is_tcp.push(proxy.directive.place.line);
        } else if proxy.directive.name != "frontend" {
            let backend = backend::translate(proxy, &sections, draft)?;
            backends.insert(proxy.name, backend);
        }
    }
    let mut world = World { draft, sections: &sections, backends, redirects: Vec::new() };
    for proxy in &sections.proxies {
        if proxy.directive.name != "backend" && !is_tcp.contains(&proxy.directive.place.line) {
            frontend::translate(proxy, &mut world)?;
        }
    }
    bind::finish(&mut world);
    Ok(())
}

fn global(sections: &Sections<'_>, draft: &mut Draft) {
    let logs = sections.global.iter().chain(&sections.defaults).flat_map(|block| block.named("log"));
    for log in logs {
        if log.argument(0) == "stdout" {
            draft.settings.put(&["accessLog", "output"], Value::plain("stdout"), &log.mark().origin());
        }
    }
    let options = sections.defaults.iter().flat_map(|block| block.named("option"));
    for option in options.filter(|option| option.argument(0) == "httplog") {
        draft.settings.put(&["accessLog", "format"], Value::plain("text"), &option.mark().origin());
    }
    for block in &sections.global {
        if let Some(stop) = block.last("hard-stop-after")
            && let Some(time) = words::time(stop.argument(0), 1)
        {
            draft.settings.put(&["shutdown", "drainTimeout"], Value::plain(&time), &stop.origin());
            draft.settings.put(&["shutdown", "streamGrace"], Value::plain(time), &stop.origin());
        }
    }
}
