"""Runs every check and prints one line for each: `tests/interop/run` calls this."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from python_client.affinity_checks import (
    gateways_share_nothing,
    tasks_survive_a_restart,
    without_affinity_most_are_lost,
)
from python_client.auth_checks import credentials_go_where_the_card_says, without_good_credentials_nobody_gets_in
from python_client.caller import Caller, flavours
from python_client.card_checks import signature_is_verified
from python_client.checks import CHECKS
from python_client.difference_checks import no_difference, public_places
from python_client.gateway_checks import everything_came_through, spreads_over_replicas, unguarded_call_is_refused
from python_client.refusal_checks import refusals_are_understood, what_a_guard_refuses_is_understood
from schema_checks import problems
from sdk_0_2 import outcomes
from world import GUARD_SECONDS, World, past_the_gateway, world

LOAD_GUARD_SECONDS = 30 * GUARD_SECONDS  # for thousands of calls
MANY_FAILURES = 12  # each may take its whole guard: what comes after so many fails without being run


class Tally:
    """Prints and counts outcomes."""

    def __init__(self, only: str) -> None:
        self.passed = 0
        self.failed = 0
        self._only = only

    def wants(self, name: str) -> bool:
        """Whether a check was asked for."""
        return self._only in name

    def report(self, name: str, failure: str | None, detail: str | None = None) -> None:
        """Notes one outcome, and what else there is to say about it."""
        if failure is None:
            self.passed += 1
            print(f'ok  {name}', *([detail] if detail else []), sep=': ', flush=True)
        else:
            self.failed += 1
            print(f'FAILED  {name}\n    {failure.strip().replace(chr(10), chr(10) + "    ")}', flush=True)

    async def run(self, name: str, check, guard_seconds: float = 2 * GUARD_SECONDS) -> None:
        """Runs a check under the hang guard. What it returns is shown."""
        if not self.wants(name):
            return
        if self.failed >= MANY_FAILURES:
            self.report(name, f'not run: {MANY_FAILURES} others failed before')
            return
        try:
            async with asyncio.timeout(guard_seconds):
                detail = await check()
        except Exception:  # a check fails in any way it likes, the others go on
            self.report(name, traceback.format_exc(limit=-4))
        else:
            self.report(name, None, detail)


async def python_checks(tally: Tally, here: World) -> None:
    """All checks in all flavours of the Python SDK."""
    for flavour in flavours(here):
        for check in CHECKS:

            async def run(check=check, flavour=flavour) -> None:
                async with Caller(here, getattr(here, check.entrance), flavour) as caller:
                    await check.run(caller, here)

            await tally.run(f'{flavour} {check.title}', run)
        if here.gateway:
            for title, compare in (
                ('no answer differs from what it is past the gateway', no_difference),
                ('refusals of the gateway are errors of the SDK', refusals_are_understood),
                ('what a guard refuses is an error of the SDK', what_a_guard_refuses_is_understood),
                ('credentials go where the card says', credentials_go_where_the_card_says),
                ('without good credentials nobody gets in', without_good_credentials_nobody_gets_in),
            ):
                await tally.run(f'{flavour} {title}', lambda compare=compare, flavour=flavour: compare(here, flavour))


async def javascript_checks(tally: Tally, here: World, only: str) -> None:
    """The JavaScript SDK in a process of its own, which prints one JSON line for each check."""
    plan = {
        'steady': vars(here.steady),
        'fragile': vars(here.fragile),
        'caFile': here.ca_file,
        'guardSeconds': GUARD_SECONDS,
        'only': only,
        'manyFailures': MANY_FAILURES,
    }
    if here.gateway:
        past = past_the_gateway(here)
        plan['past'] = {'steady': vars(past.steady), 'places': public_places(here)}
        plan['signing'] = vars(here.signing)
    environment = {**os.environ, **({'NODE_EXTRA_CA_CERTS': here.ca_file} if here.ca_file else {})}
    process = await asyncio.create_subprocess_exec(
        'node', 'main.mjs', json.dumps(plan),
        cwd=os.environ['INTEROP_JS_DIR'], env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async for line in process.stdout:
            outcome = json.loads(line)
            tally.report(outcome['name'], outcome['failure'])
        if code := await process.wait():
            tally.report('js/process', f'node ended with {code}')
    finally:
        if process.returncode is None:
            process.kill()


async def gateway_checks(tally: Tally, here: World) -> None:
    """The gateway as a whole."""
    await tally.run('gateway/replicas all get work', lambda: spreads_over_replicas(here))
    for name, check in (
        ('affinity/tasks are found before and after a restart', tasks_survive_a_restart),
        ('affinity/tasks are found through two gateways that share nothing', gateways_share_nothing),
        ('affinity/the same without affinity', without_affinity_most_are_lost),
    ):
        await tally.run(name, lambda check=check: check(here), LOAD_GUARD_SECONDS)
    await tally.run('python/card/the signature of the gateway is verified by the SDK', lambda: signature_is_verified(here))
    await tally.run('gateway/every call came through it', lambda: everything_came_through(here))
    await tally.run('agent/refuses a call past the gateway', lambda: unguarded_call_is_refused(here))
    code = await here.gateway.stop()
    tally.report('gateway/SIGTERM ends it with 0', None if code == 0 else f'exit code {code}')


async def older_checks(tally: Tally, here: World, binary: str, directory: Path) -> None:
    """The SDK of the generation 0.2 at both ends."""
    if not tally.wants('0.2/'):
        return
    async for outcome in outcomes(binary, directory, here.ca_file):
        tally.report(f'0.2/{outcome["name"]}', outcome['failure'])


async def schema_fits(binary: str) -> None:
    """Says in what schema and program differ."""
    differences = await asyncio.to_thread(problems, binary)
    assert not differences, '\n'.join(differences)


async def run(arguments: argparse.Namespace, tally: Tally, directory: Path) -> None:
    """Starts the world and runs everything in it."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    binary = None if arguments.direct else os.environ['ATTACHE_BIN']
    if binary:
        await tally.run('config/the schema accepts what the program accepts', lambda: schema_fits(binary))
    async with world(binary, directory) as here:
        await python_checks(tally, here)
        await javascript_checks(tally, here, arguments.only)
        if here.gateway:
            await older_checks(tally, here, binary, directory)
            await gateway_checks(tally, here)


def show_logs(directory: Path, lines: int = 40) -> None:
    """Prints the ends of the log files of gateway and agents."""
    for log in sorted(directory.glob('*.log')):
        end = log.read_text(errors='replace').splitlines()[-lines:]
        print(f'--- {log.name}, last lines', *end, sep='\n', file=sys.stderr)


def main() -> int:
    """Parses arguments; 0 when everything passed."""
    parser = argparse.ArgumentParser(prog='tests/interop/run', description=__doc__)
    parser.add_argument(
        '--direct', action='store_true', help='call the agents without a gateway: tests the suite itself'
    )
    parser.add_argument('--only', default='', metavar='TEXT', help='only checks whose name contains TEXT')
    arguments = parser.parse_args()
    tally = Tally(arguments.only)
    with tempfile.TemporaryDirectory(prefix='attache-interop-') as directory:
        try:
            asyncio.run(run(arguments, tally, Path(directory)))
        except Exception:
            tally.report('suite/everything starts and stops', traceback.format_exc(limit=-4))
        if tally.failed:
            show_logs(Path(directory))
    print(f'{tally.passed} passed, {tally.failed} failed')
    return 1 if tally.failed or not tally.passed else 0


if __name__ == '__main__':
    sys.exit(main())
