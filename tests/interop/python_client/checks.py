"""What every flavour of the Python client must see through the gateway."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from a2a.client.errors import A2AClientError
from a2a.helpers import get_artifact_text
from a2a.types.a2a_pb2 import StreamResponse, TaskState
from a2a.utils.errors import InternalError, TaskNotCancelableError, TaskNotFoundError

from python_client.caller import Caller
from world import World

EVENTS = 10
HOP_BY_HOP = {'connection', 'keep-alive', 'transfer-encoding'}


class Check(NamedTuple):
    """A check, and the agent it is made against."""

    title: str
    entrance: str
    run: Callable[[Caller, World], Awaitable[None]]


CHECKS: list[Check] = []


def check(title: str, entrance: str = 'steady'):
    """Adds a function to the list of checks."""

    def add(run):
        CHECKS.append(Check(title, entrance, run))
        return run

    return add


def describe(event: StreamResponse) -> str:
    """An event in one word or two."""
    match event.WhichOneof('payload'):
        case 'task':
            return 'task'
        case 'artifact_update':
            return get_artifact_text(event.artifact_update.artifact)
        case 'status_update':
            return TaskState.Name(event.status_update.status.state)
        case other:
            return str(other)


async def confirmed(caller: Caller, events: AsyncIterator[StreamResponse], last: int) -> AsyncIterator[StreamResponse]:
    """Yields events and confirms each up to `last`: the agent emits the next one only then.

    A gateway that holds an event back would wait for an event that the agent does not send.
    """
    number = 0
    async for event in events:
        if number <= last:
            emitted = await caller.confirm(number)
            assert emitted == number, f'event {number} arrived when the agent had already emitted {emitted}'
        number += 1
        yield event


async def expect_error(awaitable: Awaitable, kind: type[Exception] | tuple[type[Exception], ...]) -> Exception:
    """The error of an awaitable that must fail in one way only."""
    try:
        result = await awaitable
    except kind as error:
        return error
    raise AssertionError(f'no {kind} but {result!r}')


@check('card names the gateway')
async def card(caller: Caller, world: World) -> None:
    urls = [interface.url for interface in caller.card.supported_interfaces]
    gateway = world.steady
    assert urls == [f'{gateway.url}/', f'{gateway.url}/', gateway.url, gateway.grpc_target], urls


@check('send')
async def send(caller: Caller, _world: World) -> None:
    task = await caller.send('send')
    assert task.status.state == TaskState.TASK_STATE_COMPLETED, task
    assert get_artifact_text(task.artifacts[0]) == 'hello from steady', task


@check(f'stream {EVENTS} events in order, gaps kept')
async def stream(caller: Caller, _world: World) -> None:
    events = confirmed(caller, caller.stream(f'stream {EVENTS}'), EVENTS)
    seen = [describe(event) async for event in events]
    assert seen == ['task', *(f'event {n}' for n in range(1, EVENTS + 1)), 'TASK_STATE_COMPLETED'], seen


@check('get')
async def get(caller: Caller, _world: World) -> None:
    sent = await caller.send('send')
    task = await caller.get(sent.id)
    assert (task.id, task.status.state) == (sent.id, TaskState.TASK_STATE_COMPLETED), task


@check('cancel reaches the agent and ends the open stream')
async def cancel(caller: Caller, _world: World) -> None:
    events = confirmed(caller, caller.stream('hold 1'), 1)
    first = await anext(events)
    assert describe(await anext(events)) == 'event 1'
    task = await caller.cancel(first.task.id)
    assert task.status.state == TaskState.TASK_STATE_CANCELED, task
    assert await caller.agent_saw('cancelled'), 'the agent was not asked to cancel'
    rest = [describe(event) async for event in events]
    assert rest == ['TASK_STATE_CANCELED'], rest


@check('subscribe joins a running task')
async def subscribe(caller: Caller, _world: World) -> None:
    task = await caller.send('stream 3', at_once=True)
    events = confirmed(caller, caller.subscribe(task.id), 3)
    seen = [describe(event) async for event in events]
    assert seen == ['task', 'event 1', 'event 2', 'event 3', 'TASK_STATE_COMPLETED'], seen


@check('leaving a stream is seen by the agent, the task lives on')
async def leave(caller: Caller, world: World) -> None:
    events = confirmed(caller, caller.stream('hold 1'), 1)
    first = await anext(events)
    assert describe(await anext(events)) == 'event 1'
    await events.aclose()
    await caller.leave()  # over HTTP/2, httpx keeps a stream it no longer reads until its connection closes
    assert await caller.agent_saw('gone'), 'the agent still streams to nobody'
    async with caller.again() as later:
        task = await later.get(first.task.id)
        assert task.status.state == TaskState.TASK_STATE_SUBMITTED, task
        await later.cancel(task.id)


@check('TaskNotFound and TaskNotCancelable arrive unchanged')
async def errors(caller: Caller, _world: World) -> None:
    await expect_error(caller.get('no-such-task'), TaskNotFoundError)
    await same_as_sent(caller)
    await expect_error(caller.cancel('no-such-task'), TaskNotFoundError)
    await same_as_sent(caller)
    finished = await caller.send('send')
    await expect_error(caller.cancel(finished.id), TaskNotCancelableError)
    await same_as_sent(caller)


async def same_as_sent(caller: Caller) -> None:
    """Compares the last HTTP answer with what the agent sent, byte for byte."""
    received = caller.last_response
    if received is None:
        return  # gRPC: the error class itself comes from the details in the trailers
    sent = await caller.answer_sent()
    assert received.status_code == sent['status'], f'{received.status_code} instead of {sent["status"]}'
    assert received.content == base64.b64decode(sent['body']), received.content
    for name, value in sent['headers']:
        if name not in HOP_BY_HOP:
            assert received.headers.get(name) == value, f'{name}: {received.headers.get(name)} instead of {value}'


async def dies(caller: Caller, how: str) -> None:
    """Cuts the agent off after event 3; the client must get an error, not an end."""
    seen = []

    async def read() -> str:
        async for event in confirmed(caller, caller.stream('hold 3'), 3):
            seen.append(describe(event))
            if seen[-1] == 'event 3':
                assert await caller.cut(how) > 0, 'no connection to cut'
        return 'a clean end'

    # The gateway's last event says so in the protocol; where there is none, the transport does.
    await expect_error(read(), (A2AClientError, InternalError))
    assert seen == ['task', 'event 1', 'event 2', 'event 3'], seen


@check('agent dies mid-stream (fin): an error, not an end', 'fragile')
async def dies_by_fin(caller: Caller, _world: World) -> None:
    await dies(caller, 'fin')


@check('agent dies mid-stream (rst): an error, not an end', 'fragile')
async def dies_by_rst(caller: Caller, _world: World) -> None:
    await dies(caller, 'rst')
