"""Rules: their syntax, their tests, their sections in docs/alerts.md, and the manifest made from them."""

import re

import yaml

from expressions import rules, selectors
from tools import DEPLOY, ROOT, ensure, load, run, shown, tool

PROMETHEUS = DEPLOY / "prometheus"


def check_syntax():
    """Prometheus takes rules and configurations."""
    files = sorted((PROMETHEUS / "rules").glob("*.yaml"))
    ensure(len(files) >= 3, f"only {len(files)} rule files were found")
    run(tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *files)
    run(tool("promtool"), "check", "config", "--lint-fatal", PROMETHEUS / "prometheus.yml", cwd=PROMETHEUS)
    return f"{sum(1 for _ in rules())} rules in {len(files)} files"


def check_tests():
    """Each alert has a test in which it fires and one in which what it looks at is there and it never does; all tests pass."""
    files = sorted((PROMETHEUS / "tests").glob("*.yaml"))
    run(tool("promtool"), "test", "rules", *files, cwd=PROMETHEUS / "tests")
    fires, quiet, count = set(), set(), 0
    for path in files:
        document = load(path)
        declared = [rule for file in document["rule_files"] for group in load(path.parent / file)["groups"] for rule in group["rules"]]
        for test in document["tests"]:
            given = {series["series"].partition("{")[0] for series in test["input_series"]}
            judged = {rule["alert"] for rule in declared if "alert" in rule and sources(rule["expr"], declared) <= given}
            named = set()
            for query in test.get("promql_expr_test", ()):
                ensure(query["expr"] == 'count by (alertname) (ALERTS{alertstate="firing"})', f"{shown(path)}: {test['name']}: another question")
                named |= {re.search('"(.*)"', sample["labels"])[1] for sample in query["exp_samples"]}
                count += 1
            # An alert that only waits for its `for` would be quiet at some moment of any test.
            fires, quiet = fires | named, quiet | (judged - named if test.get("promql_expr_test") else set())
    alerts = {rule["alert"] for _, rule in rules() if "alert" in rule}
    ensure(alerts <= fires, f"no test shows these alerts firing: {sorted(alerts - fires)}")
    ensure(alerts <= quiet, f"no test shows these alerts quiet: {sorted(alerts - quiet)}")
    return f"{count} moments in tests of {len(alerts)} alerts"


def sources(expression, declared):
    """The metrics that an expression is made from, those of recorded rules included."""
    recorded = {rule["record"]: rule["expr"] for rule in declared if "record" in rule}
    names = {name for name, _ in selectors(expression)}
    return {source for name in names for source in (sources(recorded[name], declared) if name in recorded else {name})}


def check_runbooks():
    """Each alert leads to a section that names it, and each section belongs to an alert."""
    text = (ROOT / "docs/alerts.md").read_text()
    sections = dict(re.findall(r"(?ms)^### (\w+)\n(.*?)(?=^##|\Z)", text))
    anchors = {title.lower(): title for title in sections}
    used = set()
    for path, rule in rules():
        if "alert" not in rule:
            continue
        where = f"{shown(path)}: {rule['alert']}"
        ensure(rule["labels"].get("severity") in ("info", "warning", "error", "critical"), f"{where}: no severity")
        notes = rule["annotations"]
        ensure(all(notes.get(name) for name in ("summary", "description", "runbook")), f"{where}: an annotation is missing")
        page, _, anchor = notes["runbook"].partition("#")
        ensure(page == "docs/alerts.md" and anchor in anchors, f"{where}: {notes['runbook']} leads nowhere")
        title = anchors[anchor]
        ensure(rule["alert"] == title or rule["alert"] in sections[title], f"{where}: the section {title} does not name it")
        used.add(title)
    ensure(set(sections) == used, f"docs/alerts.md: sections of no alert: {sorted(set(sections) - used)}")
    links = set(re.findall(r"\]\(#([\w-]+)\)", text))
    ensure(links <= set(anchors), f"docs/alerts.md: links lead nowhere: {sorted(links - set(anchors))}")
    return f"{len(used)} sections"


def manifest():
    """The PrometheusRule of Kustomize, made from the rule files."""
    groups = [group for path in sorted((PROMETHEUS / "rules").glob("*.yaml")) for group in load(path)["groups"]]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {"name": "attache"}, "spec": {"groups": groups},
    }
    head = "# Made from the files in rules/ by `tests/deploy/run --update`.\n"
    return PROMETHEUS / "prometheusrule.yaml", head + yaml.safe_dump(rule, sort_keys=False, width=120)
