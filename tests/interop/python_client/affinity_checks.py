"""Checks of task affinity: the replicas share nothing, so only the one that made a task knows it."""

from python_client.caller import Caller, flavours
from world import World

TASKS = 20


async def every_task_is_found(world: World) -> None:
    """Unfinished tasks are fetched, subscribed to and cancelled over every binding and version of the SDK."""
    for flavour in flavours(world):
        async with Caller(world, world.replicas, flavour) as caller:
            tasks = [(await caller.send('hold 0', at_once=True)).id for _ in range(TASKS)]
            for task in tasks:
                assert (await caller.get(task)).id == task, f'{flavour}: another task was fetched'
            for task in tasks[:3]:
                events = caller.subscribe(task)
                first = await anext(events)
                assert first.task.id == task, f'{flavour}: {first}'
                await events.aclose()
            for task in tasks:
                assert (await caller.cancel(task)).id == task, f'{flavour}: another task was cancelled'
