"""How each proxy is configured: one thread of work, kept upstream connections, access log on, TLS 1.3."""

import json
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tools import Certificate


class Policies(Enum):
    """What attache does to requests on their way."""
    NONE = "none"  # what is on as shipped is off, access log and metrics included
    SHIPPED = "as shipped"
    ALL = "all"  # a rate limit, retries armed, outlier detection, a breaker with ceilings, access log and metrics


@dataclass(frozen=True)
class Setup:
    """What every proxy is told, in its own language."""
    binary: str
    directory: Path  # its own, for configuration and logs
    http_port: int
    https_port: int
    metrics_port: int
    backend_port: int
    certificate: Certificate
    under_valgrind: bool
    routes: int = 0  # with a prefix each; 0: one route for every path
    policies: Policies = Policies.SHIPPED  # for attache alone

    @property
    def path(self) -> str:
        """What calls ask for: the last route."""
        return f"{prefix(self.routes - 1)}/message:send" if self.routes else "/"


def nginx(setup: Setup) -> list[str]:
    scratch = "\n".join(f"  {kind}_temp_path {setup.directory}/{kind};"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    # The worker must be able to enter a directory that only we may enter.
    user = "user root;" if os.geteuid() == 0 else ""
    # One process under valgrind, which counts what it started and not the children of that.
    master = "off" if setup.under_valgrind else "on"
    config = f"""
{user}
daemon off;
master_process {master};
worker_processes 1;
pid {setup.directory}/nginx.pid;
error_log {setup.directory}/error.log;
events {{ worker_connections 16384; }}
http {{
{scratch}
  access_log {setup.directory}/access.log combined;
  keepalive_requests 1000000000;
  upstream backend {{
    server 127.0.0.1:{setup.backend_port};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  server {{
    listen 127.0.0.1:{setup.http_port};
    listen 127.0.0.1:{setup.https_port} ssl http2;
    ssl_certificate {setup.certificate.cert_file};
    ssl_certificate_key {setup.certificate.key_file};
    ssl_protocols TLSv1.3;
    location / {{ proxy_pass http://backend; }}
    location /stream {{ proxy_pass http://backend; proxy_buffering off; }}
    # Large bodies pass as they come, and no file is written.
    location /bytes {{
      proxy_pass http://backend;
      client_max_body_size 0;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
    }}
  }}
}}
"""
    return [setup.binary, "-e", f"{setup.directory}/error.log", "-c", write(setup, "nginx.conf", config)]


def haproxy(setup: Setup) -> list[str]:
    config = f"""
global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend front
  bind 127.0.0.1:{setup.http_port}
  bind 127.0.0.1:{setup.https_port} ssl crt {setup.certificate.joined_file} ssl-min-ver TLSv1.3 alpn h2,http/1.1
  use_backend streams if {{ path /stream }}
  default_backend calls
backend calls
  server agent 127.0.0.1:{setup.backend_port}
backend streams
  # Without it HAProxy holds a short event back for up to 200 ms.
  option http-no-delay
  server agent 127.0.0.1:{setup.backend_port}
"""
    return [setup.binary, "-db", "-f", write(setup, "haproxy.cfg", config)]


def envoy(setup: Setup) -> list[str]:
    listeners = [envoy_listener(setup, setup.http_port, None),
                 envoy_listener(setup, setup.https_port, envoy_tls(setup.certificate))]
    no_ceiling = {name: 1_000_000 for name in ("max_connections", "max_pending_requests", "max_requests")}
    endpoint = {"endpoint": {"address": envoy_address(setup.backend_port)}}
    cluster = {"name": "agent", "type": "STATIC", "connect_timeout": "5s",
               "circuit_breakers": {"thresholds": [no_ceiling]},
               "load_assignment": {"cluster_name": "agent", "endpoints": [{"lb_endpoints": [endpoint]}]}}
    config = json.dumps({"static_resources": {"listeners": listeners, "clusters": [cluster]}}, indent=1)
    return [setup.binary, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
            "-c", write(setup, "envoy.json", config)]


def envoy_listener(setup: Setup, port: int, tls: dict | None) -> dict:
    extensions = "type.googleapis.com/envoy.extensions"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "agent", "timeout": "0s"}}
    manager = {
        "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router",
                          "typed_config": {"@type": f"{extensions}.filters.http.router.v3.Router"}}],
        "access_log": [{"name": "envoy.access_loggers.file",
                        "typed_config": {"@type": f"{extensions}.access_loggers.file.v3.FileAccessLog",
                                         "path": f"{setup.directory}/access.log"}}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if tls:
        chain["transport_socket"] = tls
    return {"address": envoy_address(port), "filter_chains": [chain]}


def envoy_tls(certificate: Certificate) -> dict:
    files = {"certificate_chain": {"filename": str(certificate.cert_file)},
             "private_key": {"filename": str(certificate.key_file)}}
    common = {"tls_certificates": [files], "alpn_protocols": ["h2", "http/1.1"], "tls_params": {"tls_minimum_protocol_version": "TLSv1_3",
                                                          "tls_maximum_protocol_version": "TLSv1_3"}}
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    return {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": kind, "common_tls_context": common}}


def envoy_address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def attache(setup: Setup) -> list[str]:
    """As shipped nothing is switched off. Its access log is its standard output."""
    backend = f'endpoints: ["127.0.0.1:{setup.backend_port}"]'
    metrics = f'metrics: {{ address: "127.0.0.1:{setup.metrics_port}" }}'
    if setup.policies is not Policies.SHIPPED:
        return [setup.binary, "run", "-c", write(setup, "gateway.yaml", by_policies(setup, backend, metrics))]
    routes = [f"agent-{at:05}: {{ match: {{ path: {{ prefix: {prefix(at)} }} }}, cluster: agent }}"
              for at in range(setup.routes)]
    agents = "\n  ".join(routes or [f"agent: {{ {backend} }}"])
    clusters = f"clusters: {{ agent: {{ {backend} }} }}" if routes else ""
    certificate = f"{{ certFile: {setup.certificate.cert_file}, keyFile: {setup.certificate.key_file} }}"
    config = f"""
workers: 1
listeners:
  # The largest body is one of 64 MiB.
  http: {{ address: "127.0.0.1:{setup.http_port}", limits: {{ maxBodyBytes: 64MiB }} }}
  https: {{ address: "127.0.0.1:{setup.https_port}", tls: {{ certificates: [{certificate}] }} }}
{metrics}
routes:
  {agents}
{clusters}
"""
    return [setup.binary, "run", "-c", write(setup, "gateway.yaml", config)]


def by_policies(setup: Setup, backend: str, metrics: str) -> str:
    """One route and one cluster, with everything or with nothing. No limit is ever reached: what is measured is the asking."""
    everything = setup.policies is Policies.ALL
    listeners = f"""
workers: 1
listeners:
  http: {{ address: "127.0.0.1:{setup.http_port}" }}
  https:
    address: "127.0.0.1:{setup.https_port}"
    tls: {{ certificates: [{{ certFile: {setup.certificate.cert_file}, keyFile: {setup.certificate.key_file} }}] }}
"""
    if not everything:
        return f"""{listeners}
accessLog: {{ output: off }}
routes:
  agent: {{ cluster: agent, retries: off, accessLog: false }}
clusters:
  agent: {{ {backend}, outlierDetection: off }}
"""
    return f"""{listeners}
{metrics}
rateLimits:
  edge: {{ key: clientIp, rate: 1000000/second, burst: 1000000, maxKeys: 1000000 }}
routes:
  agent:
    cluster: agent
    rateLimit: edge
    retries:
      attempts: 2
      retryOn: 5xx,reset,connect-failure,refused-stream
clusters:
  agent:
    {backend}
    outlierDetection: {{ consecutive5xxErrors: 5, failurePercentage: {{ threshold: 85%, minHosts: 5, minRequests: 50 }} }}
    circuitBreaker:
      maxConnections: 1000
      maxRequests: 1000
      maxStreams: 1000
      maxRetries: 3
      maxPendingRequests: 100
      pendingTimeout: 2s
      perEndpoint: {{ maxRequests: 1000 }}
      halfOpen: {{ failureThreshold: 5, recoveryTimeout: 30s }}
"""


def prefix(at: int) -> str:
    """Of the same length for all, so that more routes do not mean longer requests."""
    return f"/agents/{at:05}"


def write(setup: Setup, name: str, text: str) -> str:
    path = setup.directory / name
    path.write_text(text.lstrip())
    return str(path)


def floor(setup: Setup) -> list[str]:
    return [setup.binary, "--http", str(setup.http_port), "--https", str(setup.https_port),
            "--backend", str(setup.backend_port), "--cert", str(setup.certificate.cert_file),
            "--key", str(setup.certificate.key_file)]


CONFIGURE = {"nginx": nginx, "haproxy": haproxy, "envoy": envoy, "floor": floor, "attache": attache}
VERSION_FLAG = {"nginx": "-v", "haproxy": "-v", "envoy": "--version", "floor": "--version", "attache": "--version"}
