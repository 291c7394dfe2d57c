"""Finds or installs what is compared, builds the load generator, makes the certificate. All of it lands in target/."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from envoy import envoy

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "compare"
DEBIAN_PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "valgrind": "valgrind"}


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for localhost, which therefore is its own authority."""
    cert_file: Path
    key_file: Path
    joined_file: Path  # both in one file, as HAProxy wants them


def locate(names: list[str]) -> dict[str, str]:
    finders = {"envoy": lambda: envoy(WORK), "attache": attache, "floor": lambda: str(build("floor"))}
    return {name: finders.get(name, lambda name=name: from_debian(name))() for name in names}


def from_debian(name: str) -> str:
    found = which(name)
    if found is None:
        package = DEBIAN_PACKAGES[name]
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            sys.exit(f"{name} is missing: install it (Debian: apt-get install {package}) or leave it out with --peers")
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
        subprocess.run(["apt-get", "update", "-q"], check=True, env=environment, stdout=subprocess.DEVNULL)
        subprocess.run(install, check=True, env=environment, stdout=subprocess.DEVNULL)
        found = which(name)
    if found is None:
        sys.exit(f"{name} is still missing after its installation")
    return found


def which(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def attache() -> str:
    binary = Path(os.environ.get("ATTACHE_BIN", ROOT / "target" / "release" / "attache"))
    if not os.access(binary, os.X_OK):
        sys.exit(f"{binary} is missing: cargo build --release, or set ATTACHE_BIN")
    return str(binary.resolve())


def build(name: str) -> Path:
    """One of our own programs beside this file."""
    target = WORK / name
    manifest = HERE / name / "Cargo.toml"
    subprocess.run(["cargo", "build", "-q", "--release", "--locked", "--manifest-path", manifest,
                    "--target-dir", target], check=True)
    return target / "release" / name


def make_certificate(directory: Path) -> Certificate:
    made = Certificate(directory / "cert.pem", directory / "key.pem", directory / "joined.pem")
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-addext", "basicConstraints=critical,CA:FALSE",
                    "-keyout", made.key_file, "-out", made.cert_file], check=True, stderr=subprocess.DEVNULL)
    made.joined_file.write_bytes(made.cert_file.read_bytes() + made.key_file.read_bytes())
    return made
