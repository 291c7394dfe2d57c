"""A card that the gateway signed anew is verified by the SDK's own verifier, with the key that the gateway serves."""

import httpx
from a2a.client import A2ACardResolver
from a2a.types.a2a_pb2 import AgentCard
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from jwt import PyJWK

from python_client.caller import http_client
from world import World, past_the_gateway

PATH = '/signed/.well-known/agent-card.json'


async def signature_is_verified(world: World) -> None:
    """With the gateway's key the card is genuine; the agent's own card, and one that somebody changed, are not."""
    async with http_client(world, 'h2') as client:
        keys = Keys(client)
        resolver = A2ACardResolver(client, world.signing.url)
        await keys.fetch(world)
        verify = create_signature_verifier(keys.key, ['ES256'])
        card = await resolver.get_agent_card(PATH, signature_verifier=verify)
        assert card.supported_interfaces[0].url == f'{world.signing.url}/', card
        assert keys.asked == {('gateway', f'{world.signing.url}/.well-known/jwks.json')}, keys.asked
        expect_invalid(verify, changed(card))
    async with httpx.AsyncClient(trust_env=False) as client:
        own = await A2ACardResolver(client, past_the_gateway(world).steady.url).get_agent_card(PATH)
    expect_invalid(verify, own)


class Keys:
    """The keys of the gateway, and which of them a verifier asks for."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.asked: set[tuple[str | None, str | None]] = set()
        self._client = client
        self._keys: list[PyJWK] = []

    async def fetch(self, world: World) -> None:
        """Gets them from the place that signatures name."""
        answer = (await self._client.get(f'{world.signing.url}/.well-known/jwks.json')).raise_for_status()
        self._keys = [PyJWK(key) for key in answer.json()['keys']]

    def key(self, kid: str | None, jku: str | None) -> PyJWK:
        """The one that the gateway signs with, whatever a signature says."""
        self.asked.add((kid, jku))
        return self._keys[0]


def changed(card: AgentCard) -> AgentCard:
    """The card with another address."""
    other = AgentCard()
    other.CopyFrom(card)
    other.supported_interfaces[0].url = 'https://elsewhere.example/'
    return other


def expect_invalid(verify, card: AgentCard) -> None:
    """Fails where the card is taken for genuine."""
    try:
        verify(card)
    except InvalidSignaturesError:
        return
    raise AssertionError(f'taken for genuine: {card}')
