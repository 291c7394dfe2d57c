"""The agent's work: it follows the script in the message text.

`send`      answers with a finished task whose artifact names the agent.
`stream N`  emits N artifacts, each only after the client confirmed the one before, then completes.
`hold N`    the same, but then waits until it is cancelled.
`ask`       asks for more, so that the task is not over; `ask KEY` keeps the stream open until KEY is `made`.
`more`      in such a task: adds an artifact that names the agent, and asks again.

The message id is the check's key in the ledger.
"""

import asyncio

from a2a.helpers import get_message_text, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events.event_queue_v2 import EventQueue
from a2a.server.tasks import TaskUpdater

from agent.ledger import Ledger


class ScriptedExecutor(AgentExecutor):
    """Executes scripts, and notes in the ledger when it is told to stop."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self._name = name
        self._ledger = ledger
        self._key_of_task: dict[str, str] = {}

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Runs the script of one message."""
        key = context.message.message_id
        verb, _, rest = get_message_text(context.message).partition(' ')
        task = new_task_from_user_message(context.message)
        self._key_of_task[task.id] = key
        # A message in a task need not name its context.
        known = context.current_task or task
        updater = TaskUpdater(event_queue, known.id, known.context_id)

        if verb == 'send':
            await event_queue.enqueue_event(task)
            await updater.add_artifact([new_text_part(f'hello from {self._name}')])
            await updater.complete()
            return

        if verb == 'ask':
            await event_queue.enqueue_event(task)
            await updater.requires_input()
            if rest:
                await self._ledger.until_noted(rest, 'made')
            return

        if verb == 'more':
            await updater.add_artifact([new_text_part(f'more from {self._name}')])
            await updater.requires_input()
            return

        self._ledger.entry(key).emitted = 0
        await event_queue.enqueue_event(task)
        for number in range(1, int(rest) + 1):
            await self._ledger.until_confirmed(key, number - 1)
            self._ledger.entry(key).emitted = number
            await updater.add_artifact([new_text_part(f'event {number}')])
        if verb == 'hold':
            await asyncio.Event().wait()
        await self._ledger.until_confirmed(key, int(rest))
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Answers CancelTask."""
        await self._ledger.note(self._key_of_task[context.task_id], 'cancelled')
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()
