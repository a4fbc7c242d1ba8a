"""The `helm` program: renders charts, installs, upgrades and uninstalls releases, and reads their state in a cluster.

Helm keeps a Secret for each revision of a release, whose labels tell its state and, since helm accepts labels from its
users, who made it (https://helm.sh/docs/topics/advanced/#storage-backends).
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import shlex
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.bundle import host_programs
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.workloads import chart_dependencies
from sandbox.config import text_file, untyped, yaml_text
from sandbox.config.schema import Chart, RemoteChart
from sandbox.config.schema.apply_schema import AnyChart
from sandbox.errors import BadFile, MissingTool, SandboxError
from sandbox.kube import manifests
from sandbox.kube.api import Cluster, ClusterError, Say
from sandbox.quantities import count
from sandbox.system import process
from sandbox.system.process import Stop, ToolFailed

RENDER_TIMEOUT, PULL_TIMEOUT, TIMEOUT = 120.0, 300.0, 600.0  # seconds
READY = 300  # seconds that helm waits for the pods
LABEL = "sandbox.dev/release"
OWN = "sandbox"  # the name of a repository with an account while a chart is pulled
DEPLOYED, INSTALLING = "deployed", "pending-install"
LARGEST = 32 << 20  # bytes of a release, unpacked
CHECK_EVERY = 1.0  # seconds between checks of what it waits for

Doomed = Callable[[], SandboxError | None]


@dataclass(frozen=True)
class Release:
    """The newest revision of a release: its state in helm's words, and whether a sandbox's `up` made it."""

    revision: int
    state: str
    ours: bool
    manifest: str


@dataclass(frozen=True)
class Helm:
    """The helm at a path; its errors in a cluster are SandboxErrors with its own words."""

    program: Path

    @classmethod
    def find(cls, store: Store) -> Helm:
        """Return the helm on the PATH, else the bundle's. Raises MissingTool."""
        found = process.which("helm") or store.tool(recipes()["helm"], "helm")
        if found is None:
            linux = "install helm 3.14 or newer, or sandbox bundle build helm"
            raise MissingTool("helm is not installed", fix=host_programs.advice("helm", linux=linux))
        return cls(found)

    def render(self, chart: Chart, *, whole: bool = False) -> tuple[dict[str, Any], ...]:
        """Return the objects that the chart renders to without a cluster. Raises BadFile with file and line.

        With `whole` the kinds that it defines are included, and its tests are not.
        """
        require_files(chart)
        argv: list[str | Path] = [self.program, "template", *(["--include-crds", "--skip-tests"] if whole else [])]
        with _quiet() as env, _values(chart) as values, chart_dependencies.whole(chart.chart) as folder:
            argv += [f"--namespace={chart.namespace}", *values, *_named(chart, folder)]
            try:
                text = process.run(argv, timeout=RENDER_TIMEOUT, env=env, merged=False)  # it logs symbolic links, too
            except ToolFailed as error:
                said = error.output.strip() or error.details
                called = chart.chart if chart.chart.is_dir() else chart.name
                raise BadFile(f"the chart {called} does not render", details=said, fix=_advice(said)) from error
        return tuple(manifests.parse(text, origin=f"what the chart {chart.name} renders to"))

    def pull(self, chart: RemoteChart, into: Path) -> Path:
        """Pull the chart's archive into an empty folder, with the user's own accounts. Raises SandboxError.

        Accounts are those of `helm registry login`, `docker login` and `helm repo add`; they are passed in files.
        """
        with _quiet() as env:
            env["HELM_REGISTRY_CONFIG"] = self._setting("HELM_REGISTRY_CONFIG") or env["HELM_REGISTRY_CONFIG"]
            argv: list[str | Path] = [self.program, "pull", chart.chart]
            if chart.repo and (account := self._account(chart.repo)):
                Path(env["HELM_REPOSITORY_CONFIG"]).write_text(yaml_text.dump(account).decode(), encoding="utf-8")
                argv = [self.program, "pull", f"{OWN}/{chart.chart}"]
                self._pulled([self.program, "repo", "update", OWN], env, chart)
            elif chart.repo:
                argv.append(f"--repo={chart.repo}")
            elif chart.is_on_this_machine:
                argv.append("--plain-http")
            self._pulled([*argv, f"--version={chart.version}", f"--destination={into}"], env, chart)
        found = list(into.glob("*.tgz"))
        if len(found) != 1:
            raise SandboxError(
                f"helm pulled no archive of {chart.source}", details=count(len(found), "file"), id="helm"
            )
        return found[0]

    def _pulled(self, argv: Sequence[str | Path], env: Mapping[str, str], chart: RemoteChart) -> None:
        try:
            process.run(argv, timeout=PULL_TIMEOUT, env=env)
        except ToolFailed as error:
            said = process.last_lines(error.output) or error.details
            brief = f"helm cannot pull {chart.source} {chart.version}"
            raise SandboxError(brief, details=said, fix=_pull_advice(said, chart), id="helm") from error

    def _setting(self, name: str) -> str:
        # Whatever the command, it warns on stderr of a kubeconfig that others may read.
        return process.run([self.program, "env", name], timeout=60, merged=False).strip()

    def _account(self, url: str) -> dict[str, Any] | None:
        """Return a repositories.yaml with the user's account at the repository, under the name OWN."""
        path = Path(self._setting("HELM_REPOSITORY_CONFIG") or "/nonexistent")
        try:
            content = yaml_text.document(text_file.read(path)) if path.is_file() else {}
        except (SandboxError, yaml.YAMLError):  # helm says so
            content = {}
        for one in untyped.mappings(content, "repositories"):
            if str(one.get("url")).rstrip("/") == url and one.get("username"):
                return {"apiVersion": "", "repositories": [{**one, "name": OWN}]}
        return None

    def upgrade(
        self, chart: Chart, kubeconfig: Path, images: Mapping[str, Any], say: Say, doomed: Doomed | None = None
    ) -> None:
        """Install or upgrade the release, with the `images` renamed (`ImageNames.renaming`), and wait.

        It is given up once `doomed` returns an error, which is raised.
        """
        argv: list[str | Path] = [self.program, "upgrade", "--install", "--create-namespace"]
        argv += [f"--namespace={chart.namespace}", f"--labels={LABEL}=true", "--wait", f"--timeout={READY}s"]
        with (
            _quiet() as env,
            self._renaming(images) as (options, more),
            _values(chart) as values,
            chart_dependencies.whole(chart.chart) as folder,
            _given_up(doomed) as stop,
        ):
            argv += [*options, *values, *_named(chart, folder)]
            self._run(argv, kubeconfig, {**env, **more}, chart.name, say, stop)

    def recover(self, chart: Chart, kubeconfig: Path, state: str, say: Say) -> None:
        """Free a release that a killed helm left in a pending state."""
        words = ["uninstall"] if state == INSTALLING else ["rollback"]
        argv: list[str | Path] = [self.program, *words, f"--namespace={chart.namespace}", "--wait", "--", chart.name]
        with _quiet() as env:
            self._run(argv, kubeconfig, env, chart.name, say)

    def uninstall(self, name: str, namespace: str, kubeconfig: Path, say: Say) -> None:
        """Uninstall the release with all its objects."""
        words = ("uninstall", f"--namespace={namespace}", "--wait", f"--timeout={READY}s", "--", name)
        with _quiet() as env:
            self._run([self.program, *words], kubeconfig, env, name, say)

    def _run(
        self,
        argv: Sequence[str | Path],
        kubeconfig: Path,
        env: Mapping[str, str],
        release: str,
        say: Say,
        stop: Stop | None = None,
    ) -> None:
        def on_line(line: str) -> None:
            if line.strip():
                say(line.strip())

        try:
            process.run(argv, timeout=TIMEOUT, env={**env, "KUBECONFIG": str(kubeconfig)}, on_line=on_line, stop=stop)
        except ToolFailed as error:
            said = process.last_lines(error.output) or error.details
            raise SandboxError(
                f"helm cannot bring the release {release}", details=said, fix=_advice(said), id="helm"
            ) from error

    @contextmanager
    def _renaming(self, images: Mapping[str, Any]) -> Iterator[tuple[list[str], dict[str, str]]]:
        """Return options and environment by which helm pipes what it renders through `image_post_renderer`."""
        if not images:
            yield [], {}
            return
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "sandbox-images"
            folder.mkdir()
            names, program = folder / "images.json", folder / "rename"
            names.write_text(json.dumps(images), encoding="utf-8")
            source = Path(__file__).parents[3]
            # -P, since the folder that a command is called in may hold packages of the same names.
            words = [sys.executable, "-P", "-m", f"{__package__}.image_post_renderer", str(names)]
            program.write_text(
                f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(source))} exec {shlex.join(words)}\n", encoding="utf-8"
            )
            program.chmod(0o700)
            if self._major() < 4:
                yield [f"--post-renderer={program}"], {}
                return
            # Since version 4 a post-renderer has to be a plugin.
            plugin = {
                "apiVersion": "v1",
                "type": "postrenderer/v1",
                "name": folder.name,
                "version": "1.0.0",
                "runtime": "subprocess",
                "runtimeConfig": {"platformCommand": [{"command": str(program)}]},
            }
            (folder / "plugin.yaml").write_text(json.dumps(plugin), encoding="utf-8")
            yield [f"--post-renderer={folder.name}"], {"HELM_PLUGINS": place}

    def _major(self) -> int:
        said = process.run([self.program, "version", "--template={{.Version}}"], timeout=60, merged=False).strip()
        number = said.removeprefix("v").partition(".")[0]
        return int(number) if number.isdigit() else 3


@contextmanager
def _given_up(doomed: Doomed | None) -> Iterator[Stop]:
    """Yield what ends a helm that waits for what cannot become ready; the error of `doomed` is then raised."""
    stop, done, found = Stop(), threading.Event(), list[SandboxError]()

    def check() -> None:
        while doomed and not done.wait(CHECK_EVERY):
            with suppress(ClusterError):  # it is called again
                if error := doomed():
                    found.append(error)
                    stop.now()
                    return

    checking = threading.Thread(target=check, name="helm", daemon=True)
    checking.start()
    try:
        yield stop
    except SandboxError as error:
        if found:
            raise found[0] from error
        raise
    finally:
        done.set()
        checking.join()


def newest(cluster: Cluster, name: str, namespace: str) -> Release | None:
    """Return the newest revision of the release, None when there is none. Raises ClusterError."""
    found = cluster.list("v1", "Secret", namespace, selector=f"owner=helm,name={name}")
    revisions = [one for one in found if str(_labels(one).get("version", "")).isdigit()]
    if not revisions:
        return None
    last = max(revisions, key=lambda one: int(_labels(one)["version"]))
    labels = _labels(last)
    return Release(int(labels["version"]), labels.get("status", ""), LABEL in labels, _manifest(last))


def require_files(chart: AnyChart) -> None:
    """Raise BadFile for a chart or a file of values that is not there."""
    own = (chart.chart,) if isinstance(chart, Chart) else ()
    if own and own[0].is_dir() and not (own[0] / "Chart.yaml").is_file():
        raise BadFile(f"{own[0]} has no Chart.yaml", fix="name the folder of a chart below `apply`")
    for path in (*own, *chart.values):
        if not path.exists():
            raise BadFile(f"{path}: no such file", details=f"of the chart {chart.name}", fix="correct it below `apply`")
        if not (path.is_file() or (path in own and path.is_dir())):  # helm would wait for a pipe
            raise BadFile(f"{path} is not a regular file", fix="name a file, or a chart's folder, below `apply`")


def _named(chart: Chart, folder: Path) -> list[str | Path]:
    """Return the release and its chart in `folder`; the release may be called as a folder is, and so like an option."""
    return ["--", chart.name, folder]


@contextmanager
def _values(chart: Chart) -> Iterator[list[str]]:
    """Yield the options for the chart's values; texts are in files, for other users and the log see arguments."""
    options = [f"--values={_quoted(str(path))}" for path in chart.values]
    with tempfile.TemporaryDirectory() as place:
        for number, (key, value) in enumerate(chart.set.items()):
            if isinstance(value, str):
                file = Path(place, str(number))
                file.write_bytes(value.encode())
                options.append(f"--set-file={key}={_escaped(str(file))}")
            else:
                options.append(f"--set-json={key}={json.dumps(value)}")
        yield options


def _escaped(path: str) -> str:
    """Return a path as helm's own parser of `--set-…` reads it (helm, pkg/strvals: commas separate)."""
    return re.sub(r"[\\,]", r"\\\g<0>", path)


def _quoted(path: str) -> str:
    """Return a path as one field of CSV, as helm reads it: one with commas would be several (pflag, StringSlice)."""
    return '"{}"'.format(path.replace('"', '""')) if set(path) & set(',"\r\n') else path


def _labels(secret: Mapping[str, Any]) -> Mapping[str, str]:
    return secret["metadata"].get("labels") or {}


def _manifest(secret: Mapping[str, Any]) -> str:
    """Return the objects in a revision: JSON, packed by gzip, twice in base64; empty where it is none."""
    try:
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        with gzip.open(io.BytesIO(packed)) as file:
            return str(json.loads(file.read(LARGEST))["manifest"])
    except (KeyError, ValueError, TypeError, OSError, EOFError, zlib.error):
        return ""


@contextmanager
def _quiet() -> Iterator[dict[str, str]]:
    """Yield an environment in which helm has no settings, plugins and repositories of the user's."""
    with tempfile.TemporaryDirectory() as place:
        homes = {f"HELM_{name}_HOME": f"{place}/{name.lower()}" for name in ("CONFIG", "CACHE", "DATA")}
        registry = {"HELM_REGISTRY_CONFIG": f"{place}/registry.json"}
        repositories = {"HELM_REPOSITORY_CONFIG": f"{place}/own.yaml", "HELM_REPOSITORY_CACHE": f"{place}/repository"}
        own = {"HELM_PLUGINS": f"{place}/plugins", "HELM_NAMESPACE": "", "HELM_KUBECONTEXT": ""}
        yield {**homes, **registry, **repositories, **own}


def _advice(said: str) -> str:
    if "dependency build" in said or "dependencies" in said:
        return "helm dependency build, in the chart's folder"
    if "cannot be imported" in said or "invalid ownership metadata" in said:
        return "delete the object that is there, or leave it out of the chart or of `apply`"
    return "correct the chart or its values, then sandbox up"


def _pull_advice(said: str, chart: RemoteChart) -> str:
    words = said.lower()
    if any(one in words for one in ("unauthorized", "401", "403", "denied", "forbidden")):
        login = (
            f"helm repo add NAME {chart.repo} --username …" if chart.repo else "helm registry login, or docker login"
        )
        return f"{login}, then sandbox up"
    if any(one in words for one in ("no such host", "dial tcp", "timeout", "deadline", "refused")):
        return "try again with a network; a chart that is locked and was pulled once needs none"
    return "correct `chart:`, `repo:` or `version:` below `apply`"
