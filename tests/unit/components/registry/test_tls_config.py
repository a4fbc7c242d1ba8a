"""What containerd is told of registries behind the ingress."""

from __future__ import annotations

import tomllib
from pathlib import PurePosixPath

from sandbox.components.certificates.cluster_trust import ROOT
from sandbox.components.registry.tls_config import host_files, names

HOSTS = ("hub.demo.localhost", "hub.demo.localhost:8443", "other.demo.localhost:443")


def test_names_are_pulled_from_ingress_on_443_with_the_root() -> None:
    files = host_files(HOSTS)
    assert set(files) == {PurePosixPath(f"/etc/containerd/certs.d/{host}/hosts.toml") for host in HOSTS}
    for path, content in files.items():
        said = tomllib.loads(content.decode())
        url = f"https://{path.parent.name.partition(':')[0]}"
        assert said == {"server": url, "host": {url: {"capabilities": ["pull", "resolve"], "ca": str(ROOT)}}}
        assert PurePosixPath(said["host"][url]["ca"]).is_absolute()


def test_a_name_is_known_once() -> None:
    assert names(HOSTS) == ("hub.demo.localhost", "other.demo.localhost")
