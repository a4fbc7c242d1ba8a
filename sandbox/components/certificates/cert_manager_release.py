"""The one release of cert-manager that the sandbox installs, as its authors publish it."""

from __future__ import annotations

from pathlib import Path

from sandbox.system.download import download

VERSION = "v1.21.1"
URL = f"https://github.com/cert-manager/cert-manager/releases/download/{VERSION}/cert-manager.yaml"
SHA256 = "5f6a499b8c1857d57f560f536e0dcc830914b45c420899fe7ad0692c8624e408"

NAMESPACE = "cert-manager"
DEPLOYMENTS = ("cert-manager", "cert-manager-cainjector", "cert-manager-webhook")


def manifest(folder: Path) -> str:
    """The release's manifest, kept in `folder` once it was downloaded or put there. Raises SandboxError."""
    return download(URL, folder / f"cert-manager-{VERSION}.yaml", sha256=SHA256).decode()
