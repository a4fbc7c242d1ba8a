"""Real registries behind a token server: signed tokens for each repository, which end while a push is under way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.images.images_yaml import FromDaemon, FromRegistry
from sandbox.images.progress import Action, Observer
from sandbox.images.push import push
from sandbox.images.verify import verify
from sandbox.oci import reference
from sandbox.oci.client import Client
from sandbox.oci.credential import Credential
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.reference import parse_target
from tests.real.registry.stand import registry
from tests.support.images import OCI_MANIFEST, FakeEngine, TestImage, digest_of, layer
from tests.support.registry_simulator import Simulator
from tests.support.token_server import ISSUER, SERVICE, Signer, TokenServer

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(120)]
SECRET = "c4nary-s3cret"
APP = TestImage((layer(1, 3_000_000), layer(2)), "app")
TOOL = TestImage((layer(3),), "tool")
PIECE_SECONDS = 0.08


class Keys:
    def __init__(self, password: str) -> None:
        self._account = Credential("me", password)

    def find(self, host: str) -> Credential:
        return self._account


@contextmanager
def closed(kind: str, folder: Path, tokens: TokenServer) -> Iterator[str]:
    """The URL of a real registry that takes the tokens of `tokens` and nothing else."""
    assert tokens.signer is not None
    (folder / "bundle.pem").write_bytes(tokens.signer.bundle)
    with Simulator(tokens=tokens) as server:
        settings = {
            "realm": f"{server.url}/auth",
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(folder / "bundle.pem"),
        }
        with registry(kind, folder, f"auth: {json.dumps({'token': settings})}\n") as host:
            yield f"http://{host}"


@pytest.fixture(params=["docker-registry", "distribution"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def slow() -> Iterator[str]:
    """The host of another registry, open to all, with APP in it; it takes seconds to give its layers."""
    with Simulator(content=dict(APP.files), slowness=PIECE_SECONDS) as simulator:
        simulator.links |= {("org/app", digest) for digest in APP.files}
        for name in ("1", digest_of(APP.manifest)):
            simulator.manifests["org/app", name] = (OCI_MANIFEST, digest_of(APP.manifest))
        yield simulator.url.removeprefix("http://")


@pytest.mark.parametrize("told", [1, 300], ids=["that say so", "unannounced"])
def test_tokens_that_end_during_a_push_are_replaced(kind: str, tmp_path: Path, slow: str, told: int) -> None:
    tokens = TokenServer(login=f"me:{SECRET}", seconds=told, signer=Signer(life=1))
    entry = FromRegistry(parse_target("team/app:1"), reference.parse(f"{slow}/org/app:1"))
    with closed(kind, tmp_path, tokens) as url:
        (result,) = push([entry], url, keychain=Keys(SECRET))
        assert result.digest == digest_of(APP.manifest)
        assert max(Counter(tokens.given.values()).values()) > 1
        with Client(url, keychain=Keys(SECRET)) as client:
            size = verify({entry.target: result.digest}, client, Observer())
        assert size == sum(map(len, (*APP.layers, APP.config)))
        (again,) = push([entry], url, keychain=Keys(SECRET))
        assert again.action is Action.SKIPPED


@pytest.mark.parametrize("keys", [Keys("wr0ng-canary"), None], ids=["wrong", "none"])
def test_push_with_wrong_password_is_refused_with_a_fix(kind: str, tmp_path: Path, keys: Keys | None) -> None:
    tokens = TokenServer(login=f"me:{SECRET}", signer=Signer(life=60))
    with closed(kind, tmp_path, tokens) as url:
        with pytest.raises(RegistryError) as caught:
            push([FromDaemon(parse_target("tool:1"), "tool")], url, FakeEngine({"tool": TOOL}), keychain=keys)
        assert caught.value.status == 401
        assert "incorrect username or password" in caught.value.details
        assert caught.value.fix == f"sign in: docker login {url.removeprefix('http://')}"
        assert "wr0ng" not in str(caught.value)
        assert tokens.given == {}
