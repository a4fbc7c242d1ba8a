"""Files in the folders of a Docker Engine, read by a container for a user who may not, or of an engine in a VM.

The container runs the shell of a node image, which is on the machine anyway. It has no network and one capability, to
read files whatever their modes are, and mounts only the folders that are read. It answers requests on its standard
input, and ends when that is closed: with this process, however that ends. Where the engine is on this machine, the
bytes come through a pipe that it mounts too: through the engine they take three times as long.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import cast

from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.images.sources.image_source import Unreadable
from sandbox.oci.digest import CHUNK
from sandbox.sanitize import cause
from sandbox.system import files

LABEL = "dev.sandbox.layer-container"
# Repositories of images that have a shell, GNU's tools and nothing of the user's own.
IMAGES = ("sandbox.dev/node", "kindest/node", "gcr.io/k8s-minikube/kicbase")
MEMORY = 256 << 20
SILENCE = 30.0  # seconds without a byte: a file was shorter than expected, or reading it blocks
# A request is a line `COMMAND BYTES`, followed by as many bytes of paths, each ended by a zero byte. Files' bytes go to
# the pipe that the script is given, if any. Opened for both directions first, it does not block without a reader.
SCRIPT = """
if [ "$1" ]; then exec 4<>"$1" 3>"$1" 4<&-; else exec 3>&1; fi
while read -r command bytes; do
  case $command in
  sizes) head -c "$bytes" | xargs -0 stat -c '%s %F:%n' -- 2>/dev/null ;;
  read) head -c "$bytes" | xargs -0 cat -- >&3 ;;
  esac
  printf '\\nend\\n'
done
"""
END = b"\nend\n"
# A frame of the output (Docker Engine API, "Attach to a container"): the stream's number, and a size in bytes.
_FRAME = struct.Struct(">BxxxL")
_STDOUT = 1


@dataclass
class ContainerFiles:
    """Reads files below `folders` by a container, which starts at the first request. Safe for use by several threads.

    A request that fails ends the container; the next one starts another. `started` is called when one has started.
    Pipes are made in the folder `spool`.
    """

    engine: Engine
    folders: Sequence[Path]
    started: Callable[[], None] = lambda: None
    spool: Path | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _connection: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _output: _Output | None = None

    def __enter__(self) -> ContainerFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def sizes(self, folder: Path, names: Sequence[str]) -> Mapping[str, int]:
        paths = {str(folder / name): name for name in names}
        data = b""
        with self._asked("sizes", map(str.encode, paths)) as output:
            while not data.endswith(END):
                data += output.frame()
        sizes = {}
        for line in data.decode(errors="replace").splitlines():
            size, _, rest = line.partition(" ")
            kind, _, path = rest.partition(":")
            if kind.startswith("regular") and path in paths:
                sizes[paths[path]] = int(size)
        return sizes

    @contextlib.contextmanager
    def read(self, folder: Path, names: Sequence[bytes], sizes: Sequence[int]) -> Iterator[Iterator[bytes]]:
        start = bytes(folder) + b"/"
        with self._asked("read", (start + name for name in names)) as output:
            yield output.pieces(sum(sizes))
            if not output.has_ended():
                raise Unreadable("a file in the engine's folder is longer than expected", details=str(folder))

    @contextlib.contextmanager
    def _asked(self, command: str, paths: Iterable[bytes]) -> Iterator[_Output]:
        listed = b"".join(path + b"\0" for path in paths)
        with self._turn:
            output, self._output = self._output or self._started(), None
            # The container answers before it has read a long list to its end.
            request = f"{command} {len(listed)}\n".encode() + listed
            sending = threading.Thread(target=output.send, args=(request,), daemon=True)
            sending.start()
            try:
                yield output
            except BaseException:
                self._connection.close()
                self.engine.remove_container(output.container)
                raise
            sending.join()
            self._output = output

    def _started(self) -> _Output:
        image = next((id_ for name in IMAGES if (id_ := self.engine.any_image(name))), None)
        if image is None:
            raise Unreadable("the engine has no node image", details=f"one of {', '.join(IMAGES)}")
        if self.engine.shares_network():
            # The file system may have no FIFOs, and an engine from a snap does not mount every folder of the user.
            with contextlib.suppress(OSError, SandboxError):
                return self._run(image, *self._connection.enter_context(self._pipe()))
        return self._run(image)

    def _run(self, image: str, path: Path | None = None, pipe: int | None = None) -> _Output:
        name, stack = f"sandbox-layers-{uuid.uuid4().hex[:12]}", self._connection
        config = {
            "Image": image,
            "Entrypoint": ["sh", "-c", SCRIPT, "sh", str(path or "")],
            "Cmd": [],
            "User": "0:0",
            "Labels": {LABEL: ""},
            "OpenStdin": True,
            "StdinOnce": True,
        }
        host = {
            "NetworkMode": "none",
            # Not Binds, for which the engine makes folders that do not exist.
            "Mounts": [
                {"Type": "bind", "Source": str(folder), "Target": str(folder), "ReadOnly": True}
                for folder in dict.fromkeys(self.folders)
            ]
            + ([{"Type": "bind", "Source": str(path), "Target": str(path)}] if path else []),
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["DAC_READ_SEARCH"],
            "SecurityOpt": self.engine.security_options(mounts=True),
            "Memory": MEMORY,
            "PidsLimit": 64,
            "AutoRemove": True,
            # The default driver would write every byte to a file as JSON.
            "LogConfig": {"Type": "none", "Config": {}},
        }
        try:
            self.engine.make(name, config, host)
            connection = stack.enter_context(self.engine.attached(name, timeout=SILENCE))
            output = cast("BufferedReader", connection.makefile("rb", buffering=CHUNK))
            stack.callback(output.close)
            self.engine.start(name)
        except BaseException:
            stack.close()
            self.engine.remove_container(name)
            raise
        self.started()
        return _Output(name, connection, output, pipe)

    @contextlib.contextmanager
    def _pipe(self) -> Iterator[tuple[Path, int]]:
        if self.spool:
            files.make_private_dir(self.spool)
        with tempfile.TemporaryDirectory(prefix="pipe-", dir=self.spool) as folder:
            path = Path(folder, "layers")
            os.mkfifo(path)
            path.chmod(0o666)  # for the container, whose root may not use the files of others
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            if sys.platform == "linux":  # so that the container reads the next piece while this process sends one
                with contextlib.suppress(OSError):
                    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, CHUNK)
            try:
                yield path, reader
            finally:
                os.close(reader)


# Anything on the container's standard error is the reason why a request failed.
@dataclass
class _Output:
    container: str
    connection: socket.socket
    file: BufferedReader
    pipe: int | None  # of the files' bytes, which are in the output without one
    rest: bytes = b""  # of the current frame

    def send(self, request: bytes) -> None:
        with contextlib.suppress(OSError):  # then there is no output either
            self.connection.sendall(request)

    def pieces(self, size: int) -> Iterator[bytes]:
        read = self._of_output if self.pipe is None else self._of_pipe
        while size:
            parts, left = [], min(size, CHUNK)
            size -= left
            while left:
                parts.append(read(left))
                left -= len(parts[-1])
            yield b"".join(parts)

    def has_ended(self) -> bool:
        if self.pipe is not None and self._is_filled(self.pipe):
            return False
        end = b""
        while len(end) < len(END):
            end += self._of_output(len(END) - len(end))
        return end == END

    def frame(self) -> bytes:
        try:
            stream, size = _FRAME.unpack(self.file.read(_FRAME.size))
            data = self.file.read(size)
        except OSError as error:
            raise Unreadable("the container does not answer", details=cause(error)) from error
        except struct.error as error:
            raise Unreadable("the container ended while it was read") from error
        if stream != _STDOUT:
            words = data.decode(errors="replace").strip()
            raise Unreadable("the container cannot read the engine's folder", details=words)
        return data

    def _of_output(self, most: int) -> bytes:
        rest = self.rest or self.frame()
        self.rest = rest[most:]
        return rest[:most]

    def _of_pipe(self, most: int) -> bytes:
        if self.pipe is not None and self._is_filled(self.pipe):
            return os.read(self.pipe, most)
        self.frame()
        raise Unreadable("a file in the engine's folder is shorter than expected")

    def _is_filled(self, pipe: int) -> bool:
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        poll.register(self.connection, select.POLLIN)
        if not poll.poll(SILENCE * 1000):
            raise Unreadable("the container does not answer", details=f"no byte for {SILENCE:.0f} seconds")
        # Asked again: bytes that come before the end of the request may do so after the first look at the pipe.
        return any(file == pipe and event & select.POLLIN for file, event in poll.poll(0))
