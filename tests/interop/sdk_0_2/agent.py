"""An agent of the generation 0.2 with a store of its own: prints its port, and ends with its standard input."""

import asyncio
import socket
import sys

import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.apps import A2AStarletteApplication
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentSkill, Part, TextPart
from a2a.utils import new_task

STEPS = 3


class Worker(AgentExecutor):
    """Counts to three, or waits until it is cancelled."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Runs a task."""
        task = context.current_task or new_task(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.contextId)
        await updater.start_work()
        if context.get_user_input() == 'wait':
            await asyncio.Event().wait()
        for step in range(STEPS):
            await updater.add_artifact([Part(root=TextPart(text=f'step {step}'))], name=f'step-{step}')
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Ends a task that waits."""
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card(port: int) -> AgentCard:
    """What the agent says of itself; its address is its own, as it knows of no gateway."""
    return AgentCard(
        name='worker',
        description='counts',
        url=f'http://127.0.0.1:{port}/',
        version='1',
        capabilities=AgentCapabilities(streaming=True),
        defaultInputModes=['text'],
        defaultOutputModes=['text'],
        skills=[AgentSkill(id='count', name='count', description='counts', tags=['count'])],
    )


async def main() -> None:
    """Serves until standard input ends."""
    listening = socket.create_server(('127.0.0.1', 0))
    port = listening.getsockname()[1]
    handler = DefaultRequestHandler(agent_executor=Worker(), task_store=InMemoryTaskStore())
    application = A2AStarletteApplication(agent_card=card(port), http_handler=handler).build()
    server = uvicorn.Server(uvicorn.Config(application, log_level='warning', timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


asyncio.run(main())
