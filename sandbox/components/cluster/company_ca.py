"""The CA of a company that intercepts TLS or issues for its own hosts; nodes and pods trust it.

The spec names its file. By default it is what the administrator of this machine added to the system's trust store, so
that sandboxes on a laptop that its company set up trust the same.
"""

import shlex
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from sandbox.errors import UsageError, succeeded
from sandbox.provider import Nodes
from sandbox.system import files
from sandbox.truststore.system_stores import find_anchors
from sandbox.truststore.trusted_root import blocks, in_pem

# Go's programs read all files of this folder, containerd with the first pull (crypto/x509/root_linux.go).
PLACE = PurePosixPath("/etc/ssl/certs/sandbox-company.pem")
RESTART = ("systemctl", "restart", "containerd")


@dataclass(frozen=True)
class CompanyCa:
    """The certificates in a file, those of this machine's administrator ("auto"), or none."""

    chosen: Path | str
    slash: Path = Path("/")

    @cached_property
    def pem(self) -> bytes:
        """Return the certificates only, without other text of the file; empty for none. Raises UsageError."""
        if isinstance(self.chosen, Path):
            return _of_file(self.chosen)
        anchors = find_anchors(self.slash) if self.chosen == "auto" else None
        if anchors is None:
            return b""
        folder = self.slash / anchors.place.relative_to("/")
        added = (block for path in sorted(folder.glob(f"*{anchors.suffix}")) for block in _blocks(files.content(path)))
        return _joined(block for block in added if not in_pem(block) and not _trouble(block))

    def is_on(self, nodes: Nodes, node: str) -> bool:
        return (nodes.engine.read_file(node, PLACE) or b"") == self.pem

    def enforce(self, nodes: Nodes, node: str) -> None:
        """Write them to the node, and restart its containerd, which reads them only at its start; pods keep running."""
        nodes.engine.write_files(node, {PLACE: self.pem})
        succeeded(nodes.engine.execute(node, RESTART), f"containerd of {node} cannot be restarted")


def _of_file(path: Path) -> bytes:
    try:
        data = files.read_regular(path)
    except (OSError, files.NotAFile) as error:
        raise _refused(path, "cannot be read", str(error), "name a file that you may read") from error
    if b"PRIVATE KEY-----" in data:
        raise _refused(path, "holds a private key", "nodes and pods would get it", "name a file of certificates only")
    pem = _joined(_blocks(data))
    if trouble := _trouble(pem):
        fix = f"get it again; if it is DER: openssl x509 -inform der -in {shlex.quote(str(path))} -out NEW.pem"
        raise _refused(path, "holds no valid PEM certificate", trouble, fix)
    return pem


def _blocks(data: bytes | None) -> list[bytes]:
    return blocks((data or b"").replace(b"\r\n", b"\n"))


def _joined(certificates: Iterable[bytes]) -> bytes:
    return b"".join(block + b"\n" for block in dict.fromkeys(certificates))


def _trouble(pem: bytes) -> str | None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        return str(error)
    return None


def _refused(path: Path, what: str, evidence: str, fix: str) -> UsageError:
    return UsageError(f"`network.ca`: {path} {what}", details=evidence, fix=fix, id="certificate")
