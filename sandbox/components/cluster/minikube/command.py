"""The minikube command line as typed calls on one profile: without prompts, and with results checked."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sandbox.errors import MissingTool, SandboxError
from sandbox.system import process
from sandbox.system.process import last_lines

# The oldest that was tested; what is relied on is in docs/minikube.md.
OLDEST = (1, 38, 1)
START_TIMEOUT = 1200.0
STOP_TIMEOUT = 180.0
CALL_TIMEOUT = 60.0
ENABLE_TIMEOUT = 420.0  # by itself it gives up after six minutes
RUNTIME = "containerd"
STEP = "* "  # begins a line of progress
PARTS = ("Host", "Kubelet", "APIServer", "Kubeconfig")
FINE = ("Running", "Configured")
# A row of the table of an addon's images: key, name and registry.
ROW = re.compile(r"[│|] (?P<key>\w+) +[│|] (?P<image>\S+) +[│|] (?P<registry>\S*) +[│|]")


class MinikubeFailed(SandboxError):
    """minikube ended with an error, or reported success without having succeeded."""

    id = "minikube-failed"


@dataclass(frozen=True)
class Minikube:
    """An installed minikube and one of its profiles; MINIKUBE_HOME and all other settings are the user's."""

    program: Path
    profile: str

    @classmethod
    def find(cls, profile: str) -> Self:
        program = process.which("minikube")
        if program is None:
            raise MissingTool(
                "minikube is not installed",
                details="sandbox.yaml says `cluster: {provider: minikube}`",
                fix="install minikube {}.{}.{} or newer: https://minikube.sigs.k8s.io, or leave `provider` out "
                "to use kind".format(*OLDEST),
            )
        return cls(program, profile)

    def require(self) -> str:
        """Return its version. Raises MissingTool unless it is new enough."""
        newer = "install minikube {}.{}.{} or newer: https://minikube.sigs.k8s.io".format(*OLDEST)
        return process.require_version([self.program, "version", "--short"], OLDEST, fix=newer)

    def start(self, *, kubeconfig: Path | None, options: tuple[str, ...] = (), say: Callable[[str], None]) -> None:
        """Create the cluster, or start the existing one; raises MinikubeFailed unless every part of it runs."""
        words = ["start", "--interactive=false", "--wait=all", "--embed-certs", *options]
        self._change(words, kubeconfig, START_TIMEOUT, say)
        if stopped := self.stopped_parts(kubeconfig):
            states = ", ".join(f"{part} {state}" for part, state in stopped.items())
            raise MinikubeFailed(f"minikube started '{self.profile}', and yet: {states}", fix=self._logs)

    def stopped_parts(self, kubeconfig: Path | None) -> Mapping[str, str]:
        """Return which of PARTS of the first node do not run, with their states in minikube's words."""
        # Its exit status has a bit for each that does not run.
        nodes = self._read(["status", "--output=json"], kubeconfig, anyway=True)
        first = (nodes[0] if isinstance(nodes, list) else nodes) or {"Host": "Nonexistent"}
        return {part: str(first[part]) for part in PARTS if first.get(part, FINE[0]) not in FINE}

    def stop(self, kubeconfig: Path | None) -> None:
        self._change(["stop"], kubeconfig, STOP_TIMEOUT)

    def delete(self, kubeconfig: Path) -> None:
        """Delete the profile with its nodes, volumes and network; it need not exist."""
        self._change(["delete"], kubeconfig, STOP_TIMEOUT)

    def write_kubeconfig(self, kubeconfig: Path) -> None:
        """Write the API server's present address into the context in `kubeconfig`, which is created if needed."""
        self._run(["update-context"], kubeconfig, CALL_TIMEOUT)

    def inspect(self) -> tuple[str, str] | None:
        """Return the profile's driver and container runtime, None where there is no such profile."""
        config = self._config()
        return (config["Driver"], config["KubernetesConfig"]["ContainerRuntime"]) if config is not None else None

    def addons(self) -> Mapping[str, bool]:
        addons = self._read(["addons", "list", "--output=json"], None)
        return {name: addon.get("Status") == "enabled" for name, addon in addons.items()}

    def images(self, addon: str, chosen: Mapping[str, str], registries: Mapping[str, str]) -> Mapping[str, str]:
        """Return the images of an addon by minikube's keys: its own, the profile's, `chosen` and `registries`."""
        # Only the table has the keys; the profile has what was chosen before.
        rows = (ROW.search(line) for line in self._run(["addons", "images", addon], None, CALL_TIMEOUT).splitlines())
        own = {row["key"]: (row["registry"], row["image"]) for row in rows if row}
        config = self._config() or {}
        chosen = {**(config.get("CustomAddonImages") or {}), **chosen}
        registries = {**(config.get("CustomAddonRegistries") or {}), **registries}
        every = (config.get("KubernetesConfig") or {}).get("ImageRepository")
        return {
            key: f"{registries.get(key) or every or registry}/{chosen.get(key) or image}".lstrip("/")
            for key, (registry, image) in own.items()
        }

    def enable(self, addon: str, *, options: tuple[str, ...] = ()) -> None:
        """Enable an addon; the profile must run, else it would only be noted."""
        self._run(["addons", "enable", addon, *options], None, ENABLE_TIMEOUT)

    def disable(self, addon: str) -> None:
        self._run(["addons", "disable", addon], None, ENABLE_TIMEOUT)

    def _config(self) -> Mapping[str, Any] | None:
        # With --light, no node is asked anything.
        valid = self._read(["profile", "list", "--light", "--output=json"], None).get("valid") or ()
        return next((profile["Config"] for profile in valid if profile["Name"] == self.profile), None)

    def _change(
        self, words: list[str], kubeconfig: Path | None, timeout: float, say: Callable[[str], None] | None = None
    ) -> None:
        def on_line(line: str) -> None:
            if say and line.startswith(STEP):
                say(line.removeprefix(STEP))

        try:
            # One that went on after a killed command would be in the way of the next one's.
            self._run(words, kubeconfig, timeout, on_line=on_line, bound=True)
        except process.ToolFailed as error:
            raise MinikubeFailed(f"minikube {words[0]} failed", details=error.details, fix=self._logs) from error

    def _read(self, words: list[str], kubeconfig: Path | None, *, anyway: bool = False) -> Any:
        try:
            output = self._run(words, kubeconfig, CALL_TIMEOUT)
        except process.ToolFailed as error:
            if not anyway:
                raise
            output = error.output
        # Warnings come before it, on the other stream.
        for line in reversed(output.splitlines()):
            try:
                return json.loads(line)
            except ValueError:
                continue
        raise MinikubeFailed(f"minikube {words[0]} prints no JSON", details=last_lines(output))

    def _run(
        self,
        words: process.Argv,
        kubeconfig: Path | None,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        *,
        bound: bool = False,
    ) -> str:
        # Notices of newer releases would mix with the output that is read here; without style, steps begin with STEP.
        env = {"MINIKUBE_WANTUPDATENOTIFICATION": "false", "MINIKUBE_IN_STYLE": "false"}
        if kubeconfig:
            env["KUBECONFIG"] = str(kubeconfig)
        argv = [self.program, *words, "--profile", self.profile]
        return process.run(argv, timeout=timeout, env=env, on_line=on_line, bound=bound)

    @property
    def _logs(self) -> str:
        return f"minikube logs --profile {self.profile}"
