"""The edge's configuration as HAProxy itself judges it."""

from __future__ import annotations

import io
import tarfile
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import haproxy
from sandbox.components.edge.listening import Place
from sandbox.components.edge.route import Host, RegistryRoute, Route
from tests.support.bundled import engine_with

IMAGE = recipes()["haproxy"].reference


def packed(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"{haproxy.FOLDER}/{name}".lstrip("/"))
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return content.getvalue()


@pytest.mark.real
@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("host", [True, False])
@pytest.mark.parametrize("names", [["demo"], ["https", "engine", "a-1"]])
def test_haproxy_takes_the_configuration_without_a_warning(
    names: list[str], host: bool, ends: bool, tmp_path: Path
) -> None:
    keystore = Keystore(tmp_path)
    keystore.authority(["a.test"], now=datetime.now(UTC))
    leaf = keystore.leaf("edge", ["a.test"], now=datetime.now(UTC))
    hosts = (Host("a.test", terminate=True), Host("b.test", terminate=True, to="localhost:1"), Host("c.test"))
    routes = [
        replace(
            Route(name, f"{name}.test", f"sandbox-{name}", (("127.0.0.1", 443),), 1.0),
            replicas=("10.0.0.2:8443",),
            hosts=tuple(replace(host, host=f"{name}.{host.host}") for host in hosts) if ends else (),
            aliases=(f"{name}.lan",) if ends else (),
            proof="ready.test" if ends else "",
        )
        for name in names
    ]
    registries = [RegistryRoute(name, 5001 + number, "10.0.0.3:5000") for number, name in enumerate(names)]
    keys = {f"keys/{name}.pem": (leaf.key_pem + leaf.cert_pem).decode() for name in names}
    client = engine_with("haproxy")._client
    argv = ["haproxy", "-c", "-dW", "-f", str(Path(haproxy.FOLDER, "haproxy.cfg"))]
    box = client.containers.create(IMAGE, entrypoint=argv, name=f"sandbox-test-{uuid.uuid4().hex[:8]}")
    try:
        box.put_archive(
            "/", packed({**haproxy.render(routes, registries, Place(host, user=1 if host else None)), **keys})
        )
        box.start()
        status = box.wait()["StatusCode"]
        said = box.logs().decode()
    finally:
        box.remove(force=True)
    assert status == 0, said
