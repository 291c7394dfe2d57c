//! What kept clients out of another proxy keeps them out of what is made of its file, or a note of danger stands on its
//! line. What the gateway does with a request is asked of `attache explain`.

use attache::migrate::{Kind, Migrated, NoteKind, migrate};
use tempfile::TempDir;

use crate::command::{run, written};

/// A file and what was made of it.
pub(super) struct Made {
    directory: TempDir,
    file: String,
    migrated: Migrated,
}

impl Made {
    pub(super) fn of(kind: Kind, text: &str) -> Self {
        let migrated = migrate(kind, text, "x").unwrap_or_else(|report| panic!("{report}"));
        let directory = TempDir::new().unwrap();
        let file = written(&directory, "attache.yaml", &migrated.yaml);
        Self { directory, file, migrated }
    }

    /// What the gateway would do with a request.
    pub(super) fn answer(&self, url: &str) -> String {
        assert!(self.directory.path().exists());
        let (code, out, error) = run(&["explain", "GET", url, "-c", &self.file, "--from", "203.0.113.7"]);
        let is_known = code == 0 || out.contains("none matches");
        assert!(is_known, "{url}: {out}{error}\n{}", self.migrated.yaml);
        out.lines().filter(|line| !line.contains("not taken")).collect::<Vec<_>>().join("\n")
    }

    /// What the gateway does has all of these in it.
    pub(super) fn says(&self, url: &str, parts: &[&str]) {
        let answer = self.answer(url);
        for part in parts {
            assert!(answer.contains(part), "{url}: `{part}` is missing in\n{answer}\n{}", self.migrated.yaml);
        }
    }

    /// A note of this kind on a line.
    pub(super) fn notes(&self, kind: NoteKind, line: usize, part: &str) {
        let is_it = |note: &&attache::migrate::Note| note.kind == kind && note.line == line && note.text.contains(part);
        let found = self.migrated.notes.iter().find(is_it);
        assert!(found.is_some(), "{kind} on line {line}: `{part}` is missing in {:#?}", self.migrated.notes);
    }

    pub(super) fn holds(&self, part: &str) {
        assert!(self.migrated.yaml.contains(part), "`{part}` is missing in\n{}", self.migrated.yaml);
    }
}

/// The text of a server of nginx with a name.
fn server(name: &str, rest: &str) -> String {
    format!("server {{\nlisten 80;\nserver_name {name};\n{rest}\n}}\n")
}

#[test]
fn a_location_around_others_keeps_its_protection() {
    let text = server(
        "a.com",
        "location / { proxy_pass http://a; }\nlocation /admin {\nauth_basic x;\nlocation /admin/api { proxy_pass http://a; }\n}",
    );
    let made = Made::of(Kind::Nginx, &text);
    for path in ["/admin/users", "/admin/api/x"] {
        made.says(&format!("http://a.com{path}"), &["403 by rule not-migrated"]);
    }
    made.says("http://a.com/else", &["cluster   a"]);
}

#[test]
fn clients_are_asked_for_the_strictest_of_what_servers_ask() {
    let of = |name: &str, verify: &str| {
        format!(
            "server {{\nlisten 443 ssl;\nserver_name {name};\nssl_certificate c;\nssl_certificate_key k;\n{verify}\n\
             location / {{ proxy_pass http://a; }}\n}}\n"
        )
    };
    let strict = "ssl_verify_client on; ssl_client_certificate ca-a;";
    let weak = "ssl_verify_client optional; ssl_client_certificate ca-b;";
    let made = Made::of(Kind::Nginx, &(of("a.com", strict) + &of("b.com", weak)));
    made.holds("mode: require");
    made.holds("caFile: \"ca-a\"");
    made.notes(NoteKind::Unsafe, 14, "Whoever has a certificate of ca-a comes in here");
    let made = Made::of(Kind::Nginx, &(of("b.com", "") + &of("a.com", strict)));
    made.holds("mode: require");
    made.notes(NoteKind::Unsafe, 1, "asks its clients for no certificate");
}

#[test]
fn client_certificates_of_other_proxies_are_the_strictest_too() {
    let chain = |name: &str, required: &str, authority: &str| {
        format!(
            "    - filter_chain_match: {{ server_names: [{name}] }}
      transport_socket:
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: {required}
          common_tls_context:
            tls_certificates: [{{ certificate_chain: {{ filename: c }}, private_key: {{ filename: k }} }}]
            validation_context: {{ trusted_ca: {{ filename: {authority} }}, match_typed_subject_alt_names: [] }}
      filters:
        - typed_config:
            '@type': type.googleapis.com/x.HttpConnectionManager
            route_config:
              virtual_hosts:
                - {{ name: {authority}, domains: ['*'], routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}] }}
"
        )
    };
    let head = "static_resources:
  listeners:
  - name: in
    address: { socket_address: { address: 0.0.0.0, port_value: 443 } }
    filter_chains:
";
    let text = format!("{head}{}{}", chain("a.com", "true", "ca-a"), chain("b.com", "false", "ca-b"));
    let made = Made::of(Kind::Envoy, &text);
    made.holds("mode: require");
    made.holds("caFile: \"ca-a\"");
    made.notes(NoteKind::Unsafe, 24, "Whoever has a certificate of ca-a comes in here");
    made.notes(NoteKind::Unsafe, 6, "server_names");
    made.notes(NoteKind::Unsafe, 13, "validation_context.match_typed_subject_alt_names");
    made.says("https://a.com/x", &["host a.com"]);
    assert!(made.answer("https://c.com/x").contains("none matches"), "no chain has this name");

    let istio = |name: &str, mode: &str| {
        format!(
            "  - {{ port: {{ number: 443, protocol: HTTPS }}, hosts: [{name}], tls: {{ mode: {mode}, credentialName: {name} }} }}\n"
        )
    };
    let head = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: { name: g }\nspec:\n  servers:\n";
    let made = Made::of(Kind::Istio, &format!("{head}{}{}", istio("a.com", "MUTUAL"), istio("b.com", "SIMPLE")));
    made.holds("mode: require");
    made.notes(NoteKind::Unsafe, 7, "asks its clients for no certificate");

    let caddy = |name: &str, mode: &str| {
        format!(
            "{name} {{\ntls c k {{\nclient_auth {{\nmode {mode}\ntrusted_ca_cert_file ca-{name}\n}}\n}}\nrespond ok\n}}\n"
        )
    };
    let text = caddy("a.com", "require_and_verify") + &caddy("b.com", "verify_if_given");
    let made = Made::of(Kind::Caddy, &text);
    made.holds("mode: require");
    made.holds("caFile: \"ca-a.com\"");
    made.notes(NoteKind::Unsafe, 12, "Whoever has a certificate of ca-a.com comes in here");
}

#[test]
fn clients_without_an_authority_in_a_file_are_asked_all_the_same() {
    let text = "static_resources:
  listeners:
  - name: in
    address: { socket_address: { address: 0.0.0.0, port_value: 443 } }
    filter_chains:
    - transport_socket:
        typed_config:
          '@type': type.googleapis.com/x.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context: { validation_context_sds_secret_config: { name: ca } }
";
    let made = Made::of(Kind::Envoy, text);
    made.holds("mode: require");
    made.notes(NoteKind::Unsafe, 9, "the authority is in no file");
    made.holds("certFile: \"certs/gateway.crt\"");
}

#[test]
fn what_a_server_does_not_take_goes_to_no_other_one() {
    let text = server("_", "location / { proxy_pass http://all; }")
        + &server("a.com", "location /api { proxy_pass http://a; }")
        + &server("b.com", "location /api { proxy_pass http://a; }\nlocation ~ ^/x$ { proxy_pass http://a; }")
        + &server("_", "location /second { proxy_pass http://second; }");
    let made = Made::of(Kind::Nginx, &text);
    made.says("http://a.com/api", &["cluster   a"]);
    made.says("http://b.com/x", &["cluster   a"]);
    for url in ["http://a.com/admin", "http://b.com/admin", "http://b.com/y"] {
        made.says(url, &["answer    404"]);
    }
    made.says("http://unknown.com/second", &["cluster   all"]);
    made.notes(NoteKind::Dropped, 17, "the server of line 1 is the default");
}

#[test]
fn the_default_of_an_address_may_say_so_further_down() {
    let text = server("_", "location / { proxy_pass http://first; }")
        + "server {\nlisten 80 default_server;\nserver_name a.com;\nlocation / { proxy_pass http://a; }\n}\n";
    let made = Made::of(Kind::Nginx, &text);
    assert!(made.answer("http://unknown.com/").contains("none matches"), "nginx does not serve it with the first one");
    made.notes(NoteKind::Changed, 6, "here they get 404");
    made.notes(NoteKind::Dropped, 1, "never reached");
    let made = Made::of(Kind::Nginx, &server("a.com", "location / { proxy_pass http://a; }"));
    made.notes(NoteKind::Changed, 1, "the first of its address");
}

#[test]
fn a_redirect_of_one_server_leaves_the_others_alone() {
    let condition = "if ($scheme = http) { return 301 https://$host$request_uri; }";
    let secure = format!("{condition}\nlocation / {{ proxy_pass http://a; }}");
    let made =
        Made::of(Kind::Nginx, &(server("a.com", &secure) + &server("b.com", "location / { proxy_pass http://b; }")));
    made.says("http://a.com/x", &["301, redirect with scheme https"]);
    made.says("http://b.com/x", &["cluster   b"]);
    let with_tls = "server { listen 443 ssl; server_name a.com; ssl_certificate c; ssl_certificate_key k; location / { return 204; } }";
    let both = server("a.com", &secure) + &server("b.com", &secure);
    Made::of(Kind::Nginx, &(both.clone() + with_tls)).holds("httpsRedirect:");
    Made::of(Kind::Nginx, &both).says("http://b.com/x", &["301, redirect with scheme https"]);
    let elsewhere = "if ($scheme = http) { return 301 https://www.a.com$request_uri; }";
    let made = Made::of(Kind::Nginx, &server("a.com", elsewhere));
    made.says("http://a.com/x", &["301", "www.a.com"]);
}

#[test]
fn the_sign_of_a_location_needs_no_space() {
    let text = server(
        "a.com",
        "location / { proxy_pass http://a; }\nlocation ~^/one { deny all; proxy_pass http://a; }\n\
         location ~*^/TWO$ { return 403; }\nlocation =/three { return 403; }\nlocation ^~/four { return 403; }\n\
         location ~ ^/5$ { return 403; }",
    );
    let made = Made::of(Kind::Nginx, &text);
    made.says("http://a.com/oneandmore", &["203.0.113.7 is not served by `deny`"]);
    for path in ["/two", "/three", "/four/x", "/5"] {
        made.says(&format!("http://a.com{path}"), &["answer    403"]);
    }
    for path in ["/three/x", "/two/x", "/5/x"] {
        made.says(&format!("http://a.com{path}"), &["cluster   a"]);
    }
}

#[test]
fn anchors_of_one_alternative_stay_its_own() {
    let text = server("a.com", "location / { proxy_pass http://a; }\nlocation ~* ^/secret|\\.bak$ { return 403; }");
    let made = Made::of(Kind::Nginx, &text);
    for path in ["/secret", "/secret/x", "/x/y.BAK"] {
        made.says(&format!("http://a.com{path}"), &["answer    403"]);
    }
    for path in ["/x/secret", "/x.bak/y"] {
        made.says(&format!("http://a.com{path}"), &["cluster   a"]);
    }
}

#[test]
fn the_name_in_proxy_pass_is_sent_where_it_is_asked_for() {
    let text = server("a.com", "location / { proxy_pass http://agent:81; proxy_set_header Host $proxy_host; }");
    Made::of(Kind::Nginx, &text).says("http://a.com/x", &["host sent agent:81"]);
}

#[test]
fn a_location_that_refuses_and_takes_less_here_is_a_danger() {
    let text = server(
        "a.com",
        "location / { proxy_pass http://a; }\nlocation /adm { deny all; proxy_pass http://a; }\n\
         location /open { proxy_pass http://a; }\nlocation ~ \\.bak$ { return 403; }",
    );
    let made = Made::of(Kind::Nginx, &text);
    made.notes(NoteKind::Unsafe, 5, "nginx takes /admx too. What this location keeps out gets in there");
    made.notes(NoteKind::Changed, 6, "nginx takes /openx too");
    made.notes(NoteKind::Unsafe, 7, "here a prefix wins");
    let limited = "limit_req zone=z;\nlocation /a { proxy_pass http://a; }\nlocation /b { proxy_pass http://a; }";
    let text = format!("limit_req_zone $remote_addr zone=z:1m rate=1r/s;\n{}", server("a.com", limited));
    Made::of(Kind::Nginx, &text).notes(NoteKind::Changed, 6, "nginx takes /ax too");
}

#[test]
fn a_pattern_inside_of_a_location_holds_there_alone() {
    let text = server(
        "a.com",
        "location / { deny all; proxy_pass http://a; }\nlocation ~ ^/y { deny all; proxy_pass http://a; }\n\
         location /open { proxy_pass http://a; location ~ \\.css$ { proxy_pass http://a; } }",
    );
    Made::of(Kind::Nginx, &text).says("http://a.com/secret.css", &["203.0.113.7 is not served by `deny`"]);
}
