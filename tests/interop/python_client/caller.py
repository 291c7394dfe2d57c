"""The official Python SDK's client in one flavour: HTTP version, binding, protocol version."""

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc.aio
import httpx
from a2a.client import A2ACardResolver, Client, ClientCallContext, ClientConfig, ClientFactory
from a2a.client.interceptors import ClientCallInterceptor
from a2a.helpers import new_text_message
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    Role,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
)

from world import GUARD_SECONDS, Entrance, World

HOOK = 'https://hooks.example.com/a2a'
NO_HURRY = 4 * GUARD_SECONDS  # the SDK's own limits never end a check before the guard does


@dataclass(frozen=True)
class Flavour:
    """One way of calling an agent."""

    http: str
    binding: str
    version: str

    def __str__(self) -> str:
        name = {'JSONRPC': 'jsonrpc', 'HTTP+JSON': 'rest', 'GRPC': 'grpc'}[self.binding]
        return f'python/{self.http}/{name}-{self.version}'


def flavours(world: World) -> list[Flavour]:
    """All flavours; cleartext agents speak no HTTP/2 but gRPC."""
    https = ['h1'] if world.direct else ['h1', 'h2']
    bindings = [('JSONRPC', '1.0'), ('HTTP+JSON', '1.0'), ('JSONRPC', '0.3')]
    return [*(Flavour(http, *binding) for http in https for binding in bindings), Flavour('h2', 'GRPC', '1.0')]


def http_client(world: World, http: str) -> httpx.AsyncClient:
    """An HTTP client that speaks exactly one version, and fails when it was answered in another."""
    expected = {'h1': 'HTTP/1.1', 'h2': 'HTTP/2'}[http]

    async def check_version(response: httpx.Response) -> None:
        if not world.direct and response.http_version != expected:
            raise AssertionError(f'answered in {response.http_version}, not {expected}')

    return httpx.AsyncClient(
        http1=http == 'h1' or world.direct,
        http2=http == 'h2' and not world.direct,
        verify=world.tls or True,
        timeout=NO_HURRY,
        trust_env=False,
        event_hooks={'response': [check_version]},
    )


class Caller:
    """A client of one agent, whose every call carries the check's key."""

    def __init__(
        self,
        world: World,
        entrance: Entrance,
        flavour: Flavour,
        interceptors: list[ClientCallInterceptor] | None = None,
    ) -> None:
        self._world = world
        self._entrance = entrance
        self._flavour = flavour
        self._interceptors = interceptors or []
        self.renew()
        self.fields: dict[str, str] = {}  # more of the head
        self.card: AgentCard | None = None
        self.last_response: httpx.Response | None = None

    @property
    def version(self) -> str:
        """The version of A2A."""
        return self._flavour.version

    def renew(self) -> None:
        """Takes another key, which is also the id of the next message."""
        self.key = str(uuid.uuid4())

    def again(self) -> 'Caller':
        """A fresh client of the same flavour and agent."""
        return Caller(self._world, self._entrance, self._flavour)

    async def __aenter__(self) -> 'Caller':
        self.http = http_client(self._world, self._flavour.http)
        self.card = await A2ACardResolver(self.http, self._entrance.url).get_agent_card()
        self.http.event_hooks['response'].append(self._keep)
        self._blocking = self._client(streaming=False)
        self._streaming = self._client(streaming=True)
        self._side = httpx.AsyncClient(base_url=self._entrance.control, timeout=NO_HURRY, trust_env=False)
        return self

    async def __aexit__(self, *_exc) -> None:
        await self.leave()
        await self._side.aclose()

    async def leave(self) -> None:
        """Drops every connection to the agent."""
        await self._blocking.close()
        await self._streaming.close()
        await self.http.aclose()

    def asked_id(self) -> object:
        """The id of the last call of JSON-RPC."""
        return json.loads(self.last_response.request.content)['id']

    async def _keep(self, response: httpx.Response) -> None:
        self.last_response = response

    def _client(self, *, streaming: bool) -> Client:
        config = ClientConfig(
            streaming=streaming,
            httpx_client=self.http,
            grpc_channel_factory=self._grpc_channel,
            supported_protocol_bindings=[self._flavour.binding],
        )
        return ClientFactory(config).create(self._narrowed_card(), self._interceptors)

    def _narrowed_card(self) -> AgentCard:
        """The fetched card with only this flavour's interface, so that the SDK has no choice."""
        card = AgentCard()
        card.CopyFrom(self.card)
        del card.supported_interfaces[:]
        card.supported_interfaces.extend(
            interface
            for interface in self.card.supported_interfaces
            if (interface.protocol_binding, interface.protocol_version)
            == (self._flavour.binding, self._flavour.version)
        )
        assert len(card.supported_interfaces) == 1, f'the card offers no {self._flavour}'
        if self._world.direct:  # past the gateway, which the card may name
            entrance = self._entrance
            urls = {'JSONRPC': f'{entrance.url}/', 'HTTP+JSON': entrance.url, 'GRPC': entrance.grpc_target}
            card.supported_interfaces[0].url = urls[self._flavour.binding]
        return card

    def _grpc_channel(self, target: str) -> grpc.aio.Channel:
        if self._world.direct:
            return grpc.aio.insecure_channel(target)
        with open(self._world.ca_file, 'rb') as file:
            credentials = grpc.ssl_channel_credentials(root_certificates=file.read())
        return grpc.aio.secure_channel(target, credentials)

    def _context(self) -> ClientCallContext:
        return ClientCallContext(service_parameters={'x-check': self.key, **self.fields}, timeout=NO_HURRY)

    def _request(self, script: str, *, at_once: bool = False, task: str | None = None) -> SendMessageRequest:
        message = new_text_message(script, role=Role.ROLE_USER, task_id=task)
        message.message_id = self.key
        request = SendMessageRequest(message=message)
        request.configuration.return_immediately = at_once
        return request

    async def send(self, script: str, *, at_once: bool = False, task: str | None = None) -> Task:
        """Sends a message without streaming, in a task or for a new one, and returns the task."""
        request = self._request(script, at_once=at_once, task=task)
        answers = [answer async for answer in self._blocking.send_message(request, context=self._context())]
        assert len(answers) == 1 and answers[0].HasField('task'), f'not one task: {answers}'
        return answers[0].task

    def stream(self, script: str) -> AsyncIterator[StreamResponse]:
        """Sends a message and yields the events."""
        return self._streaming.send_message(self._request(script), context=self._context())

    def subscribe(self, task_id: str) -> AsyncIterator[StreamResponse]:
        """Yields the events of a running task."""
        return self._streaming.subscribe(SubscribeToTaskRequest(id=task_id), context=self._context())

    async def get(self, task_id: str, *, history: int | None = None) -> Task:
        """Fetches a task, with so many messages of its history."""
        request = GetTaskRequest(id=task_id, history_length=history)
        return await self._blocking.get_task(request, context=self._context())

    async def cancel(self, task_id: str) -> Task:
        """Cancels a task."""
        return await self._blocking.cancel_task(CancelTaskRequest(id=task_id), context=self._context())

    async def list(self, context_id: str) -> ListTasksResponse:
        """The tasks of a context."""
        request = ListTasksRequest(context_id=context_id)
        return await self._blocking.list_tasks(request, context=self._context())

    async def set_push(self, task_id: str, config_id: str, url: str = HOOK) -> TaskPushNotificationConfig:
        """Asks for notifications about a task."""
        config = TaskPushNotificationConfig(task_id=task_id, id=config_id, url=url, token='t')
        return await self._blocking.create_task_push_notification_config(config, context=self._context())

    async def get_push(self, task_id: str, config_id: str) -> TaskPushNotificationConfig:
        """What is asked for under an id."""
        request = GetTaskPushNotificationConfigRequest(task_id=task_id, id=config_id)
        return await self._blocking.get_task_push_notification_config(request, context=self._context())

    async def list_push(self, task_id: str) -> ListTaskPushNotificationConfigsResponse:
        """All that is asked for about a task."""
        request = ListTaskPushNotificationConfigsRequest(task_id=task_id)
        return await self._blocking.list_task_push_notification_configs(request, context=self._context())

    async def delete_push(self, task_id: str, config_id: str) -> None:
        """Takes it back."""
        request = DeleteTaskPushNotificationConfigRequest(task_id=task_id, id=config_id)
        await self._blocking.delete_task_push_notification_config(request, context=self._context())

    async def extended_card(self) -> AgentCard:
        """The card for callers that the agent knows."""
        return await self._blocking.get_extended_agent_card(GetExtendedAgentCardRequest(), context=self._context())

    async def confirm(self, event: int) -> int:
        """Tells the agent, past the gateway, that an event arrived; returns how many it had emitted."""
        answer = await self._side.post('/confirm', params={'key': self.key, 'event': event})
        return answer.json()['emitted']

    async def agent_saw(self, fact: str) -> bool:
        """Waits until the agent has noted a fact."""
        answer = await self._side.get('/wait', params={'key': self.key, 'fact': fact})
        return answer.json()['seen']

    async def answer_sent(self) -> dict:
        """The last finished HTTP answer as the agent sent it."""
        return (await self._side.get('/answer', params={'key': self.key})).raise_for_status().json()

    async def cut(self, how: str) -> int:
        """Cuts the agent's connections to the gateway."""
        link = 'grpc' if self._flavour.binding == 'GRPC' else 'http'
        return (await self._side.post('/cut', params={'link': link, 'how': how})).json()['cut']
