"""One key and its certificate as two files, found where they are even while a renewal is being put in place."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sandbox.components.certificates import generation
from sandbox.components.certificates.authority import KeyPair
from sandbox.components.certificates.condition import Condition, broken
from sandbox.errors import SandboxError

Seen = TypeVar("Seen")

_OTHERS = 0o077


@dataclass(frozen=True)
class KeyFiles:
    """`NAME.key` (mode 0600) and `NAME.crt` (0644) in the keystore `folder`; NAME may begin with a folder's name."""

    folder: Path
    name: str

    @property
    def key(self) -> Path:
        """Where the private key is."""
        return generation.present(self.folder, f"{self.name}.key")

    @property
    def cert(self) -> Path:
        """Where the certificate, or the chain that begins with it, is."""
        return generation.present(self.folder, f"{self.name}.crt")

    @property
    def has_key(self) -> bool:
        """Whether the key is there, readable or not."""
        return generation.has(self.folder, f"{self.name}.key")

    @property
    def has_cert(self) -> bool:
        """Whether the certificate is there, readable or not."""
        return generation.has(self.folder, f"{self.name}.crt")

    def read(self) -> KeyPair:
        """Both files' bytes; the key is empty when its file is absent. Raises SandboxError."""
        try:
            before = None
            while True:
                pair = self._steadily(_read if self.has_key else _read_cert)
                # One of the two may be of a pair that another command has just put in place.
                if pair == before:
                    return pair
                before = pair
        except OSError as error:
            fix = "check the owner and the permissions of the folder and its files, then run this again"
            brief = f"the certificate {self.cert} or its key cannot be read"
            raise SandboxError(brief, details=str(error), fix=fix, id="file") from error

    def problem(self, *, needs_key: bool = True) -> Condition | None:
        """What the file system says against using these files, or None. The key may be absent without `needs_key`."""
        try:
            return self._steadily(_problem if needs_key or self.has_key else _problem_of_cert)
        except OSError as error:
            return broken(f"cannot be read: {error}")

    def _steadily(self, look: Callable[[Path, Path], Seen]) -> Seen:
        """`look` at key and certificate, again if they were moved meanwhile to where they belong."""
        while True:
            key, cert = self.key, self.cert
            try:
                return look(key, cert)
            except FileNotFoundError:
                if (key, cert) == (self.key, self.cert):
                    raise


def _read(key: Path, cert: Path) -> KeyPair:
    return KeyPair(key.read_bytes(), cert.read_bytes())


def _read_cert(key: Path, cert: Path) -> KeyPair:
    return KeyPair(b"", cert.read_bytes())


def _problem(key: Path, cert: Path) -> Condition | None:
    _read(key, cert)
    for path, wanted in ((key.parent, "700"), (key, "600")):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OTHERS:
            return broken(f"mode too open: {path} has {mode:04o}; chmod {wanted} keeps others out")
    return None


def _problem_of_cert(key: Path, cert: Path) -> Condition | None:
    _read_cert(key, cert)
    return None
