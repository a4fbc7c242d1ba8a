"""Another machine of this one's network: a network namespace with an interface of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.real.machine import tool

NAMESPACE = "sandbox-test-lan"
HERE, THERE = "10.231.77.1", "10.231.77.2"


def ip(*words: str, status: int | None = 0) -> None:
    tool(*(() if os.geteuid() == 0 else ("sudo", "-n")), "ip", *words, status=status)


def from_there(*words: str) -> tuple[int, str]:
    """The exit code of a program on the other machine, and what it prints."""
    script = 'ip netns exec "$0" "$@"; echo "exit $?"'
    root = () if os.geteuid() == 0 else ("sudo", "-n")
    said, _, code = tool(*root, "sh", "-c", script, NAMESPACE, *words).rpartition("exit ")
    return int(code), said


@contextmanager
def network() -> Iterator[None]:
    """A network of this machine and one other, which is gone afterwards."""
    ip("netns", "add", NAMESPACE)
    try:
        ip("link", "add", "sbtestlan0", "type", "veth", "peer", "name", "sbtestlan1", "netns", NAMESPACE)
        ip("address", "add", f"{HERE}/24", "dev", "sbtestlan0")
        ip("link", "set", "sbtestlan0", "up")
        ip("-n", NAMESPACE, "address", "add", f"{THERE}/24", "dev", "sbtestlan1")
        ip("-n", NAMESPACE, "link", "set", "sbtestlan1", "up")
        yield
    finally:
        ip("link", "delete", "sbtestlan0", status=None)
        ip("netns", "delete", NAMESPACE)
