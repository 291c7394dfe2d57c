"""What is measured, one function per mode. Each starts its proxies afresh and takes its samples in turns."""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import peers
import tools
from lab import Lab, Proxy
from process import Process, cpu_seconds, resident_kib, settled

MEMORY_ROUNDS = 3
HOLD_SECONDS = 60
# Few connections: what many leave behind when they close would be used again by the streams, for free.
SSE_WARMUP_CONNECTIONS = 4
# Counts between which the slope is taken; start-up and connection set-up are in both and cancel out.
VALGRIND_COUNTS = (1_000, 5_000)
VALGRIND_CONNECTIONS = 8
VALGRIND_PATIENCE = 180

FEW_ROUTES, MANY_ROUTES = "10 routes", "10,000 routes"
ROUTES = {FEW_ROUTES: 10, MANY_ROUTES: 10_000}
METHODS = ("POST", "GET")


@dataclass(frozen=True)
class Result:
    mode: str
    title: str
    samples: dict[str, list[dict[str, float]]]  # by peer, one entry per round, in the same order for all


def cleartext(lab: Lab) -> Result:
    return keep_alive(lab, "cleartext", tls=False)


def tls(lab: Lab) -> Result:
    return keep_alive(lab, "tls", tls=True)


def keep_alive(lab: Lab, mode: str, tls: bool) -> Result:
    with ExitStack() as running:
        proxies = {name: running.enter_context(lab.proxy(name)) for name in lab.options.peers}
        samples = in_turns(lab, proxies, tls)
    return Result(mode, f"{'TLS 1.3' if tls else 'cleartext'}: {extent(lab)}", samples)


def routes(lab: Lab) -> Result:
    """Both have the same calls to answer, and both answer them by the last of their routes."""
    with ExitStack() as running:
        proxies = {label: running.enter_context(lab.proxy("attache", routes=number))
                   for label, number in ROUTES.items()}
        samples = in_turns(lab, proxies, tls=False)
    return Result("routes", f"attache, calls that hit the last route, cleartext: {extent(lab)}", samples)


def policies(lab: Lab) -> Result:
    """The same calls through attache without any policy, as shipped, and with all there are."""
    methods = {policy_label(method, chosen): method for method in METHODS for chosen in peers.Policies}
    with ExitStack() as running:
        started = {chosen: running.enter_context(lab.proxy("attache", policies=chosen)) for chosen in peers.Policies}
        proxies = {policy_label(method, chosen): proxy for method in METHODS for chosen, proxy in started.items()}
        samples = in_turns(lab, proxies, tls=False, methods=methods)
    return Result("policies", f"attache, no policy and all of them, cleartext: {extent(lab)}", samples)


def policy_instructions(lab: Lab) -> Result:
    """The same as instructions, which nothing else on the machine disturbs."""
    valgrind = tools.from_debian("valgrind")
    samples = {}
    for method in METHODS:
        for chosen in peers.Policies:
            variant = f"attache.{chosen.value.replace(' ', '-')}.{method}"
            start = lambda command: lab.proxy("attache", command, VALGRIND_PATIENCE, policies=chosen)
            samples[policy_label(method, chosen)] = [slope(lab, variant, valgrind, start, method)]
    return Result("policy-instructions", "user-space instructions, no policy and all of them, cleartext", samples)


def policy_label(method: str, chosen: peers.Policies) -> str:
    return f"{method}, {chosen.value}"


def extent(lab: Lab) -> str:
    options = lab.options
    return f"{options.requests} keep-alive calls x {options.runs} runs, {options.connections} connections"


def in_turns(lab: Lab, proxies: dict[str, Proxy], tls: bool,
             methods: dict[str, str] | None = None) -> dict[str, list[dict[str, float]]]:
    """`methods` by label; POST where it says nothing."""
    methods = methods or {}
    samples = {label: [] for label in proxies}
    for turn in range(lab.options.runs):
        for label, proxy in rotated(list(proxies.items()), turn):
            samples[label].append(one_load(lab, proxy, tls, methods.get(label, "POST")))
    return samples


def one_load(lab: Lab, proxy: Proxy, tls: bool, method: str) -> dict[str, float]:
    options = lab.options
    warmup = max(options.connections, options.requests // 10)
    with lab.load(proxy, tls, options.connections, warmup, options.requests, method) as load:
        before = settled(lambda: cpu_seconds(proxy.pid), tolerance=0.0005)
        outcome = load.finish()
        spent = settled(lambda: cpu_seconds(proxy.pid), tolerance=0.0005) - before
    return {"cpu us/request": spent / options.requests * 1e6,
            "requests/s": options.requests / outcome["seconds"],
            "p99 ms": outcome["p99_us"] / 1000,
            "core busy %": spent / outcome["seconds"] * 100}


def sse(lab: Lab) -> Result:
    """A fresh proxy each time: memory kept from an earlier round would hide what a stream costs."""
    number = lab.options.streams
    samples = {name: [] for name in lab.options.peers}
    for turn in range(MEMORY_ROUNDS):
        for name in rotated(lab.options.peers, turn):
            with lab.proxy(name) as proxy:
                samples[name].append(one_holding(lab, proxy, number))
    return Result("sse", f"{number} idle SSE streams over cleartext x {MEMORY_ROUNDS} fresh starts", samples)


def one_holding(lab: Lab, proxy: Proxy, number: int) -> dict[str, float]:
    with lab.load(proxy, False, SSE_WARMUP_CONNECTIONS, 1_000, 1_000) as load:
        load.finish()
    rest = settled(lambda: resident_kib(proxy.pid), tolerance=0)
    with lab.streams(proxy, number) as streams:
        grown = grown_by(proxy, streams, number)
    return {"KiB/stream": (grown - rest) / number, "at rest MiB": rest / 1024}


def grown_by(proxy: Proxy, held: Process, number: int) -> float:
    """Resident memory in KiB while so many are held open, of which none may be lost."""
    opened = json.loads(held.line(HOLD_SECONDS))["open"]
    grown = settled(lambda: resident_kib(proxy.pid), tolerance=0)
    held.go_on()
    lost = json.loads(held.line(HOLD_SECONDS))["lost"]
    if opened != number or lost:
        raise RuntimeError(f"{proxy.name}: {opened} of {number} opened, {lost} lost")
    return grown


def start(lab: Lab) -> Result:
    """From the command to the first call answered. CPU, unlike time, does not count what else keeps the core busy."""
    starts = variants(lab, [MANY_ROUTES])
    samples = {label: [] for label in starts}
    for turn in range(lab.options.runs):
        for label, (name, number) in rotated(list(starts.items()), turn):
            with lab.proxy(name, routes=number) as proxy:
                samples[label].append({"ms to first answer": proxy.start_seconds * 1e3,
                                       "cpu ms": cpu_seconds(proxy.pid) * 1e3})
    return Result("start", f"start to first answer x {lab.options.runs} fresh starts", samples)


def instructions(lab: Lab) -> Result:
    valgrind = tools.from_debian("valgrind")
    low, high = VALGRIND_COUNTS
    samples = {}
    for label, (name, number) in variants(lab, ROUTES).items():
        variant = f"{name}.{number}-routes" if number else name
        start = lambda command: lab.proxy(name, command, VALGRIND_PATIENCE, number)
        samples[label] = [slope(lab, variant, valgrind, start, "POST")]
    return Result("instructions", f"user-space instructions, cleartext, from {low} to {high} requests", samples)


def variants(lab: Lab, labels: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Every peer as it is, and attache once more with each of these numbers of routes: peer and number, by label."""
    found = {name: (name, 0) for name in lab.options.peers}
    if "attache" in found:
        found |= {f"attache, {label}": ("attache", ROUTES[label]) for label in labels}
    return found


def slope(lab: Lab, variant: str, valgrind: str, start: Callable[[list[str]], Proxy], method: str,
          connections: int = VALGRIND_CONNECTIONS) -> dict[str, float]:
    low, high = VALGRIND_COUNTS
    fewer, more = (collected(lab, variant, valgrind, start, method, requests, connections)
                   for requests in VALGRIND_COUNTS)
    return {"instructions/request": (more - fewer) / (high - low)}


def collected(lab: Lab, variant: str, valgrind: str, start: Callable[[list[str]], Proxy], method: str,
              requests: int, connections: int) -> int:
    """Instructions of one whole life of the proxy. The profile stays in target/ for callgrind_annotate."""
    log = lab.directory / f"valgrind-{variant}-{requests}.log"
    profile = tools.WORK / f"callgrind.{variant}.{requests}"
    command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={profile}", f"--log-file={log}"]
    with start(command) as proxy:
        with lab.load(proxy, False, connections, connections, requests, method) as load:
            load.finish()
    found = re.search(r"Collected : (\d+)", log.read_text())
    if found is None:
        raise RuntimeError(f"{variant}: valgrind counted nothing:\n{log.read_text()[-2000:]}")
    return int(found[1])


def rotated(items: list, turn: int) -> list:
    """Everyone is first once in a while: the first of a round may find the machine in another state."""
    start = turn % len(items)
    return [*items[start:], *items[:start]]
