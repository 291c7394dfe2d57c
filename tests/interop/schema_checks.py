"""The configuration's schema, held against what the program accepts by a validator that is not ours: editors must not mark what works.

Also alone: `ATTACHE_BIN=target/debug/attache python3 tests/interop/schema_checks.py`, with jsonschema and PyYAML installed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]

ACCEPTED = [
    # What stands in the route, in the cluster, at the top.
    ('', 'loadBalancer: LEAST_CONN', ''),
    ('', 'loadBalancer: least_conn', ''),
    ('', 'loadBalancer: roundrobin', ''),
    ('', 'loadBalancer: ROUND_ROBIN', ''),
    ('', 'loadBalancer: "${WORD}"', ''),
    ('', 'loadBalancer: { hash: SourceIp }', ''),
    ('', 'protocol: HTTP/1.1', ''),
    ('', 'protocol: HTTP1', ''),
    ('', 'outlierDetection: { consecutiveErrors: 5, interval: 10s }', ''),
    ('', 'outlierDetection: { consecutiveGatewayErrors: 0, maxEjectionPercent: 50, minHealthPercent: 30 }', ''),
    ('', 'outlierDetection: { consecutive5xxErrors: "${NUMBER}", successRate: Off }', ''),
    ('', 'outlierDetection: "${OFF}"', ''),
    ('', 'outlierDetection: { maxFails: "3" }', ''),
    ('', 'panic: { threshold: 40, action: FAIL_TRAFFIC }', ''),
    ('', 'zones: prefer_local', ''),
    ('', 'healthCheck: { type: HTTP-GET, path: /x, expectedStatuses: [200, "300 - 399", 404] }', ''),
    ('', 'healthCheck: { type: tcp, healthyThreshold: "${NUMBER}" }', ''),
    ('', 'circuitBreaker: { maxConnections: "${NUMBER}" }', ''),
    ('timeout: OFF', '', ''),
    ('timeout: "${TIME}"', '', ''),
    ('websocket: "${YES}"', '', ''),
    ('match: { path: { prefix: "${PLACE}" }, methods: ["${VERB}", M-SEARCH] }', '', ''),
    ('match: { headers: { x-number: 1, x-yes: true, x-text: { exact: 1.5 } } }', '', ''),
    ('requestHeaders: { set: { x-version: 1.20, x-on: true } }', '', ''),
    ('retries: { retryOn: [5xx, 503], budget: OFF }', '', ''),
    ('rateLimit: { key: client_ip, rate: 10 / second }', '', ''),
    ('rateLimit: { key: [ip, "Header:x-api-key"], rate: 10R/SECOND, mode: DRY_RUN }', '', ''),
    ('fault: { until: "2030-01-01 00:00:00Z", delay: { percentage: 10 %, fixedDelay: 1s } }', '', ''),
    ('fault: { abort: { percentage: { value: 0.1 }, grpcStatus: 14 }, until: 2030-01-01T00:00:00Z }', '', ''),
    ('', '', 'logging: { format: JSON, level: info }'),
    ('', '', 'accessLog: { format: Text, output: off }'),
    ('', '', 'workers: "${NUMBER}"'),
    ('', '', 'reload: { watch: "${YES}", poll: Off }'),
    ('', '', 'zone: 7'),
    ('', '', 'admin: { writes: OFF }'),
    ('', '', 'metrics:'),
    ('', '', 'x-common: { anything: [goes] }'),
]

REFUSED = [
    ('timout: 3s', '', ''),
    ('timeout: 30', '', ''),
    ('timeout: 1.5s', '', ''),
    ('websocket: maybe', '', ''),
    ('match: { methods: [get] }', '', ''),
    ('match: { path: { prefix: x } }', '', ''),
    ('retries: { attempts: 0 }', '', ''),
    ('retries: 3', '', ''),
    ('rateLimit: { key: nobody, rate: 1/s }', '', ''),
    ('rateLimit: { key: header, rate: 1/s }', '', ''),
    ('rateLimit: { key: clientIp, rate: 10 }', '', ''),
    ('x-note: 1', '', ''),
    ('', 'loadBalancer: leest-conn', ''),
    ('', 'loadBalancer: { hash: contextId }', ''),
    ('', 'protocol: h5', ''),
    ('', 'outlierDetection: { consecutiveError: 5 }', ''),
    ('', 'outlierDetection: on', ''),
    ('', 'healthCheck: { type: tcp, healthyThreshold: many }', ''),
    ('', '', 'workers: 0'),
    ('', '', 'logging: { format: xml }'),
    ('', '', 'nonsense: 1'),
]

VARIABLES = {'NUMBER': '7', 'WORD': 'random', 'YES': 'true', 'OFF': 'off', 'TIME': '3s', 'VERB': 'GET', 'PLACE': '/x'}


class Loader(yaml.SafeLoader):
    """YAML 1.2, in which `off` is a word and a moment is a text; PyYAML itself reads YAML 1.1."""

    yaml_implicit_resolvers = {}


for kind, pattern, starts in [
    ('null', r'^(?:~|null|Null|NULL|)$', ['~', 'n', 'N', '']),
    ('bool', r'^(?:true|True|TRUE|false|False|FALSE)$', list('tTfF')),
    ('int', r'^[-+]?[0-9]+$', list('-+0123456789')),
    ('float', r'^[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.?)(?:[eE][-+]?[0-9]+)?$', list('-+.0123456789')),
]:
    Loader.add_implicit_resolver(f'tag:yaml.org,2002:{kind}', re.compile(pattern), starts)


def around(route: str, cluster: str, top: str) -> str:
    """One configuration around a route's and a cluster's keys, and more at the top."""
    return (
        'listeners: { http: { address: "127.0.0.1:8080" } }\n'
        f'routes: {{ a: {{ cluster: c, {route} }} }}\n'
        f'clusters: {{ c: {{ endpoints: ["b:80", "c:80"], {cluster} }} }}\n'
        f'{top}\n'
    )


class Judge:
    """The schema that the program prints, and the program."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        said = subprocess.run([binary, 'config', 'schema'], check=True, capture_output=True, text=True)
        schema = json.loads(said.stdout)
        jsonschema.Draft7Validator.check_schema(schema)
        self._validator = jsonschema.Draft7Validator(schema)

    def complaints(self, text: str) -> list[str]:
        """What an editor marks."""
        errors = self._validator.iter_errors(yaml.load(text, Loader))
        return [f'{error.json_path}: {error.message[:200]}' for error in errors]

    def is_accepted(self, text: str, directory: Path) -> bool:
        """What the program says, of a text by itself."""
        file = directory / 'gateway.yaml'
        file.write_text(text)
        said = subprocess.run([self._binary, 'validate', str(file)], capture_output=True, env=VARIABLES)
        return said.returncode == 0


def configurations() -> list[tuple[str, str]]:
    """Every configuration of the repository, and the examples of its documents that are whole."""
    files = sorted((ROOT / 'config').rglob('*.yaml')) + sorted((ROOT / 'deploy').rglob('gateway.yaml'))
    found = [(str(file.relative_to(ROOT)), file.read_text()) for file in files]
    for page in sorted((ROOT / 'docs').glob('*.md')):
        for number, rest in enumerate(page.read_text().split('```yaml\n')[1:]):
            block = rest.split('```')[0]
            if re.search('^(listeners|routes|clusters):', block, re.MULTILINE):
                found.append((f'{page.name}, example {number + 1}', block))
    return found


def problems(binary: str) -> list[str]:
    """Everything in which schema and program differ."""
    judge = Judge(binary)
    found = []
    all_of_them = configurations()
    if len(all_of_them) < 40:
        found.append(f'only {len(all_of_them)} configurations were found')
    for name, text in all_of_them:
        found += [f'{name}: {complaint}' for complaint in judge.complaints(text)]
    with tempfile.TemporaryDirectory(prefix='attache-schema-') as directory:
        for case in ACCEPTED + REFUSED:
            text, wanted = around(*case), case in ACCEPTED
            if judge.is_accepted(text, Path(directory)) != wanted:
                found.append(f'{case}: the program {"refuses" if wanted else "accepts"} it')
            complaints = judge.complaints(text)
            if bool(complaints) == wanted:
                found.append(f'{case}: the schema {"refuses" if wanted else "accepts"} it: {complaints}')
    return found


if __name__ == '__main__':
    differences = problems(os.environ['ATTACHE_BIN'])
    print('\n'.join(differences) or 'the schema fits')
    sys.exit(bool(differences))
