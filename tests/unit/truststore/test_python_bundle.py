"""The file for programs with roots of their own: made of the system's, kept up to date, gone with the last root."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.truststore.change import Change
from sandbox.truststore.python_bundle import BundleFile, exports
from tests.support.trust_roots import FILE, ours, stranger


@pytest.fixture
def store(tmp_path: Path) -> BundleFile:
    (tmp_path / "system.pem").write_bytes(b"# roots\n" + stranger("Public"))
    return BundleFile(tmp_path / "bundle.pem", (tmp_path / "absent.pem", tmp_path / "system.pem"))


def make(change: Change) -> None:
    assert change.rewrite is not None
    change.rewrite()


def test_the_file_holds_the_systems_roots_and_ours(store: BundleFile) -> None:
    assert (store.trusted(), store.entries()) == ((), ())
    make(store.add(ours(1), FILE))
    make(store.add(ours(2), FILE))
    assert store.trusted() == store.entries() == (ours(1), ours(2))
    context = ssl.create_default_context(cafile=str(store.place))
    assert set(context.get_ca_certs(binary_form=True)) >= {ours(1).der, ours(2).der}
    assert stranger("Public") in store.place.read_bytes()
    store.sources[1].write_bytes(stranger("Public") + ours(1).pem)  # and does not stay in the copy
    make(store.remove(ours(1), FILE))
    assert store.entries() == (ours(2),)
    make(store.remove(ours(2), FILE))
    assert not store.place.exists()


def test_a_file_older_than_the_systems_roots_is_not_current(store: BundleFile) -> None:
    make(store.add(ours(), FILE))
    store.sources[1].write_bytes(stranger("Newer"))
    assert (store.trusted(), store.entries()) == ((), (ours(),))
    make(store.add(ours(), FILE))
    assert store.trusted() == (ours(),)
    store.sources[1].unlink()
    assert store.trusted() == (ours(),)


def test_without_roots_of_the_system_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no bundle of root"):
        make(BundleFile(tmp_path / "bundle.pem", ()).add(ours(), FILE))


def test_the_lines_for_a_shell_are_quoted() -> None:
    assert exports(Path("/a b/bundle.pem"), Path("/root.crt")) == (
        "export SSL_CERT_FILE='/a b/bundle.pem'",
        "export REQUESTS_CA_BUNDLE='/a b/bundle.pem'",
        "export NODE_EXTRA_CA_CERTS=/root.crt",
    )
