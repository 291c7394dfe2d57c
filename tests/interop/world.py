"""Everything the checks run in: certificates, agent processes, the gateway, and their addresses."""

import asyncio
import hashlib
import json
import os
import secrets
import signal
import ssl
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ports import free_port

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
    ca_file: str | None = None
    tls: ssl.SSLContext | None = None
    # Not in direct mode: the replicas without affinity, the steady agent with its card signed anew, the gateway, and
    # another one in front of the same replicas, which shares nothing with it.
    forgetful: Entrance | None = None
    signing: Entrance | None = None
    guarded: Entrance | None = None  # the steady agent for clients that prove who they are
    beside: Entrance | None = None
    gateway: 'Gateway | None' = None
    second_gateway: 'Gateway | None' = None

    @property
    def direct(self) -> bool:
        """Whether clients talk to the agents without a gateway."""
        return self.tls is None


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


CLIENT_KEY = secrets.token_urlsafe(24)
TOKEN_KEY = ec.generate_private_key(ec.SECP256R1())


def token(seconds: int) -> str:
    """A token that counts from now for so long."""
    claims = {'iss': 'https://login.example/', 'aud': 'agents', 'sub': 'interop', 'exp': int(time.time()) + seconds}
    return jwt.encode(claims, TOKEN_KEY, algorithm='ES256', headers={'kid': 'one'})


def certificates(directory: Path) -> None:
    """A certificate authority, a leaf for localhost, and the keys that there are."""
    authority = trustme.CA()
    leaf = authority.issue_cert('localhost', '127.0.0.1')
    authority.cert_pem.write_to_path(directory / 'ca.crt')
    leaf.private_key_pem.write_to_path(directory / 'localhost.key')
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(directory / 'localhost.crt', append=True)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (directory / 'cards.key').write_bytes(key)
    digest = hashlib.sha256(CLIENT_KEY.encode()).hexdigest()
    (directory / 'clients.keys').write_text(f'interop:{digest}\n')
    public = jwt.algorithms.ECAlgorithm.to_jwk(TOKEN_KEY.public_key(), as_dict=True)
    (directory / 'tokens.jwks').write_text(json.dumps({'keys': [{**public, 'kid': 'one', 'alg': 'ES256'}]}))


FORGETFUL = 'forgetful'  # the listener that leads to the replicas without affinity
SIGNING = 'signing'  # the listener that leads to the steady agent and signs its card anew
GUARDED = 'guarded'  # the listener that leads to the steady agent and wants a key, and lets nobody cancel
LEADS_TO = {FORGETFUL: 'replicas', SIGNING: 'steady', GUARDED: 'steady'}  # the others have clusters of their own


def configuration(directory: Path, metrics_port: int, listeners: dict[str, int], clusters: dict, secret: str) -> str:
    """The gateway's configuration: one listener and route for each agent."""
    tls = {
        'certificates': [{'certFile': str(directory / 'localhost.crt'), 'keyFile': str(directory / 'localhost.key')}]
    }
    routes = {}
    for name in listeners:
        mark = {'listeners': [name], 'requestHeaders': {'set': {'x-gateway': secret}}}
        if name == 'steady':
            mark['fault'] = {'byHeader': {'clients': '127.0.0.0/8'}}
        if name == FORGETFUL:
            mark['a2a'] = {'affinity': 'off'}
        if name == SIGNING:
            signing = {'keyFile': str(directory / 'cards.key'), 'keyId': 'gateway'}
            mark['a2a'] = {'agentCard': {'signedCards': 'resign', 'signing': signing}}
        if name == GUARDED:
            mark['auth'] = {'anyOf': ['keys', 'tokens', 'corp'], 'except': ['cards']}
            mark['authorization'] = [{'rules': [{'action': 'deny', 'operations': ['CancelTask']}, {'action': 'allow'}]}]
            mark['a2a'] = {'agentCard': {'securitySchemes': 'providers'}}
        routes[name] = {**mark, 'cluster': LEADS_TO.get(name, name)}
    return json.dumps(
        {
            'version': 1,
            'listeners': {
                name: {'address': f'127.0.0.1:{port}', 'protocols': ['h2', 'http/1.1'], 'tls': tls}
                for name, port in listeners.items()
            },
            'metrics': {'address': f'127.0.0.1:{metrics_port}'},
            'authProviders': providers(directory) if GUARDED in listeners else {},
            'routes': routes,
            'clusters': clusters,
        },
        indent=2,
    )  # JSON is YAML


def providers(directory: Path) -> dict:
    """One key, which clients put into a field of its own or send as a bearer token, and signed tokens."""
    keys = {'keysFile': str(directory / 'clients.keys')}
    corp = {'issuer': 'https://login.example/', 'audiences': 'agents', 'jwks': {'file': str(directory / 'tokens.jwks')}}
    return {'keys': {'apiKey': keys}, 'tokens': {'apiKey': {'bearer': True, **keys}}, 'corp': {'jwt': corp}}


def cluster(agents: list[Agent], suffix: str = '') -> dict:
    """A cluster of agents, each with its two ports."""
    return {
        'endpoints': [
            {'address': f'127.0.0.1:{agent.ports["http" + suffix]}', 'grpc': agent.ports['grpc' + suffix]}
            for agent in agents
        ]
    }


class Gateway:
    """A gateway's process, its ports and its files."""

    def __init__(self, binary: str, name: str, directory: Path, listeners: tuple[str, ...]) -> None:
        self.ports = {listener: free_port() for listener in listeners}
        self._binary = binary
        self._directory = directory
        self._config = directory / f'{name}.yaml'
        self._log = directory / f'{name}.log'
        self._metrics_port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    def configure(self, clusters: dict, secret: str) -> None:
        """Writes the configuration."""
        self._config.write_text(configuration(self._directory, self._metrics_port, self.ports, clusters, secret))

    def entrance(self, listener: str, agent: Agent) -> Entrance:
        """Where clients reach what a listener leads to."""
        port = self.ports[listener]
        return Entrance(f'https://localhost:{port}', f'localhost:{port}', agent.control)

    async def total(self, name: str, **labels: str) -> float:
        """The sum over the series of a metric that have these labels."""
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f'http://127.0.0.1:{self._metrics_port}/metrics')).raise_for_status().text
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        series = [line for line in text.splitlines() if line.partition('{')[0] == name]
        return sum(float(line.rpartition(' ')[2]) for line in series if all(pair in line for pair in wanted))

    async def start(self) -> None:
        """Starts the gateway and waits until it says it is ready."""
        with self._log.open('ab') as log:
            self._process = await asyncio.create_subprocess_exec(
                self._binary, 'run', '-c', str(self._config), stdout=log, stderr=log
            )
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(GUARD_SECONDS):
            while not await self._is_ready(client):
                if self._process.returncode is not None:
                    raise RuntimeError(f'the gateway ended with {self._process.returncode}\n{self._log.read_text()}')
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """Ends the gateway with SIGTERM and returns its exit code."""
        if self._process is None:
            return 0
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
            return (await client.get(f'http://127.0.0.1:{self._metrics_port}/ready')).status_code == 200
        except httpx.TransportError:
            return False


REPLICAS = ('replica-a', 'replica-b', 'replica-c')


@asynccontextmanager
async def world(binary: str | None, directory: Path):
    """Starts agents and, unless in direct mode, two gateways, and ends them."""
    secret = secrets.token_urlsafe(24) if binary else None
    async with AsyncExitStack() as stack:
        log = directory / 'agents.log'
        if binary:
            binary = os.path.abspath(binary)
            gateway = Gateway(binary, 'gateway', directory, ('steady', 'fragile', 'replicas', FORGETFUL, SIGNING, GUARDED))
            second = Gateway(binary, 'second-gateway', directory, ('replicas',))
        starting = [
            # Its card names the gateway, since its links are no endpoints of its own; the others name themselves.
            running_agent('fragile', gateway.ports['fragile'] if binary else None, secret, log, behind_link=True),
            *(running_agent(name, None, secret, log) for name in ('steady', *REPLICAS)),
        ]
        started = await asyncio.gather(*(stack.enter_async_context(agent) for agent in starting))
        agents = {agent.name: agent for agent in started}
        if not binary:
            yield direct_world(agents)
            return

        certificates(directory)
        clusters = all_clusters(agents)
        gateway.configure(clusters, secret)
        second.configure({'replicas': clusters['replicas']}, secret)
        ca_file = str(directory / 'ca.crt')
        try:
            await asyncio.gather(gateway.start(), second.start())
            yield World(
                steady=gateway.entrance('steady', agents['steady']),
                fragile=gateway.entrance('fragile', agents['fragile']),
                replicas=gateway.entrance('replicas', agents[REPLICAS[0]]),
                agents=agents,
                ca_file=ca_file,
                tls=ssl.create_default_context(cafile=ca_file),
                forgetful=gateway.entrance(FORGETFUL, agents[REPLICAS[0]]),
                signing=gateway.entrance(SIGNING, agents['steady']),
                guarded=gateway.entrance(GUARDED, agents['steady']),
                beside=second.entrance('replicas', agents[REPLICAS[0]]),
                gateway=gateway,
                second_gateway=second,
            )
        finally:
            await asyncio.gather(gateway.stop(), second.stop())


def all_clusters(agents: dict[str, Agent]) -> dict:
    """The clusters of the gateway."""
    replicas = [agents[name] for name in REPLICAS]
    return {
        'steady': cluster([agents['steady']]),
        'fragile': cluster([agents['fragile']], 'Link'),
        'replicas': cluster(replicas),
    }


def past_the_gateway(world: World) -> World:
    """The ports of the steady agent that take calls which did not come through the gateway."""
    ports = world.agents['steady'].ports
    entrance = Entrance(f'http://127.0.0.1:{ports["openHttp"]}', f'127.0.0.1:{ports["openGrpc"]}', world.steady.control)
    return World(entrance, entrance, entrance, world.agents)


def direct_world(agents: dict[str, Agent]) -> World:
    """The same checks straight against the agents, to tell a fault of the suite from one of the gateway."""

    def entrance(name: str, suffix: str = '') -> Entrance:
        agent = agents[name]
        http, grpc = agent.ports[f'http{suffix}'], agent.ports[f'grpc{suffix}']
        return Entrance(f'http://127.0.0.1:{http}', f'127.0.0.1:{grpc}', agent.control)

    return World(entrance('steady'), entrance('fragile', 'Link'), entrance(REPLICAS[0]), agents)
