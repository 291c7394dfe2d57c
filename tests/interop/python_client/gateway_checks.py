"""Checks of the gateway as a whole: it shares out the work, and nothing went past it."""

import httpx
from a2a.helpers import get_artifact_text

from python_client.caller import Caller, Flavour
from world import REPLICAS, World

SENDS = 40


async def spreads_over_replicas(world: World) -> None:
    """Plain sends reach all replicas, over every kind of upstream connection."""
    for flavour in (
        Flavour('h1', 'JSONRPC', '1.0'),
        Flavour('h2', 'HTTP+JSON', '1.0'),
        Flavour('h2', 'GRPC', '1.0'),
    ):
        async with Caller(world, world.replicas, flavour) as caller:
            tasks = [await caller.send('send') for _ in range(SENDS)]
        seen = {get_artifact_text(task.artifacts[0]) for task in tasks}
        assert seen == {f'hello from {name}' for name in REPLICAS}, f'{flavour}: {SENDS} sends reached {seen}'


async def everything_came_through(world: World) -> None:
    """Every agent was called, and refused nobody."""
    async with httpx.AsyncClient(trust_env=False) as client:
        for agent in world.agents.values():
            totals = (await client.get(f'{agent.control}/totals')).json()
            assert totals['calls'] > 0, f'{agent.name} was never called'
            assert totals['refusals'] == [], totals['refusals']


async def unguarded_call_is_refused(world: World) -> None:
    """The counterproof: the agent's own port does refuse."""
    async with httpx.AsyncClient(trust_env=False) as client:
        port = world.agents['steady'].ports['http']
        answer = await client.get(f'http://127.0.0.1:{port}/.well-known/agent-card.json')
        assert answer.status_code == 403, answer.status_code
