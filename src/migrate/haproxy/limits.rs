//! Tables that count clients, and refusals by what they count or where clients are.

use super::condition::split;
use super::{Frontend, Proxy, World};
use crate::migrate::case::Case;
use crate::migrate::directive::Directive;
use crate::migrate::model::{Kind, Origin, Part, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

pub(super) fn translate(
    proxy: &Proxy<'_>,
    frontend: &mut Frontend<'_>,
    world: &mut World<'_, '_>,
) -> Result<(), TooLarge> {
    let rules = proxy.block.all.iter().filter(|one| matches!(one.name.as_str(), "http-request" | "tcp-request"));
    let mut tracked: Option<&Directive> = None;
    for rule in rules {
        let (words, terms, is_unless) = split(rule);
        let words: Vec<&str> = words.into_iter().filter(|word| !matches!(*word, "connection" | "content")).collect();
        let action = words.first().copied().unwrap_or_default();
        if action.starts_with("track-sc") {
            tracked = Some(rule.mark());
            continue;
        }
        if action == "auth" {
            let why = format!(
                "{}: write `authProviders`: `basic` with a `usersFile`, and `auth` in the route",
                rule.origin().text
            );
            frontend.shared.close(&rule.mark().origin(), &why);
            continue;
        }
        if !matches!(action, "deny" | "reject" | "tarpit" | "silent-drop") {
            continue;
        }
        let cases = frontend.acls.cases(terms, is_unless);
        let [case] = cases.as_slice() else { continue };
        if !case.unknown.is_empty() || !case.is_everything() || case.tls.is_some() {
            continue;
        }
        let counted = [case.rate.is_some(), case.connections.is_some(), case.clients.is_some()];
        if counted.into_iter().filter(|is_asked| *is_asked).count() != 1 {
            // Both at once is less than each alone.
            continue;
        }
        match case {
            Case { rate: Some(most), .. } => rate(*most, rule, tracked, proxy, frontend, world)?,
            Case { connections: Some(most), .. } => {
                for entrance in &frontend.entrances {
                    if let Some(part) = world.draft.listeners.get_mut(entrance.index) {
                        part.put(&["limits", "maxConnectionsPerIp"], Value::plain(most), &rule.mark().origin());
                    }
                }
            }
            Case { clients: Some((is_in, networks)), .. } => {
                let key = if *is_in { "deny" } else { "allow" };
                world.draft.count(networks.len())?;
                for network in networks {
                    frontend.shared.settings.push(&["ipAccess", key], Value::text(network), &rule.mark().origin());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn rate(
    most: u64,
    rule: &Directive,
    tracked: Option<&Directive>,
    proxy: &Proxy<'_>,
    frontend: &mut Frontend<'_>,
    world: &mut World<'_, '_>,
) -> Result<(), TooLarge> {
    let (table, owner) = table(tracked, proxy, world);
    let Some(table) = table else {
        let text = format!("{}: there is no table that counts requests, so nothing is limited", rule.origin().text);
        frontend.shared.notes.push(Note::danger(rule.mark().place.line, text));
        return Ok(());
    };
    let period = table.arguments.iter().find_map(|word| {
        let word = word.split_once("http_req_rate(")?.1;
        words::time(word.split(')').next()?, 1)
    });
    let name = world.draft.name(Kind::RateLimit, &owner);
    let mut part = Part::new(name.clone(), table.mark().origin());
    let what = tracked.map_or("src", |tracked| tracked.argument(1));
    let what = if what == "content" { tracked.map_or("src", |tracked| tracked.argument(2)) } else { what };
    let key = match what.strip_prefix("hdr(").or_else(|| what.strip_prefix("req.hdr(")) {
        Some(name) => format!("header:{}", name.trim_end_matches(')')),
        None => "clientIp".to_owned(),
    };
    if key == "clientIp" && !matches!(what, "src" | "connection") {
        let text = format!("{what}: counted by the client's address here; see `key` of `rateLimits`");
        part.notes.push(Note::danger(tracked.map_or(table.place.line, |tracked| tracked.place.line), text));
    }
    part.put(&["key"], Value::text(key), &tracked.map_or_else(Origin::default, Directive::origin));
    let period = period.unwrap_or_else(|| "10s".to_owned());
    part.put(&["rate"], Value::text(format!("{most}/{period}")), &rule.mark().origin());
    let after = |wanted: &str| table.arguments.iter().position(|word| word == wanted).map(|at| table.argument(at + 1));
    if let Some(keys) = after("size").and_then(number) {
        part.put(&["maxKeys"], Value::plain(keys.clamp(1, 10_000_000)), &Origin::new(table.place.line, "size"));
    }
    let text = format!(
        "{}: here an answer, 429 with Retry-After. HAProxy counts what it refuses too, so a client that keeps asking \
         stays out; here requests that are refused do not count",
        rule.origin().text
    );
    part.notes.push(Note::changed(rule.place.line, text));
    world.draft.add(Kind::RateLimit, part)?;
    frontend.shared.settings.push(&["rateLimit"], Value::text(name), &rule.origin());
    Ok(())
}

/// The table that a rule counts in, and the section it stands in.
fn table<'a>(tracked: Option<&Directive>, proxy: &Proxy<'a>, world: &World<'a, '_>) -> (Option<&'a Directive>, String) {
    let named = tracked.and_then(|tracked| {
        let at = tracked.arguments.iter().position(|word| word == "table")?;
        Some(tracked.argument(at + 1).to_owned())
    });
    match named {
        Some(name) => {
            let owner = world.sections.proxies.iter().find(|other| other.name == name);
            (owner.and_then(|owner| owner.block.last("stick-table")), name)
        }
        None => (proxy.block.last("stick-table"), proxy.name.to_owned()),
    }
}

/// A number with `k` or `m` behind it.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => Some(number),
        "k" => number.checked_mul(1_000),
        "m" => number.checked_mul(1_000_000),
        _ => None,
    }
}
