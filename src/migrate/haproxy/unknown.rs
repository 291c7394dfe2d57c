//! Why directives that were not translated do not come over.

use crate::migrate::directive::Directive;

/// What to say about a directive that nothing was made of.
pub(in crate::migrate) fn why_not(directive: &Directive) -> Option<&'static str> {
    let name = directive.name.as_str();
    let both = format!("{name} {}", directive.argument(0));
    let is_in = |names: &str, wanted: &str| names.split(", ").any(|known| known == wanted);
    WHY.iter().find(|(names, _)| is_in(names, &both) || is_in(names, name)).map(|(_, why)| *why)
}

const WHY: &[(&str, &str)] = &[
    (
        "daemon, user, group, chroot, pidfile, node, description, nbproc, nbthread, cpu-map, ulimit-n, maxsock, master-worker",
        "whoever starts attache decides this (systemd, Kubernetes); `workers` sets the number of workers",
    ),
    ("log", "`accessLog` and `logging` say what is written, and where"),
    (
        "log-format, log-tag, option httplog, option tcplog, option dontlog-normal, option log-separate-errors, unique-id-format, \
      unique-id-header, capture",
        "`accessLog.format` and `accessLog.fields` say what a line holds",
    ),
    ("option dontlognull", "a connection that asks for nothing is not logged"),
    (
        "option http-server-close, option http-keep-alive, option httpclose, option forceclose, http-reuse, option prefer-last-server, \
      option http-pretend-keepalive",
        "connections on both sides are kept and used again",
    ),
    ("option http-buffer-request, option http-no-delay", "nothing is buffered: every piece is passed on as it comes"),
    ("option forwardfor", "always on; what clients made up is dropped unless a trusted proxy says it"),
    ("option abortonclose", "a client that leaves ends the work of its agent"),
    (
        "option contstats, option socket-stats, option splice-auto, option splice-request, option splice-response, option tcpka, \
      option clitcpka, option srvtcpka, option tcp-smart-accept, option tcp-smart-connect, option nolinger",
        "attache needs no such setting",
    ),
    ("option redispatch", "another endpoint is always preferred for another try"),
    (
        "option http-use-htx, option http-ignore-probes, option accept-invalid-http-request, option accept-invalid-http-response",
        "what is no HTTP is refused",
    ),
    ("stats", "attache serves `/metrics`, and the admin API"),
    (
        "errorfile, errorloc, errorloc302, errorloc303, errorfiles, http-error",
        "refusals have a short text and a reason",
    ),
    ("compression, filter", "attache does not compress: agents may"),
    ("http-request cache-use, http-response cache-store, cache", "attache has no cache"),
    ("userlist, user", "`authProviders`: `basic` reads a `usersFile` with hashes by argon2 or bcrypt"),
    ("resolvers, nameserver", "the system's servers are asked; `dns.servers` names others"),
    ("peers, peer", "each gateway counts for itself"),
    ("mailers, email-alert", "alerts are Prometheus' work"),
    (
        "ssl-default-bind-ciphers, ssl-default-bind-ciphersuites, ssl-default-server-ciphers, ssl-default-server-ciphersuites, \
      ssl-default-bind-options, ssl-default-server-options, ssl-dh-param-file, tune.ssl.default-dh-param, ssl-default-bind-curves",
        "TLS 1.2 and 1.3 with suites that are good ones; there is nothing to choose",
    ),
    ("ca-base, crt-base", "paths of files are relative to the configuration: put the directory before the names"),
    ("lua-load, http-request lua, http-response lua", "attache has no plug-ins"),
    (
        "timeout client-fin, timeout server-fin, timeout tarpit, timeout tunnel, timeout check, timeout queue",
        "`streaming` of a route and `limits` of a listener have the times of attache",
    ),
    (
        "http-request set-log-level, http-request capture, http-request set-var, http-request unset-var, http-response set-var, \
      http-response capture, declare",
        "attache has no variables",
    ),
    ("http-request", "no route does this, or not under this condition"),
    ("tcp-request", "a listener does this by itself, or not at all"),
    ("use_backend", "a route asks for host, path, method, headers and query"),
    ("server-state-file, load-server-state-from-file, server-state-base", "`state.file` keeps what survives a restart"),
    ("acl", "a route asks for host, path, method, headers and query"),
    ("stick-table", "`rateLimits` count requests by client; nothing asks for this table"),
    ("email-alert, dispatch, transparent, bind-process", "attache has nothing like it"),
];
