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

#[cfg(test)]
mod tests {
    use crate::migrate::{Kind, Migrated, NoteKind, migrate};

    fn migrated(routes: &str) -> Migrated {
        let text = format!(
            "static_resources:
  listeners:
    - name: in
      address: {{ socket_address: {{ address: 0.0.0.0, port_value: 80 }} }}
      filter_chains:
        - filters:
            - name: hcm
              typed_config:
                \"@type\": x.HttpConnectionManager
                use_remote_address: true
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: [\"*\"]
                      routes:
{routes}
  clusters:
    - name: one
      load_assignment: {{ endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 10.0.0.1, port_value: 80 }} }} }} }}] }}] }}
"
        );
        migrate(Kind::Envoy, &text, "f").unwrap()
    }

    fn dangers(migrated: &Migrated) -> Vec<usize> {
        let notes = migrated.notes.iter().filter(|note| note.kind == NoteKind::Unsafe);
        notes.map(|note| note.line).collect()
    }

    #[test]
    fn a_refusal_holds_for_a_later_route_that_is_more_specific() {
        let found = migrated(
            "                        - { match: { safe_regex: { regex: \"/api/admin.*\" } }, direct_response: { status: 403 } }
                        - { match: { prefix: /api/ }, route: { cluster: one } }
                        - { match: { prefix: /web/ }, route: { cluster: one } }",
        );
        let api = found.yaml.split("\n  api:").nth(1).unwrap().split("\n  web:").next().unwrap();
        assert!(api.contains("action: deny") && api.contains("- regex: \"/api/admin.*\""), "{}", found.yaml);
        assert_eq!(found.yaml.matches("action: deny").count(), 1, "{}", found.yaml);
        assert_eq!(dangers(&found), [0; 0]);
    }

    #[test]
    fn a_refusal_by_a_prefix_takes_all_that_begins_with_it() {
        let found = migrated(
            "                        - { match: { prefix: /admin }, direct_response: { status: 404 } }
                        - { match: { prefix: / }, route: { cluster: one } }",
        );
        assert_eq!(found.yaml.matches("regex: \"/admin.*\"").count(), 2, "the route and the rule: {}", found.yaml);
        assert!(!found.notes.iter().any(|note| note.text.contains("/adminx")), "{:#?}", found.notes);
    }

    #[test]
    fn a_refusal_by_a_field_before_a_route_that_is_more_specific_is_a_danger() {
        let found = migrated(
            "                        - { match: { prefix: /, headers: [{ name: x-bad, string_match: { exact: a } }] }, direct_response: { status: 403 } }
                        - { match: { prefix: /api/ }, route: { cluster: one } }",
        );
        assert_eq!(dangers(&found), [17], "{:#?}", found.notes);
    }

    #[test]
    fn a_field_is_there_only_where_nothing_else_is_asked_of_it() {
        for (condition, expected) in [
            ("{ name: x }", Some("present: true")),
            ("{ name: x, present_match: true }", Some("present: true")),
            ("{ name: x, present_match: false }", None),
            ("{ name: x, suffix_match: a }", None),
            ("{ name: x, contains_match: a }", None),
            ("{ name: x, range_match: { start: 1, end: 2 } }", None),
            ("{ name: x, invert_match: true, exact_match: a }", None),
            ("{ name: x, invert_match: false, exact_match: a }", Some("exact: \"a\"")),
            ("{ name: x, treat_missing_header_as_empty: true, exact_match: a }", None),
            ("{ name: x, string_match: { exact: a } }", Some("exact: \"a\"")),
            ("{ name: x, string_match: { exact: a, ignore_case: true } }", Some("regex: \"(?i)a\"")),
            ("{ name: x, string_match: { ignore_case: true, prefix: a.b } }", Some("regex: \"(?i)a\\\\.b.*\"")),
            ("{ name: x, string_match: { custom: {} } }", None),
            ("{ name: x, exact_match: a }, { name: x, exact_match: b }", None),
        ] {
            for key in ["headers", "query_parameters"] {
                let found = migrated(&format!(
                    "                        - {{ match: {{ prefix: /a, {key}: [{condition}] }}, route: {{ cluster: one }} }}"
                ));
                match expected {
                    Some(expected) => assert!(found.yaml.contains(expected), "{key}: {condition}: {}", found.yaml),
                    None => {
                        assert!(!found.yaml.contains("cluster: one"), "{key}: {condition}: {}", found.yaml);
                        assert_eq!(dangers(&found), [16], "{key}: {condition}: {:#?}", found.notes);
                    }
                }
            }
        }
    }

    #[test]
    fn what_narrows_a_match_is_not_passed_over() {
        let found = migrated("                        - { match: { prefix: /a, grpc: {} }, route: { cluster: one } }");
        assert!(found.yaml.contains("prefix: \"application/grpc\""), "{}", found.yaml);
        let found = migrated(
            "                        - { match: { prefix: /a, case_sensitive: false }, direct_response: { status: 403 } }",
        );
        assert_eq!(dangers(&found), [16], "{:#?}", found.notes);
    }
}
