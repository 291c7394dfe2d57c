"""Files that a program reads as they are: YAML, workflows, the Dockerfile, compose files, units of systemd."""

import os
import re
import tempfile
from pathlib import Path

import yaml
from manifests import port_of, seconds
from tools import DEPLOY, HERE, ROOT, attache, ensure, load, run, shown, tool


def check_yaml():
    """YAML is well-formed, without keys that are there twice."""
    places = [DEPLOY, ROOT / ".github", HERE]
    files = [path for place in places for end in ("*.yaml", "*.yml") for path in sorted(place.rglob(end))]
    # Templates of Helm are YAML only when they are rendered: manifests.py looks at that.
    files = [path for path in files if "templates" not in path.parts]
    run(tool("yamllint"), "--strict", "-c", HERE / "yamllint.yaml", *files)
    return f"{len(files)} files"


def check_workflows():
    """GitHub takes the workflows, and every step of .ci/run that they name exists."""
    files = sorted((ROOT / ".github/workflows").glob("*.yml"))
    run(tool("actionlint"), *files)
    steps = set(re.search(r"(?m)^steps=\((.*)\)$", (ROOT / ".ci/run").read_text())[1].split())
    named = set()
    for text in (path.read_text() for path in files):
        for line in re.findall(r"\bsteps: ([a-z][a-z ]*)|\.ci/run ([a-z][a-z ]*)$", text, re.M):
            named |= {word for words in line for word in words.split()}
    ensure(named <= steps, f"workflows name steps that .ci/run does not have: {sorted(named - steps)}")
    return f"{len(files)} workflows"


def check_dockerfile():
    """The Dockerfile has no habit that hadolint warns of."""
    run(tool("hadolint"), "--failure-threshold", "warning", ROOT / "Dockerfile")
    return "Dockerfile"


def check_compose():
    """Compose files follow the specification; what they mount exists; every service is pinned, hardened and checked."""
    files = sorted(DEPLOY.glob("compose*.yaml"))
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", *files)
    for path in files:
        document = load(path)
        for name, service in document["services"].items():
            where = f"{shown(path)}: {name}"
            ensure(service["read_only"] is True and service["cap_drop"] == ["ALL"], f"{where}: is not hardened")
            ensure(service["security_opt"] == ["no-new-privileges:true"], f"{where}: may gain privileges")
            ensure(":" in service["image"], f"{where}: its image has no version")
            for volume in service.get("volumes", ()):
                source = volume.split(":")[0]
                if source.startswith("."):
                    ensure((path.parent / source).is_dir(), f"{where}: {source} is no directory here")
                elif not source.startswith("$"):
                    ensure(source in document["volumes"], f"{where}: there is no volume {source}")
            ensure(set(service.get("networks", ())) <= set(document.get("networks", ())), f"{where}: an unknown network")
        check_gateway(path, document["services"]["gateway"])
        check_monitoring(shown(path), document["services"])
        check_tracing(path, document["services"])
    return f"{len(files)} files"


def check_gateway(path, service):
    """The gateway's service fits its configuration."""
    mounted = next(volume.split(":")[0] for volume in service["volumes"] if ":/etc/attache:" in volume)
    config = load(path.parent / mounted / "gateway.yaml")
    listeners = {port_of(listener["address"]) for listener in config["listeners"].values()}
    published = {int(port.split(":")[-1]) for port in service["ports"]}
    ensure(published <= listeners | {port_of(config["metrics"]["address"])}, f"{shown(path)}: publishes {sorted(published)}")
    shutdown = config["shutdown"]
    needed = seconds(shutdown.get("drainDelay", "0s")) + max(seconds(shutdown["drainTimeout"]), seconds(shutdown.get("streamGrace", "0s")))
    ensure(needed + 5 <= seconds(service["stop_grace_period"]), f"{shown(path)}: it may need {needed} s to end, and is killed before")
    ensure(service["healthcheck"]["test"] == ["CMD", "/attache", "healthcheck"], f"{shown(path)}: another health check")
    ensure(config["metrics"]["address"].endswith(":9090"), f"{shown(path)}: the health check asks port 9090")


def check_monitoring(where, services):
    """Prometheus finds the gateway and its rules, Grafana finds Prometheus and the dashboards."""
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in load(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]}
    ensure(jobs.get("attache") == ["gateway:9090"] and "gateway" in services, f"{where}: prometheus.yml scrapes another gateway")
    for asked, asks in (("gateway", "prometheus"), ("prometheus", "grafana")):
        shared = set(services[asked].get("networks", ["default"])) & set(services[asks].get("networks", ["default"]))
        ensure(shared, f"{where}: {asks} cannot reach {asked}")
    ensure("./prometheus:/etc/prometheus:ro" in services["prometheus"]["volumes"], f"{where}: Prometheus has no rules")
    ensure("./grafana/provisioning:/etc/grafana/provisioning:ro" in services["grafana"]["volumes"], f"{where}: Grafana finds nothing")
    source = load(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]
    ensure(source["url"] == "http://prometheus:9090" and source["isDefault"], f"{where}: Grafana asks another Prometheus")
    path = load(DEPLOY / "grafana/provisioning/dashboards/attache.yaml")["providers"][0]["options"]["path"]
    ensure(f"./grafana/dashboards:{path}:ro" in services["grafana"]["volumes"], f"{where}: Grafana has no dashboards")
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    ensure((DEPLOY / "grafana/dashboards" / home.rsplit("/", 1)[1]).exists(), f"{where}: there is no dashboard {home}")


def check_tracing(path, services):
    """The gateway finds the collector, and the collector is made of parts that it has and hands on what it takes."""
    where = shown(path)
    mounted = next(volume.split(":")[0] for volume in services["gateway"]["volumes"] if ":/etc/attache:" in volume)
    # In production it waits behind `#` for a profile.
    text = (path.parent / mounted / "gateway.yaml").read_text()
    config = yaml.safe_load(re.sub(r"(?m)^# (?=tracing:|  \w)", "", text))
    host, port = config["tracing"]["otlp"]["endpoint"].removeprefix("http://").split(":")
    collector = services[host]
    shared = set(services["gateway"].get("networks", ["default"])) & set(collector.get("networks", ["default"]))
    ensure(shared, f"{where}: the gateway cannot reach {host}")
    ensure(collector["command"] == ["--config=/etc/collector/collector.yaml"]
           and "./collector:/etc/collector:ro" in collector["volumes"], f"{where}: {host} has another configuration")
    settings = load(DEPLOY / "collector/collector.yaml")
    taken = {protocol: port_of(at["endpoint"]) for protocol, at in settings["receivers"]["otlp"]["protocols"].items()}
    ensure(taken["grpc"] == int(port), f"{where}: {host} does not listen at port {port}")
    ensure(collector["expose"] == [str(at) for at in taken.values()], f"{where}: {host} exposes other ports")
    for name, pipeline in settings["service"]["pipelines"].items():
        for kind, parts in pipeline.items():
            ensure(set(parts) == set(settings[kind]), f"collector.yaml: {name} uses {parts} of {sorted(settings[kind])}")
    asked = settings["exporters"]["otlp/traces"]["endpoint"]
    ensure(asked == "${env:TRACES_ENDPOINT}" and "TRACES_ENDPOINT" in collector["environment"], f"{where}: {host} hands on to nobody")
    keeper = collector["environment"]["TRACES_ENDPOINT"]
    if not keeper.startswith("$"):
        ensure(keeper.split(":")[1] in services[keeper.split(":")[0]]["expose"], f"{where}: there is no {keeper}")


def check_unit():
    """systemd takes the unit, finds it well confined, and it fits the packaged configuration."""
    unit = (DEPLOY / "systemd/attache.service").read_text()
    with tempfile.TemporaryDirectory(prefix="attache-unit-") as directory:
        copy, sockets = (Path(directory) / f"attache.{kind}" for kind in ("service", "socket"))
        copy.write_text(unit.replace("/usr/bin/attache", str(attache())))
        sockets.write_text((DEPLOY / "systemd/attache.socket").read_text())
        said = run(tool("systemd-analyze"), "verify", "--man=no", copy, sockets, errors=True)
        ensure(not said.strip(), f"systemd-analyze verify: {said}")
    # In tenths: 1.8 of 10.
    run(tool("systemd-analyze"), "security", "--offline=true", "--no-pager", "--threshold=18", DEPLOY / "systemd/attache.service")
    run(tool("systemd-sysusers"), "--dry-run", DEPLOY / "systemd/attache.sysusers")
    settings = dict(line.split("=", 1) for line in unit.splitlines() if re.match(r"\w+=", line))
    config = load(DEPLOY / "systemd/gateway.yaml")
    handed = re.findall(r"(?m)^ListenStream=(\S+)$", (DEPLOY / "systemd/attache.socket").read_text())
    ensure(handed == [listener["address"] for listener in config["listeners"].values()], f"attache.socket hands over {handed}")
    shutdown = config["shutdown"]
    ensure(max(seconds(shutdown["drainTimeout"]), seconds(shutdown["streamGrace"])) + 5 <= seconds(settings["TimeoutStopSec"]),
           "the unit is killed before the gateway has drained")
    for path, setting in ((config["state"]["file"], "StateDirectory"), (config["reload"]["lastGoodFile"], "StateDirectory"),
                          (config["admin"]["address"].removeprefix("unix:"), "RuntimeDirectory")):
        home = {"StateDirectory": "/var/lib", "RuntimeDirectory": "/run"}[setting]
        ensure(path.startswith(f"{home}/{settings[setting]}/"), f"{path} is not in {setting}=")
    for command in (settings["ExecStart"], settings["ExecReload"]):
        run(attache(), command.split()[1], "--help")
    return "attache.service, attache.socket"


def check_package():
    """The Debian package has everything in its place."""
    with tempfile.TemporaryDirectory(prefix="attache-deb-") as directory:
        # Packed without compression, which would take half a minute.
        file = run(DEPLOY / "debian/build", attache(), directory, env=os.environ | {"DPKG_DEB_COMPRESSOR_TYPE": "none"}).strip()
        name, version = run("dpkg-deb", "--show", "--showformat", "${Package} ${Version}", file).split()
        ensure(name == "attache" and f'version = "{version}"' in (ROOT / "Cargo.toml").read_text(), f"{name} {version} is not Cargo.toml's")
        run("dpkg-deb", "--extract", file, f"{directory}/root")
        run("dpkg-deb", "--control", file, f"{directory}/control")
        found = {str(path.relative_to(f"{directory}/root")): path for path in Path(directory, "root").rglob("*") if path.is_file()}
        for script in ("postinst", "prerm", "postrm"):
            run("sh", "-n", f"{directory}/control/{script}")
        owners = {line.split()[1] for line in run("dpkg-deb", "--contents", file).splitlines()}
    documented = {path.strip("/") for path in re.findall(r"(?m)^\| `(/\S+)` \|", (ROOT / "docs/systemd.md").read_text())}
    packed = {path for path in found if not path.startswith(("usr/share/man/", "usr/share/bash-", "usr/share/zsh/", "usr/share/fish/"))}
    ensure(owners == {"root/root"}, f"files of the package belong to {owners}")
    ensure(packed <= documented, f"docs/systemd.md does not list {sorted(packed - documented)}")
    ensure("usr/share/man/man1/attache.1.gz" in found, "the package has no manual page")
    return f"{len(found)} files"


# Stands for every program that the scripts of the package call: says what it was asked, and fails where it is told to.
RECORDER = """#!/bin/sh
echo "${0##*/} $*" | sed "s|$DPKG_ROOT||g" >>"$SAID"
case " $FAILING " in *" ${0##*/} "*) exit 1 ;; esac
"""
FOLDER = ["chown root:attache /etc/attache", "chmod 750 /etc/attache"]
FILE = ["chown root:attache /etc/attache/gateway.yaml", "chmod 640 /etc/attache/gateway.yaml"]
USER, RELOAD = "systemd-sysusers --root= attache.conf", "systemctl daemon-reload"
RESTART = "deb-systemd-invoke try-restart attache.service"
STOP, DISABLE = (f"{verb} attache.socket attache.service" for verb in ("deb-systemd-invoke stop", "systemctl --root= disable"))
# The script with its arguments, what lies in the system, what fails, and what is called then.
SCRIPTS = [
    ("postinst configure", ("/etc/attache/gateway.yaml",), "", [USER, *FOLDER, *FILE]),
    ("postinst configure", ("/etc/attache/gateway.yaml", "/run/systemd/system/"), "", [USER, *FOLDER, *FILE, RELOAD]),
    ("postinst configure 0.0.9", ("/etc/attache/gateway.yaml", "/run/systemd/system/"), "", [USER, RELOAD, RESTART]),
    ("postinst configure 0.0.9", ("/run/systemd/system/",), "systemctl deb-systemd-invoke", [USER, RELOAD, RESTART]),
    ("postinst configure", ("/etc/attache/",), "", [USER, *FOLDER]),
    ("postinst abort-upgrade 0.0.9", ("/run/systemd/system/",), "", []),
    ("prerm upgrade 0.2.0", ("/run/systemd/system/",), "", []),
    ("prerm remove", ("/run/systemd/system/",), "systemctl deb-systemd-invoke", [STOP, DISABLE]),
    ("prerm remove", (), "systemctl", [DISABLE]),
    ("postrm remove", ("/run/systemd/system/", "/var/lib/attache/state.json"), "systemctl", [RELOAD]),
    ("postrm purge", ("/var/lib/attache/state.json", "/var/log/attache/access.log"), "", []),
]


def check_scripts():
    """The scripts of the package do the same when they run twice, overrule no administrator, and never stop half way."""
    for words, paths, failing, expected in SCRIPTS:
        with tempfile.TemporaryDirectory(prefix="attache-scripts-") as directory:
            root, bin_, said = (Path(directory, name) for name in ("root", "bin", "said"))
            for path in paths:
                folder, _, file = path[1:].rpartition("/")
                (root / folder).mkdir(parents=True, exist_ok=True)
                if file:
                    (root / folder / file).touch()
            bin_.mkdir()
            for name in ("systemd-sysusers", "systemctl", "deb-systemd-invoke", "chown", "chmod"):
                (bin_ / name).write_text(RECORDER)
                (bin_ / name).chmod(0o755)
            script, *arguments = words.split()
            env = {"PATH": f"{bin_}:{os.environ['PATH']}", "DPKG_ROOT": str(root), "SAID": str(said), "FAILING": failing}
            for _ in range(2):
                said.write_text("")
                run("sh", DEPLOY / "debian" / script, *arguments, env=env)
                ensure(said.read_text().splitlines() == expected, f"{words}, with {paths}: {said.read_text()}")
            written = [path for path in paths if path.startswith("/var/") and (root / path[1:]).exists()]
            ensure(bool(written) == (words == "postrm remove"), f"{words}: took or left what the gateway wrote: {written}")
    return f"{len(SCRIPTS)} cases"
