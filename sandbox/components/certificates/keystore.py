"""The CA and its leaves on disk, so that certificates last and no other user reads the keys."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sandbox.components.certificates import keyfiles, pem
from sandbox.components.certificates import subject_names as names
from sandbox.components.certificates.authority import make_issuing, make_leaf, make_root
from sandbox.components.certificates.facts import (
    ABSENT,
    CertificateState,
    Condition,
    Facts,
    KeyPair,
    broken,
    describe,
    judge_authority,
    judge_leaf,
)
from sandbox.components.certificates.keyfiles import KeyFiles
from sandbox.components.certificates.subject_names import constrained_to
from sandbox.errors import SandboxError, UsageError
from sandbox.system.files import exclusive, make_private_dir

LEAVES = "leaves"

_LEAF_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?")
ROOT = "root"
ISSUING = "issuing"
LEAF = "leaf"
RENEW = "sandbox certs renew --root"
NEW_ROOT = f"{RENEW} replaces it; clients of the old root must then trust the new one"


@dataclass(frozen=True)
class Keystore:
    """A folder of certificates: `root`, `issuing` and `leaves/NAME`, each a `.crt` and a `.key`.

    A leaf with a dot in its name is for an application's own Secret, NAMESPACE.SECRET, which clients may show too.
    """

    folder: Path

    @property
    def root(self) -> KeyFiles:
        return KeyFiles(self.folder, "root")

    @property
    def issuing(self) -> KeyFiles:
        return KeyFiles(self.folder, "issuing")

    def leaf_files(self, name: str) -> KeyFiles:
        if not _LEAF_NAME.fullmatch(name):
            fix = "use up to 100 lower-case letters, digits, dots and hyphens"
            raise UsageError(f"{name!r} cannot name a certificate", fix=fix, id="host")
        return KeyFiles(self.folder, f"{LEAVES}/{name}")

    def leaf_names(self) -> tuple[str, ...]:
        folders = (self.folder / LEAVES, self.folder / keyfiles.NEXT / LEAVES)
        names = {path.name.removesuffix(".crt") for folder in folders for path in folder.glob("*.crt")}
        return tuple(sorted(name for name in names if _LEAF_NAME.fullmatch(name)))

    def inspect_root(self, domains: Sequence[str] = (), *, now: datetime) -> Condition:
        permitted = constrained_to(domains) if domains else ()
        if not self.root.has_cert:
            return broken(f"{self.root.cert} is gone") if self.issuing.has_cert else ABSENT
        problem = self.root.problem(needs_key=False)
        return problem or judge_authority(
            self.root.read(), issuer_pem=None, domains=permitted, now=now, needs_key=False
        )

    def inspect_issuing(self, domains: Sequence[str] = (), *, now: datetime) -> Condition:
        permitted = constrained_to(domains) if domains else ()
        if not self.issuing.has_cert:
            return ABSENT
        problem = self.issuing.problem() or self.root.problem(needs_key=False)
        return problem or judge_authority(
            self.issuing.read(), issuer_pem=self.root.read().cert_pem, domains=permitted, now=now
        )

    def inspect_leaf(self, name: str, hosts: Sequence[str], *, now: datetime) -> Condition:
        files = self.leaf_files(name)
        if not files.has_cert:
            return ABSENT
        problem = files.problem() or self.issuing.problem(needs_key=False)
        return problem or judge_leaf(files.read(), issuing_pem=self.issuing.read().cert_pem, hosts=hosts, now=now)

    def permitted(self, domains: Sequence[str]) -> tuple[str, ...]:
        """Return the `domains` that the root may sign for: all without a root, none if it is unreadable."""
        if not self.root.has_cert:
            return tuple(domains)
        try:
            allowed = pem.permitted_domains(pem.load_certificates(self.root.read().cert_pem)[0])
        except SandboxError:
            return ()
        return tuple(domain for domain in domains if names.is_inside(domain, allowed))

    def authority(self, domains: Sequence[str], *, now: datetime, reserve: Sequence[str] = ()) -> None:
        """Make the CA for `domains` where it is absent; a new root may issue for those of `reserve` later.

        An issuing authority that is due or broken is replaced under the same root, which clients trust already. A root
        that is due is still used; one that is broken raises SandboxError. Raises UsageError for unfit domains.
        """
        with self._alone():
            root = self.inspect_root(domains, now=now)
            if root.state is CertificateState.BROKEN:
                raise self._unusable(root)
            made: dict[str, KeyPair] = {}
            if root.state is CertificateState.ABSENT:
                made["root"] = make_root((*domains, *reserve), now=now)
                made["issuing"] = make_issuing(made["root"], domains, now=now)
            else:
                issuing = self.inspect_issuing(domains, now=now)
                # One that is due still works when the key that could sign another is kept elsewhere.
                if not issuing.usable or (issuing.state is CertificateState.DUE and self.root.has_key):
                    made["issuing"] = make_issuing(self._signing_root(), domains, now=now)
            if made:
                keyfiles.replace_all(self.folder, made)

    def leaf(self, name: str, hosts: Sequence[str], *, now: datetime) -> KeyPair:
        """Return the certificate for exactly `hosts`: the valid one on disk, or a new one. Raises SandboxError."""
        files = self.leaf_files(name)
        if not self.issuing.has_cert:
            brief = f"there is no certificate authority in {self.folder}"
            raise SandboxError(brief, fix="sandbox up makes one", id="authority")
        with self._alone():
            make_private_dir(self.folder / LEAVES)
            if self.inspect_leaf(name, hosts, now=now).state is not CertificateState.GOOD:
                made = make_leaf(self._sound_issuing(now), hosts, now=now, client="." in name)
                keyfiles.replace_all(self.folder, {files.name: made})
            return files.read()

    def renew(
        self,
        domains: Sequence[str],
        leaves: Mapping[str, Sequence[str]],
        *,
        now: datetime,
        authority: bool = False,
        root: bool = False,
        reserve: Sequence[str] = (),
    ) -> None:
        """Issue all of `leaves` (hosts by name) again, with `authority` also the issuing CA, with `root` all.

        `authority` replaces a root that cannot be used, too (`replaces_root`). A new root may issue for the domains of
        `reserve` later. Raises SandboxError.
        """
        with self._alone():
            made: dict[str, KeyPair] = {}
            if self.replaces_root(domains, now=now, authority=authority, root=root):
                made["root"] = make_root((*domains, *reserve), now=now)
            if made or authority:
                made["issuing"] = make_issuing(made.get("root") or self._signing_root(), domains, now=now)
            issuing = made.get("issuing") or self._sound_issuing(now)
            for name, hosts in leaves.items():
                files = self.leaf_files(name)
                made[files.name] = make_leaf(issuing, hosts, now=now, client="." in name)
            keyfiles.replace_all(self.folder, made)

    def replaces_root(self, domains: Sequence[str], *, now: datetime, authority: bool, root: bool) -> bool:
        """Return whether `renew` would make a new root, which clients do not trust yet."""
        return root or (authority and not self.inspect_root(domains, now=now).usable)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        make_private_dir(self.folder)
        with exclusive(self.folder):
            keyfiles.complete_replacement(self.folder)
            yield

    def _signing_root(self) -> KeyPair:
        root = self.root.read()
        if not root.key_pem:
            brief = f"{self.root.key}, needed to make an issuing authority, is empty or absent"
            fix = "put it back, or begin with a new root: sandbox certs renew --root"
            raise SandboxError(brief, fix=fix, id="authority")
        return root

    def _sound_issuing(self, now: datetime) -> KeyPair:
        condition = self.inspect_issuing(now=now)
        if condition.state is CertificateState.ABSENT and self.inspect_root(now=now).state is CertificateState.ABSENT:
            raise SandboxError("the sandbox has no certificates yet", fix="sandbox up makes them", id="authority")
        if not condition.usable:
            raise self._unusable(condition, fix="sandbox certs renew --authority replaces it under the same root")
        return self.issuing.read()

    def _unusable(self, condition: Condition, fix: str = NEW_ROOT) -> SandboxError:
        return SandboxError(
            f"the certificate authority in {self.folder} cannot be used",
            details=condition.reason,
            fix=condition.advice(fix),
            id="authority",
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A certificate: its name, its role (`root`, `issuing` or `leaf`), and its file; no facts when it is unreadable."""

    name: str
    role: str
    file: Path
    condition: Condition
    facts: Facts | None


def inventory(store: Keystore, *, now: datetime) -> tuple[Entry, ...]:
    leaves = [(name, LEAF, store.leaf_files(name)) for name in store.leaf_names()]
    entries = []
    for name, role, files in [(ROOT, ROOT, store.root), (ISSUING, ISSUING, store.issuing), *leaves]:
        facts = None
        with suppress(SandboxError):  # the condition has the reason
            facts = describe(files.read().cert_pem, now=now)
        if role == LEAF:
            condition = store.inspect_leaf(name, facts.hosts if facts else (), now=now)
        else:
            condition = store.inspect_root(now=now) if role == ROOT else store.inspect_issuing(now=now)
        if condition.state is not CertificateState.ABSENT:
            entries.append(Entry(name=name, role=role, file=files.cert, condition=condition, facts=facts))
    return tuple(entries)
