"""The SDK's request handler with a memory: which agent was asked to do what with which task."""

from collections import Counter

from a2a.server.request_handlers import DefaultRequestHandler
from a2a.types.a2a_pb2 import Task


class Witness(DefaultRequestHandler):
    """Counts calls by operation and task, also those about tasks that this agent does not have.

    Clients of the load ask for a message of history, and the gateway's own question asks for none: so the two are
    told apart in every binding and version.
    """

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.seen: Counter[tuple[str, str]] = Counter()

    async def on_get_task(self, params, context):
        """GetTask."""
        self.seen['get' if params.history_length else 'lookup', params.id] += 1
        return await super().on_get_task(params, context)

    async def on_message_send(self, params, context):
        """SendMessage."""
        if task := params.message.task_id:
            self.seen['continue', task] += 1
            return await super().on_message_send(params, context)
        result = await super().on_message_send(params, context)
        if isinstance(result, Task):
            self.seen['create', result.id] += 1
        return result

    async def on_message_send_stream(self, params, context):
        """SendStreamingMessage."""
        is_first = not params.message.task_id
        async for event in super().on_message_send_stream(params, context):
            if is_first and isinstance(event, Task):
                self.seen['create', event.id] += 1
            is_first = False
            yield event

    async def on_subscribe_to_task(self, params, context):
        """SubscribeToTask."""
        self.seen['subscribe', params.id] += 1
        async for event in super().on_subscribe_to_task(params, context):
            yield event

    async def on_cancel_task(self, params, context):
        """CancelTask."""
        self.seen['cancel', params.id] += 1
        return await super().on_cancel_task(params, context)
