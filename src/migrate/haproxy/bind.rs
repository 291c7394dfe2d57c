//! `bind` lines with what a frontend says of its connections: listeners.

use super::{Proxy, World};
use crate::migrate::directive::Directive;
use crate::migrate::model::{Item, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

/// A listener of a frontend.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    /// Its place among the draft's listeners.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) is_tls: bool,
}

pub(super) fn translate(proxy: &Proxy<'_>, world: &mut World<'_, '_>) -> Result<Vec<Entrance>, TooLarge> {
    let mut found = Vec::new();
    for bind in proxy.block.named("bind") {
        let (address, options) = bind.mark().arguments.split_first().map_or(("", &[][..]), |(a, o)| (a.as_str(), o));
        for address in address.split(',') {
            let bare = ["ipv4@", "ipv6@"].iter().find_map(|family| address.strip_prefix(family)).unwrap_or(address);
            let bare = if address.starts_with("ipv6@:") { format!("[::]{bare}") } else { bare.to_owned() };
            let Some(address) = words::bind(&bare) else {
                let text = format!("bind {address}: listeners have an IP address and one port");
                world.draft.note(Note::dropped(bind.place.line, text));
                continue;
            };
            let is_tls = options.iter().any(|option| option == "ssl");
            let port = address.rsplit_once(':').map_or("", |(_, port)| port);
            let wanted = match (is_tls, port) {
                (true, "443") => "https".to_owned(),
                (false, "80") => "http".to_owned(),
                (true, port) => format!("https-{port}"),
                (false, port) => format!("http-{port}"),
            };
            let name = world.draft.name(Kind::Listener, &wanted);
            let mut part = Part::new(name.clone(), Origin::default());
            part.put(&["address"], Value::text(address), &bind.origin());
            limits(proxy, &mut part, world);
            self::options(bind, options, is_tls, &mut part);
            found.push(Entrance { index: world.draft.listeners.len(), name, is_tls });
            world.draft.add(Kind::Listener, part)?;
        }
    }
    Ok(found)
}

/// `maxconn` and what `timeout` says of clients.
fn limits(proxy: &Proxy<'_>, part: &mut Part, world: &World<'_, '_>) {
    let sections = world.sections;
    let global = || sections.global.iter().rev().find_map(|block| block.last("maxconn"));
    if let Some(most) = sections.last(proxy, "maxconn", "").or_else(global) {
        part.put(&["limits", "maxConnections"], Value::plain(most.argument(0)), &most.origin());
    }
    let client = sections.time(proxy, "client");
    let request = sections.time(proxy, "http-request").or_else(|| client.clone());
    let keep_alive = sections.time(proxy, "http-keep-alive").or_else(|| request.clone());
    let times = [("headerTimeout", request), ("bodyIdleTimeout", client), ("idleTimeout", keep_alive)];
    for (key, found) in times {
        if let Some((time, origin)) = found.filter(|(time, _)| time != "0s") {
            part.put(&["limits", key], Value::plain(time), &origin);
        }
    }
}

fn options(bind: &Directive, options: &[String], is_tls: bool, part: &mut Part) {
    let line = bind.place.line;
    let mut words = options.iter().map(String::as_str);
    let mut client_auth = Section::default();
    while let Some(word) = words.next() {
        match word {
            "ssl" | "name" | "process" | "thread" | "mss" | "maxconn" | "backlog" | "id" | "nice" | "user"
            | "group" | "mode" | "level" | "transparent" | "defer-accept" | "tfo" | "v4v6" | "v6only" | "shards" => {
                if TAKES_WORD.contains(&word) {
                    words.next();
                }
            }
            "interface" => part.notes.push(of_interface(words.next().unwrap_or_default(), line)),
            "crt" => certificate(words.next().unwrap_or_default(), line, part),
            "alpn" => {
                let names = words.next().unwrap_or_default().split(',');
                let names = names.filter(|name| matches!(*name, "h2" | "http/1.1"));
                let names: Vec<Item> = names.map(|name| Item::of(Value::plain(name))).collect();
                part.put(&["protocols"], Value::List(names), &bind.origin());
            }
            "proto" => {
                let names = if words.next() == Some("h2") { vec![Item::of(Value::plain("h2"))] } else { Vec::new() };
                part.put(&["protocols"], Value::List(names), &bind.origin());
            }
            "ssl-min-ver" => {
                let version = if words.next() == Some("TLSv1.3") { "1.3" } else { "1.2" };
                part.put(&["tls", "minVersion"], Value::text(version), &bind.origin());
            }
            "ca-file" => client_auth.put(&["caFile"], Value::text(words.next().unwrap_or_default()), &bind.origin()),
            "crl-file" => client_auth.put(&["crlFile"], Value::text(words.next().unwrap_or_default()), &bind.origin()),
            "verify" => {
                let mode = match words.next() {
                    Some("required") => "require",
                    Some("optional") => "optional",
                    _ => "none",
                };
                client_auth.put(&["mode"], Value::plain(mode), &bind.origin());
            }
            "accept-proxy" => {
                let networks = Value::texts(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]);
                part.put(&["proxyProtocol", "trusted"], networks, &bind.origin());
                let text =
                    "bind .. accept-proxy: HAProxy believes every peer; name yours in the place of these networks";
                part.notes.push(Note::danger(line, text));
            }
            "ciphers" | "ciphersuites" | "curves" | "ecdhe" | "sigalgs" => {
                words.next();
                let text = format!(
                    "bind .. {word}: every suite that attache offers is a good one, there is nothing to choose"
                );
                part.notes.push(Note::dropped(line, text));
            }
            word => {
                let text = format!("bind .. {word}: attache has nothing that is known to do this");
                part.notes.push(Note::dropped(line, text));
            }
        }
    }
    if client_auth.has(&["mode"]) && client_auth.get(&["mode"]) != Some(&Value::plain("none")) {
        part.put(&["tls", "clientAuth"], Value::Map(client_auth), &bind.origin());
    }
    if is_tls && !part.has(&["tls", "certificates"]) {
        let text = "bind .. ssl without a certificate that is known here: add `tls.certificates`";
        part.notes.push(Note::danger(line, text));
    }
}

/// A listener that HAProxy has on one interface.
fn of_interface(name: &str, line: usize) -> Note {
    let text = format!(
        "bind .. interface {name}: listeners have an address and no interface, so this one takes connections from all of \
         them: write the address of the interface"
    );
    Note::danger(line, text)
}

/// Options of `bind` that attache decides by itself and that a word follows.
const TAKES_WORD: [&str; 13] = [
    "name", "process", "thread", "mss", "maxconn", "backlog", "id", "nice", "user", "group", "mode", "level", "shards",
];

/// A file of HAProxy holds both the certificate and its key.
fn certificate(file: &str, line: usize, part: &mut Part) {
    if file.ends_with('/') || file.is_empty() {
        let text = format!("bind .. crt {file}: a directory of certificates; name each file");
        return part.notes.push(Note::dropped(line, text));
    }
    let pair = Section::of("certFile", Value::text(file)).with("keyFile", Value::text(file));
    let origin = Origin::new(line, format!("bind .. crt {file}: the file holds both"));
    part.settings.push(&["tls", "certificates"], Value::Map(pair), &origin);
}

/// Has every listener that redirects do so.
pub(super) fn finish(world: &mut World<'_, '_>) {
    let is_one = world.draft.listeners.iter().filter(|part| part.has(&["tls"])).count() < 2;
    for redirect in &world.redirects {
        let Some(part) = world.draft.listeners.get_mut(redirect.listener) else { continue };
        let mut value = Section::default();
        if let Some(target) = redirect.secure.as_ref().filter(|_| !is_one) {
            value = value.with("listener", Value::text(target));
        }
        if let Some(status) = &redirect.status {
            value = value.with("status", Value::plain(status));
        } else {
            let text = "redirect scheme https: HAProxy answers 302, which makes a GET of a POST; here GET and HEAD get \
                        301, the rest 308";
            part.notes.push(Note::changed(redirect.origin.line, text));
        }
        let value = if value.entries.is_empty() { Value::plain("true") } else { Value::Map(value) };
        part.put(&["httpsRedirect"], value, &redirect.origin);
    }
}
