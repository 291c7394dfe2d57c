//! VirtualService: routes.

use super::{World, full_name, mesh, name_of, rule};
use crate::config::foreign::Foreign;
use crate::migrate::case::{self, Case, Taken};
use crate::migrate::model::{Item, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::{tree, words};

pub(super) fn translate(document: &Foreign, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let hosts: Vec<String> = document.texts_at(&["spec", "hosts"]).into_iter().map(str::to_owned).collect();
    let is_any = hosts.iter().any(|host| host == "*");
    let hosts = if is_any { Vec::new() } else { hosts };
    let listeners = listeners(document, world)?;
    let mut before = Taken::default();
    for http in document.items_at(&["spec", "http"]) {
        let mut said = Part::default();
        let found = cases(http, &hosts, &mut said).unwrap_or_default();
        let groups = by_listeners(found, &listeners, http.line, &mut said, world);
        if groups.is_empty() {
            let text = "match: none of it can be asked for here, so the route is left out";
            http.all_seen();
            world.draft.notes.append(&mut said.notes);
            world.draft.note(Note::danger(http.line, text));
        }
        for (narrowed, cases) in groups {
            let wanted = http.text_at(&["name"]).map_or_else(|| name_for(document, http), str::to_owned);
            let origin = Origin::new(http.line, format!("VirtualService {}, http[]", name_of(document)));
            if cases.iter().all(|case| before.has_all(case)) {
                http.all_seen();
                let text = format!("{}: never reached, an earlier one takes its requests", origin.text);
                world.draft.note(Note::dropped(http.line, text));
                continue;
            }
            let mut part = Part::new(world.draft.name(Kind::Route, &wanted), origin.clone());
            part.notes.append(&mut said.notes);
            if !narrowed.is_empty() {
                part.put(&["listeners"], Value::texts(narrowed.clone()), &Origin::default());
            }
            case::ask(&cases, &origin, &mut part);
            // What other listeners get is left for later routes.
            cases.iter().filter(|_| narrowed == listeners).for_each(|case| before.add(case));
            action(http, document, &mut part, world)?;
            settings(http, &mut part);
            let is_inside = world.mesh.as_ref().is_some_and(|mesh| narrowed.contains(mesh));
            who(is_inside, &mut part, world);
            world.draft.add(Kind::Route, part)?;
        }
    }
    Ok(())
}

/// The listeners of the gateways of a document; none of them are all.
fn listeners(document: &Foreign, world: &mut World<'_, '_>) -> Result<Vec<String>, TooLarge> {
    let gateways = document.texts_at(&["spec", "gateways"]);
    let gateways = if gateways.is_empty() { vec!["mesh"] } else { gateways };
    for gateway in &gateways {
        if *gateway == "mesh" {
            mesh(document.line, world)?;
        } else if !world.gateways.contains_key(short(gateway)) {
            world.draft.note(Note::dropped(document.line, format!("gateways: {gateway}: it is not in the file")));
        }
    }
    let mut listeners = listeners_of(&gateways, world);
    if listeners.is_empty() && !world.draft.listeners.is_empty() {
        let text = format!("gateways: none of {} is in the file, so every listener serves this", gateways.join(", "));
        world.draft.note(Note::danger(document.line, text));
    }
    let is_redirecting =
        |name: &String| world.draft.listeners.iter().any(|part| part.name == *name && part.has(&["httpsRedirect"]));
    if !listeners.iter().all(is_redirecting) {
        listeners.retain(|name| !is_redirecting(name));
    }
    Ok(listeners)
}

/// The listeners of some gateways, each once.
fn listeners_of(gateways: &[impl AsRef<str>], world: &World<'_, '_>) -> Vec<String> {
    let mut listeners = Vec::new();
    for gateway in gateways.iter().map(AsRef::as_ref) {
        match gateway {
            "mesh" => listeners.extend(world.mesh.clone()),
            other => listeners.extend(world.gateways.get(short(other)).into_iter().flatten().cloned()),
        }
    }
    listeners.sort();
    listeners.dedup();
    listeners
}

/// The name of a gateway without its namespace.
fn short(gateway: &str) -> &str {
    gateway.rsplit('/').next().unwrap_or(gateway)
}

/// What a match asks for, with the gateways that it holds for, none for all of its document.
type Asked = (Vec<String>, Case);

/// The cases with the listeners that they hold for, those of the same listeners together.
fn by_listeners(
    found: Vec<Asked>,
    all: &[String],
    line: usize,
    said: &mut Part,
    world: &World<'_, '_>,
) -> Vec<(Vec<String>, Vec<Case>)> {
    let mut groups: Vec<(Vec<String>, Vec<Case>)> = Vec::new();
    for (gateways, case) in found {
        let mut narrowed = all.to_vec();
        if !gateways.is_empty() {
            let own = listeners_of(&gateways, world);
            narrowed.retain(|name| own.contains(name));
        }
        if narrowed.is_empty() && !gateways.is_empty() {
            let text =
                format!("match.gateways: {}: no listener here is one of them, so it is left out", gateways.join(", "));
            said.notes.push(Note::danger(line, text));
            continue;
        }
        match groups.iter_mut().find(|(listeners, _)| *listeners == narrowed) {
            Some((_, cases)) => cases.push(case),
            None => groups.push((narrowed, vec![case])),
        }
    }
    groups
}

/// A name made of the first path, or of the VirtualService's own.
fn name_for(document: &Foreign, http: &Foreign) -> String {
    let uri = http.items_at(&["match"]).first().and_then(|one| one.get("uri"));
    let path = uri.and_then(|uri| uri.entries().first()).and_then(|(_, _, path)| path.text());
    path.filter(|path| path.len() > 1).unwrap_or_else(|| name_of(document)).to_owned()
}

/// The cases of `match`. `None` where there are some and none can be asked for.
fn cases(http: &Foreign, hosts: &[String], part: &mut Part) -> Option<Vec<Asked>> {
    let matches = http.items_at(&["match"]);
    let hosts = hosts.to_vec();
    if matches.is_empty() {
        return Some(vec![(Vec::new(), Case { hosts, ..Case::default() })]);
    }
    let mut found = Vec::new();
    for one in matches {
        let mut case = Case { hosts: hosts.clone(), ..Case::default() };
        let ignores_case = one.text_at(&["ignoreUriCase"]) == Some("true");
        for (key, line, value) in one.entries() {
            match key.as_str() {
                "uri" => path(value, ignores_case, &mut case, *line, part),
                "method" => case.methods.extend(exact(value)),
                "headers" => fields(value, &mut case.headers),
                "queryParams" => fields(value, &mut case.query),
                "name" | "ignoreUriCase" | "gateways" => {}
                _ => case.unknown.push(key.clone()),
            }
            value.all_seen();
        }
        if case.unknown.is_empty() {
            found.push((one.texts_at(&["gateways"]).into_iter().map(str::to_owned).collect(), case));
        } else {
            let text =
                format!("match with {}: no route can ask for this, so this match is left out", case.unknown.join(", "));
            part.notes.push(Note::danger(one.line, text));
        }
    }
    (!found.is_empty()).then_some(found)
}

fn path(value: &Foreign, ignores_case: bool, case: &mut Case, line: usize, part: &mut Part) {
    let Some((kind, _, text)) = value.entries().first() else { return };
    let text = text.text().unwrap_or_default();
    let flag = if ignores_case { "(?i)" } else { "" };
    let literal = words::literal(text);
    match (kind.as_str(), ignores_case) {
        ("exact", false) => case.paths.push(("exact", text.to_owned())),
        ("prefix", false) => {
            if text.len() > 1 && !text.ends_with('/') {
                let note =
                    format!("uri.prefix: {text}: a prefix ends where a segment ends here; Istio takes {text}x too");
                part.notes.push(Note::changed(line, note));
            }
            case.paths.push(("prefix", text.to_owned()));
        }
        ("exact", true) => case.paths.push(("regex", format!("{flag}{literal}"))),
        ("prefix", true) => case.paths.push(("regex", format!("{flag}{literal}.*"))),
        ("regex", _) => case.paths.push(("regex", format!("{flag}{text}"))),
        (other, _) => case.unknown.push(format!("uri.{other}")),
    }
}

fn exact(value: &Foreign) -> Vec<String> {
    let text = value.text_at(&["exact"]).or_else(|| value.text_at(&["regex"])).unwrap_or_default();
    text.split('|').map(str::to_owned).collect()
}

fn fields(value: &Foreign, into: &mut Vec<(String, &'static str, String)>) {
    for (name, _, field) in value.entries() {
        let (kind, text) = match field.entries().first() {
            Some((kind, _, text)) => (kind.as_str(), text.text().unwrap_or_default()),
            None => ("present", "true"),
        };
        let kind = match kind {
            "exact" => "exact",
            "prefix" => "prefix",
            "regex" => "regex",
            _ => "present",
        };
        into.push((
            name.to_ascii_lowercase(),
            kind,
            if kind == "present" { "true".to_owned() } else { text.to_owned() },
        ));
    }
}

/// Where requests go.
fn action(http: &Foreign, document: &Foreign, part: &mut Part, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    if let Some(redirect) = http.get("redirect") {
        tree::take(redirect, REDIRECT, part);
        part.settings.put_new(&["redirect", "status"], Value::plain(301), &Origin::new(0, "what Istio answers"));
        return Ok(());
    }
    if let Some(answer) = http.get("directResponse") {
        tree::take(
            answer,
            &[
                (&["respond", "status"], &["status"], tree::plain),
                (&["respond", "body"], &["body", "string"], tree::word),
            ],
            part,
        );
        return Ok(());
    }
    let destinations = http.items_at(&["route"]);
    let mut shares = Vec::new();
    for one in destinations {
        let Some(destination) = one.get("destination") else { continue };
        let name = cluster(destination, document, world)?;
        let weight = one.text_at(&["weight"]).unwrap_or(if destinations.len() > 1 { "0" } else { "100" }).to_owned();
        shares.push((name, weight, one.line));
    }
    match shares.as_slice() {
        [] => part.unserved(&Origin::new(http.line, "http[]"), "http[] without a destination"),
        [(name, _, line)] => part.put(&["cluster"], Value::plain(name), &Origin::new(*line, "route[].destination")),
        many => {
            let of = |(name, weight, line): &(String, String, usize)| Item {
                value: Value::Map(Section::of("cluster", Value::plain(name)).with("weight", Value::plain(weight))),
                origin: Origin::new(*line, "route[]"),
            };
            part.put(&["split"], Value::List(many.iter().map(of).collect()), &Origin::new(http.line, "route"));
        }
    }
    if let Some(mirror) = http.get("mirror") {
        let name = cluster(mirror, document, world)?;
        part.put(&["mirror", "cluster"], Value::plain(name), &Origin::new(mirror.line, "mirror"));
        if let Some(share) = http.at(&["mirrorPercentage", "value"]).or_else(|| http.get("mirrorPercent")) {
            let value = format!("{}%", share.text().unwrap_or_default());
            part.put(&["mirror", "percentage"], Value::plain(value), &tree::origin(share, "mirrorPercentage"));
        }
        let text = "mirror: Istio copies requests that change something too; here GET, HEAD and OPTIONS alone, unless `unsafe: true`";
        part.notes.push(Note::changed(mirror.line, text));
    }
    Ok(())
}

const REDIRECT: tree::Table<'static> = &[
    (&["redirect", "path"], &["uri"], tree::word),
    (&["redirect", "host"], &["authority"], tree::word),
    (&["redirect", "scheme"], &["scheme"], tree::word),
    (&["redirect", "port"], &["port"], tree::plain),
    (&["redirect", "status"], &["redirectCode"], tree::plain),
];

/// The cluster of a destination, made where there is none.
fn cluster(destination: &Foreign, document: &Foreign, world: &mut World<'_, '_>) -> Result<String, TooLarge> {
    let host = full_name(destination.text_at(&["host"]).unwrap_or_default(), document);
    let subset = destination.text_at(&["subset"]).unwrap_or_default().to_owned();
    let port = destination.text_at(&["port", "number"]).unwrap_or("80").to_owned();
    rule::cluster(&host, &subset, &port, destination.line, world)
}

/// Times, retries, faults, paths and fields.
fn settings(http: &Foreign, part: &mut Part) {
    tree::take(http, SETTINGS, part);
    if let Some(timeout) = http.get("timeout") {
        let text = "timeout: it ends at the head of an event stream here, and does not hold for calls that send a message: set \
                    `a2a.methods.X.timeout` for those";
        part.notes.push(Note::changed(timeout.line, text));
    }
    if let Some(on) = http.at(&["retries", "retryOn"]) {
        let text = "retries.retryOn: Istio sends a POST again after such an answer, and a task runs twice; here only while no \
                    agent has seen it";
        part.notes.push(Note::danger(on.line, text));
    }
    if let Some(fault) = http.get("fault") {
        faults(fault, http, part);
    }
    if let Some(rewrite) = http.at(&["rewrite", "uri"]) {
        let is_exact = matches!(part.settings.get(&["match"]), Some(Value::List(items)) if items.iter().any(is_exact));
        let key = if is_exact { "path" } else { "prefix" };
        part.put(
            &["rewrite", key],
            Value::text(rewrite.text().unwrap_or_default()),
            &tree::origin(rewrite, "rewrite.uri"),
        );
    }
    if let Some(headers) = http.get("headers") {
        let actions = [("set", "set"), ("add", "add"), ("remove", "remove")];
        for (theirs, ours) in [("request", "requestHeaders"), ("response", "responseHeaders")] {
            if let Some(section) = headers.get(theirs) {
                tree::fields(section, actions, ours, part);
            }
        }
    }
    if let Some(cors) = http.get("corsPolicy") {
        cors_of(cors, part);
    }
}

fn is_exact(item: &Item) -> bool {
    matches!(&item.value, Value::Map(section) if section.has(&["path", "exact"]))
}

const SETTINGS: tree::Table<'static> = &[
    (&["timeout"], &["timeout"], tree::off_or_time),
    (&["retries", "attempts"], &["retries", "attempts"], tree::plain),
    (&["retries", "perTryTimeout"], &["retries", "perTryTimeout"], tree::time),
    (&["retries", "retryOn"], &["retries", "retryOn"], tree::word),
    (&["upstreamHost"], &["rewrite", "authority"], tree::word),
    (&["rewrite", "regex", "pattern"], &["rewrite", "uriRegexRewrite", "match"], tree::word),
    (&["rewrite", "regex", "replacement"], &["rewrite", "uriRegexRewrite", "rewrite"], backslashes),
];

/// `\1` is `${1}` here.
fn backslashes(text: &str) -> Option<Value> {
    Some(Value::text(words::replacement(&text.replace('\\', "$"))))
}

fn faults(fault: &Foreign, http: &Foreign, part: &mut Part) {
    for kind in ["delay", "abort"] {
        let Some(one) = fault.get(kind) else { continue };
        let share = one.at(&["percentage", "value"]).or_else(|| one.get("percent"));
        let path: &[&str] = &["fault", kind, "percentage"];
        match share {
            Some(share) => {
                let text = share.text().unwrap_or_default();
                part.put(path, Value::plain(format!("{text}%")), &tree::origin(share, "percentage.value"));
                if text.starts_with("0.") {
                    let note = format!("fault.{kind}.percentage.value: {text} is {text} %, in Istio and here");
                    part.notes.push(Note::changed(share.line, note));
                }
            }
            None => part.put(path, Value::plain("100%"), &Origin::new(one.line, "no percentage: all of them")),
        }
    }
    tree::take(
        fault,
        &[
            (&["fault", "delay", "fixedDelay"], &["delay", "fixedDelay"], tree::time),
            (&["fault", "abort", "httpStatus"], &["abort", "httpStatus"], tree::plain),
            (&["fault", "abort", "grpcStatus"], &["abort", "grpcStatus"], tree::word),
        ],
        part,
    );
    part.notes
        .push(Note::danger(fault.line, "fault: a fault on purpose without an end: write `until` with the day it ends"));
    if http.get("retries").is_some() || http.get("timeout").is_some() {
        let text = "fault: Istio drops retries and timeout on a route with a fault; here all of them hold";
        part.notes.push(Note::changed(fault.line, text));
    }
}

fn cors_of(cors: &Foreign, part: &mut Part) {
    let origin = Origin::new(cors.line, "corsPolicy");
    for one in cors.items_at(&["allowOrigins"]) {
        let Some((kind, _, text)) = one.entries().first() else { continue };
        let text = text.text().unwrap_or_default();
        let value = match kind.as_str() {
            "exact" => Value::text(text),
            "prefix" => Value::Map(Section::of("regex", Value::text(format!("{}.*", words::literal(text))))),
            _ => Value::Map(Section::of("regex", Value::text(text))),
        };
        part.settings.push(&["cors", "allowOrigins"], value, &origin);
        one.all_seen();
    }
    for key in ["allowOrigin", "allowMethods", "allowHeaders", "exposeHeaders"] {
        let texts = cors.texts_at(&[key]);
        let ours = if key == "allowOrigin" { "allowOrigins" } else { key };
        texts.into_iter().for_each(|text| part.settings.push(&["cors", ours], Value::text(text), &origin));
    }
    tree::take(
        cors,
        &[
            (&["cors", "allowCredentials"], &["allowCredentials"], tree::plain),
            (&["cors", "maxAge"], &["maxAge"], tree::time),
        ],
        part,
    );
}

/// What AuthorizationPolicies say of a route.
fn who(is_inside: bool, part: &mut Part, world: &World<'_, '_>) {
    if is_inside && world.strict.is_some() {
        part.put(&["auth"], Value::text("mesh"), &Origin::new(0, "PeerAuthentication"));
    }
    let names = world.policies.names(is_inside);
    if !names.is_empty() {
        part.put(&["authorization"], Value::texts(names), &Origin::new(0, "AuthorizationPolicy"));
    }
}
