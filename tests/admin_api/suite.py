"""Starts a gateway and lets Schemathesis compare its admin API with the OpenAPI document that it serves."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from ports import free_port

ROOT = Path(__file__).parents[2]
GUARD_SECONDS = 60.0  # a gateway that does not start ends the suite; nothing else depends on time
# A method that an operation does not have is refused for its content type first, as all that a form of a page could send.
# And a document cannot say all that makes a text a time, a network or a level.
LEFT_OUT = 'unsupported_method,positive_data_acceptance'


def binary():
    named = [Path(os.environ['ATTACHE_BIN'])] if 'ATTACHE_BIN' in os.environ else []
    built = [ROOT / 'target' / kind / 'attache' for kind in ('release', 'debug')]
    found = [path for path in named + built if path.exists()]
    if not found:
        raise SystemExit('admin_api: build the gateway first, or name it with ATTACHE_BIN')
    return found[0]


def configuration(admin):
    return f"""
workers: 1
metrics: {{ address: '127.0.0.1:{free_port()}' }}
admin: {{ address: '127.0.0.1:{admin}', writes: all }}
accessLog: {{ output: off }}
listeners: {{ web: {{ address: '127.0.0.1:{free_port()}' }} }}
clusters: {{ a: {{ endpoints: ['127.0.0.1:1', '127.0.0.1:2'] }}, b: {{ endpoints: ['127.0.0.1:3'] }} }}
rateLimits: {{ edge: {{ rate: 1/hour }} }}
routes: {{ all: {{ split: [{{ cluster: a, weight: 90 }}, {{ cluster: b, weight: 10 }}], rateLimit: edge }} }}
"""


def served(url, gateway):
    """The document, as soon as the gateway serves it."""
    deadline = time.monotonic() + GUARD_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f'{url}/openapi.json', timeout=GUARD_SECONDS) as answer:
                return json.load(answer)
        except OSError:
            if gateway.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main():
    admin = free_port()
    url = f'http://127.0.0.1:{admin}'
    with tempfile.TemporaryDirectory() as directory:
        file, document = Path(directory) / 'gateway.yaml', Path(directory) / 'openapi.json'
        file.write_text(configuration(admin))
        gateway = subprocess.Popen([binary(), 'run', '-c', file], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            served_document = served(url, gateway)
            # Answers that go on have no end to compare with; tests/gateway/admin_live.rs looks at them.
            goes_on = lambda methods: any('text/event-stream' in one['responses']['200']['content'] for one in methods.values())
            served_document['paths'] = {path: methods for path, methods in served_document['paths'].items() if not goes_on(methods)}
            document.write_text(json.dumps(served_document))
            command = ['st', 'run', document, '--url', url, '--phases', 'examples,coverage,fuzzing', '--max-examples', '25',
                       '--exclude-checks', LEFT_OUT, '--generation-database', 'none', '--no-color', *sys.argv[1:]]
            ended = subprocess.run(command, cwd=directory).returncode
            if gateway.poll() is not None:
                sys.exit('admin_api: the gateway ended')
            sys.exit(ended)
        finally:
            gateway.terminate()
            gateway.wait(GUARD_SECONDS)


if __name__ == '__main__':
    main()
