"""Calls agents of the generation 0.2 with the client of its SDK; prints a JSON line for each check."""

import asyncio
import json
import ssl
import sys
import traceback
import uuid

import httpx
from a2a.client import A2ACardResolver, A2AClient
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    MessageSendParams,
    Part,
    Role,
    SendMessageRequest,
    SendStreamingMessageRequest,
    TaskIdParams,
    TaskQueryParams,
    TaskState,
    TextPart,
)

TASKS = 12


def params(text: str) -> MessageSendParams:
    """A new message."""
    return MessageSendParams(
        message=Message(role=Role.user, parts=[Part(root=TextPart(text=text))], messageId=uuid.uuid4().hex)
    )


async def a_message_is_answered(client: A2AClient) -> None:
    answer = await client.send_message(SendMessageRequest(id='1', params=params('count')))
    assert answer.root.result.status.state == TaskState.completed, answer
    assert len(answer.root.result.artifacts) == 3, answer


async def a_stream_comes_whole_and_in_order(client: A2AClient) -> None:
    names, last = [], None
    async for event in client.send_message_streaming(SendStreamingMessageRequest(id='1', params=params('count'))):
        last = event.root.result
        if artifact := getattr(last, 'artifact', None):
            names.append(artifact.name)
    assert names == ['step-0', 'step-1', 'step-2'], names
    assert last.final and last.status.state == TaskState.completed, last


async def begin(client: A2AClient) -> str:
    """The id of a task that waits. Its stream is left, and the task goes on."""
    stream = client.send_message_streaming(SendStreamingMessageRequest(id='1', params=params('wait')))
    try:
        async for event in stream:
            return event.root.result.id
    finally:
        await stream.aclose()
    raise AssertionError('no event came')


async def tasks_are_found_where_they_are(client: A2AClient) -> None:
    tasks = [await begin(client) for _ in range(TASKS)]
    for task in tasks:
        found = await client.get_task(GetTaskRequest(id='2', params=TaskQueryParams(id=task)))
        assert found.root.result.id == task, found
    for task in tasks:
        ended = await client.cancel_task(CancelTaskRequest(id='3', params=TaskIdParams(id=task)))
        assert ended.root.result.status.state == TaskState.canceled, ended


async def an_unknown_task_is_the_error_of_the_sdk(client: A2AClient) -> None:
    answer = await client.get_task(GetTaskRequest(id='2', params=TaskQueryParams(id='nobody')))
    assert answer.root.error.code == -32001, answer


CHECKS = (
    a_message_is_answered,
    a_stream_comes_whole_and_in_order,
    tasks_are_found_where_they_are,
    an_unknown_task_is_the_error_of_the_sdk,
)


async def main(url: str, ca_file: str) -> None:
    """Asks for the card, and runs every check with the client that it describes."""
    tls = ssl.create_default_context(cafile=ca_file)
    async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=20) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        failure = None if card.url.startswith(url) else f'the card leads to {card.url}'
        print(json.dumps({'name': 'the card leads to the gateway', 'failure': failure}), flush=True)
        client = A2AClient(http, agent_card=card)
        for check in CHECKS:
            try:
                await check(client)
                failure = None
            except Exception:
                failure = traceback.format_exc(limit=-4)
            print(json.dumps({'name': check.__name__.replace('_', ' '), 'failure': failure}), flush=True)


asyncio.run(main(*sys.argv[1:]))
