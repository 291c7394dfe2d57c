"""A running gateway with agents behind it, and requests that make something of everything it counts."""

import base64
import contextlib
import hashlib
import http.server
import itertools
import json
import os
import re
import signal
import socket
import ssl
import threading
import time

from ports import free_port
from process import ask, eventually, running
from tools import HERE, attache, run

AGENTS = ("fast", "slow", "flaky", "second", "team-1", "team-2", "team-3")
NUMBERS = itertools.count(1)


# What an issuer of tokens publishes: the key of RFC 7515, appendix A.3, which everybody knows.
KEYS = {"keys": [{"kty": "EC", "crv": "P-256", "kid": "a", "use": "sig", "alg": "ES256",
                  "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}


def encoded(value):
    """A part of a token."""
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode().rstrip("=")


def forged(name):
    """A token of the right form that the issuer did not sign."""
    parts = {"alg": "ES256", "kid": "a"}, {"iss": f"https://{name}.example.com/", "aud": "agents", "sub": "a", "exp": 4102444800}, bytes(64)
    return ".".join(encoded(part) for part in parts)


@contextlib.contextmanager
def issuer():
    """A server with the keys of an issuer, and its port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = json.dumps(KEYS).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


class Gateway:
    """A gateway that runs tests/deploy/gateway.yaml."""

    def __init__(self, directory, ports, process):
        self.directory, self.ports, self.process = directory, ports, process
        self.url = f"http://127.0.0.1:{ports['HTTP']}"

    def send(self, path, method="GET", **headers):
        """A request, whose answer's status is given."""
        return ask(self.url + path, headers={name.replace("_", "-"): value for name, value in headers.items()}, method=method)[0]

    def call(self, route, method, **params):
        """A call of JSON-RPC of generation 1.0, whose answer is given as text."""
        body = {"jsonrpc": "2.0", "id": next(NUMBERS), "method": method, "params": params}
        headers = {"content-type": "application/json", "a2a-version": "1.0"}
        return ask(f"{self.url}/{route}", body, headers)[1]

    def message(self, route, text, method="SendMessage", **more):
        """A call that says something to an agent."""
        message = {"messageId": f"m-{next(NUMBERS)}", "role": "ROLE_USER", "parts": [{"text": text}]}
        return self.call(route, method, message=message, **more)


@contextlib.contextmanager
def gateway(directory):
    """Agents, and a gateway in front of them."""
    agents, said = directory / "agents.log", directory / "gateway.log"
    run(attache(), "certs", "dev", "--out", directory, "--host", "localhost")
    (directory / "api.keys").write_text(f"a:{hashlib.sha256(b'secret').hexdigest()}\n")
    with issuer() as keys, running([attache(), "demo", "--agents-only", "--address", "127.0.0.1:0"], agents) as demo:
        found = eventually("the agents start", lambda: addresses(agents), demo, agents)
        ports = {name: free_port() for name in ("HTTP", "TLS", "NARROW", "METRICS", "ADMIN", "CLOSED", "CLOSED2")}
        ports["ISSUER"] = keys
        ports |= {f"AGENT{index}": found[name] for index, name in enumerate(AGENTS, start=1)}
        words = {"DIRECTORY": directory, **ports}
        text = re.sub(rf"\b({'|'.join(words)})\b", lambda word: str(words[word[1]]), (HERE / "gateway.yaml").read_text())
        text = re.sub(r"(?m)^ *#.*\n", "", text)
        file = directory / "gateway.yaml"
        file.write_text(text)
        with running([attache(), "run", "-c", file], said) as process:
            eventually("the gateway starts", lambda: ask(f"http://127.0.0.1:{ports['METRICS']}/ready")[0] == 200, process, said)
            yield Gateway(directory, ports, process)


def addresses(log):
    """Ports of the demo agents by their names, when all have said theirs."""
    found = dict((name, int(port)) for port, name in re.findall(r"http://127\.0\.0\.1:(\d+)/\s+(\S+)", log.read_text()))
    return found if all(name in found for name in AGENTS) else None


def rounds(gate, stop):
    """Traffic until `stop` is set."""
    while not stop.is_set():
        for step in (plain, agents, refused, broken):
            step(gate)
        time.sleep(0.2)


@contextlib.contextmanager
def traffic(gate):
    """Traffic for as long as the block lasts, and what happens once."""
    stop = threading.Event()
    threads = [threading.Thread(target=rounds, args=(gate, stop))]
    threads += [threading.Thread(target=streams, args=(gate, stop, route)) for route in ("slow", "slow", "crowded", "crowded")]
    for thread in threads:
        thread.start()
    try:
        once(gate)
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def streams(gate, stop, route):
    """Streams, one after the other."""
    while not stop.is_set():
        gate.message(route, "hello", "SendStreamingMessage")
        stop.wait(0.2)


def plain(gate):
    """Requests that are no calls of agents."""
    for number in range(3):
        gate.send("/fast/health", x_client=f"c-{number}", x_tenant="a")
    gate.send("/canary/health")
    gate.send("/faulty/")
    gate.send("/known/health", x_api_key="secret")
    trusting = ssl.create_default_context(cafile=gate.directory / "ca.crt")
    ask(f"https://localhost:{gate.ports['TLS']}/fast/health", context=trusting)


def agents(gate):
    """Calls of agents: tasks begun, asked for and ended, and cards."""
    gate.send("/fast/.well-known/agent-card.json")
    gate.message("fast", "hello")
    gate.message("flaky", "hello")
    answer = json.loads(gate.message("team", "hello", configuration={"returnImmediately": True}))
    task = answer.get("result", {}).get("task", {}).get("id", "")
    gate.call("team", "GetTask", id=task)
    gate.call("team", "GetTask", id="of-nobody")
    gate.call("team", "CancelTask", id=task)
    gate.call("team", "ListTasks")


def refused(gate):
    """Requests that a limit, a provider or a rule refuses."""
    gate.send("/limited/")
    gate.send("/known/health")
    gate.send("/known/health", x_api_key="guess", x_forwarded_for="198.51.100.7")
    gate.send("/fast/health", x_forwarded_for="198.51.100.9")
    # Each time somebody else, so that nobody is blocked for it.
    for path, name in (("/tokens/health", "issuer"), ("/lost/", "lost")):
        gate.send(path, authorization=f"Bearer {forged(name)}", x_forwarded_for=f"203.0.113.{next(NUMBERS) % 250}")
    gate.send("/internal/")
    gate.send("/browsers/", "OPTIONS", origin="https://app.example.com", access_control_request_method="POST")
    gate.send("/browsers/", "POST", origin="https://foreign.example.com", sec_fetch_site="cross-site")
    gate.send("/guarded/", "DELETE")
    gate.send("/guarded/?id=1%20union%20select%20password%20from%20users")
    for port, sent in ((gate.ports["HTTP"], b"NONSENSE\r\n\r\n"), (gate.ports["TLS"], b"\x16\x03\x01nonsense\r\n\r\n")):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as raw:
            raw.sendall(sent)
            raw.recv(100)
    with contextlib.suppress(OSError), contextlib.ExitStack() as several:
        for _ in range(3):
            several.enter_context(socket.create_connection(("127.0.0.1", gate.ports["NARROW"]), 5))


def broken(gate):
    """Requests to a cluster where nobody listens."""
    for _ in range(3):
        gate.send("/gone/")
        gate.send("/thrifty/")


def once(gate):
    """A reload."""
    file = gate.directory / "gateway.yaml"
    file.write_text(file.read_text() + "\nlogging: { level: info }\n")
    os.kill(gate.process.pid, signal.SIGHUP)
