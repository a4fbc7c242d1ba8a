"""The authority and its leaves on disk, so that certificates last from day to day and nobody else reads the keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sandbox.certs.authority import KeyPair, Leaf, constrained_to, make_issuing, make_leaf, make_root
from sandbox.certs.condition import ABSENT, Condition, State, broken, judge_authority, judge_leaf
from sandbox.certs.keyfiles import KeyFiles
from sandbox.errors import SandboxError, UsageError
from sandbox.host.files import exclusive, make_private_dir

_LEAF_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?")


@dataclass(frozen=True)
class Authority:
    """What a sandbox works with: the root's certificate (PEM) for clients to trust, and the issuing authority."""

    root_pem: bytes
    issuing: KeyPair


@dataclass(frozen=True)
class Keystore:
    """A folder of certificates: `root`, `issuing` and `leaves/NAME`, each a `.crt` and a `.key`.

    `root_folder` holds the root instead, when sandboxes share one. The `inspect_` methods look and never touch.
    A certificate is written after its key, so a key alone is an interrupted start and counts as absent.
    """

    folder: Path
    root_folder: Path | None = None

    def inspect_authority(self, domains: Sequence[str], *, now: datetime) -> Condition:
        """How root and issuing authority stand for `domains` at `now`: the worse of the two. Raises UsageError."""
        permitted = constrained_to(domains)
        root = self._inspect_root(permitted, now)
        if not root.usable:
            return root
        issuing = self._inspect_issuing(permitted, now)
        if issuing.state is State.ABSENT and not self._root.has_key:
            return broken(f"{self._root.key}, needed to make an issuing authority, is absent")
        return root if issuing.state is State.GOOD else issuing

    def authority(self, domains: Sequence[str], *, now: datetime, remake: bool = False) -> Authority:
        """The authority for `domains`, made if absent.

        With `remake` whatever is broken or due is made anew: the issuing authority alone if the root is good (clients
        keep their trust), else both. Without it a broken one raises SandboxError and one that is due is used on.
        Raises UsageError for unfit domains.
        """
        permitted = constrained_to(domains)
        make_private_dir(self._root.folder)
        with exclusive(self._root.folder):
            if self._must_make(self._inspect_root(permitted, now), remake):
                # Without certificates an interruption from here on is a fresh start.
                self._issuing.forget()
                self._root.forget()
                self._root.write(make_root(domains, now=now))
        make_private_dir(self.folder)
        with exclusive(self.folder):
            if self._must_make(self._inspect_issuing(permitted, now), remake):
                self._make_issuing(domains, now)
            return Authority(self._root.read().cert_pem, self._issuing.read())

    def inspect_leaf(self, name: str, hosts: Sequence[str], *, now: datetime) -> Condition:
        """How the leaf `name` stands at `now` as the certificate of exactly `hosts`. Raises UsageError."""
        files = self._leaf(name)
        if not files.has_cert:
            return ABSENT
        problem = files.problem() or self._issuing.problem(needs_key=False)
        if problem:
            return problem
        stored = files.read()
        leaf = Leaf(stored.key_pem, stored.cert_pem)
        return judge_leaf(leaf, issuing_pem=self._issuing.read().cert_pem, hosts=hosts, now=now)

    def leaf(self, name: str, hosts: Sequence[str], *, now: datetime, renew: bool = False) -> Leaf:
        """The leaf `name` for exactly `hosts`, issued with a new key unless the one there is good and `renew` is false.

        `name` is the files' name. Raises UsageError for an unfit name or host, SandboxError without a sound authority.
        """
        files = self._leaf(name)
        if not self._issuing.has_cert:
            brief = f"there is no certificate authority in {self.folder}"
            raise SandboxError(brief, fix="sandbox up makes one", id="authority")
        make_private_dir(self.folder)
        make_private_dir(files.folder)
        with exclusive(self.folder):
            if not renew and self.inspect_leaf(name, hosts, now=now).state is State.GOOD:
                stored = files.read()
                return Leaf(stored.key_pem, stored.cert_pem)
            issuing = self._inspect_issuing((), now)
            if not issuing.usable:
                raise self._unusable(issuing)
            made = make_leaf(self._issuing.read(), hosts, now=now)
            files.write(KeyPair(made.key_pem, made.chain_pem))
            return made

    @property
    def _root(self) -> KeyFiles:
        return KeyFiles(self.root_folder or self.folder, "root")

    @property
    def _issuing(self) -> KeyFiles:
        return KeyFiles(self.folder, "issuing")

    def _leaf(self, name: str) -> KeyFiles:
        if not _LEAF_NAME.fullmatch(name):
            fix = "use up to 100 lower-case letters, digits, dots and hyphens"
            raise UsageError(f"{name!r} cannot name a certificate", fix=fix, id="host")
        return KeyFiles(self.folder / "leaves", name)

    def _inspect_root(self, permitted: Iterable[str], now: datetime) -> Condition:
        root = self._root
        if not root.has_cert:
            return broken(f"{root.cert} is gone") if self._issuing.has_cert else ABSENT
        return root.problem(needs_key=False) or judge_authority(
            root.read(), issuer_pem=None, domains=permitted, now=now, needs_key=False
        )

    def _inspect_issuing(self, permitted: Iterable[str], now: datetime) -> Condition:
        if not self._issuing.has_cert:
            return ABSENT
        return (
            self._issuing.problem()
            or self._root.problem(needs_key=False)
            or judge_authority(self._issuing.read(), issuer_pem=self._root.read().cert_pem, domains=permitted, now=now)
        )

    def _make_issuing(self, domains: Sequence[str], now: datetime) -> None:
        if not self._root.has_key:
            raise SandboxError(
                f"{self._root.key}, needed to make an issuing authority, is absent",
                fix=f"put it back, or remove {self._root.cert} and {self._issuing.cert} to begin with a new root",
                id="authority",
            )
        made = make_issuing(self._root.read(), domains, now=now)
        self._issuing.forget()
        self._issuing.write(made)

    def _must_make(self, condition: Condition, remake: bool) -> bool:
        if condition.state is State.BROKEN and not remake:
            raise self._unusable(condition)
        return condition.state is State.ABSENT or (remake and condition.state is not State.GOOD)

    def _unusable(self, condition: Condition) -> SandboxError:
        return SandboxError(
            f"the certificate authority in {self.folder} cannot be used",
            details=condition.reason,
            fix="sandbox certs renew --authority makes it anew; if the root changes, sandbox certs trust must follow",
            id="authority",
        )
