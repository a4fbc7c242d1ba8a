"""The `helm` program: pulls and renders charts, installs, upgrades and uninstalls releases, and reads their state."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.bundle import released_tools
from sandbox.bundle.store import Store
from sandbox.config.schema import Chart, RemoteChart
from sandbox.errors import BadFile, MissingTool, SandboxError
from sandbox.kube import manifests
from sandbox.kube.api import Say
from sandbox.system import process
from sandbox.system.process import ToolFailed

READ_TIMEOUT, RENDER_TIMEOUT, PULL_TIMEOUT, TIMEOUT = 60.0, 120.0, 300.0, 600.0  # seconds
CORRECT = "correct the chart or its values, then sandbox up"
PULL = (
    "correct `chart:`, `repo:` or `version:` below `apply`; or log in (helm registry login, helm repo add), or try "
    "again with a network"
)
OWN = {"HELM_NAMESPACE": "", "HELM_KUBECONTEXT": ""}  # these would count more than a kubeconfig's own


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
        """Return the objects, each in the namespace that helm gives it."""
        return [
            {**manifest, "metadata": {"namespace": namespace, **manifest["metadata"]}}
            for manifest in manifests.parse(self.manifest, origin="a release")
        ]


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
        options = ["--include-crds", "--skip-tests"] if whole else []
        with _arguments(chart) as arguments:
            argv: process.Argv = [self.program, "template", *options, *arguments]
            try:
                # Not merged, since helm warns of symbolic links.
                text = process.run(argv, timeout=RENDER_TIMEOUT, env=OWN, merged=False)
            except ToolFailed as error:
                message = error.output.strip() or error.details
                title = chart.chart if chart.chart.is_dir() else chart.name
                raise BadFile(f"the chart {title} does not render", details=message, fix=CORRECT) from error
        return tuple(manifests.parse(text, origin=f"what the chart {chart.name} renders to"))

    def pull(self, chart: RemoteChart, into: Path) -> Path:
        """Pull the chart's archive into an empty folder, with the accounts that helm has. Raises SandboxError."""
        with self._explained(f"helm cannot pull {chart.source} {chart.version}", PULL):
            source = [chart.chart]
            if chart.repo:
                # By the name by which the user has added the repository, helm uses their account for it.
                name = self._repository(chart.repo)
                source = [f"{name}/{chart.chart}"] if name else [chart.chart, f"--repo={chart.repo}"]
            elif chart.is_on_this_machine:
                source.append("--plain-http")
            options = [f"--version={chart.version}", f"--destination={into}"]
            process.run([self.program, "pull", *source, *options], timeout=PULL_TIMEOUT)
        archives = list(into.glob("*.tgz"))
        if not archives:
            raise SandboxError(f"helm pulled no archive of {chart.source}", id="helm")
        return archives[0]

    def _repository(self, url: str) -> str | None:
        argv: process.Argv = [self.program, "repo", "list", "--output=json"]
        try:
            added = json.loads(process.run(argv, timeout=READ_TIMEOUT, merged=False))
        except ToolFailed:  # none was added
            return None
        name = next((entry["name"] for entry in added if entry["url"].rstrip("/") == url), None)
        if name:
            process.run([self.program, "repo", "update", name], timeout=PULL_TIMEOUT)
        return name

    def build_dependencies(self, chart: Path) -> None:
        fix = f"helm dependency update {chart}; for an account or an unknown repository: helm repo add NAME URL"
        with self._explained(f"helm cannot pull the dependencies of {chart}", fix):
            process.run([self.program, "dependency", "build", "--", chart], timeout=PULL_TIMEOUT)

    def upgrade(self, chart: Chart, kubeconfig: Path, changes: Mapping[str, Any], say: Say) -> None:
        """Install or upgrade the release, changed as image_post_renderer reads `changes`; pods may not be ready."""
        with tempfile.TemporaryDirectory() as folder, _arguments(chart) as arguments:
            renderer, env = self._post_renderer(changes, Path(folder)) if changes else ([], {})
            argv = ["upgrade", "--install", "--create-namespace", *renderer, *arguments]
            self._change(argv, chart.name, kubeconfig, say, env)

    def recover(self, chart: Chart, kubeconfig: Path, state: str, say: Say) -> None:
        """Free a release that a killed helm left in a pending state."""
        command = "uninstall" if state == "pending-install" else "rollback"
        argv = [command, f"--namespace={chart.namespace}", "--wait", "--", chart.name]
        self._change(argv, chart.name, kubeconfig, say)

    def uninstall(self, name: str, namespace: str, kubeconfig: Path, say: Say) -> None:
        self._change(["uninstall", f"--namespace={namespace}", "--wait", "--", name], name, kubeconfig, say)

    def release(self, name: str, namespace: str, kubeconfig: Path) -> Release | None:
        argv: process.Argv = [self.program, "status", f"--namespace={namespace}", "--output=json", "--", name]
        with self._explained(f"helm cannot read the release {name}"):
            try:
                text = process.run(argv, timeout=READ_TIMEOUT, env={**OWN, "KUBECONFIG": str(kubeconfig)}, merged=False)
            except ToolFailed as error:
                if "release: not found" in error.output:
                    return None
                raise
        content = json.loads(text)
        info = content["info"]
        return Release(content["version"], info["status"], info["first_deployed"], content.get("manifest", ""))

    def _change(
        self, argv: Sequence[str | Path], release: str, kubeconfig: Path, say: Say, env: Mapping[str, str] | None = None
    ) -> None:
        def on_line(line: str) -> None:
            if line.strip():
                say(line.strip())

        environment = {**OWN, **(env or {}), "KUBECONFIG": str(kubeconfig)}
        with self._explained(f"helm cannot bring the release {release}", CORRECT):
            process.run([self.program, *argv], timeout=TIMEOUT, env=environment, on_line=on_line)

    @contextmanager
    def _explained(self, brief: str, fix: str = "") -> Iterator[None]:
        try:
            yield
        except ToolFailed as error:
            message = process.last_lines(error.output) or error.details
            raise SandboxError(brief, details=message, fix=fix, id="helm") from error

    def _post_renderer(self, changes: Mapping[str, Any], parent: Path) -> tuple[list[str], dict[str, str]]:
        folder = parent / "sandbox-images"
        folder.mkdir()
        names, program = folder / "images.json", folder / "rename"
        names.write_text(json.dumps(changes), encoding="utf-8")
        source = shlex.quote(str(Path(__file__).parents[3]))
        # -P, since the folder that a command is called in may hold packages of the same names.
        command = shlex.join([sys.executable, "-P", "-m", f"{__package__}.image_post_renderer", str(names)])
        program.write_text(f"#!/bin/sh\nPYTHONPATH={source} exec {command}\n", encoding="utf-8")
        program.chmod(0o700)
        argv: process.Argv = [self.program, "version", "--template={{.Version}}"]
        if process.run(argv, timeout=READ_TIMEOUT, merged=False).startswith(("v2.", "v3.")):
            return [f"--post-renderer={program}"], {}
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
        return [f"--post-renderer={folder.name}"], {"HELM_PLUGINS": str(parent)}


@contextmanager
def _arguments(chart: Chart) -> Iterator[list[str | Path]]:
    """Yield helm's arguments for the chart; texts are in files, since other users and the log see arguments."""
    options = [f"--namespace={chart.namespace}"]
    for path in map(str, chart.values):
        # One field of CSV: a path with commas would be several (pflag, StringSlice).
        quoted = '"{}"'.format(path.replace('"', '""')) if set(path) & set(',"\r\n') else path
        options.append(f"--values={quoted}")
    with tempfile.TemporaryDirectory() as texts:
        for number, (key, value) in enumerate(chart.set.items()):
            if isinstance(value, str):
                file = Path(texts, str(number))
                file.write_bytes(value.encode())
                # Commas separate values (helm, pkg/strvals).
                options.append(f"--set-file={key}=" + re.sub(r"[\\,]", r"\\\g<0>", str(file)))
            else:
                options.append(f"--set-json={key}={json.dumps(value)}")
        yield [*options, "--", chart.name, chart.chart]
