//! Middlewares: what they do to a route.

use super::World;
use crate::config::foreign::Foreign;
use crate::migrate::case::Case;
use crate::migrate::model::{Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::{tree, words};

/// Chains within chains; more are not followed.
const MAX_DEPTH: usize = 8;

pub(super) fn apply(
    name: &str,
    cases: &[Case],
    part: &mut Part,
    world: &mut World<'_, '_>,
    depth: usize,
) -> Result<(), TooLarge> {
    let Some(middleware) = world.named("middlewares", name) else {
        let text = format!("middleware {name} is not in the file: what it did is not done here");
        part.notes.push(Note::danger(part.origin.line, text));
        return Ok(());
    };
    for (kind, line, config) in middleware.entries() {
        config.marked();
        let origin = Origin::new(*line, format!("middlewares.{name}.{kind}"));
        match kind.as_str() {
            "chain" if depth < MAX_DEPTH => {
                for inner in config.texts_at(&["middlewares"]) {
                    apply(inner, cases, part, world, depth + 1)?;
                }
            }
            "stripPrefix" => strip(config, cases, &origin, part),
            "replacePath" | "replacePathRegex" | "addPrefix" | "stripPrefixRegex" => {
                path(kind, config, cases, &origin, part);
            }
            "redirectScheme" | "redirectRegex" => redirect(kind, config, &origin, part),
            "headers" => headers(config, part),
            "rateLimit" => rate(name, config, &origin, part, world)?,
            "inFlightReq" => in_flight(config, &origin, part),
            "retry" => retry(config, &origin, part),
            "buffering" => {
                let table: tree::Table<'_> = &[(&["maxBodyBytes"], &["maxRequestBodyBytes"], bytes)];
                tree::take(config, table, part);
            }
            "ipAllowList" | "ipWhiteList" => {
                allow(config, &origin, part);
            }
            "basicAuth" | "digestAuth" | "forwardAuth" => {
                config.all_seen();
                let provider = if kind == "forwardAuth" { "external" } else { "basic" };
                part.close(
                    &origin,
                    &format!("{}: write `authProviders`: `{provider}`, and `auth` in the route", origin.text),
                );
            }
            _ => {
                config.all_seen();
                let why = WHY
                    .iter()
                    .find(|(known, _)| known == kind)
                    .map_or("attache has nothing that is known to do this", |(_, why)| why);
                part.notes.push(Note::dropped(*line, format!("{}: {why}", origin.text)));
            }
        }
    }
    Ok(())
}

const WHY: &[(&str, &str)] = &[
    ("compress", "attache does not compress: agents may"),
    ("circuitBreaker", "`circuitBreaker.halfOpen` and `outlierDetection` of the cluster"),
    ("errors", "answers of agents pass as they are"),
    ("passTLSClientCert", "`auth.identityHeaders` tells agents who the client is"),
    ("contentType", "fields pass as they are"),
    ("grpcWeb", "gRPC passes as it is"),
    ("plugin", "attache has no plug-ins"),
    ("chain", "chains go round"),
];

/// Clients that may come in. All lists of a route must have a client, and a route here has one.
fn allow(config: &Foreign, origin: &Origin, part: &mut Part) {
    let networks = Value::texts(config.texts_at(&["sourceRange"]));
    if part.settings.get(&["ipAccess", "allow"]).is_some_and(|others| *others != networks) {
        let why = format!("{}: a second list of clients, who must be in both: write those who are", origin.text);
        return part.close(origin, &why);
    }
    part.put(&["ipAccess", "allow"], networks, origin);
}

fn bytes(text: &str) -> Option<Value> {
    words::size(text).map(Value::plain)
}

fn strip(config: &Foreign, cases: &[Case], origin: &Origin, part: &mut Part) {
    let prefixes = config.texts_at(&["prefixes"]);
    let _slash = config.text_at(&["forceSlash"]);
    let matched: Vec<&str> = cases.iter().flat_map(|case| &case.paths).map(|(_, path)| path.as_str()).collect();
    let is_same = !matched.is_empty()
        && matched
            .iter()
            .all(|path| prefixes.iter().any(|prefix| prefix.trim_end_matches('/') == path.trim_end_matches('/')));
    if is_same {
        return part.put(&["rewrite", "prefix"], Value::text("/"), origin);
    }
    let all: Vec<String> = prefixes.iter().map(|prefix| words::literal(prefix.trim_end_matches('/'))).collect();
    let pattern = format!("^(?:{})(?:/(.*))?$", all.join("|"));
    let value = Section::of("pattern", Value::text(pattern)).with("replacement", Value::text("/${1}"));
    part.put(&["rewrite", "regex"], Value::Map(value), origin);
}

fn path(kind: &str, config: &Foreign, cases: &[Case], origin: &Origin, part: &mut Part) {
    let regex = |pattern: &str, replacement: &str| {
        let value = Section::of("pattern", Value::text(pattern)).with("replacement", Value::text(replacement));
        Value::Map(value)
    };
    match kind {
        "replacePath" => {
            part.put(&["rewrite", "path"], Value::text(config.text_at(&["path"]).unwrap_or_default()), origin);
        }
        "replacePathRegex" => {
            let replacement = words::replacement(config.text_at(&["replacement"]).unwrap_or_default());
            part.put(
                &["rewrite", "regex"],
                regex(config.text_at(&["regex"]).unwrap_or_default(), &replacement),
                origin,
            );
        }
        "stripPrefixRegex" => {
            let patterns = config.texts_at(&["regex"]).join("|");
            part.put(&["rewrite", "regex"], regex(&format!("^(?:{patterns})(.*)$"), "/${1}"), origin);
        }
        _ => {
            let prefix = config.text_at(&["prefix"]).unwrap_or_default().trim_end_matches('/');
            let paths: Vec<_> = cases.iter().flat_map(|case| &case.paths).collect();
            match paths.as_slice() {
                [] => part.put(&["rewrite", "prefix"], Value::text(prefix), origin),
                [("prefix", path)] => part.put(&["rewrite", "prefix"], Value::text(format!("{prefix}{path}")), origin),
                _ => part.put(&["rewrite", "regex"], regex("^(.*)$", &format!("{prefix}${{1}}")), origin),
            }
        }
    }
}

fn redirect(kind: &str, config: &Foreign, origin: &Origin, part: &mut Part) {
    let is_permanent = config.text_at(&["permanent"]) == Some("true");
    if kind == "redirectRegex" {
        config.all_seen();
        return part.unserved(origin, &format!("{}: a redirect has a host and a path, no pattern", origin.text));
    }
    let scheme = config.text_at(&["scheme"]).unwrap_or("https");
    let mut value = Section::of("scheme", Value::text(scheme));
    if let Some(port) = config.text_at(&["port"]) {
        value = value.with("port", Value::plain(port));
    }
    value = value.with("status", Value::plain(if is_permanent { 301 } else { 302 }));
    part.settings.entries.retain(|entry| !matches!(entry.key.as_str(), "cluster" | "split" | "mirror" | "respond"));
    part.put(&["redirect"], Value::Map(value), origin);
}

fn headers(config: &Foreign, part: &mut Part) {
    for (key, section) in [("customRequestHeaders", "requestHeaders"), ("customResponseHeaders", "responseHeaders")] {
        for (name, line, value) in config.get(key).map_or(&[][..], Foreign::entries) {
            let name = name.to_ascii_lowercase();
            match value.text().unwrap_or_default() {
                "" => part.settings.push(&[section, "remove"], Value::text(name), &Origin::new(*line, key)),
                text if name == "host" && section == "requestHeaders" => {
                    part.put(&["upstreamHost"], Value::text(text), &Origin::new(*line, key));
                }
                text => part.put(&[section, "set", &name], Value::text(text), &Origin::new(*line, key)),
            }
        }
    }
    let is_on = |key: &str| config.text_at(&[key]) == Some("true");
    let mut set = |name: &str, value: String, key: &str| {
        let line = config.get(key).map_or(config.line, |value| value.line);
        part.put(&["responseHeaders", "set", name], Value::text(value), &Origin::new(line, key));
    };
    if is_on("contentTypeNosniff") {
        set("x-content-type-options", "nosniff".to_owned(), "contentTypeNosniff");
    }
    if is_on("frameDeny") {
        set("x-frame-options", "DENY".to_owned(), "frameDeny");
    }
    for (key, name) in [
        ("customFrameOptionsValue", "x-frame-options"),
        ("contentSecurityPolicy", "content-security-policy"),
        ("referrerPolicy", "referrer-policy"),
        ("permissionsPolicy", "permissions-policy"),
    ] {
        if let Some(text) = config.text_at(&[key]) {
            set(name, text.to_owned(), key);
        }
    }
    if let Some(seconds) = config.text_at(&["stsSeconds"]).filter(|seconds| *seconds != "0") {
        let subdomains = if is_on("stsIncludeSubdomains") { "; includeSubDomains" } else { "" };
        let preload = if is_on("stsPreload") { "; preload" } else { "" };
        set("strict-transport-security", format!("max-age={seconds}{subdomains}{preload}"), "stsSeconds");
    }
    if let Some(filter) = config.get("browserXssFilter") {
        filter.all_seen();
        let text =
            "browserXssFilter: X-XSS-Protection is obsolete, and a danger in the browsers that knew it: not sent";
        part.notes.push(Note::danger(filter.line, text));
    }
    cors(config, part);
}

fn cors(config: &Foreign, part: &mut Part) {
    for (theirs, ours) in [
        ("accessControlAllowOriginList", "allowOrigins"),
        ("accessControlAllowMethods", "allowMethods"),
        ("accessControlAllowHeaders", "allowHeaders"),
        ("accessControlExposeHeaders", "exposeHeaders"),
    ] {
        let texts = config.texts_at(&[theirs]);
        if !texts.is_empty() {
            part.put(&["cors", ours], Value::texts(texts), &Origin::new(config.line, theirs));
        }
    }
    if config.text_at(&["accessControlAllowCredentials"]) == Some("true") {
        let origin = Origin::new(config.line, "accessControlAllowCredentials");
        part.put(&["cors", "allowCredentials"], Value::plain("true"), &origin);
    }
    if let Some(age) = config.text_at(&["accessControlMaxAge"]) {
        part.put(
            &["cors", "maxAge"],
            Value::plain(format!("{age}s")),
            &Origin::new(config.line, "accessControlMaxAge"),
        );
    }
}

fn rate(
    name: &str,
    config: &Foreign,
    origin: &Origin,
    part: &mut Part,
    world: &mut World<'_, '_>,
) -> Result<(), TooLarge> {
    let number = |key: &str| config.text_at(&[key]).and_then(|text| text.parse::<u64>().ok());
    let (average, burst) = (number("average").unwrap_or(0), number("burst").unwrap_or(1));
    let period =
        config.text_at(&["period"]).and_then(|text| words::time(text, 1_000)).unwrap_or_else(|| "1s".to_owned());
    if average == 0 {
        part.notes.push(Note::changed(origin.line, format!("{}: average 0 is no limit", origin.text)));
        config.all_seen();
        return Ok(());
    }
    let limit = match world.limits.get(name) {
        Some(limit) => limit.clone(),
        None => {
            let limit = world.draft.name(Kind::RateLimit, name);
            let mut made = Part::new(limit.clone(), origin.clone());
            let header = config.text_at(&["sourceCriterion", "requestHeaderName"]);
            let key = match header {
                Some(name) => format!("header:{name}"),
                None if config.text_at(&["sourceCriterion", "requestHost"]) == Some("true") => "global".to_owned(),
                None => "clientIp".to_owned(),
            };
            made.put(&["key"], Value::text(key), &Origin::new(origin.line, "sourceCriterion"));
            made.put(
                &["rate"],
                Value::text(format!("{average}/{period}")),
                &Origin::new(origin.line, "average, period"),
            );
            let text = format!("burst: {burst}, which is {burst} at once there and one more here");
            made.put(&["burst"], Value::plain(burst.saturating_sub(1).max(1)), &Origin::new(origin.line, text));
            world.draft.add(Kind::RateLimit, made)?;
            world.limits.insert(name.to_owned(), limit.clone());
            limit
        }
    };
    if let Some(source) = config.get("sourceCriterion") {
        source.all_seen();
    }
    part.settings.push(&["rateLimit"], Value::text(limit), origin);
    Ok(())
}

fn in_flight(config: &Foreign, origin: &Origin, part: &mut Part) {
    let is_by_address = config.at(&["sourceCriterion", "ipStrategy"]).is_some();
    let amount = config.text_at(&["amount"]).unwrap_or_default().to_owned();
    config.all_seen();
    part.put(&["maxConcurrentPerClient"], Value::plain(amount), origin);
    if !is_by_address {
        let text = format!(
            "{}: Traefik counts by the host of the request, so all clients share it; here each client has its own",
            origin.text
        );
        part.notes.push(Note::changed(origin.line, text));
    }
}

fn retry(config: &Foreign, origin: &Origin, part: &mut Part) {
    let attempts = config.text_at(&["attempts"]).and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
    if attempts < 2 {
        return part.put(&["retries"], Value::plain("off"), origin);
    }
    let text = format!("attempts: {attempts}, the first one included there");
    part.put(&["retries", "attempts"], Value::plain(attempts - 1), &Origin::new(origin.line, text));
    let retry_on = Value::text("connect-failure");
    part.put(&["retries", "retryOn"], retry_on, &Origin::new(0, "Traefik repeats what it could not send"));
    if let Some(initial) = config.get("initialInterval")
        && let Some(millis) = initial.text().and_then(|text| words::millis(text, 1_000))
    {
        let origin = tree::origin(initial, "initialInterval");
        part.put(&["retries", "backoff", "base"], Value::plain(words::duration(millis)), &origin);
        part.put(
            &["retries", "backoff", "max"],
            Value::plain(words::duration(millis.saturating_mul(10).max(250))),
            &Origin::default(),
        );
    }
}
