"""One limit for each host, however many clients of a run speak to it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from sandbox.errors import UsageError
from sandbox.oci.clients import Clients
from sandbox.oci.credential import Credential
from tests.support.images import digest_of
from tests.support.registry_simulator import Simulator, basic

DATA = b"blob"
DIGEST = digest_of(DATA)


@pytest.fixture
def registry() -> Iterator[Simulator]:
    with Simulator(content={DIGEST: DATA}, links={("app", DIGEST)}) as simulator:
        yield simulator


class Keys:
    """An account for each name of a host."""

    def find(self, host: str) -> Credential:
        return Credential(host.partition(":")[0], "secret")


def test_reader_of_a_host_delays_its_writer(registry: Simulator) -> None:
    with contextlib.ExitStack() as stack:
        clients = Clients(stack, 1, None)
        other = clients.at(registry.url.replace("127.0.0.1", "localhost"))
        waiting = threading.Thread(target=other.begin, args=["app"], daemon=True)
        with clients.at(registry.url).blob("app", DIGEST) as chunks:
            waiting.start()
            waiting.join(0.1)
            assert waiting.is_alive()
            assert registry.count("POST") == 0
            assert b"".join(chunks) == DATA
        waiting.join(10)
        assert registry.count("POST") == 1


def test_other_host_does_not_wait(registry: Simulator) -> None:
    with Simulator() as other, contextlib.ExitStack() as stack:
        clients = Clients(stack, 1, None)
        with clients.at(registry.url).blob("app", DIGEST):
            writing = threading.Thread(target=clients.at(other.url).begin, args=["app"], daemon=True)
            writing.start()
            writing.join(10)
            assert other.count("POST") == 1


def test_address_has_one_client_and_each_name_its_account(registry: Simulator) -> None:
    registry.basic = "localhost:secret"
    with contextlib.ExitStack() as stack:
        clients = Clients(stack, 2, Keys())
        client = clients.at(registry.url.replace("127.0.0.1", "localhost"))
        assert clients.at(client.url) is client
        assert client.blob_size("app", DIGEST) == len(DATA)
        assert clients.at(registry.url) is not client
    assert {one.authorization for one in registry.requests if one.status == 200} == {basic(registry.basic)}


def test_invalid_address_is_refused() -> None:
    with contextlib.ExitStack() as stack, pytest.raises(UsageError):
        Clients(stack, 1, None).at("http://a:b:c")
