"""Chunks cross from one thread to another in order, few at a time, and either side may break."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sandbox.images.stream_upload import ChunkQueue


def test_everything_arrives_in_order_though_the_relay_is_small() -> None:
    relay, sent = ChunkQueue(2), [bytes([number]) for number in range(50)]
    thread = threading.Thread(target=relay.pour, args=(sent,))
    thread.start()
    assert list(relay) == sent
    assert list(relay) == []
    thread.join()


def test_a_side_that_gives_up_lets_the_other_finish() -> None:
    relay = ChunkQueue(1)
    thread = threading.Thread(target=relay.pour, args=([b"x"] * 30,))
    thread.start()
    assert next(iter(relay)) == b"x"
    relay.drain()
    relay.drain()
    thread.join(10)
    assert not thread.is_alive()


def test_broken_stream_breaks_the_upload() -> None:
    def broken() -> Iterator[bytes]:
        yield b"first"
        raise OSError("torn")

    relay = ChunkQueue()
    with pytest.raises(OSError, match="torn"):
        relay.pour(broken())
    with pytest.raises(OSError, match="torn"):
        list(relay)
