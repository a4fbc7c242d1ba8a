"""A real machine for tests/stateful.py: a sandbox, things of another user's next to it, and its Docker Engine."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.bundle.recipe import recipes
from sandbox.system import host_network
from sandbox.system.wait import wait_until
from tests.real.crashing import FOREIGN, STATUS, Broken
from tests.real.daemon import Daemon
from tests.real.damage import DAMAGES
from tests.real.machine import tool
from tests.support.bundled import engine_with
from tests.support.failpoint import Failpoint
from tests.support.stateful import World

THEIRS = "sandbox-test-theirs"
OTHER_DOMAIN = "other.sandbox.localhost"


class RealWorld(World):
    """The machine that this runs on; `tell` hears of everything that is done; the engine is restarted if it may be.

    What is another user's are a container that always runs, its network, its volume, and a context.
    """

    def __init__(self, name: str, tell: Callable[[str], None], *, may_restart: bool) -> None:
        self._tell, self._may_restart = tell, may_restart
        self._engine = engine_with("busybox")
        self._folder = Path(tempfile.mkdtemp(prefix="anyorder-"))
        self._broken = Broken.new(name, self._folder)
        self._more: dict[str, Any] = {}
        port = host_network.next_free("127.0.0.1", max(self._broken.app.ports))
        self._edits: Mapping[str, dict[str, Any]] = {
            "ports": {"edge": {"ports": [port]}},
            "domain": {"domain": OTHER_DOMAIN},
            "nameservers": {"network": {"nameservers": ["192.0.2.53"]}},
            "no ingress": {"ingress": {"controller": "none"}},
            "mirrors": {"registry": {"port": self._broken.app.registry, "mirrors": ["quay.io"]}},
            "nothing": {},
        }
        self._broken.command("down", "--purge")
        tool("docker", "network", "create", THEIRS)
        tool("docker", "volume", "create", THEIRS)
        run = ("docker", "run", "--detach", "--restart=always", "--name", THEIRS, "--network", THEIRS)
        tool(*run, "--volume", f"{THEIRS}:/data", recipes()["busybox"].reference, "busybox", "sleep", "100000")

    @property
    def edits(self) -> tuple[str, ...]:
        return tuple(self._edits)

    def steps(self) -> list[str]:
        return list(self._broken.steps())

    def bring_up(self) -> bool:
        self._tell("up")
        done = self._broken.run("up", "--progress", "json")
        assert done.status == 0, done.said
        if "ingress" not in self._more:
            port = self._more.get("edge", {}).get("ports", self._broken.app.ports)[0]
            assert self._broken.app.page(domain=self._more.get("domain"), port=port)
        return bool(done.told("began"))

    def take_down(self, *, purge: bool) -> None:
        words = ("down", *(("--purge",) if purge else ()))
        self._tell(" ".join(words))
        self._broken.command(*words)

    def kill(self, command: str, point: Failpoint) -> None:
        call = f"={point.call}" if point.moment == "during" else ""
        text = f"{point.step}:{point.moment}{call}:{point.action}"
        ended = self._broken.run(command, failpoint=text)
        self._tell(f"{command}, {text}: status {ended.status}")
        assert ended.status in (0, STATUS[point.action]), ended.said

    def remove(self, part: str) -> None:
        self._tell(f"without {part}")
        DAMAGES[part](self._broken, self._engine)

    def edit(self, what: str) -> None:
        self._tell(f"spec with {what}")
        self._more = self._edits[what]
        self._broken.app.write(**self._more)

    def restart_engine(self) -> None:
        if self._may_restart:
            self._tell("engine restarted")
            Daemon.here().restart(signal.SIGTERM)

    def foreign(self) -> object:
        def rests() -> str | None:
            found = tool("docker", "inspect", "--format", "{{.State.Status}}", THEIRS).strip()
            return None if found == "running" else found

        wait_until(rests, what=THEIRS, timeout=30)
        config = yaml.safe_load(self._broken.kubeconfig.read_text())
        others = {kind: [one for one in config[kind] if one in FOREIGN[kind]] for kind in ("clusters", "contexts")}
        return (
            tool("docker", "inspect", "--format", "{{.Id}} {{json .Mounts}}", THEIRS),
            tool("docker", "network", "inspect", "--format", "{{.Id}} {{len .Containers}}", THEIRS),
            tool("docker", "volume", "inspect", "--format", "{{.CreatedAt}}", THEIRS),
            others,
        )

    def left(self) -> set[str]:
        return self._broken.left(self._engine)

    def close(self) -> None:
        tool("docker", "rm", "--force", THEIRS)
        tool("docker", "network", "rm", THEIRS)
        tool("docker", "volume", "rm", THEIRS)
        shutil.rmtree(self._folder)
