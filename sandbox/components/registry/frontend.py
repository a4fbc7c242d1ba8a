"""The registry's port on this machine: a HAProxy that admits only clients on this machine that use the right Host.

CNCF distribution ignores the Host of a request, so a web page whose name was made to lead to 127.0.0.1 (DNS rebinding)
could push to it. A page of another origin could begin uploads: browsers then send Origin, and programs send none. And
engines before 28 let a neighbour who has a route to a published container reach it (moby/moby 45610). Nodes and pods
use the registry itself, by its container's name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.components.network import socket_handover
from sandbox.engine import Bind, Container, ContainerSpec, Engine, Placed, labelled, reach
from sandbox.engine.container_host import FRONTEND, gateway, joined, kept_address
from sandbox.errors import SandboxError
from sandbox.names import REGISTRY_PORT, Names
from sandbox.system import files

log = logging.getLogger(__name__)

FOLDER = "/etc/frontend"
COMMAND = ("haproxy", "-db", "-f", f"{FOLDER}/haproxy.cfg")
CONFIGURED = "dev.sandbox.registry-frontend"
CASES = ("Content-Length", "Content-Type", "Docker-Content-Digest", "Docker-Upload-UUID", "Link", "Location", "Range")
LOCAL = ("localhost", "127.0.0.1", "[::1]")

# Layers pass from socket to socket within the kernel, and the registry makes its own address (Location) from the Host
# of the request. HAProxy writes names of headers in lower case, but scripts look for some as they are usually written.
_CONFIGURATION = """\
global
  log stdout format raw local0 notice
  maxconn 4096
  maxpipes 64
  tune.pipesize 1048576
  thread-hard-limit 2
{exposed}{cases}
defaults
  mode http
  log global
  timeout connect 1s
  timeout http-request 30s
  timeout http-keep-alive 1m
  timeout client 1h
  timeout server 1h
  retries 3
  option splice-request
  option splice-response
  http-error status 503 content-type application/json string '{unavailable}'

resolvers engine
  parse-resolv-conf
  resolve_retries 3
  timeout resolve 1s
  timeout retry 1s
  hold valid 1s
  hold nx 1s

frontend registry
{listens}  option h1-case-adjust-bogus-client
  acl known req.hdr(host),host_only,lower -m str {names}
  acl page req.hdr(origin) -m found
  http-request return status 403 content-type application/json string '{refusal}' if !known or page
  default_backend registry

backend registry
  server registry {registry}:{port} resolvers engine resolve-prefer ipv4 init-addr last,libc,none
"""
# Where the engine forwards the port, its forwarder connects from the network's gateway address, as this machine does.
_FORWARDED = f"  bind :{REGISTRY_PORT}\n"
_GUARD = "  tcp-request connection reject unless {{ src {gateway} }}\n"


@dataclass(frozen=True)
class Frontend:
    """A container with the port `port` of 127.0.0.1, started and removed with the registry.

    Where that works, its socket is the machine's own, which a second container holds; else the engine publishes it.
    """

    engine: Engine
    names: Names
    image: str
    port: int

    def drift(self) -> str | None:
        """Return why the container has to be recreated, or None. Raises SandboxError where its network is gone."""
        server, holder = self._containers()
        stopped = (one.name for one in (server, holder) if one and not one.running)
        return next((f"{name} is stopped" for name in stopped), None) or self._difference(server, holder)

    @property
    def is_stopped(self) -> bool:
        """Tell whether one of its containers is there and does not run."""
        return any(one and not one.running for one in self._containers())

    def resume(self) -> bool:
        """Start what is stopped of its containers, if they are as wanted otherwise; tells whether they are.

        Raises SandboxError if one does not start.
        """
        server, holder = self._containers()
        if self._difference(server, holder) or not all(
            labelled.is_ours(one, self.names.home) for one in (server, holder) if one
        ):
            return False
        if holder and not holder.running:
            self._handed.unlink(missing_ok=True)
            self.engine.start(holder.name)
            socket_handover.wait(self.engine, holder.name, self._handed.exists)
        if server and not server.running:
            self.engine.start(server.name)
        return True

    def start(self) -> None:
        """Create it, in place of an existing one.

        Raises NameTaken for another user's, EngineError for a port in use.
        """
        # What keeps containers from passing sockets is unknown; the engine's forwarders always work.
        possible = socket_handover.are_handed_over(self.engine) and self.port <= socket_handover.LAST
        for held in (True, False) if possible else (False,):
            try:
                self._make(held=held)
                break
            except SandboxError as error:
                if not held:
                    raise
                log.info("%s, held: %s %s", self.names.registry_frontend, error.brief, error.details)
        if not self.engine.is_heard(self.bind):
            raise reach.unheard(self.bind, reach.again(self.engine, self.names.home))

    @property
    def bind(self) -> Bind:
        """Return where it listens on this machine."""
        return Bind("127.0.0.1", self.port)

    def _make(self, *, held: bool) -> None:
        for name in (self.names.registry_frontend, self.names.registry_holder):
            labelled.make_room(self.engine, name, self.names.home)
        facts, folder = self.engine.facts(), self.names.registry_files
        files.make_private_dir(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # the containers run as another user; its parent keeps others out
        socket_handover.write(folder, (self.bind,) if held else (), socket_handover.owner(facts))
        if not held:
            user = f"{socket_handover.NONROOT}:{socket_handover.NONROOT}"
            self.engine.run(replace(self._container(user, held=False), publish={REGISTRY_PORT: (self.bind,)}))
            return
        uid, gid = socket_handover.owner(facts) or (os.getuid(), os.getgid())
        user = f"{uid}:{gid}"
        holder = socket_handover.holder(self.names.registry_holder, self.image, folder, user, self.names.labels)
        self.engine.run(replace(holder, publish={REGISTRY_PORT: (self.bind,)}, forwarded=False))
        socket_handover.wait(self.engine, self.names.registry_holder, self._handed.exists)
        self.engine.run(
            replace(
                self._container(user, held=True),
                read_only_binds={folder / "sockets": f"{FOLDER}/sockets"},
                binds={folder / "live": socket_handover.LIVE},
                sysctls=socket_handover.SYSCTLS,
            )
        )
        served = folder / "live" / socket_handover.SERVED
        socket_handover.wait(self.engine, self.names.registry_frontend, served.exists)

    def _container(self, user: str, *, held: bool) -> ContainerSpec:
        """Return what the frontend's container is like, whether another one holds its socket or not."""
        text = self._configuration(held=held)
        return ContainerSpec(
            name=self.names.registry_frontend,
            image=self.image,
            command=(*COMMAND, *(socket_handover.taken_over(FOLDER) if held else ())),
            labels={**self.names.labels, CONFIGURED: _digest(text)},
            network=self.names.network,
            address=kept_address(joined(self.engine, self.names.network), FRONTEND),
            folders={FOLDER: {"haproxy.cfg": Placed(text.encode())}},
            user=user,
            memory="128m",
            processes=64,
        )

    def _containers(self) -> tuple[Container | None, Container | None]:
        """Return the frontend's container and the holder of its socket, as far as there are such."""
        return self.engine.container(self.names.registry_frontend), self.engine.container(self.names.registry_holder)

    def _difference(self, server: Container | None, holder: Container | None) -> str | None:
        """Return what is not as wanted of the containers, whether they run or not."""
        if server is None:
            return "nothing has its port on this machine"
        for one in (server, *((holder,) if holder else ())):
            if one.image != self.engine.image_id(self.image):
                return f"{one.name} runs another image"
        held = socket_handover.held(self.names.registry_files)
        listens = holder.published if holder and held else server.published
        if listens.get(REGISTRY_PORT) != frozenset({self.bind}):
            return f"is not published on 127.0.0.1:{self.port}"
        if self.names.network not in server.attached:
            return f"{server.name} is not on the network {self.names.network}"
        if server.labels.get(CONFIGURED) != _digest(self._configuration(held=bool(held))):
            return f"{server.name} has other settings"
        return None

    @property
    def _handed(self) -> Path:
        return self.names.registry_files / "sockets" / socket_handover.HANDED

    def _configuration(self, *, held: bool) -> str:
        return _CONFIGURATION.format(
            port=REGISTRY_PORT,
            registry=self.names.registry,
            exposed=socket_handover.EXPOSED if held else "",
            listens=socket_handover.line(self.bind) if held else _FORWARDED + self._guard(),
            cases="".join(f"  h1-case-adjust {name.lower()} {name}\n" for name in CASES),
            names=" ".join((*LOCAL, self.names.registry)),
            refusal=_said("DENIED", f"ask for this registry as localhost:{self.port}, and from no web page"),
            unavailable=_said("UNAVAILABLE", f"the registry {self.names.registry} does not run"),
        )

    def _guard(self) -> str:
        """Return the rule that admits only this machine, where the engine runs on it."""
        if not self.engine.shares_network():
            return ""
        return _GUARD.format(gateway=gateway(joined(self.engine, self.names.network)))


def own(names: Names) -> tuple[str, ...]:
    """Return the containers that a sandbox's registry may have, those that have its port first."""
    return (names.registry_frontend, names.registry_holder, names.registry)


def is_silent(engine: Engine, names: Names) -> bool:
    """Tell whether connections to the registry's port are made, and never answered.

    Only the holder has it, or the frontend is frozen (`docker pause`).
    """
    server, holder = map(engine.container, (names.registry_frontend, names.registry_holder))
    return bool(server and server.paused) or bool(holder and holder.running and not (server and server.running))


def remove(engine: Engine, names: Names) -> bool:
    """Remove the registry's containers, where they are this owner's; returns whether there were any."""
    removed = [labelled.remove(engine, name, names.home) for name in own(names)]
    shutil.rmtree(names.registry_files, ignore_errors=True)
    return any(removed)


def remove_all(engine: Engine, names: Names, *, purge: bool) -> bool:
    """Remove the registry's containers and, to `purge`, its volume; returns whether there was anything."""
    removed = remove(engine, names)
    return (purge and labelled.remove_volume(engine, names.volume, names.home)) or removed


def _said(code: str, message: str) -> str:
    """Return an error in the form of the OCI distribution specification ("Error Codes")."""
    return json.dumps({"errors": [{"code": code, "message": message}]})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
