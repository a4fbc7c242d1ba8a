"""One client against a registry that misbehaves in the ways real ones do, several under one limit for each host."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

import pytest

from sandbox.errors import UsageError
from sandbox.oci import address
from sandbox.oci.authorization import challenges
from sandbox.oci.client import Client
from sandbox.oci.digest import DigestMismatch
from sandbox.oci.manifest import Descriptor, document
from sandbox.oci.oci_errors import RegistryError, from_response
from sandbox.oci.transport import TRIES
from tests.support.images import TestImage, digest_of, layer
from tests.support.registry_simulator import RESET, RESET_ANSWER, Fault, Simulator

DATA = bytes(range(256)) * 9000
BLOB = Descriptor("application/octet-stream", digest_of(DATA), len(DATA))


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(registry: Simulator, slept: list[float]) -> Iterator[Client]:
    with Client(registry.url, sleep=slept.append) as client:
        yield client


def chunks(data: bytes = DATA) -> contextlib.AbstractContextManager[Iterator[bytes]]:
    return contextlib.nullcontext(data[start : start + 50_000] for start in range(0, len(data), 50_000))


def test_empty_blob_is_uploaded(registry: Simulator, client: Client) -> None:
    client.upload("app", Descriptor("x", digest_of(b""), 0), lambda: chunks(b""))
    assert registry.content[digest_of(b"")] == b""


@pytest.mark.fault(34)
def test_retries_are_limited_and_the_last_answer_is_reported(
    registry: Simulator, client: Client, slept: list[float]
) -> None:
    """503 to every request → a few tries with longer pauses, then the answer."""
    registry.faults = [Fault("HEAD", "/v2/", 503, times=99)]
    with pytest.raises(RegistryError) as caught:
        client.blob_size("app", BLOB.digest)
    assert (caught.value.status, caught.value.transient) == (503, True)
    assert caught.value.fix == "start it: sandbox up"
    assert registry.count("HEAD") == TRIES
    assert slept == sorted(slept)


@pytest.mark.fault(37, 39)
def test_refused_or_unreachable_request_comes_with_what_to_do(registry: Simulator, client: Client) -> None:
    """The registry refuses a request → asked once, with its own code; no process listens → it is named, with a fix."""
    with pytest.raises(RegistryError) as caught:
        client.put_manifest("app", "dev", document(TestImage((layer(1),)).manifest))
    assert caught.value.codes == ("MANIFEST_BLOB_UNKNOWN",)
    assert "manifest_blob_unknown" in caught.value.details
    assert registry.count("PUT") == 1
    with Client("localhost:1", sleep=lambda _: None) as absent, pytest.raises(RegistryError) as caught:
        absent.ping()
    assert "http://localhost:1" in caught.value.brief
    assert caught.value.fix == "start it: sandbox up"


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    ("data", "reason"), [(b"x" * len(DATA), "damaged"), (DATA[:-1], "not whole"), (DATA[:-1] + b"xx", "not whole")]
)
def test_wrong_bytes_never_become_a_blob(registry: Simulator, client: Client, data: bytes, reason: str) -> None:
    """Bytes that do not fit their digest are sent → nothing becomes a blob."""
    with pytest.raises(DigestMismatch, match=reason):
        client.upload("app", BLOB, lambda: chunks(data))
    assert not registry.content


@pytest.mark.fault(40)
@pytest.mark.parametrize("headers", [True, False])
def test_manifests_come_back_as_they_were_put(registry: Simulator, client: Client, headers: bool) -> None:
    """A registry gives other bytes under a digest → an error; they are not used."""
    registry.digest_headers = headers
    image = TestImage(())
    client.upload("team/app", Descriptor("x", digest_of(image.config), len(image.config)), lambda: chunks(image.config))
    assert client.manifest("team/app", "dev") is None
    assert client.manifest_digest("team/app", "dev") is None
    manifest = document(image.manifest)
    client.put_manifest("team/app", "dev", manifest)
    assert client.manifest("team/app", "dev") == manifest
    assert client.manifest_digest("team/app", "dev") == manifest.digest
    registry.manifests["team/app", digest_of(b"else")] = ("application/vnd.oci.image.manifest.v1+json", manifest.digest)
    registry.digest_headers = False
    with pytest.raises(RegistryError, match="digest mismatch"):
        client.manifest("team/app", digest_of(b"else"))
    registry.digest_headers, registry.digest_header = True, digest_of(b"other")
    with pytest.raises(RegistryError, match="digest mismatch") as caught:
        client.manifest("team/app", "dev")
    assert registry.digest_header in caught.value.brief and manifest.digest in caught.value.details


@pytest.mark.security(12)
@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b'{"tags": ["\\u001b[2J"]}', b'{"tags": [1]}', b"<html>"])
def test_malformed_list_of_tags_is_refused(registry: Simulator, client: Client, body: bytes) -> None:
    """A list of tags that is none, or has escape sequences in it → refused in words."""
    registry.faults = [Fault("GET", "/tags/list", 200, body=body)]
    with pytest.raises(RegistryError, match="returned no list of tags"):
        client.tags("app")


@pytest.mark.fault(54)
def test_environment_proxy_never_sees_a_loopback_registry(
    registry: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment → requests to the loopback registry do not go there."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client.ping()
    assert registry.count("GET") == 1


@pytest.mark.fault(54)
@pytest.mark.parametrize(
    "proxy", ["http://me:sec@ret@127.0.0.1:1", "socks5://me:sec@ret@127.0.0.1:1", "ftp://127.0.0.1:1"]
)
def test_proxy_that_does_not_work_is_named(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is down, or of a kind that is not spoken → it is named, without its account."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    with Client("registry.example", sleep=lambda _: None) as client, pytest.raises(RegistryError) as caught:
        client.ping()
    (line,) = caught.value.details.splitlines()  # a row of the doctor has one
    assert line.startswith("GET https://registry.example:443/v2/: ")
    assert line.rpartition(", through the proxy ")[2].endswith("127.0.0.1:1")
    assert "NO_PROXY" in caught.value.fix and "ret" not in caught.value.details.replace("retries", "")


def arrived(registry: Simulator) -> bool:
    """Whether the blob is there, and nothing half-done next to it."""
    return registry.content == {BLOB.digest: DATA} and not registry.uploads


@pytest.mark.parametrize("status", [403, 413])
def test_body_that_is_refused_for_good_is_sent_once(registry: Simulator, client: Client, status: int) -> None:
    registry.faults = [Fault("PUT", "/blobs/uploads/", status)]
    with pytest.raises(RegistryError) as caught:
        client.upload("app", BLOB, chunks)
    assert caught.value.status == status
    assert status != 413 or "client_max_body_size" in caught.value.fix
    assert registry.count("PUT") == 1 and not registry.content and not registry.uploads


@pytest.mark.fault(32)
@pytest.mark.parametrize("answer", [RESET, 500, 502, 503, 429, 408])
def test_broken_body_is_sent_again_after_asking_if_it_arrived(
    registry: Simulator, client: Client, slept: list[float], answer: int | str
) -> None:
    """A reset in the middle of an upload → it is sent again."""
    registry.faults = [Fault("PUT", "/blobs/uploads/", answer, times=2)]
    client.upload("app", BLOB, chunks)
    assert arrived(registry)
    assert registry.count("HEAD") == 2
    assert slept == [0.2, 0.4]


@pytest.mark.fault(33)
def test_a_put_whose_answer_was_lost_is_not_repeated(registry: Simulator, client: Client) -> None:
    """The body arrived and the answer did not → a look says that it is there; nothing is sent twice."""
    registry.faults = [Fault("PUT", "/blobs/uploads/", RESET_ANSWER)]
    client.upload("app", BLOB, chunks)
    assert arrived(registry)
    assert registry.received == len(DATA)


def test_an_upload_the_registry_forgot_is_begun_again(registry: Simulator, client: Client) -> None:
    begun = client.begin("app")
    registry.uploads.clear()
    client.upload("app", BLOB, chunks, begun=begun)
    assert arrived(registry)


@pytest.mark.security(11)
@pytest.mark.parametrize(
    "base", ["http://[::1]:{port}", "//127.0.0.1:{port}", "https://127.0.0.1", "http://me:secret@elsewhere.example:1"]
)
def test_uploads_go_to_the_registry_whatever_host_it_names(registry: Simulator, client: Client, base: str) -> None:
    """A registry names another host for an upload → bytes and credentials go to the registry, at the path it names."""
    registry.location_base = base
    client.upload("app", BLOB, chunks)
    assert arrived(registry)


def test_upload_fails_when_the_location_header_of_the_registry_is_no_url(registry: Simulator, client: Client) -> None:
    registry.location_base = "http://[x"
    with pytest.raises(RegistryError, match="not valid"):
        client.upload("app", BLOB, chunks)


@pytest.mark.parametrize(
    ("text", "full", "loopback"),
    [
        ("localhost:5001", "http://localhost:5001", True),
        ("127.0.0.2:5001", "http://127.0.0.2:5001", True),
        ("[::1]:5001", "http://[::1]:5001", True),
        ("demo.localhost", "http://demo.localhost:80", True),
        ("ghcr.io", "https://ghcr.io:443", False),
        ("http://10.0.0.1:5000/", "http://10.0.0.1:5000", False),
    ],
)
def test_addresses_get_the_scheme_they_need(text: str, full: str, loopback: bool) -> None:
    found = address.parse(text)
    assert (str(found), found.is_loopback) == (full, loopback)


@pytest.mark.parametrize(
    "text",
    ["", "ftp://x", "http://", "localhost:99999", "http://u:p@host", "host/path", "h?q", "a..b", f"{'a' * 64}.example"],
)
def test_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        address.parse(text)


def test_challenges_are_read_by_scheme() -> None:
    header = 'Negotiate, Basic realm="a, b", Bearer realm="https://a.example/\\"x\\"", service=plain'
    bearer = {"realm": 'https://a.example/"x"', "service": "plain"}
    assert challenges(header) == {"negotiate": {"": ""}, "basic": {"realm": "a, b"}, "bearer": bearer}
    assert challenges('Bearer realm="Basic realm=x"') == {"bearer": {"realm": "Basic realm=x"}}
    assert challenges("BASIC") == {"basic": {"": ""}}
    assert challenges("Basically") == {"basically": {"": ""}}
    assert challenges("") == {}


def test_size_of_thousands_of_digits_is_none(client: Client, registry: Simulator) -> None:
    length = {"Content-Length": "9" * 5000}
    registry.faults += [Fault("HEAD", "/app/blobs/", 200, headers=length)]
    assert client.blob_size("app", BLOB.digest) == 0


@pytest.mark.fault(37)
@pytest.mark.parametrize("word", ["a", "<", 'a="', "a ", "a=\\"], ids=repr)
def test_headers_of_one_long_word_are_read_at_once(word: str) -> None:
    """A challenge of one word of 60 kB → read at once, and not in minutes."""
    begun, text = time.process_time(), word * (60_000 // len(word))
    assert not challenges(text).get("bearer")
    assert time.process_time() - begun < 5.0


WORDS = "write /var/lib/registry/docker/registry/v2/repositories/app/_uploads/1/data: no space left on device"
NUMBER = {"DriverName": "filesystem", "Enclosed": {"Op": "write", "Path": "/var/lib/registry/data", "Err": 28}}


@pytest.mark.fault(17)
@pytest.mark.parametrize("detail", [WORDS, NUMBER, {"Err": 280}], ids=["distribution 3", "distribution 2", "other"])
def test_a_full_disk_is_reported_and_not_tried_again(detail: object) -> None:
    """The registry answers 500 and says in the details that its disk is full → told so, not as a passing failure."""
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": "unknown error", "detail": detail}]})
    error = from_response("PATCH http://localhost:5001/v2/app/blobs/uploads/1", 500, body.encode())
    is_full = detail in (WORDS, NUMBER)
    assert (error.brief == "the registry's disk is full", error.transient) == (is_full, not is_full)
    assert ("images gc" in error.fix) is is_full


def test_denial_without_a_code_has_the_fix_of_denials() -> None:
    error = from_response("GET https://r.example/v2/app/tags/list", 403, b"<html>no</html>")
    assert "account" in error.fix and not error.codes
    assert not from_response("GET https://r.example/v2/", 404, b"").fix
