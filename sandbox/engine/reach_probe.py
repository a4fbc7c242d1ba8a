"""Runs two short-lived containers that test how this machine and an engine's reach each other.

One publishes a port, the other is on the engine's host network. Nothing is guessed: an answer has to contain a random
word, and a kernel is known by its boot id (random(4)).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.engine.base import EngineError
from sandbox.engine.connection import Engine
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.system import files, host_network
from sandbox.system.wait import WaitTimeout, wait_until

IMAGES = ("sandbox.dev/busybox", "busybox")
INNER, LIFE = 8080, 30  # seconds after which a container ends by itself, if its command was killed
# Seconds; forwarders of virtual machines look for new ports about every second.
PATIENCE, BRIEF = 4.0, 0.5
LOCAL = "127.0.0.1"
# Names of this machine that tools give containers, and its address in user-mode networks (libslirp, "host" address).
NAMES = ("host.docker.internal", "host.lima.internal", "host.containers.internal", "host.orb.internal", "10.0.2.2")
GATEWAY = "gateway.sandbox.internal"
FOLDER = "/shared"
_SERVE = f'echo "$0-served" > "/tmp/$0" && exec busybox httpd -f -p {INNER} -h /tmp'
_SHOW = "busybox readlink /proc/self/ns/net"
# `wget` prints the address that a name resolves to.
_ASK = """
cat /proc/sys/kernel/random/boot_id
[ ! -e /shared/WORD ] || echo seen
echo written 2>/dev/null > /shared/WORD.answer
for name in NAMES; do
  ( said=$(busybox timeout 1 busybox wget -O - "http://$name:PORT/WORD" 2>&1)
    case $said in *WORD-answered*) echo "machine $name $said" ;; esac ) &
done
wait
"""
_CONNECTED = re.compile(r"^machine (\S+) Connecting to \S+ \(([0-9.]+):\d+\)", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """The results: the engine's boot id, the number of its host network, and which connections worked."""

    boot: str = ""
    network: str = ""
    published: tuple[str, ...] = ()
    low_ports: bool = True
    containers: bool = False
    machine: str = ""
    seen: bool = False
    written: bool = False


def measure(engine: Engine, home: Home) -> Shown | None:
    """Return the results of the containers, None where there is no image for them.

    Raises EngineError. Removes the containers.
    """
    image = next((one for one in map(engine.any_image, IMAGES) if one), None)
    if image is None:
        return None
    word = secrets.token_hex(8)
    folder = home.state / "reach" / word
    _sweep(folder.parent)
    files.make_private_dir(folder)
    try:
        (folder / word).touch()
        with _answering(word) as port, ThreadPoolExecutor(1) as pool:
            network = pool.submit(_host_network, engine, home, image)
            shown = _published(engine, home, image, folder, port)
            return replace(shown, network=network.result())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folders: Path) -> None:
    """Remove what commands left that ended meanwhile; others may measure now, as long as four containers live."""
    for one in folders.glob("*"):
        with suppress(OSError):
            if time.time() - one.stat().st_mtime > 4 * LIFE:
                shutil.rmtree(one)


def _published(engine: Engine, home: Home, image: str, folder: Path, port: int) -> Shown:
    """Run the container that publishes a port and connects to this machine."""
    low = next((one for one in range(1023, 600, -1) if host_network.is_free(LOCAL, one)), 0)
    mount = {"Type": "bind", "Source": str(folder), "Target": FOLDER}
    command = ("sh", "-c", _SERVE, folder.name)
    failure: EngineError | None = None
    # What an engine refuses says nothing of the rest.
    for lowest, mounts in ((low, [mount]), (low, []), (0, [mount]), (0, [])):
        ports = [{"HostIp": LOCAL, "HostPort": one} for one in ("", *((str(lowest),) if lowest else ()))]
        host = {"PortBindings": {f"{INNER}/tcp": ports}, "Mounts": mounts, "ExtraHosts": [f"{GATEWAY}:host-gateway"]}
        try:
            with _running(engine, home, image, command, host) as name:
                return _through(engine, name, folder, port, low)
        except EngineError as error:
            failure = error
    assert failure is not None  # noqa: S101  # no way was left
    raise failure


def _through(engine: Engine, name: str, folder: Path, port: int, low: int) -> Shown:
    """Try every connection between this machine and the container, in both directions."""
    word, names = folder.name, (*NAMES, GATEWAY, *host_network.lan_addresses())
    script = _ASK.replace("NAMES", " ".join(names)).replace("PORT", str(port)).replace("WORD", word)
    with ThreadPoolExecutor(4) as pool:
        asking = pool.submit(_executed, engine, name, script)
        places, inner = engine.places(name, INNER)
        usual = next((one.port for one in places if one.port != low), 0)
        ways = [(LOCAL, usual, PATIENCE), (LOCAL, low if len(places) > 1 else 0, PATIENCE)]
        ways.append((inner[0] if inner else LOCAL, INNER if inner else 0, BRIEF))
        heard, low_heard, reached = pool.map(lambda way: bool(way[1]) and _says(way[0], way[1], word, way[2]), ways)
        said = asking.result()
    found = dict(_CONNECTED.findall(said))
    return Shown(
        boot=said.partition("\n")[0].strip(),
        published=(LOCAL,) if heard else (),
        low_ports=low_heard or not heard,
        containers=reached,
        machine=next((found[name] for name in names if name in found), ""),
        seen="\nseen\n" in said,
        written=(folder / f"{word}.answer").exists(),
    )


def _host_network(engine: Engine, home: Home, image: str) -> str:
    """Return the number of the engine's host network, which is meaningful where both have the same kernel."""
    with (
        suppress(EngineError),
        _running(engine, home, image, ("sleep", str(LIFE)), {"NetworkMode": "host"}) as name,
    ):
        return _executed(engine, name, _SHOW).strip()
    return ""


@contextmanager
def _running(engine: Engine, home: Home, image: str, command: Sequence[str], host: Mapping[str, Any]) -> Iterator[str]:
    """Yield the name of a container that runs the command; it ends by itself if this process is killed."""
    name = f"sandbox-reach-{secrets.token_hex(4)}"
    config = {
        "Image": image,
        "Entrypoint": ["busybox", "timeout", str(LIFE)],
        "Cmd": list(command),
        "Labels": dict(home.labels),
        "ExposedPorts": {port: {} for port in host.get("PortBindings", {})},
    }
    if not engine.facts().rootless:  # there root is this user
        config["User"] = f"{os.getuid()}:{os.getgid()}"
    secured = engine.security_options(mounts="Mounts" in host)
    kept = {"AutoRemove": True, "CapDrop": ["ALL"], "SecurityOpt": secured, "Init": True}
    try:
        engine.make(name, config, {**kept, **host})
        engine.start(name)
        yield name
    finally:
        engine.remove_container(name)


def _executed(engine: Engine, name: str, script: str) -> str:
    with suppress(SandboxError):
        status, said = engine.execute(name, ["sh", "-c", script])
        return "" if status else said  # an engine's own message is no answer
    return ""


def _says(address: str, port: int, word: str, seconds: float) -> bool:
    """Tell whether a server there answers with the word."""

    def silence() -> str | None:
        try:
            with socket.create_connection((address, port), timeout=0.5) as connection:
                connection.settimeout(BRIEF * 2)
                connection.sendall(f"GET /{word} HTTP/1.0\r\n\r\n".encode())
                with connection.makefile("rb") as answer:
                    said = answer.read(4096)
        except OSError as error:
            return str(error)
        return None if f"{word}-served".encode() in said else "another answer"

    try:
        wait_until(silence, what="the port", timeout=seconds, pause=0.05)
    except WaitTimeout:
        return False
    return True


@contextmanager
def _answering(word: str) -> Iterator[int]:
    """Yield a port of this machine that answers clients which send the word, and records that they did."""
    # macOS asks its user about programs that listen for others; its virtual machines can reach the loopback.
    address = LOCAL if sys.platform == "darwin" else "0.0.0.0"  # noqa: S104  # for a second, and to this word alone
    with socket.create_server((address, 0), backlog=16) as server:
        thread = threading.Thread(target=_answer, args=(server, word), daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)


def _answer(server: socket.socket, word: str) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            connection.settimeout(1)
            if connection.recv(1024).startswith(f"GET /{word} ".encode()):
                body = f"{word}-answered"
                connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
