//! Listeners with their certificates.

use super::{World, manager, typed};
use crate::config::foreign::Foreign;
use crate::migrate::client_auth::{Demand, Demands};
use crate::migrate::model::{Draft, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::tree;

pub(super) fn translate(listener: &Foreign, world: &mut World<'_>) -> Result<(), TooLarge> {
    let called = listener.text_at(&["name"]).unwrap_or("listener").to_owned();
    let socket = listener.at(&["address", "socket_address"]);
    let Some((socket, host, port)) =
        socket.and_then(|socket| Some((socket, socket.text_at(&["address"])?, socket.text_at(&["port_value"])?)))
    else {
        listener.all_seen();
        world.draft.note(Note::dropped(listener.line, format!("listener {called}: it has no address and port")));
        return Ok(());
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut part =
        Part::new(world.draft.name(Kind::Listener, &called), Origin::new(listener.line, format!("name: {called}")));
    part.put(&["address"], Value::text(format!("{host}:{port}")), &Origin::new(socket.line, "socket_address"));
    let _protocol = socket.text_at(&["protocol"]);
    let chains = listener.items_at(&["filter_chains"]);
    let mut demands = Demands::default();
    for chain in chains {
        if let Some(tls) = chain.get("transport_socket").and_then(|socket| typed(socket, "DownstreamTlsContext")) {
            of_tls(tls, &mut part);
            demands.add(client_auth(tls, &mut part), &Origin::new(chain.line, "filter_chains[]"));
        }
    }
    demands.put(&mut part);
    let at = world.draft.listeners.len();
    let name = part.name.clone();
    world.draft.add(Kind::Listener, part)?;
    for chain in chains {
        let first = world.draft.routes.len();
        filters(chain, &name, at, world)?;
        if let Some(matched) = chain.get("filter_chain_match") {
            narrowed(matched, chains.len() > 1, first, world.draft)?;
        }
    }
    Ok(())
}

fn filters(chain: &Foreign, listener: &str, at: usize, world: &mut World<'_>) -> Result<(), TooLarge> {
    for filter in chain.items_at(&["filters"]) {
        match typed(filter, "HttpConnectionManager") {
            Some(config) => manager::translate(config, listener, at, world)?,
            None => {
                let text = format!(
                    "filter {}: attache speaks HTTP, with an HttpConnectionManager",
                    filter.text_at(&["name"]).unwrap_or_default()
                );
                filter.all_seen();
                world.draft.note(Note::dropped(filter.line, text));
            }
        }
    }
    Ok(())
}

/// What a chain asks of connections. Names hold for the routes that it has made, from `first`.
fn narrowed(matched: &Foreign, has_others: bool, first: usize, draft: &mut Draft) -> Result<(), TooLarge> {
    for (key, line, value) in matched.entries() {
        match key.as_str() {
            "server_names" => {
                let origin = Origin::new(*line, "server_names");
                let names = matched.texts_at(&[key]);
                draft.count(names.len().saturating_mul(draft.routes.len() - first))?;
                for route in draft.routes.iter_mut().skip(first).filter(|route| !route.has(&["hosts"])) {
                    route.put(&["hosts"], Value::texts(names.iter().copied()), &origin);
                }
                if has_others {
                    let text = "server_names: Envoy chooses a chain by the name in the TLS handshake; here the Host of each \
                                request decides, whatever name the handshake had";
                    draft.note(Note::danger(*line, text));
                }
            }
            "transport_protocol" | "application_protocols" => {}
            _ => {
                value.all_seen();
                let text = format!(
                    "filter_chain_match.{key}: a listener takes every connection to its address; this chain's routes are \
                     open to all of them"
                );
                draft.note(Note::danger(*line, text));
            }
        }
    }
    Ok(())
}

fn of_tls(tls: &Foreign, part: &mut Part) {
    let Some(common) = tls.get("common_tls_context") else { return };
    for pair in common.items_at(&["tls_certificates"]) {
        let file = |key: &str| pair.text_at(&[key, "filename"]);
        let (Some(certificate), Some(key)) = (file("certificate_chain"), file("private_key")) else {
            part.notes.push(Note::danger(pair.line, "tls_certificates: name files: `certFile` and `keyFile`"));
            continue;
        };
        let value = Section::of("certFile", Value::text(certificate)).with("keyFile", Value::text(key));
        part.settings.push(&["tls", "certificates"], Value::Map(value), &Origin::new(pair.line, "tls_certificates"));
    }
    if common.get("tls_certificate_sds_secret_configs").is_some() {
        part.notes.push(Note::danger(common.line, "secrets by SDS: name files in `tls.certificates`"));
    }
    if let Some(version) = common.at(&["tls_params", "tls_minimum_protocol_version"]) {
        let least = if version.text() == Some("TLSv1_3") { "1.3" } else { "1.2" };
        part.put(&["tls", "minVersion"], Value::text(least), &tree::origin(version, "tls_minimum_protocol_version"));
    }
}

/// What a chain asks of its clients. Where it requires a certificate whose authority is in no file, one has to be put
/// there: nobody gets in before.
fn client_auth(tls: &Foreign, part: &mut Part) -> Option<Demand> {
    let required = tls.get("require_client_certificate");
    let is_required = required.and_then(Foreign::text) == Some("true");
    let origin = Origin::new(required.map_or(tls.line, |required| required.line), "require_client_certificate");
    let context = tls.at(&["common_tls_context", "validation_context"]);
    let authority = context.and_then(|context| context.at(&["trusted_ca", "filename"]));
    if authority.is_none() && !is_required {
        return None;
    }
    let mut demand = Demand::new(is_required, origin.clone());
    match authority {
        Some(authority) => {
            demand.file("caFile", authority.text().unwrap_or_default(), tree::origin(authority, "trusted_ca"));
        }
        None => {
            let text =
                "require_client_certificate: the authority is in no file; put it where `clientAuth.caFile` names it";
            part.notes.push(Note::danger(origin.line, text));
            demand.file("caFile", "certs/clients-ca.crt", Origin::new(0, "not in the file: choose"));
        }
    }
    if let Some(list) = context.and_then(|context| context.at(&["crl", "filename"])) {
        demand.file("crlFile", list.text().unwrap_or_default(), tree::origin(list, "crl"));
    }
    for (key, line, value) in context.map_or(&[][..], Foreign::entries) {
        if !matches!(key.as_str(), "trusted_ca" | "crl") {
            value.all_seen();
            let text = format!(
                "validation_context.{key}: every certificate of the authority gets in here; say who may with \
                 `authProviders`: `clientCertificate`"
            );
            part.notes.push(Note::danger(*line, text));
        }
    }
    Some(demand)
}
