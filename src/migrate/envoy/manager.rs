//! The connection manager: filters, and what holds for all routes of a listener.

use super::{World, route};
use crate::config::foreign::Foreign;
use crate::migrate::model::{Kind, Origin, Part, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::{tree, words};

/// `at` is the listener's place in the draft.
pub(super) fn translate(manager: &Foreign, listener: &str, at: usize, world: &mut World<'_>) -> Result<(), TooLarge> {
    let mut shared = Part::new(listener.to_owned(), Origin::default());
    shared.put(&["listeners"], Value::texts([listener]), &Origin::default());
    if let Some(part) = world.draft.listeners.get_mut(at) {
        tree::take(manager, LISTENER, part);
    }
    tree::take(manager, ROUTES, &mut shared);
    forwarded(manager, world);
    let upgrades = manager.items_at(&["upgrade_configs"]);
    if let Some(websocket) = upgrades.iter().find(|one| one.text_at(&["upgrade_type"]) == Some("websocket")) {
        shared.put(&["websocket"], Value::plain("true"), &Origin::new(websocket.line, "upgrade_configs: websocket"));
    }
    for filter in manager.items_at(&["http_filters"]) {
        of_filter(filter, &mut shared, world)?;
    }
    for host in manager.items_at(&["route_config", "virtual_hosts"]) {
        route::host(host, &shared, at, world)?;
    }
    let _name = manager.text_at(&["route_config", "name"]);
    Ok(())
}

const LISTENER: tree::Table<'static> = &[
    (&["limits", "idleTimeout"], &["common_http_protocol_options", "idle_timeout"], tree::time),
    (&["limits", "headerTimeout"], &["request_headers_timeout"], tree::time),
    (&["limits", "maxConcurrentStreams"], &["http2_protocol_options", "max_concurrent_streams"], tree::plain),
];

const ROUTES: tree::Table<'static> = &[
    (&["streaming", "idleTimeout"], &["stream_idle_timeout"], tree::off_or_time),
    (&["streaming", "maxDuration"], &["common_http_protocol_options", "max_stream_duration"], tree::off_or_time),
];

/// Whose word on the client's address counts.
fn forwarded(manager: &Foreign, world: &mut World<'_>) {
    let hops = manager.get("xff_num_trusted_hops");
    if let Some(hops) = hops.filter(|hops| hops.text() != Some("0")) {
        let text = format!(
            "{}: proxies are named here and not counted: write `clientIp: {{ trustedProxies: [..] }}`. Until then \
                            each client is the peer",
            tree::origin(hops, "xff_num_trusted_hops").text
        );
        world.draft.note(Note::danger(hops.line, text));
    }
    let own = manager.get("use_remote_address");
    if own.and_then(Foreign::text) != Some("true") {
        let line = own.map_or(manager.line, |own| own.line);
        let text = "use_remote_address: false, which is Envoy's default: it believes any X-Forwarded-For; here only that of \
                    `clientIp.trustedProxies`";
        world.draft.note(Note::danger(line, text));
    }
}

fn of_filter(filter: &Foreign, shared: &mut Part, world: &mut World<'_>) -> Result<(), TooLarge> {
    let name = filter.text_at(&["name"]).unwrap_or_default().to_owned();
    let kind = filter.text_at(&["typed_config", "@type"]).unwrap_or_default();
    let kind = kind.rsplit('.').next().unwrap_or_default().to_owned();
    let line = filter.line;
    match kind.as_str() {
        "Router" => filter.all_seen(),
        "LocalRateLimit" => rate(filter, shared, world)?,
        "JwtAuthentication" | "ExtAuthz" | "BasicAuth" | "RBAC" | "OAuth2" | "ApiKeyAuth" => {
            filter.all_seen();
            let why = format!("filter {name}: write `authProviders` or `authorization`, and what each route asks for");
            shared.close(&Origin::new(line, name), &why);
        }
        "Cors" => {
            filter.all_seen();
            world.draft.note(Note::changed(line, format!("filter {name}: `cors` of a route says who may")));
        }
        "RateLimit" | "HTTPFault" | "Buffer" | "Csrf" => {
            filter.all_seen();
            let text = format!(
                "filter {name}: `rateLimits`, `fault`, `maxBodyBytes` and `csrf` do this here; write what it said"
            );
            world.draft.note(Note::danger(line, text));
        }
        _ => {
            filter.all_seen();
            world.draft.note(Note::dropped(line, format!("filter {name}: attache has no filters")));
        }
    }
    Ok(())
}

fn rate(filter: &Foreign, shared: &mut Part, world: &mut World<'_>) -> Result<(), TooLarge> {
    let Some(config) = filter.get("typed_config") else { return Ok(()) };
    let number = |path: &[&str]| config.text_at(path).and_then(|text| text.parse::<u64>().ok());
    let bucket = ["token_bucket"];
    let most = number(&[bucket[0], "max_tokens"]).unwrap_or(1);
    let fill = number(&[bucket[0], "tokens_per_fill"]).unwrap_or(1);
    let every = config.text_at(&[bucket[0], "fill_interval"]).and_then(|text| words::time(text, 1_000));
    let share = number(&["filter_enforced", "default_value", "numerator"]);
    config.all_seen();
    let line = config.line;
    let origin = Origin::new(line, "local_ratelimit");
    let Some(every) = every.filter(|_| share.is_some_and(|share| share > 0)) else {
        let text = "local_ratelimit: without `filter_enforced` Envoy limits nothing, and so nothing is limited here";
        world.draft.note(Note::danger(line, text));
        return Ok(());
    };
    let name = world.draft.name(Kind::RateLimit, &format!("{}-limit", shared.name));
    let mut part = Part::new(name.clone(), origin.clone());
    part.put(
        &["key"],
        Value::text("global"),
        &Origin::new(0, "all clients share the bucket; `clientIp` is mostly meant"),
    );
    part.put(&["rate"], Value::text(format!("{fill}/{every}")), &Origin::new(line, "tokens_per_fill, fill_interval"));
    let burst = most.saturating_sub(1).max(1);
    part.put(
        &["burst"],
        Value::plain(burst),
        &Origin::new(line, format!("max_tokens: {most}, one of them is always there")),
    );
    let text = "local_ratelimit: one bucket for all clients, so one of them can shut the others out";
    part.notes.push(Note::danger(line, text));
    world.draft.add(Kind::RateLimit, part)?;
    shared.settings.push(&["rateLimit"], Value::text(name), &origin);
    Ok(())
}
