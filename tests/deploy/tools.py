"""What every check uses: where things are, running programs, and saying what is wrong."""

import os
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
HERE = Path(__file__).resolve().parent


class Wrong(Exception):
    """A check failed; the text says where and why."""


def ensure(condition, text):
    """Fails with `text` unless `condition` holds."""
    if not condition:
        raise Wrong(text)


def run(*command, cwd=ROOT, text=None, env=None, errors=False):
    """Runs a program to its end and gives its standard output, or with `errors` both; fails with all it said when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, input=text, env=env, capture_output=True, text=True, timeout=120, check=False)
    ensure(done.returncode == 0, f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout + done.stderr if errors else done.stdout


def attache():
    """The gateway's binary."""
    for path in (os.environ.get("ATTACHE_BIN"), ROOT / "target/release/attache", ROOT / "target/debug/attache"):
        if path and os.access(path, os.X_OK):
            return Path(path).resolve()
    raise Wrong("no gateway: run cargo build --release, or set ATTACHE_BIN")


def tool(name):
    """A program of the environment that tests/deploy/run made."""
    path = shutil.which(name)
    ensure(path, f"{name} is missing: use tests/deploy/run")
    return path


def load(path):
    """The only document of a YAML file."""
    return yaml.safe_load(Path(path).read_text())


def shown(path):
    """A path as people read it."""
    path = Path(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
