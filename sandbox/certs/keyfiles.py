"""One key and its certificate as two files, so that their modes and the order they are written in are decided once."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from sandbox.certs.authority import KeyPair
from sandbox.certs.condition import Condition, broken
from sandbox.errors import SandboxError
from sandbox.host.files import write_atomic

_OTHERS = 0o077


@dataclass(frozen=True)
class KeyFiles:
    """`NAME.key` (mode 0600) and `NAME.crt` (0644) in `folder` (0700)."""

    folder: Path
    name: str

    @property
    def key(self) -> Path:
        """Where the private key is."""
        return self.folder / f"{self.name}.key"

    @property
    def cert(self) -> Path:
        """Where the certificate, or the chain that begins with it, is."""
        return self.folder / f"{self.name}.crt"

    @property
    def has_key(self) -> bool:
        """Whether the key is there, readable or not."""
        return _is_there(self.key)

    @property
    def has_cert(self) -> bool:
        """Whether the certificate is there, readable or not."""
        return _is_there(self.cert)

    def read(self) -> KeyPair:
        """Both files' bytes; the key is empty when its file is absent. Raises SandboxError."""
        try:
            return KeyPair(self.key.read_bytes() if self.has_key else b"", self.cert.read_bytes())
        except OSError as error:
            fix = "check the owner and the permissions of the folder and its files, then run this again"
            brief = f"the certificate {self.cert} or its key cannot be read"
            raise SandboxError(brief, details=str(error), fix=fix, id="file") from error

    def write(self, pair: KeyPair) -> None:
        """Replace both, the key first: only a certificate makes a pair. Raises SandboxError."""
        write_atomic(self.key, pair.key_pem, mode=0o600)
        write_atomic(self.cert, pair.cert_pem, mode=0o644)

    def forget(self) -> None:
        """Remove the certificate, which makes the key an orphan to be written over. Raises SandboxError."""
        try:
            self.cert.unlink(missing_ok=True)
        except OSError as error:
            fix = "check the owner and the permissions of its folder, then run this again"
            raise SandboxError(f"{self.cert} cannot be removed", details=str(error), fix=fix, id="file") from error

    def problem(self, *, needs_key: bool = True) -> Condition | None:
        """What the file system says against using these files, or None. The key may be absent without `needs_key`."""
        try:
            self.cert.read_bytes()
            if not needs_key and not self.has_key:
                return None
            self.key.read_bytes()
            for path, wanted in ((self.folder, "700"), (self.key, "600")):
                mode = stat.S_IMODE(path.stat().st_mode)
                if mode & _OTHERS:
                    return broken(f"mode too open: {path} has {mode:04o}; chmod {wanted} keeps others out")
        except OSError as error:
            return broken(f"cannot be read: {error}")
        return None


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
