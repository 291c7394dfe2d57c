"""Tasks stay with their agents: three replicas that share nothing, and 200 unfinished tasks made by both SDKs.

Half of the tasks are made by the Python SDK and half by the JavaScript SDK, over every binding, version and HTTP
version of each; half of each by a stream.
"""

import asyncio
import json
import os
import uuid
from collections import Counter, defaultdict
from contextlib import asynccontextmanager

import httpx

from python_client.load import Load
from world import REPLICAS, Entrance, World

TASKS = 200
SPREAD = range(50, 91)  # tasks of each replica
OPERATIONS = ('get', 'subscribe', 'continue', 'cancel')


class JavaScriptLoad:
    """The load of the JavaScript SDK, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, world: World, count: int) -> 'JavaScriptLoad':
        """Starts the process."""
        plan = json.dumps({'caFile': world.ca_file, 'count': count})
        process = await asyncio.create_subprocess_exec(
            'node', 'load.mjs', plan,
            cwd=os.environ['INTEROP_JS_DIR'],
            env={**os.environ, 'NODE_EXTRA_CA_CERTS': world.ca_file},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20,
        )  # fmt: skip
        return cls(process)

    async def perform(self, operation: str, entrances: list[Entrance], key: str) -> dict:
        """As `Load.perform`."""
        command = {'operation': operation, 'entrances': [vars(entrance) for entrance in entrances], 'key': key}
        self._process.stdin.write(json.dumps(command).encode() + b'\n')
        answer = json.loads(await self._process.stdout.readline() or '{"error": "the process ended"}')
        assert 'error' not in answer, f'{operation}: {answer["error"]}'
        return answer

    async def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        await self._process.wait()


class Loads:
    """The loads of both SDKs, side by side."""

    def __init__(self, world: World, both: list) -> None:
        self.tasks: list[str] = []
        self.performed: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._world = world
        self._both = both

    async def perform(self, operation: str, *entrances: Entrance) -> None:
        """Does it with every task, through the entrances in turn."""
        key = str(uuid.uuid4())
        results = await asyncio.gather(*(load.perform(operation, [*entrances], key) for load in self._both))
        if operation == 'create':
            await each(self._world, 'POST', f'state?key={key}&fact=made')
        self.tasks = [task for result in results for task in result['tasks']]
        self.lost[operation] += sum(result['lost'] for result in results)
        self.performed[operation] += 1

    async def seen(self) -> dict[str, dict[str, Counter[str]]]:
        """For each operation and task, how often each replica saw it."""
        ours, seen = set(self.tasks), defaultdict(lambda: defaultdict(Counter))
        for replica, counts in zip(REPLICAS, await each(self._world, 'GET', 'seen'), strict=True):
            for operation, task, times in counts:
                if task in ours:
                    seen[operation][task][replica] += times
        return seen


async def each(world: World, method: str, what: str) -> list:
    """Asks every replica past the gateway."""
    async with httpx.AsyncClient(trust_env=False) as client:
        urls = (f'{world.agents[name].control}/{what}' for name in REPLICAS)
        return [(await client.request(method, url)).raise_for_status().json() for url in urls]


@asynccontextmanager
async def loads(world: World):
    """Starts both loads and ends them."""
    both = [Load(world, TASKS // 2), await JavaScriptLoad.start(world, TASKS - TASKS // 2)]
    try:
        yield Loads(world, both)
    finally:
        for load in both:
            await load.close()


async def tasks_survive_a_restart(world: World) -> str:
    """Tasks are found by the gateway that made them, and by the one that is started in its place."""
    async with loads(world) as load:
        for operation in ('create', 'get', 'subscribe', 'continue'):
            await load.perform(operation, world.replicas)
        asked = await lookups(world.gateway)
        assert asked == Counter(), f'tasks that the gateway made were looked up: {asked}'
        assert await world.gateway.stop() == 0
        await world.gateway.start()
        for operation in OPERATIONS:
            await load.perform(operation, world.replicas)
        # Every task once, with the first call of the new gateway, and by every replica at most once.
        return await all_found(load, await lookups(world.gateway), 1)


async def gateways_share_nothing(world: World) -> str:
    """Tasks are found by both of two gateways that know nothing of each other."""
    before = await lookups(world.gateway)
    async with loads(world) as load:
        await load.perform('create', world.replicas, world.beside)
        await load.perform('get', world.beside, world.replicas)
        for operation in OPERATIONS[1:]:
            await load.perform(operation, world.replicas, world.beside)
        asked = await lookups(world.gateway) - before + await lookups(world.second_gateway)
        return await all_found(load, asked, 1)


async def all_found(load: Loads, asked: Counter[str], most: int) -> str:
    """Nothing was lost, each call got to one agent, the work is shared out, and lookups are few."""
    lost = load.lost.total()
    assert lost == 0, f'{lost} calls were answered TaskNotFound: {load.lost}'
    assert len(set(load.tasks)) == TASKS, f'{len(set(load.tasks))} tasks'
    seen = await load.seen()
    home = {task: by.most_common(1)[0][0] for task, by in seen['create'].items()}
    for operation, times in load.performed.items():
        for task in load.tasks:
            expected = Counter({home[task]: times})
            assert seen[operation][task] == expected, f'{operation} of {task}: {seen[operation][task]}, not {expected}'
    questions = max((max(by.values()) for by in seen['lookup'].values()), default=0)
    assert questions <= most, f'an agent was asked {questions} times for a task'
    assert asked.total() == asked['found'] <= most * TASKS, f'lookups: {asked}'
    spread = Counter(home.values())
    assert all(spread[replica] in SPREAD for replica in REPLICAS), f'the tasks are not shared out: {spread}'
    calls = sum(load.performed.values()) * TASKS - TASKS
    shares = ', '.join(str(spread[replica]) for replica in REPLICAS)
    return f'0 of {calls} calls lost, {asked["found"]} lookups, tasks of each agent: {shares}'


async def without_affinity_most_are_lost(world: World) -> str:
    """The counterproof: the same load by least connections alone."""
    async with loads(world) as load:
        await load.perform('create', world.forgetful)
        for operation in OPERATIONS:
            await load.perform(operation, world.forgetful)
        lost, calls = load.lost.total(), len(OPERATIONS) * TASKS
        assert lost > calls / 2, f'only {lost} of {calls} calls lost: are these three agents?'
        return f'{lost} of {calls} calls answered TaskNotFound'


async def lookups(gateway) -> Counter[str]:
    """How often a gateway looked something up for the replicas, by result."""
    results = ('found', 'unknown', 'failed', 'limited')
    totals = {
        result: int(
            sum([
                await gateway.total('attache_a2a_lookups_total', route=route, result=result)
                for route in ('replicas', 'replicas-grpc')
            ])
        )
        for result in results
    }
    return +Counter(totals)
