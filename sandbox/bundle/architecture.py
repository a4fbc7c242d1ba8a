"""The architectures that a bundle can be of, named as images name them, and what differs between them."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """An architecture: `name` as in an image's platform (OCI image specification), `machine` as in kernels.

    `loader` is what loads the libraries of its programs, and `triplet` the name of Debian's folder for those (Debian's
    Multiarch specification).
    """

    name: str
    machine: str
    loader: str
    triplet: str


AMD64 = Architecture(name="amd64", machine="x86_64", loader="/lib64/ld-linux-x86-64.so.2", triplet="x86_64-linux-gnu")
ARM64 = Architecture(name="arm64", machine="aarch64", loader="/lib/ld-linux-aarch64.so.1", triplet="aarch64-linux-gnu")


def native() -> Architecture:
    """Return this machine's architecture, and its engine's; amd64 on one that no bundle is for."""
    return ARM64 if os.uname().machine in (ARM64.name, ARM64.machine) else AMD64
