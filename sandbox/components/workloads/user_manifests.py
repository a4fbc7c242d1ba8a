"""Reads the user manifests: the objects of everything that `apply` names, written as they are or rendered.

A kustomization is rendered by kubectl's own kustomize, without a network unless the spec allows it. What is neither a
file nor a folder here is refused before kustomize, which would take it for a URL or a git repository, is called. Files,
unlike bases, have to be in the folder or below it (kustomize, LoadRestrictionsRootOnly).
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.bundle import released_tools
from sandbox.bundle.store import Store
from sandbox.config import text_file, yaml_text
from sandbox.config.schema.apply_schema import AnyChart, Item, Kustomization, Release
from sandbox.errors import BadFile, MissingTool
from sandbox.kube import manifests
from sandbox.system import process
from sandbox.system.files import from_here, is_dir, is_file
from sandbox.system.process import ToolFailed

LOCAL_TIMEOUT, REMOTE_TIMEOUT = 60.0, 300.0  # seconds
# Lists of files, folders or, for kustomize, URLs and git repositories (kustomize API, types.Kustomization).
BASES = ("resources", "bases", "components")
PLUGINS = ("generators", "transformers", "validators")  # files, folders, or documents in their place
# Keeps kustomize and the git that it calls from the network.
NOWHERE = "http://127.0.0.1:9"
OFFLINE: Mapping[str, str] = {
    "HTTP_PROXY": NOWHERE,
    "HTTPS_PROXY": NOWHERE,
    "NO_PROXY": "",
    "GIT_ALLOW_PROTOCOL": "none",
}
_REMOTE = re.compile(r"^[a-z][a-z0-9+.-]*://|^git@|^[\w.-]+\.[a-z]{2,}[/:]|[?&](ref|version)=", re.IGNORECASE)


@dataclass(frozen=True)
class Reads:
    """What a kustomization reads: folders and manifests of this machine, and bases that have to be `fetched`."""

    local: tuple[Path, ...]
    fetched: tuple[str, ...]


def load(items: Iterable[Item], store: Store) -> tuple[dict[str, Any], ...]:
    """Return the objects in an order to apply them in, without those of charts."""
    objects: list[dict[str, Any]] = []
    for item in items:
        if source := rendered(item):
            objects += manifests.parse(text(source, store), origin=f"what {source.kustomize} renders to")
        elif isinstance(item, Path):
            objects += manifests.read(item)
    return manifests.ordered(objects)


def charts(items: Iterable[Item]) -> tuple[AnyChart, ...]:
    return tuple(item for item in items if isinstance(item, Release))


def rendered(item: Item) -> Kustomization | None:
    """Return the kustomization that the item names, by itself or by a folder that has one."""
    if isinstance(item, Kustomization):
        return item
    if isinstance(item, Release):
        return None
    return Kustomization(kustomize=item) if item.is_dir() and manifests.kustomization(item) else None


def text(source: Kustomization, store: Store) -> str:
    """Return the objects of the kustomization as YAML. Raises BadFile with kustomize's own words, and MissingTool.

    Unless it is `remote`, one that fetches anything is refused. `store` has the kubectl of machines without one.
    """
    folder = source.kustomize
    fetched = reads(folder).fetched
    trusted = f"for what it fetches, if you trust that: {{kustomize: {from_here(folder)}, remote: true}} below `apply`"
    if fetched and not source.remote:
        raise BadFile(f"{folder} fetches {fetched[0]}", details="\n".join(fetched[1:]), fix=trusted)
    with tempfile.TemporaryDirectory() as parent:
        output = Path(parent) / "objects.yaml"  # kustomize's warnings go to standard error
        kubectl = released_tools.find("kubectl", store)
        if kubectl is None:
            raise MissingTool("kubectl is not installed", fix="install kubectl, or sandbox bundle build kubernetes")
        if kubectl.name != "kubectl":  # the bundle's program goes by the name that it is called by
            program, kubectl = kubectl, Path(parent) / "kubectl"
            kubectl.symlink_to(program)
        argv: process.Argv = [kubectl, "kustomize", folder, "--output", output]
        timeout, env = (REMOTE_TIMEOUT, None) if source.remote else (LOCAL_TIMEOUT, OFFLINE)
        try:
            process.run(argv, timeout=timeout, env=env)
        except ToolFailed as error:
            message = error.output.strip() or error.details
            raise BadFile(f"{folder} cannot be rendered", details=message, fix=f"correct it; {trusted}") from error
        return text_file.read(output)


def reads(folder: Path) -> Reads:
    """Return the folders and manifests of the kustomization and its bases, and all bases that are remote."""
    local: dict[Path, None] = {}
    fetched: dict[str, None] = {}
    pending = [folder]
    while pending:
        place = pending.pop()
        if place in local:
            continue
        file = manifests.kustomization(place)
        if file is None:
            raise BadFile(f"{place} has no kustomization.yaml", fix="see `apply` in sandbox.yaml")
        local |= dict.fromkeys((place, file))
        for key, text in _listed(_content(file)):
            path = place / text
            if "://" in text:  # kustomize takes it for a URL even where there is such a file
                fetched[text] = None
            elif is_dir(path):
                pending.append(Path(os.path.normpath(path)))
            elif is_file(path):
                local[path] = None
            elif key in BASES:
                if not _REMOTE.search(text):
                    raise BadFile(f"{file} names {text}, which is not there", fix="correct it")
                fetched[text] = None
    return Reads(tuple(local), tuple(fetched))


def _content(file: Path) -> Mapping[str, Any]:
    try:
        documents = yaml_text.documents(text_file.read(file))
    except yaml.YAMLError as error:
        raise BadFile(f"{file} is not valid YAML", details=str(error)) from error
    content = documents[0] if len(documents) == 1 else None
    if not isinstance(content, dict):
        raise BadFile(f"{file}: not a mapping of keys", fix="correct it")
    lists = (*BASES, *PLUGINS)
    if odd := next((key for key in content if key not in lists and str(key).lower() in lists), None):
        # kustomize takes it for the same key, and a base would not be seen here (Go, encoding/json).
        raise BadFile(f"{file}: '{odd}' is not a key", fix=f"write {str(odd)[0].lower()}{str(odd)[1:]}")
    return content


def _listed(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in (*BASES, *PLUGINS):
        entries = content.get(key)
        texts = [text for text in entries if isinstance(text, str)] if isinstance(entries, list) else []
        yield from ((key, text) for text in texts if "\n" not in text and not text.lstrip().startswith(("{", "[")))
