"""The folder of certificates: what is made, kept, renewed, refused, and with which modes,
and that several pairs are replaced as one: killed at every moment, watched by a reader, wanted by many at once.
"""

from __future__ import annotations

import os
import ssl
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sandbox.components.certificates.authority import USAGES, make_issuing
from sandbox.components.certificates.facts import CertificateState, KeyPair, describe
from sandbox.components.certificates.keystore import Keystore, inventory
from sandbox.components.certificates.subject_names import subject_names
from sandbox.errors import SandboxError, UsageError
from tests.support.tls import DOMAIN, NOW, handshake, make_pki

HOSTS = subject_names(DOMAIN)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) for path in files}


def days(count: float) -> datetime:
    return NOW + timedelta(days=count)


def root_pem(store: Keystore) -> bytes:
    return store.root.read().cert_pem


@pytest.mark.security(1, 14)
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    """Certificates are made under any umask → keys 0600, folders 0700."""
    before = os.umask(umask)
    try:
        store = Keystore(tmp_path / "a" / "certs")
        store.authority([DOMAIN], now=NOW)
        store.leaf("default", HOSTS, now=NOW)
    finally:
        os.umask(before)
    expected = {"": 0o700, ".crt": 0o644, ".key": 0o600}
    made = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made if path.name != ".lock"}
    assert modes == {path: expected[path.suffix] for path in modes}
    assert stat.S_IMODE((store.folder / ".lock").stat().st_mode) == 0o600


def test_valid_files_are_kept_and_looking_makes_none(store: Keystore, tmp_path: Path) -> None:
    before = snapshot(store.folder)
    store.authority([DOMAIN], now=days(30))
    store.leaf("default", HOSTS[::-1], now=days(30))
    assert snapshot(store.folder) == before
    absent = Keystore(tmp_path / "absent")
    for inspect in (absent.inspect_root, absent.inspect_issuing):
        assert inspect([DOMAIN], now=NOW).state is CertificateState.ABSENT
    assert absent.inspect_leaf("default", HOSTS, now=NOW).state is CertificateState.ABSENT
    assert inventory(absent, now=NOW) == ()
    with pytest.raises(SandboxError, match="no certificate authority"):
        absent.leaf("default", HOSTS, now=NOW)
    assert not absent.folder.exists()


@pytest.mark.fault(28)
def test_leaf_is_renewed_after_two_thirds_of_its_life(store: Keystore) -> None:
    """A certificate after 60 of its 90 days → renewed by the next `up` under the same root."""
    old = store.leaf("default", HOSTS, now=days(59.9))
    assert store.inspect_leaf("default", HOSTS, now=days(59.9)).state is CertificateState.GOOD
    due = store.inspect_leaf("default", HOSTS, now=days(60))
    assert due.state is CertificateState.DUE and due.usable and "renewal due, 29 days left" in due.reason
    new = store.leaf("default", HOSTS, now=days(60))
    assert new.key_pem != old.key_pem
    assert describe(new.cert_pem, now=days(60)).days_left == 89
    assert store.inspect_leaf("default", HOSTS, now=days(60)).state is CertificateState.GOOD


def write(path: str, data: bytes) -> Callable[[Keystore], object]:
    return lambda store: (store.folder / path).write_bytes(data)


def change_mode(path: str, mode: int) -> Callable[[Keystore], object]:
    return lambda store: (store.folder / path).chmod(mode)


def remove(path: str) -> Callable[[Keystore], object]:
    return lambda store: (store.folder / path).unlink()


def make_pipe(store: Keystore) -> None:
    path = store.folder / "leaves/default.key"
    path.unlink()
    os.mkfifo(path, 0o600)


def other_issuer(store: Keystore) -> None:
    pair = make_issuing(store.root.read(), [DOMAIN], now=NOW)
    store.issuing.key.write_bytes(pair.key_pem)
    store.issuing.cert.write_bytes(pair.cert_pem)


FOREIGN = make_pki()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (write("leaves/default.key", FOREIGN.root.key_pem), "key does not match"),
        (write("leaves/default.key", b"not a key"), "private key cannot be read"),
        (write("leaves/default.crt", b"not a certificate"), "certificate cannot be read"),
        (remove("leaves/default.key"), "cannot be read"),
        (make_pipe, "not a regular file"),
        (change_mode("leaves/default.key", 0o640), "mode too open"),
        (change_mode("leaves", 0o755), "0755"),
        (other_issuer, "issuer changed"),
    ],
)
def test_a_leaf_that_is_broken_says_why_and_is_replaced(
    harm: Callable[[Keystore], object], reason: str, store: Keystore, tmp_path: Path
) -> None:
    harm(store)
    condition = store.inspect_leaf("default", HOSTS, now=NOW)
    assert condition.state is CertificateState.BROKEN and not condition.usable
    assert reason in condition.reason
    leaf = store.leaf("default", HOSTS, now=NOW)
    assert store.inspect_leaf("default", HOSTS, now=NOW).state is CertificateState.GOOD
    handshake(leaf, DOMAIN, root_pem(store), tmp_path)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (write("root.crt", b"not a certificate"), "certificate cannot be read"),
        (write("root.key", FOREIGN.root.key_pem), "key does not match"),
        (change_mode("root.key", 0o644), "mode too open"),
        (remove("root.crt"), "is gone"),
    ],
)
def test_a_broken_root_is_recreated_only_when_asked(
    harm: Callable[[Keystore], object], reason: str, store: Keystore, tmp_path: Path
) -> None:
    old_root = root_pem(store)
    harm(store)
    before = snapshot(store.folder)
    condition = store.inspect_root([DOMAIN], now=NOW)
    assert condition.state is CertificateState.BROKEN and reason in condition.reason
    with pytest.raises(SandboxError) as caught:
        store.authority([DOMAIN], now=NOW)
    assert reason in caught.value.details and "sandbox certs renew --root" in caught.value.fix
    assert snapshot(store.folder) == before
    assert store.replaces_root([DOMAIN], now=NOW, authority=True, root=False)
    store.renew([DOMAIN], {"default": HOSTS}, now=NOW, authority=True)
    assert root_pem(store) != old_root
    leaf = store.leaf("default", HOSTS, now=NOW)
    handshake(leaf, DOMAIN, root_pem(store), tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(leaf, DOMAIN, old_root, tmp_path)


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (write("issuing.crt", b"not a certificate"), "certificate cannot be read"),
        (write("issuing.key", FOREIGN.root.key_pem), "key does not match"),
        (remove("issuing.key"), "cannot be read"),
        (change_mode("issuing.key", 0o660), "mode too open"),
    ],
)
def test_broken_issuing_ca_is_recreated_under_the_same_root(
    harm: Callable[[Keystore], object], reason: str, store: Keystore, tmp_path: Path
) -> None:
    """The issuing key is gone, another's, or open to a group → recreated under the same root."""
    root = root_pem(store)
    harm(store)
    condition = store.inspect_issuing([DOMAIN], now=NOW)
    assert condition.state is CertificateState.BROKEN and reason in condition.reason
    with pytest.raises(SandboxError) as caught:
        store.leaf("other", HOSTS, now=NOW)
    assert reason in caught.value.details and "sandbox certs renew --authority" in caught.value.fix
    store.authority([DOMAIN], now=NOW)
    assert root_pem(store) == root
    assert store.inspect_issuing([DOMAIN], now=NOW).state is CertificateState.GOOD
    handshake(store.leaf("default", HOSTS, now=NOW), DOMAIN, root, tmp_path)


@pytest.mark.fault(28)
def test_due_root_is_used_but_not_an_expired_or_a_future_one(store: Keystore) -> None:
    """A root near and past its end → used with a warning, then refused until you have a new one made."""
    before = snapshot(store.folder)
    assert store.inspect_root([DOMAIN], now=days(500)).state is CertificateState.DUE
    with pytest.raises(SandboxError, match="cannot be used") as caught:
        store.authority([DOMAIN], now=days(731))
    assert "expired" in caught.value.details
    with pytest.raises(SandboxError, match="cannot be used") as caught:
        store.authority([DOMAIN], now=days(-400))
    assert caught.value.fix.startswith("set this machine's clock; where it is right, sandbox certs renew --root")
    assert snapshot(store.folder) == before
    root = root_pem(store)
    store.authority([DOMAIN], now=days(500))
    assert root_pem(store) == root


def test_root_key_may_be_elsewhere_while_issuing_ca_is_valid(store: Keystore) -> None:
    remove("root.key")(store)
    issuing = store.issuing.read()
    store.leaf("another", [DOMAIN], now=NOW)
    store.authority([DOMAIN], now=days(300))
    assert store.issuing.read() == issuing  # due, and used on
    remove("issuing.crt")(store)
    with pytest.raises(SandboxError) as caught:
        store.authority([DOMAIN], now=NOW)
    assert "put it back" in caught.value.fix
    with pytest.raises(SandboxError) as caught:
        store.renew([DOMAIN], {}, now=NOW, authority=True)
    assert "put it back" in caught.value.fix


def test_certificate_name_that_could_lead_out_of_the_keystore_is_refused(store: Keystore) -> None:
    for name in ("", "..", "../root", "a/b", "A", "a\n", ".hidden", "a" * 101):
        with pytest.raises(UsageError, match="cannot name a certificate"):
            store.leaf(name, HOSTS, now=NOW)


def test_keystore_lists_domains_its_root_allows(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path)
    wanted = ("a.test", "x.a.test", "b.test")
    assert keystore.permitted(wanted) == wanted
    keystore.authority(["a.test"], now=NOW)
    assert keystore.permitted(wanted) == ("a.test", "x.a.test")
    keystore.root.cert.write_bytes(b"nothing")
    assert keystore.permitted(wanted) == ()


def test_only_the_leaves_of_applications_may_be_shown_by_clients(store: Keystore) -> None:
    for name, purposes in {"default": USAGES[:1], "bank.tls": USAGES}.items():
        store.renew([DOMAIN], {name: [DOMAIN]}, now=NOW)
        leaf = x509.load_pem_x509_certificate(store.leaf(name, [DOMAIN], now=NOW).cert_pem)
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert usage == x509.ExtendedKeyUsage(purposes)


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


# A renewal renames 13 times: six new files, the folder that holds them, and each of the six into its place. Once the
# folder has its name, the new certificates count.
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
