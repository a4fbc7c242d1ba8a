"""A cluster by kind alone, from the sandbox's own node image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from sandbox.app import context
from sandbox.bundle import released_tools
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import OwnImages
from sandbox.components.cluster.kind.cluster_config import RESOLV_CONF
from sandbox.components.cluster.kind.command import Kind
from sandbox.engine import Engine
from sandbox.system import resolvers

NAME = "sandbox-bench-bare"


def program() -> Path:
    """The kind on the PATH, else the bundle's."""
    return Kind.of(released_tools.find("kind", Store(context.home().bundle)), "kind").program


def create(folder: Path, engine: Engine, own: OwnImages, *, nodes: int = 1) -> Sequence[str | Path]:
    """The command that makes it, with its files in a folder."""
    return (
        *(program(), "create", "cluster", "--name", NAME, "--wait", "60s"),
        *("--image", str(engine.image_id(own.references["node"]))),
        *(
            "--config",
            config(folder, engine, bundle=own.source == "bundle", nodes=nodes),
            "--kubeconfig",
            folder / "kubeconfig",
        ),
    )


def delete(folder: Path) -> Sequence[str | Path]:
    """The command that removes it."""
    return (program(), "delete", "cluster", "--name", NAME, "--kubeconfig", folder / "kubeconfig")


def config(folder: Path, engine: Engine, *, bundle: bool, nodes: int = 1) -> Path:
    """A configuration with only what the image cannot start without, and nameservers that pods can reach.

    kind's own images see to that; with the engine's, which is on a loopback address, CoreDNS would ask itself and end.
    """
    kubelet: dict[str, object] = {"kind": "KubeletConfiguration"}
    if engine.facts().cgroup_version == 1:
        kubelet["failCgroupV1"] = False
    cluster: dict[str, object] = {"kind": "ClusterConfiguration"}
    if bundle:
        cluster["etcd"] = {"local": {"imageTag": f"{recipes()['etcd'].version}-0"}}
        cluster["dns"] = {"imageTag": recipes()["coredns"].version}
        kubelet["resolvConf"] = RESOLV_CONF
    patches = [json.dumps(patch) for patch in (kubelet, cluster)]
    path = folder / "kind.yaml"
    content: dict[str, object] = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4"}
    servers = folder / "resolv.conf"
    servers.write_text(resolvers.resolv_conf(resolvers.upstream().servers))
    mounts = [{"hostPath": str(servers), "containerPath": RESOLV_CONF}] if bundle else []
    roles = ("control-plane", *("worker" for _ in range(1, nodes)))
    content["nodes"] = [{"role": role, "extraMounts": mounts} for role in roles]
    content |= {"kubeadmConfigPatches": patches}
    path.write_text(yaml.safe_dump(content))
    return path
