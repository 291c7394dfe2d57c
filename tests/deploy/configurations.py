"""Configurations of the gateway: each is loaded by `attache validate`, with the files that it names beside it."""

import hashlib
import re
import tempfile
from pathlib import Path

import yaml

from tools import DEPLOY, Wrong, attache, ensure, run, shown

# Directories that deployments mount or make; their files are made up here.
MOUNTED = ("/certs", "/run/secrets/attache", "/var/lib/attache", "/run/attache", "/var/log/attache", "/etc/attache/tls")
CERTIFICATE, KEY = "gateway.crt", "gateway.key"


def validate(where, text, files=None):
    """Loads a configuration, which must give no error and no warning, and gives it parsed."""
    with tempfile.TemporaryDirectory(prefix="attache-config-") as directory:
        try:
            said = run(attache(), "validate", "-c", placed(Path(directory), text, files or {}))
        except Wrong as wrong:
            raise Wrong(f"{where}: {wrong}") from wrong
        ensure("warning" not in said, f"{where}: {said}")
    return yaml.safe_load(text)


def placed(directory, text, files):
    """Writes a configuration into a directory, with the directories that it names below it, and gives its path."""
    for mount in MOUNTED:
        place = directory / mount.strip("/").replace("/", "-")
        place.mkdir()
        text = re.sub(rf"(?<![\w./-]){mount}(?=[/\s,}}\]])", str(place), text)
    provide(directory, text, files)
    file = directory / "gateway.yaml"
    file.write_text(text)
    return file


def provide(directory, text, files):
    """Puts certificates and keys where the configuration looks for them."""
    run(attache(), "certs", "dev", "--out", directory / "made", "--host", "agents.example.com")
    for path in re.findall(rf"({re.escape(str(directory))}/[\w./-]+)", text):
        path, name = Path(path), Path(path).name
        if name in files:
            path.write_text(files[name])
        elif name.endswith(".crt"):
            path.write_bytes((directory / "made" / CERTIFICATE).read_bytes())
        elif name.endswith(".key"):
            path.write_bytes((directory / "made" / KEY).read_bytes())
        elif name.endswith(".keys"):
            path.write_text(f"example:{hashlib.sha256(b'example').hexdigest()}\n")


def check_files():
    """Every configuration that lies in deploy/ as a file."""
    files = sorted(DEPLOY.rglob("gateway*.yaml"))
    ensure(len(files) >= 5, f"only {len(files)} configurations were found")
    for path in files:
        validate(shown(path), path.read_text())
    return f"{len(files)} files"
