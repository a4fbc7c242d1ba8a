"""API servers that tests are held to: the small one in memory, and the bundle's own over an etcd, by kubeconfig."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.bundle.recipe import recipes
from sandbox.kube.api import Cluster
from sandbox.system.wait import wait_until
from tests.support import bundled
from tests.support.api_server import kubeconfig, serving
from tests.support.ports import free_port

ACCOUNT = 'secret,admin,admin,"system:masters"\n'


@contextmanager
def running(*words: object, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen([str(one) for one in words], cwd=log.parent, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def memory(folder: Path) -> Iterator[Path]:
    with serving() as server:
        yield kubeconfig(folder / "kubeconfig", server.server_port)


@contextmanager
def real(folder: Path) -> Iterator[Path]:
    """The kubeconfig of the bundle's API server, which has an etcd of its own and no controllers."""
    store, known = bundled.store_with("kubernetes", "etcd"), recipes()
    (folder / "kube-apiserver").symlink_to(store.program(known["kubernetes"], "kubernetes"))
    (folder / "accounts").write_text(ACCOUNT)
    key = rsa.generate_private_key(65537, 2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key").write_bytes(key.private_bytes(*form))
    clients, peers, port = (free_port() for _ in range(3))
    etcd = {
        "data-dir": folder / "etcd",
        "listen-client-urls": f"http://127.0.0.1:{clients}",
        "advertise-client-urls": f"http://127.0.0.1:{clients}",
        "listen-peer-urls": f"http://127.0.0.1:{peers}",
    }
    server = {
        "etcd-servers": f"http://127.0.0.1:{clients}",
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "cert-dir": folder,
        "service-cluster-ip-range": "10.96.0.0/16",
        "service-account-issuer": "https://tests.invalid",
        "service-account-key-file": folder / "key",
        "service-account-signing-key-file": folder / "key",
        "token-auth-file": folder / "accounts",
        "authorization-mode": "RBAC",
    }
    config = kubeconfig(folder / "kubeconfig", port)
    content = yaml.safe_load(config.read_text())
    content["clusters"][0]["cluster"] = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority": str(folder / "apiserver.crt"),
    }
    with ExitStack() as stack:
        for program, options in ((store.program(known["etcd"], "etcd"), etcd), (folder / "kube-apiserver", server)):
            words = [f"--{option}={value}" for option, value in options.items()]
            stack.enter_context(running(program, *words, log=folder / f"{program.name}.log"))
        wait_until(lambda: None if (folder / "apiserver.crt").exists() else "no certificate", what="it", timeout=60)
        config.write_text(yaml.safe_dump(content))
        wait_until(lambda: Cluster(config).trouble(), what="the API server", timeout=60)
        yield config
