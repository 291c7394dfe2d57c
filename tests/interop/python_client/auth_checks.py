"""Clients prove who they are: the SDK's own interceptor puts a credential where the card says, and the card says what the
gateway wants. What the gateway refuses then is an error of the SDK's own.
"""

from a2a.client import ClientCallContext
from a2a.client.auth import AuthInterceptor, CredentialService
from a2a.client.errors import A2AClientError
from a2a.utils.errors import A2AError

from python_client.caller import Caller, Flavour
from python_client.checks import expect_error
from world import CLIENT_KEY, World, token


class Wallet(CredentialService):
    """Credentials by the names of schemes."""

    def __init__(self, **credentials: str) -> None:
        self._credentials = credentials

    async def get_credentials(self, security_scheme_name: str, context: ClientCallContext | None) -> str | None:
        """The credential for a scheme of the card."""
        return self._credentials.get(security_scheme_name)


async def credentials_go_where_the_card_says(world: World, flavour: Flavour) -> None:
    """By a key and by a token a client gets in, and may do what the rules let it."""
    for scheme, credential in (('keys', CLIENT_KEY), ('tokens', CLIENT_KEY), ('corp', token(300))):
        async with caller(world, flavour, Wallet(**{scheme: credential})) as client:
            assert set(client.card.security_schemes) == {'keys', 'tokens', 'corp'}, client.card.security_schemes
            task = await client.send('send')
            assert (await client.get(task.id)).id == task.id
            error = await expect_error(client.cancel(task.id), A2AError)
            is_refusal(client, flavour, error, (403, 'PERMISSION_DENIED', 'forbidden'))


async def without_good_credentials_nobody_gets_in(world: World, flavour: Flavour) -> None:
    """Without any, and with wrong ones: 401, with a challenge."""
    for wallet, reason in (
        (Wallet(), 'credentials_missing'),
        (Wallet(keys='wrong'), 'credentials_invalid'),
        (Wallet(tokens='wrong'), 'credentials_invalid'),
        (Wallet(corp=token(-300)), 'credentials_invalid'),
    ):
        async with caller(world, flavour, wallet) as client:
            for call in (client.send('send'), anext(client.stream('stream 1')), client.get('a-task')):
                error = await expect_error(call, A2AError)
                is_refusal(client, flavour, error, (401, 'UNAUTHENTICATED', reason))
                if flavour.binding != 'GRPC':
                    challenge = client.last_response.headers['www-authenticate']
                    assert 'ApiKey realm="agents"' in challenge and 'Bearer realm="agents"' in challenge, challenge


def caller(world: World, flavour: Flavour, wallet: Wallet) -> Caller:
    """A client with these credentials."""
    return Caller(world, world.guarded, flavour, [AuthInterceptor(wallet)])


def is_refusal(client: Caller, flavour: Flavour, error: Exception, expected: tuple[int, str, str]) -> None:
    """The SDK raised its own error, and the answer says why."""
    status, code, reason = expected
    if flavour.binding == 'GRPC':
        text = f'gRPC Error {code}'
    else:
        text = f'HTTP Error: {status}' if flavour.version == '0.3' else f'HTTP Error {status}:'
        response = client.last_response
        assert (response.status_code, response.headers['x-attache-reason']) == (status, reason), response.headers
    assert type(error) is A2AClientError and text in str(error), f'{error!r}, not {text}'
