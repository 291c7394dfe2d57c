"""The generation 0.2: agents and a client of its own SDK, with a gateway between them."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from world import Gateway

HERE = Path(__file__).parent
PYTHON = os.environ.get('INTEROP_PYTHON_0_2', sys.executable)


@asynccontextmanager
async def replica(log: Path):
    """An agent process; yields its port."""
    with log.open('ab') as stderr:
        process = await asyncio.create_subprocess_exec(
            PYTHON, str(HERE / 'agent.py'),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
        )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            port = int(await process.stdout.readline())
        yield port
    finally:
        process.stdin.close()
        await process.wait()


async def outcomes(binary: str, directory: Path, ca_file: str):
    """Runs the client through a gateway before two replicas; yields what it says of each check."""
    log = directory / 'agents-0.2.log'
    gateway = Gateway(binary, 'gateway-0.2', directory, ('replicas',))
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(replica(log)) for _ in range(2)]
        gateway.configure({'replicas': {'endpoints': [f'127.0.0.1:{port}' for port in ports]}}, 'unused')
        stack.push_async_callback(gateway.stop)
        await gateway.start()
        process = await asyncio.create_subprocess_exec(
            PYTHON, str(HERE / 'client.py'), f'https://localhost:{gateway.ports["replicas"]}', ca_file,
            stdout=asyncio.subprocess.PIPE, stderr=log.open('ab'),
        )  # fmt: skip
        async for line in process.stdout:
            yield json.loads(line)
        if code := await process.wait():
            yield {'name': 'the client ends', 'failure': f'exit code {code}'}
        asked = [await gateway.total('attache_endpoint_requests_total', endpoint=f'127.0.0.1:{port}') for port in ports]
        failure = None if min(asked) > 0 else f'requests of the replicas: {asked}'
        yield {'name': 'both replicas were asked', 'failure': failure}
