"""One agent process, written with the official SDK: JSON-RPC 1.0 and 0.3, REST 1.0, gRPC 1.0.

Takes its settings as one JSON argument, prints its ports as one JSON line once
every port accepts connections, and ends when its standard input closes, so that
no agent outlives the suite.

Two ports are not guarded: over them a check asks the same agent past the gateway, to compare the answers.
"""

import asyncio
import json
import os
import socket
import sys

import grpc.aio
import uvicorn
from a2a.server.request_handlers import GrpcHandler
from a2a.server.routes import (
    create_agent_card_routes,
    create_jsonrpc_routes,
    create_rest_routes,
)
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore
from a2a.types import a2a_pb2_grpc
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
)
from a2a.utils.signing import create_agent_card_signer
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette

from agent.control import control_app
from agent.executor import ScriptedExecutor
from agent.guard import CallGuard, GrpcGuard, HttpGuard
from agent.ledger import Ledger
from agent.link import Link
from agent.witness import Witness


def card(name: str, url: str, grpc_target: str, *skills: str) -> AgentCard:
    """A card that names these addresses: those of the gateway, or the agent's own, which the gateway has to map."""
    interfaces = [
        AgentInterface(url=f'{url}/', protocol_binding='JSONRPC', protocol_version='1.0'),
        AgentInterface(url=f'{url}/', protocol_binding='JSONRPC', protocol_version='0.3'),
        AgentInterface(url=url, protocol_binding='HTTP+JSON', protocol_version='1.0'),
        AgentInterface(url=grpc_target, protocol_binding='GRPC', protocol_version='1.0'),
    ]
    capabilities = AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True)
    return AgentCard(
        name=name,
        description='An agent that does what the message says.',
        version='1',
        supported_interfaces=interfaces,
        capabilities=capabilities,
        default_input_modes=['text/plain'],
        default_output_modes=['text/plain'],
        skills=[AgentSkill(id=skill, name=skill, description=skill, tags=['test']) for skill in skills],
    )


def signed(unsigned: AgentCard) -> AgentCard:
    """The card with a signature of this agent, which breaks when the gateway maps it."""
    sign = create_agent_card_signer(ec.generate_private_key(ec.SECP256R1()), {'alg': 'ES256', 'kid': 'agent'})
    return sign(unsigned)


def listening_socket() -> socket.socket:
    """A bound socket that already queues connections, before any server runs on it."""
    sock = socket.socket()
    sock.bind(('127.0.0.1', 0))
    sock.listen(128)
    return sock


def port_of(sock: socket.socket) -> int:
    """The port a socket is bound to."""
    return sock.getsockname()[1]


async def serve_http(app, sock: socket.socket) -> None:
    """Runs an ASGI application on a bound socket until cancelled."""
    config = uvicorn.Config(app, log_level='warning', lifespan='off', timeout_graceful_shutdown=1)
    await uvicorn.Server(config).serve(sockets=[sock])


async def stdin_closed() -> None:
    """Returns when the process that started this agent closes our standard input."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


async def main() -> None:
    """Starts every server of the agent and waits for the end."""
    settings = json.loads(sys.argv[1])
    ledger = Ledger(settings['guardSeconds'])
    guard = CallGuard(ledger, settings['secret'])

    http_socket, open_socket, control_socket = listening_socket(), listening_socket(), listening_socket()
    grpc_server = grpc.aio.server(interceptors=[GrpcGuard(guard)])
    grpc_port = grpc_server.add_insecure_port('127.0.0.1:0')
    open_grpc_server = grpc.aio.server()
    http_link, grpc_link = Link(port_of(http_socket)), Link(grpc_port)
    links = {'http': http_link, 'grpc': grpc_link}
    ports = {
        'http': port_of(http_socket),
        'grpc': grpc_port,
        'openHttp': port_of(open_socket),
        'openGrpc': open_grpc_server.add_insecure_port('127.0.0.1:0'),
        'control': port_of(control_socket),
        'httpLink': await http_link.listen(),
        'grpcLink': await grpc_link.listen(),
    }

    direct = {kind: ports[f'{kind}Link' if settings['behindLink'] else kind] for kind in ('http', 'grpc')}
    url = settings['url'] or f'http://127.0.0.1:{direct["http"]}'
    grpc_target = settings['grpcTarget'] or f'127.0.0.1:{direct["grpc"]}'
    agent_card = card(settings['name'], url, grpc_target, 'script')
    handler = Witness(
        ScriptedExecutor(settings['name'], ledger),
        InMemoryTaskStore(),
        agent_card,
        push_config_store=InMemoryPushNotificationConfigStore(),
        extended_agent_card=card(settings['name'], url, grpc_target, 'script', 'for callers that it knows'),
    )
    signed_card = signed(card(settings['name'], url, grpc_target, 'script'))
    routes = [
        *create_agent_card_routes(agent_card),
        *create_agent_card_routes(signed_card, card_url='/signed/.well-known/agent-card.json'),
        *create_jsonrpc_routes(handler, '/', enable_v0_3_compat=True),
        *create_rest_routes(handler),
    ]
    app = Starlette(routes=routes)
    for server in (grpc_server, open_grpc_server):
        a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
        await server.start()
    print(json.dumps(ports), flush=True)
    await asyncio.wait(
        [
            asyncio.create_task(serve_http(HttpGuard(app, guard), http_socket)),
            asyncio.create_task(serve_http(app, open_socket)),
            asyncio.create_task(serve_http(control_app(ledger, links, handler), control_socket)),
            asyncio.create_task(stdin_closed()),
        ],
        return_when=asyncio.FIRST_COMPLETED,
    )
    sys.stdout.flush()
    os._exit(0)  # open streams and the thread on standard input have nothing left to say


if __name__ == '__main__':
    asyncio.run(main())
