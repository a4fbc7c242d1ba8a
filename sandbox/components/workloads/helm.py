"""The `helm` program: pulls and renders charts, installs, upgrades and uninstalls releases, and reads their state."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sandbox.bundle import released_tools
from sandbox.bundle.store import Store
from sandbox.components.workloads import chart_dependencies
from sandbox.config.schema import Chart, RemoteChart
from sandbox.config.schema.apply_schema import AnyChart
from sandbox.errors import BadFile, MissingTool, SandboxError
from sandbox.kube import manifests
from sandbox.kube.api import Say
from sandbox.quantities import count
from sandbox.system import process
from sandbox.system.process import ToolFailed

RENDER_TIMEOUT, PULL_TIMEOUT, TIMEOUT = 120.0, 300.0, 600.0  # seconds
OWN = {"HELM_NAMESPACE": "", "HELM_KUBECONTEXT": ""}  # these would count more than a kubeconfig's own
INSTALLING = "pending-install"


@dataclass(frozen=True)
class Release:
    """The newest revision of a release, with its state in helm's words and its objects as YAML.

    `installed` is the time of the first revision, which differs for another release of the same name.
    """

    revision: int
    state: str
    installed: str
    manifest: str

    def objects(self, namespace: str) -> list[dict[str, Any]]:
        return [placed(manifest, namespace) for manifest in manifests.parse(self.manifest, origin="a release")]


@dataclass(frozen=True)
class Helm:
    """The helm at a path; its errors in a cluster are SandboxErrors with its own words."""

    program: Path

    @classmethod
    def find(cls, store: Store) -> Helm:
        """Return the helm on the PATH, else the bundle's. Raises MissingTool."""
        program = released_tools.find("helm", store)
        if program is None:
            raise MissingTool("helm is not installed", fix="install helm 3.14 or newer, or sandbox bundle build helm")
        return cls(program)

    def render(self, chart: Chart, *, whole: bool = False) -> tuple[dict[str, Any], ...]:
        """Return the objects that the chart renders to without a cluster. Raises BadFile with file and line.

        With `whole` the kinds that it defines are included, and its tests are not.
        """
        require_files(chart)
        argv: list[str | Path] = [self.program, "template", *(["--include-crds", "--skip-tests"] if whole else [])]
        with _values(chart) as values, chart_dependencies.whole(chart.chart) as folder:
            argv += [f"--namespace={chart.namespace}", *values, "--", chart.name, folder]
            try:
                # Not merged, since helm warns of symbolic links.
                text = process.run(argv, timeout=RENDER_TIMEOUT, env=OWN, merged=False)
            except ToolFailed as error:
                message = error.output.strip() or error.details
                title = chart.chart if chart.chart.is_dir() else chart.name
                raise BadFile(f"the chart {title} does not render", details=message, fix=_advice(message)) from error
        return tuple(manifests.parse(text, origin=f"what the chart {chart.name} renders to"))

    def pull(self, chart: RemoteChart, into: Path) -> Path:
        """Pull the chart's archive into an empty folder, with the accounts that helm has. Raises SandboxError."""
        try:
            source: list[str] = [
                chart.chart,
                *(["--plain-http"] if chart.is_on_this_machine and not chart.repo else []),
            ]
            if chart.repo:
                name = self._repository(chart.repo)
                source = [f"{name}/{chart.chart}"] if name else [chart.chart, f"--repo={chart.repo}"]
            argv: list[str | Path] = [
                self.program,
                "pull",
                *source,
                f"--version={chart.version}",
                f"--destination={into}",
            ]
            process.run(argv, timeout=PULL_TIMEOUT)
        except ToolFailed as error:
            message = process.last_lines(error.output) or error.details
            brief = f"helm cannot pull {chart.source} {chart.version}"
            raise SandboxError(brief, details=message, fix=_pull_advice(message, chart.repo), id="helm") from error
        archives = list(into.glob("*.tgz"))
        if len(archives) != 1:
            raise SandboxError(
                f"helm pulled no archive of {chart.source}", details=count(len(archives), "file"), id="helm"
            )
        return archives[0]

    def build_dependencies(self, chart: Path) -> None:
        """Pull the locked dependencies of a chart into its folder `charts`. Raises SandboxError."""
        try:
            process.run([self.program, "dependency", "build", "--", chart], timeout=PULL_TIMEOUT)
        except ToolFailed as error:
            message = process.last_lines(error.output) or error.details
            fix = _pull_advice(message, "URL")
            if "out of sync" in message:
                fix = f"helm dependency update {chart}"
            elif "helm repo add" in message:
                fix = "helm repo add NAME URL, for each repository that it names, then sandbox up"
            brief = f"helm cannot pull the dependencies of {chart}"
            raise SandboxError(brief, details=message, fix=fix, id="helm") from error

    def _repository(self, url: str) -> str | None:
        """Return the name by which the user has added a repository, updated; helm then uses their account for it."""
        try:
            added = json.loads(process.run([self.program, "repo", "list", "--output=json"], timeout=60, merged=False))
        except ToolFailed:  # none was added
            return None
        name = next((entry["name"] for entry in added if entry["url"].rstrip("/") == url), None)
        if name:
            process.run([self.program, "repo", "update", name], timeout=PULL_TIMEOUT)
        return name

    def upgrade(self, chart: Chart, kubeconfig: Path, images: Mapping[str, Any], say: Say) -> None:
        """Install or upgrade the release, changed as image_post_renderer reads `images`; pods may not be ready."""
        argv: list[str | Path] = [self.program, "upgrade", "--install", "--create-namespace"]
        with (
            self._renaming(images) as (options, env),
            _values(chart) as values,
            chart_dependencies.whole(chart.chart) as folder,
        ):
            argv += [f"--namespace={chart.namespace}", *options, *values, "--", chart.name, folder]
            self._run(argv, kubeconfig, chart.name, say, env)

    def recover(self, chart: Chart, kubeconfig: Path, state: str, say: Say) -> None:
        """Free a release that a killed helm left in a pending state."""
        command = "uninstall" if state == INSTALLING else "rollback"
        options = [f"--namespace={chart.namespace}", "--wait"]
        self._run([self.program, command, *options, "--", chart.name], kubeconfig, chart.name, say)

    def uninstall(self, name: str, namespace: str, kubeconfig: Path, say: Say) -> None:
        options = [f"--namespace={namespace}", "--wait"]
        self._run([self.program, "uninstall", *options, "--", name], kubeconfig, name, say)

    def release(self, name: str, namespace: str, kubeconfig: Path) -> Release | None:
        """Return the newest revision of a release, None when there is none. Raises SandboxError."""
        argv: list[str | Path] = [self.program, "status", f"--namespace={namespace}", "--output=json", "--", name]
        try:
            text = process.run(argv, timeout=60, env={**OWN, "KUBECONFIG": str(kubeconfig)}, merged=False)
        except ToolFailed as error:
            if "release: not found" in error.output:
                return None
            message = process.last_lines(error.output) or error.details
            raise SandboxError(f"helm cannot read the release {name}", details=message, id="helm") from error
        content = json.loads(text)
        info = content["info"]
        return Release(content["version"], info["status"], info["first_deployed"], content.get("manifest", ""))

    def _run(
        self,
        argv: list[str | Path],
        kubeconfig: Path,
        release: str,
        say: Say,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        def on_line(line: str) -> None:
            if line.strip():
                say(line.strip())

        try:
            process.run(argv, timeout=TIMEOUT, env={**OWN, **env, "KUBECONFIG": str(kubeconfig)}, on_line=on_line)
        except ToolFailed as error:
            message = process.last_lines(error.output) or error.details
            brief = f"helm cannot bring the release {release}"
            raise SandboxError(brief, details=message, fix=_advice(message), id="helm") from error

    @contextmanager
    def _renaming(self, images: Mapping[str, Any]) -> Iterator[tuple[list[str], dict[str, str]]]:
        if not images:
            yield [], {}
            return
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "sandbox-images"
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
            yield [f"--post-renderer={folder.name}"], {"HELM_PLUGINS": parent}

    def _major(self) -> int:
        version = process.run([self.program, "version", "--template={{.Version}}"], timeout=60, merged=False).strip()
        number = version.removeprefix("v").partition(".")[0]
        return int(number) if number.isdigit() else 3


def placed(manifest: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Return the object in the namespace that helm gives it."""
    return {**manifest, "metadata": {"namespace": namespace, **manifest["metadata"]}}


def require_files(chart: AnyChart) -> None:
    """Raise BadFile for a chart or a file of values that does not exist."""
    own = (chart.chart,) if isinstance(chart, Chart) else ()
    if own and own[0].is_dir() and not (own[0] / "Chart.yaml").is_file():
        raise BadFile(f"{own[0]} has no Chart.yaml", fix="name the folder of a chart below `apply`")
    for path in (*own, *chart.values):
        if not path.exists():
            raise BadFile(f"{path}: no such file", details=f"of the chart {chart.name}", fix="correct it below `apply`")
        if not (path.is_file() or (path in own and path.is_dir())):  # helm would wait for a pipe
            raise BadFile(f"{path} is not a regular file", fix="name a file, or a chart's folder, below `apply`")


@contextmanager
def _values(chart: Chart) -> Iterator[list[str]]:
    """Yield the options for the chart's values; texts are in files, since other users and the log see arguments."""
    options = [f"--values={_quoted(str(path))}" for path in chart.values]
    with tempfile.TemporaryDirectory() as folder:
        for number, (key, value) in enumerate(chart.set.items()):
            if isinstance(value, str):
                file = Path(folder, str(number))
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


def _advice(message: str) -> str:
    if "dependency build" in message or "dependencies" in message:
        return "helm dependency build, in the chart's folder"
    if "cannot be imported" in message or "invalid ownership metadata" in message:
        return "delete the object that exists already, or leave it out of the chart or of `apply`"
    return "correct the chart or its values, then sandbox up"


def _pull_advice(message: str, repository: str | None) -> str:
    words = message.lower()
    if any(word in words for word in ("unauthorized", "401", "403", "denied", "forbidden")):
        login = (
            f"helm repo add NAME {repository} --username …" if repository else "helm registry login, or docker login"
        )
        return f"{login}, then sandbox up"
    if any(word in words for word in ("no such host", "dial tcp", "timeout", "deadline", "refused")):
        return "try again with a network; a chart that is locked and was pulled once needs none"
    return "correct `chart:`, `repo:` or `version:` below `apply`"
