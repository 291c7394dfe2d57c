//! Istio: Gateway, VirtualService, DestinationRule, PeerAuthentication and AuthorizationPolicy.

mod gateway;
mod policy;
mod route;
mod rule;

use std::collections::HashMap;

use super::client_auth::Demands;
use super::model::{Draft, Kind, Origin, Part, TooLarge, Value};
use super::note::Note;
use super::tree;
use crate::config::foreign::Foreign;

/// What is known of all documents.
struct World<'a, 'd> {
    draft: &'d mut Draft,
    /// Listeners of each Gateway.
    gateways: HashMap<String, Vec<String>>,
    /// What the servers of each listener ask of their clients.
    demands: HashMap<String, Demands>,
    /// DestinationRules by the host they are for.
    rules: HashMap<String, &'a Foreign>,
    /// Clusters by host, subset and port.
    clusters: HashMap<(String, String, String), String>,
    policies: policy::Policies,
    /// `mtls.mode: STRICT`.
    strict: Option<Origin>,
    /// The listener for callers inside the cluster, once there is one.
    mesh: Option<String>,
}

pub(super) fn translate(documents: &[Foreign], draft: &mut Draft) -> Result<(), TooLarge> {
    tree::named(documents);
    let of_kind = |wanted: &str| -> Vec<&Foreign> {
        let is_wanted = |document: &&Foreign| kind(document) == wanted;
        documents.iter().filter(is_wanted).inspect(|document| document.marked()).collect()
    };
    let mut rules = HashMap::new();
    for rule in of_kind("DestinationRule") {
        let host = rule.text_at(&["spec", "host"]).unwrap_or_default();
        rules.insert(full_name(host, rule), rule);
    }
    let mut world = World {
        draft,
        gateways: HashMap::new(),
        demands: HashMap::new(),
        rules,
        clusters: HashMap::new(),
        policies: policy::Policies::default(),
        strict: None,
        mesh: None,
    };
    for one in of_kind("PeerAuthentication") {
        peers(one, &mut world);
    }
    for one in of_kind("AuthorizationPolicy") {
        policy::translate(one, &mut world)?;
    }
    for one in of_kind("RequestAuthentication") {
        let text = "RequestAuthentication: write `authProviders`: `jwt` with issuer and keys, and `auth` in the routes. Until \
                    then no token is looked at";
        one.all_seen();
        world.draft.note(Note::danger(one.line, text));
    }
    for one in of_kind("Gateway") {
        gateway::translate(one, &mut world)?;
    }
    for part in &mut world.draft.listeners {
        if let Some(demands) = world.demands.get(&part.name) {
            demands.put(part);
        }
    }
    for one in of_kind("VirtualService") {
        route::translate(one, &mut world)?;
    }
    for rule in of_kind("DestinationRule") {
        rule::unused(rule, &mut world)?;
    }
    others(documents, world.draft);
    Ok(())
}

/// What kind of object a document is; nothing for what Istio does not know.
fn kind(document: &Foreign) -> &str {
    let version = document.text_at(&["apiVersion"]).unwrap_or_default();
    if version.contains("istio.io") { document.text_at(&["kind"]).unwrap_or_default() } else { "" }
}

/// Documents of other kinds have a note each.
fn others(documents: &[Foreign], draft: &mut Draft) {
    const KNOWN: [&str; 6] = [
        "DestinationRule", "PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication", "Gateway",
        "VirtualService",
    ];
    for document in documents.iter().filter(|document| !KNOWN.contains(&kind(document))) {
        let name = document.text_at(&["kind"]).unwrap_or("a document without a kind").to_owned();
        document.all_seen();
        draft.note(Note::dropped(document.line, format!("{name}: attache has nothing that is made of it")));
    }
    tree::note_unseen(documents, WHY, draft);
}

const WHY: &[(&str, &str)] = &[
    ("labels annotations", "names in Kubernetes have no meaning here"),
    ("selector", "there is one gateway, which is attache"),
    ("exportTo workloadSelector", "there is no mesh to show it to"),
    ("tcp", "attache speaks HTTP"),
    ("cipherSuites", "every suite that attache offers is a good one, there is nothing to choose"),
    ("portLevelSettings", "a cluster has one set of settings: give each port a cluster"),
];

/// The full name of a host: short ones belong to the namespace of the document.
fn full_name(host: &str, document: &Foreign) -> String {
    match document.text_at(&["metadata", "namespace"]) {
        Some(namespace) if !host.contains('.') && !host.is_empty() && host != "*" => {
            format!("{host}.{namespace}.svc.cluster.local.")
        }
        _ => host.to_owned(),
    }
}

fn name_of(document: &Foreign) -> &str {
    document.text_at(&["metadata", "name"]).unwrap_or_default()
}

fn peers(document: &Foreign, world: &mut World<'_, '_>) {
    let Some(mode) = document.at(&["spec", "mtls", "mode"]) else { return };
    let _name = name_of(document);
    let origin = tree::origin(mode, "PeerAuthentication mtls.mode");
    if mode.text() == Some("STRICT") {
        let text = "PeerAuthentication STRICT: callers inside the cluster show a certificate of the mesh to the listener `mesh`, \
                    where a VirtualService has one. Towards agents, `clusters.X.tls` has `certFile`, `keyFile` and `caFile`";
        world.draft.note(Note::changed(mode.line, text));
        world.strict = Some(origin);
    } else {
        let text = format!("{}: the listener asks for certificates where `tls.clientAuth` says so", origin.text);
        world.draft.note(Note::changed(mode.line, text));
    }
}

/// The listener for callers inside the cluster, and what proves who they are.
fn mesh(line: usize, world: &mut World<'_, '_>) -> Result<String, TooLarge> {
    if let Some(name) = &world.mesh {
        return Ok(name.clone());
    }
    let name = world.draft.name(Kind::Listener, "mesh");
    let mut part = Part::new(name.clone(), Origin::new(line, "gateways: mesh, the default of a VirtualService"));
    part.put(&["address"], Value::text("0.0.0.0:8081"), &Origin::new(0, "not in the file: choose"));
    if let Some(origin) = &world.strict {
        let pair = super::model::Section::of("certFile", Value::text("certs/mesh.crt"))
            .with("keyFile", Value::text("certs/mesh.key"));
        part.settings.push(&["tls", "certificates"], Value::Map(pair), &Origin::new(0, "the workload's certificate"));
        part.put(&["tls", "clientAuth", "mode"], Value::plain("require"), origin);
        part.put(
            &["tls", "clientAuth", "caFile"],
            Value::text("certs/mesh-ca.crt"),
            &Origin::new(0, "the mesh's authority"),
        );
        let text = "PeerAuthentication: put the certificate, key and authority of the mesh where the listener `mesh` names them";
        part.notes.push(Note::changed(origin.line, text));
        let mut provider = Part::new("mesh".to_owned(), origin.clone());
        let domains = Value::texts([world.policies.trust_domain().to_owned()]);
        provider.put(&["clientCertificate", "trustDomains"], domains, &Origin::default());
        world.draft.auth_providers.push(provider);
    }
    world.draft.add(Kind::Listener, part)?;
    world.mesh = Some(name.clone());
    Ok(name)
}
