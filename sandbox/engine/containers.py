"""Containers of the engine: made, found, started, stopped, entered, removed."""

import io
import json
import logging
import socket
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Any

from docker.errors import APIError, NotFound

from sandbox.engine.base import EngineError, translated, uninterrupted
from sandbox.engine.container_files import ContainerFiles
from sandbox.engine.engine_values import LISTENS, Bind, Container, ContainerSpec, ListedContainer
from sandbox.system import interruption

log = logging.getLogger(__name__)

# runc gives up when processes of a cgroup v1 begin others faster than it holds them (cgroups, fs/freezer.go).
UNFROZEN, FREEZES = "unable to freeze", 3
# The engine's message for a container that it is removing already (moby, daemon/delete.go).
BEING_REMOVED = "is already in progress"
# Only plain files: a folder or a link in their place is none. tar makes an archive of an empty list, not of no names.
PACK = """
for path do
  shift
  if [ -f "$path" ] && [ ! -L "$path" ]; then set -- "$@" "$path"; fi
done
exec tar -cPf - --files-from=/dev/null -- "$@" 2>/dev/null
"""


class Containers(ContainerFiles):
    def container(self, name: str) -> Container | None:
        description = self._inspect(f"looking at container {name}", "inspect_container", name)
        return _container(description) if description else None

    def since(self, name: str) -> datetime:
        """Return when a container was started the last time, by the engine's clock."""
        with translated(f"looking at container {name}"):
            return datetime.fromisoformat(self._ask("inspect_container", name)["State"]["StartedAt"])

    def containers(self, label: str) -> tuple[Container, ...]:
        """Return every container, running or not, that has the label (`key` or `key=value`)."""
        containers = []
        with translated("listing containers"):
            for listed in self._ask("containers", all=True, filters={"label": [label]}):
                with suppress(NotFound):  # it went between the two questions
                    containers.append(_container(self._ask("inspect_container", listed["Id"])))
        return tuple(containers)

    def listed(self) -> tuple[ListedContainer, ...]:
        """Return every container, running or not, as far as one list tells."""
        with translated("listing containers"):
            containers = self._ask("containers", all=True)
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
            rows = self._ask("top", name, ps_args="-o pid,rss")["Processes"] or ()
        return 1024 * sum(int(row[-1]) for row in rows if row[-1].isdigit())

    def publisher(self, port: int) -> str | None:
        """Return the running container that a port of this machine leads to, also by another before it."""
        for container in sorted(self.containers(LISTENS), key=lambda container: container.name):
            if container.running and container.inner(port) is not None:  # a registry comes before its holder
                return container.name
        with translated("listing containers"):
            for listed in self._ask("containers"):  # Podman has no filter for ports
                if any(published.get("PublicPort") == port for published in listed["Ports"] or ()):
                    return _name(listed)
        return None

    def run(self, spec: ContainerSpec) -> None:
        """Create and start a container; a container that cannot start is not left behind."""
        ports = {f"{inner}/tcp": [(b.address, b.port) for b in binds] for inner, binds in spec.publish.items()}
        labels = dict(spec.labels)
        if not spec.forwarded:
            labels[LISTENS], ports = json.dumps(ports), {}
        mounts = {name: {"bind": path, "mode": "rw"} for name, path in spec.volumes.items()}
        mounts |= {str(path): {"bind": inner, "mode": "rw"} for path, inner in spec.binds.items()}

        def create() -> Any:
            place = None
            if spec.address:
                settings = {"ipv4_address": spec.address, "mac_address": _mac(spec.address)}
                place = {spec.network: self._api.create_endpoint_config(**settings)}
            return self._client.containers.create(
                spec.image,
                entrypoint=[spec.command[0]],
                command=list(spec.command[1:]),
                name=spec.name,
                labels=labels,
                network=spec.network,
                networking_config=place,
                ports=ports,
                environment=dict(spec.environment),
                volumes=mounts,
                mounts=[{"Type": "volume", "Target": path} for path in spec.folders],
                user=spec.user,
                read_only=True,
                tmpfs=dict.fromkeys(("/tmp", *spec.tmpfs), "size=64m"),  # noqa: S108  # inside the container
                extra_hosts=dict(spec.hosts),
                sysctls=dict(spec.sysctls),
                cap_drop=["ALL"],
                cap_add=list(spec.capabilities),
                security_opt=self.security_options(mounts=bool(spec.binds)),
                mem_limit=spec.memory,
                pids_limit=spec.processes,
                restart_policy={"Name": "unless-stopped"},
                init=True,
            )

        with translated(f"starting container {spec.name}"):
            made = uninterrupted(create, lambda made: made.remove(force=True, v=True))
            try:
                for network, address in spec.joined.items():
                    self._api.connect_container_to_network(made.id, network, ipv4_address=address or None)
                for folder, files in spec.folders.items():
                    self.put_files(spec.name, folder, files)
                made.start()
            except BaseException:
                made.remove(force=True, v=True)
                raise

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
        body = {**config, "HostConfig": dict(host)}
        with translated(f"making container {name}"):
            uninterrupted(
                lambda: self._slow.create_container_from_config(body, name), lambda _: self.remove_container(name)
            )

    def run_another(
        self, name: str, like: str, labels: Mapping[str, str], *, without: Sequence[str] = (), image: str | None = None
    ) -> None:
        """Create and start a container made as `like` was, but for its name, `labels`, and ports, of which it has none.

        With `image`, it is of that one. Variables of its environment that are named in `without` are left out, volumes
        without a name are its own.
        """
        with translated(f"starting container {name}"):
            model = self._ask("inspect_container", like)
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
                self._api.remove_container(name, force=True, v=True)
            except NotFound:
                return False
            except APIError as error:
                if BEING_REMOVED not in str(error):
                    raise
            return True

    def start(self, name: str) -> None:
        """Start a container that exists, or let one go on that is held still."""
        with translated(f"starting container {name}"):
            if not self._ask("inspect_container", name)["State"].get("Paused"):
                self._api.start(name)
                return
            try:
                self._api.unpause(name)
            except APIError:  # it was let go on behind the engine's back, which now refuses everything else
                self._api.restart(name)

    def stop(self, name: str) -> None:
        """Stop a container; it keeps what it holds. Stopped already is fine."""
        with translated(f"stopping container {name}"):
            self._slow.stop(name)

    def wait(self, name: str) -> int:
        with translated(f"waiting for container {name}"):
            return int(self._api.wait(name)["StatusCode"])

    def pause(self, name: str) -> None:
        """Hold every process of a running container still until `start`, wherever it is at."""
        with translated(f"pausing container {name}"):
            for left in reversed(range(FREEZES)):
                try:
                    self._api.pause(name)
                except APIError as error:
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
                self._api.update_container(name, restart_policy={"Name": "unless-stopped"})
            except NotFound:
                self._ask("inspect_container", name)  # which raises if it is the container that does not exist

    def rename(self, name: str, new: str) -> None:
        with translated(f"renaming container {name}"):
            self._api.rename(name, new)

    def signal(self, name: str, signal: str) -> None:
        with translated(f"signalling container {name}"):
            self._api.kill(name, signal)

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
        status, output = self._run(name, argv)
        return status, output.decode(errors="replace")

    def read_files(self, name: str, paths: Iterable[PurePosixPath]) -> Mapping[PurePosixPath, bytes | None]:
        """Return the content of files in a running container by one command; None for what is not a plain file there.

        An engine takes a tenth of a second to read one, whatever its size.
        """
        paths = tuple(dict.fromkeys(paths))
        for left in (1, 0):  # on a busy machine, Docker 20.10 sometimes loses the beginning of an output
            output = self._run(name, ["sh", "-c", PACK, "pack", *map(str, paths)])[1]
            try:
                with tarfile.open(fileobj=io.BytesIO(output), mode="r:") as tar:
                    members = {PurePosixPath("/", member.name): tar.extractfile(member) for member in tar}
                    contents = {path: content.read() for path, content in members.items() if content}
                break
            except tarfile.TarError as error:
                if not left:
                    details = output[:200].decode(errors="replace")
                    raise EngineError(f"files in {name} cannot be read", details=details) from error
        return {path: contents.get(path) for path in paths}

    def _run(self, name: str, argv: Sequence[str]) -> tuple[int, bytes]:
        with translated(f"running {argv[0]} in {name}"):
            run = self._api.exec_create(name, list(argv))["Id"]
            # The library's exec_start reads the socket below the response's buffer, and loses output that is in it.
            url = self._api._url("/exec/{0}/start", run)
            stream = self._api._result(self._api._post_json(url, data={"Tty": False}, timeout=None), binary=True)
            output, start = bytearray(), 0
            while start < len(stream):  # each piece after a header of eight bytes (Docker Engine API, "Stream format")
                end = start + 8 + int.from_bytes(stream[start + 4 : start + 8], "big")
                output += stream[start + 8 : end]
                start = end
            while (ended := self._api.exec_inspect(run))["ExitCode"] is None and ended["Running"]:
                interruption.pause(0.05)  # its output has ended: it closed that, or the engine is yet to see it end
            status = ended["ExitCode"]
            if status is None:
                raise EngineError(f"running {argv[0]} in {name} failed", details="the engine never started it")
        log.debug("in %s: %s -> %s", name, " ".join(argv), status)
        return int(status), bytes(output)


def _mac(address: str) -> str:
    # As Docker derives it (moby, libnetwork/netutils). Podman chooses another hardware address each time: who knew the
    # container's IP address before would not reach it for ten seconds.
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *IPv4Address(address).packed))


def _name(listed: Mapping[str, Any]) -> str:
    return str(listed["Names"][0]).lstrip("/") if listed["Names"] else ""  # while it is being removed


def _container(description: Mapping[str, Any]) -> Container:
    networks = description["NetworkSettings"]["Networks"] or {}
    labels = description["Config"]["Labels"] or {}
    mounts = description.get("Mounts") or ()
    state = description["State"]["Status"]
    ports = description["HostConfig"].get("PortBindings") or {}
    published = _tcp(
        {i: {Bind(b["HostIp"], int(b["HostPort"] or 0)) for b in binds or ()} for i, binds in ports.items()}
    )
    with suppress(ValueError, TypeError, AttributeError, RecursionError):  # of a label that we did not write
        ports = json.loads(labels.get(LISTENS, "{}"))
        published |= _tcp({inner: {Bind(str(address), int(port)) for address, port in ports[inner]} for inner in ports})
    ids = {name: network.get("NetworkID") or "" for name, network in networks.items()}
    addresses = {name: network.get("IPAddress") for name, network in networks.items()}
    addresses6 = {name: network.get("GlobalIPv6Address") for name, network in networks.items()}
    return Container(
        name=description["Name"].lstrip("/"),
        id=description["Id"],
        running=state == "running",
        image=description["Image"],
        labels=labels,
        addresses={name: address for name, address in addresses.items() if address},
        published=published,
        paused=state == "paused",
        network=_made_on(description),
        attached={name: "" if id_ == name else id_ for name, id_ in ids.items()},  # Podman tells the name again
        mounts=frozenset(mount["Source"] for mount in mounts if mount.get("Type") == "bind"),
        volumes=frozenset(mount["Name"] for mount in mounts if mount.get("Type") == "volume"),
        addresses6={name: address for name, address in addresses6.items() if address},
    )


def _tcp(ports: Mapping[str, set[Bind]]) -> dict[int, frozenset[Bind]]:
    parts = ((inner.partition("/"), binds) for inner, binds in ports.items())
    return {int(number): frozenset(binds) for (number, _, kind), binds in parts if kind in ("", "tcp")}


def _made_on(description: Mapping[str, Any]) -> str:
    mode = description["HostConfig"].get("NetworkMode") or ""  # Podman says `bridge` for every network
    networks = description["NetworkSettings"]["Networks"] or {}
    return next(iter(networks), mode) if mode == "bridge" and mode not in networks else mode
