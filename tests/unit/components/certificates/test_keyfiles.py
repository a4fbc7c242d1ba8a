"""Replacing several pairs as one: killed at every moment, watched by a reader, wanted by many at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.components.certificates.facts import CertificateState, KeyPair
from sandbox.components.certificates.keystore import Keystore, inventory
from sandbox.components.certificates.subject_names import subject_names
from tests.support.tls import DOMAIN, NOW, handshake

HOSTS = subject_names(DOMAIN)


def certificates(store: Keystore) -> tuple[bytes, KeyPair]:
    """Return the root and the default leaf, made where they are missing."""
    store.authority([DOMAIN], now=NOW)
    return store.root.read().cert_pem, store.leaf("default", HOSTS, now=NOW)


class KilledError(BaseException):
    """The process is gone."""


def killed_at(count: int, patch: pytest.MonkeyPatch) -> None:
    """Let the process die right before it renames a file or folder for the `count`th time."""
    real = Path.replace
    left = count

    def replace_or_die(self: Path, target: Path) -> Path:
        nonlocal left
        if left == 0:
            raise KilledError
        left -= 1
        return real(self, target)

    patch.setattr(Path, "replace", replace_or_die)


# A renewal of everything writes six files aside, renames their folder, and moves six files.
@pytest.mark.fault(8)
@pytest.mark.parametrize("count", range(13))
def test_killed_renewal_leaves_old_or_new_certificates(
    count: int, store: Keystore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL at any moment of a renewal → the old certificates or the new, whole."""
    old = certificates(store)
    with monkeypatch.context() as patch:
        killed_at(count, patch)
        with pytest.raises(KilledError):
            store.renew([DOMAIN], {"default": HOSTS}, now=NOW, root=True)
    assert {one.condition.state for one in inventory(store, now=NOW)} == {CertificateState.GOOD}
    root, leaf = certificates(store)
    assert ((root, leaf) == old) is (count <= 6)
    handshake(leaf, DOMAIN, root, tmp_path)
    assert (store.folder / "root.crt").read_bytes() == root
    assert not [path for path in store.folder.rglob("*") if path.suffix == ".tmp" or "next" in path.name]
    store.renew([DOMAIN], {"default": HOSTS}, now=NOW, root=True)
    assert certificates(store)[0] != root


def test_a_reader_next_to_a_renewal_never_sees_half_of_it(store: Keystore) -> None:
    ended = threading.Event()
    seen: list[CertificateState] = []

    def look() -> None:
        while not ended.is_set():
            seen.append(store.inspect_leaf("default", HOSTS, now=NOW).state)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(20):
        store.renew([DOMAIN], {"default": HOSTS}, now=NOW)
    ended.set()
    reader.join()
    assert set(seen) == {CertificateState.GOOD}


def test_runs_at_the_same_time_agree_on_one_authority_and_leaf(tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def run(_: int) -> tuple[bytes, KeyPair]:
        together.wait()
        return certificates(Keystore(tmp_path / "certs"))

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(run, range(6)))) == 1
