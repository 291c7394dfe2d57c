"""Ports for programs that are told where to listen, shared by all suites in Python."""

import random
import socket
from pathlib import Path

LOWEST = 10_000  # below are those of well-known services
RANGE_FILE = Path('/proc/sys/net/ipv4/ip_local_port_range')
USUAL_FIRST_OF_KERNEL = 32_768
GIVEN: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, another one each time.

    The kernel never gives it to a connection or to a socket that asks for any port, since it lies below the range it
    takes those from. So nobody takes it before the program that is told to listen there.
    """
    first_of_kernel = first_port_of_kernel()
    while True:
        port = random.randrange(LOWEST, first_of_kernel)
        if port not in GIVEN and can_be_bound(port):
            GIVEN.add(port)
            return port


def first_port_of_kernel() -> int:
    """The first port the kernel chooses by itself."""
    try:
        first = int(RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError):
        return USUAL_FIRST_OF_KERNEL
    return first if first > LOWEST + 1_000 else USUAL_FIRST_OF_KERNEL


def can_be_bound(port: int) -> bool:
    """Whether nobody listens on a port."""
    with socket.socket() as sock:
        try:
            sock.bind(('127.0.0.1', port))
        except OSError:
            return False
        return True
