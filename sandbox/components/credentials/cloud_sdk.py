"""The clouds' own libraries: extras of the installation, imported only when an entry of their kind is used."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.oci.credential import CredentialsUnusable

_EXTRAS = {
    "ecr": ("AWS's", "botocore", ("botocore",)),
    "gcr": ("Google's", "google-auth", ("google",)),
    "acr": ("Microsoft's", "azure-identity", ("azure", "msal")),
}


@contextmanager
def importing(extra: str) -> Iterator[None]:
    """Import an extra's library in the block, without its logs, which contain headers and answers."""
    owner, package, loggers = _EXTRAS[extra]
    try:
        yield
    except ImportError as error:
        raise CredentialsUnusable(
            f"{owner} library is not installed",
            details=f"credentials of kind {extra} need {package}: {error}",
            fix=install_command(extra),
        ) from None
    for name in loggers:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def install_command(extra: str) -> str:
    """Return the command that installs an extra, in the way that this sandbox was installed."""
    by_pipx = (Path(sys.prefix) / "pipx_metadata.json").exists()
    command = "pipx runpip kube-sandbox install" if by_pipx else f"{sys.executable} -m pip install"
    return f"{command} 'kube-sandbox[{extra}]'"
