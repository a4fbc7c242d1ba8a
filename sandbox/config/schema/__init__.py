"""What a sandbox.yaml may say: every key, its meaning, its default and what is refused, as frozen models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sandbox.config import loader
from sandbox.config.resolved import ResolvedProxy, ResolvedRegistry, ResolvedSpec
from sandbox.config.schema.apply_schema import Kustomization, below
from sandbox.config.schema.certificates_schema import Certificate, Certs, KeyPairFiles
from sandbox.config.schema.cluster_schema import Cluster, Images, KindOptions, Nodes
from sandbox.config.schema.edge_schema import Proxy, ProxyHost
from sandbox.config.schema.ingress_schema import Ingress
from sandbox.config.schema.registry_schema import Registry
from sandbox.config.schema.spec import Spec
from sandbox.config.schema.values import as_name
from sandbox.errors import BadFile

__all__ = [
    "Certificate",
    "Certs",
    "Cluster",
    "Images",
    "Ingress",
    "KeyPairFiles",
    "KindOptions",
    "Kustomization",
    "Nodes",
    "Proxy",
    "ProxyHost",
    "Registry",
    "ResolvedProxy",
    "ResolvedRegistry",
    "ResolvedSpec",
    "Spec",
    "load",
    "schema",
]


def load(path: Path, *, called: str | None = None) -> Spec:
    """The spec in the file `path`, its own paths made absolute from the file's folder; raises UsageError.

    One without a name gets that of its folder, or of the folder `called`, as far as it can be one.
    """
    name = as_name(called or Path(os.path.abspath(path.parent)).name)  # noqa: PTH100  # links are not followed
    spec = loader.load(
        path,
        Spec,
        create="`sandbox init` writes one; -f FILE names another",
        unsaid={"name": name} if name else None,
    )
    if "name" not in spec.model_fields_set:
        raise BadFile(f"{path}: there is no `name`, and its folder's cannot be one", fix="write `name: demo`")
    folder = path.parent.absolute()
    default = spec.certs.default and KeyPairFiles(
        cert=folder / spec.certs.default.cert, key=folder / spec.certs.default.key
    )
    storage = spec.registry.storage and folder / spec.registry.storage
    absolute = {
        "certs": spec.certs.model_copy(update={"default": default}),
        "registry": spec.registry.model_copy(update={"storage": storage}),
        "credentials": tuple(
            entry.model_copy(update={"file": folder / entry.file}) if entry.file else entry
            for entry in spec.credentials
        ),
        "cluster": spec.cluster.model_copy(
            update={"mounts": tuple(one.model_copy(update={"host": folder / one.host}) for one in spec.cluster.mounts)}
        ),
        "push": folder / spec.push if spec.push else None,
        "addons": tuple(each.below(folder) for each in spec.addons),
        "apply": tuple(below(folder, each) for each in spec.apply),
    }
    # What the file does not say stays unsaid: a cluster that the user made is offered to whoever asks for none.
    return spec.model_copy(update={key: absolute[key] for key in spec.model_fields_set & absolute.keys()})


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a sandbox.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Spec.model_json_schema(),
        "title": "sandbox.yaml",
    }
