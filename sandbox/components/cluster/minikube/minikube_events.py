"""What `minikube -o json` writes: CloudEvents, a line each, as progress for people and as the reason of a failure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.system.process import last_lines

# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md; minikube's own part of the type is what follows.
TYPE = "io.k8s.sigs.minikube."


@dataclass(frozen=True)
class Failure:
    """Why minikube gave up: its name for that (such as GUEST_PROVISION), what it says, and what it advises."""

    name: str
    message: str
    advice: str


@dataclass
class Events:
    """Takes a command's lines as they come, and tells each step to `say`; what is no event is not for people."""

    say: Callable[[str], None]
    _failure: Failure | None = None
    _warnings: list[str] = field(default_factory=list)

    def line(self, text: str) -> None:
        """One line of the command's output."""
        try:
            event = json.loads(text)
            kind, data = event["type"].removeprefix(TYPE), event["data"]
            self._take(kind, data)
        except (ValueError, TypeError, KeyError, AttributeError):
            return

    @property
    def failure(self) -> Failure | None:
        """The last error with an exit code; others also come while all goes well."""
        return self._failure

    @property
    def warnings(self) -> str:
        """The last that it warned of, a line each."""
        return last_lines("\n".join(self._warnings), 5)

    def _take(self, kind: str, data: dict[str, str]) -> None:
        if kind in ("step", "download"):
            self.say(last_lines(data.get("name") or data.get("artifact") or data["message"], 1))
        elif kind == "warning":
            self._warnings.append(data["message"])
        elif kind == "error" and data.get("exitcode"):
            self._failure = Failure(data.get("name", ""), data.get("message", ""), data.get("advice", ""))
