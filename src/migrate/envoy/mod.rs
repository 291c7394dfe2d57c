//! Envoy: a static configuration with connection managers, in YAML or JSON.

mod cluster;
mod listener;
mod manager;
mod route;

use std::collections::HashMap;

use super::model::{Draft, TooLarge};
use super::note::Note;
use super::tree;
use crate::config::foreign::Foreign;

/// What is known of the whole file.
struct World<'d> {
    draft: &'d mut Draft,
    /// Our names of clusters by theirs.
    clusters: HashMap<String, String>,
}

pub(super) fn translate(documents: &[Foreign], draft: &mut Draft) -> Result<(), TooLarge> {
    let mut world = World { draft, clusters: HashMap::new() };
    for document in documents {
        let resources = document.get("static_resources").unwrap_or(document);
        for one in resources.items_at(&["clusters"]) {
            cluster::translate(one, &mut world)?;
        }
        for one in resources.items_at(&["listeners"]) {
            listener::translate(one, &mut world)?;
        }
        if let Some(dynamic) = document.get("dynamic_resources") {
            dynamic.all_seen();
            let text = "dynamic_resources: there is no xDS here; a changed file is loaded by itself";
            world.draft.note(Note::dropped(dynamic.line, text));
        }
    }
    tree::note_unseen(documents, WHY, world.draft);
    Ok(())
}

/// The configuration of a kind that `@type` ends with, of a filter or a transport socket.
fn typed<'a>(value: &'a Foreign, wanted: &str) -> Option<&'a Foreign> {
    let config = value.get("typed_config")?;
    let kind = config.text_at(&["@type"])?;
    let _name = value.text_at(&["name"]);
    (kind.rsplit('.').next() == Some(wanted)).then_some(config)
}

const WHY: &[(&str, &str)] = &[
    ("admin", "`metrics` has what is read, and `admin` what is commanded, apart from each other"),
    (
        "node layered_runtime bootstrap_extensions stats_config stats_sinks tracing cluster_manager hds_config",
        "attache has nothing like it, or a section of its own for it: `metrics`, `accessLog`, `logging`",
    ),
    ("stat_prefix name", "names of series are attache's own"),
    ("access_log", "`accessLog` is one for all routes: `output`, `format` and `fields`"),
    ("codec_type", "a listener speaks HTTP/1.1 and HTTP/2; `protocols` says which"),
    ("normalize_path merge_slashes path_with_escaped_slashes_action", "always on; `paths` of the listener"),
    (
        "generate_request_id preserve_external_request_id always_set_request_id_in_response",
        "requests have ids by themselves",
    ),
    ("server_name server_header_transformation", "attache does not name itself"),
    (
        "dns_lookup_family dns_refresh_rate respect_dns_ttl dns_resolvers use_tcp_for_dns_lookups",
        "both families are used, and names are asked for again when their answers end",
    ),
    (
        "per_connection_buffer_limit_bytes listener_filters traffic_direction reuse_port enable_reuse_port socket_options \
      drain_type tcp_backlog_size",
        "a listener does this by itself",
    ),
    ("local_reply_config", "refusals have a short text and a reason"),
    ("hash_policy", "`loadBalancer: { hash: .. }` of the cluster"),
    ("typed_per_filter_config", "give the route what it needs itself"),
    ("alpn_protocols", "follows from `protocols`"),
    (
        "tls_params cipher_suites ecdh_curves",
        "every suite that attache offers is a good one, there is nothing to choose",
    ),
    ("cluster_name", "it has the cluster's name"),
    ("common_lb_config", "`panic` of the cluster says what happens when too few endpoints are well"),
    ("rds scoped_routes", "there is no xDS here; a changed file is loaded by itself"),
];
