"""The bench itself: one core for the proxy, the other for backend and load, one backend for all."""

import http.client
import json
import os
import resource
import socket
import time
from argparse import Namespace
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import peers
from ports import free_port
from process import Process, eventually
from tools import Certificate

LOAD_SECONDS = 300
CALL_BYTES = 400
OPEN_FILES = 16384


class Lab:
    def __init__(self, directory: Path, loadgen: Path, binaries: dict[str, str], certificate: Certificate,
                 options: Namespace):
        self.directory, self.loadgen, self.binaries = directory, loadgen, binaries
        self.certificate, self.options = certificate, options
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise SystemExit("two cores are needed: one for the proxy, one for backend and load")
        self.proxy_core, self.load_core = cores[0], cores[1]
        self.backend_port = free_port()
        self.numbers = count()
        self.stack = ExitStack()

    def __enter__(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        command = [self.loadgen, "backend", "--port", str(self.backend_port), *self.spinning()]
        backend = Process(command, self.load_core, stdout=Path(os.devnull), stderr=self.directory / "backend.err")
        self.stack.enter_context(backend)
        eventually(lambda: answers(self.backend_port), "the backend did not answer", 10)
        return self

    def __exit__(self, *_):
        self.stack.close()

    def proxy(self, name: str, valgrind: list[str] = (), patience: float = 20, routes: int = 0,
              policies: peers.Policies = peers.Policies.SHIPPED) -> "Proxy":
        """Starts a proxy, under valgrind when that command is given; it has answered a call when this returns."""
        own = self.directory / f"{name}-{next(self.numbers)}"
        own.mkdir()
        setup = peers.Setup(self.binaries[name], own, free_port(), free_port(), free_port(), self.backend_port,
                            self.certificate, under_valgrind=bool(valgrind), routes=routes, policies=policies)
        return Proxy(name, setup, [*valgrind, *peers.CONFIGURE[name](setup)], self.proxy_core, patience)

    def load(self, proxy: "Proxy", tls: bool, connections: int, warmup: int, requests: int,
             method: str = "POST") -> "Load":
        port = proxy.setup.https_port if tls else proxy.setup.http_port
        command = [self.loadgen, "load", "--port", port, "--connections", connections, "--path", proxy.setup.path,
                   "--method", method, "--warmup", warmup, "--requests", requests, *self.spinning()]
        if tls:
            command += ["--ca", self.certificate.cert_file]
        return Load(command, self.load_core, proxy.setup.directory / "load.err")

    def generator(self, proxy: "Proxy", command: str, **options) -> "Load":
        """Another kind of load, of the load generator's command and options."""
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        port = proxy.setup.https_port if "ca" in options else proxy.setup.http_port
        return Load([self.loadgen, command, "--port", port, *words, *self.spinning()], self.load_core,
                    proxy.setup.directory / f"{command}.err")

    def idle(self, proxy: "Proxy", number: int, calls: int, tls: bool) -> Process:
        command = [self.loadgen, "idle", "--connections", number, "--calls", calls]
        command += ["--port", proxy.setup.https_port, "--ca", self.certificate.cert_file] if tls else \
            ["--port", proxy.setup.http_port]
        return Process(command, self.load_core, stderr=proxy.setup.directory / "idle.err")

    def spinning(self) -> list[str]:
        return ["--spin", "yes"] if self.options.spin else []

    def streams(self, proxy: "Proxy", number: int) -> Process:
        command = [self.loadgen, "sse", "--port", proxy.setup.http_port, "--streams", number]
        return Process(command, self.load_core, stderr=proxy.setup.directory / "sse.err")


class Proxy(Process):
    def __init__(self, name: str, setup: peers.Setup, command: list[str], core: int, patience: float):
        logs = {"stdout": setup.directory / "stdout.log", "stderr": setup.directory / "stderr.log"}
        began = time.monotonic()
        super().__init__(command, core, **logs)
        self.name, self.setup = name, setup
        # Looks often, because the time until the first answer is a figure of its own.
        pause = 0.05 if setup.under_valgrind else 0.001
        try:
            eventually(lambda: self.has_started(), f"{name} did not answer", patience, pause)
            self.start_seconds = time.monotonic() - began
        except RuntimeError as failure:
            self.stop()
            raise RuntimeError(f"{failure}{self.complaint()}") from None

    def has_started(self) -> bool:
        if self.child.poll() is not None:
            raise RuntimeError(f"{self.name} ended with status {self.child.returncode}")
        return answers(self.setup.http_port, self.setup.path) and listens(self.setup.https_port)


class Load(Process):
    """A load generator that stands ready, connected and warmed up, until it is told to go on."""

    def __init__(self, command: list[str], core: int, stderr: Path):
        super().__init__(command, core, stderr=stderr)
        try:
            self.require_no_errors(json.loads(self.line(LOAD_SECONDS)))
        except BaseException:
            self.stop()
            raise

    def finish(self) -> dict:
        self.go_on()
        outcome = json.loads(self.line(LOAD_SECONDS))
        self.require_no_errors(outcome)
        return outcome

    def require_no_errors(self, outcome: dict):
        if outcome["errors"]:
            raise RuntimeError(f"{outcome['errors']} calls failed{self.complaint()}")


def answers(port: int, path: str = "/") -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", path, body=b"x" * CALL_BYTES)
        return connection.getresponse().status == 200
    except http.client.HTTPException:
        return False
    finally:
        connection.close()


def listens(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    return True
