"""Agents, a gateway in front of them, and somebody who asks."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from browser import GUARD_SECONDS, eventually
from ports import free_port

ROOT = Path(__file__).parents[2]
# What an agent says of itself is not to be trusted.
HOSTILE = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>'


def binary():
    """The gateway's program."""
    named = [Path(os.environ['ATTACHE_BIN'])] if 'ATTACHE_BIN' in os.environ else []
    built = [ROOT / 'target' / kind / 'attache' for kind in ('release', 'debug')]
    found = [path for path in named + built if path.exists()]
    if not found:
        raise SystemExit('dashboard: build the gateway first, or name it with ATTACHE_BIN')
    return found[0]


class Agent(BaseHTTPRequestHandler):
    """Answers with its card, a stream that goes on, a failure, or a greeting."""

    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        if self.path.endswith('agent-card.json'):
            card = {'name': f'Researcher {HOSTILE}', 'version': '1.0', 'description': f'Finds things out. {HOSTILE}',
                    'url': 'http://researcher.test/', 'skills': [{'id': 'find', 'name': f'Find {HOSTILE}', 'tags': []}]}
            self.whole(200, json.dumps(card).encode(), 'application/json')
        elif self.path.endswith('/stream'):
            self.stream()
        elif self.path.endswith('/broken'):
            self.whole(500, b'broken', 'text/plain')
        else:
            self.whole(200, b'hello', 'text/plain')

    def whole(self, status, body, kind):
        self.send_response(status)
        self.send_header('content-type', kind)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header('content-type', 'text/event-stream')
        self.send_header('transfer-encoding', 'chunked')
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.over.is_set():
                self.wfile.write(b'b\r\ndata: one\n\n\r\n')
                self.server.over.wait(0.2)

    def log_message(self, *_):
        """Says nothing."""


@contextlib.contextmanager
def agent():
    """The place of an agent."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Agent)
    server.daemon_threads = True
    server.over = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'127.0.0.1:{server.server_port}'
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


class Gateway:
    """A gateway that can be ended and started again at the same places."""

    def __init__(self, directory, agents, admin='writes: all'):
        self.directory = Path(directory)
        self.port, self.admin = free_port(), free_port()
        self.file = self.directory / 'gateway.yaml'
        one, two, three, nobody = *agents, f'127.0.0.1:{free_port()}'
        self.text = f"""
workers: 2
metrics: {{ address: '127.0.0.1:{free_port()}' }}
admin: {{ address: '127.0.0.1:{self.admin}', {admin} }}
accessLog: {{ output: off }}
state: {{ file: '{self.directory}/state.json' }}
listeners: {{ edge: {{ address: '127.0.0.1:{self.port}' }} }}
clusters:
  research-stable: {{ endpoints: ['{one}', '{two}'], circuitBreaker: {{ maxRequests: 100 }} }}
  research-canary: {{ endpoints: ['{three}'] }}
  planner-stable: {{ endpoints: ['{one}'] }}
  planner-canary: {{ endpoints: ['{three}'] }}
  broken: {{ endpoints: ['{nobody}'] }}
routes:
  research:
    match: {{ path: {{ prefix: /research }} }}
    a2a: {{}}
    split: [{{ cluster: research-stable, weight: 90 }}, {{ cluster: research-canary, weight: 10 }}]
    rollout:
      canary: research-canary
      steps: [{{ setWeight: 10 }}, {{ pause: {{}} }}, {{ setWeight: 100 }}]
      analysis: {{ metrics: [{{ name: success-rate, successCondition: 'result >= 0.95' }}], interval: 1s, count: 1, failureLimit: 1000, minRequests: 1, startingStep: 0 }}
  planner:
    match: {{ path: {{ prefix: /planner }} }}
    split: [{{ cluster: planner-stable, weight: 80 }}, {{ cluster: planner-canary, weight: 20 }}]
    rollout: {{ canary: planner-canary, steps: [{{ setWeight: 20 }}, {{ pause: {{}} }}, {{ setWeight: 100 }}] }}
  search: {{ match: {{ path: {{ prefix: /search }} }}, cluster: broken, retries: off }}
"""
        self.file.write_text(self.text)
        self.process = None

    def start(self):
        with open(self.directory / 'said.log', 'ab') as said:
            command = [str(binary()), 'run', '-c', str(self.file)]
            self.process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        eventually('the gateway is ready', lambda: self.ask('/status')[0] in (200, 401) or self.ended())

    def ended(self):
        if self.process.poll() is not None:
            raise SystemExit(f'the gateway ended:\n{(self.directory / "said.log").read_text()[-3000:]}')
        return False

    def stop(self):
        if self.process and self.process.poll() is None:
            # Twice: streams of the tests are not worth waiting for.
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(GUARD_SECONDS)

    def reload(self, text):
        self.file.write_text(text)
        self.process.send_signal(signal.SIGHUP)

    def url(self, path):
        return f'http://127.0.0.1:{self.admin}{path}'

    def ask(self, path):
        return get(self.url(path))

    def shown(self, path):
        """An answer of the admin API."""
        status, text = self.ask(path)
        assert status == 200, f'{path}: {status} {text}'
        return json.loads(text)

    def get(self, path):
        return get(f'http://127.0.0.1:{self.port}{path}')[0]

    def stream(self, path):
        """A stream that is open until it is closed."""
        return urllib.request.urlopen(f'http://127.0.0.1:{self.port}{path}', timeout=GUARD_SECONDS)


def get(url):
    """Status and text of an answer; status 0 when there was none."""
    try:
        with urllib.request.urlopen(url, timeout=GUARD_SECONDS) as answer:
            return answer.status, answer.read().decode(errors='replace')
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors='replace')
    except OSError:
        return 0, ''
