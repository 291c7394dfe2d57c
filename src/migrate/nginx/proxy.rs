//! `proxy_pass` and what goes with it: where requests go, how often they are tried, how long answers may take.

use super::site::{Match, Server};
use super::upstream::Cluster;
use super::{Levels, World, headers};
use crate::migrate::directive::Directive;
use crate::migrate::model::{Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

/// Returns false where requests are not passed on to HTTP.
pub(super) fn translate(
    levels: &Levels<'_, '_>,
    matched: Match<'_>,
    server: &Server,
    part: &mut Part,
    world: &mut World<'_>,
) -> Result<bool, TooLarge> {
    let pass = levels.block.last("proxy_pass").or_else(|| levels.block.last("grpc_pass"));
    let Some(pass) = pass else { return Ok(false) };
    let target = pass.argument(0);
    let (scheme, authority, path) = match words::url(target) {
        Some(parts) => parts,
        None if pass.name == "grpc_pass" => ("grpc", target, ""),
        None => ("", target, ""),
    };
    let is_known = matches!(scheme, "http" | "https" | "grpc" | "grpcs");
    if !is_known || authority.contains('$') || authority.starts_with("unix:") || path.contains('$') {
        part.unserved(&pass.origin(), &format!("{}: a cluster has addresses that are known", pass.shown()));
        return Ok(true);
    }
    let cluster = world.upstreams.cluster(scheme, authority, &pass.origin(), world.draft)?;
    part.put(&["cluster"], Value::plain(&cluster.name), &pass.origin());
    rewrite(levels, matched, path, pass, part);
    headers::request(levels, authority, part);
    times(levels, server, part, world);
    if let Some(found) = world.draft.clusters.get_mut(cluster.index) {
        of_cluster(levels, scheme, pass, found);
    }
    retries(levels, &cluster, part);
    mirror(levels, part);
    Ok(true)
}

/// The path towards the upstream.
fn rewrite(levels: &Levels<'_, '_>, matched: Match<'_>, path: &str, pass: &Directive, part: &mut Part) {
    if let Some(rewrite) = levels.block.named("rewrite").first() {
        let flag = rewrite.argument(2);
        if matches!(flag, "" | "break" | "last") {
            rewrite.mark();
            let pattern = whole(rewrite.argument(0));
            let value = Section::of("pattern", Value::text(pattern))
                .with("replacement", Value::text(words::replacement(rewrite.argument(1))));
            part.put(&["rewrite", "regex"], Value::Map(value), &rewrite.origin());
            return;
        }
    }
    if path.is_empty() {
        return;
    }
    match matched {
        Match::Exact(_) => part.put(&["rewrite", "path"], Value::text(path), &pass.origin()),
        Match::Prefix(prefix) if prefix != path => {
            part.put(&["rewrite", "prefix"], Value::text(path), &pass.origin());
        }
        _ => {}
    }
}

/// A pattern of nginx, which replaces the whole path where it is found anywhere in it.
fn whole(pattern: &str) -> String {
    let start = if pattern.starts_with('^') { "" } else { "^.*?" };
    let end = if pattern.ends_with('$') { "" } else { ".*$" };
    format!("{start}{pattern}{end}")
}

fn times(levels: &Levels<'_, '_>, server: &Server, part: &mut Part, world: &mut World<'_>) {
    let read = levels.last("proxy_read_timeout").or_else(|| levels.last("grpc_read_timeout"));
    if let Some((directive, time)) = read.and_then(|read| Some((read, words::time(read.argument(0), 1_000)?))) {
        let origin = |what: &str| Origin::new(directive.place.line, format!("{}, {what}", directive.shown()));
        part.put(&["responseHeadTimeout"], Value::plain(&time), &origin("before an answer begins .."));
        part.put(&["streaming", "idleTimeout"], Value::plain(&time), &origin(".. and between two events of a stream"));
    }
    let send = levels.last("proxy_send_timeout").or_else(|| levels.last("grpc_send_timeout"));
    if let Some((directive, time)) = send.and_then(|send| Some((send, words::time(send.argument(0), 1_000)?))) {
        world.listeners.limit(&server.entrances, "bodyIdleTimeout", &time, directive);
    }
    let buffering = levels.last("proxy_buffering");
    if buffering.is_none_or(|buffering| buffering.argument(0) != "off") && part.has(&["cluster"]) {
        let line = buffering.map_or(part.origin.line, |buffering| buffering.place.line);
        let text = "nginx buffers answers here, event streams too, so clients see events late; attache buffers nothing";
        part.notes.push(Note::danger(line, text));
    }
}

fn of_cluster(levels: &Levels<'_, '_>, scheme: &str, pass: &Directive, part: &mut Part) {
    if let Some(connect) = levels.last("proxy_connect_timeout").or_else(|| levels.last("grpc_connect_timeout"))
        && let Some(time) = words::time(connect.argument(0), 1_000)
        && !part.settings.put_new(&["connectTimeout"], Value::plain(time), &connect.origin())
    {
        let text = format!("{}: it is the cluster's here, and is set already", connect.shown());
        part.notes.push(Note::changed(connect.place.line, text));
    }
    if scheme.starts_with("grpc") {
        let protocol = if scheme == "grpcs" { "h2" } else { "h2c" };
        part.put(&["protocol"], Value::plain(protocol), &pass.origin());
    }
    if matches!(scheme, "https" | "grpcs") {
        tls(levels, pass, part);
    }
}

fn tls(levels: &Levels<'_, '_>, pass: &Directive, part: &mut Part) {
    let mut tls = Section::default();
    for (name, key) in [
        ("proxy_ssl_trusted_certificate", "caFile"),
        ("proxy_ssl_name", "serverName"),
        ("proxy_ssl_certificate", "certFile"),
        ("proxy_ssl_certificate_key", "keyFile"),
    ] {
        if let Some(directive) = levels.last(name).filter(|directive| !directive.argument(0).contains('$')) {
            tls.put(&[key], Value::text(directive.argument(0)), &directive.origin());
        }
    }
    let verify = levels.last("proxy_ssl_verify");
    let _server_name = levels.last("proxy_ssl_server_name");
    if verify.is_none_or(|verify| verify.argument(0) != "on") {
        let line = verify.map_or(pass.place.line, |verify| verify.place.line);
        let text = "proxy_ssl_verify off, which nginx does unless told otherwise: certificates are verified here; name the \
                    authority in `tls.caFile` where it is none of the system's";
        part.notes.push(Note::danger(line, text));
    }
    part.settings.put_new(&["tls"], Value::Map(tls), &pass.origin());
}

fn retries(levels: &Levels<'_, '_>, cluster: &Cluster, part: &mut Part) {
    let next = levels.last("proxy_next_upstream").or_else(|| levels.last("grpc_next_upstream"));
    let tries = levels.last("proxy_next_upstream_tries");
    if let Some(off) = next.filter(|next| next.argument(0) == "off") {
        return part.put(&["retries"], Value::plain("off"), &off.origin());
    }
    if next.is_none() && cluster.servers < 2 {
        return;
    }
    let (origin, words) = match next {
        Some(next) => (next.origin(), next.arguments.clone()),
        None => (
            Origin::new(0, "what nginx does where proxy_next_upstream is not written"),
            vec!["error".to_owned(), "timeout".to_owned()],
        ),
    };
    let asked = tries.and_then(|tries| tries.argument(0).parse::<usize>().ok()).filter(|tries| *tries > 0);
    let attempts = asked.unwrap_or(cluster.servers).saturating_sub(1).clamp(1, 20);
    let text = match tries {
        Some(tries) => tries.origin(),
        None => Origin::new(0, "nginx asks every server once"),
    };
    part.put(&["retries", "attempts"], Value::plain(attempts), &text);
    let (risky, words): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| word == "non_idempotent");
    let list = words.join(" ");
    part.put(&["retries", "retryOn"], Value::text(&list), &origin);
    if !risky.is_empty() {
        let text = "proxy_next_upstream .. non_idempotent: a task may be begun twice when a POST is sent again. It is sent \
                    again here only while no agent has seen it; `retries.nonIdempotent` allows more";
        part.notes.push(Note::danger(origin.line, text));
    }
}

fn mirror(levels: &Levels<'_, '_>, part: &mut Part) {
    if let Some(mirror) = levels.last("mirror").filter(|mirror| mirror.argument(0) != "off") {
        let text =
            format!("{}: write `mirror: {{ cluster: .. }}` with the cluster that gets the copies", mirror.shown());
        part.notes.push(Note::dropped(mirror.place.line, text));
    }
}
