"""The proof that it all works: HTTPS answered through the edge, with our certificate, on every port."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.host.engine import Bind
from sandbox.host.waiting import wait_until
from sandbox.names import Names
from sandbox.proxy import probe
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class HttpsStep:
    """Makes nothing; ready when the sandbox's domain answers as a browser would see it."""

    names: Names
    domain: str
    binds: tuple[Bind, ...]
    name: str = "https"
    needs: tuple[str, ...] = ("edge", "ingress")

    @property
    def title(self) -> str:
        return f"HTTPS for {self.domain}"

    def check(self) -> Status:
        silent = self._silence()
        return Status(State.DRIFTED, silent) if silent else Status(State.READY)

    def apply(self, work: Work) -> None:
        wait_until(self._silence, what=self.title, timeout=60, pause=0.1)

    def undo(self) -> bool:
        return False

    def _silence(self) -> str | None:
        for bind in self.binds:
            address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind.address, bind.address)  # noqa: S104  # where to ask
            answer = probe.ask(self.domain, address=address, port=bind.port, root=self.names.root_certificate)
            if answer.status is None:
                return f"{address}:{bind.port}: {answer.trouble}"
        return None
