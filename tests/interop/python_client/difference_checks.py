"""The same calls past the gateway and through it, to the same agent: what the SDK makes of the answers may not differ."""

from collections.abc import AsyncIterator, Awaitable

from a2a.types.a2a_pb2 import StreamResponse
from a2a.utils.errors import A2AError
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from python_client.caller import Caller, Flavour
from python_client.checks import confirmed
from world import World, past_the_gateway

# All that is masked: what is made anew for each task. Ids become numbers in the order in which they come, so that two
# that were the same must stay the same.
IDS = ('id', 'taskId', 'contextId', 'messageId', 'artifactId')
TIMES = ('timestamp',)

# Calls that fail, both ways alike. Any other one that fails is a fault of the suite, which would hide a difference.
MUST_FAIL = {
    'push get of nothing',
    'cancel again',
    'subscribe to what is over',
    'get of nothing',
    'continue nothing',
}


async def no_difference(world: World, flavour: Flavour) -> None:
    """Makes every call of the protocol both ways and compares all fields of all answers, errors included."""
    past = past_the_gateway(world)
    own = Flavour('h2' if flavour.binding == 'GRPC' else 'h1', flavour.binding, flavour.version)
    async with Caller(past, past.steady, own) as caller:
        expected = await everything(caller)
    async with Caller(world, world.steady, flavour) as caller:
        seen = await everything(caller)
    places = public_places(world)
    failed = {name for name, answer in expected.items() if isinstance(answer, dict) and 'error' in answer}
    assert failed == MUST_FAIL, f'past the gateway these differ: {failed ^ MUST_FAIL}: {expected}'
    assert seen.keys() == expected.keys()
    for name, answer in expected.items():
        wanted = replaced(answer, places)
        assert seen[name] == wanted, f'{name}: {seen[name]}\nnot {wanted}'


def public_places(world: World) -> dict[str, str]:
    """The agent's cards name its own addresses, and the gateway puts its own in their place."""
    ports = world.agents['steady'].ports
    return {
        f'http://127.0.0.1:{ports["http"]}': world.steady.url,
        f'127.0.0.1:{ports["grpc"]}': world.steady.grpc_target,
    }


async def everything(caller: Caller) -> dict[str, object]:
    """One call of each kind, and those that fail."""
    told: dict[str, object] = {}
    names: dict[str, str] = {}

    async def note(name: str, call: Awaitable):
        try:
            result = await call
        except A2AError as error:
            told[name] = replaced({'error': type(error).__name__, 'text': str(error), 'data': error.data}, names)
            return None
        told[name] = masked(plain(result), names)
        caller.renew()
        return result

    told['card'] = plain(caller.card)
    done = await note('send', caller.send('send'))
    await note('stream', collected(confirmed(caller, caller.stream('stream 3'), 3)))
    await note('get', caller.get(done.id))
    await note('get with some history', caller.get(done.id, history=1))
    if caller.version != '0.3':  # which has no such call
        await note('list', caller.list(done.context_id))
    asking = await note('send at once', caller.send('ask', at_once=True))
    await note('continue', caller.send('more', task=asking.id))
    await note('subscribe', anext(caller.subscribe(asking.id)))
    await note('push set', caller.set_push(asking.id, 'hook'))
    await note('push get', caller.get_push(asking.id, 'hook'))
    await note('push list', caller.list_push(asking.id))
    await note('push delete', caller.delete_push(asking.id, 'hook'))
    await note('push get of nothing', caller.get_push(asking.id, 'hook'))
    await note('cancel', caller.cancel(asking.id))
    await note('cancel again', caller.cancel(asking.id))
    await note('subscribe to what is over', anext(caller.subscribe(done.id)))
    await note('get of nothing', caller.get('no-such-task'))
    await note('continue nothing', caller.send('more', task='no-such-task'))
    await note('extended card', caller.extended_card())
    return told


async def collected(events: AsyncIterator[StreamResponse]) -> list[StreamResponse]:
    """A stream to its end."""
    return [event async for event in events]


def plain(answer: object) -> object:
    """An answer as data."""
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    return MessageToDict(answer) if isinstance(answer, Message) else answer


def masked(value: object, names: dict[str, str]) -> object:
    """The same with what is made anew for each task put out of the way."""
    if isinstance(value, list):
        return [masked(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: names.setdefault(one, f'#{len(names)}')
        if key in IDS and isinstance(one, str)
        else 'a time'
        if key in TIMES
        else masked(one, names)
        for key, one in value.items()
    }


def replaced(value: object, places: dict[str, str]) -> object:
    """The same with texts in the place of others, wherever they are."""
    match value:
        case str():
            for old, new in places.items():
                value = value.replace(old, new)
            return value
        case list():
            return [replaced(one, places) for one in value]
        case dict():
            return {key: replaced(one, places) for key, one in value.items()}
    return value
