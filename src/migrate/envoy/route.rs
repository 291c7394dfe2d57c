//! Virtual hosts and their routes.

use super::World;
use crate::config::foreign::Foreign;
use crate::migrate::case::{self, Case, Taken};
use crate::migrate::model::{Item, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::refusal::{self, Refusals};
use crate::migrate::{tree, words};

/// The routes of a virtual host; `at` is the place of its listener.
pub(super) fn host(host: &Foreign, shared: &Part, at: usize, world: &mut World<'_>) -> Result<(), TooLarge> {
    let called = host.text_at(&["name"]).unwrap_or("host").to_owned();
    let mut hosts: Vec<String> = Vec::new();
    for domain in host.texts_at(&["domains"]) {
        let bare = domain.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok() || *port == "*");
        hosts.push(bare.map_or(domain, |(bare, _)| bare).to_owned());
    }
    hosts.sort();
    hosts.dedup();
    if hosts.iter().any(|host| host == "*") {
        hosts.clear();
    }
    if let Some(require) = host.get("require_tls").filter(|require| require.text() != Some("NONE")) {
        if let Some(part) = world.draft.listeners.get_mut(at) {
            part.put(&["httpsRedirect"], Value::plain("true"), &tree::origin(require, "require_tls"));
        }
        host.all_seen();
        return Ok(());
    }
    let (mut before, mut refusals) = (Taken::default(), Refusals::default());
    for route in host.items_at(&["routes"]) {
        let mut part = Part::new(String::new(), Origin::new(route.line, format!("virtual host {called}, routes[]")));
        let Some(mut case) = route.get("match").map(matched) else { continue };
        case.hosts.clone_from(&hosts);
        let wanted = case.paths.first().map_or(called.as_str(), |(_, path)| path).to_owned();
        let wanted = if wanted.len() < 2 { called.clone() } else { wanted };
        part.name = world.draft.name(Kind::Route, &wanted);
        if !case.unknown.is_empty() || before.has_all(&case) {
            let text = match case.unknown.first() {
                Some(unknown) => {
                    Note::danger(route.line, format!("match.{unknown}: no route can ask for this, so it is left out"))
                }
                None => Note::dropped(route.line, "routes[]: never reached, an earlier one takes its requests"),
            };
            route.all_seen();
            world.draft.note(text);
            continue;
        }
        part.settings.entries.extend(shared.settings.entries.iter().cloned());
        part.notes.extend(shared.notes.iter().cloned());
        if refuses(route) {
            case = refusal::whole(case);
            let origin = Origin::new(route.line, format!("line {}: direct_response", route.line));
            world.draft.notes.extend(refusals.add(&case, &origin));
        } else {
            loose(&case, route.line, &mut part);
            refusals.guard(std::slice::from_ref(&case), &mut part, |_| true);
        }
        case::ask(std::slice::from_ref(&case), &part.origin.clone(), &mut part);
        before.add(&case);
        action(route, host, &mut part, world);
        for from in [host, route] {
            fields(from, &mut part);
        }
        let _name = route.text_at(&["name"]);
        world.draft.add(Kind::Route, part)?;
    }
    Ok(())
}

/// Whether a route answers that somebody may not.
fn refuses(route: &Foreign) -> bool {
    let status = route.get("direct_response").and_then(|answer| answer.text_at(&["status"]));
    status.is_some_and(|status| status.starts_with(['4', '5']))
}

fn loose(case: &Case, line: usize, part: &mut Part) {
    if let Some(path) = case.loose_prefix() {
        let text = format!("match.prefix: {path}: a prefix ends where a segment ends here; Envoy takes {path}x too");
        part.notes.push(Note::changed(line, text));
    }
}

fn matched(value: &Foreign) -> Case {
    let mut case = Case::default();
    for (key, _, found) in value.entries() {
        let text = value.text_at(&[key]).unwrap_or_default().to_owned();
        match key.as_str() {
            "prefix" => case.paths.push(("prefix", if text.is_empty() { "/".to_owned() } else { text })),
            "path_separated_prefix" => case.paths.push(("prefix", format!("{}/", text.trim_end_matches('/')))),
            "path" => case.paths.push(("exact", text)),
            "safe_regex" => case.paths.push(("regex", found.text_at(&["regex"]).unwrap_or_default().to_owned())),
            "headers" => found.items().iter().for_each(|one| header(one, &mut case)),
            "query_parameters" => found.items().iter().for_each(|one| query(one, &mut case)),
            "grpc" => case.header("content-type".to_owned(), "prefix", "application/grpc".to_owned()),
            "case_sensitive" if text == "true" => {}
            _ => case.unknown.push(key.clone()),
        }
        found.all_seen();
    }
    case
}

fn header(one: &Foreign, case: &mut Case) {
    let name = one.text_at(&["name"]).unwrap_or_default().to_ascii_lowercase();
    match (name.as_str(), condition(one)) {
        (_, None) => case.unknown.push(format!("headers: {name}")),
        (":method", Some(("exact", text))) if case.methods.is_empty() => case.methods.push(text),
        (":authority", _) => case.unknown.push("headers: :authority".to_owned()),
        _ if name.starts_with(':') => case.unknown.push(name),
        (_, Some((kind, text))) => case.header(name, kind, text),
    }
}

fn query(one: &Foreign, case: &mut Case) {
    let name = one.text_at(&["name"]).unwrap_or_default().to_owned();
    match condition(one) {
        Some((kind, text)) => case.parameter(name, kind, text),
        None => case.unknown.push(format!("query_parameters: {name}")),
    }
}

/// Kind and text of what a field must be. Where nothing but a name is given, it must be there.
fn condition(one: &Foreign) -> Option<(&'static str, String)> {
    let mut found = Some(("present", "true".to_owned()));
    for (key, _, value) in one.entries() {
        let text = value.text().unwrap_or_default();
        match key.as_str() {
            "name" => {}
            "present_match" if text == "true" => {}
            "invert_match" | "treat_missing_header_as_empty" if text == "false" => {}
            "string_match" => found = string_match(value),
            "exact_match" => found = Some(("exact", text.to_owned())),
            "prefix_match" => found = Some(("prefix", text.to_owned())),
            _ => return None,
        }
    }
    found
}

fn string_match(value: &Foreign) -> Option<(&'static str, String)> {
    let flag = if value.text_at(&["ignore_case"]) == Some("true") { "(?i)" } else { "" };
    let (key, _, one) = value.entries().iter().find(|(key, ..)| key != "ignore_case")?;
    let text = one.text().unwrap_or_default();
    let literal = words::literal(text);
    Some(match (key.as_str(), flag) {
        ("exact", "") => ("exact", text.to_owned()),
        ("prefix", "") => ("prefix", text.to_owned()),
        ("exact", _) => ("regex", format!("{flag}{literal}")),
        ("prefix", _) => ("regex", format!("{flag}{literal}.*")),
        ("suffix", _) => ("regex", format!("{flag}.*{literal}")),
        ("contains", _) => ("regex", format!("{flag}.*{literal}.*")),
        ("safe_regex", _) => ("regex", one.text_at(&["regex"])?.to_owned()),
        _ => return None,
    })
}

fn action(route: &Foreign, host: &Foreign, part: &mut Part, world: &World<'_>) {
    if let Some(redirect) = route.get("redirect") {
        return lead(redirect, part);
    }
    if let Some(answer) = route.get("direct_response") {
        let table: tree::Table<'_> = &[
            (&["respond", "status"], &["status"], tree::plain),
            (&["respond", "body"], &["body", "inline_string"], tree::word),
        ];
        return tree::take(answer, table, part);
    }
    let Some(action) = route.get("route") else {
        return part.unserved(&part.origin.clone(), "routes[]: neither route, redirect nor direct_response");
    };
    destination(action, part, world);
    tree::take(action, TABLE, part);
    if action.get("timeout").is_none() {
        let text = "route.timeout: Envoy ends every exchange after 15 s where nothing is written, streams too; here none is ended";
        part.notes.push(Note::changed(action.line, text));
    }
    if action.text_at(&["auto_host_rewrite"]) == Some("true") {
        part.put(&["upstreamHost"], Value::plain("endpoint"), &Origin::new(action.line, "auto_host_rewrite"));
    }
    if let Some(policy) = action.get("retry_policy").or_else(|| host.get("retry_policy")) {
        retries(policy, part);
    }
    for mirror in action.items_at(&["request_mirror_policies"]) {
        let name = mirror.text_at(&["cluster"]).unwrap_or_default();
        let ours = world.clusters.get(name).map_or(name, String::as_str);
        part.put(&["mirror", "cluster"], Value::text(ours), &Origin::new(mirror.line, "request_mirror_policies"));
        let text = "request_mirror_policies: Envoy copies requests that change something too; here GET, HEAD and OPTIONS alone, \
                    unless `unsafe: true`, and all of them";
        mirror.all_seen();
        part.notes.push(Note::changed(mirror.line, text));
    }
    let upgrades = action.items_at(&["upgrade_configs"]);
    if let Some(one) = upgrades.iter().find(|one| one.text_at(&["upgrade_type"]) == Some("websocket")) {
        part.put(&["websocket"], Value::plain("true"), &Origin::new(one.line, "upgrade_configs: websocket"));
    }
}

const TABLE: tree::Table<'static> = &[
    (&["rewrite", "prefix"], &["prefix_rewrite"], tree::word),
    (&["rewrite", "regex", "pattern"], &["regex_rewrite", "pattern", "regex"], tree::word),
    (&["rewrite", "regex", "replacement"], &["regex_rewrite", "substitution"], backslashes),
    (&["upstreamHost"], &["host_rewrite_literal"], tree::word),
    (&["timeout"], &["timeout"], tree::off_or_time),
    (&["streaming", "idleTimeout"], &["idle_timeout"], tree::off_or_time),
    (&["streaming", "maxDuration"], &["max_stream_duration", "max_stream_duration"], tree::off_or_time),
];

fn backslashes(text: &str) -> Option<Value> {
    Some(Value::text(words::replacement(&text.replace('\\', "$"))))
}

fn destination(action: &Foreign, part: &mut Part, world: &World<'_>) {
    let ours = |name: &str| world.clusters.get(name).cloned();
    if let Some(cluster) = action.get("cluster") {
        let origin = tree::origin(cluster, "route.cluster");
        return match ours(cluster.text().unwrap_or_default()) {
            Some(name) => part.put(&["cluster"], Value::plain(name), &origin),
            None => part.unserved(&origin, &format!("{}: there is no such cluster", origin.text)),
        };
    }
    let weighted = action.items_at(&["weighted_clusters", "clusters"]);
    let share = |one: &Foreign| {
        let name = ours(one.text_at(&["name"])?)?;
        let weight = one.text_at(&["weight"]).unwrap_or("0").to_owned();
        let value = Section::of("cluster", Value::plain(name)).with("weight", Value::plain(weight));
        Some(Item { value: Value::Map(value), origin: Origin::new(one.line, "weighted_clusters") })
    };
    let shares: Vec<Item> = weighted.iter().filter_map(share).collect();
    if shares.is_empty() || shares.len() < weighted.len() {
        return part.unserved(&Origin::new(action.line, "route"), "route: where it leads is not in the file");
    }
    part.put(&["split"], Value::List(shares), &Origin::default());
}

fn retries(policy: &Foreign, part: &mut Part) {
    tree::take(
        policy,
        &[
            (&["retries", "attempts"], &["num_retries"], tree::plain),
            (&["retries", "retryOn"], &["retry_on"], tree::word),
            (&["retries", "perTryTimeout"], &["per_try_timeout"], tree::time),
            (&["retries", "backoff", "base"], &["retry_back_off", "base_interval"], tree::time),
            (&["retries", "backoff", "max"], &["retry_back_off", "max_interval"], tree::time),
        ],
        part,
    );
    part.settings.put_new(
        &["retries", "attempts"],
        Value::plain(1),
        &Origin::new(0, "num_retries where it is not written"),
    );
    let text = "retry_policy: Envoy sends a POST again after such an answer, and a task runs twice; here only while no agent has \
                seen it";
    part.notes.push(Note::danger(policy.line, text));
}

fn lead(redirect: &Foreign, part: &mut Part) {
    tree::take(
        redirect,
        &[
            (&["redirect", "host"], &["host_redirect"], tree::word),
            (&["redirect", "path"], &["path_redirect"], tree::word),
            (&["redirect", "prefix"], &["prefix_rewrite"], tree::word),
            (&["redirect", "scheme"], &["scheme_redirect"], tree::word),
            (&["redirect", "port"], &["port_redirect"], tree::plain),
        ],
        part,
    );
    if let Some(https) = redirect.get("https_redirect").filter(|https| https.text() == Some("true")) {
        part.put(&["redirect", "scheme"], Value::text("https"), &tree::origin(https, "https_redirect"));
    }
    let code = redirect.get("response_code");
    let status = match code.and_then(Foreign::text) {
        Some("FOUND") => 302,
        Some("SEE_OTHER") => 303,
        Some("TEMPORARY_REDIRECT") => 307,
        Some("PERMANENT_REDIRECT") => 308,
        _ => 301,
    };
    let origin = code.map_or_else(|| Origin::new(0, "what Envoy answers"), |code| tree::origin(code, "response_code"));
    part.put(&["redirect", "status"], Value::plain(status), &origin);
}

fn fields(from: &Foreign, part: &mut Part) {
    for (key, section) in [("request_headers_to_add", "requestHeaders"), ("response_headers_to_add", "responseHeaders")]
    {
        for one in from.items_at(&[key]) {
            let name = one.text_at(&["header", "key"]).unwrap_or_default().to_ascii_lowercase();
            let value = one.text_at(&["header", "value"]).unwrap_or_default();
            if value.contains('%') {
                part.notes.push(Note::dropped(one.line, format!("{key} {name}: values have no variables here")));
                one.all_seen();
                continue;
            }
            let is_set = one.text_at(&["append"]) == Some("false")
                || one.text_at(&["append_action"]).is_some_and(|action| action.starts_with("OVERWRITE"));
            let how = if is_set { "set" } else { "add" };
            part.put(&[section, how, &name], Value::text(value), &Origin::new(one.line, key));
        }
    }
    for (key, section) in
        [("request_headers_to_remove", "requestHeaders"), ("response_headers_to_remove", "responseHeaders")]
    {
        for name in from.texts_at(&[key]) {
            part.settings.push(&[section, "remove"], Value::text(name), &Origin::new(from.line, key));
        }
    }
}
