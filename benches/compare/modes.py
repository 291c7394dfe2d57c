"""What is measured, one function per mode. Each starts its proxies afresh and takes its samples in turns."""

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass

import tools
from lab import Lab, Proxy
from process import cpu_seconds, resident_kib, settled

MEMORY_ROUNDS = 3
SSE_SECONDS = 60
# Few connections: what many leave behind when they close would be used again by the streams, for free.
SSE_WARMUP_CONNECTIONS = 4
# Counts between which the slope is taken; start-up and connection set-up are in both and cancel out.
VALGRIND_COUNTS = (1_000, 5_000)
VALGRIND_CONNECTIONS = 8
VALGRIND_PATIENCE = 180


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
    options = lab.options
    samples = {name: [] for name in options.peers}
    with ExitStack() as running:
        proxies = [running.enter_context(lab.proxy(name)) for name in options.peers]
        for turn in range(options.runs):
            for proxy in rotated(proxies, turn):
                samples[proxy.name].append(one_load(lab, proxy, tls))
    kind = "TLS 1.3" if tls else "cleartext"
    return Result(mode, f"{kind}: {options.requests} keep-alive POSTs x {options.runs} runs, "
                        f"{options.connections} connections", samples)


def one_load(lab: Lab, proxy: Proxy, tls: bool) -> dict[str, float]:
    options = lab.options
    warmup = max(options.connections, options.requests // 10)
    with lab.load(proxy, tls, options.connections, warmup, options.requests) as load:
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
        opened = json.loads(streams.line(SSE_SECONDS))["open"]
        grown = settled(lambda: resident_kib(proxy.pid), tolerance=0)
        streams.go_on()
        lost = json.loads(streams.line(SSE_SECONDS))["lost"]
    if opened != number or lost:
        raise RuntimeError(f"{proxy.name}: {opened} of {number} streams opened, {lost} lost")
    return {"KiB/stream": (grown - rest) / number, "at rest MiB": rest / 1024}


def instructions(lab: Lab) -> Result:
    valgrind = tools.from_debian("valgrind")
    low, high = VALGRIND_COUNTS
    samples = {}
    for name in lab.options.peers:
        counts = [collected(lab, name, valgrind, requests) for requests in VALGRIND_COUNTS]
        samples[name] = [{"instructions/request": (counts[1] - counts[0]) / (high - low)}]
    return Result("instructions", f"user-space instructions, cleartext, from {low} to {high} requests", samples)


def collected(lab: Lab, name: str, valgrind: str, requests: int) -> int:
    """Instructions of one whole life of the proxy. The profile stays in target/ for callgrind_annotate."""
    log = lab.directory / f"valgrind-{name}-{requests}.log"
    profile = tools.WORK / f"callgrind.{name}.{requests}"
    command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={profile}", f"--log-file={log}"]
    with lab.proxy(name, command, VALGRIND_PATIENCE) as proxy:
        with lab.load(proxy, False, VALGRIND_CONNECTIONS, VALGRIND_CONNECTIONS, requests) as load:
            load.finish()
    found = re.search(r"Collected : (\d+)", log.read_text())
    if found is None:
        raise RuntimeError(f"{name}: valgrind counted nothing:\n{log.read_text()[-2000:]}")
    return int(found[1])


def rotated(items: list, turn: int) -> list:
    """Everyone is first once in a while: the first of a round may find the machine in another state."""
    start = turn % len(items)
    return [*items[start:], *items[:start]]
