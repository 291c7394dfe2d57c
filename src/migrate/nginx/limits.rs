//! Rates, concurrency and sizes.

use std::collections::HashMap;

use super::{Levels, World};
use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Draft, Kind, Origin, Part, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

/// The zones of a file, and the limits that were made of them.
pub(super) struct Zones<'a> {
    pub(super) by_name: HashMap<&'a str, &'a Directive>,
    /// Names of limits by zone and burst.
    pub(super) made: HashMap<(String, u64), String>,
}

/// Collects the zones of a block. nginx takes them in `http` alone.
pub(super) fn collect<'a>(
    block: &Block<'a>,
    is_misplaced: bool,
    zones: &mut HashMap<&'a str, &'a Directive>,
    draft: &mut Draft,
) {
    for name in ["limit_req_zone", "limit_conn_zone"] {
        for zone in block.named(name) {
            let Some(called) = zone.option("zone") else { continue };
            let called = called.split_once(':').map_or(called, |(called, _)| called);
            zones.insert(called, zone.mark());
            if is_misplaced {
                let text = format!(
                    "{name} inside of `server`: nginx refuses it there, it belongs into `http`. Here it counts"
                );
                draft.note(Note::danger(zone.place.line, text));
            }
        }
    }
}

/// The limits of a location.
pub(super) fn translate(levels: &Levels<'_, '_>, part: &mut Part, world: &mut World<'_>) -> Result<(), TooLarge> {
    for limit in levels.all("limit_req") {
        rate(limit, levels, part, world)?;
    }
    for limit in levels.all("limit_conn") {
        concurrency(limit, part, world);
    }
    if let Some(size) = levels.last("client_max_body_size") {
        let value = match size.argument(0) {
            "0" => Some("off".to_owned()),
            other => words::size(other),
        };
        if let Some(value) = value {
            part.put(&["maxBodyBytes"], Value::plain(value), &size.origin());
        }
    }
    Ok(())
}

fn rate(limit: &Directive, levels: &Levels<'_, '_>, part: &mut Part, world: &mut World<'_>) -> Result<(), TooLarge> {
    let line = limit.place.line;
    let called = limit.option("zone").unwrap_or_default();
    let Some(zone) = world.zones.by_name.get(called).copied() else {
        part.notes.push(Note::danger(line, format!("{}: there is no such zone, so nothing is limited", limit.shown())));
        return Ok(());
    };
    let burst: u64 = limit.option("burst").and_then(|burst| burst.parse().ok()).unwrap_or(0);
    if !limit.has_argument("nodelay") && burst > 0 {
        let text =
            format!("{}: nginx makes what is beyond the rate wait; here it is let through at once", limit.shown());
        part.notes.push(Note::changed(line, text));
    }
    if burst == 0 {
        let text = format!("{}: nginx lets one through at a time; here two may come at once", limit.shown());
        part.notes.push(Note::changed(line, text));
    }
    let status = levels.last("limit_req_status").map_or("503", |status| status.argument(0)).to_owned();
    if status != "429" {
        let text = format!("{}: the answer over the limit is 429 with Retry-After; nginx says {status}", limit.shown());
        part.notes.push(Note::changed(line, text));
    }
    let key = (called.to_owned(), burst);
    let name = match world.zones.made.get(&key) {
        Some(name) => name.clone(),
        None => {
            let others = world.zones.made.keys().any(|(zone, _)| zone == called);
            let wanted = if others { format!("{called}-burst-{burst}") } else { called.to_owned() };
            let name = world.draft.name(Kind::RateLimit, &wanted);
            let mut made = of_zone(zone, burst, limit, name.clone());
            if others {
                let text = format!("{}: counts by itself here, nginx has one count for the zone", limit.shown());
                made.notes.push(Note::changed(line, text));
            }
            world.draft.add(Kind::RateLimit, made)?;
            world.zones.made.insert(key, name.clone());
            name
        }
    };
    part.settings.push(&["rateLimit"], Value::text(name), &limit.origin());
    Ok(())
}

fn of_zone(zone: &Directive, burst: u64, limit: &Directive, name: String) -> Part {
    let origin = zone.origin();
    let mut part = Part::new(name, origin.clone());
    let key = match zone.argument(0) {
        "$binary_remote_addr" | "$remote_addr" => "clientIp".to_owned(),
        "$server_name" | "$host" | "" => "global".to_owned(),
        other => match (other.strip_prefix("$http_"), other.strip_prefix("$cookie_")) {
            (Some(name), _) => format!("header:{}", name.replace('_', "-")),
            (_, Some(name)) => format!("cookie:{name}"),
            _ => {
                let text = format!("{}: counted by the client's address here; see `key` of `rateLimits`", zone.shown());
                part.notes.push(Note::danger(zone.place.line, text));
                "clientIp".to_owned()
            }
        },
    };
    part.put(&["key"], Value::text(key), &Origin::new(zone.place.line, zone.argument(0)));
    part.put(&["rate"], Value::text(zone.option("rate").unwrap_or_default()), &origin);
    part.put(&["burst"], Value::plain(burst.max(1)), &limit.origin());
    let size = zone.option("zone").and_then(|zone| zone.split_once(':')).map_or("", |(_, size)| size);
    if let Some(keys) = keys_of(size) {
        let origin = Origin::new(zone.place.line, format!("so many addresses fit into {size}"));
        part.put(&["maxKeys"], Value::plain(keys), &origin);
    }
    part
}

/// Clients that fit into a zone of this size: 16,000 in a megabyte.
fn keys_of(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let keys = match size.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "m" => number.saturating_mul(16_000),
        "k" => number.saturating_mul(16),
        _ => number / 64,
    };
    Some(keys.clamp(1, 10_000_000))
}

fn concurrency(limit: &Directive, part: &mut Part, world: &World<'_>) {
    let zone = world.zones.by_name.get(limit.argument(0));
    let is_by_address = zone.is_some_and(|zone| matches!(zone.argument(0), "$binary_remote_addr" | "$remote_addr"));
    if is_by_address {
        part.put(&["maxConcurrentPerClient"], Value::plain(limit.argument(1)), &limit.origin());
    } else {
        let text = format!(
            "{}: what is open is limited for each client's address (`maxConcurrentPerClient`), or for a \
                            cluster (`circuitBreaker`)",
            limit.shown()
        );
        part.notes.push(Note::danger(limit.place.line, text));
    }
}
