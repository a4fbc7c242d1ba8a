"""The kind command line as typed calls; clusters are ours by their name."""

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sandbox.components.network.proxy_settings import BOTH_CASES
from sandbox.errors import MissingTool
from sandbox.system import files, process
from sandbox.system.process import ToolFailed

# The first that knows kubeadm's v1beta4.
OLDEST = (0, 32, 0)
CREATE_TIMEOUT = 600.0
STAND_IN = files.packaged("sandbox.components.cluster", "scripts/engine-command.sh")
SCRATCH = ".kind-"
# kind waits half a minute for a node's systemd (kind 0.33, providers/docker/provision.go).
SLOW = "could not find a log line that matches"
# What kubeadm logs, and where in its work kind is.
CHATTER = r"(Command Output: )?[IW]\d{4} | [✓•✗] |Creating cluster |WARNING: |cgroup v1 is deprecated "


@dataclass(frozen=True)
class Kind:
    """An installed kind for one network of the engine, or of the Podman at the address `podman`.

    `balancer` is the image of the load balancer for several control planes; kind itself names one by a tag.
    """

    program: Path
    network: str
    podman: str = ""
    balancer: str = ""

    @classmethod
    def of(cls, program: Path | None, network: str) -> Self:
        if program is None:
            raise MissingTool(
                "kind is not installed",
                fix="`sandbox bundle build kind` makes one, or install kind 0.32 or newer: https://kind.sigs.k8s.io",
            )
        return cls(program, network)

    def require(self) -> None:
        """Raise MissingTool unless it is new enough for hosts.toml to work without patches."""
        newer = "install kind {}.{}.{} or newer".format(*OLDEST)
        process.require_version([self.program, "version"], OLDEST, fix=newer)

    def create(self, name: str, *, image: str, config: Path, folder: Path, on_line: Callable[[str], None]) -> None:
        """Create the cluster, with temporary files in `folder`; returns before the node is Ready.

        After a failure the nodes stay, so that they can be asked for the reason. If a node's systemd took longer to
        start than kind waits, the cluster is created a second time.
        """
        words = ["create", "cluster", "--retain", "--name", name, "--image", image, "--config", str(config)]
        try:
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as place:
                words += ["--kubeconfig", f"{place}/kubeconfig"]
                env = self._engine_command(Path(place))
                try:
                    self._run(words, timeout=CREATE_TIMEOUT, on_line=on_line, env=env)
                except ToolFailed as error:
                    if SLOW not in error.output:
                        raise
                    on_line("• The node's system takes long to start, so once more")
                    self.delete(name)
                    self._run(words, timeout=CREATE_TIMEOUT, on_line=on_line, env=env)
        except ToolFailed as error:
            # Neither where in kind it was, nor what kubeadm was about to do.
            lines = error.output.partition("Stack Trace")[0].splitlines()
            evidence = "\n".join(line for line in lines if not re.match(CHATTER, line))
            command = error.details.partition("\n")[0]
            error.details = f"{command}\n{process.last_lines(evidence)}"
            raise

    def kubeconfig(self, name: str, folder: Path) -> bytes:
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as place:
            path = Path(place) / "kubeconfig"
            self._run(["export", "kubeconfig", "--name", name, "--kubeconfig", path], timeout=60)
            return path.read_bytes()

    def load(self, name: str, archive: Path) -> None:
        self._run(["load", "image-archive", archive, "--name", name], timeout=300)

    def delete(self, name: str) -> None:
        with tempfile.TemporaryDirectory(prefix=SCRATCH) as place:
            words = ["delete", "cluster", "--name", name, "--kubeconfig", f"{place}/kubeconfig"]
            self._run(words, timeout=120)

    def _engine_command(self, place: Path) -> Mapping[str, str]:
        """Return variables by which kind finds our command, which replaces the image of its balancer."""
        name = "podman" if self.podman else "docker"
        engine = process.which(name)
        if not self.balancer or engine is None:  # without it kind says so
            return {}
        script = place / name
        script.write_text(STAND_IN, encoding="utf-8")
        script.chmod(0o700)
        path = f"{place}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"PATH": path, "SANDBOX_ENGINE": str(engine), "SANDBOX_BALANCER": self.balancer}

    def _run(
        self,
        arguments: process.Argv,
        *,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        provider = "podman" if self.podman else "docker"
        variables = {
            f"KIND_EXPERIMENTAL_{provider.upper()}_NETWORK": self.network,
            "KIND_EXPERIMENTAL_PROVIDER": provider,
            # kind would tell the whole node of this machine's proxy, and not of the registry that is reached without.
            **dict.fromkeys(BOTH_CASES, ""),
            **(env or {}),
        }
        if self.podman:
            variables["CONTAINER_HOST"] = self.podman  # else the podman command is an engine of its own
        process.run([self.program, *arguments], timeout=timeout, env=variables, on_line=on_line)
