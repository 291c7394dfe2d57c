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
use super::refusal::Refusals;
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
    /// What it refuses before it asks for a backend.
    refusals: Refusals,
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

#[cfg(test)]
mod tests {
    use crate::migrate::{Kind, Migrated, NoteKind, migrate};

    fn migrated(rules: &str) -> Migrated {
        let head = "defaults\n mode http\nfrontend f\n bind :80\n";
        let tail = "backend one\n server a 10.0.0.1:80\nbackend two\n server b 10.0.0.2:80\n";
        migrate(Kind::Haproxy, &format!("{head}{rules}\n default_backend one\n{tail}"), "f").unwrap()
    }

    /// The lines of a route of this name.
    fn route<'y>(yaml: &'y str, name: &str) -> Vec<&'y str> {
        let mut lines = yaml.lines().skip_while(|line| *line != "routes:");
        let begin = lines.by_ref().find(|line| line.starts_with(&format!("  {name}:")));
        assert!(begin.is_some(), "there is no route {name}: {yaml}");
        lines.take_while(|line| line.starts_with("   ")).map(str::trim).collect()
    }

    fn has(lines: &[&str], wanted: &str) -> bool {
        lines.iter().any(|line| line.starts_with(wanted))
    }

    fn dangers(migrated: &Migrated) -> Vec<usize> {
        let notes = migrated.notes.iter().filter(|note| note.kind == NoteKind::Unsafe);
        notes.map(|note| note.line).collect()
    }

    #[test]
    fn a_refusal_holds_for_routes_that_are_more_specific() {
        let found = migrated(
            " http-request deny if { path_beg /admin } METH_POST\n use_backend two if { hdr(host) -i app.example.com }\n \
             use_backend two if { path_beg /admin/api }",
        );
        for name in ["one", "two", "two-2"] {
            let lines = route(&found.yaml, name);
            for wanted in ["action: deny", "- prefix: \"/admin\"", "- regex: \"/admin.*\"", "- \"POST\""] {
                assert!(has(&lines, wanted), "{name}: {wanted}: {lines:#?}");
            }
        }
        assert_eq!(dangers(&found), [0; 0]);
        let all = migrated(" http-request deny");
        assert!(
            has(&route(&all.yaml, "one"), "action: deny") && !has(&route(&all.yaml, "one"), "paths:"),
            "{}",
            all.yaml
        );
    }

    #[test]
    fn what_comes_before_a_refusal_is_not_refused() {
        let found = migrated(
            " http-request return status 200 if { path /admin/ping }\n http-request deny if { path_beg /admin/ }\n \
             http-request return status 200 if { path /ping }",
        );
        assert!(!has(&route(&found.yaml, "f-return"), "authorization:"), "{}", found.yaml);
        assert!(has(&route(&found.yaml, "f-return-2"), "authorization:"), "{}", found.yaml);
    }

    #[test]
    fn a_refusal_with_a_host_or_a_field_is_a_route_that_later_ones_heed() {
        let found = migrated(
            " http-request deny if { hdr_end(host) -i .example.com } { path_beg /x/ }\n http-request deny if { hdr(x-bad) 1 }\n \
             use_backend two if { hdr(host) a.example.com }\n use_backend two if { path_beg /y/ }",
        );
        assert!(has(&route(&found.yaml, "two"), "- prefix: \"/x/\""), "a host counts more: {}", found.yaml);
        assert!(!has(&route(&found.yaml, "one"), "authorization:"), "{}", found.yaml);
        assert_eq!(dangers(&found), [7, 8], "the field cannot be asked for by a rule: {:#?}", found.notes);
    }

    #[test]
    fn a_refusal_with_another_status_keeps_it_and_protects_too() {
        let found =
            migrated(" http-request return status 404 if { path_beg /x/ }\n use_backend two if { path_beg /x/y }");
        assert!(has(&route(&found.yaml, "f-return"), "status: 404"), "{}", found.yaml);
        assert!(!has(&route(&found.yaml, "f-return"), "authorization:"), "{}", found.yaml);
        assert!(has(&route(&found.yaml, "two"), "- prefix: \"/x/\""), "{}", found.yaml);
    }

    #[test]
    fn a_limit_of_two_conditions_is_not_one_of_either() {
        let found = migrated(
            " stick-table type ip size 1k store http_req_rate(10s)\n http-request track-sc0 src\n \
             http-request deny if { sc_http_req_rate(0) gt 20 } !{ src 10.0.0.0/8 }",
        );
        assert!(!found.yaml.contains("rateLimit:") && !found.yaml.contains("ipAccess"), "{}", found.yaml);
        assert_eq!(dangers(&found), [7], "{:#?}", found.notes);
    }

    #[test]
    fn a_listener_of_one_interface_that_takes_connections_from_all_is_a_danger() {
        let text = "defaults\n mode http\nlisten l\n bind :80 interface lo\n server a 10.0.0.1:80\n";
        let found = migrate(Kind::Haproxy, text, "f").unwrap();
        assert_eq!(dangers(&found), [4], "{:#?}", found.notes);
        assert!(found.yaml.contains("0.0.0.0:80"), "{}", found.yaml);
    }

    #[test]
    fn values_that_many_rules_ask_for_are_bounded() {
        let paths: String = (0..900).map(|at| format!(" /{at}")).collect();
        for rule in ["http-request deny if a", "use_backend two if a"] {
            let text = format!(
                "defaults\n mode http\nfrontend f\n bind :80\n acl a path{paths}\n{}",
                format!(" {rule}\n").repeat(300)
            );
            let text = format!("{text}backend two\n server b 10.0.0.2:80\n");
            let report = migrate(Kind::Haproxy, &text, "f").unwrap_err().human(false);
            assert!(report.contains("more than 100000 settings"), "{rule}: {report}");
        }
        let networks: String = (0..900).map(|at| format!(" 10.0.{}.{}", at / 256, at % 256)).collect();
        let text = format!(
            "defaults\n mode http\nfrontend f\n bind :80\n acl a src{networks}\n{}",
            " http-request deny if a\n".repeat(300)
        );
        assert!(migrate(Kind::Haproxy, &text, "f").unwrap_err().human(false).contains("more than 100000 settings"));
    }
}
