"""The minikube command line as typed calls on one profile: without prompts, with results checked and events read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.errors import MissingTool, SandboxError
from sandbox.system import process
from sandbox.system.process import last_lines

# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md; this prefix of the type is minikube's own.
TYPE = "io.k8s.sigs.minikube."
# The oldest that was tested; what is relied on is in docs/minikube.md.
OLDEST = (1, 38, 1)
START_TIMEOUT = 1200.0
STOP_TIMEOUT = 180.0
CALL_TIMEOUT = 60.0
ENABLE_TIMEOUT = 420.0  # by itself it gives up after six minutes
RUNTIME = "containerd"
FINE = ("Running", "Configured")


@dataclass
class Events:
    """Reads the events in a command's output, and passes each step to `say`."""

    say: Callable[[str], None]
    failure: Mapping[str, str] | None = None  # the last error with an exit code; others come even if all goes well
    warnings: list[str] = field(default_factory=list)

    def line(self, text: str) -> None:
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):  # the line is no event
            event = json.loads(text)
            kind, data = event["type"].removeprefix(TYPE), event["data"]
            if kind in ("step", "download"):
                self.say(last_lines(data.get("name") or data.get("artifact") or data["message"], 1))
            elif kind == "warning":
                self.warnings.append(data["message"])
            elif kind == "error" and data.get("exitcode"):
                self.failure = data


class MinikubeFailed(SandboxError):
    """minikube ended with an error, or reported success without having succeeded."""

    id = "minikube-failed"


@dataclass(frozen=True)
class Profile:
    driver: str
    runtime: str


@dataclass(frozen=True)
class Minikube:
    """An installed minikube and one of its profiles; MINIKUBE_HOME and all other settings are the user's."""

    program: Path
    profile: str

    @classmethod
    def find(cls, profile: str) -> Minikube:
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
        words = ["start", "--output=json", "--interactive=false", "--wait=all", "--embed-certs", *options]
        self._run_with_events(words, kubeconfig, START_TIMEOUT, say)
        if stopped := self.stopped_parts(kubeconfig):
            states = ", ".join(f"{part} {state}" for part, state in stopped.items())
            raise MinikubeFailed(f"minikube started '{self.profile}', and yet: {states}", fix=self._logs)

    def status(self, kubeconfig: Path | None) -> Mapping[str, str]:
        """Return the state of Host, Kubelet, APIServer and Kubeconfig of the first node, in minikube's words."""
        # Its exit status has a bit for each that does not run.
        nodes = self._read(["status", "--output=json"], kubeconfig, anyway=True)
        first = (nodes[0] if isinstance(nodes, list) else nodes) or {"Host": "Nonexistent"}
        return {part: str(first[part]) for part in ("Host", "Kubelet", "APIServer", "Kubeconfig") if part in first}

    def stopped_parts(self, kubeconfig: Path | None) -> Mapping[str, str]:
        return {part: state for part, state in self.status(kubeconfig).items() if state not in FINE}

    def stop(self, kubeconfig: Path | None) -> None:
        self._run_with_events(["stop", "--output=json"], kubeconfig, STOP_TIMEOUT, lambda line: None)

    def delete(self, kubeconfig: Path) -> None:
        """Delete the profile with its nodes, volumes and network; it need not exist."""
        self._run_with_events(["delete", "--output=json"], kubeconfig, STOP_TIMEOUT, lambda line: None)

    def write_kubeconfig(self, kubeconfig: Path) -> None:
        """Write the API server's present address into the context in `kubeconfig`, which is created if needed."""
        self._run(["update-context"], kubeconfig, CALL_TIMEOUT)

    def inspect(self) -> Profile | None:
        # With --light, no node is asked anything.
        valid = self._read(["profile", "list", "--light", "--output=json"], None).get("valid") or ()
        config = next((profile["Config"] for profile in valid if profile["Name"] == self.profile), None)
        return Profile(config["Driver"], config["KubernetesConfig"]["ContainerRuntime"]) if config else None

    def addons(self) -> Mapping[str, bool]:
        addons = self._read(["addons", "list", "--output=json"], None)
        return {name: addon.get("Status") == "enabled" for name, addon in addons.items()}

    def enable(self, addon: str, *, options: tuple[str, ...] = ()) -> None:
        """Enable an addon; the profile must run, else it would only be noted."""
        self._run(["addons", "enable", addon, *options], None, ENABLE_TIMEOUT)

    def disable(self, addon: str) -> None:
        self._run(["addons", "disable", addon], None, ENABLE_TIMEOUT)

    def _run_with_events(
        self, words: list[str], kubeconfig: Path | None, timeout: float, say: Callable[[str], None]
    ) -> None:
        events = Events(say)
        try:
            # One that went on after a killed command would be in the way of the next one's.
            self._run(words, kubeconfig, timeout, on_line=events.line, bound=True)
        except process.ToolFailed as error:
            failure = events.failure
            if failure is None:
                raise MinikubeFailed(error.brief, details=error.details, fix=self._logs) from error
            warnings = last_lines("\n".join(events.warnings), 5)
            raise MinikubeFailed(
                f"minikube {words[0]} failed: {failure.get('name') or 'unknown'}",
                details=last_lines("\n".join(filter(None, (failure.get("message", ""), warnings)))),
                fix=last_lines(failure.get("advice", "")) or self._logs,
            ) from error

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
        # Notices of newer releases would mix with the output that is read here.
        env = {"MINIKUBE_WANTUPDATENOTIFICATION": "false", **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
        argv = [self.program, *words, "--profile", self.profile]
        return process.run(argv, timeout=timeout, env=env, on_line=on_line, bound=bound)

    @property
    def _logs(self) -> str:
        return f"minikube logs --profile {self.profile}"
