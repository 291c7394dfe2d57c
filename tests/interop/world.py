"""Everything the checks run in: certificates, agent processes, the gateway, and their addresses."""

import asyncio
import json
import os
import secrets
import signal
import socket
import ssl
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import trustme

HERE = Path(__file__).parent
GUARD_SECONDS = 10.0  # a hang ends a check; nothing else depends on time


@dataclass
class Agent:
    """A running agent process."""

    name: str
    ports: dict[str, int]

    @property
    def control(self) -> str:
        """The base URL of the side channel."""
        return f'http://127.0.0.1:{self.ports["control"]}'


@dataclass
class Entrance:
    """Where clients reach an agent: through a listener of the gateway, or straight in direct mode."""

    url: str
    grpc_target: str
    control: str


@dataclass
class World:
    """The addresses the checks need."""

    steady: Entrance
    fragile: Entrance
    replicas: Entrance
    agents: dict[str, Agent]
    ca_file: str | None
    tls: ssl.SSLContext | None

    @property
    def direct(self) -> bool:
        """Whether clients talk to the agents without a gateway."""
        return self.tls is None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


@asynccontextmanager
async def running_agent(name: str, port: int | None, secret: str | None, log: Path, behind_link: bool = False):
    """An agent process whose card names a listener of the gateway, or its own address."""
    settings = {
        'name': name,
        'url': f'https://localhost:{port}' if port else None,
        'grpcTarget': f'localhost:{port}' if port else None,
        'secret': secret,
        'behindLink': behind_link,
        'guardSeconds': GUARD_SECONDS,
    }
    with log.open('ab') as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, '-m', 'agent', json.dumps(settings),
            cwd=HERE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
        )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f'agent {name} did not start\n{log.read_text()}')
        yield Agent(name, json.loads(line))
    finally:
        process.stdin.close()
        await process.wait()


def certificates(directory: Path) -> None:
    """A certificate authority and a leaf for localhost."""
    authority = trustme.CA()
    leaf = authority.issue_cert('localhost', '127.0.0.1')
    authority.cert_pem.write_to_path(directory / 'ca.crt')
    leaf.private_key_pem.write_to_path(directory / 'localhost.key')
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(directory / 'localhost.crt', append=True)


def configuration(directory: Path, metrics_port: int, listeners: dict[str, int], clusters: dict, secret: str) -> str:
    """The gateway's configuration: one listener for each agent, two routes on each."""
    tls = {
        'certificates': [{'certFile': str(directory / 'localhost.crt'), 'keyFile': str(directory / 'localhost.key')}]
    }
    routes = {}
    for name in listeners:
        mark = {'listeners': [name], 'requestHeaders': {'set': {'x-gateway': secret}}}
        routes[name] = {**mark, 'match': {'path': {'prefix': '/'}}, 'cluster': name}
        routes[f'{name}-grpc'] = {
            **mark,
            'match': {'path': {'prefix': '/lf.a2a.v1.A2AService'}},
            'cluster': f'{name}-grpc',
        }
    return json.dumps(
        {
            'version': 1,
            'listeners': {
                name: {'address': f'127.0.0.1:{port}', 'protocols': ['h2', 'http/1.1'], 'tls': tls}
                for name, port in listeners.items()
            },
            'metrics': {'address': f'127.0.0.1:{metrics_port}'},
            'routes': routes,
            'clusters': clusters,
        },
        indent=2,
    )  # JSON is YAML


def cluster(agents: list[Agent], kind: str, protocol: str | None = None) -> dict:
    """A cluster over one port of each agent."""
    endpoints = [f'127.0.0.1:{agent.ports[kind]}' for agent in agents]
    return {'endpoints': endpoints, **({'protocol': protocol} if protocol else {})}


class Gateway:
    """The gateway's process."""

    def __init__(self, binary: str, directory: Path, metrics_port: int) -> None:
        self._binary = binary
        self._config = directory / 'gateway.yaml'
        self._log = directory / 'gateway.log'
        self._ready_url = f'http://127.0.0.1:{metrics_port}/ready'
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts the gateway and waits until it says it is ready."""
        with self._log.open('wb') as log:
            self._process = await asyncio.create_subprocess_exec(
                self._binary, 'run', '-c', str(self._config), stdout=log, stderr=log
            )
        async with httpx.AsyncClient() as client, asyncio.timeout(GUARD_SECONDS):
            while not await self._is_ready(client):
                if self._process.returncode is not None:
                    raise RuntimeError(f'the gateway ended with {self._process.returncode}\n{self._log.read_text()}')
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """Ends the gateway with SIGTERM and returns its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(GUARD_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    async def _is_ready(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(self._ready_url)).status_code == 200
        except httpx.TransportError:
            return False


@asynccontextmanager
async def world(binary: str | None, directory: Path):
    """Starts agents and, unless in direct mode, the gateway. Yields the world and the gateway."""
    names = ('steady', 'fragile', 'replicas')
    secret = secrets.token_urlsafe(24) if binary else None
    ports = {name: free_port() if binary else None for name in names}
    async with AsyncExitStack() as stack:
        log = directory / 'agents.log'
        starting = [
            running_agent('steady', ports['steady'], secret, log),
            running_agent('fragile', ports['fragile'], secret, log, behind_link=True),
            running_agent('replica-a', ports['replicas'], secret, log),
            running_agent('replica-b', ports['replicas'], secret, log),
        ]
        started = await asyncio.gather(*(stack.enter_async_context(agent) for agent in starting))
        agents = {agent.name: agent for agent in started}
        steady, fragile = agents['steady'], agents['fragile']
        if not binary:
            yield direct_world(agents), None
            return

        both = [agents['replica-a'], agents['replica-b']]
        clusters = {
            'steady': cluster([steady], 'http'),
            'steady-grpc': cluster([steady], 'grpc', 'h2c'),
            'fragile': cluster([fragile], 'httpLink'),
            'fragile-grpc': cluster([fragile], 'grpcLink', 'h2c'),
            'replicas': cluster(both, 'http'),
            'replicas-grpc': cluster(both, 'grpc', 'h2c'),
        }
        certificates(directory)
        metrics_port = free_port()
        text = configuration(directory, metrics_port, ports, clusters, secret)
        (directory / 'gateway.yaml').write_text(text)
        gateway = Gateway(os.path.abspath(binary), directory, metrics_port)
        try:
            await gateway.start()
            ca_file = str(directory / 'ca.crt')
            entrances = {
                name: Entrance(f'https://localhost:{ports[name]}', f'localhost:{ports[name]}', agent.control)
                for name, agent in zip(names, (steady, fragile, both[0]), strict=True)
            }
            tls = ssl.create_default_context(cafile=ca_file)
            yield World(**entrances, agents=agents, ca_file=ca_file, tls=tls), gateway
        finally:
            await gateway.stop()


def direct_world(agents: dict[str, Agent]) -> World:
    """The same checks straight against the agents, to tell a fault of the suite from one of the gateway."""

    def entrance(name: str, suffix: str = '') -> Entrance:
        agent = agents[name]
        http, grpc = agent.ports[f'http{suffix}'], agent.ports[f'grpc{suffix}']
        return Entrance(f'http://127.0.0.1:{http}', f'127.0.0.1:{grpc}', agent.control)

    return World(entrance('steady'), entrance('fragile', 'Link'), entrance('replica-a'), agents, None, None)
