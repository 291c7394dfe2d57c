"""Child processes: pinned to a core, talked to by lines, measured through /proc, ended by their own ids."""

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

STOP_SECONDS = 20


class Process:
    """A pinned child whose output goes to a file, or to us line by line."""

    def __init__(self, command: list[str], core: int, stdout: Path | None = None, stderr: Path | None = None):
        self.name = " ".join(Path(word).name for word in map(str, command[:2]))
        self.stderr = stderr
        pinned = ["taskset", "-c", str(core), *map(str, command)]
        out = open(stdout, "wb") if stdout else subprocess.PIPE
        err = open(stderr, "wb") if stderr else None
        # No buffer on our side: after select() says readable, exactly one line is waiting.
        self.child = subprocess.Popen(pinned, stdin=subprocess.PIPE, stdout=out, stderr=err, bufsize=0)
        for file in (out, err):
            if hasattr(file, "close"):
                file.close()

    @property
    def pid(self) -> int:
        return self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def line(self, seconds: float) -> str:
        """The next line it prints."""
        readable, _, _ = select.select([self.child.stdout], [], [], seconds)
        text = self.child.stdout.readline().decode() if readable else ""
        if not text:
            raise RuntimeError(f"{self.name} printed nothing within {seconds} s{self.complaint()}")
        return text

    def go_on(self):
        self.child.stdin.write(b"\n")

    def complaint(self) -> str:
        text = self.stderr.read_text(errors="replace").strip() if self.stderr and self.stderr.exists() else ""
        return f":\n{text[-2000:]}" if text else ""

    def stop(self):
        """Asks it to end, then ends what is left of it and its children."""
        family = tree(self.pid)
        self.child.terminate()
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.child.wait()


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found.extend(map(int, children.read_text().split()))
    return found


def cpu_seconds(pid: int) -> float:
    """Time on a core, as the scheduler booked it, of all threads of all processes."""
    nanoseconds = 0
    for member in tree(pid):
        for task in Path(f"/proc/{member}/task").glob("*/schedstat"):
            nanoseconds += int(task.read_text().split()[0])
    return nanoseconds / 1e9


def resident_kib(pid: int) -> int:
    total = 0
    for member in tree(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1])
    return total


def settled(read, tolerance: float, seconds: float = 5):
    """The value once it has stopped moving: log writers and allocators finish a moment after the last answer."""
    deadline = time.monotonic() + seconds
    value = read()
    while time.monotonic() < deadline:
        time.sleep(0.1)
        before, value = value, read()
        if abs(value - before) <= tolerance:
            break
    return value


def eventually(check, what: str, seconds: float, pause: float = 0.05):
    """Polls until `check` returns something true; OSError means not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):
            if check():
                return
        time.sleep(pause)
    raise RuntimeError(f"{what} within {seconds} s")
