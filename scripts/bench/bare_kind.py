"""A cluster by kind alone, from the sandbox's own node image and with nothing of its tuning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import OwnImages
from sandbox.components.cluster.kind.command import Kind
from sandbox.engine import Engine

NAME = "sandbox-bench-bare"


def program() -> Path:
    """The kind on the PATH, else the bundle's."""
    return Kind.find("kind", extra=Store(context.home().bundle).program(recipes()["kind"], "kind").parent).program


def create(folder: Path, engine: Engine, own: OwnImages) -> Sequence[str | Path]:
    """The command that makes it, with its files in a folder."""
    return (
        *(program(), "create", "cluster", "--name", NAME, "--wait", "60s"),
        *("--image", str(engine.image_id(own.references["node"]))),
        *("--config", config(folder, engine, bundle=own.source == "bundle"), "--kubeconfig", folder / "kubeconfig"),
    )


def delete(folder: Path) -> Sequence[str | Path]:
    """The command that removes it."""
    return (program(), "delete", "cluster", "--name", NAME, "--kubeconfig", folder / "kubeconfig")


def config(folder: Path, engine: Engine, *, bundle: bool) -> Path:
    """A configuration with only what the image cannot start without."""
    kubelet: dict[str, object] = {"kind": "KubeletConfiguration"}
    if engine.cgroup_version() == 1:
        kubelet["failCgroupV1"] = False
    cluster: dict[str, object] = {"kind": "ClusterConfiguration"}
    if bundle:
        cluster["etcd"] = {"local": {"imageTag": f"{recipes()['etcd'].version}-0"}}
        cluster["dns"] = {"imageTag": recipes()["coredns"].version}
    patches = [json.dumps(patch) for patch in (kubelet, cluster)]
    path = folder / "kind.yaml"
    path.write_text(
        yaml.safe_dump({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "kubeadmConfigPatches": patches})
    )
    return path
