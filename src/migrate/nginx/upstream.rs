//! `upstream` blocks, and addresses that `proxy_pass` names by itself: clusters.

use std::collections::HashMap;

use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Draft, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

/// The clusters that there are, by what `proxy_pass` calls them.
pub(super) struct Upstreams {
    clusters: HashMap<String, Cluster>,
}

/// Where requests can go.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    /// Its place among the draft's clusters.
    pub(super) index: usize,
    pub(super) name: String,
    /// How many servers it has.
    pub(super) servers: usize,
}

impl Upstreams {
    pub(super) fn new(blocks: &[&Block<'_>], draft: &mut Draft) -> Result<Self, TooLarge> {
        let mut clusters = HashMap::new();
        for upstream in blocks.iter().flat_map(|block| block.named("upstream")) {
            upstream.mark();
            let name = draft.name(Kind::Cluster, upstream.argument(0));
            let (part, servers) = translate(upstream, name.clone());
            let index = draft.clusters.len();
            draft.add(Kind::Cluster, part)?;
            clusters.insert(upstream.argument(0).to_owned(), Cluster { index, name, servers });
        }
        Ok(Self { clusters })
    }

    /// The cluster of an authority in `proxy_pass`, which is made where no block has its name.
    pub(super) fn cluster(
        &mut self,
        scheme: &str,
        authority: &str,
        origin: &Origin,
        draft: &mut Draft,
    ) -> Result<Cluster, TooLarge> {
        let key = if scheme == "http" { authority.to_owned() } else { format!("{scheme}://{authority}") };
        // A block serves either, but one cluster speaks one of both.
        let known = self.clusters.get(&key).or_else(|| self.clusters.get(authority));
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let name = draft.name(Kind::Cluster, authority);
        let mut part = Part::new(name.clone(), origin.clone());
        let address = words::with_port(authority, if scheme.ends_with('s') { 443 } else { 80 });
        part.settings.push(&["endpoints"], Value::text(address), origin);
        part.put(&["loadBalancer"], Value::plain("round-robin"), &Origin::new(0, "as in nginx"));
        let cluster = Cluster { index: draft.clusters.len(), name, servers: 1 };
        draft.add(Kind::Cluster, part)?;
        self.clusters.insert(key, cluster.clone());
        Ok(cluster)
    }
}

fn translate(upstream: &Directive, name: String) -> (Part, usize) {
    let block = Block::new(upstream.children());
    let mut part = Part::new(name, Origin::new(upstream.place.line, format!("upstream {}", upstream.argument(0))));
    balancer(&block, &mut part);
    let servers = block.named("server");
    for server in servers {
        server.mark();
        endpoint(server, &mut part);
    }
    ejection(servers, &mut part);
    if let Some(keepalive) = block.last("keepalive") {
        part.put(&["keepalive", "maxIdle"], Value::plain(keepalive.argument(0)), &keepalive.origin());
    }
    if let Some(timeout) = block.last("keepalive_timeout")
        && let Some(time) = words::time(timeout.argument(0), 1_000)
    {
        part.put(&["keepalive", "idleTimeout"], Value::plain(time), &timeout.origin());
    }
    (part, servers.len())
}

fn balancer(block: &Block<'_>, part: &mut Part) {
    let (mut value, mut origin) = (Value::plain("round-robin"), Origin::new(0, "as in nginx without another policy"));
    for (name, policy) in [("least_conn", "least-connection"), ("random", "random"), ("least_time", "peak-ewma")] {
        if let Some(directive) = block.last(name) {
            (value, origin) = (Value::plain(policy), directive.origin());
            if name == "least_time" || directive.arguments.len() > 1 {
                let text = format!("{}: here `{policy}`, which chooses alike", directive.shown());
                part.notes.push(Note::changed(directive.place.line, text));
            }
        }
    }
    if let Some(directive) = block.last("ip_hash") {
        (value, origin) = (hash(Value::plain("clientIp")), directive.origin());
    }
    if let Some(directive) = block.last("hash") {
        match hash_key(directive.argument(0)) {
            Some(key) => (value, origin) = (hash(key), directive.origin()),
            None => {
                let text =
                    format!("{}: requests are hashed by `clientIp`, a header or a cookie here", directive.shown());
                part.notes.push(Note::dropped(directive.place.line, text));
            }
        }
    }
    part.put(&["loadBalancer"], value, &origin);
}

fn hash(key: Value) -> Value {
    Value::Map(Section::of("hash", key))
}

fn hash_key(variable: &str) -> Option<Value> {
    if matches!(variable, "$remote_addr" | "$binary_remote_addr") {
        return Some(Value::plain("clientIp"));
    }
    let header = variable.strip_prefix("$http_").map(|name| ("header", name.replace('_', "-")));
    let (kind, name) = header.or_else(|| Some(("cookie", variable.strip_prefix("$cookie_")?.to_owned())))?;
    Some(Value::Map(Section::of(kind, Value::text(name))))
}

fn endpoint(server: &Directive, part: &mut Part) {
    let address = server.argument(0);
    if address.starts_with("unix:") {
        let text = format!("{}: endpoints are addresses, no sockets of the file system", server.shown());
        part.notes.push(Note::dropped(server.place.line, text));
        return;
    }
    let address = Value::text(words::with_port(address, 80));
    let mut more = Section::of("address", address.clone());
    for argument in server.arguments.iter().skip(1) {
        let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
        match key {
            "weight" => more.put(&["weight"], Value::plain(value), &Origin::default()),
            "backup" => more.put(&["priority"], Value::plain(1), &Origin::default()),
            "down" => more.put(&["weight"], Value::plain(0), &Origin::default()),
            "max_conns" if value != "0" => {
                let path = ["circuitBreaker", "perEndpoint", "maxConnections"];
                part.settings.put_new(&path, Value::plain(value), &Origin::new(server.place.line, argument));
            }
            "slow_start" => {
                let time = words::time(value, 1_000).unwrap_or_else(|| "off".to_owned());
                part.put(&["slowStart"], Value::plain(time), &Origin::new(server.place.line, argument));
            }
            "max_fails" | "fail_timeout" | "max_conns" | "resolve" => {}
            _ => {
                let text = format!(
                    "{argument} of the server {}: attache has nothing that is known to do this",
                    server.argument(0)
                );
                part.notes.push(Note::dropped(server.place.line, text));
            }
        }
    }
    let value = if more.entries.len() == 1 { address } else { Value::Map(more) };
    part.settings.push(&["endpoints"], value, &server.origin());
}

/// `max_fails` and `fail_timeout`, which are 1 and 10s where nothing is written.
fn ejection(servers: &[&Directive], part: &mut Part) {
    let Some(first) = servers.first() else { return };
    let of = |server: &Directive| {
        let fails = server.option("max_fails").unwrap_or("1").to_owned();
        (
            fails,
            server.option("fail_timeout").and_then(|time| words::time(time, 1_000)).unwrap_or_else(|| "10s".to_owned()),
        )
    };
    let (fails, timeout) = of(first);
    if let Some(other) = servers.iter().find(|server| of(server) != (fails.clone(), timeout.clone())) {
        let text =
            "max_fails, fail_timeout: one pair holds for all endpoints of a cluster, here that of the first server";
        part.notes.push(Note::changed(other.place.line, text));
    }
    let line = first.place.line;
    let origin = |key: &str, default: &str| match first.option(key) {
        Some(value) => Origin::new(line, format!("{key}={value}")),
        None => Origin::new(0, format!("{key} of nginx where it is not written: {default}")),
    };
    if servers.len() < 2 {
        // nginx ejects no server that is alone.
        return part.put(&["outlierDetection"], Value::plain("off"), &Origin::new(0, "nginx ejects no single server"));
    }
    if fails == "0" {
        return part.put(&["outlierDetection"], Value::plain("off"), &origin("max_fails", "1"));
    }
    part.put(&["outlierDetection", "maxFails"], Value::plain(fails), &origin("max_fails", "1"));
    part.put(&["outlierDetection", "failTimeout"], Value::plain(timeout), &origin("fail_timeout", "10s"));
    let origin = Origin::new(0, "nginx ejects every server that fails; attache keeps the last one");
    part.put(&["outlierDetection", "maxEjectionPercent"], Value::plain(100), &origin);
    part.put(&["panic"], Value::plain("off"), &Origin::new(0, "nginx sends nothing to ejected servers"));
}
