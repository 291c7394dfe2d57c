"""Programs that run beside the checks, and the requests that ask them."""

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request

from tools import Wrong, ensure

GUARD_SECONDS = 60.0  # a hang ends a check; nothing else depends on time


class TooLate(Wrong):
    """What a check waited for did not happen."""


@contextlib.contextmanager
def running(command, log):
    """A program that is ended with the block; `log` gets what it says."""
    with open(log, "wb") as out:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(GUARD_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def eventually(what, question, process=None, log=None):
    """Asks until there is an answer that counts, and gives it."""
    deadline = time.monotonic() + GUARD_SECONDS
    while True:
        answer = question()
        if answer:
            return answer
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            said = open(log).read()[-3000:] if log else ""
            raise TooLate(f"{what}: " + ("the program ended" if ended else f"not within {GUARD_SECONDS:.0f} s") + f"\n{said}")
        time.sleep(0.05)


def ask(url, body=None, headers=None, method=None, context=None):
    """Status and text of an answer; status 0 when there was none."""
    data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
    request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=GUARD_SECONDS, context=context) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
    except OSError:
        return 0, ""


def fetch(url):
    """The text of an answer that must be 200."""
    status, text = ask(url)
    ensure(status == 200, f"{url} answered {status}: {text[:500]}")
    return text
