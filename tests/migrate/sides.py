"""Runs a proxy beside the gateway with its migrated file, and compares how both answer."""

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin

from envoy import envoy
from ports import free_port
from scenarios import Request, Scenario

DEADLINE_SECONDS = 20  # a hang ends a run; nothing else depends on time
NAMES = ('a1', 'a2', 'a3', 'b1')
TARGET = Path(os.environ.get('CARGO_TARGET_DIR') or Path(__file__).resolve().parents[2] / 'target')
CACHE = Path(os.environ.get('MIGRATE_CACHE_DIR') or TARGET / 'migrate')
# One worker, so that a bucket of tokens is one, and nothing that two runs at once would share.
ENVOY = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warning']


class Agent(BaseHTTPRequestHandler):
    """Says who it is and what it has seen; `/status/N` anywhere in a path is answered with N."""

    protocol_version = 'HTTP/1.1'

    def answer(self):
        """Answers any method."""
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        asked = re.search(r'/status/(\d+)', self.path)
        seen = {'agent': self.server.name, 'path': self.path, 'method': self.command,
                'headers': {name.lower(): value for name, value in self.headers.items()}}
        body = json.dumps(seen).encode()
        self.send_response(int(asked[1]) if asked else 200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_OPTIONS = answer

    def log_message(self, *_):
        """Says nothing."""


class Quiet(ThreadingHTTPServer):
    """Does not mind proxies that close a connection."""

    daemon_threads = True

    def handle_error(self, *_):
        """Says nothing."""


class Agents:
    """Agents that both sides share."""

    def __enter__(self):
        self.servers = [Quiet(('127.0.0.1', 0), Agent) for _ in NAMES]
        self.ports = {}
        for name, server in zip(NAMES, self.servers):
            server.name = name
            self.ports[name] = str(server.server_port)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()


def both_sides(scenario: Scenario, agents: Agents, work: Path, gateway: str) -> list[str]:
    """What differs."""
    answers = []
    for side in ('theirs', 'ours'):
        directory = work / scenario.name / side
        directory.mkdir(parents=True)
        certificate(directory)
        ports = {name: str(free_port()) for name in ('http', 'https', 'third', 'gone')}
        text = filled(scenario.file, {**agents.ports, **ports, 'dir': str(directory)})
        with ExitStack() as stack:
            run = theirs if side == 'theirs' else ours
            stack.enter_context(run(scenario, text, directory, gateway, ports))
            answers.append([ask(request, ports) for request in scenario.requests])
    complaints = []
    for request, one, other in zip(scenario.requests, *answers):
        what = f'{request.method} {"https" if request.is_tls else "http"}://{request.host}{request.path}'
        complaints += [f'{what}: {key} is {one[key]!r} there and {other[key]!r} here' for key in one if one[key] != other[key]]
    return complaints


def filled(text: str, values: dict[str, str]) -> str:
    """The text with its places filled in."""
    return re.sub(r'@(\w+)@', lambda found: values[found[1]], text)


def certificate(directory: Path) -> None:
    """A certificate for the host that is asked for, in the two forms of both."""
    crt, key = directory / 'site.crt', directory / 'site.key'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '7',
                    '-subj', '/CN=agents.example.com', '-addext', 'subjectAltName=DNS:agents.example.com',
                    '-keyout', key, '-out', crt], check=True, capture_output=True)
    (directory / 'site.pem').write_bytes(crt.read_bytes() + key.read_bytes())


def found(program: str) -> str | None:
    """Where a program of Debian is."""
    return shutil.which(program) or shutil.which(program, path='/usr/sbin:/sbin')


@contextmanager
def theirs(scenario: Scenario, text: str, directory: Path, _gateway: str, ports: dict[str, str]):
    """The proxy whose file it is."""
    file = directory / ('theirs.yaml' if scenario.kind == 'envoy' else 'theirs.conf')
    file.write_text(text)
    path = envoy(CACHE) if scenario.kind == 'envoy' else found(scenario.kind)
    options = {'nginx': ['-p', str(directory), '-c', str(file)], 'haproxy': ['-db', '-f', str(file)],
               'envoy': [*ENVOY, '-c', str(file)]}
    with running([path, *options[scenario.kind]], directory, listening(text, ports)):
        yield


@contextmanager
def ours(scenario: Scenario, text: str, directory: Path, gateway: str, ports: dict[str, str]):
    """The gateway with what it makes of the file."""
    file = directory / 'attache.yaml'
    migrated = subprocess.run([gateway, 'migrate', scenario.kind, '-', '--out', file], input=text, text=True, capture_output=True)
    if migrated.returncode:
        raise RuntimeError(f'{scenario.name}: {migrated.stderr}')
    subprocess.run([gateway, 'validate', '-c', file], check=True, capture_output=True)
    # All runs would have one address there.
    with file.open('a') as end:
        end.write('\nmetrics: { address: off }\n')
    with running([gateway, 'run', '-c', file], directory, listening(text, ports)):
        yield


def listening(text: str, ports: dict[str, str]) -> list[str]:
    """The ports that a file listens on."""
    return [port for name, port in ports.items() if name != 'gone' and re.search(rf'\b{port}\b', text)]


@contextmanager
def running(command: list, directory: Path, ports: list[str]):
    """A process, from when all its ports take connections."""
    log = directory / 'output.log'
    with log.open('wb') as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory)
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not all(accepts(port) for port in ports):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f'{command[0]} does not serve\n{log.read_text(errors="replace")}')
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def accepts(port: str) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as sock:
        return sock.connect_ex(('127.0.0.1', int(port))) == 0


def ask(request: Request, ports: dict[str, str]) -> dict:
    """Sends a request as often as it asks for. What must be alike of all answers together."""
    found = {'statuses': [], 'agents': set()}
    for _ in range(request.times):
        status, headers, body = send(request, ports)
        found['statuses'].append(status)
        try:
            seen = json.loads(body)
            # Which of several agents comes next is up to each side; that all of them are asked is not.
            found['agents'].add(seen['agent'] if request.times > 5 else seen['agent'][0])
            found['path'] = seen['path']
            found |= {f'seen {name}': plain(seen['headers'].get(name), ports) for name in request.seen}
        except (ValueError, KeyError, TypeError):
            found.setdefault('path', None)
        found |= {f'answer {name}': plain(headers.get(name), ports) for name in request.answers}
        if 'location' in headers:
            scheme = 'https' if request.is_tls else 'http'
            found['leads to'] = plain(urljoin(f'{scheme}://{request.host}{request.path}', headers['location']), ports)
    return found


def plain(value: str | None, ports: dict[str, str]) -> str | None:
    """A value without what is different by nature: ports, and the character set that is the default."""
    for port in ports.values():
        value = value and value.replace(f':{port}', '')
    return value and re.sub(r'; ?charset=utf-8$', '', value, flags=re.IGNORECASE)


def send(request: Request, ports: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    if request.is_tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = socket.create_connection(('127.0.0.1', int(ports['https'])), timeout=DEADLINE_SECONDS)
        connection = http.client.HTTPConnection('127.0.0.1', timeout=DEADLINE_SECONDS)
        connection.sock = context.wrap_socket(raw, server_hostname=request.host)
    else:
        connection = http.client.HTTPConnection('127.0.0.1', int(ports[request.port]), timeout=DEADLINE_SECONDS)
    try:
        connection.request(request.method, request.path, request.body, {'Host': request.host, **request.headers})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()
