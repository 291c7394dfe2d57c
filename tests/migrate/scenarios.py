"""Files of other proxies and the requests that must be answered alike.

In a file, `@http@` and `@https@` stand for ports to listen on, `@a1@` to `@a3@` and `@b1@` for those of agents, `@gone@` for
a port where nobody listens, `@dir@` for a directory with `site.crt`, `site.key` and `site.pem`.
"""

from dataclasses import dataclass, field

HOST = 'agents.example.com'


@dataclass
class Request:
    """One request, which may be sent several times in a row."""

    path: str
    method: str = 'GET'
    host: str = HOST
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    is_tls: bool = False
    port: str = 'http'
    times: int = 1
    # Fields of the answer, and those that the agent has seen, that must be alike.
    answers: tuple[str, ...] = ()
    seen: tuple[str, ...] = ('x-forwarded-proto',)


@dataclass
class Scenario:
    """A file, whose it is, and what is asked of it."""

    name: str
    kind: str
    file: str
    requests: list[Request]


NGINX_HEAD = """
daemon off;
pid @dir@/nginx.pid;
error_log @dir@/nginx.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path @dir@/body;
    proxy_temp_path @dir@/proxy;
    fastcgi_temp_path @dir@/fastcgi;
    uwsgi_temp_path @dir@/uwsgi;
    scgi_temp_path @dir@/scgi;
"""

NGINX_ROUTING = NGINX_HEAD + """
    upstream agents {
        server 127.0.0.1:@a1@;
        server 127.0.0.1:@a2@;
        server 127.0.0.1:@a3@;
    }
    server {
        listen 127.0.0.1:@http@;
        server_name agents.example.com;
        location /a2a {
            proxy_pass http://agents;
            proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Tenant acme;
            proxy_set_header X-Debug "";
            add_header X-Served-By edge always;
        }
        location /health { proxy_pass http://agents/a2a/health; proxy_set_header X-Forwarded-Proto $scheme; }
        location /search/ { proxy_pass http://127.0.0.1:@b1@/; proxy_set_header X-Forwarded-Proto $scheme; }
        location = /exact { return 204; }
        location /old { return 302 /new; }
        location = /text { default_type text/plain; return 200 "hello"; }
        location /closed { deny all; proxy_pass http://agents; }
        location ~ ^/v[0-9]+/cards$ { proxy_pass http://127.0.0.1:@b1@; proxy_set_header X-Forwarded-Proto $scheme; }
        location /cards/ {
            rewrite ^/cards/([a-z]+)/([0-9]+)$ /card/$2x$1 break;
            proxy_pass http://127.0.0.1:@b1@;
            proxy_set_header X-Forwarded-Proto $scheme;
        }
        location /upload { client_max_body_size 1k; proxy_pass http://agents; proxy_set_header X-Forwarded-Proto $scheme; }
        location /nobody { proxy_pass http://127.0.0.1:@gone@; }
    }
}
"""

NGINX_EDGE = NGINX_HEAD + """
    limit_req_zone $binary_remote_addr zone=few:1m rate=1r/m;
    upstream broken {
        server 127.0.0.1:@gone@;
        server 127.0.0.1:@a1@;
    }
    server {
        listen 127.0.0.1:@http@;
        server_name agents.example.com;
        return 301 https://$host$request_uri;
    }
    server {
        listen 127.0.0.1:@https@ ssl;
        server_name agents.example.com;
        ssl_certificate @dir@/site.crt;
        ssl_certificate_key @dir@/site.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / { proxy_pass http://broken; proxy_set_header X-Forwarded-Proto $scheme; proxy_connect_timeout 5s; }
        location /few {
            limit_req zone=few burst=4 nodelay;
            limit_req_status 429;
            proxy_pass http://broken;
            proxy_set_header X-Forwarded-Proto $scheme;
        }
    }
}
"""

HAPROXY_HEAD = """
global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
"""

HAPROXY_ROUTING = HAPROXY_HEAD + """
frontend web
    bind 127.0.0.1:@http@
    acl is_search path_beg /search/
    acl is_tenant hdr(x-tenant) acme
    acl is_other hdr(host) -i other.example.com
    http-request deny if { path_beg /admin/ }
    http-request deny if { path_beg /secret } !METH_OPTIONS
    http-request deny deny_status 404 if { path_beg /hidden/ }
    http-request deny if { hdr(host) -i third.example.com } { path_beg /x/ }
    http-request return status 200 content-type text/plain string hello if { path /text }
    http-request redirect location /new code 302 if { path /old }
    http-request set-header X-Edge one
    http-request del-header X-Debug
    http-response set-header X-Served-By edge
    use_backend search if is_search
    use_backend search if { path_beg /admin/api/ }
    use_backend search if { path_beg /hidden/api }
    use_backend search if { hdr(host) -i third.example.com } { path_beg /x/y }
    use_backend search if is_tenant
    use_backend search if is_other
    use_backend posts if { method POST } { path /send }
    default_backend agents
backend agents
    balance roundrobin
    server a1 127.0.0.1:@a1@
    server a2 127.0.0.1:@a2@
    server a3 127.0.0.1:@a3@
backend search
    server b1 127.0.0.1:@b1@
backend posts
    http-request set-path /message/send
    server b1 127.0.0.1:@b1@
"""

HAPROXY_EDGE = HAPROXY_HEAD + """
frontend edge
    bind 127.0.0.1:@http@
    bind 127.0.0.1:@https@ ssl crt @dir@/site.pem
    redirect scheme https code 301 if !{ ssl_fc }
    default_backend agents
frontend limited
    bind 127.0.0.1:@third@
    stick-table type ip size 100k expire 120s store http_req_rate(60s)
    http-request track-sc0 src
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 5 }
    default_backend agents
backend agents
    option httpchk GET /a2a/health
    retries 3
    option redispatch 1
    server gone 127.0.0.1:@gone@ check inter 200ms fall 1
    server a1 127.0.0.1:@a1@ check inter 200ms
"""

ENVOY_HEAD = """
static_resources:
  clusters:
    - name: agents
      connect_timeout: 5s
      load_assignment:
        cluster_name: agents
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: @a1@ } } }
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: @a2@ } } }
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: @a3@ } } }
    - name: search
      connect_timeout: 5s
      load_assignment:
        cluster_name: search
        endpoints:
          - lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: @b1@ } } } }]
    - name: broken
      connect_timeout: 5s
      load_assignment:
        cluster_name: broken
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: @gone@ } } }
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: @a1@ } } }
  listeners:
"""

ENVOY_ROUTER = """
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
"""

ENVOY_ROUTING = ENVOY_HEAD + """
    - name: web
      address: { socket_address: { address: 127.0.0.1, port_value: @http@ } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: web
                use_remote_address: true
                normalize_path: true
                merge_slashes: true
                http_filters:
""" + ENVOY_ROUTER + """
                route_config:
                  virtual_hosts:
                    - name: other
                      domains: [other.example.com]
                      routes: [{ match: { prefix: / }, route: { cluster: search } }]
                    - name: all
                      domains: ["*"]
                      request_headers_to_add:
                        - { header: { key: x-edge, value: one }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
                      request_headers_to_remove: [x-debug]
                      response_headers_to_add:
                        - { header: { key: x-served-by, value: edge }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
                      routes:
                        - match: { safe_regex: { regex: "/api/admin.*" } }
                          direct_response: { status: 403 }
                        - match: { prefix: /secret }
                          direct_response: { status: 403, body: { inline_string: "no" } }
                        - match: { prefix: /secrets/open }
                          route: { cluster: search }
                        - match: { prefix: /api/, headers: [{ name: x-tenant, present_match: true }] }
                          route: { cluster: search }
                        - match: { prefix: /api/, query_parameters: [{ name: beta, string_match: { exact: "1" } }] }
                          route: { cluster: search }
                        - match: { prefix: /kind/, headers: [{ name: x-kind, string_match: { prefix: FAST, ignore_case: true } }] }
                          route: { cluster: search }
                        - match: { prefix: /api/ }
                          route: { cluster: agents, timeout: 0s }
                        - match: { path: /send, headers: [{ name: ":method", string_match: { exact: POST } }] }
                          route: { cluster: search, prefix_rewrite: /message/send }
                        - match: { prefix: /planner/ }
                          route: { cluster: search, prefix_rewrite: / }
                        - match: { safe_regex: { regex: "/v[0-9]+/cards" } }
                          route:
                            cluster: search
                            regex_rewrite: { pattern: { regex: "^/v([0-9]+)/(.*)$" }, substitution: "/\\\\2/\\\\1" }
                        - match: { path: /old }
                          redirect: { path_redirect: /new, response_code: FOUND }
                        - match: { path: /moved }
                          redirect: { host_redirect: www.example.com }
                        - match: { path: /text }
                          direct_response: { status: 200, body: { inline_string: hello } }
                        - match: { prefix: /split/ }
                          route: { weighted_clusters: { clusters: [{ name: agents, weight: 0 }, { name: search, weight: 100 }] } }
"""

ENVOY_EDGE = ENVOY_HEAD + """
    - name: plain
      address: { socket_address: { address: 127.0.0.1, port_value: @http@ } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: plain
                use_remote_address: true
                http_filters:
""" + ENVOY_ROUTER + """
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      require_tls: ALL
                      routes: [{ match: { prefix: / }, route: { cluster: agents } }]
    - name: secure
      address: { socket_address: { address: 127.0.0.1, port_value: @https@ } }
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                tls_certificates: [{ certificate_chain: { filename: "@dir@/site.crt" }, private_key: { filename: "@dir@/site.key" } }]
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: secure
                use_remote_address: true
                http_filters:
""" + ENVOY_ROUTER + """
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: [agents.example.com]
                      routes:
                        - match: { prefix: / }
                          route: { cluster: broken, retry_policy: { retry_on: connect-failure, num_retries: 2 } }
    - name: few
      address: { socket_address: { address: 127.0.0.1, port_value: @third@ } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: few
                use_remote_address: true
                http_filters:
                  - name: envoy.filters.http.local_ratelimit
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
                      stat_prefix: few
                      token_bucket: { max_tokens: 5, tokens_per_fill: 5, fill_interval: 600s }
                      filter_enabled: { default_value: { numerator: 100, denominator: HUNDRED } }
                      filter_enforced: { default_value: { numerator: 100, denominator: HUNDRED } }
""" + ENVOY_ROUTER + """
                route_config:
                  virtual_hosts:
                    - { name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: agents } }] }
"""

SCENARIOS = [
    Scenario('nginx-routing', 'nginx', NGINX_ROUTING, [
        Request('/a2a/tasks', times=9, answers=('x-served-by',), seen=('x-tenant', 'x-debug', 'host', 'x-forwarded-proto')),
        Request('/a2a/tasks?q=1', headers={'X-Debug': 'yes', 'X-Tenant': 'forged'}, seen=('x-tenant', 'x-debug')),
        Request('/a2a/message/send', method='POST', body=b'{"a": 1}', headers={'Content-Type': 'application/json'}),
        Request('/a2a/status/404', answers=('x-served-by',)),
        Request('/health'),
        Request('/search/things/7'),
        Request('/exact'),
        Request('/old'),
        Request('/text', answers=('content-type',)),
        Request('/closed'),
        Request('/v2/cards'),
        Request('/cards/red/42'),
        Request('/upload', method='POST', body=b'x' * 2000),
        Request('/upload', method='POST', body=b'x' * 200),
        Request('/nobody'),
    ]),
    Scenario('nginx-edge', 'nginx', NGINX_EDGE, [
        Request('/a/b?c=d'),
        Request('/a/b', is_tls=True, times=6),
        Request('/few', is_tls=True, times=8),
    ]),
    Scenario('haproxy-routing', 'haproxy', HAPROXY_ROUTING, [
        Request('/a2a/tasks', times=9, answers=('x-served-by',), seen=('x-edge', 'x-debug', 'host')),
        Request('/a2a/tasks', headers={'X-Debug': 'yes'}, seen=('x-debug',)),
        Request('/a2a/tasks', headers={'X-Tenant': 'acme'}, seen=('x-tenant',)),
        Request('/search/x', seen=('x-edge',)),
        Request('/any', host='other.example.com', seen=('host',)),
        Request('/send', method='POST', body=b'{}', seen=()),
        Request('/send', seen=()),
        Request('/admin/users', seen=()),
        Request('/admin/api/users', seen=()),
        Request('/admin/users', host='other.example.com', seen=()),
        Request('/secrets', seen=()),
        Request('/hidden/x', seen=()),
        Request('/x/y', host='third.example.com', seen=()),
        Request('/x/y', seen=()),
        Request('/text', answers=('content-type',)),
        Request('/old'),
    ]),
    Scenario('haproxy-edge', 'haproxy', HAPROXY_EDGE, [
        Request('/a/b?c=d'),
        Request('/a/b', is_tls=True, times=6, seen=()),
        Request('/few', port='third', times=8, seen=()),
    ]),
    Scenario('envoy-routing', 'envoy', ENVOY_ROUTING, [
        Request('/api/tasks', times=9, answers=('x-served-by',), seen=('x-edge', 'x-debug', 'host', 'x-forwarded-proto')),
        Request('/api/tasks', headers={'X-Debug': 'yes', 'X-Edge': 'forged'}, seen=('x-edge', 'x-debug')),
        Request('/api/tasks', headers={'X-Tenant': 'acme'}, seen=('x-tenant',)),
        Request('/kind/x', headers={'X-Kind': 'faster'}),
        Request('/kind/x', headers={'X-Kind': 'slow'}),
        Request('/api/tasks?beta=1'),
        Request('/api/tasks?beta=2'),
        Request('/api/admin/users'),
        Request('/api/administrators'),
        Request('/api/./admin/users'),
        Request('/secret'),
        Request('/secrets'),
        Request('/secrets/open/x'),
        Request('/any', host='other.example.com', seen=('host',)),
        Request('/secret', host='other.example.com'),
        Request('/send', method='POST', body=b'{}'),
        Request('/send'),
        Request('/planner/tasks/7?q=1'),
        Request('/v2/cards'),
        Request('/old'),
        Request('/moved?q=1'),
        Request('/text', answers=('content-type', 'x-served-by')),
        Request('/split/x', times=9),
        Request('/nothing'),
    ]),
    Scenario('envoy-edge', 'envoy', ENVOY_EDGE, [
        Request('/a/b?c=d'),
        Request('/a/b', is_tls=True, times=6),
        Request('/few', port='third', times=8),
    ]),
]
