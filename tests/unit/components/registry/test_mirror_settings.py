"""Upstream registries as mirrors know them, and the settings of a cache, as distribution reads them."""

from __future__ import annotations

import pytest
import yaml

from sandbox.components.registry import mirror_settings
from sandbox.components.registry.mirror_settings import Upstream, parse_upstream
from sandbox.oci.credential import Credential

HUB = parse_upstream("docker.io")


def proxy(account: Credential | None) -> object:
    return yaml.safe_load(mirror_settings.settings(HUB, account, data="/data", port=5000))["proxy"]


def test_mirror_settings_say_address_data_and_upstream() -> None:
    found = yaml.safe_load(mirror_settings.settings(HUB, None, data="/data", port=5000))
    assert (found["version"], found["http"]["addr"]) == (0.1, ":5000")
    assert found["storage"] == {"filesystem": {"rootdirectory": "/data"}, "delete": {"enabled": True}}
    assert found["proxy"]["remoteurl"] == "https://registry-1.docker.io"


def test_an_account_is_written_whatever_its_password() -> None:
    account = Credential("me", "it's: {odd}\\ #")
    assert proxy(account) == {"remoteurl": HUB.url, "username": "me", "password": "it's: {odd}\\ #"}


@pytest.mark.parametrize("account", [None, Credential(identity="token"), Credential("me", identity="token")])
def test_mirror_without_password_starts_without_its_upstream(account: Credential | None) -> None:
    assert proxy(account) == {"remoteurl": HUB.url, "exec": {"command": "anonymous"}}
    assert not mirror_settings.usable(account)


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("docker.io", "docker.io", "https://registry-1.docker.io"),
        ("quay.io", "quay.io", "https://quay.io"),
        ("reg.office:5000", "reg.office:5000", "https://reg.office:5000"),
        ("http://reg.office:5000", "reg.office:5000", "http://reg.office:5000"),
    ],
)
def test_images_names_and_urls(text: str, name: str, url: str) -> None:
    assert parse_upstream(text) == Upstream(name, url)
