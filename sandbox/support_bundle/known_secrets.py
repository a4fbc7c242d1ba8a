"""The secrets that this machine and the cluster are known to hold, so that they can be looked for everywhere else."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import yaml

from sandbox.config.schema import Spec
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Home
from sandbox.support_bundle.redaction import secrets_in, secrets_of

PUBLIC = frozenset({"ca.crt", "tls.crt", "namespace"})
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_ACCOUNT = re.compile(r"//[^/@\s]*?:([^/@\s]+)@")
_SIZE = 1 << 20


def on_this_machine(home: Home, spec: Spec, environment: Mapping[str, str]) -> Iterator[str]:
    """Those in keys, kubeconfigs, the settings of caches, Docker's and the spec's credentials and proxies' URLs."""
    for key in (*(home.state / "certificates").rglob("*.key"), *(home.edge / "keys").glob("*.pem")):
        yield from secrets_of(_read(key))
    own = (*(home.state / "sandboxes").glob("*/kubeconfig"), *(home.state / "mirrors").glob("*/*/*.yml"))
    for file in (home.kubeconfig, *home.other_kubeconfigs, *own):
        with suppress(yaml.YAMLError):
            yield from secrets_in(yaml.safe_load(_read(file)))
    docker = Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    for account in (docker, *(Path(entry.file) for entry in spec.credentials if entry.file)):
        yield from secrets_of(_read(account))
    for name, value in environment.items():
        if name.lower() in PROXIES:
            yield from _ACCOUNT.findall(value)
    yield from _ACCOUNT.findall(spec.model_dump_json())


def in_the_cluster(kubeconfig: Path, namespace: str | None) -> Iterator[str]:
    """The data of every Secret, or of those in `namespace`, as it is and decoded; nothing from a silent cluster."""
    with suppress(SandboxError):
        for one in Cluster(kubeconfig).list("v1", "Secret", namespace):
            for name, value in (one.get("data") or {}).items():
                if name not in PUBLIC:
                    yield value
                    with suppress(binascii.Error, UnicodeDecodeError):
                        yield from secrets_of(base64.b64decode(value).decode())


def _read(path: Path) -> str:
    with suppress(OSError), path.open(errors="replace", encoding="utf-8") as file:
        return file.read(_SIZE)
    return ""
