//! `server` lines and health checks.

use super::{Proxy, Sections};
use crate::migrate::directive::Directive;
use crate::migrate::model::{Item, Origin, Part, Section, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

/// What servers say together.
#[derive(Default)]
struct Common<'a> {
    check: Option<&'a Directive>,
    settings: Vec<(&'static [&'static str], String, Origin)>,
    tls: Option<(Section, Origin)>,
}

pub(super) fn translate<'a>(proxy: &Proxy<'a>, sections: &Sections<'a>, part: &mut Part) {
    let mut common = Common::default();
    let defaults = proxy.defaults.and_then(|at| sections.defaults.get(at));
    let defaults = defaults.iter().flat_map(|block| block.named("default-server"));
    for line in defaults.chain(proxy.block.named("default-server")) {
        options(line.mark(), line.arguments.iter().map(String::as_str), &mut Section::default(), &mut common, part);
    }
    for server in proxy.block.named("server") {
        let address = server.mark().argument(1);
        let mut more = Section::default();
        options(server, server.arguments.iter().skip(2).map(String::as_str), &mut more, &mut common, part);
        if address.starts_with('/') || address.contains('@') || address.contains('$') {
            let text = format!("{}: endpoints are addresses and ports", server.origin().text);
            part.notes.push(Note::dropped(server.place.line, text));
            continue;
        }
        let address = Value::text(words::with_port(address, 80));
        let value = if more.entries.is_empty() {
            address
        } else {
            let mut section = Section::of("address", address);
            section.entries.append(&mut more.entries);
            Value::Map(section)
        };
        part.settings.push(&["endpoints"], value, &server.origin());
    }
    template(proxy, &mut common, part);
    for (path, value, origin) in common.settings {
        part.settings.put_new(path, Value::plain(value), &origin);
    }
    if let Some((tls, origin)) = common.tls {
        part.put(&["tls"], Value::Map(tls), &origin);
    }
    if let Some(check) = common.check {
        health(proxy, sections, check, part);
    }
}

/// `server-template`: a name whose addresses are the endpoints.
fn template<'a>(proxy: &Proxy<'a>, common: &mut Common<'a>, part: &mut Part) {
    let Some(template) = proxy.block.last("server-template") else { return };
    options(template, template.arguments.iter().skip(3).map(String::as_str), &mut Section::default(), common, part);
    if part.has(&["endpoints"]) {
        let text = "server-template beside server: a cluster has one or the other";
        return part.notes.push(Note::dropped(template.place.line, text));
    }
    part.put(&["discovery", "dns"], Value::text(words::with_port(template.argument(2), 80)), &template.origin());
}

/// Options of a server; `more` gets those of its endpoint alone.
fn options<'a, 'w>(
    server: &'a Directive,
    mut words: impl Iterator<Item = &'w str>,
    more: &mut Section,
    common: &mut Common<'a>,
    part: &mut Part,
) {
    let line = server.place.line;
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or_default().to_owned();
        match word {
            "check" => common.check = Some(common.check.unwrap_or(server)),
            "inter" => {
                let value = next();
                common.of(
                    HEALTH_INTERVAL,
                    words::time(&value, 1).unwrap_or_else(|| value.clone()),
                    line,
                    &format!("inter {value}"),
                );
            }
            "rise" => common.plain(&["healthCheck", "healthyThreshold"], next(), line, word),
            "fall" => common.plain(&["healthCheck", "unhealthyThreshold"], next(), line, word),
            "port" => common.plain(&["healthCheck", "port"], next(), line, word),
            "maxconn" => common.plain(&["circuitBreaker", "perEndpoint", "maxRequests"], next(), line, word),
            "maxqueue" => common.plain(&["circuitBreaker", "maxPendingRequests"], next(), line, word),
            "slowstart" => {
                let value = next();
                common.of(
                    &["slowStart"],
                    words::time(&value, 1).unwrap_or_else(|| value.clone()),
                    line,
                    &format!("slowstart {value}"),
                );
            }
            "error-limit" => common.plain(&["outlierDetection", "consecutive5xxErrors"], next(), line, word),
            "weight" => more.put(&["weight"], Value::plain(next()), &Origin::default()),
            "backup" => more.put(&["priority"], Value::plain(1), &Origin::default()),
            "disabled" => more.put(&["weight"], Value::plain(0), &Origin::default()),
            "proto" => {
                let value = if next() == "h2" { "h2c" } else { "http/1.1" };
                common.of(&["protocol"], value.to_owned(), line, "proto");
            }
            "ssl" | "verify" | "ca-file" | "crt" | "sni" | "alpn" => common.tls(word, &mut next, line, part),
            "send-proxy" | "send-proxy-v2" => {
                let text = format!(
                    "server .. {word}: attache does not tell agents about clients in this way, but in X-Forwarded-For"
                );
                part.notes.push(Note::danger(line, text));
            }
            "observe" | "cookie" | "resolvers" | "init-addr" | "on-error" | "on-marked-down" | "on-marked-up"
            | "fastinter" | "downinter" | "resolve-prefer" | "addr" | "minconn" | "id" | "track" | "pool-max-conn"
            | "pool-purge-delay" | "tcp-ut" | "source" => {
                let value = next();
                let text =
                    format!("server .. {word} {value}: attache has nothing that needs it, or decides it by itself");
                part.notes.push(Note::dropped(line, text));
            }
            word => {
                let text = format!("server .. {word}: attache has nothing that is known to do this");
                part.notes.push(Note::dropped(line, text));
            }
        }
    }
}

const HEALTH_INTERVAL: &[&str] = &["healthCheck", "interval"];

impl Common<'_> {
    fn plain(&mut self, path: &'static [&'static str], value: String, line: usize, word: &str) {
        let origin = format!("{word} {value}");
        self.of(path, value, line, &origin);
    }

    fn of(&mut self, path: &'static [&'static str], value: String, line: usize, origin: &str) {
        match self.settings.iter_mut().find(|(other, ..)| *other == path) {
            // A server says more than the defaults before it; the first server counts for all.
            Some(_) => {}
            None => self.settings.push((path, value, Origin::new(line, origin))),
        }
    }

    fn tls(&mut self, word: &str, next: &mut impl FnMut() -> String, line: usize, part: &mut Part) {
        let origin = Origin::new(line, format!("server .. {word}"));
        let (tls, _) = self.tls.get_or_insert_with(|| (Section::default(), origin.clone()));
        match word {
            "ca-file" => tls.put(&["caFile"], Value::text(next()), &origin),
            "crt" => {
                let file = next();
                tls.put(&["certFile"], Value::text(&file), &origin);
                tls.put(&["keyFile"], Value::text(file), &origin);
            }
            "sni" => {
                let name = next();
                match name.strip_prefix("str(") {
                    Some(name) => tls.put(&["serverName"], Value::text(name.trim_end_matches(')')), &origin),
                    None => part
                        .notes
                        .push(Note::dropped(line, format!("server .. sni {name}: the endpoint's name is used"))),
                }
            }
            "alpn" => {
                let value = if next().contains("h2") { "auto" } else { "http/1.1" };
                self.of(&["protocol"], value.to_owned(), line, "alpn");
            }
            "verify" if next() != "required" => {
                let text = "server .. ssl verify none: certificates are verified here; name the authority in `tls.caFile` \
                            where it is none of the system's";
                part.notes.push(Note::danger(line, text));
            }
            _ => {}
        }
    }
}

fn health(proxy: &Proxy<'_>, sections: &Sections<'_>, check: &Directive, part: &mut Part) {
    let Some(option) = sections.last(proxy, "option", "httpchk") else {
        part.put(
            &["healthCheck", "type"],
            Value::plain("tcp"),
            &Origin::new(check.place.line, "check, without httpchk"),
        );
        return interval(check, part);
    };
    let words: Vec<&str> = option.arguments.iter().skip(1).map(String::as_str).collect();
    let (method, path) = match words.as_slice() {
        [] => ("OPTIONS", "/"),
        [path] => ("OPTIONS", *path),
        [method, path, ..] => (*method, *path),
    };
    part.put(&["healthCheck", "method"], Value::text(method), &option.origin());
    part.put(&["healthCheck", "path"], Value::text(path), &option.origin());
    if let Some(host) =
        words.get(2..).map(|rest| rest.join(" ")).and_then(|rest| Some(rest.split_once("Host:")?.1.trim().to_owned()))
    {
        part.put(
            &["healthCheck", "host"],
            Value::text(host.split_whitespace().next().unwrap_or_default()),
            &option.origin(),
        );
    }
    let mut statuses =
        (Value::List(vec![Item::of(Value::text("200-399"))]), Origin::new(0, "what httpchk takes for well"));
    for rule in proxy.block.named("http-check") {
        let words: Vec<&str> = rule.arguments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["send", rest @ ..] => send(rule.mark(), rest, part),
            ["expect", "status", list] => {
                let list = list.split(',').map(|one| Item::of(Value::text(one))).collect();
                statuses = (Value::List(list), rule.mark().origin());
            }
            _ => {}
        }
    }
    part.put(&["healthCheck", "expectedStatuses"], statuses.0, &statuses.1);
    if let Some((time, origin)) = sections.time(proxy, "check") {
        part.put(&["healthCheck", "timeout"], Value::plain(time), &origin);
    }
    interval(check, part);
}

fn interval(check: &Directive, part: &mut Part) {
    let origin = Origin::new(check.place.line, "inter of HAProxy where it is not written");
    part.settings.put_new(HEALTH_INTERVAL, Value::plain("2s"), &origin);
}

/// `http-check send meth GET uri /x hdr Host y`.
fn send(rule: &Directive, words: &[&str], part: &mut Part) {
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match word {
            "meth" => part.put(&["healthCheck", "method"], Value::text(value), &rule.origin()),
            "uri" => part.put(&["healthCheck", "path"], Value::text(value), &rule.origin()),
            "hdr" => {
                let name = value.to_ascii_lowercase();
                let value = Value::text(words.next().unwrap_or_default());
                let path: &[&str] =
                    if name == "host" { &["healthCheck", "host"] } else { &["healthCheck", "headers", &name] };
                part.put(path, value, &rule.origin());
            }
            _ => {}
        }
    }
}
