"""Every expression of the rules and dashboards finds something at a running gateway, by a running Prometheus."""

import json
import re
import tempfile
import urllib.parse
from pathlib import Path

import promql_parser

from ports import free_port
from process import TooLate, eventually, fetch, running
from tools import DEPLOY, ROOT, Wrong, ensure, load, run, shown, tool
from traffic import gateway, traffic

# Alerts over what no traffic brings about: a renewed certificate that is broken, tasks that the demo agents never fail, an
# authority that refuses a certificate, calls of gRPC. Their metrics and words are compared with docs/metrics.md alone. One that has data must go from here.
SILENT = {
    "AttacheCertificateReloadFailed", "AttacheCertificateOrderFailed", "WorkflowFailureRate", "gRPC statuses", "Certificate orders",
}
# What rules and dashboards that were written for agents select by.
OTHER_JOB = "mcp-agent-service"
# Given by Prometheus and kube-state-metrics.
FOREIGN = {
    "up", "ALERTS", "kube_pod_container_resource_limits", "kube_pod_container_status_restarts_total",
    "kube_deployment_status_replicas_available", "kube_deployment_spec_replicas",
}
# Labels that a scrape adds.
ADDED = {"job", "instance", "namespace", "pod", "le", "__name__"}


def rules():
    """Each rule file with its rules."""
    for path in sorted((DEPLOY / "prometheus/rules").glob("*.yaml")):
        for group in load(path)["groups"]:
            for rule in group["rules"]:
                yield path, rule


def queries():
    """Every expression with where it stands."""
    for path, rule in rules():
        yield f"{shown(path)}: {rule.get('alert') or rule['record']}", rule["expr"]
    for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield f"{shown(path)}: {panel['title']}", target["expr"]
        for variable in board["templating"]["list"]:
            found = re.fullmatch(r"label_values\((.*), \w+\)", variable.get("definition", ""))
            if found:
                yield f"{shown(path)}: variable {variable['name']}", found[1]
        for note in board["annotations"]["list"]:
            yield f"{shown(path)}: {note['name']}", note["expr"]


def asked(expression):
    """An expression as Grafana would send it."""
    expression = expression.replace("$__rate_interval", "5m")
    return re.sub(r"\$\w+", ".*", expression)


def parts(node):
    """Every node of a parsed expression."""
    yield node
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from parts(child)
    for argument in getattr(node, "args", None) or ():
        yield from parts(argument)


def selectors(expression):
    """Metric and matchers of every selector."""
    for node in parts(promql_parser.parse(expression)):
        if isinstance(node, promql_parser.VectorSelector):
            yield node.name, node.matchers.matchers


def grouped(expression):
    """Labels that an expression groups or matches by."""
    for node in parts(promql_parser.parse(expression)):
        modifier = getattr(node, "modifier", None)
        modifier = getattr(modifier, "matching", modifier)
        yield from getattr(modifier, "labels", ())


def documented():
    """Labels and meaning of every metric that docs/metrics.md shows."""
    found = {}
    for line in (ROOT / "docs/metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| `") or len(cells) < 2:
            continue
        name = cells[0].strip("| `")
        labels = set(re.findall(r"`(\w+)`", cells[2])) if len(cells) == 4 else set()
        found[name] = (labels, cells[-1])
        if len(cells) == 4 and cells[1] == "histogram":
            found |= {name + end: found[name] for end in ("_bucket", "_sum", "_count")}
    return found


def check_names():
    """Metrics, labels and the words that are selected by are those of docs/metrics.md."""
    known, recorded = documented(), {rule["record"] for _, rule in rules() if "record" in rule}
    count = 0
    adapter = DEPLOY / "prometheus/adapter.yaml"
    adapted = [(shown(adapter), rule["seriesQuery"]) for rule in load(adapter)["rules"]["custom"]]
    for where, expression in [*queries(), *adapted]:
        carried = ADDED | {"deployment"}
        for name, matchers in selectors(asked(expression)):
            count += 1
            if name in FOREIGN | recorded:
                continue
            ensure(name in known, f"{where}: there is no metric {name}")
            labels, meaning = known[name]
            carried |= labels
            for matcher in matchers:
                ensure(matcher.name in labels | ADDED, f"{where}: {name} has no label {matcher.name}")
                if matcher.name in ADDED | {"code", "route", "cluster"}:
                    continue
                for word in matcher.value.split("|"):
                    ensure(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", meaning), f"{where}: {name} has no {matcher.name} {word}")
        for label in grouped(asked(expression)):
            ensure(label in carried, f"{where}: no metric of this has the label {label}")
    return f"{count} selectors name metrics and labels that there are"


def without_threshold(node):
    """What an alert compares, without the comparison: it has data although nothing is wrong."""
    if isinstance(node, promql_parser.BinaryExpr):
        if str(node.op) in (">", "<", "==", "!=", ">=", "<="):
            return without_threshold(node.lhs)
        if str(node.op) in ("and", "unless"):
            return without_threshold(node.lhs)
    if isinstance(node, promql_parser.ParenExpr):
        return without_threshold(node.expr)
    return node


def check_data():
    """All expressions at a Prometheus that scrapes a gateway with traffic."""
    with tempfile.TemporaryDirectory(prefix="attache-deploy-") as directory:
        directory = Path(directory)
        with gateway(directory) as gate, traffic(gate), prometheus(directory, gate) as base:
            return answers(base, gate)


class prometheus:
    """A Prometheus with the shipped rules, which scrapes the gateway every half second."""

    def __init__(self, directory, gate):
        port = free_port()
        self.base = f"http://127.0.0.1:{port}/api/v1"
        self.log = directory / "prometheus.log"
        file = directory / "prometheus.yaml"
        file.write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
            "rule_files": [str(DEPLOY / "prometheus/rules/*.yaml")],
            "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{gate.ports['METRICS']}"]}]}
                               for job in ("attache", OTHER_JOB)],
        }))
        self.running = running([tool("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}",
                                f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], self.log)

    def __enter__(self):
        self.process = self.running.__enter__()
        eventually("Prometheus scrapes", lambda: self.scraped(), self.process, self.log)
        return self.base

    def scraped(self):
        """Whether there are enough scrapes for a rate."""
        try:
            return ask_prometheus(self.base, "count_over_time(up[1m]) >= 6")
        except Wrong:
            return False

    def __exit__(self, *error):
        return self.running.__exit__(*error)


def ask_prometheus(base, expression):
    """The result of an instant query."""
    answer = json.loads(fetch(f"{base}/query?{urllib.parse.urlencode({'query': expression})}"))
    ensure(answer["status"] == "success", f"{expression}: {answer}")
    return answer["data"]["result"]


def other_names(base):
    """The names of other systems have data under the name of the job that these scrape by."""
    text = (ROOT / "docs/metrics.md").read_text().split("## Names of other systems")[1].split("Rules select by `job`")[0]
    names = re.findall(r"(?m)^\| `(\w+)` \| (\w+)", text)
    ensure(len(names) >= 15, f"docs/metrics.md: only {len(names)} names of other systems were found")
    for name, kind in names:
        name += "_bucket" if kind == "histogram" else ""
        ensure(ask_prometheus(base, f'{name}{{job="{OTHER_JOB}"}}'), f"{name} has no data for the job {OTHER_JOB}")


def answers(base, gate):
    """Asks everything, again and again until it has data or the time is over."""
    waiting = {}
    for where, expression in queries():
        names = {name for name, _ in selectors(asked(expression))}
        if names & FOREIGN or "absent" in expression:
            ask_prometheus(base, asked(expression))
            continue
        bare = without_threshold(promql_parser.parse(asked(expression)))
        waiting[(where, str(bare))] = where.rsplit(": ", 1)[1] in SILENT
    total = len(waiting)

    def settle():
        for key in list(waiting):
            if ask_prometheus(base, key[1]):
                ensure(not waiting[key], f"{key[0]}: has data, so it must not be in SILENT")
                del waiting[key]
        return all(waiting.values())

    try:
        eventually("every expression has data", settle)
    except TooLate as late:
        missing = "\n".join(f"  {where}: {expression}" for (where, expression), silent in waiting.items() if not silent)
        raise Wrong(f"expressions without data at a gateway with traffic:\n{missing}") from late
    other_names(base)
    said = run(tool("promtool"), "check", "metrics", text=fetch(f"http://127.0.0.1:{gate.ports['METRICS']}/metrics"), errors=True)
    ensure(not said.strip(), f"promtool check metrics: {said}")
    failing = json.loads(fetch(f"{base}/rules"))["data"]["groups"]
    broken = [f"{rule['name']}: {rule['lastError']}" for group in failing for rule in group["rules"] if rule.get("lastError")]
    ensure(not broken, "rules that Prometheus cannot evaluate:\n  " + "\n  ".join(broken))
    ensure(gate.process.poll() is None, "the gateway ended")
    return f"{total - len(waiting)} of {total} expressions have data at a gateway; {len(waiting)} only when it is broken"
