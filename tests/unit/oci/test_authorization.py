"""Accounts and tokens against a registry that checks every request's, and no other user ever getting to see them."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.oci.client import Client
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import RegistryError
from tests.support.images import digest_of
from tests.support.registry_simulator import RESET, Fault, Simulator, basic
from tests.support.token_server import TokenServer

DATA = bytes(range(256)) * 500
BLOB = Descriptor("application/octet-stream", digest_of(DATA), len(DATA))
CANARY = "c4nary-s3cret"
ACCOUNT = Credential("me", CANARY)


class Keys:
    """A keychain with one answer, which is counted."""

    def __init__(self, answer: Credential | CredentialsUnusable | None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def find(self, host: str) -> Credential | None:
        self.asked.append(host)
        if isinstance(self.answer, CredentialsUnusable):
            raise self.answer
        return self.answer


@pytest.fixture
def registry() -> Iterator[Simulator]:
    with Simulator(tokens=TokenServer(login=f"me:{CANARY}")) as simulator:
        yield simulator


@pytest.fixture
def tokens(registry: Simulator) -> TokenServer:
    assert registry.tokens is not None
    return registry.tokens


@contextlib.contextmanager
def signed_in(registry: Simulator, account: Credential | CredentialsUnusable | None = ACCOUNT) -> Iterator[Client]:
    with Client(registry.url, keychain=Keys(account), sleep=lambda _: None) as client:
        yield client


def chunks() -> contextlib.AbstractContextManager[Iterator[bytes]]:
    return contextlib.nullcontext(iter([DATA[:50_000], DATA[50_000:]]))


def test_tokens_are_asked_for_what_is_done_and_kept(registry: Simulator, tokens: TokenServer) -> None:
    with signed_in(registry) as client:
        for repository in ("team/app", "tool"):
            for _ in range(2):
                client.blob_size(repository, BLOB.digest)
                client.upload(repository, BLOB, chunks)
                client.blob_size(repository, BLOB.digest)
        assert client.mount("copy", BLOB.digest, "tool") is None
    assert [scope for _, scope in tokens.asked] == [
        "repository:team/app:pull",
        "repository:team/app:pull,push",
        "repository:tool:pull",
        "repository:tool:pull,push",
        "repository:copy:pull,push repository:tool:pull",
    ]
    assert [one.status for one in registry.requests].count(401) == 1


def test_token_expiring_during_an_upload_is_renewed(registry: Simulator, tokens: TokenServer) -> None:
    opened: list[str] = []

    def expiring() -> contextlib.AbstractContextManager[Iterator[bytes]]:
        if not opened:
            tokens.left = dict.fromkeys(tokens.left, 0)
        opened.append("")
        return chunks()

    with signed_in(registry) as client:
        client.upload("app", BLOB, expiring)
    assert registry.content[BLOB.digest] == DATA
    assert len(opened) == 2 and not registry.uploads


def test_threads_that_need_one_token_fetch_it_once(registry: Simulator, tokens: TokenServer) -> None:
    with signed_in(registry) as client, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: client.blob_size("app", BLOB.digest), range(40))) == {None}
    assert len(tokens.given) == 1


def test_an_identity_token_is_traded_and_never_part_of_a_url(registry: Simulator, tokens: TokenServer) -> None:
    tokens.login, tokens.refresh = "", CANARY
    with signed_in(registry, Credential(identity=CANARY)) as client:
        client.upload("app", BLOB, chunks)
    assert tokens.asked == [("POST", "repository:app:pull,push")]
    assert not any(CANARY in one.path for one in registry.requests)


def test_public_images_need_no_keychain_even_a_broken_one(registry: Simulator, tokens: TokenServer) -> None:
    tokens.login = ""
    keys = Keys(CredentialsUnusable("the helper is gone"))
    with Client(registry.url, keychain=keys) as client:
        for repository in ("app", "tool"):
            client.upload(repository, BLOB, chunks)
    assert len(tokens.asked) > 1 and len(keys.asked) == 1
    registry.tokens = None
    with Client(registry.url, keychain=keys) as client:
        client.upload("app", BLOB, chunks)
    assert len(keys.asked) == 1


def test_a_denial_names_what_is_wrong_with_the_keychain(registry: Simulator) -> None:
    problem = CredentialsUnusable("docker-credential-x is gone", fix="install it")
    with signed_in(registry, problem) as client, pytest.raises(RegistryError) as caught:
        client.upload("app", BLOB, chunks)
    assert caught.value.status == 401
    assert "docker-credential-x is gone" in caught.value.details
    assert caught.value.fix == "install it"


@pytest.mark.fault(39)
@pytest.mark.parametrize("account", [None, Credential("me", f"wrong-{CANARY}")])
def test_unauthorized_error_says_how_to_sign_in(registry: Simulator, account: Credential | None) -> None:
    """The registry answers 401 → how to sign in."""
    with signed_in(registry, account) as client, pytest.raises(RegistryError) as caught:
        client.upload("app", BLOB, chunks)
    assert caught.value.status == 401
    assert caught.value.fix == f"sign in: docker login {registry.url.removeprefix('http://')}"
    assert len(registry.requests) <= 3


@pytest.mark.parametrize("answer", [500, 503, 429, RESET])
def test_a_token_server_that_stumbles_is_asked_again(registry: Simulator, answer: int | str) -> None:
    registry.faults = [Fault("GET", "/auth", answer, times=2)]
    with signed_in(registry) as client:
        client.upload("app", BLOB, chunks)
        assert client.blob_size("app", BLOB.digest) == BLOB.size


@pytest.mark.parametrize(
    "body",
    [b'{"tokn": "c4nary-s3cret"}', b"c4nary-s3cret", b"[]", b'{"token": {"a": "c4nary-s3cret"}}', b"[" * 100_000],
)
def test_an_answer_without_a_token_is_not_repeated(registry: Simulator, tokens: TokenServer, body: bytes) -> None:
    tokens.body = body
    with signed_in(registry) as client, pytest.raises(RegistryError, match="gave no token") as caught:
        client.upload("app", BLOB, chunks)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.security(11)
@pytest.mark.parametrize("realm", ["http://elsewhere.example/auth", "ftp://127.0.0.1/auth", "/auth", "http://"])
def test_a_realm_that_others_could_read_gets_nothing(registry: Simulator, tokens: TokenServer, realm: str) -> None:
    """A token server over plain http elsewhere → refused, nothing sent."""
    tokens.realm = realm
    with signed_in(registry) as client, pytest.raises(RegistryError, match="not safe"):
        client.upload("app", BLOB, chunks)
    assert not tokens.asked


@pytest.mark.security(11)
@pytest.mark.parametrize("scheme", ["bearer", "basic"])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_redirected_blob_request_carries_no_credentials(
    registry: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, name: str
) -> None:
    """A blob is redirected to another host → it gets no account, even where it demands one."""
    (tmp_path / "netrc").write_text(f"default login me password {CANARY}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if scheme == "basic":
        registry.tokens, registry.basic = None, f"me:{CANARY}"
    with Simulator() as store, signed_in(registry) as client:
        client.upload("app", BLOB, chunks)
        store.content, store.links = registry.content, registry.links
        registry.redirect_blobs = store.url.replace("127.0.0.1", name)
        with client.blob("app", BLOB.digest) as parts:
            assert b"".join(parts) == DATA
        assert registry.requests[-1].authorization
        store.basic = f"me:{CANARY}"
        with pytest.raises(RegistryError) as caught, client.blob("app", BLOB.digest):
            pass
        assert caught.value.status == 401
        assert {one.authorization for one in store.requests} == {""}


@pytest.mark.security(6)
@pytest.mark.parametrize("scheme", ["bearer", "identity", "basic"])
def test_no_secret_is_ever_said(
    registry: Simulator, tokens: TokenServer, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every failure of a registry with accounts → no secret in errors and logs."""
    caplog.set_level(logging.DEBUG)
    account, said = ACCOUNT, []
    if scheme == "identity":
        tokens.login, tokens.refresh, account = "", CANARY, Credential(identity=CANARY)
    elif scheme == "basic":
        registry.tokens, registry.basic = None, f"me:{CANARY}"
    with signed_in(registry, account) as client:
        client.upload("app", BLOB, chunks)
        hidden = {CANARY, basic(f"me:{CANARY}").split()[1], *tokens.given}
        for fault in (
            Fault("HEAD", "", RESET, times=99),
            Fault("HEAD", "", 500, times=99),
            Fault("HEAD", "", 403),
            Fault("HEAD", "", 401, headers={"WWW-Authenticate": f'Bearer realm="{registry.url}/nothing"'}),
        ):
            registry.faults = [fault]
            with pytest.raises(RegistryError) as caught:
                client.blob_size("app", BLOB.digest)
            said += traceback.format_exception(caught.value)
        said += [repr(client), repr(vars(client)), repr(account)]
    said += [record.getMessage() + repr(vars(record)) for record in caplog.records]
    assert len(caplog.records) > 5
    for secret in hidden:
        assert secret not in "\n".join(said)


@pytest.mark.security(6)
def test_an_error_that_repeats_a_secret_is_cleaned(registry: Simulator, tokens: TokenServer) -> None:
    """A server repeats the password in its error → *** in its place."""
    wrong = Credential("me", f"wrong-{CANARY}")
    with signed_in(registry, wrong) as client, pytest.raises(RegistryError) as caught:
        client.upload("app", BLOB, chunks)
    assert "incorrect username" in caught.value.details
    assert "***" in caught.value.details
    assert not re.search(f"{CANARY}|{re.escape(basic(f'me:wrong-{CANARY}').split()[1])}", str(caught.value))
