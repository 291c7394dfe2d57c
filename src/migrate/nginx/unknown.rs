//! Why directives that were not translated do not come over.

use crate::migrate::directive::Directive;

/// What to say about a directive that nothing was made of.
pub(in crate::migrate) fn why_not(directive: &Directive) -> Option<&'static str> {
    let name = directive.name.as_str();
    let exact = WHY.iter().find(|(names, _)| names.split(' ').any(|known| known == name));
    let family = || FAMILIES.iter().find(|(start, _)| name.starts_with(start));
    exact.or_else(family).map(|(_, why)| *why)
}

const WHY: &[(&str, &str)] = &[
    (
        "user pid daemon master_process working_directory env",
        "whoever starts attache decides this (systemd, Kubernetes)",
    ),
    ("worker_processes worker_cpu_affinity", "attache starts a worker for each core; `workers` sets another number"),
    (
        "worker_connections worker_rlimit_nofile events use multi_accept accept_mutex",
        "attache sizes itself; `limits.maxConnections` of a listener is its ceiling",
    ),
    ("error_log", "`logging.level` sets how much attache says, on standard error"),
    ("log_format", "`accessLog.format` and `accessLog.fields` of attache say what a line holds"),
    (
        "sendfile tcp_nopush tcp_nodelay aio directio types_hash_max_size types default_type charset mime.types",
        "attache serves no files",
    ),
    ("root alias index autoindex try_files open_file_cache", "attache serves no files"),
    ("include", "the file is not read from here: run `nginx -T` and migrate what it prints"),
    ("load_module", "attache has no modules"),
    ("stream mail", "attache speaks HTTP; TCP and mail need another program"),
    (
        "ssl_ciphers ssl_prefer_server_ciphers ssl_ecdh_curve ssl_dhparam ssl_conf_command",
        "every suite that attache offers is a good one, there is nothing to choose",
    ),
    (
        "ssl_session_cache ssl_session_timeout ssl_session_tickets ssl_session_ticket_key ssl_buffer_size ssl_early_data",
        "attache resumes sessions by itself",
    ),
    (
        "ssl_stapling ssl_stapling_verify ssl_trusted_certificate resolver_timeout",
        "attache does not staple: authorities have given OCSP up",
    ),
    ("resolver", "the system's servers are asked; `dns.servers` names others"),
    (
        "proxy_buffering proxy_buffers proxy_buffer_size proxy_busy_buffers_size proxy_request_buffering proxy_max_temp_file_size \
      proxy_temp_path proxy_temp_file_write_size client_body_buffer_size client_body_temp_path output_buffers \
      postpone_output client_header_buffer_size",
        "nothing is buffered: every piece is passed on as it comes",
    ),
    ("proxy_http_version", "attache speaks HTTP/1.1 to upstreams, or HTTP/2 with `protocol`"),
    ("proxy_redirect", "`Location` that leads back to an upstream is mapped by itself"),
    ("proxy_intercept_errors error_page recursive_error_pages", "answers of upstreams pass as they are"),
    ("proxy_ignore_client_abort", "a client that leaves ends the work of its agent"),
    ("proxy_cookie_path proxy_cookie_domain proxy_cookie_flags", "cookies pass as they are"),
    (
        "if set map geo",
        "attache has no variables and no conditions of this kind: a route's `match` looks at host, path, method, \
      headers and query",
    ),
    ("rewrite", "only one rewrite of a location comes over; give each path a route with `rewrite`"),
    ("split_clients", "`split` of a route divides requests by weight"),
    (
        "keepalive_requests reset_timedout_connection lingering_close lingering_time lingering_timeout",
        "attache needs no such setting",
    ),
    ("server_tokens", "attache does not name itself"),
    ("server_name_in_redirect port_in_redirect absolute_redirect", "redirects use the public address (`publicUrl`)"),
    (
        "server_names_hash_bucket_size server_names_hash_max_size map_hash_bucket_size variables_hash_max_size \
      map_hash_max_size proxy_headers_hash_max_size proxy_headers_hash_bucket_size",
        "attache sizes its tables by itself",
    ),
    ("zone", "counters are shared by all workers without it"),
    ("ntlm sticky state sticky_cookie_insert", "`loadBalancer: { hash: .. }` keeps clients with an endpoint"),
    ("stub_status status api", "attache serves `/metrics`, and the admin API"),
    (
        "limit_req_log_level limit_conn_log_level limit_req_dry_run limit_conn_dry_run limit_conn_status limit_rate \
      limit_rate_after",
        "a limit's answer is 429; `mode: shadow` only counts",
    ),
    ("internal", "routes are for clients; there are no requests inside attache"),
    ("satisfy", "who may come in must satisfy all that a route asks"),
    ("merge_slashes", "`paths.mergeSlashes` of the listener; on by default, as in nginx"),
    (
        "underscores_in_headers ignore_invalid_headers",
        "header fields with odd names are refused or passed, never changed",
    ),
    (
        "access_log",
        "`accessLog` is one for all routes: `output` and `format`; `accessLog: false` of a route leaves it out",
    ),
];

const FAMILIES: &[(&str, &str)] = &[
    ("gzip", "attache does not compress: agents may"),
    ("brotli", "attache does not compress: agents may"),
    ("proxy_cache", "attache has no cache"),
    ("fastcgi_", "attache speaks HTTP to upstreams, no FastCGI"),
    ("uwsgi_", "attache speaks HTTP to upstreams, no uwsgi"),
    ("scgi_", "attache speaks HTTP to upstreams, no SCGI"),
    ("memcached_", "attache speaks HTTP to upstreams"),
    ("sub_filter", "bodies pass as they are"),
    ("expires", "`responseHeaders.set` can say `cache-control`"),
    ("http2_", "`http2` and `limits` of the listener"),
    ("http3", "attache speaks HTTP/1.1 and HTTP/2"),
    ("quic", "attache speaks HTTP/1.1 and HTTP/2"),
    ("auth_jwt", "see `authProviders`"),
];
