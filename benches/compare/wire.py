"""What connections, handshakes and bodies cost: the modes in which the calls themselves do not matter most."""

from contextlib import ExitStack

from lab import Lab, Load, Proxy
from modes import MEMORY_ROUNDS, Result, grown_by, rotated
from process import cpu_seconds, resident_kib, settled

HANDSHAKES = 3_000
AT_ONCE = 16
H2_CONNECTIONS = 8
BODY_CONNECTIONS = 4
MIB = 1 << 20
# Bytes of a body, and how many pass in a run.
BODIES = {"1 MiB": (MIB, 400), "64 MiB": (64 * MIB, 12)}


def handshakes(lab: Lab) -> Result:
    title = f"full handshakes in TLS 1.3, each with a call: {HANDSHAKES} x {lab.options.runs} runs"
    return Result("handshakes", title, connects(lab, "no"))


def resumed(lab: Lab) -> Result:
    title = f"resumed handshakes in TLS 1.3, each with a call: {HANDSHAKES} x {lab.options.runs} runs"
    return Result("resumed", title, connects(lab, "yes"))


def connects(lab: Lab, is_resumed: str) -> dict[str, list[dict[str, float]]]:
    def one(proxy: Proxy) -> dict[str, float]:
        load = lab.generator(proxy, "connects", connections=AT_ONCE, requests=HANDSHAKES, resumed=is_resumed,
                             ca=lab.certificate.cert_file)
        return spent(proxy, load, HANDSHAKES, "cpu us/connection")
    return in_turns(lab, one)


def http2_10(lab: Lab) -> Result:
    return http2(lab, "http2-10", 10)


def http2_100(lab: Lab) -> Result:
    return http2(lab, "http2-100", 100)


def http2(lab: Lab, mode: str, streams: int) -> Result:
    requests = lab.options.requests

    def one(proxy: Proxy) -> dict[str, float]:
        load = lab.generator(proxy, "h2", connections=H2_CONNECTIONS, streams=streams, warmup=max(1000, requests // 10),
                             requests=requests, ca=lab.certificate.cert_file)
        return spent(proxy, load, requests, "cpu us/request")
    title = f"HTTP/2 in TLS 1.3, {H2_CONNECTIONS} connections with {streams} streams: {requests} x {lab.options.runs} runs"
    return Result(mode, title, in_turns(lab, one))


def down(lab: Lab) -> Result:
    return bodies(lab, "down")


def up(lab: Lab) -> Result:
    return bodies(lab, "up")


def bodies(lab: Lab, direction: str) -> Result:
    def one(proxy: Proxy) -> dict[str, float]:
        figures = {}
        for label, (size, number) in BODIES.items():
            rest = settled(lambda: resident_kib(proxy.pid), tolerance=0)
            load = lab.generator(proxy, "bodies", connections=BODY_CONNECTIONS, requests=number, bytes=size,
                                 direction=direction)
            cost = spent(proxy, load, number * size // MIB, f"cpu us/MiB, {label}")
            figures[f"cpu us/MiB, {label}"] = cost[f"cpu us/MiB, {label}"]
            figures[f"MiB grown, {label}"] = max(0.0, resident_kib(proxy.pid) - rest) / 1024
        return figures
    sizes = " and ".join(BODIES)
    title = f"bodies of {sizes} {direction}, cleartext, {BODY_CONNECTIONS} connections x {lab.options.runs} runs"
    return Result(direction, title, in_turns(lab, one))


def idle(lab: Lab) -> Result:
    """A fresh proxy each time, as for streams."""
    number = lab.options.streams
    kinds = {"KiB/connection": (1, False), "KiB/TLS connection": (1, True), "KiB/unused connection": (0, False)}
    samples = {name: [] for name in lab.options.peers}
    for turn in range(MEMORY_ROUNDS):
        for name in rotated(lab.options.peers, turn):
            figures = {}
            for label, (calls, tls) in kinds.items():
                with lab.proxy(name) as proxy:
                    rest = settled(lambda: resident_kib(proxy.pid), tolerance=0)
                    with lab.idle(proxy, number, calls, tls) as held:
                        figures[label] = (grown_by(proxy, held, number) - rest) / number
            samples[name].append(figures)
    return Result("idle", f"{number} idle connections after one call x {MEMORY_ROUNDS} fresh starts", samples)


def spent(proxy: Proxy, load: Load, units: int, what: str) -> dict[str, float]:
    """CPU of the proxy for a unit of this load."""
    with load:
        before = settled(lambda: cpu_seconds(proxy.pid), tolerance=0.0005)
        outcome = load.finish()
        cpu = settled(lambda: cpu_seconds(proxy.pid), tolerance=0.0005) - before
    return {what: cpu / units * 1e6, "units/s": units / outcome["seconds"],
            "core busy %": cpu / outcome["seconds"] * 100}


def in_turns(lab: Lab, one) -> dict[str, list[dict[str, float]]]:
    with ExitStack() as running:
        proxies = {name: running.enter_context(lab.proxy(name)) for name in lab.options.peers}
        samples = {name: [] for name in proxies}
        for turn in range(lab.options.runs):
            for name, proxy in rotated(list(proxies.items()), turn):
                samples[name].append(one(proxy))
    return samples
