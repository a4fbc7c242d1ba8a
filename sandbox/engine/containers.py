"""Containers of the engine: made, found, started, stopped, entered, removed."""

from __future__ import annotations

import io
import json
import logging
import socket
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from sandbox.engine.base import LONG_TIMEOUT, EngineError, NotThere, Refused, endpoint_at, translated, uninterrupted
from sandbox.engine.container_files import ContainerFiles
from sandbox.engine.engine_values import LISTENS, Bind, Container, ContainerSpec, ListedContainer
from sandbox.system import interruption

log = logging.getLogger(__name__)

# runc gives up when processes of a cgroup v1 begin others faster than it holds them (cgroups, fs/freezer.go).
UNFROZEN, FREEZES = "unable to freeze", 3
# The engine's message for a container that it is removing already (moby, daemon/delete.go).
BEING_REMOVED = "is already in progress"
UNENDED = 0.05
"""Seconds between two questions whether a command has ended."""
# Only plain files: a folder or a link in their place is none. tar makes an archive of an empty list, not of no names.
PACK = """
for path do
  shift
  if [ -f "$path" ] && [ ! -L "$path" ]; then set -- "$@" "$path"; fi
done
exec tar -cPf - --files-from=/dev/null -- "$@" 2>/dev/null
"""


class Containers(ContainerFiles):
    """What can be done with the engine's containers."""

    def container(self, name: str) -> Container | None:
        description = self._found(f"looking at container {name}", f"/containers/{name}/json")
        return description and _container(description)

    def since(self, name: str) -> datetime:
        """Return when a container was started the last time, by the engine's clock."""
        with translated(f"looking at container {name}"):
            return datetime.fromisoformat(self._inspect(name)["State"]["StartedAt"])

    def containers(self, label: str) -> tuple[Container, ...]:
        """Return every container, running or not, that has the label (`key` or `key=value`)."""
        containers = []
        with translated("listing containers"):
            for listed in self._get("/containers/json", all=1, filters={"label": [label]}):
                with suppress(NotThere):  # it went between the two questions
                    containers.append(_container(self._inspect(listed["Id"])))
        return tuple(containers)

    def listed(self) -> tuple[ListedContainer, ...]:
        """Return every container, running or not, as far as one list tells."""
        with translated("listing containers"):
            containers = self._get("/containers/json", all=1)
        return tuple(
            ListedContainer(name, container["State"], container.get("Labels") or {})
            for container in containers
            if (name := _name(container))
        )

    def memory(self, name: str) -> int:
        """Return the resident memory of a container's processes, in bytes; shared pages count for each of them.

        Other than statistics of control groups, every engine has it (Docker Engine API, ContainerTop).
        """
        with translated(f"listing the processes of {name}"):
            rows = self._get(f"/containers/{name}/top", ps_args="-o pid,rss")["Processes"] or ()
        return 1024 * sum(int(row[-1]) for row in rows if row[-1].isdigit())

    def _inspect(self, name: str) -> Mapping[str, Any]:
        """Return all that the engine tells of a container, by name or id. Raises NotThere."""
        description: Mapping[str, Any] = self._get(f"/containers/{name}/json")
        return description

    def publisher(self, port: int) -> str | None:
        """Return the running container that a port of this machine leads to, also by another before it."""
        for container in sorted(self.containers(LISTENS), key=lambda container: container.name):
            if container.running and container.inner(port) is not None:  # a registry comes before its holder
                return container.name
        with translated("listing containers"):
            for listed in self._get("/containers/json"):  # Podman has no filter for ports
                if any(published.get("PublicPort") == port for published in listed["Ports"] or ()):
                    return _name(listed)
        return None

    def places(self, name: str, inner: int) -> tuple[tuple[Bind, ...], tuple[str, ...]]:
        """Return where the engine publishes a port of a container that runs, and the container's IPv4 addresses."""
        with translated(f"looking at container {name}"):
            settings = self._inspect(name)["NetworkSettings"]
        ports = (settings.get("Ports") or {}).get(f"{inner}/tcp") or ()
        networks = (settings.get("Networks") or {}).values()
        binds = tuple(Bind(port["HostIp"], int(port["HostPort"])) for port in ports)
        return binds, tuple(network["IPAddress"] for network in networks if network.get("IPAddress"))

    def run(self, spec: ContainerSpec) -> None:
        """Create and start a container; a container that cannot start is not left behind."""
        with translated(f"starting container {spec.name}"):
            made = uninterrupted(lambda: self._created(spec), lambda made: made.remove(force=True, v=True))
            try:
                for network, address in spec.joined.items():
                    self._attach(network, made.id, address)
                for folder, files in spec.folders.items():
                    self.put_files(spec.name, folder, files)
                made.start()
            except BaseException:
                made.remove(force=True, v=True)
                raise

    def _created(self, spec: ContainerSpec) -> Any:
        ports = {f"{inner}/tcp": [(b.address, b.port) for b in binds] for inner, binds in spec.publish.items()}
        labels = dict(spec.labels)
        if not spec.forwarded:
            labels[LISTENS], ports = json.dumps(ports), {}
        mounts = {name: {"bind": path, "mode": "rw"} for name, path in spec.volumes.items()}
        mounts |= {str(path): {"bind": inner, "mode": "ro"} for path, inner in spec.read_only_binds.items()}
        mounts |= {str(path): {"bind": inner, "mode": "rw"} for path, inner in spec.binds.items()}
        return self._client.containers.create(
            spec.image,
            entrypoint=[spec.command[0]],
            command=list(spec.command[1:]),
            name=spec.name,
            labels=labels,
            network=spec.network,
            networking_config={spec.network: endpoint_at(spec.address)} if spec.address else None,
            ports=ports,
            environment=dict(spec.environment),
            volumes=mounts,
            mounts=[{"Type": "volume", "Target": path} for path in spec.folders],
            user=spec.user,
            read_only=True,
            tmpfs=dict.fromkeys(("/tmp", *spec.tmpfs), "size=64m"),  # noqa: S108  # inside the container
            extra_hosts=dict(spec.hosts),
            dns_opt=list(spec.resolver),
            sysctls=dict(spec.sysctls),
            cap_drop=["ALL"],
            cap_add=list(spec.capabilities),
            security_opt=self.security_options(mounts=bool(spec.binds or spec.read_only_binds)),
            mem_limit=spec.memory,
            pids_limit=spec.processes,
            restart_policy={"Name": "unless-stopped"},
            init=True,
        )

    def security_options(self, *, mounts: bool) -> list[str]:
        """Return the security options of a new container, which `mounts` folders of this machine or does not.

        SELinux would keep it from these folders, unless they had another label (docker-run(1), "Volume labels"): files
        of the user, which stay as they are.
        """
        is_confined = mounts and "name=selinux" in (self._info.get("SecurityOptions") or ())
        return ["no-new-privileges", *(["label=disable"] if is_confined else [])]

    def make(self, name: str, config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
        """Make a container in the words in which the engine tells of one, its `Config` and `HostConfig`; not started.

        Volumes without a name are its own. If this is interrupted, there is no such container.
        """

        def create() -> None:
            body = {**config, "HostConfig": dict(host)}
            self._ask("POST", "/containers/create", {"name": name}, body, timeout=LONG_TIMEOUT)

        with translated(f"making container {name}"):
            uninterrupted(create, lambda _: self.remove_container(name))

    def run_another(
        self, name: str, like: str, labels: Mapping[str, str], *, without: Sequence[str] = (), image: str | None = None
    ) -> None:
        """Create and start a container made as `like` was, but for its name, `labels`, and ports, of which it has none.

        With `image`, it is of that one. Variables of its environment that are named in `without` are left out, volumes
        without a name are its own.
        """
        with translated(f"starting container {name}"):
            model = self._inspect(like)
            config, host = dict(model["Config"]), dict(model["HostConfig"])
            variables = [text for text in config.get("Env") or () if text.partition("=")[0] not in without]
            config |= {"Hostname": name, "Labels": {**config["Labels"], **labels}, "Env": variables, "ExposedPorts": {}}
            config |= {"Image": image} if image else {}
            host |= {"PortBindings": {}, "ContainerIDFile": "", "NetworkMode": _made_on(model)}
            # Podman tells limits by names that it does not take.
            limits = host.get("Ulimits") or ()
            host["Ulimits"] = [{**limit, "Name": limit["Name"].removeprefix("RLIMIT_").lower()} for limit in limits]
        self.make(name, config, host)
        try:
            self.start(name)
        except BaseException:
            self.remove_container(name)
            raise

    def remove_container(self, name: str) -> bool:
        """Stop and remove a container with its anonymous volumes; returns whether there was one."""
        with translated(f"removing container {name}"):
            try:
                self._ask("DELETE", f"/containers/{name}", {"force": 1, "v": 1})
            except NotThere:
                return False
            except Refused as error:
                if BEING_REMOVED not in str(error):
                    raise
            return True

    def start(self, name: str) -> None:
        """Start a container that exists, or let one go on that is held still."""
        with translated(f"starting container {name}"):
            if self._inspect(name)["State"].get("Paused"):
                try:
                    self._ask("POST", f"/containers/{name}/unpause")
                except Refused:  # it was let go on behind the engine's back, which now refuses everything else
                    self._ask("POST", f"/containers/{name}/restart")
            else:
                self._ask("POST", f"/containers/{name}/start")

    def stop(self, name: str) -> None:
        """Stop a container; it keeps what it holds. Stopped already is fine."""
        with translated(f"stopping container {name}"):
            self._ask("POST", f"/containers/{name}/stop", timeout=LONG_TIMEOUT)

    def wait(self, name: str) -> int:
        """Wait for a container to end, and return its exit status."""
        with translated(f"waiting for container {name}"):
            return int(self._ask("POST", f"/containers/{name}/wait", timeout=None).json()["StatusCode"])

    def pause(self, name: str) -> None:
        """Hold every process of a running container still until `start`, wherever it is at."""
        with translated(f"pausing container {name}"):
            for left in reversed(range(FREEZES)):
                try:
                    self._ask("POST", f"/containers/{name}/pause")
                except Refused as error:
                    if UNFROZEN not in str(error) or not left:
                        raise
                else:
                    return

    def keep_stopped(self, name: str) -> None:
        """Let a container that was stopped stay so when the engine restarts, and one that was not start again.

        One that keeps policies as they were made is let be: Podman before 5, which restarts nothing by itself.
        """
        with translated(f"changing container {name}"):
            try:
                self._ask("POST", f"/containers/{name}/update", body={"RestartPolicy": {"Name": "unless-stopped"}})
            except NotThere:
                self._inspect(name)  # it is the container that is not there

    def rename(self, name: str, new: str) -> None:
        with translated(f"renaming container {name}"):
            self._ask("POST", f"/containers/{name}/rename", {"name": new})

    def signal(self, name: str, signal: str) -> None:
        with translated(f"signalling container {name}"):
            self._ask("POST", f"/containers/{name}/kill", {"signal": signal})

    def logs(self, name: str, *, lines: int = 15) -> str:
        with translated(f"reading the log of {name}"):
            return str(self._api.logs(name, tail=lines).decode(errors="replace"))

    @contextmanager
    def attached(self, name: str, *, timeout: float) -> Iterator[socket.socket]:
        """Yield a connection to the standard input of a container, and to its output in frames of the engine's API.

        `timeout` is the number of seconds that a read or write may take.
        """
        with translated(f"attaching to container {name}"):
            streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            file = self._api.attach_socket(name, params=streams)
        connection: socket.socket = getattr(file, "_sock", file)  # the library gives a reader of the socket
        connection.settimeout(timeout)
        try:
            yield connection
        finally:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
            file.close()

    def execute(self, name: str, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command in a container: its exit status and its output."""
        status, output = self._run(name, argv)
        return status, output.decode(errors="replace")

    def read_files(self, name: str, paths: Iterable[PurePosixPath]) -> Mapping[PurePosixPath, bytes | None]:
        """Return the content of files in a running container by one command; None for what is not a plain file there.

        An engine takes a tenth of a second to read one, whatever its size.
        """
        paths = tuple(dict.fromkeys(paths))
        argv = ["sh", "-c", PACK, "pack", *map(str, paths)]
        try:
            contents = _unpacked(self._run(name, argv)[1])
        except tarfile.TarError:  # on a busy machine, Docker 20.10 sometimes loses the beginning of an output
            output = self._run(name, argv)[1]
            try:
                contents = _unpacked(output)
            except tarfile.TarError as error:
                details = output[:200].decode(errors="replace")
                raise EngineError(f"files in {name} cannot be read", details=details) from error
        return {path: contents.get(path) for path in paths}

    def _run(self, name: str, argv: Sequence[str]) -> tuple[int, bytes]:
        with translated(f"running {argv[0]} in {name}"):
            run = self._api.exec_create(name, list(argv))["Id"]
            # The library's exec_start reads the socket below the response's buffer, and loses output that is in it.
            output = b"".join(
                _frames(self._ask("POST", f"/exec/{run}/start", body={"Tty": False}, timeout=None).content)
            )
            while (ended := self._api.exec_inspect(run))["ExitCode"] is None and ended["Running"]:
                interruption.pause(UNENDED)  # its output has ended: it closed that, or the engine is yet to see it end
            status = ended["ExitCode"]
            if status is None:
                raise EngineError(f"running {argv[0]} in {name} failed", details="the engine never started it")
        log.debug("in %s: %s -> %s", name, " ".join(argv), status)
        return int(status), output


def _unpacked(output: bytes) -> dict[PurePosixPath, bytes]:
    with tarfile.open(fileobj=io.BytesIO(output), mode="r:") as tar:
        members = ((member.name, tar.extractfile(member)) for member in tar)
        return {PurePosixPath("/", path): content.read() for path, content in members if content}


def _frames(stream: bytes) -> Iterator[bytes]:
    """Yield the pieces of a stream, each after a header of eight bytes (Docker Engine API, "Stream format")."""
    start = 0
    while start < len(stream):
        end = start + 8 + int.from_bytes(stream[start + 4 : start + 8], "big")
        yield stream[start + 8 : end]
        start = end


def _name(listed: Mapping[str, Any]) -> str:
    """Return the name of a container in a list, empty for one that is being removed."""
    return str(listed["Names"][0]).lstrip("/") if listed["Names"] else ""


def _container(description: Mapping[str, Any]) -> Container:
    networks = description["NetworkSettings"]["Networks"] or {}
    labels = description["Config"]["Labels"] or {}
    ports = description["HostConfig"].get("PortBindings") or {}
    mounts = description.get("Mounts") or ()
    published = {
        inner: {Bind(b["HostIp"], int(b["HostPort"] or 0)) for b in binds or ()} for inner, binds in ports.items()
    }
    ids = {name: network.get("NetworkID") or "" for name, network in networks.items()}
    return Container(
        name=description["Name"].lstrip("/"),
        id=description["Id"],
        running=description["State"]["Status"] == "running",
        image=description["Image"],
        labels=labels,
        addresses={name: address for name, network in networks.items() if (address := network.get("IPAddress"))},
        published=_tcp(published) | _listens(labels),
        paused=description["State"]["Status"] == "paused",
        network=_made_on(description),
        attached={name: "" if id_ == name else id_ for name, id_ in ids.items()},  # Podman tells the name again
        mounts=frozenset(mount["Source"] for mount in mounts if mount.get("Type") == "bind"),
        volumes=frozenset(mount["Name"] for mount in mounts if mount.get("Type") == "volume"),
        addresses6={
            name: address for name, network in networks.items() if (address := network.get("GlobalIPv6Address"))
        },
    )


def _listens(labels: Mapping[str, str]) -> dict[int, frozenset[Bind]]:
    """Return the ports of this machine that a container says it listens on; none for a label that we did not write."""
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        ports = json.loads(labels.get(LISTENS, "{}"))
        return _tcp({inner: {Bind(str(address), int(port)) for address, port in ports[inner]} for inner in ports})
    return {}


def _made_on(description: Mapping[str, Any]) -> str:
    """Return the network that a container was made on; Podman calls each of them `bridge`."""
    mode = description["HostConfig"].get("NetworkMode") or ""
    networks = description["NetworkSettings"]["Networks"] or {}
    return next(iter(networks), mode) if mode == "bridge" and mode not in networks else mode


def _tcp(ports: Mapping[str, set[Bind]]) -> dict[int, frozenset[Bind]]:
    of = ((inner.partition("/"), binds) for inner, binds in ports.items())
    return {int(number): frozenset(binds) for (number, _, kind), binds in of if kind in ("", "tcp")}
