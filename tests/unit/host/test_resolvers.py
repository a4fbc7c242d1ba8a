"""Which of the host's nameservers pods get."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.host.resolvers import WELL_KNOWN, nameservers, resolv_conf


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 10.0.0.2\nsearch corp\nnameserver 10.0.0.3 # two\n", ("10.0.0.2", "10.0.0.3")),
        ("nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n", None),
        ("nameserver 127.0.0.53\noptions edns0\n", WELL_KNOWN),
        ("nameserver ::1\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 9.9.9.9\n", ("9.9.9.9",)),
        ("# nameserver 9.9.9.9\nnameserver\nnameserver none\n", WELL_KNOWN),
        ("", WELL_KNOWN),
    ],
)
def test_those_that_pods_can_reach_are_taken(tmp_path: Path, text: str, found: tuple[str, ...] | None) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(text)
    assert nameservers([file]) == (found or ("10.0.0.1", "10.0.0.2", "10.0.0.3"))


def test_the_first_file_that_has_some_counts(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\n")
    real.write_text("nameserver 192.168.1.1\n")
    assert nameservers([tmp_path / "none", stub, real]) == ("192.168.1.1",)
    assert nameservers([tmp_path / "none"]) == WELL_KNOWN


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(resolv_conf(["9.9.9.9", "10.1.2.3"]))
    assert nameservers([file]) == ("9.9.9.9", "10.1.2.3")
