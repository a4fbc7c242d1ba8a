"""Replacing several pairs as one: killed at every moment, watched by a reader, wanted by many at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sandbox.components.certificates.condition import CertificateState
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.keystore import Keystore, inventory
from sandbox.components.certificates.subject_names import subject_names
from tests.support.tls import DOMAIN, NOW, handshake

HOSTS = subject_names(DOMAIN)


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
    old = store.authority([DOMAIN], now=NOW), store.leaf("default", HOSTS, now=NOW)
    with monkeypatch.context() as patch:
        killed_at(count, patch)
        with pytest.raises(KilledError):
            store.renew([DOMAIN], {"default": HOSTS}, now=NOW, root=True)
    assert {one.condition.state for one in inventory(store, now=NOW)} == {CertificateState.GOOD}
    found = store.authority([DOMAIN], now=NOW), store.leaf("default", HOSTS, now=NOW)
    assert (found == old) is (count <= 6)
    handshake(found[1], DOMAIN, found[0].root_pem, tmp_path)
    assert (store.folder / "root.crt").read_bytes() == found[0].root_pem
    assert not [path for path in store.folder.rglob("*") if path.suffix == ".tmp" or "next" in path.name]
    store.renew([DOMAIN], {"default": HOSTS}, now=NOW, root=True)
    assert store.authority([DOMAIN], now=NOW) != found[0]


@pytest.mark.parametrize("count", range(9))
def test_killed_first_run_is_completed_by_the_next(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Keystore(tmp_path / "certs")
    with monkeypatch.context() as patch:
        killed_at(count, patch)
        with pytest.raises(KilledError):
            store.authority([DOMAIN], now=NOW)
    made = store.authority([DOMAIN], now=NOW)
    handshake(store.leaf("default", HOSTS, now=NOW), DOMAIN, made.root_pem, tmp_path)


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
    roots: list[bytes] = []
    leaves: list[KeyPair] = []

    def run() -> None:
        store = Keystore(tmp_path / "certs")
        together.wait()
        roots.append(store.authority([DOMAIN], now=NOW).root_pem)
        leaves.append(store.leaf("default", HOSTS, now=NOW))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(roots) == len(leaves) == 6
    assert len(set(roots)) == len(set(leaves)) == 1
