#!/usr/bin/env python3
"""Asks a Redis at HOST PORT: the median answer in µs on one connection, and MB/s of large values, as JSON.

A program of its own, so that it can run in the network namespace of a node too.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from statistics import median

QUESTIONS = 20_000
SIZE, VALUES = 64 << 20, 16


def main() -> None:
    """Ask, and print."""
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(json.dumps({"p50": answers(connection), "speed": speed(connection)}))


def answers(connection: socket.socket) -> float:
    """Return the median time of an answer, in microseconds."""
    seen = []
    for _ in range(QUESTIONS):
        began = time.perf_counter_ns()
        connection.sendall(b"PING\r\n")
        connection.recv(100)
        seen.append(time.perf_counter_ns() - began)
    return median(seen) / 1000


def speed(connection: socket.socket) -> float:
    """Return how fast large values come, in megabytes a second."""
    connection.sendall(b"SETRANGE large %d x\r\n" % (SIZE - 1))
    connection.recv(100)
    whole = VALUES * (len(b"$%d\r\n" % SIZE) + SIZE + len(b"\r\n"))
    buffer, got, began = memoryview(bytearray(1 << 20)), 0, time.perf_counter()
    connection.sendall(b"GET large\r\n" * VALUES)
    while got < whole:
        got += connection.recv_into(buffer)
    return whole / (time.perf_counter() - began) / 1e6


main()
