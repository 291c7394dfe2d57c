"""What the gateway refuses is an error of the SDK's own, and the answer says the reason in the caller's protocol.

The refusals are made by the gateway's own code for refusals, on demand (`fault.byHeader`).
"""

from a2a.client.errors import A2AClientError, A2AClientTimeoutError
from a2a.utils.errors import A2AError, MethodNotFoundError

from python_client.caller import Caller, Flavour
from python_client.checks import expect_error
from world import World

# The status of HTTP, and that of gRPC.
REFUSALS = {
    400: 'INVALID_ARGUMENT',
    401: 'UNAUTHENTICATED',
    403: 'PERMISSION_DENIED',
    404: 'UNIMPLEMENTED',
    413: 'RESOURCE_EXHAUSTED',
    429: 'RESOURCE_EXHAUSTED',
    502: 'UNAVAILABLE',
    503: 'UNAVAILABLE',
    504: 'DEADLINE_EXCEEDED',
}
TEXT = 'a fault was injected on purpose'
REASON = 'fault_injected'


async def refusals_are_understood(world: World, flavour: Flavour) -> None:
    """Every refusal, of a call that reads, one that acts and one that streams."""
    async with Caller(world, world.steady, flavour) as caller:
        for status in REFUSALS:
            caller.fields = {'x-attache-fault-abort': str(status)}
            for call in (caller.get('a-task'), caller.send('send'), anext(caller.stream('stream 1'))):
                error = await expect_error(call, A2AError)
                expected, text = what_the_sdk_says(flavour, status)
                assert type(error) is expected and text in str(error), f'{status}: {error!r}, not {expected.__name__}'
                if flavour.binding != 'GRPC':
                    answers_in_the_protocol(caller, flavour, status)


def what_the_sdk_says(flavour: Flavour, status: int) -> tuple[type[A2AError], str]:
    """The class that the SDK has for it, and what it says."""
    if flavour.binding == 'GRPC':
        if status == 504:
            return A2AClientTimeoutError, 'timed out'
        return A2AClientError, f'gRPC Error {REFUSALS[status]}: {TEXT}'
    if flavour.binding == 'HTTP+JSON' and status == 404:
        return MethodNotFoundError, 'Resource not found'
    return A2AClientError, f'HTTP Error: {status}' if flavour.version == '0.3' else f'HTTP Error {status}:'


def answers_in_the_protocol(caller: Caller, flavour: Flavour, status: int) -> None:
    """The body says the reason for programs, and in JSON-RPC whose answer it is."""
    response = caller.last_response
    assert response.status_code == status, response
    assert response.headers['x-attache-reason'] == REASON, response.headers
    answer = response.json()
    error = answer['error']
    # A refusal waits for no body. Without it the id of the call is not known, and that of clients of 0.3, whose head says
    # nothing of A2A, not even the protocol.
    is_json_rpc = flavour.binding == 'JSONRPC' and (flavour.version != '0.3' or 'jsonrpc' in answer)
    if is_json_rpc:
        assert answer['jsonrpc'] == '2.0' and error['code'] == -32603, answer
        assert answer['id'] in (None, caller.asked_id()), answer
    else:
        assert error['code'] == status, answer
    details = error['data' if is_json_rpc else 'details']
    assert error['message'] == TEXT and details[0]['reason'] == REASON, answer


async def what_a_guard_refuses_is_understood(world: World, flavour: Flavour) -> None:
    """A webhook at a private address: 400, and the SDK raises its own error."""
    async with Caller(world, world.steady, flavour) as caller:
        task = await caller.send('ask', at_once=True)
        caller.renew()
        error = await expect_error(caller.set_push(task.id, 'hook', url='https://10.0.0.1/hook'), A2AError)
        expected, text = A2AClientError, 'HTTP Error'
        if flavour.binding == 'GRPC':
            text = 'gRPC Error INVALID_ARGUMENT'
        assert type(error) is expected and text in str(error), repr(error)
        if flavour.binding != 'GRPC':
            response = caller.last_response
            assert response.status_code == 400, response
            assert response.headers['x-attache-reason'] == 'push_url_refused', response.headers
        caller.renew()
        await caller.cancel(task.id)
