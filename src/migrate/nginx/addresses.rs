//! Which server of an address gets what no other server names, and what all servers of an address say.

use std::collections::HashMap;

use super::listen::{address, key};
use super::redirect;
use crate::config::foreign::Place;
use crate::migrate::directive::{Block, Directive};

/// The names of a server.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Hosts that a route can ask for.
    pub(super) hosts: Vec<String>,
    /// Names that it cannot ask for, with their lines.
    pub(super) odd: Vec<(usize, String)>,
}

/// The addresses of a file and the servers there.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    by_key: HashMap<String, Address>,
    /// Servers that serve hosts which others may name too: all hosts, or all below a name.
    wide: Vec<Place>,
    /// Whether a listener with TLS will be there to redirect to.
    has_tls: bool,
}

#[derive(Debug, Default)]
struct Address {
    /// The server that gets what no other one names, and whether it says so.
    default: Place,
    is_said: bool,
    /// Servers that requests can reach.
    servers: usize,
    /// Those that send all requests without TLS to the same place with it.
    redirecting: usize,
}

impl Names {
    pub(super) fn of(block: &Block<'_>) -> Self {
        let mut names = Self::default();
        for directive in block.named("server_name") {
            for name in &directive.arguments {
                match name.as_str() {
                    // What no request asks for.
                    "_" | "" => {}
                    name if name.starts_with('.') => {
                        let parent = name.trim_start_matches('.');
                        names.hosts.extend([parent.to_owned(), format!("*.{parent}")]);
                    }
                    name if name.starts_with('~') || name.ends_with(".*") || name.contains('$') => {
                        names.odd.push((directive.place.line, name.to_owned()));
                    }
                    name => names.hosts.push(name.to_owned()),
                }
            }
        }
        names.hosts.sort();
        names.hosts.dedup();
        names
    }

    /// Whether only requests come to it that no other server names.
    pub(super) fn is_nobody(&self) -> bool {
        self.hosts.is_empty() && self.odd.is_empty()
    }
}

impl Addresses {
    pub(super) fn of(servers: &[&Directive]) -> Self {
        let mut found = Self::default();
        for server in servers {
            let block = Block::new(server.children());
            found.has_tls |= block.has("ssl") || block.named("listen").iter().any(|listen| listen.has_argument("ssl"));
            for (key, is_said) in keys(&block) {
                let address =
                    found.by_key.entry(key).or_insert_with(|| Address { default: server.place, ..Address::default() });
                if is_said && !address.is_said {
                    (address.default, address.is_said) = (server.place, true);
                }
            }
        }
        for server in servers {
            let block = Block::new(server.children());
            let names = Names::of(&block);
            let is_redirecting =
                redirect::scheme_condition(&block).is_some_and(|(_, target)| redirect::keeps_all(target));
            let mut is_reached = false;
            for (key, _) in keys(&block) {
                let Some(address) = found.by_key.get_mut(&key) else { continue };
                if !names.is_nobody() || address.default == server.place {
                    is_reached = true;
                    address.servers += 1;
                    address.redirecting += usize::from(is_redirecting);
                }
            }
            if is_reached && (names.is_nobody() || names.hosts.iter().any(|host| host.starts_with('*'))) {
                found.wide.push(server.place);
            }
        }
        found
    }

    /// Whether a server gets what no other server of an address names.
    pub(super) fn is_default(&self, key: &str, server: Place) -> bool {
        self.by_key.get(key).is_some_and(|address| address.default == server)
    }

    /// The line of the server that does.
    pub(super) fn default_line(&self, key: &str) -> usize {
        self.by_key.get(key).map_or(0, |address| address.default.line)
    }

    /// Whether all servers of an address send requests without TLS to the same place with it, and that place is there.
    pub(super) fn is_redirecting(&self, key: &str) -> bool {
        self.has_tls && self.by_key.get(key).is_some_and(|address| address.redirecting == address.servers)
    }

    /// Whether a request for a host of this server could fall to another server where this one has no route.
    pub(super) fn has_wider(&self, server: Place) -> bool {
        self.wide.iter().any(|other| *other != server)
    }
}

/// The addresses of a server, each once, and whether it says that it is their default.
fn keys(block: &Block<'_>) -> Vec<(String, bool)> {
    let listens = block.named("listen");
    if listens.is_empty() {
        return vec![(key("0.0.0.0:80"), false)];
    }
    let mut found: HashMap<String, bool> = HashMap::new();
    for listen in listens {
        if let Some(address) = address(listen) {
            *found.entry(key(&address)).or_default() |= is_default(listen);
        }
    }
    found.into_iter().collect()
}

pub(super) fn is_default(listen: &Directive) -> bool {
    listen.has_argument("default_server") || listen.has_argument("default")
}
