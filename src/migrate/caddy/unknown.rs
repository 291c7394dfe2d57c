//! Why directives that were not translated do not come over.

use crate::migrate::directive::Directive;

/// What to say about a directive that nothing was made of.
pub(in crate::migrate) fn why_not(directive: &Directive) -> Option<&'static str> {
    let name = directive.name.as_str();
    WHY.iter().find(|(names, _)| names.split(' ').any(|known| known == name)).map(|(_, why)| *why)
}

const WHY: &[(&str, &str)] = &[
    ("flush_interval request_buffers response_buffers", "nothing is buffered: every piece is passed on as it comes"),
    ("encode", "attache does not compress: agents may"),
    ("file_server root try_files php_fastcgi templates browse", "attache serves no files"),
    ("import", "the file is not read from here: put what it holds into this one"),
    ("admin", "`admin` of attache is the listener that operators ask"),
    (
        "auto_https default_sni on_demand_tls ocsp_stapling cert_issuer acme_ca local_certs storage key_type skip_install_trust",
        "`tls` of a listener says where certificates come from",
    ),
    ("order", "attache has one order of stages"),
    ("http_port https_port default_bind bind", "`listeners.X.address` says where to listen"),
    ("log", "`accessLog` and `logging` say what is written"),
    ("vars map invoke tracing push method copy_response intercept", "attache has nothing like it"),
    ("handle_response replace_status", "answers of agents pass as they are"),
    (
        "lb_try_interval lb_retry_match unhealthy_status unhealthy_latency",
        "`retries` and `outlierDetection` say it in their words",
    ),
    ("health_headers health_body health_follow_redirects health_request_body", "`healthCheck` looks at the status"),
    ("trusted_proxies", "`clientIp.trustedProxies` is one for the whole file"),
    ("stream_close_delay", "a reload ends no stream"),
    (
        "compression max_response_header read_buffer write_buffer local_address proxy_protocol network_proxy",
        "connections to agents have no such setting",
    ),
    (
        "timeouts protocols max_header_size keepalive_interval listener_wrappers strict_sni_host metrics",
        "`limits` and `protocols` of the listener, and `metrics`",
    ),
    ("rewrite", "paths are changed by `rewrite` of the route, without placeholders"),
];
