"""Tables and bars. A ratio is taken round by round, so what slows a whole round slows both of its sides."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import peers
from lab import Lab
from modes import FEW_ROUTES, MANY_ROUTES, METHODS, Result, policy_label
from peers import Policies

# The figure of each mode that is compared.
MAIN = {"cleartext": "cpu us/request", "tls": "cpu us/request", "sse": "KiB/stream",
        "instructions": "instructions/request", "routes": "cpu us/request", "policies": "cpu us/request",
        "policy-instructions": "instructions/request", "start": "ms to first answer",
        "handshakes": "cpu us/connection", "resumed": "cpu us/connection", "http2-10": "cpu us/request",
        "http2-100": "cpu us/request", "down": "cpu us/MiB, 1 MiB", "up": "cpu us/MiB, 1 MiB", "idle": "KiB/connection"}


# Below this share of the core the figures say as much about the machine as about the proxy.
QUIET_PERCENT = 90


@dataclass(frozen=True)
class Bar:
    mode: str
    other: str | None  # None: the figure itself is bounded, not a ratio
    limit: float
    who: str = "attache"


BARS = [Bar("cleartext", "nginx", 1.15), Bar("cleartext", "envoy", 0.55), Bar("tls", "nginx", 1.0),
        Bar("tls", "envoy", 0.55), Bar("sse", None, 40), Bar("instructions", None, 45_000),
        Bar("routes", FEW_ROUTES, 1.15, who=MANY_ROUTES),
        *(Bar("policies", policy_label(method, Policies.NONE), 1.1, who=policy_label(method, Policies.ALL))
          for method in METHODS)]


@dataclass(frozen=True)
class Verdict:
    text: str
    passed: bool


def machine(lab: Lab) -> str:
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    lines = [f"{model}, {os.cpu_count()} cores, Linux {platform.release()}; "
             f"proxy on core {lab.proxy_core}, backend and load on core {lab.load_core}"]
    for name, binary in lab.binaries.items():
        shown = subprocess.run([binary, peers.VERSION_FLAG[name]], capture_output=True, text=True, check=True)
        first = (shown.stdout or shown.stderr).strip().splitlines()[0]
        lines.append(f"  {name:8} {first.removeprefix(binary).strip()}")
    return "\n".join(lines)


def table(result: Result) -> str:
    """One line per peer: each figure as median (lowest..highest), then the main one against the first peer's."""
    base = next(iter(result.samples))
    metric = MAIN[result.mode]
    rows = [["", *result.samples[base][0], f"{metric.split()[0]} / {base}"]]
    if "requests/s" in result.samples[base][0]:
        rows[0].append(f"requests/s / {base}")
    for name, rounds in result.samples.items():
        row = [name, *(spread([entry[column] for entry in rounds]) for column in rounds[0])]
        row.append(spread(ratios(result, name, base, metric)))
        if "requests/s" in rounds[0]:
            row.append(spread(ratios(result, name, base, "requests/s")))
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(["", result.title, *lines, *disturbances(result)])


def disturbances(result: Result) -> list[str]:
    """A proxy that had to wait for its load, or for its core, wakes up more often and costs more per request."""
    idle = [name for name, rounds in result.samples.items()
            if "core busy %" in rounds[0] and median(entry["core busy %"] for entry in rounds) < QUIET_PERCENT]
    return [f"note: {', '.join(idle)} did not fill the core: repeat this on a quiet machine"] if idle else []


def bars(results: list[Result]) -> Verdict:
    by_mode = {result.mode: result for result in results}
    lines, passed = [], True
    for bar in BARS:
        result = by_mode.get(bar.mode)
        if result is None or bar.who not in result.samples or (bar.other and bar.other not in result.samples):
            continue
        metric = MAIN[bar.mode]
        if bar.other:
            values, what = ratios(result, bar.who, bar.other, metric), f"{metric}, {bar.who} / {bar.other}"
        else:
            values, what = [entry[metric] for entry in result.samples[bar.who]], f"{metric}, {bar.who}"
        met = median(values) <= bar.limit
        passed = passed and met
        state = "met" if met else "MISSED"
        lines.append(f"  {state:6}  {bar.mode}: {what}: {spread(values)}, at most {bar.limit:g}")
    return Verdict("\n".join(["", "Bars", *(lines or ["  none applies to what was run"])]), passed)


def ratios(result: Result, name: str, base: str, metric: str) -> list[float]:
    rounds = zip(result.samples[name], result.samples[base], strict=True)
    return [own[metric] / other[metric] for own, other in rounds]


def spread(values: list[float]) -> str:
    middle = figure(median(values))
    return middle if len(values) == 1 else f"{middle} ({figure(min(values))}..{figure(max(values))})"


def figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
