//! Sites: listeners, hosts, and a route for each handler.

use super::precedence::Precedence;
use super::unit::{Unit, translate as unit};
use super::{Site, World, guard};
use crate::migrate::client_auth::Demand;
use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;

pub(super) fn translate(directive: &Directive, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let mut children: Vec<&Directive> = Vec::new();
    expand(directive.children(), world, 0, &mut children);
    let addresses = std::iter::once(&directive.name).chain(&directive.arguments);
    let addresses: Vec<&str> = addresses.flat_map(|words| words.split(',')).filter(|word| !word.is_empty()).collect();
    let tls = children.iter().rev().find(|child| child.name == "tls").copied();
    let (mut hosts, mut listeners) = (Vec::new(), Vec::new());
    for address in addresses {
        let Some((host, port, is_tls)) = parse(address) else {
            let text = format!("{address}: a site is a host, a port, or both");
            world.draft.note(Note::dropped(directive.place.line, text));
            continue;
        };
        if let Some(host) = host {
            hosts.push(host);
        }
        let name = listener(port, is_tls, directive, world)?;
        if is_tls {
            certificates(port, tls, &hosts, directive, world);
            if port == 443 {
                redirecting(directive, world)?;
            }
        }
        listeners.push(name);
    }
    hosts.sort();
    hosts.dedup();
    listeners.dedup();
    if let Some(tls) = tls {
        tls.mark_all();
    }
    let matchers = children.iter().filter_map(|child| Some((child.name.strip_prefix('@')?, *child))).collect();
    let origin = Origin::new(directive.place.line, directive.shown());
    let site = Site { hosts, listeners, matchers, origin };
    handlers(&children, &site, world)
}

/// Puts in what `import` names.
fn expand<'a>(children: &'a [Directive], world: &World<'a, '_>, depth: usize, into: &mut Vec<&'a Directive>) {
    for child in children {
        if child.name == "import"
            && depth < 8
            && into.len() < 10_000
            && let Some(snippet) = world.snippets.get(child.argument(0))
        {
            child.mark();
            expand(snippet.children(), world, depth + 1, into);
            continue;
        }
        into.push(child);
    }
}

/// Host, port, and whether the site is served over TLS.
fn parse(address: &str) -> Option<(Option<String>, u16, bool)> {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, address),
    };
    let rest = rest.split('/').next().unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
        None => (rest, None),
    };
    let is_tls = match (scheme, port) {
        (Some("http"), _) | (None, Some(80)) => false,
        (Some("https"), _) | (None, None) => true,
        (Some(_), _) => return None,
        // A port alone has no name to order a certificate for.
        (None, Some(port)) => !host.is_empty() || port == 443,
    };
    let host = (!host.is_empty() && host != "*" && host != "0.0.0.0").then(|| host.to_owned());
    Some((host, port.unwrap_or(if is_tls { 443 } else { 80 }), is_tls))
}

fn listener(port: u16, is_tls: bool, directive: &Directive, world: &mut World<'_, '_>) -> Result<String, TooLarge> {
    if let Some(part) = world.listeners.get(&port).and_then(|at| world.draft.listeners.get(*at)) {
        return Ok(part.name.clone());
    }
    let wanted = match (is_tls, port) {
        (true, 443) => "https".to_owned(),
        (false, 80) => "http".to_owned(),
        (true, port) => format!("https-{port}"),
        (false, port) => format!("http-{port}"),
    };
    let name = world.draft.name(Kind::Listener, &wanted);
    let mut part = Part::new(name.clone(), Origin::new(directive.place.line, directive.shown()));
    part.put(&["address"], Value::text(format!("0.0.0.0:{port}")), &Origin::default());
    world.listeners.insert(port, world.draft.listeners.len());
    world.draft.add(Kind::Listener, part)?;
    Ok(name)
}

/// The redirect that Caddy makes by itself.
fn redirecting(directive: &Directive, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    if world.listeners.contains_key(&80) {
        return Ok(());
    }
    let name = listener(80, false, directive, world)?;
    let origin = Origin::new(0, "Caddy redirects to HTTPS by itself");
    if let Some(part) = world.draft.listeners.iter_mut().find(|part| part.name == name) {
        part.put(&["httpsRedirect"], Value::Map(Section::of("status", Value::plain(308))), &origin);
    }
    Ok(())
}

fn certificates(
    port: u16,
    tls: Option<&Directive>,
    hosts: &[String],
    directive: &Directive,
    world: &mut World<'_, '_>,
) {
    let email = world.email.clone();
    let Some(at) = world.listeners.get(&port).copied() else { return };
    let Some(part) = world.draft.listeners.get_mut(at) else { return };
    let line = tls.map_or(directive.place.line, |tls| tls.place.line);
    match tls.map(|tls| tls.arguments.as_slice()) {
        Some([certificate, key]) => {
            let pair = Section::of("certFile", Value::text(certificate)).with("keyFile", Value::text(key));
            let pair = Value::Map(pair);
            let is_there = matches!(part.settings.get(&["tls", "certificates"]), Some(Value::List(items))
                if items.iter().any(|item| item.value == pair));
            if !is_there {
                part.settings.push(&["tls", "certificates"], pair, &Origin::new(line, "tls"));
            }
        }
        Some([one]) if one == "internal" => {
            let text = "tls internal: attache has no authority of its own; make a certificate with `attache certs dev` and name it";
            part.notes.push(Note::danger(line, text));
            files(part);
        }
        _ if hosts.iter().any(|host| host == "localhost" || host.ends_with(".localhost")) || hosts.is_empty() => {
            let text = "a site without a public name: Caddy's own authority vouches for it; make a certificate with `attache certs \
                        dev` and name it";
            part.notes.push(Note::danger(line, text));
            files(part);
        }
        given => {
            let own = given.and_then(|given| given.first()).filter(|word| word.contains('@')).cloned();
            if let Some(email) = own.or(email) {
                part.put(&["tls", "acme", "email"], Value::text(email), &Origin::new(line, "email"));
            }
            let origin = Origin::new(line, "Caddy orders certificates by itself");
            part.put(&["tls", "acme", "storage"], Value::text("/var/lib/attache/acme"), &origin);
        }
    }
    let auth = tls.and_then(|tls| Block::new(tls.children()).last("client_auth"));
    world.demands.entry(at).or_default().add(auth.map(client_auth), &directive.origin());
}

/// Files to be put there.
fn files(part: &mut Part) {
    let pair =
        Section::of("certFile", Value::text("certs/gateway.crt")).with("keyFile", Value::text("certs/gateway.key"));
    if !part.has(&["tls", "certificates"]) {
        part.settings.push(&["tls", "certificates"], Value::Map(pair), &Origin::new(0, "choose"));
    }
}

fn client_auth(auth: &Directive) -> Demand {
    let block = Block::new(auth.children());
    let mode = block.last("mode").map(|mode| mode.argument(0));
    let mut demand = Demand::new(!matches!(mode, Some("request" | "verify_if_given")), auth.origin());
    let file = block.last("trusted_ca_cert_file").or_else(|| block.last("trust_pool"));
    let name = file.and_then(|file| file.arguments.last()).map_or("certs/clients-ca.crt", String::as_str);
    demand.file("caFile", name, auth.origin());
    demand
}

/// A route for each handler, and for each directive that answers.
fn handlers(children: &[&Directive], site: &Site<'_>, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let shared: Vec<&Directive> = children
        .iter()
        .filter(|one| !ANSWERS.contains(&one.name.as_str()) && !BLOCKS.contains(&one.name.as_str()))
        .copied()
        .collect();
    guard::routes(children, &shared, site, world)?;
    let (precedence, notes) = Precedence::new(children, site);
    world.draft.notes.extend(notes);
    let mut has_all = false;
    for one in children {
        let is_block = BLOCKS.contains(&one.name.as_str()) && one.block.is_some();
        if !is_block && !ANSWERS.contains(&one.name.as_str()) || one.name == "root" {
            continue;
        }
        let own: Vec<&Directive> = if is_block { one.children().iter().collect() } else { vec![*one] };
        let made = Unit { handler: one.mark(), is_block, own, shared: &shared };
        has_all |= unit(&made, site, &precedence, world)?;
    }
    if !has_all
        && !children.iter().any(|one| ANSWERS.contains(&one.name.as_str()) || BLOCKS.contains(&one.name.as_str()))
    {
        let text = format!("{}: the site answers nothing that is known here", site.origin.text);
        world.draft.note(Note::dropped(site.origin.line, text));
    }
    Ok(())
}

/// Directives that answer.
const ANSWERS: [&str; 8] =
    ["reverse_proxy", "respond", "redir", "abort", "error", "file_server", "php_fastcgi", "root"];
/// Directives that hold others.
const BLOCKS: [&str; 4] = ["handle", "handle_path", "route", "handle_errors"];
