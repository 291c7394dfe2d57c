//! Caddy: a Caddyfile with sites, handlers and `reverse_proxy`.

mod fields;
mod guard;
mod matcher;
mod precedence;
mod proxy;
mod site;
mod syntax;
mod unit;
mod unknown;

use std::collections::HashMap;

use super::client_auth::Demands;
use super::directive::{Block, Directive, Wrong};
use super::model::{Draft, Origin, TooLarge, Value};
use super::note::Note;
use super::words;
use matcher::Matchers;
pub(super) use unknown::why_not;

pub(super) fn read(text: &str) -> Result<Vec<Directive>, Wrong> {
    syntax::read(text)
}

/// What is known of the whole file.
struct World<'a, 'd> {
    draft: &'d mut Draft,
    /// Blocks that `import` puts in.
    snippets: HashMap<&'a str, &'a Directive>,
    /// The address to write to, for certificates.
    email: Option<String>,
    /// Places of listeners in the draft, by port.
    listeners: HashMap<u16, usize>,
    /// What the sites of each listener ask of their clients, by the listener's place.
    demands: HashMap<usize, Demands>,
    clusters: HashMap<String, String>,
}

/// What all routes of a site share.
struct Site<'a> {
    hosts: Vec<String>,
    listeners: Vec<String>,
    matchers: Matchers<'a>,
    origin: Origin,
}

pub(super) fn translate(directives: &[Directive], draft: &mut Draft) -> Result<(), TooLarge> {
    let mut snippets = HashMap::new();
    for snippet in directives.iter().filter(|one| one.name.starts_with('(')) {
        snippets.insert(snippet.name.trim_matches(['(', ')']), snippet.mark());
    }
    let mut world = World {
        draft,
        snippets,
        email: None,
        listeners: HashMap::new(),
        demands: HashMap::new(),
        clusters: HashMap::new(),
    };
    for one in directives {
        match &one.block {
            Some(block) if one.name.is_empty() => options(one.mark(), &Block::new(block), &mut world),
            Some(_) if !one.name.starts_with('(') => site::translate(one.mark(), &mut world)?,
            _ => {}
        }
    }
    for (at, demands) in &world.demands {
        if let Some(part) = world.draft.listeners.get_mut(*at) {
            demands.put(part);
        }
    }
    Ok(())
}

/// Global options.
fn options(directive: &Directive, block: &Block<'_>, world: &mut World<'_, '_>) {
    world.email = block.last("email").map(|email| email.argument(0).to_owned());
    for (name, key) in [("grace_period", "drainTimeout"), ("shutdown_delay", "drainDelay")] {
        if let Some(found) = block.last(name)
            && let Some(time) = words::time(found.argument(0), 1_000)
        {
            world.draft.settings.put(&["shutdown", key], Value::plain(time), &found.origin());
        }
    }
    for servers in block.named("servers") {
        let inner = Block::new(servers.mark().children());
        if let Some(trusted) = inner.last("trusted_proxies") {
            for network in trusted.arguments.iter().skip(1) {
                let network = if network == "private_ranges" { PRIVATE.to_vec() } else { vec![network.as_str()] };
                for one in network {
                    world.draft.settings.push(&["clientIp", "trustedProxies"], Value::text(one), &trusted.origin());
                }
            }
        }
    }
    if block.last("debug").is_some() {
        let text = "debug: `logging.level: debug` for a while";
        world.draft.note(Note::changed(directive.place.line, text));
    }
}

const PRIVATE: [&str; 6] = ["192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "127.0.0.0/8", "fd00::/8", "::1"];

#[cfg(test)]
mod tests {
    use crate::migrate::{Kind, NoteKind, migrate};

    /// Which routes have the rule, and the lines of dangers.
    fn guarded(site: &str) -> (Vec<String>, Vec<usize>, String) {
        let found = migrate(Kind::Caddy, &format!("http://a.com:8080 {{\n{site}\n}}\n"), "f").unwrap();
        let (mut name, mut guarded) = (String::new(), Vec::new());
        let routes = found.yaml.lines().skip_while(|line| *line != "routes:").take_while(|line| *line != "clusters:");
        for line in routes {
            if line.starts_with("  ") && !line.starts_with("   ") && !line.contains("  #") {
                name = line.trim().split(':').next().unwrap().to_owned();
            } else if line.trim() == "action: deny" {
                guarded.push(name.clone());
            }
        }
        let dangers = found.notes.iter().filter(|note| note.kind == NoteKind::Unsafe).map(|note| note.line).collect();
        (guarded, dangers, found.yaml)
    }

    #[test]
    fn what_caddy_refuses_first_a_more_specific_route_refuses_too() {
        for (site, expected, why) in [
            (
                "reverse_proxy /admin/api/* 10.0.0.1:80\nrespond /admin/* 403",
                &["admin-api"][..],
                "respond comes before",
            ),
            ("abort /x*\nreverse_proxy 10.0.0.1:80", &["a-com"], "a path that ends anywhere"),
            ("error /x/* 404\nreverse_proxy /x/y 10.0.0.1:80", &["x-y"], "an error"),
            ("respond /admin/* 200\nreverse_proxy /admin/api/* 10.0.0.1:80", &[], "it refuses nobody"),
            (
                "handle /admin/api/* {\nreverse_proxy 10.0.0.1:80\n}\nrespond /admin/* 403",
                &[],
                "handle comes before respond",
            ),
            (
                "handle /a/* {\nrespond 403\n}\nhandle /a/b/* {\nreverse_proxy 10.0.0.1:80\n}",
                &[],
                "the longer path comes first",
            ),
            ("handle /a/* {\nrespond 403\n}\nreverse_proxy /a/b/* 10.0.0.1:80", &["a-b"], "a handler that refuses"),
            ("reverse_proxy 10.0.0.1:80\nrespond /admin/* 403", &[], "the refusal is more specific"),
        ] {
            let (guarded, dangers, yaml) = guarded(site);
            assert_eq!(guarded, expected, "{why}: {site}: {yaml}");
            assert_eq!(dangers, [0; 0], "{why}: {site}");
        }
        let (_, dangers, yaml) = guarded("@bad header X-Bad 1\nrespond @bad 403\nreverse_proxy /api/* 10.0.0.1:80");
        assert_eq!(dangers, [4], "{yaml}");
    }

    #[test]
    fn matchers_that_all_must_hold_are_not_one_of_which_any_may() {
        for matcher in [
            "path /api/*\npath_regexp json$",
            "path_regexp json$\npath /api/*",
            "path_regexp a\npath_regexp b",
            "header X a\nheader X b",
            "query a=1\nquery a=2",
            "remote_ip 10.0.0.0/8\nclient_ip 10.1.0.0/16",
        ] {
            let (_, dangers, yaml) = guarded(&format!("@m {{\n{matcher}\n}}\nreverse_proxy @m 10.0.0.1:80"));
            assert_eq!(dangers, [6], "{matcher}: {yaml}");
            assert!(!yaml.contains("cluster: "), "{matcher}: {yaml}");
        }
    }
}
