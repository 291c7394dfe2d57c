"""The side channel: a small HTTP server that the test calls straight, past the gateway."""

import base64

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from agent.ledger import Ledger
from agent.link import Link
from agent.witness import Witness


def control_app(ledger: Ledger, links: dict[str, Link], witness: Witness) -> Starlette:
    """Confirm an event, state a fact or wait for it, read an answer, cut a link, read what was counted."""

    async def confirm(request: Request) -> JSONResponse:
        query = request.query_params
        emitted = await ledger.confirm(query['key'], int(query['event']))
        return JSONResponse({'emitted': emitted})

    async def state(request: Request) -> JSONResponse:
        query = request.query_params
        await ledger.note(query['key'], query['fact'])
        return JSONResponse({})

    async def wait(request: Request) -> JSONResponse:
        query = request.query_params
        seen = await ledger.until_noted(query['key'], query['fact'])
        return JSONResponse({'seen': seen})

    async def answer(request: Request) -> JSONResponse:
        sent = ledger.entry(request.query_params['key']).answer
        if sent is None:
            return JSONResponse({'error': 'no finished answer under this key'}, status_code=404)
        body = base64.b64encode(sent.body).decode()
        return JSONResponse({'status': sent.status, 'headers': sent.headers, 'body': body})

    async def cut(request: Request) -> JSONResponse:
        query = request.query_params
        return JSONResponse({'cut': links[query['link']].cut(query['how'])})

    async def totals(_request: Request) -> JSONResponse:
        return JSONResponse({'calls': ledger.calls, 'refusals': ledger.refusals})

    async def seen(_request: Request) -> JSONResponse:
        return JSONResponse([[operation, task, times] for (operation, task), times in witness.seen.items()])

    return Starlette(
        routes=[
            Route('/confirm', confirm, methods=['POST']),
            Route('/state', state, methods=['POST']),
            Route('/wait', wait),
            Route('/answer', answer),
            Route('/cut', cut, methods=['POST']),
            Route('/totals', totals),
            Route('/seen', seen),
        ]
    )
