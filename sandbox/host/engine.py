"""The only door to the Docker Engine: the few calls the sandbox makes, with values in and out and one kind of error."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlencode, urlsplit

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool
from docker.utils.config import find_config_file

from sandbox.errors import MissingTool, SandboxError
from sandbox.host import facts, unix_http
from sandbox.host.facts import Facts

log = logging.getLogger(__name__)

OLDEST_API = (1, 41)
FIRST_ANSWER = 15
CALL_TIMEOUT = 60
LONG_TIMEOUT = 1800
# Where a container listens on the machine without the engine's doing, as JSON.
LISTENS = "dev.sandbox.listens"


class EngineError(SandboxError):
    """The Docker Engine refused or failed; `details` is its own message."""

    id = "engine-failed"


@dataclass(frozen=True, order=True)
class Bind:
    """A host address and port that reach a port of a container."""

    address: str
    port: int

    @property
    def asked_at(self) -> str:
        """The address at which this machine itself asks who listens here."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)  # noqa: S104


@dataclass(frozen=True)
class ContainerSpec:
    """What a container of ours is to be; it gets no capabilities but these, no new privileges, and restarts with the
    engine.

    What it publishes is only noted unless `forwarded`: it then has sockets of the machine's own.
    """

    name: str
    image: str
    command: tuple[str, ...]
    labels: Mapping[str, str]
    network: str
    publish: Mapping[int, tuple[Bind, ...]] = field(default_factory=dict)
    forwarded: bool = True
    capabilities: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    read_only_binds: Mapping[Path, str] = field(default_factory=dict)
    binds: Mapping[Path, str] = field(default_factory=dict)
    tmpfs: tuple[str, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    memory: str = "512m"
    processes: int = 4096


@dataclass(frozen=True)
class Container:
    """A container as the engine sees it now; one that is `held` still does not run, and has its ports."""

    name: str
    id: str
    running: bool
    image: str
    labels: Mapping[str, str]
    addresses: Mapping[str, str]
    published: Mapping[int, frozenset[Bind]]
    held: bool = False


@dataclass(frozen=True)
class Network:
    """A network of the engine: its IPv4 range, the containers on it, the engine's own address there if told.

    `subnet6` is its IPv6 range, if it has one.
    """

    name: str
    subnet: str
    labels: Mapping[str, str]
    members: frozenset[str]
    gateway: str = ""
    subnet6: str = ""


class Engine:
    """A connection to the engine that the environment names; every call raises EngineError when the engine fails."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def connect(cls) -> Engine:
        """Reach the engine of DOCKER_HOST or the current context; MissingTool when there is none or it is too old."""
        try:
            client = docker.from_env(version=".".join(map(str, OLDEST_API)), timeout=CALL_TIMEOUT, max_pool_size=16)
            # Not /version, which the library would ask: there the engine runs other programs to tell of theirs.
            ping = client.api._get(client.api._url("/_ping", versioned_api=False), timeout=FIRST_ANSWER)
            client.api._raise_for_status(ping)
            version = ping.headers.get("Api-Version") or client.version()["ApiVersion"]
        except (DockerException, OSError) as error:
            raise _unreachable(str(error)) from error
        except ValueError as error:  # the library reads the accounts of `docker login`
            raise MissingTool(
                "Docker's config.json has an account that cannot be read",
                details=str(find_config_file()),
                fix="remove what is wrong under `auths` there, then docker login",
                id="docker-config",
            ) from error
        if tuple(int(part) for part in version.split(".")) < OLDEST_API:
            raise MissingTool(
                f"the Docker Engine is too old: {ping.headers.get('Server', 'its version is unknown')}",
                details=f"it speaks API {version}, needed is 1.41",
                fix="upgrade to Docker Engine 20.10 or newer",
            )
        client.api._version = version
        return cls(client)

    @property
    def version(self) -> str:
        """The engine's version."""
        with _translated("asking for the engine's version"):
            return str(self._client.version()["Version"])

    def cgroup_version(self) -> int:
        """1 or 2: which control group hierarchy the engine's containers get."""
        with _translated("asking about the engine"):
            return int(self._client.info().get("CgroupVersion", "2"))

    def facts(self) -> Facts:
        """What the engine tells of itself and of its machine."""
        api = self._client.api
        with _translated("asking about the engine"):
            local = api.base_url in ("http+docker://localhost", "http+docker://localnpipe")
            return facts.read(self._client.info(), api=api._version, local=local)

    def is_rootless(self) -> bool:
        """Whether the engine runs without root, and so may publish only the ports that its user may listen on."""
        with _translated("asking about the engine"):
            return any("rootless" in str(option) for option in self._client.info().get("SecurityOptions") or ())

    # Images

    def image_id(self, reference: str) -> str | None:
        """The id of a local image, which is a digest of its content; None when there is none of that name."""
        found = self.inspect_image(reference)
        return None if found is None else str(found["Id"])

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        """What `docker image inspect` shows, or None."""
        with _translated(f"looking at image {name}"):
            try:
                return dict(self._client.api.inspect_image(name))
            except ImageNotFound:
                return None

    def load(self, archive: Path) -> None:
        """Take in every image of an archive."""
        with _translated(f"loading {archive.name}"), archive.open("rb") as data, self._patient():
            for event in self._client.api.load_image(data, quiet=True):
                if "error" in event:
                    raise EngineError(f"loading {archive.name} failed", details=str(event["error"]))

    def pull(self, reference: str) -> None:
        """Pull `name:tag@digest` from its registry."""
        with _translated(f"pulling {reference}"), self._patient():
            self._client.images.pull(reference)

    def tag(self, reference: str, name: str) -> None:
        """Give a local image a further name."""
        repository, _, tag = name.partition(":")
        with _translated(f"tagging {reference}"):
            self._client.api.tag(reference, repository, tag or "latest")

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """The bytes of one `docker save` of all `names`; closing the iterator ends it early."""
        api = self._client.api
        url = api._url("/images/get")
        local = getattr(api.get_adapter(url), "socket_path", None)
        with _translated("saving images"), self._patient():
            if local:
                target = f"{urlsplit(url).path}?{urlencode([('names', name) for name in names])}"
                with suppress(unix_http.Chunked):
                    yield from unix_http.get(local, target, timeout=LONG_TIMEOUT)
                    return
            response = api._get(url, params={"names": list(names)}, stream=True)
            api._raise_for_status(response)
            try:  # not iter_content: it gives every 32 KiB that the engine flushes as a piece of its own
                while chunk := response.raw.read(1 << 20, decode_content=False):
                    yield chunk
            finally:
                response.close()

    def build(self, context: Path, tag: str) -> None:
        """Build the Dockerfile of a folder; the last lines of the build are in the error when it fails."""
        lines: list[str] = []
        with _translated(f"building {tag}"), self._patient():
            for event in self._client.api.build(path=str(context), tag=tag, rm=True, forcerm=True, decode=True):
                lines += str(event.get("stream", "")).splitlines()
                if "error" in event:
                    said = "\n".join(line for line in [*lines, str(event["error"])] if line.strip())
                    raise EngineError(f"building {tag} from {context} failed", details=said[-2000:])

    # Containers

    def container(self, name: str) -> Container | None:
        """The container of exactly this name, or None."""
        with _translated(f"looking at container {name}"):
            try:
                return _container(self._client.api.inspect_container(name))
            except NotFound:
                return None

    def containers(self, label: str) -> tuple[Container, ...]:
        """Every container, running or not, that has the label (`key` or `key=value`)."""
        with _translated("listing containers"):
            inspected = []
            for one in self._client.api.containers(all=True, filters={"label": label}):
                with suppress(NotFound):  # it went between the two questions
                    inspected.append(_container(self._client.api.inspect_container(one["Id"])))
            return tuple(inspected)

    def publisher(self, port: int) -> str | None:
        """The running container that publishes a port of this machine, or None."""
        with _translated("listing containers"):
            for one in self._client.api.containers(filters={"publish": str(port)}):
                if any(each.get("PublicPort") == port for each in one["Ports"]):
                    return str(one["Names"][0]).lstrip("/")
        for found in self.containers(LISTENS):
            if found.running and any(bind.port == port for binds in found.published.values() for bind in binds):
                return found.name
        return None

    def run(self, spec: ContainerSpec) -> None:
        """Create and start a container; a container that cannot start is not left behind."""
        ports = {f"{inner}/tcp": [(b.address, b.port) for b in binds] for inner, binds in spec.publish.items()}
        labels = dict(spec.labels)
        if not spec.forwarded:
            labels[LISTENS], ports = json.dumps(ports), {}
        mounts = {name: {"bind": path, "mode": "rw"} for name, path in spec.volumes.items()}
        mounts |= {str(path): {"bind": inner, "mode": "ro"} for path, inner in spec.read_only_binds.items()}
        mounts |= {str(path): {"bind": inner, "mode": "rw"} for path, inner in spec.binds.items()}
        with _translated(f"starting container {spec.name}"):
            made = self._client.containers.create(
                spec.image,
                entrypoint=[spec.command[0]],
                command=list(spec.command[1:]),
                name=spec.name,
                labels=labels,
                network=spec.network,
                ports=ports,
                environment=dict(spec.environment),
                volumes=mounts,
                user=spec.user,
                read_only=True,
                tmpfs=dict.fromkeys(("/tmp", *spec.tmpfs), "size=64m"),  # noqa: S108  # inside the container
                extra_hosts=dict(spec.hosts),
                cap_drop=["ALL"],
                cap_add=list(spec.capabilities),
                security_opt=["no-new-privileges"],
                mem_limit=spec.memory,
                pids_limit=spec.processes,
                restart_policy={"Name": "unless-stopped"},
                init=True,
            )
            try:
                made.start()
            except BaseException:
                made.remove(force=True)
                raise

    def run_another(self, name: str, like: str, labels: Mapping[str, str], *, without: Sequence[str] = ()) -> None:
        """Create and start a container made as `like` was, but for its name, `labels`, and ports, of which it has none.

        Variables of its environment that are named in `without` are left out, volumes without a name are its own.
        """
        with _translated(f"starting container {name}"):
            found = self._client.api.inspect_container(like)
            config, host = dict(found["Config"]), dict(found["HostConfig"])
            kept = [one for one in config.get("Env") or () if one.partition("=")[0] not in without]
            config |= {"Hostname": name, "Labels": {**config["Labels"], **labels}, "Env": kept, "ExposedPorts": {}}
            host |= {"PortBindings": {}, "ContainerIDFile": ""}
            networks: Any = {"EndpointsConfig": {network: {} for network in found["NetworkSettings"]["Networks"]}}
            config |= {"HostConfig": host, "NetworkingConfig": networks}
            self._client.api.create_container_from_config(config, name)
            try:
                self._client.api.start(name)
            except BaseException:
                self._client.api.remove_container(name, force=True, v=True)
                raise

    def remove_container(self, name: str) -> bool:
        """Stop and remove a container with its anonymous volumes; returns whether there was one."""
        with _translated(f"removing container {name}"):
            try:
                self._client.api.remove_container(name, force=True, v=True)
            except NotFound:
                return False
            return True

    def start(self, name: str) -> None:
        """Start a container that exists, or let one go on that is held still."""
        with _translated(f"starting container {name}"):
            if self._client.api.inspect_container(name)["State"].get("Paused"):
                try:
                    self._client.api.unpause(name)
                except APIError:  # somebody let it go on behind the engine's back, which now refuses everything else
                    self._client.api.restart(name)
            else:
                self._client.api.start(name)

    def stop(self, name: str) -> None:
        """Stop a container; it keeps what it holds. Stopped already is fine."""
        with _translated(f"stopping container {name}"), self._patient():
            self._client.api.stop(name)

    def pause(self, name: str) -> None:
        """Hold every process of a running container still until `start`, wherever it is at."""
        with _translated(f"pausing container {name}"):
            self._client.api.pause(name)

    def keep_stopped(self, name: str) -> None:
        """Let a container that was stopped stay so when the engine starts anew, and one that was not start again."""
        with _translated(f"changing container {name}"):
            self._client.api.update_container(name, restart_policy={"Name": "unless-stopped"})

    def signal(self, name: str, signal: str) -> None:
        """Send a signal to a container's first process."""
        with _translated(f"signalling container {name}"):
            self._client.api.kill(name, signal)

    def logs(self, name: str, *, lines: int = 15) -> str:
        """The last lines a container wrote."""
        with _translated(f"reading the log of {name}"):
            return str(self._client.api.logs(name, tail=lines).decode(errors="replace"))

    def execute(self, name: str, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command in a container: its exit status and its output."""
        with _translated(f"running {argv[0]} in {name}"):
            run = self._client.api.exec_create(name, list(argv))["Id"]
            output = self._client.api.exec_start(run)
            status = self._client.api.exec_inspect(run)["ExitCode"]
        log.debug("in %s: %s -> %s", name, " ".join(argv), status)
        return int(status), output.decode(errors="replace")

    def write_file(self, name: str, path: PurePosixPath, data: bytes) -> None:
        """Write a file in a container, with its parent folders."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for folder in reversed(path.relative_to("/").parents[:-1]):
                info = tarfile.TarInfo(str(folder))
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            info = tarfile.TarInfo(str(path.relative_to("/")))
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
        with _translated(f"writing {path} in {name}"):
            self._client.api.put_archive(name, "/", content.getvalue())

    def read_file(self, name: str, path: PurePosixPath) -> bytes | None:
        """The content of a file in a container; None when there is none, or a folder or a link in its place."""
        with _translated(f"reading {path} in {name}"):
            try:
                chunks, _ = self._client.api.get_archive(name, str(path))
            except NotFound:
                return None
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                member = tar.next()
                data = tar.extractfile(member) if member is not None and member.isreg() else None
                return None if data is None else data.read()

    # Networks and volumes

    def network(self, name: str) -> Network | None:
        """The network of exactly this name, or None; of several, which the engine allows, the one in use."""
        with _translated(f"looking at network {name}"):
            found = self._networks(name)
        return _network(found[0]) if found else None

    def spare_networks(self, name: str) -> tuple[str, ...]:
        """The ids of further networks of this name: two commands at the same moment may have made one each."""
        with _translated(f"looking at network {name}"):
            return tuple(str(one["Id"]) for one in self._networks(name)[1:])

    def _networks(self, name: str) -> list[Mapping[str, Any]]:
        """What the engine says of every network of this name, those in use first, then the oldest."""
        known = [one["Id"] for one in self._client.api.networks(names=[name]) if one["Name"] == name]
        found: list[Mapping[str, Any]] = [self._client.api.inspect_network(each) for each in known]
        return sorted(found, key=lambda one: (not one.get("Containers"), one["Created"]))

    def create_network(self, name: str, labels: Mapping[str, str], *, subnet6: str = "") -> None:
        """Make a bridge network, of IPv4 and, with a range for it, of IPv6 too."""
        options = {"com.docker.network.bridge.enable_ip_masquerade": "true"}
        more: dict[str, Any] = {}
        if subnet6:
            more = {"enable_ipv6": True, "ipam": IPAMConfig(pool_configs=[IPAMPool(subnet=subnet6)])}
        with _translated(f"making network {name}"):
            self._client.api.create_network(
                name, driver="bridge", labels=dict(labels), options=options, check_duplicate=True, **more
            )

    def connect_network(self, name: str, container: str, address: str) -> None:
        """Let a container have one more network, with that IPv4 address of it, also when it starts again."""
        with _translated(f"connecting {container} to network {name}"):
            self._client.api.connect_container_to_network(container, name, ipv4_address=address)

    def disconnect_network(self, name: str, container: str) -> None:
        """Take a network from a container."""
        with _translated(f"disconnecting {container} from network {name}"):
            self._client.api.disconnect_container_from_network(container, name, force=True)

    def remove_network(self, name: str) -> None:
        """Remove a network by its name or id; gone already is fine."""
        with _translated(f"removing network {name}"):
            try:
                self._client.api.remove_network(name)
            except NotFound:
                return

    def volume_labels(self, name: str) -> Mapping[str, str] | None:
        """The labels of a volume, or None when there is none of that name."""
        with _translated(f"looking at volume {name}"):
            try:
                return dict(self._client.api.inspect_volume(name)["Labels"] or {})
            except NotFound:
                return None

    def labelled_volumes(self, label: str) -> Mapping[str, Mapping[str, str]]:
        """The labels of every volume that has `label`, by the volume's name."""
        with _translated("listing volumes"):
            found = self._client.api.volumes(filters={"label": label})["Volumes"] or ()
            return {one["Name"]: dict(one["Labels"] or {}) for one in found}

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a volume, or find the one of that name."""
        with _translated(f"making volume {name}"):
            self._client.api.create_volume(name, labels=dict(labels))

    def remove_volume(self, name: str) -> bool:
        """Remove a volume and its data; returns whether there was one."""
        with _translated(f"removing volume {name}"):
            try:
                self._client.api.remove_volume(name)
            except NotFound:
                return False
            return True

    @contextmanager
    def api(self, doing: str) -> Iterator[Any]:
        """The client below, for other modules of this package; what fails in the block is an EngineError."""
        with _translated(doing), self._patient():
            yield self._client.api

    @contextmanager
    def _patient(self) -> Iterator[None]:
        """Let a call take long: an engine sends nothing while it loads, saves or pulls."""
        before, self._client.api.timeout = self._client.api.timeout, LONG_TIMEOUT
        try:
            yield
        finally:
            self._client.api.timeout = before


def _container(found: Mapping[str, Any]) -> Container:
    networks = found["NetworkSettings"]["Networks"] or {}
    labels = found["Config"]["Labels"] or {}
    ports = found["HostConfig"].get("PortBindings") or {}
    published = {
        inner: {Bind(b["HostIp"], int(b["HostPort"] or 0)) for b in binds or ()} for inner, binds in ports.items()
    }
    listens = {inner: {Bind(*bind) for bind in binds} for inner, binds in json.loads(labels.get(LISTENS, "{}")).items()}
    return Container(
        name=found["Name"].lstrip("/"),
        id=found["Id"],
        running=found["State"]["Status"] == "running",
        image=found["Image"],
        labels=labels,
        addresses={name: one["IPAddress"] for name, one in networks.items() if one.get("IPAddress")},
        published={int(inner.split("/")[0]): frozenset(binds) for inner, binds in (published | listens).items()},
        held=found["State"]["Status"] == "paused",
    )


def _network(found: Mapping[str, Any]) -> Network:
    ranges: Sequence[Mapping[str, str]] = found["IPAM"]["Config"] or ()
    first: Mapping[str, str] = next((one for one in ranges if ":" not in one["Subnet"]), {})
    second: Mapping[str, str] = next((one for one in ranges if ":" in one["Subnet"]), {})
    members = frozenset(one["Name"] for one in (found.get("Containers") or {}).values())
    subnets, gateway = (first.get("Subnet", ""), second.get("Subnet", "")), first.get("Gateway", "")
    return Network(found["Name"], subnets[0], found["Labels"] or {}, members, gateway, subnets[1])


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise EngineError(f"{doing} failed", details=str(error.explanation or error)) from error
    except DockerException as error:
        raise EngineError(f"{doing} failed", details=str(error)) from error
    except unix_http.Refused as error:
        raise EngineError(f"{doing} failed", details=str(error)) from error
    except OSError as error:  # every error of the HTTP client below is one
        raise EngineError(
            f"{doing} failed: the Docker Engine went away",
            details=str(error),
            fix="see that the engine runs (`docker version`), then run the same command again",
        ) from error


def _unreachable(said: str) -> MissingTool:
    if "Permission denied" in said or "PermissionError" in said:
        return MissingTool(
            "you may not use the Docker Engine",
            details=said,
            fix="add yourself to the group `docker` (sudo usermod -aG docker $USER, then log in again)",
            id="engine-permission",
        )
    if "timed out" in said:
        return MissingTool(
            "the Docker Engine takes the call and does not answer",
            details=said,
            fix="look at its log (journalctl -u docker) and restart it",
            id="engine-hangs",
        )
    return MissingTool(
        "no Docker Engine answers",
        details=said,
        fix="start it (Linux: `sudo systemctl start docker`; macOS and Windows: start Docker Desktop), "
        "or install one: scripts/engine does it on Debian and Ubuntu",
        id="engine-unreachable",
    )
