"""The clouds' own libraries: extras of the installation, imported only when an entry of their kind is used."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.oci.credential import CredentialsUnusable


@dataclass(frozen=True)
class _Library:
    owner: str
    package: str
    loggers: tuple[str, ...]


_EXTRAS = {
    "ecr": _Library("AWS's", "botocore", ("botocore",)),
    "gcr": _Library("Google's", "google-auth", ("google",)),
    "acr": _Library("Microsoft's", "azure-identity", ("azure", "msal")),
}


@contextmanager
def importing(extra: str) -> Iterator[None]:
    """Import an extra's library in the block. Raises CredentialsUnusable if it is not installed.

    Its logs are switched off, for they contain headers and answers; errors are raised in our own words.
    """
    library = _EXTRAS[extra]
    try:
        yield
    except ImportError as error:
        raise CredentialsUnusable(
            f"{library.owner} library is not installed",
            details=f"credentials of kind {extra} need {library.package}: {error}",
            fix=how_to_install(extra),
        ) from None
    for name in library.loggers:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def how_to_install(extra: str, prefix: Path | None = None) -> str:
    """Return the command that installs an extra, in the way that this sandbox was installed."""
    prefix = prefix or Path(sys.prefix)
    requirement = f"'kube-sandbox[{extra}]'"  # pip and uv take what it needs from what is installed already
    if (prefix / "pipx_metadata.json").exists():
        return f"pipx runpip kube-sandbox install {requirement}"
    try:
        by_uv = "\nuv = " in (prefix / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        by_uv = False
    python = prefix / "bin" / "python"
    # An environment of uv has no pip.
    return f"uv pip install --python {python} {requirement}" if by_uv else f"{python} -m pip install {requirement}"
