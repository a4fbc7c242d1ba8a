"""This machine's addresses, as iproute2 tells them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.system import addresses


def told(folder: Path, said: str) -> None:
    """Let the program `ip` say this."""
    program = folder / "ip"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    program.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder of the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_private_addresses_come_first_and_those_that_nobody_else_reaches_not_at_all(folder: Path) -> None:
    interfaces = {
        "wan0": "8.8.4.4",
        "wlan0": "192.168.177.5",
        "docker0": "172.17.0.1",
        "br-0123456789ab": "172.18.0.1",
        "br-home": "10.1.2.3",
        "usb0": "169.254.3.4",
    }
    rows = [{"ifname": name, "addr_info": [{"local": address}]} for name, address in interfaces.items()]
    told(folder, json.dumps([{}, *rows]))
    found = [address for address in addresses.lan() if address in interfaces.values()]
    assert found == ["10.1.2.3", "192.168.177.5", "8.8.4.4"]


@pytest.mark.parametrize("said", ["", "no such option"])
def test_the_default_route_s_address_has_to_do_where_it_tells_nothing(folder: Path, said: str) -> None:
    told(folder, said)
    assert len(addresses.lan()) <= 1
