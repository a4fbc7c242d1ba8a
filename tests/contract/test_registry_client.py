"""One suite over the simulator and over a real registry server: what the tests assume is what servers do."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sandbox.images.images_yaml import Entry, FromArchive, FromDaemon, FromLayout
from sandbox.images.progress import Action
from sandbox.images.push import push
from sandbox.oci.client import Client
from sandbox.oci.credential import Credential
from sandbox.oci.digest import DigestMismatch
from sandbox.oci.manifest import Descriptor, document
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.reference import parse_target
from tests.real import machine
from tests.support.cable import forwarding
from tests.support.images import FakeEngine, TestImage, digest_of, index, layer, new_save, write_layout
from tests.support.registries import CONFIG, serving
from tests.support.registry_simulator import Simulator

SERVERS = ("docker-registry", "registry")
CLOSED = 'auth: {htpasswd: {realm: "for tests, only", path: "FOLDER/htpasswd"}}\n'
ACCOUNT = Credential("me", "c4nary-s3cret")
# Made with: htpasswd -nbBC 5 me c4nary-s3cret
HTPASSWD = "me:$2y$05$nz9noYAmT6JvAwXz//q8kuLGSdKJLeb6PWmgmEbEILQWYIXWyGEAK\n"
DATA = bytes(range(256)) * 9000
BLOB = Descriptor("application/octet-stream", digest_of(DATA), len(DATA))
APP = TestImage((layer(1, 300_000), layer(2, 20_000), layer(3, 1_000)), "app")
TOOL = TestImage((APP.layers[0], layer(4)), "tool")


@contextlib.contextmanager
def real_registry(folder: Path, more: str = "", *, config: str = CONFIG) -> Iterator[str]:
    """The URL of a real server with an empty storage of its own; `more` is added to its settings."""
    program = os.environ.get("SANDBOX_TEST_REGISTRY") or next(filter(None, map(shutil.which, SERVERS)), None)
    if program is None:
        machine.leave_out("needs a registry: install docker-registry or set SANDBOX_TEST_REGISTRY")
    with serving(Path(program), folder, more, config=config) as host:
        yield f"http://{host}"


@pytest.fixture(scope="module", params=["simulator", pytest.param("server", marks=pytest.mark.real)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "simulator":
        with Simulator() as simulator:
            yield simulator.url
    else:
        with real_registry(tmp_path_factory.mktemp("registry")) as server:
            yield server


@pytest.fixture(params=["simulator", pytest.param("server", marks=pytest.mark.real)])
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A registry that lets only ACCOUNT in."""
    if request.param == "simulator":
        with Simulator(basic=f"{ACCOUNT.username}:{ACCOUNT.password}") as simulator:
            yield simulator.url
    else:
        (tmp_path / "htpasswd").write_text(HTPASSWD)
        with real_registry(tmp_path, CLOSED.replace("FOLDER", str(tmp_path))) as server:
            yield server


class Keys:
    def __init__(self, account: Credential) -> None:
        self._account = account

    def find(self, host: str) -> Credential:
        return self._account


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    return f"test/{digest_of(request.node.nodeid.encode())[7:19]}"


def chunks(data: bytes = DATA) -> contextlib.AbstractContextManager[Iterator[bytes]]:
    return contextlib.nullcontext(data[start : start + 50_000] for start in range(0, len(data), 50_000))


def put(client: Client, repository: str) -> None:
    for data in (*APP.layers, APP.config):
        client.upload(repository, Descriptor("x", digest_of(data), len(data)), partial(chunks, data))
    client.put_manifest(repository, "dev", document(APP.manifest))


def read(client: Client, repository: str, digest: str) -> bytes:
    with client.blob(repository, digest) as parts:
        return b"".join(parts)


def holds(client: Client, repository: str, tag: str, image: TestImage) -> bool:
    assert client.manifest(repository, tag) is not None
    digests = [digest_of(data) for data in (image.config, *image.blobs)]
    return [read(client, repository, digest) for digest in digests] == [image.config, *image.blobs]


def test_a_blob_goes_up_comes_back_and_is_mounted(client: Client, place: str) -> None:
    assert client.blob_size(place, BLOB.digest) is None
    client.upload(place, BLOB, chunks)
    assert client.blob_size(place, BLOB.digest) == len(DATA)
    assert read(client, place, BLOB.digest) == DATA
    assert client.mount(f"{place}-two", BLOB.digest, place) is None
    assert read(client, f"{place}-two", BLOB.digest) == DATA


def test_a_cancelled_upload_leaves_nothing_and_is_begun_again(client: Client, place: str) -> None:
    begun = client.begin(place)
    for _ in range(2):
        client.send("DELETE", begun, wanted=(202, 204, 404))
    assert client.blob_size(place, BLOB.digest) is None
    client.upload(place, BLOB, chunks, begun=begun)
    assert read(client, place, BLOB.digest) == DATA


@pytest.mark.fault(32)
@pytest.mark.parametrize("cuts", [[700_000], [700_000, 1_200_000], [100]])
def test_a_cut_connection_does_not_harm(url: str, place: str, cuts: list[int]) -> None:
    """The connection to the registry is cut at some byte → the upload ends whole all the same."""
    address, cuts = url.removeprefix("http://").partition(":")[::2], [*cuts]
    with forwarding(lambda: socket.create_connection(address), cuts=cuts) as port:
        with Client(f"http://127.0.0.1:{port}", sleep=lambda _: None) as client:
            client.upload(place, BLOB, chunks)
        assert not cuts
    with Client(url) as client:
        assert read(client, place, BLOB.digest) == DATA


def test_client_with_an_account_may_do_everything(closed: str, place: str) -> None:
    with Client(closed, keychain=Keys(ACCOUNT)) as client:
        put(client, place)
        assert client.mount(f"{place}-two", digest_of(APP.config), place) is None
        assert holds(client, place, "dev", APP)
        assert client.tags(place) == ("dev",)
        assert place in client.catalog()


@pytest.mark.parametrize("account", [None, Credential("me", "wrong"), Credential("you", ACCOUNT.password)])
def test_client_without_an_account_is_told_how_to_sign_in(closed: str, place: str, account: Credential | None) -> None:
    with Client(closed, keychain=Keys(account) if account else None) as client:
        client.ping()
        attempts: list[Callable[[], object]] = [
            lambda: client.blob_size(place, BLOB.digest),
            lambda: client.upload(place, BLOB, chunks),
        ]
        for attempt in attempts:
            with pytest.raises(RegistryError) as caught:
                attempt()
            assert (caught.value.status, caught.value.transient) == (401, False)
            assert "docker login 127.0.0.1" in caught.value.fix
            assert account is None or account.password not in str(caught.value)


@pytest.mark.real
def test_relative_locations_of_a_real_server_are_followed(tmp_path: Path, place: str) -> None:
    relative = "\n".join(line.replace("http: {{", "http: {{relativeurls: true, ") for line in CONFIG.splitlines())
    with real_registry(tmp_path, config=relative) as server, Client(server) as client:
        assert client.begin(place).startswith(server)
        client.upload(place, BLOB, chunks)
        assert read(client, place, BLOB.digest) == DATA


def test_a_mount_of_nothing_begins_an_upload_that_can_be_used(client: Client, place: str) -> None:
    begun = client.mount(place, BLOB.digest, f"{place}-none")
    assert begun is not None
    client.upload(place, BLOB, chunks, begun=begun)
    assert read(client, place, BLOB.digest) == DATA


def test_wrong_bytes_never_become_a_blob(client: Client, place: str) -> None:
    with pytest.raises(DigestMismatch):
        client.upload(place, BLOB, lambda: chunks(b"x" * len(DATA)))
    assert client.blob_size(place, BLOB.digest) is None


def test_a_manifest_is_refused_until_its_parts_are_there(client: Client, place: str) -> None:
    for content in (APP.manifest, index(APP.descriptor())):
        with pytest.raises(RegistryError) as caught:
            client.put_manifest(place, "dev", document(content))
        assert "MANIFEST_BLOB_UNKNOWN" in caught.value.codes
    put(client, place)
    assert client.manifest_digest(place, "dev") == digest_of(APP.manifest)
    manifest = client.manifest(place, digest_of(APP.manifest))
    assert manifest is not None and manifest.data == APP.manifest


@pytest.mark.parametrize("old", [True, False])
def test_images_of_an_engine_are_pushed_once(client: Client, place: str, old: bool) -> None:
    engine = FakeEngine({"app": APP, "tool": TOOL}, old=old)
    entries = [FromDaemon(parse_target(f"{place}/app:1"), "app"), FromDaemon(parse_target(f"{place}/tool:1"), "tool")]
    first = push(entries, client.url, engine)
    assert sum(result.size for result in first) == sum(map(len, {*APP.layers, *TOOL.layers, APP.config, TOOL.config}))
    assert holds(client, f"{place}/app", "1", APP)
    assert holds(client, f"{place}/tool", "1", TOOL)
    second = push(entries, client.url, engine)
    assert [(result.action, result.size) for result in second] == [(Action.SKIPPED, 0)] * 2
    assert len(engine.saves) == 1


def test_images_of_files_are_pushed_with_an_index_and_mounts(client: Client, place: str, tmp_path: Path) -> None:
    whole = index(APP.descriptor(platform={"os": "linux", "architecture": "amd64"}), TOOL.descriptor())
    top = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest_of(whole), "size": len(whole)}
    write_layout(tmp_path / "oci", index(top), APP.files | TOOL.files | {digest_of(whole): whole})
    (tmp_path / "tool.tar").write_bytes(new_save({"tool:1": TOOL}))
    entries: list[Entry] = [
        FromLayout(parse_target(f"{place}/both:1"), tmp_path / "oci"),
        FromArchive(parse_target(f"{place}/tool:1"), tmp_path / "tool.tar"),
    ]
    both, tool = push(entries, client.url)
    assert (both.digest, both.action, tool.action) == (digest_of(whole), Action.UPLOADED, Action.MOUNTED)
    manifest = client.manifest(f"{place}/both", "1")
    assert manifest is not None and manifest.data == whole
    assert holds(client, f"{place}/tool", "1", TOOL)
    assert {result.action for result in push(entries, client.url)} == {Action.SKIPPED}
