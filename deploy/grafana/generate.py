#!/usr/bin/env python3
"""Writes the dashboards of dashboards/ from the panels below: `python3 deploy/grafana/generate.py`.

tests/deploy/run fails when a file there is not what this writes, or when an expression finds nothing at a running gateway.
"""

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
SELECT = 'job=~"$job", instance=~"$instance"'
ROUTE = SELECT + ', route=~"$route"'
CLUSTER = SELECT + ', cluster=~"$cluster"'
# Thresholds of the alerts, as colours: (value from which the colour counts, colour).
GOOD, WARNING, BAD = "green", "orange", "red"


def rate(metric, select=SELECT, by=""):
    inner = f"rate({metric}{{{select}}}[$__rate_interval])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def quantile(q, metric, select=SELECT, by=""):
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{select}}}[$__rate_interval])))"


def share(part, whole):
    return f"({part}) / ({whole} > 0)"


def panel(kind, title, queries, unit="short", width=8, height=8, description="", steps=None, **options):
    """A panel; `queries` are pairs of legend and expression."""
    targets = [
        {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend,
         "instant": kind in ("stat", "table", "bargauge"), "range": kind == "timeseries",
         "format": "table" if kind == "table" else "time_series", "datasource": {"type": "prometheus", "uid": "${datasource}"}}
        for index, (legend, expression) in enumerate(queries)
    ]
    thresholds = [{"color": color, "value": value} for value, color in steps or [(None, GOOD)]]
    made = {
        "type": kind, "title": title, "description": description, "targets": targets,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {"defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": thresholds}}, "overrides": []},
        "gridPos": {"w": width, "h": height},
    }
    defaults = made["fieldConfig"]["defaults"]
    if kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never",
                              "stacking": {"mode": "normal" if options.get("stack") else "none", "group": "A"}}
        defaults["color"] = {"mode": "palette-classic"}
        defaults["min"] = 0
        made["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    elif kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
        made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "none"}
    elif kind == "bargauge":
        defaults["color"] = {"mode": "thresholds"}
        defaults |= {"min": 0, "max": options.get("most")}
        made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal", "displayMode": "basic"}
    elif kind == "table":
        made["options"] = {"showHeader": True}
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": {
            name: True for name in ("Time", "job", "__name__", "hash", *options.get("without", ()))}}}]
    return made


def stat(title, expression, unit="short", steps=None, description=""):
    return panel("stat", title, [("", expression)], unit, 4, 4, description, steps)


def graph(title, queries, unit="short", **more):
    return panel("timeseries", title, queries, unit, **more)


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


def variable(name, metric, label, select=""):
    query = f"label_values({metric}{{{select}}}, {label})" if select else f"label_values({metric}, {label})"
    return {"name": name, "type": "query", "label": name, "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1, "includeAll": True,
            "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}


ALL = [
    {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "data source",
     "current": {"text": "Prometheus", "value": "default"}},
    variable("job", "attache_build_info", "job"),
    variable("instance", "attache_build_info", "instance", 'job=~"$job"'),
]
ROUTES = variable("route", "http_requests_total", "route", SELECT)
CLUSTERS = variable("cluster", "attache_endpoints", "cluster", SELECT)


def dashboard(name, title, description, variables, panels):
    """Lays the panels out from left to right and numbers them."""
    x = y = tallest = 0
    for number, made in enumerate(panels, start=1):
        place = made["gridPos"]
        if x + place["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        made["id"] = number
        place |= {"x": x, "y": y}
        x, tallest = x + place["w"], max(tallest, place["h"])
    return {
        "uid": f"attache-{name}", "title": title, "description": description, "tags": ["attache", "a2a"],
        "schemaVersion": 39, "version": 1, "editable": True, "refresh": "30s", "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"}, "templating": {"list": variables}, "panels": panels,
        "links": [{"type": "dashboards", "tags": ["attache"], "title": "attache", "asDropdown": True, "keepTime": True,
                   "includeVars": True}],
        "annotations": {"list": [{
            "name": "configuration", "enable": True, "iconColor": "blue", "titleFormat": "configuration loaded",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "expr": f"changes(attache_config_last_reload_success_timestamp_seconds{{{SELECT}}}[2m]) > 0"}]},
    }


ERRORS = SELECT + ', code=~"5.."'
BAD_CALLS = 'outcome=~"internal|unreadable|truncated|failed"'

OVERVIEW = [
    stat("Requests", rate("http_requests_total"), "reqps"),
    stat("Errors", share(rate("http_requests_total", ERRORS) + " or vector(0)", rate("http_requests_total")), "percentunit",
         [(None, GOOD), (0.05, WARNING), (0.1, BAD)], "Share of requests that were answered 5xx."),
    stat("95 % begin within", quantile(0.95, "attache_time_to_first_byte_seconds"), "s", [(None, GOOD), (1, WARNING), (2, BAD)],
         "Time to the head of the answer; streams last longer."),
    stat("In flight", f"sum(attache_requests_in_flight{{{SELECT}}})"),
    stat("Gateways", f"count(attache_build_info{{{SELECT}}})"),
    stat("Worst agent", f"min(a2a_agent_availability{{{SELECT}}})", "percent", [(None, BAD), (80, WARNING), (90, GOOD)],
         "Usable endpoints of the cluster that has the smallest part of them."),
    row("Traffic"),
    graph("Requests by route", [("{{route}}", rate("http_requests_total", ROUTE, "route"))], "reqps", stack=True),
    graph("Answers by status", [("{{code}}", rate("http_requests_total", ROUTE, "code"))], "reqps", stack=True),
    graph("Errors by reason", [("{{reason}}", rate("attache_errors_total", ROUTE, "reason"))], "reqps", stack=True,
          description="The words of x-attache-reason: docs/access-log.md lists them."),
    graph("Time to the answer", [(f"p{int(q * 100)}", quantile(q, "attache_time_to_first_byte_seconds", ROUTE))
                                 for q in (0.5, 0.95, 0.99)], "s"),
    graph("95 % by route", [("{{route}}", quantile(0.95, "attache_time_to_first_byte_seconds", ROUTE, "route"))], "s"),
    graph("Whole exchange, streams included", [(f"p{int(q * 100)}", quantile(q, "http_request_duration_seconds", ROUTE))
                                               for q in (0.5, 0.95, 0.99)], "s"),
    graph("Error ratio", [("{{route}}", share(rate("http_requests_total", ROUTE + ', code=~"5.."', "route"),
                                              rate("http_requests_total", ROUTE, "route")))], "percentunit"),
    graph("In flight by route", [("{{route}}", f"sum by (route) (attache_requests_in_flight{{{ROUTE}}})")], stack=True),
    graph("Open streams by route", [("{{route}}", f"sum by (route) (attache_streams_open{{{ROUTE}}})")], stack=True),
    row("Clusters and endpoints"),
    graph("Tries by endpoint", [("{{cluster}} {{endpoint}}", rate("attache_endpoint_requests_total", CLUSTER, "cluster, endpoint"))],
          "reqps", description="How evenly the load is spread."),
    graph("In flight by endpoint", [
        ("{{cluster}} {{endpoint}}", f"sum by (cluster, endpoint) (attache_endpoint_requests_in_flight{{{CLUSTER}}})")]),
    graph("95 % by endpoint", [
        ("{{cluster}} {{endpoint}}", quantile(0.95, "attache_endpoint_response_seconds", CLUSTER, "cluster, endpoint"))], "s"),
    graph("Usable endpoints", [("{{cluster}}", f"min by (cluster) (attache_endpoints_usable{{{CLUSTER}}})")]),
    graph("Ejections by cause", [("{{cluster}} {{cause}}", rate("attache_ejections_total", CLUSTER, "cluster, cause"))]),
    graph("Retries by reason", [("{{cluster}} {{reason}}", rate("attache_retries_total", CLUSTER, "cluster, reason"))], "reqps"),
    graph("gRPC statuses", [("{{grpc_status}}", rate("attache_grpc_responses_total", ROUTE, "grpc_status"))], "reqps", stack=True),
    graph("Health checks", [("{{cluster}} {{result}}", rate("attache_health_checks_total", CLUSTER, "cluster, result"))], "ops"),
    graph("Connects to agents", [("{{cluster}} {{result}}", rate("attache_upstream_connects_total", CLUSTER, "cluster, result"))], "ops"),
    row("The process"),
    graph("Memory", [("{{instance}}", f"memory_usage_bytes{{{SELECT}}}")], "bytes"),
    graph("Processors", [("{{instance}}", f"cpu_usage_percent{{{SELECT}}}")], "percent",
          description="Of those that the gateway may use."),
    graph("How busy workers are", [("{{instance}} {{worker}}", rate("attache_worker_busy_seconds_total", SELECT, "instance, worker"))],
          "percentunit", description="One that is at 100 % limits the gateway, whatever the others do."),
    graph("Connections of clients by worker", [("{{instance}} {{worker}}", f"sum by (instance, worker) (attache_worker_connections{{{SELECT}}})")]),
    graph("Connections of clients", [("{{listener}}", f"sum by (listener) (attache_downstream_connections{{{SELECT}}})")]),
    graph("Bytes", [("{{direction}}", rate("attache_bytes_total", SELECT, "direction"))], "Bps"),
    graph("File descriptors", [("{{instance}}", f"process_open_fds{{{SELECT}}} / process_max_fds{{{SELECT}}}")], "percentunit"),
    panel("table", "Certificates", [("", f"(min by (listener, file) (attache_certificate_not_after_seconds{{{SELECT}}}) - time()) / 86400")],
          "short", description="Days until each expires."),
]

AGENTS = [
    stat("Calls", rate("a2a_messages_total"), "reqps"),
    stat("Failed calls", share(rate("a2a_requests_total", f"{SELECT}, {BAD_CALLS}") + " or vector(0)", rate("a2a_requests_total")),
         "percentunit", [(None, GOOD), (0.05, WARNING), (0.1, BAD)],
         "Failures inside answers that HTTP calls 200 are counted too."),
    stat("95 % wait", quantile(0.95, "a2a_response_time_seconds"), "s", [(None, GOOD), (1, WARNING), (5, BAD)],
         "Of a stream: for its first event."),
    stat("Tasks in progress", f"sum(active_workflows{{{SELECT}}})", "short", [(None, GOOD), (100, WARNING)]),
    stat("Open streams", f"sum(attache_a2a_streams_open{{{SELECT}}})"),
    stat("System", f"min(a2a_system_health{{{SELECT}}})", "short", [(None, BAD), (1, GOOD)],
         "1 while every cluster has a usable endpoint."),
    row("Calls"),
    graph("Calls by method", [("{{method}}", rate("a2a_requests_total", ROUTE, "method"))], "reqps", stack=True),
    graph("Calls by outcome", [("{{outcome}}", rate("a2a_requests_total", ROUTE, "outcome"))], "reqps", stack=True),
    graph("Calls by binding and version", [("{{transport}} {{version}}", rate("a2a_requests_total", ROUTE, "transport, version"))],
          "reqps", stack=True),
    graph("Wait by method (95 %)", [("{{message_type}}", quantile(0.95, "a2a_message_latency_seconds", SELECT, "message_type"))], "s"),
    graph("Wait for the first event", [(f"p{int(q * 100)}", quantile(q, "attache_a2a_first_event_seconds", ROUTE))
                                       for q in (0.5, 0.95, 0.99)], "s"),
    graph("Calls sent on to agents", [("{{recipient}}", rate("a2a_messages_sent_total", SELECT, "recipient"))], "reqps"),
    row("Tasks"),
    graph("Tasks in progress", [("{{cluster}}", f"sum by (cluster) (a2a_active_tasks{{{CLUSTER}}})")], stack=True),
    graph("Tasks begun", [("{{route}}", rate("attache_a2a_tasks_begun_total", ROUTE, "route"))], "ops"),
    graph("Tasks ended", [("{{status}}", rate("workflow_executions_total", SELECT, "status"))], "ops", stack=True),
    graph("How long tasks take", [(f"p{int(q * 100)}", quantile(q, "workflow_duration_seconds")) for q in (0.5, 0.95)], "s"),
    graph("Tasks by endpoint", [
        ("{{cluster}} {{endpoint}}", f"sum by (cluster, endpoint) (attache_endpoint_active_tasks{{{CLUSTER}}})")]),
    graph("Searches for the endpoint of a task", [("{{result}}", rate("attache_a2a_lookups_total", ROUTE, "result"))], "ops"),
    row("Streams"),
    graph("Open streams", [("{{method}} {{transport}}", f"sum by (method, transport) (attache_a2a_streams_open{{{ROUTE}}})")], stack=True),
    graph("Streams that broke off", [("{{route}}", rate("attache_a2a_streams_truncated_total", ROUTE, "route"))], "ops"),
    graph("How long streams last", [(f"p{int(q * 100)}", quantile(q, "attache_stream_duration_seconds", ROUTE))
                                    for q in (0.5, 0.95)], "s"),
    row("Agents"),
    panel("bargauge", "Usable endpoints", [("{{agent_id}}", f"min by (agent_id) (a2a_agent_availability{{{SELECT}}})")], "percent",
          steps=[(None, BAD), (80, WARNING), (90, GOOD)], most=100),
    graph("Health by its checks", [("{{agent_id}}", f"min by (agent_id) (a2a_agent_health{{{SELECT}}})")],
          description="Of clusters with a health check: 1 while one endpoint is not unhealthy."),
    graph("Discovery", [("{{status}}", rate("agent_discovery_requests_total", SELECT, "status"))], "reqps",
          description="Requests for agent cards."),
    graph("Agent cards", [("{{result}}", rate("attache_agent_cards_total", ROUTE, "result"))], "reqps",
          description="unknown_host and unknown_path: the card leads clients past the gateway."),
]

ROLLOUTS = [
    panel("table", "Where rollouts are", [("", f"max by (instance, route, phase) (attache_rollout_phase{{{ROUTE}}} == 1)")],
          width=12, without=("Value",)),
    panel("bargauge", "Share of the canary", [("{{route}} {{instance}}", f"attache_rollout_weight_percent{{{ROUTE}}}")], "percent",
          width=12, most=100),
    graph("Share of the canary", [("{{route}} {{instance}}", f"attache_rollout_weight_percent{{{ROUTE}}}")], "percent", width=12),
    graph("Step", [("{{route}} {{instance}}", f"attache_rollout_step{{{ROUTE}}}")], width=12, description="Counted from 0."),
    graph("What happened", [("{{route}} {{event}}", f"sum by (route, event) (increase(attache_rollout_events_total{{{ROUTE}}}[$__rate_interval]))")],
          width=24),
    row("Versions side by side"),
    graph("Requests by version", [("{{route}} {{cluster}}", rate("http_requests_total", ROUTE, "route, cluster"))], "reqps", stack=True),
    graph("Success by version", [("{{route}} {{cluster}}", "1 - (" + share(
        rate("http_requests_total", ROUTE + ', code=~"5.."', "route, cluster") + f" or 0 * {rate('http_requests_total', ROUTE, 'route, cluster')}",
        rate("http_requests_total", ROUTE, "route, cluster")) + ")")], "percentunit"),
    graph("Time to the answer by version (99 %)", [
        ("{{route}} {{cluster}}", quantile(0.99, "attache_time_to_first_byte_seconds", ROUTE, "route, cluster"))], "s"),
    graph("Errors by version", [("{{cluster}} {{reason}}", rate("attache_errors_total", ROUTE, "cluster, reason"))], "reqps"),
    graph("Failed agent calls", [("{{route}} {{outcome}}", rate("a2a_requests_total", f"{ROUTE}, {BAD_CALLS}", "route, outcome"))], "reqps"),
    graph("Configuration", [("{{hash}}", f"count by (hash) (attache_config_hash_info{{{SELECT}}})")],
          description="Gateways by the configuration they run: one line means that all agree."),
]

LIMITS = [
    stat("Refused by rate limits", rate("attache_rate_limited_total", SELECT + ', mode="enforce"') + " or vector(0)", "reqps"),
    stat("Refused by ceilings", rate("attache_circuit_breaker_rejections_total") + " or vector(0)", "reqps",
         [(None, GOOD), (0.01, WARNING)]),
    stat("Refused connections", rate("attache_connections_refused_total") + " or vector(0)", "cps", [(None, GOOD), (0.01, WARNING)]),
    stat("Refused credentials", rate("attache_auth_total", SELECT + ', result=~"invalid|denied|missing"') + " or vector(0)", "reqps"),
    stat("Clients without a place", rate("attache_rate_limit_overflow_total") + " or vector(0)", "reqps", [(None, GOOD), (0.01, BAD)],
         "Requests counted together because a table was full."),
    stat("Open breakers", f"sum(attache_circuit_breaker_state{{{SELECT}}} == bool 2)", "short", [(None, GOOD), (1, BAD)]),
    row("Rate limits"),
    graph("Over a limit", [("{{limit}} {{mode}}", rate("attache_rate_limited_total", SELECT, "limit, mode"))], "reqps"),
    graph("Clients counted", [("{{limit}}", f"max by (limit) (attache_rate_limit_clients{{{SELECT}}})")]),
    graph("Clients without a place", [("{{limit}}", rate("attache_rate_limit_overflow_total", SELECT, "limit"))], "reqps"),
    graph("Too many open by one client", [("{{route}}", rate("attache_concurrency_limited_total", ROUTE, "route"))], "reqps"),
    graph("Requests by tenant", [("{{tenant}} {{code_class}}", rate("attache_tenant_requests_total", SELECT, "tenant, code_class"))], "reqps"),
    graph("Calls refused by a guard", [("{{route}} {{reason}}", rate("attache_a2a_refused_total", ROUTE, "route, reason"))], "reqps"),
    row("Ceilings and breakers"),
    graph("Breakers", [("{{cluster}} {{instance}}", f"attache_circuit_breaker_state{{{CLUSTER}}}")],
          description="0 closed, 1 half-open, 2 open."),
    graph("Refused at a ceiling", [("{{cluster}} {{ceiling}}", rate("attache_circuit_breaker_rejections_total", CLUSTER, "cluster, ceiling"))],
          "reqps"),
    graph("Ceilings met", [("{{cluster}} {{ceiling}}", rate("attache_circuit_breaker_ceilings_reached_total", CLUSTER, "cluster, ceiling"))]),
    graph("Waiting at a ceiling", [("{{cluster}}", f"sum by (cluster) (attache_pending_requests{{{CLUSTER}}})")]),
    graph("Adaptive limit", [("{{cluster}} {{instance}}", f"attache_adaptive_concurrency_limit{{{CLUSTER}}}")],
          description="How many requests a cluster carries at once, where adaptiveConcurrency finds that out."),
    graph("Connections to agents", [("{{cluster}}", f"sum by (cluster) (attache_upstream_connections{{{CLUSTER}}})")]),
    graph("Retries not made", [("{{cluster}} {{reason}}", rate("attache_retries_stopped_total", CLUSTER, "cluster, reason"))], "reqps"),
    row("Who comes in"),
    graph("Credentials by result", [("{{provider}} {{result}}", rate("attache_auth_total", SELECT, "provider, result"))], "reqps", stack=True),
    graph("Connections refused", [("{{listener}} {{reason}}", rate("attache_connections_refused_total", SELECT, "listener, reason"))], "cps"),
    graph("Broken HTTP", [("{{listener}} {{reason}}", rate("attache_malformed_requests_total", SELECT, "listener, reason"))], "reqps"),
    graph("TLS handshakes that failed", [("{{listener}}", rate("attache_handshake_failures_total", SELECT, "listener"))], "cps"),
    graph("Faults injected", [("{{route}} {{kind}}", rate("attache_faults_total", ROUTE, "route, kind"))], "reqps"),
    graph("Copies", [("{{route}} {{result}}", rate("attache_mirrors_total", ROUTE, "route, result"))], "reqps"),
]

LIMITS += [
    graph("Failures to authenticate", [("{{result}}", rate("attache_auth_failures_total", SELECT, "result"))], "reqps"),
    graph("Slowed down and blocked", [
        ("slowed {{mode}}", rate("attache_auth_slowed_total", ROUTE, "mode")), ("blocked by {{by}}", rate("attache_blocked_total", SELECT, "by"))],
        "reqps"),
    graph("Blocked networks and failing clients", [
        ("by {{by}}", f"max by (by) (attache_block_list_entries{{{SELECT}}})"), ("failing", f"max(attache_auth_failing_clients{{{SELECT}}})")]),
    row("What they may do"),
    graph("Refused by address", [("{{route}} {{mode}}", rate("attache_address_refused_total", SELECT, "route, mode"))], "reqps"),
    graph("Pages of others", [("{{route}} {{mode}}", rate("attache_csrf_total", ROUTE, "route, mode"))], "reqps"),
    graph("Preflights", [("{{route}} {{result}}", rate("attache_cors_preflights_total", ROUTE, "route, result"))], "reqps"),
    graph("Decisions of authorization", [("{{route}} {{rule}} {{result}}", rate("attache_authorization_total", ROUTE, "route, rule, result"))],
          "reqps"),
    graph("Patterns found", [("{{route}} {{pattern}} {{result}}", rate("attache_screening_total", ROUTE, "route, pattern, result"))], "reqps"),
    graph("Fetches of keys", [("{{provider}} {{result}}", rate("attache_jwks_fetches_total", SELECT, "provider, result"))], "ops"),
    graph("Age of keys", [("{{provider}}", f"time() - max by (provider) (attache_jwks_fetched_timestamp_seconds{{{SELECT}}})")], "s"),
    graph("Remembered by providers", [("{{provider}}", f"sum by (provider) (attache_auth_remembered{{{SELECT}}})")]),
    graph("Waiting for providers", [("{{provider}}", f"sum by (provider) (attache_auth_waiting{{{SELECT}}})")]),
    graph("Certificate orders", [("{{listener}} {{result}}", rate("attache_acme_orders_total", SELECT, "listener, result"))], "ops"),
]

DASHBOARDS = {
    "overview": dashboard("overview", "attache: overview", "Traffic, errors, endpoints and the process.", [*ALL, ROUTES, CLUSTERS], OVERVIEW),
    "agents": dashboard("agents", "attache: agents and tasks", "Calls of A2A agents, their tasks and streams.", [*ALL, ROUTES, CLUSTERS], AGENTS),
    "rollouts": dashboard("rollouts", "attache: rollouts", "Canaries: where they are and how the versions compare.", [*ALL, ROUTES], ROLLOUTS),
    "limits": dashboard("limits", "attache: limits and identity", "What is refused and why, how full the tables are, and who comes in.", [*ALL, ROUTES, CLUSTERS], LIMITS),
}


def files():
    """The text of each file, by its path."""
    return {HERE / "dashboards" / f"{name}.json": json.dumps(board, indent=1) + "\n" for name, board in DASHBOARDS.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        print(path)
