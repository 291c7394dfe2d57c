"""Manifests: the chart with several values, the overlays of Kustomize, what Kubernetes says of them, and whether they fit together."""

import re
import tempfile
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

from configurations import validate
from tools import DEPLOY, ROOT, Wrong, ensure, load, run, shown, tool

CHART = DEPLOY / "helm/attache"
KUSTOMIZE = DEPLOY / "kustomize"
# The oldest that the chart takes, and the newest that the schemas know.
KUBERNETES = ("1.30", "1.37")
# Kinds of the Prometheus operator, whose fields are those used here.
OPERATOR = {
    "PodMonitor": {"selector", "podMetricsEndpoints", "namespaceSelector"},
    "PrometheusRule": {"groups"},
}


def rendered(values, name="attache"):
    """The documents of the chart with these values."""
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name=name, namespace="gateways")
    found = []
    for path, text in texts.items():
        if path.endswith(".yaml"):
            found += [document for document in yaml.safe_load_all(text) if document]
    return found


def cases():
    """Values that are tried, by the name of their file."""
    return {"values.yaml": {}} | {path.name: load(path) for path in sorted((CHART / "ci").glob("*.yaml"))}


def overlays():
    """The documents of each overlay, by its name."""
    names = ["base", *sorted(f"overlays/{path.name}" for path in (KUSTOMIZE / "overlays").iterdir())]
    return {name: list(yaml.safe_load_all(run(tool("kubectl"), "kustomize", KUSTOMIZE / name))) for name in names}


def check_chart():
    """Helm takes the chart, its values and its schema; defaults of values.yaml have their place in the schema."""
    findings = [f"{said['path']}: {said['error']}" for said in helm.lint(str(CHART))["messages"] if said["severity"] >= 2]
    ensure(not findings, "helm lint: " + "\n".join(findings))
    cargo = (ROOT / "Cargo.toml").read_text()
    version = re.search(r'(?m)^version = "(.*)"$', cargo)[1]
    ensure(load(CHART / "Chart.yaml")["appVersion"] == version, f"Chart.yaml: appVersion is not {version} of Cargo.toml")
    for name, values in cases().items():
        documents = rendered(values)
        check_documents(f"chart with {name}", documents)
    everything = {document["kind"] for document in rendered(cases()["everything.yaml"])}
    wanted = {"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor",
              "PrometheusRule", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount"}
    ensure(everything == wanted, f"everything.yaml renders {sorted(everything)}")
    return f"{len(cases())} sets of values"


# What the chart must refuse, with a part of what it says.
REFUSED = [
    ({"replicas": 3}, "additional properties 'replicas' not allowed"),
    ({"replicaCount": "3"}, "replicaCount"),
    ({"service": {"ports": [{"name": "https", "port": 443, "listener": "https"}]}}, "no listener https"),
    ({"config": {"listeners": {"http": {"address": "0.0.0.0:80"}}}}, "1024 or more"),
    ({"config": {"listeners": {"http": {"address": "0.0.0.0:8080"}}, "shutdown": {"drainDelay": "1s"}}}, "config.shutdown"),
    ({"config": {"listeners": {"http": {"address": "0.0.0.0:8080"}}, "metrics": {"address": "0.0.0.0:1"}}}, "config.metrics.address"),
    ({"autoscaling": {"enabled": True, "cpu": 0, "memory": 0}}, "nothing to scale by"),
    ({"image": {"digest": "sha256:1"}}, "digest"),
]


def check_refusals():
    """Values that cannot work are refused with a reason."""
    for values, reason in REFUSED:
        try:
            rendered(values)
        except helm.HelmError as error:
            ensure(reason in str(error), f"{values}: refused for another reason: {error}")
        else:
            raise Wrong(f"{values}: not refused")
    return f"{len(REFUSED)} sets of values are refused"


def check_packaged():
    """A packed chart holds the rules and dashboards, which are links here."""
    with tempfile.TemporaryDirectory(prefix="attache-chart-") as directory:
        packed = helm.package(str(CHART), destination=directory)
        file = next(Path(directory).glob("*.tgz"), packed)
        with helm.Chart.load(str(file)) as chart:
            texts = chart.render(cases()["everything.yaml"], name="attache", namespace="gateways")
    alerts = texts["attache/templates/prometheusrule.yaml"]
    ensure("AttacheReloadFailed" in alerts and "AttacheMemoryNearLimit" in alerts, "a packed chart lost the rules")
    ensure(texts["attache/templates/dashboards.yaml"].count("schemaVersion") == 4, "a packed chart lost dashboards")
    return "rules and dashboards are in it"


def check_kustomize():
    """Kustomize builds every overlay, and Kubernetes takes it."""
    made = overlays()
    for name, documents in made.items():
        check_documents(f"kustomize {name}", documents)
    return f"{len(made)} directories"


def check_examples():
    """The examples of docs/kubernetes.md are values that the chart takes, or manifests that Kubernetes takes."""
    blocks = re.findall(r"(?ms)^```yaml\n(.*?)^```", (ROOT / "docs/kubernetes.md").read_text())
    ensure(len(blocks) >= 2, f"only {len(blocks)} examples were found")
    for number, block in enumerate(blocks, start=1):
        document, where = yaml.safe_load(block), f"docs/kubernetes.md: example {number}"
        if "apiVersion" in document:
            check_document(where, document)
        else:
            check_documents(where, rendered(document))
    return f"{len(blocks)} examples"


def check_documents(where, documents):
    """What holds for every set of manifests."""
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    ensure(len(names) == len(set(names)), f"{where}: something is there twice: {names}")
    for document in documents:
        check_document(f"{where}: {document['kind']} {document['metadata']['name']}", document)
    fits(where, documents)


def check_document(where, document):
    """Kubernetes, old and new, knows every field."""
    if document["apiVersion"].startswith("monitoring.coreos.com/"):
        ensure(document["kind"] in OPERATOR, f"{where}: an unknown kind")
        unknown = set(document["spec"]) - OPERATOR[document["kind"]]
        ensure(not unknown, f"{where}: unknown fields {sorted(unknown)}")
        if document["kind"] == "PrometheusRule":
            run(tool("promtool"), "check", "rules", "--lint-fatal", "/dev/stdin", text=yaml.safe_dump(document["spec"]))
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            raise Wrong(f"{where}: Kubernetes {version}: {error}") from error


def fits(where, documents):
    """Names and ports that refer to each other do, and the pod is as hardened as the namespaces ask for."""
    by_kind = {}
    for document in documents:
        by_kind.setdefault(document["kind"], {})[document["metadata"]["name"]] = document
    for name, deployment in by_kind["Deployment"].items():
        pod = deployment["spec"]["template"]
        confined(f"{where}: Deployment {name}", pod["spec"])
        labels = pod["metadata"]["labels"].items()
        ensure(deployment["spec"]["selector"]["matchLabels"].items() <= labels, f"{where}: the selector of {name} misses its pods")
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", ())}
        for container in pod["spec"]["containers"]:
            mounts = {mount["name"] for mount in container.get("volumeMounts", ())}
            ensure(mounts == set(volumes), f"{where}: mounts {sorted(mounts)} and volumes {sorted(volumes)}")
            ensure(not any("subPath" in mount for mount in container.get("volumeMounts", ())), f"{where}: a subPath never changes")
    gateway = next(made for made in by_kind["Deployment"].values() if made["spec"]["template"]["spec"]["containers"][0]["name"] == "attache")
    pod = gateway["spec"]["template"]["spec"]
    config_name = next(volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "config")
    ensure(config_name in by_kind["ConfigMap"], f"{where}: no ConfigMap {config_name}")
    config = validate(f"{where}: gateway.yaml", by_kind["ConfigMap"][config_name]["data"]["gateway.yaml"], secrets(by_kind))
    check_ports(where, by_kind, pod, config)
    check_end(where, pod, config)
    for scaler in by_kind.get("HorizontalPodAutoscaler", {}).values():
        ensure(scaler["spec"]["scaleTargetRef"]["name"] in by_kind["Deployment"], f"{where}: HorizontalPodAutoscaler scales nothing")
        ensure("replicas" not in gateway["spec"], f"{where}: replicas and an autoscaler, each undoes the other")
    for kind, selector in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"), ("PodMonitor", "selector")):
        for document in by_kind.get(kind, {}).values():
            wanted = document["spec"][selector]["matchLabels"].items()
            ensure(wanted <= gateway["spec"]["template"]["metadata"]["labels"].items(), f"{where}: {kind} selects no gateway")


def secrets(by_kind):
    """Files of the Secrets among the manifests."""
    return {name: text for secret in by_kind.get("Secret", {}).values() for name, text in secret.get("stringData", {}).items()}


def confined(where, pod):
    """The pod passes the level `restricted` of Kubernetes' pod security, and has limits."""
    ensure(pod["automountServiceAccountToken"] is False, f"{where}: gets a token")
    own = pod["securityContext"]
    ensure(own["runAsNonRoot"] is True and own["runAsUser"] == 65532, f"{where}: may be root")
    ensure(own["seccompProfile"] == {"type": "RuntimeDefault"}, f"{where}: no seccomp profile")
    for container in pod["containers"]:
        context = container["securityContext"]
        ensure(context == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
               f"{where}: its security context is {context}")
        ensure(set(container["resources"]) >= {"requests", "limits"}, f"{where}: no requests or limits")


def port_of(address):
    """The port of an address."""
    return int(address.rsplit(":", 1)[1])


def check_ports(where, by_kind, pod, config):
    """Ports of containers, services, policies and ingresses are those of listeners."""
    container = pod["containers"][0]
    listeners = {port_of(listener["address"]) for listener in config["listeners"].values()}
    metrics = port_of(config["metrics"]["address"])
    declared = {port["containerPort"] for port in container["ports"]}
    ensure(declared == listeners | {metrics}, f"{where}: the container declares {sorted(declared)}, listeners have {sorted(listeners)}")
    named = {port["name"]: port["containerPort"] for port in container["ports"] if "name" in port}
    ensure(named.get("metrics") == metrics, f"{where}: the port metrics is not that of the configuration")
    ensure(not config["metrics"]["address"].startswith("127."), f"{where}: probes cannot reach loopback")
    ensure(container["args"] == ["run", "-c", "/etc/attache/gateway.yaml"], f"{where}: it runs {container['args']}")
    for service in by_kind["Service"].values():
        if service["spec"]["selector"].get("app.kubernetes.io/name") == "agents":
            continue
        for port in service["spec"]["ports"]:
            target = named.get(port["targetPort"], port["targetPort"])
            ensure(target in listeners | {metrics}, f"{where}: the service's port {port['name']} leads nowhere")
        for ingress in by_kind.get("Ingress", {}).values():
            known = {port["name"] for port in service["spec"]["ports"]}
            for rule in ingress["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    backend = path["backend"]["service"]
                    ensure(backend["name"] == service["metadata"]["name"] and backend["port"]["name"] in known,
                           f"{where}: the ingress leads to {backend}")
    for policy in by_kind.get("NetworkPolicy", {}).values():
        allowed = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        ensure(allowed == listeners | {metrics}, f"{where}: the network policy lets {sorted(allowed)} in")


def seconds(text):
    """A duration of the configuration."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def check_end(where, pod, config):
    """The grace period lasts until the gateway has ended by itself."""
    shutdown = config["shutdown"]
    before = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    longest = max(seconds(shutdown["drainTimeout"]), seconds(shutdown["streamGrace"]))
    needed = before + seconds(shutdown["drainDelay"]) + longest
    grace = pod["terminationGracePeriodSeconds"]
    ensure(needed + 5 <= grace, f"{where}: it may need {needed} s to end and is killed after {grace} s")
    probe = pod["containers"][0]["readinessProbe"]
    told = probe["periodSeconds"] * probe["failureThreshold"]
    ensure(told <= before + seconds(shutdown["drainDelay"]), f"{where}: it stops accepting before it counts as not ready")


def base():
    """The manifests of Kustomize's base, made from the chart."""
    documents = [document for document in rendered({}) if document["kind"] != "ConfigMap"]
    text = yaml.safe_dump_all([plain(document) for document in documents], sort_keys=False, width=120)
    head = "# Made from the chart with its own values by `tests/deploy/run --update`.\n"
    return KUSTOMIZE / "base/attache.yaml", head + text


def plain(value):
    """A document without what only Helm and one release know."""
    if isinstance(value, dict):
        left_out = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "app.kubernetes.io/instance", "namespace"}
        value = {key: plain(inner) for key, inner in value.items() if key not in left_out}
        if isinstance(value.get("image"), str):
            value["image"] = value["image"].split(":")[0]
        return value
    return [plain(inner) for inner in value] if isinstance(value, list) else value
