"""Refuses every call that did not come through the gateway, and watches how calls end.

The gateway adds a secret that only it knows, and the headers every proxy adds; a call
without them reached the agent on another way, and a test over it would prove nothing.
"""

import asyncio
from collections.abc import Mapping

import grpc
import grpc.aio

from agent.ledger import KEY_HEADER, Answer, Ledger

SECRET_HEADER = 'x-gateway'


class CallGuard:
    """Decides about one call from its headers, and counts both outcomes."""

    def __init__(self, ledger: Ledger, secret: str | None) -> None:
        self.ledger = ledger
        self._secret = secret

    def objection(self, headers: Mapping[str, str]) -> str | None:
        """What shows that a call did not come through the gateway."""
        if self._secret is None:
            return None
        if headers.get(SECRET_HEADER) != self._secret:
            return f'no or wrong {SECRET_HEADER}'
        if headers.get('x-forwarded-proto') != 'https':
            return 'x-forwarded-proto is not https'
        missing = [name for name in ('x-forwarded-for', 'x-request-id') if not headers.get(name)]
        return f'no {missing[0]}' if missing else None

    def admit(self, what: str, headers: Mapping[str, str]) -> str | None:
        """Counts a call and returns why it is refused, if it is."""
        self.ledger.calls += 1
        objection = self.objection(headers)
        if objection:
            self.ledger.refusals.append(f'{what}: {objection}')
        return objection


class HttpGuard:
    """ASGI middleware: admits or refuses, notes disconnects, keeps answers for comparison."""

    def __init__(self, app, guard: CallGuard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope, receive, send) -> None:
        """Handles one request."""
        headers = {name.decode('latin-1'): value.decode('latin-1') for name, value in scope['headers']}
        objection = self._guard.admit(f'{scope["method"]} {scope["path"]}', headers)
        if objection:
            await refuse(send, objection)
            return

        key = headers.get(KEY_HEADER, '')
        ledger = self._guard.ledger
        answer = Answer()
        answered = False

        async def watched_receive():
            message = await receive()
            if message['type'] == 'http.disconnect' and not answered:
                await ledger.note(key, 'gone')
            return message

        async def watched_send(message) -> None:
            nonlocal answered
            if message['type'] == 'http.response.start':
                answer.status = message['status']
                answer.headers = [(n.decode('latin-1'), v.decode('latin-1')) for n, v in message['headers']]
            elif message['type'] == 'http.response.body':
                answer.body += message.get('body', b'')
                answered = not message.get('more_body', False)
                if answered:
                    ledger.entry(key).answer = answer
            await send(message)

        await self._app(scope, watched_receive, watched_send)


async def refuse(send, objection: str) -> None:
    """Answers 403 with the reason."""
    body = f'this call did not come through the gateway: {objection}'.encode()
    headers = [(b'content-type', b'text/plain'), (b'content-length', str(len(body)).encode())]
    await send({'type': 'http.response.start', 'status': 403, 'headers': headers})
    await send({'type': 'http.response.body', 'body': body})


class GrpcGuard(grpc.aio.ServerInterceptor):
    """The same for gRPC calls."""

    def __init__(self, guard: CallGuard) -> None:
        self._guard = guard

    async def intercept_service(self, continuation, details):
        """Handles one call."""
        metadata = {name: value for name, value in details.invocation_metadata}
        objection = self._guard.admit(details.method, metadata)
        handler = await continuation(details)
        if objection:
            return refusing(handler, objection)
        if handler is None or not handler.response_streaming:
            return handler
        return self._watched(handler, metadata.get(KEY_HEADER, ''))

    def _watched(self, handler, key: str):
        async def stream(request, context):
            try:
                async for response in handler.unary_stream(request, context):
                    yield response
            finally:
                # The SDK swallows the cancellation and ends as if it had finished; the call's task remembers.
                if asyncio.current_task().cancelling():
                    await self._guard.ledger.note(key, 'gone')

        return grpc.unary_stream_rpc_method_handler(stream, handler.request_deserializer, handler.response_serializer)


def refusing(handler, objection: str):
    """A handler that ends the call with PERMISSION_DENIED."""

    async def refuse_call(_request, context):
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, f'not through the gateway: {objection}')

    return grpc.unary_unary_rpc_method_handler(refuse_call, handler.request_deserializer, handler.response_serializer)
