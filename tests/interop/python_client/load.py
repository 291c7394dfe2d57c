"""Many unfinished tasks, over every flavour of the Python SDK at the same time. `js_client/load.mjs` does the same."""

import asyncio
import itertools
from contextlib import AsyncExitStack

from a2a.utils.errors import TaskNotFoundError

from python_client.caller import Caller, flavours
from world import Entrance, World

ONE_MESSAGE = 1  # of history: agents tell a client's GetTask from the gateway's own by it


class Load:
    """Tasks, and what is done with each. Entrances are taken in turn."""

    def __init__(self, world: World, count: int) -> None:
        self._world = world
        self._flavours = flavours(world)
        self._counts = [count // len(self._flavours)] * len(self._flavours)
        for index in range(count % len(self._flavours)):
            self._counts[index] += 1
        self._tasks: list[list[str]] = [[] for _ in self._flavours]

    async def perform(self, operation: str, entrances: list[Entrance], key: str) -> dict:
        """Does it with every task: says which tasks there are, and how many calls were answered TaskNotFound."""
        lanes = [self._lane(index, operation, entrances, key) for index in range(len(self._flavours))]
        lost = sum(await asyncio.gather(*lanes))
        return {'tasks': [*itertools.chain(*self._tasks)], 'lost': lost}

    async def close(self) -> None:
        """Nothing is open between operations."""

    async def _lane(self, index: int, operation: str, entrances: list[Entrance], key: str) -> int:
        """One flavour: its calls follow one another."""
        async with AsyncExitStack() as stack:
            open_callers = (Caller(self._world, entrance, self._flavours[index]) for entrance in entrances)
            callers = itertools.cycle([await stack.enter_async_context(caller) for caller in open_callers])
            if operation == 'create':
                self._tasks[index] = await create(self._counts[index], callers, stack, key)
                return 0
            return sum([await lost(next(callers), operation, task) for task in self._tasks[index]])


async def create(count: int, callers, stack: AsyncExitStack, key: str) -> list[str]:
    """New tasks. The streams of every other one stay open until all are made, as those of working agents do."""
    tasks = []
    for number in range(count):
        caller = next(callers)
        caller.renew()
        if number % 2:
            tasks.append((await caller.send('ask', at_once=True)).id)
        else:
            events = caller.stream(f'ask {key}')
            stack.push_async_callback(events.aclose)
            tasks.append((await anext(events)).task.id)
    return tasks


async def lost(caller: Caller, operation: str, task: str) -> int:
    """One call: 1 when the agent that got it does not have the task."""
    caller.renew()
    try:
        match operation:
            case 'get':
                found = (await caller.get(task, history=ONE_MESSAGE)).id
            case 'subscribe':
                events = caller.subscribe(task)
                found = (await anext(events)).task.id
                await events.aclose()
            case 'continue':
                found = (await caller.send('more', task=task)).id
            case 'cancel':
                found = (await caller.cancel(task)).id
    except TaskNotFoundError:
        return 1
    assert found == task, f'{operation} of {task} was answered about {found}'
    return 0
