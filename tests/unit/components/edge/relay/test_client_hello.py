"""Server names are found in whatever pieces a ClientHello comes, and nothing that is none is waited for."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.components.edge.relay.client_hello import LIMIT, ClientHello, NotTls, Reader
from tests.support import client_hellos

HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,10}){1,4}", fullmatch=True)


def read(data: bytes) -> ClientHello | None:
    return Reader().feed(data)


def in_pieces(data: bytes, sizes: list[int]) -> ClientHello | None:
    """Fed in pieces of these sizes, and the rest byte by byte."""
    reader, found = Reader(), None
    while data and found is None:
        size = sizes.pop() if sizes else 1
        found = reader.feed(data[:size])
        data = data[size:]
    return found


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["demo.localhost", "a.b.c.sandbox.localhost", None])
def test_hello_of_openssl_is_parsed(host: str | None, newest: ssl.TLSVersion) -> None:
    assert read(client_hellos.of_openssl(host, newest=newest)) == ClientHello(host)


@given(host=HOSTS, sizes=st.lists(st.integers(1, 60), max_size=20), records=st.lists(st.integers(1, 80), min_size=1))
def test_hello_may_be_split_into_any_records_and_pieces(host: str, sizes: list[int], records: list[int]) -> None:
    data = client_hellos.records(client_hellos.message(host.encode()), records)
    assert in_pieces(data, sizes) == ClientHello(host)


@given(host=HOSTS, kinds=st.lists(st.sampled_from([0x0A0A, 0x1A1A, 0xFAFA, 43, 51, 65037]), unique=True))
def test_extensions_that_mean_nothing_to_us_are_passed_over(host: str, kinds: list[int]) -> None:
    odd = [client_hellos.extension(kind, bytes(kind % 7)) for kind in kinds]
    assert read(client_hellos.records(client_hellos.message(host.encode(), extensions=odd))) == ClientHello(host)


def test_early_data_after_it_is_left_alone() -> None:
    data = (
        client_hellos.records(client_hellos.message(b"a.test"))
        + b"\x14\x03\x03\x00\x01\x01"
        + b"\x17\x03\x03\x00\x05early"
    )
    reader = Reader()
    assert reader.feed(data) == ClientHello("a.test")
    assert reader.raw == data


def test_every_byte_that_came_is_kept() -> None:
    data, reader = client_hellos.of_openssl("a.test"), Reader()
    assert reader.feed(data[:100]) is None
    assert reader.feed(data[100:]) == ClientHello("a.test")
    assert reader.raw == data


def test_names_are_compared_in_lower_case() -> None:
    assert read(client_hellos.records(client_hellos.message(b"Demo.LOCALHOST"))) == ClientHello("demo.localhost")


def test_without_extensions_there_is_no_name() -> None:
    assert read(client_hellos.records(client_hellos.message(None, with_extensions=False))) == ClientHello(None)


def test_large_hello_is_read_and_huge_one_refused_early() -> None:
    large = client_hellos.records(client_hellos.message(b"a.test", padding=LIMIT - 200))
    assert read(large) == ClientHello("a.test")
    huge = client_hellos.records(client_hellos.message(b"a.test", padding=LIMIT))
    with pytest.raises(NotTls):
        read(huge[:20000])


NAME = client_hellos.extension(0, b"\x00\x09\x00\x00\x06a.test")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x02\x00",
        b"\x80\x2e\x01\x03\x01",  # SSL 2
        b"\x15\x03\x01\x00\x02\x02\x28",  # an alert
        b"\x16\x03\x01\x00\x00",  # an empty record
        b"\x16\x03\x01\x40\x01",  # one that is too long
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",  # a ServerHello
        client_hellos.records(b"\x01\x00\x00\x05abcde"),
        client_hellos.records(client_hellos.message(b"a.test", extensions=[NAME])),  # two names
        client_hellos.records(
            client_hellos.message(None, extensions=[client_hellos.extension(0, b"\x00\x09\x00\x00\x07a.test")])
        ),
        client_hellos.records(
            client_hellos.message(None, extensions=[client_hellos.extension(0, b"\x00\x02\x00\x00\x06a.test")])
        ),
        client_hellos.records(client_hellos.message(b"")),
        client_hellos.records(client_hellos.message(b"a" * 254)),
        client_hellos.records(client_hellos.message("ä.test".encode())),
        client_hellos.records(client_hellos.message(b"a.test\n")),
        client_hellos.records(client_hellos.message(b"a.test")[:20]) + b"\x17\x03\x01\x00\x05alien",
    ],
)
def test_impossible_hello_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(NotTls):
        read(data)


@given(data=st.binary(max_size=400), at=st.integers(0, 200))
@example(data=b"\x00" * 400, at=0)
def test_garbage_is_only_refused(data: bytes, at: int) -> None:
    whole = client_hellos.of_openssl("a.test")
    for candidate in (data, whole[:at] + data, whole[:at] + data + whole[at + len(data) :]):
        reader = Reader()
        try:
            for byte in candidate:
                if reader.feed(bytes([byte])) is not None:
                    break
        except NotTls:
            continue


def test_a_hello_that_never_ends_is_not_waited_for_without_end() -> None:
    reader = Reader()
    assert reader.feed(b"\x16\x03\x01\x40\x00\x01\x00\x7f\xff") is None
    with pytest.raises(NotTls):
        for _ in range(LIMIT):
            reader.feed(bytes(100))
