"""A folder with a kustomization: rendered by kubectl's own kustomize, after a check of what it reads.

Nothing is fetched that the user did not ask for: what is neither a file nor a folder here is refused before kustomize,
which would take it for a URL or a git repository, is called.
"""

from __future__ import annotations

import ast
import os
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.bundle import host_programs
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.config import text_file, yaml_text
from sandbox.errors import BadFile, MissingTool
from sandbox.kube.manifests import kustomization
from sandbox.system import process
from sandbox.system.files import from_here, is_dir, is_file
from sandbox.system.process import ToolFailed

LOCAL_TIMEOUT, REMOTE_TIMEOUT = 60.0, 300.0  # seconds
DEEPEST = 32  # levels of bases below bases
# Lists of files, folders or, for kustomize, URLs and git repositories (kustomize API, types.Kustomization).
BASES = ("resources", "bases", "components")
PLUGINS = ("generators", "transformers", "validators")  # files, or documents in their place, that name files again
FILES = ("crds", "configurations", *PLUGINS, "patchesStrategicMerge")
# All keys of a kustomization (kustomize API, types.Kustomization). Go reads keys whatever their case.
KEYS = {
    *("apiVersion", "buildMetadata", "commonAnnotations", "commonLabels", "configMapGenerator", "generatorOptions"),
    *("helmGlobals", "imageTags", "images", "kind", "labels", "metadata", "namePrefix", "nameSuffix", "namespace"),
    *("openapi", "patches", "patchesJson6902", "replacements", "replicas", "secretGenerator", "sortOptions", "vars"),
}
# Keys of the user's own choice are below these.
FREE = ("annotations", "commonAnnotations", "commonLabels", "labels", "pairs")
# Keys of charts, which kustomize renders by helm where it is told that it may.
CHARTS = ("helmCharts", "helmChartInflationGenerator")
# Keys of files anywhere below the others; `files` and `envs` may have KEY=FILE.
PATHS = ("path", "files", "env", "envs")
# Keeps kustomize and the git that it calls from the network.
OFFLINE: Mapping[str, str] = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "",
    "GIT_ALLOW_PROTOCOL": "none",
}
_REMOTE = re.compile(r"^[a-z][a-z0-9+.-]*://|^git@|^[\w.-]+\.[a-z]{2,}[/:]|[?&](ref|version)=", re.IGNORECASE)


# kubectl logs its last error, with the time and its own line (klog).
_LOGGED = re.compile(
    r'^E\d{4} [^\n]*? "command failed" err=(?:("(?:[^"\\]|\\.)*")|<\n(.*)\n >)$', re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Reads:
    """What a kustomization reads: files and folders of this machine, and what has to be `fetched`."""

    local: tuple[Path, ...]
    fetched: tuple[str, ...]


def render(folder: Path, store: Store, *, remote: bool = False) -> str:
    """Return the objects of the kustomization as YAML. Raises BadFile with kustomize's own words, and MissingTool.

    Unless `remote`, one that fetches anything is refused. `store` has the kubectl of machines without one.
    """
    found = reads(folder)
    if found.fetched and not remote:
        raise BadFile(
            f"{folder} fetches {found.fetched[0]}",
            details="\n".join(found.fetched[1:]),
            fix=f"if you trust that, write {{kustomize: {from_here(folder)}, remote: true}} below `apply`; "
            "or put it into the project",
        )
    with tempfile.TemporaryDirectory() as place:
        rendered = Path(place) / "objects.yaml"  # what kustomize warns of goes to standard error
        kubectl = process.which("kubectl")
        if kubectl is None:
            kubectl = Path(place) / "kubectl"  # the bundle's program goes by the name that it is called by
            kubectl.symlink_to(_bundled(store))
        argv: process.Argv = [kubectl, "kustomize", folder, "--output", rendered]
        try:
            if found.fetched:
                process.run(argv, timeout=REMOTE_TIMEOUT)
            else:
                process.run(argv, timeout=LOCAL_TIMEOUT, env=OFFLINE)
        except ToolFailed as error:
            said = _LOGGED.sub(_unquoted, error.output.strip()) or error.details
            raise BadFile(f"{folder} cannot be rendered", details=said, fix="correct it") from error
        return text_file.read(rendered)


def _unquoted(logged: re.Match[str]) -> str:
    """Return the message of a line of a log, which Go has quoted, or indented."""
    if logged[2] is not None:
        return textwrap.dedent(logged[2])
    try:
        return str(ast.literal_eval(logged[1]))
    except (ValueError, SyntaxError):
        return logged[1]


def reads(folder: Path) -> Reads:
    """Return every file and folder that the kustomization refers to, and every URL.

    Raises BadFile for anything else.
    """
    reading = _Reading()
    reading.look(folder)
    return Reads(tuple(reading.local), tuple(reading.fetched))


def _bundled(store: Store) -> Path:
    if (found := store.tool(recipes()["kubernetes"], "kubernetes")) is None:
        fix = host_programs.advice("kubectl", linux="install kubectl, or sandbox bundle build kubernetes")
        raise MissingTool("kubectl is not installed", fix=fix)
    return found


class _Reading:
    """What was found so far of a kustomization and its bases, each once."""

    def __init__(self) -> None:
        self.local: dict[Path, None] = {}
        self.fetched: dict[str, None] = {}

    def look(self, folder: Path, depth: int = DEEPEST, *, plugins: bool = False) -> None:
        """Find what the kustomization in a folder reads, with its bases `depth` levels deep. Raises BadFile.

        It may be one whose objects are `plugins` of another.
        """
        file = kustomization(folder)
        if file is None:
            raise BadFile(f"{folder} has no kustomization.yaml", fix="see `apply` in sandbox.yaml")
        if folder in self.local:
            return
        if not depth:
            raise BadFile(f"{folder}: there are more than {DEEPEST} levels of bases")
        self.local |= dict.fromkeys((folder, file))
        content = _content(file)
        for key, text in _listed(content):
            path, is_plugin = folder / text, plugins or key in PLUGINS
            if "://" in text:  # kustomize takes it for a URL even where there is such a file
                self.fetched[text] = None
            elif is_dir(path):
                self.look(Path(os.path.normpath(path)), depth - 1, plugins=is_plugin)
            elif is_file(path):
                self.local[path] = None
                if is_plugin:
                    self._note(_documents(path), folder)
            elif _REMOTE.search(text):
                self.fetched[text] = None
            else:
                raise BadFile(f"{file} names {text}, which is not there", fix="correct it")
        self._note([_parsed(one, file) for key in PLUGINS for one in content.get(key) or () if _is_inline(one)], folder)
        self._note({key: value for key, value in content.items() if key not in (*BASES, *FILES)}, folder)

    def _note(self, content: Any, folder: Path) -> None:
        """Note what the rest of one, or the file of a generator, names; kustomize reports what is missing."""
        try:
            found = list(_paths(content))
        except BadFile as error:
            error.brief = f"{folder}: {error.brief}"
            raise
        for text in found:
            if "://" in text:
                self.fetched[text] = None
            elif is_file(folder / text):
                self.local[folder / text] = None


def _content(file: Path) -> Mapping[str, Any]:
    found = _documents(file)
    content = found[0] if len(found) == 1 else None
    if not isinstance(content, dict):
        raise BadFile(f"{file}: not a mapping of keys", fix="correct it")
    if unknown := content.keys() - {*KEYS, *BASES, *FILES, *CHARTS}:
        raise BadFile(f"{file}: `{min(map(str, unknown))}` is no key of a kustomization", fix="correct it")
    if charts := next((key for key in CHARTS if content.get(key)), None):
        raise BadFile(
            f"{file} names charts ({charts}), which `kubectl kustomize` does not render",
            fix="name them below `apply` in sandbox.yaml: {chart: NAME, repo: URL, version: VERSION}",
        )
    for key in (*BASES, *FILES):
        if not isinstance(content.get(key) or [], list):
            raise BadFile(f"{file}: {key} is not a list", fix="correct it")
    return content


def _documents(file: Path) -> list[Any]:
    return _parsed(text_file.read(file), file)


def _parsed(text: str, file: Path) -> list[Any]:
    try:
        return yaml_text.documents(text)
    except yaml.YAMLError as error:
        raise BadFile(f"{file} is not valid YAML", details=yaml_text.reason(error)) from error


def _listed(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the files and folders that the kustomization lists, each with its key."""
    for key in (*BASES, *FILES):
        yield from ((key, one) for one in content.get(key) or () if isinstance(one, str) and not _is_inline(one))


def _is_inline(listed: Any) -> bool:
    """Tell whether it is a YAML document in place of a file."""
    return isinstance(listed, str) and ("\n" in listed or listed.lstrip().startswith(("{", "[")))


def _paths(content: Any, depth: int = DEEPEST) -> Iterator[str]:
    """Yield names of files below the keys that hold such."""
    if isinstance(content, list) and depth:
        for one in content:
            yield from _paths(one, depth - 1)
    if isinstance(content, dict) and depth:
        for key, value in content.items():
            if key not in PATHS and str(key).casefold() in PATHS:
                raise BadFile(f"`{key}` is no key of a kustomization", fix=f"write {str(key).casefold()}")
            if key in PATHS:
                yield from _named(key, value)
            elif key not in FREE:
                yield from _paths(value, depth - 1)


def _named(key: str, value: Any) -> Iterator[str]:
    """Yield names of files in the value of such a key, which may be NAME=FILE."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and one and "\n" not in one:
            yield one if key == "path" else one.partition("=")[2] or one
