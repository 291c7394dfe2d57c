//! Services: clusters, splits and mirrors.

use super::World;
use crate::config::foreign::Foreign;
use crate::migrate::model::{Item, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::{tree, words};

/// Leads a route to a service.
pub(super) fn lead(name: &str, line: usize, part: &mut Part, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let origin = Origin::new(line, format!("service: {name}"));
    let Some(service) = world.named("services", name) else {
        part.unserved(&origin, &format!("service {name} is not in the file"));
        return Ok(());
    };
    if let Some(weighted) = service.get("weighted") {
        let mut shares = Vec::new();
        for one in weighted.items_at(&["services"]) {
            let inner = one.text_at(&["name"]).unwrap_or_default();
            let weight = one.text_at(&["weight"]).unwrap_or("1").to_owned();
            let Some(cluster) = cluster(inner, world)? else { continue };
            let value = Section::of("cluster", Value::plain(cluster)).with("weight", Value::plain(weight));
            shares.push(Item { value: Value::Map(value), origin: Origin::new(one.line, format!("weighted: {inner}")) });
        }
        part.put(&["split"], Value::List(shares), &origin);
        return Ok(());
    }
    if let Some(mirroring) = service.get("mirroring") {
        let main = mirroring.text_at(&["service"]).unwrap_or_default().to_owned();
        for (index, mirror) in mirroring.items_at(&["mirrors"]).iter().enumerate() {
            let inner = mirror.text_at(&["name"]).unwrap_or_default();
            let Some(copy) = cluster(inner, world)?.filter(|_| index == 0) else {
                part.notes.push(Note::dropped(mirror.line, "mirrors: a route has one"));
                continue;
            };
            part.put(
                &["mirror", "cluster"],
                Value::plain(copy),
                &Origin::new(mirror.line, format!("mirrors: {inner}")),
            );
            let share = mirror.text_at(&["percent"]).unwrap_or("0");
            part.put(
                &["mirror", "percentage"],
                Value::plain(format!("{share}%")),
                &Origin::new(mirror.line, "percent"),
            );
            let text = "mirrors: Traefik copies requests that change something too; here GET, HEAD and OPTIONS alone, unless \
                        `unsafe: true`";
            part.notes.push(Note::changed(mirror.line, text));
        }
        return to_cluster(&main, &origin, part, world);
    }
    if let Some(failover) = service.get("failover") {
        let main = failover.text_at(&["service"]).unwrap_or_default().to_owned();
        failover.all_seen();
        let text = "failover: put the servers of the fallback into the cluster with `priority: 1`";
        part.notes.push(Note::changed(failover.line, text));
        return to_cluster(&main, &origin, part, world);
    }
    to_cluster(name, &origin, part, world)
}

fn to_cluster(name: &str, origin: &Origin, part: &mut Part, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    match cluster(name, world)? {
        Some(cluster) => part.put(&["cluster"], Value::plain(cluster), origin),
        None => part.unserved(origin, &format!("service {name} has no servers in the file")),
    }
    Ok(())
}

/// The cluster of a service with servers, made once.
fn cluster(name: &str, world: &mut World<'_, '_>) -> Result<Option<String>, TooLarge> {
    let short = name.split('@').next().unwrap_or(name).to_owned();
    if let Some(known) = world.clusters.get(&short) {
        return Ok(Some(known.clone()));
    }
    let balancer = world.named("services", &short).and_then(|service| service.get("loadBalancer"));
    let Some(balancer) = balancer else { return Ok(None) };
    let ours = world.draft.name(Kind::Cluster, &short);
    let mut part = Part::new(ours.clone(), Origin::new(balancer.line, format!("services.{short}.loadBalancer")));
    let mut scheme = "http".to_owned();
    for server in balancer.items_at(&["servers"]) {
        let url = server.text_at(&["url"]).unwrap_or_default();
        let Some((how, authority, _)) = words::url(url) else {
            part.notes.push(Note::dropped(server.line, format!("servers: {url}: no URL")));
            continue;
        };
        how.clone_into(&mut scheme);
        let address = Value::text(words::with_port(authority, if how == "https" { 443 } else { 80 }));
        let value = match server.text_at(&["weight"]) {
            Some(weight) => Value::Map(Section::of("address", address).with("weight", Value::plain(weight))),
            None => address,
        };
        part.settings.push(&["endpoints"], value, &Origin::new(server.line, format!("url: {url}")));
    }
    part.put(&["loadBalancer"], Value::plain("round-robin"), &Origin::new(0, "what Traefik does"));
    if scheme == "h2c" {
        part.put(&["protocol"], Value::plain("h2c"), &Origin::new(balancer.line, "h2c://"));
    }
    let transport = balancer.text_at(&["serversTransport"]).map(str::to_owned);
    if scheme == "https" || transport.is_some() {
        of_transport(&scheme, transport.as_deref(), balancer, &mut part, world);
    }
    if let Some(check) = balancer.get("healthCheck") {
        health(check, &mut part);
    }
    world.clusters.insert(short, ours.clone());
    world.draft.add(Kind::Cluster, part)?;
    Ok(Some(ours))
}

fn health(check: &Foreign, part: &mut Part) {
    tree::take(
        check,
        &[
            (&["healthCheck", "path"], &["path"], tree::word),
            (&["healthCheck", "interval"], &["interval"], tree::time),
            (&["healthCheck", "timeout"], &["timeout"], tree::time),
            (&["healthCheck", "port"], &["port"], tree::plain),
            (&["healthCheck", "method"], &["method"], tree::word),
            (&["healthCheck", "host"], &["hostname"], tree::word),
            (&["healthCheck", "expectedStatuses"], &["status"], tree::word),
        ],
        part,
    );
    if check.get("status").is_none() {
        part.put(
            &["healthCheck", "expectedStatuses"],
            Value::text("200-399"),
            &Origin::new(0, "what Traefik takes for well"),
        );
    }
}

fn of_transport(scheme: &str, name: Option<&str>, balancer: &Foreign, part: &mut Part, world: &World<'_, '_>) {
    if scheme == "https" {
        part.put(&["tls"], Value::Map(Section::default()), &Origin::new(balancer.line, "https://"));
    }
    let Some(transport) = name.and_then(|name| world.named("serversTransports", name)) else { return };
    tree::take(
        transport,
        &[
            (&["tls", "serverName"], &["serverName"], tree::word),
            (&["connectTimeout"], &["forwardingTimeouts", "dialTimeout"], tree::time),
            (&["keepalive", "idleTimeout"], &["forwardingTimeouts", "idleConnTimeout"], tree::time),
            (&["keepalive", "maxIdle"], &["maxIdleConnsPerHost"], tree::plain),
        ],
        part,
    );
    if let Some(file) = transport.texts_at(&["rootCAs"]).first() {
        part.put(&["tls", "caFile"], Value::text(*file), &Origin::new(transport.line, "rootCAs"));
    }
    if transport.text_at(&["insecureSkipVerify"]) == Some("true") {
        let text = "insecureSkipVerify: certificates are verified here; name the authority in `tls.caFile`";
        part.notes.push(Note::danger(transport.line, text));
    }
}
