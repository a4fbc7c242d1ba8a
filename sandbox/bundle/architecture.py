"""The architectures that a bundle can be of, named as images name them, and what differs between them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError, UsageError


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """An architecture: `name` as in an image's platform (OCI image specification), `machine` as in kernels.

    `elf` is the number of its programs (elf(5), e_machine), `loader` what loads their libraries, and `triplet` the name
    of Debian's folder for those (Debian's Multiarch specification).
    """

    name: str
    machine: str
    elf: int
    loader: str
    triplet: str


AMD64 = Architecture(
    name="amd64", machine="x86_64", elf=62, loader="/lib64/ld-linux-x86-64.so.2", triplet="x86_64-linux-gnu"
)
ARM64 = Architecture(
    name="arm64", machine="aarch64", elf=183, loader="/lib/ld-linux-aarch64.so.1", triplet="aarch64-linux-gnu"
)
KNOWN = {architecture.name: architecture for architecture in (AMD64, ARM64)}


def native() -> Architecture:
    """Return this machine's architecture, and its engine's; amd64 on one that no bundle is for."""
    machine = os.uname().machine
    return next((candidate for candidate in KNOWN.values() if machine in (candidate.name, candidate.machine)), AMD64)


def named(name: str) -> Architecture:
    if name not in KNOWN:
        raise UsageError(f"there is no bundle for {name}", fix="it can be for " + " or ".join(KNOWN))
    return KNOWN[name]


def require(programs: Iterable[Path], architecture: Architecture) -> None:
    for program in programs:
        with program.open("rb") as file:
            head = file.read(20)
        machine = int.from_bytes(head[18:20], "little")  # e_machine, little-endian in both
        if head[:4] != b"\x7fELF" or machine != architecture.elf:
            raise SandboxError(f"{program.name} is no program for {architecture.name}", details=str(program))
