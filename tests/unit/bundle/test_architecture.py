"""Architectures: this machine's by what its kernel says, a program's by its head."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox.bundle import architecture
from sandbox.bundle.architecture import AMD64, ARM64, Architecture
from sandbox.errors import SandboxError, UsageError


def pretend(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(machine=machine))


@pytest.mark.parametrize(
    ("machine", "found"),
    [("x86_64", AMD64), ("aarch64", ARM64), ("arm64", ARM64), ("amd64", AMD64), ("riscv64", AMD64)],
)
def test_native_is_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch, machine: str, found: Architecture) -> None:
    """Linux and macOS have other words for the same machine."""
    pretend(monkeypatch, machine)
    assert architecture.native() == found


def test_unknown_architecture_is_refused_with_the_known() -> None:
    assert architecture.named("arm64") == ARM64
    with pytest.raises(UsageError, match="no bundle for arm") as caught:
        architecture.named("arm")
    assert caught.value.fix == "it can be for amd64 or arm64"


@pytest.mark.parametrize(
    ("content", "fits"),
    [
        (b"\x7fELF".ljust(18, b"\0") + b"\xb7\0rest", True),
        (b"\x7fELF".ljust(18, b"\0") + b"\x3e\0", False),
        (b"#!/bin/sh\n", False),
        (b"", False),
    ],
)
def test_program_of_another_machine_is_refused(tmp_path: Path, content: bytes, fits: bool) -> None:
    (tmp_path / "tool").write_bytes(content)
    with nullcontext() if fits else pytest.raises(SandboxError, match="tool is no program for arm64"):
        architecture.require([tmp_path / "tool"], ARM64)
