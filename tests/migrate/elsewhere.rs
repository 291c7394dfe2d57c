//! What keeps clients out elsewhere than in nginx, and files that are made to be too much.

use attache::migrate::{Kind, NoteKind, migrate};

use crate::protection::Made;

/// Gateways `in` and `out` on two ports, an object more, and a VirtualService.
fn istio(policies: &str, gateways: &str, http: &str) -> String {
    let gateway = |name: &str, port: u16| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{ name: {name} }}\nspec: {{ servers: \
             [{{ port: {{ number: {port}, protocol: HTTP }}, hosts: ['*'] }}] }}\n---\n"
        )
    };
    format!(
        "{}{}{policies}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{ name: v }}\nspec:\n  \
         hosts: [a.com]\n  gateways: [{gateways}]\n  http:\n{http}",
        gateway("in", 8081),
        gateway("out", 8082)
    )
}

#[test]
fn a_match_holds_for_its_gateways_alone() {
    let route = |host: &str| format!("route: [{{ destination: {{ host: {host} }} }}]");
    let inside = route("inside.svc");
    let text = format!(
        "  - {{ match: [{{ uri: {{ prefix: /admin/ }}, gateways: [ns/in] }}], {inside} }}\n  \
         - {{ match: [{{ uri: {{ prefix: /odd/ }}, port: 9 }}, {{ uri: {{ prefix: /even/ }} }}], {inside} }}\n  \
         - {{ match: [{{ uri: {{ prefix: /gone/ }}, gateways: [other] }}], {inside} }}\n"
    );
    let made = Made::of(Kind::Istio, &istio("", "in, out", &text));
    made.says("http://a.com:8081/admin/x", &["cluster   inside"]);
    made.says("http://a.com:8082/even/x", &["cluster   inside"]);
    for url in ["http://a.com:8082/admin/x", "http://a.com:8081/odd/x", "http://a.com:8081/gone/x"] {
        assert!(made.answer(url).contains("none matches"), "{url}");
    }
    made.notes(NoteKind::Unsafe, 19, "match with port");
    made.notes(NoteKind::Unsafe, 20, "match.gateways: other");
}

#[test]
fn matches_of_different_gateways_are_routes_of_their_own() {
    let text = "  - { match: [{ uri: { prefix: /a/ }, gateways: [in] }, { uri: { prefix: /b/ } }], \
                route: [{ destination: { host: x.svc } }] }\n";
    let made = Made::of(Kind::Istio, &istio("", "in, out", text));
    for url in ["http://a.com:8081/a/", "http://a.com:8081/b/", "http://a.com:8082/b/"] {
        made.says(url, &["cluster   x"]);
    }
    assert!(made.answer("http://a.com:8082/a/").contains("none matches"));
}

#[test]
fn a_virtual_service_of_a_gateway_elsewhere_is_a_danger_beside_others() {
    let made = Made::of(Kind::Istio, &istio("", "elsewhere", "  - { directResponse: { status: 200 } }\n"));
    made.notes(NoteKind::Unsafe, 11, "every listener serves this");
}

#[test]
fn policies_that_deny_hold_for_a_gateway_that_may_do_everything() {
    let policy = |name: &str, action: &str, rules: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{ name: {name} }}\nspec: {{ action: \
             {action}, rules: [{rules}] }}\n---\n"
        )
    };
    let ingress = policy(
        "ingress",
        "ALLOW",
        "{ from: [{ source: { principals: [cluster.local/ns/istio-system/sa/istio-ingressgateway] } }] }",
    );
    let denying = policy(
        "denying",
        "DENY",
        "{ to: [{ operation: { paths: [/admin/*] } }] }, { from: [{ source: { namespaces: [dev] } }] }",
    );
    let http = "  - { directResponse: { status: 200 } }\n";
    let made = Made::of(Kind::Istio, &istio(&(ingress.clone() + &denying), "in", http));
    made.says("http://a.com:8081/admin/x", &["403 by rule denying-gateway/rule-1"]);
    made.says("http://a.com:8081/else", &["answer    200"]);
    made.notes(NoteKind::Unsafe, 16, "names callers of the mesh");
    let strangers = policy("strangers", "DENY", "{ from: [{ source: { notNamespaces: [ops] } }] }");
    let made = Made::of(Kind::Istio, &istio(&(ingress + &strangers), "in", http));
    made.says("http://a.com:8081/x", &["403 by rule not-migrated"]);
}

#[test]
fn credentials_that_a_site_asks_for_close_what_is_below() {
    let site =
        "http://a.com:8081 {\nbasic_auth /secret/* {\nbob x\n}\nreverse_proxy /secret/a/* a:1\nreverse_proxy b:1\n}\n";
    let made = Made::of(Kind::Caddy, site);
    for path in ["/secret/a/x", "/secret/b"] {
        made.says(&format!("http://a.com:8081{path}"), &["403 by rule not-migrated"]);
    }
    made.says("http://a.com:8081/else", &["cluster   b-1"]);
    made.notes(NoteKind::Unsafe, 2, "basic_auth /secret/*");
    let site = "http://a.com:8081 {\n@p path_regexp x\nforward_auth @p c:1 {\nuri /\n}\nreverse_proxy b:1\n}\n";
    Made::of(Kind::Caddy, site).says("http://a.com:8081/else", &["403 by rule not-migrated"]);
    let site = "http://a.com:8081 {\nhandle {\nbasic_auth /secret/* {\nbob x\n}\nreverse_proxy b:1\n}\n}\n";
    Made::of(Kind::Caddy, site).says("http://a.com:8081/x", &["403 by rule not-migrated"]);
}

#[test]
fn directives_that_ask_who_a_client_is_are_never_merely_dropped() {
    let text =
        "upstream a {\nserver a:1;\nauth_jwt x;\nauth_request /y;\n}\nserver { location / { proxy_pass http://a; } }\n";
    let made = Made::of(Kind::Nginx, text);
    for (line, word) in [(3, "auth_jwt"), (4, "auth_request")] {
        made.notes(NoteKind::Unsafe, line, word);
    }
}

#[test]
fn a_listener_that_asks_for_certificates_stays_one_with_tls() {
    let text =
        "server {\nlisten 443 ssl;\nssl_verify_client on;\nssl_client_certificate ca;\nlocation / { return 204; }\n}\n";
    let made = Made::of(Kind::Nginx, text);
    made.holds("mode: require");
    made.holds("certFile: \"certs/gateway.crt\"");
    made.says("https://a.com/x", &["TLS"]);
}

/// Looking for one setting among very many would take for ever.
#[test]
fn thousands_of_settings_in_one_place_are_refused() {
    let fields: String = (0..60_000).map(|index| format!("proxy_set_header X-{index} v;\n")).collect();
    let text = format!("server {{ location / {{ proxy_pass http://a;\n{fields}}} }}\n");
    let report = migrate(Kind::Nginx, &text, "x").expect_err("it is refused").human(false);
    assert!(report.contains("more than 1000 in one place"), "{report}");
}

#[test]
fn a_file_with_thousands_of_wrong_values_is_closed_and_not_given_up() {
    let deny: String = (0..4_000).map(|index| format!("deny x{index};\n")).collect();
    let made = Made::of(Kind::Nginx, &format!("server {{ location / {{ proxy_pass http://a;\n{deny}}} }}\n"));
    made.says("http://a.com/", &["403 by rule not-migrated"]);
}
