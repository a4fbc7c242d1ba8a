"""Writes the content of volumes to tar files and back, by shell scripts in a container that mounts the volumes.

The container belongs to the sandbox; if the command is killed, it stays until the next one.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.engine import Engine, container_copy
from sandbox.engine.container_copy import Exchange
from sandbox.errors import SandboxError, succeeded
from sandbox.names import Names

NO_SPACE = 28  # ENOSPC
SPARE = 64 << 20  # bytes to leave free

# Times in nanoseconds, attributes of overlay file systems, devices: containerd's layers need all of them.
_TAR = "tar --format=posix --pax-option=delete=atime,delete=ctime --numeric-owner --xattrs --xattrs-include='*'"
_EXTRACT = "--extract --preserve-permissions --same-owner --delay-directory-restore"
_HEAD = f"""set -eu
export LC_ALL=C
room() {{
  free=$(df --output=avail --block-size=1 "$2" | tail -n 1)
  [ "$free" -gt $(($1 + {SPARE})) ] || {{ echo "$1 bytes are needed and $free are free"; exit {NO_SPACE}; }}
}}
entries() {{
  cd "$1"
  about='%T@ %m %U:%G\\t%P\\0'
  find . -mindepth 1 -xdev \\( -type d -printf "%y - $about" -o -printf "%y %s $about" \\) | sort -z
}}
"""


@dataclass(frozen=True)
class Packed:
    """A volume saved as `file`.tar: all of it or, with `base`, what differs from that folder of the image.

    Files that the image has and the volume lacks are then listed in `file`.removed. It is restored into the volume
    itself or, without regard to the image, into the folder `below` of it.
    """

    volume: str
    file: str
    base: str | None = None
    below: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        return (f"{self.file}.tar", f"{self.file}.removed") if self.base else (f"{self.file}.tar",)


@dataclass(frozen=True)
class VolumeArchive:
    """Writes volumes of the sandbox `names` to files and back, in containers of the node image `image`."""

    engine: Engine
    names: Names
    image: str

    def pack(self, volumes: Sequence[Packed], folder: Path) -> None:
        """Write the files of all volumes into `folder`, readable for this user only. Raises SandboxError."""
        own = f"chown {os.getuid()}:{os.getgid()} /out/*; chmod 600 /out/*\n"
        script = "".join(_packing(packed, f"/volumes/{at}") for at, packed in enumerate(volumes)) + own
        exchange = Exchange(place="/out", folder=folder, taken=_files(volumes))
        self._run(_HEAD + script, _places(volumes), what="saved", exchange=exchange)

    def unpack(self, volumes: Sequence[Packed], folder: Path) -> None:
        script = "".join(_unpacking(packed, f"/volumes/{at}") for at, packed in enumerate(volumes))
        exchange = Exchange(place="/in", folder=folder, given=_files(volumes))
        self._run(_HEAD + script, _places(volumes), what="restored", exchange=exchange)

    def swap(self, volume: str, below: str) -> None:
        """Replace everything in a volume by the content of its folder `below`; safe to repeat."""
        new, done = shlex.quote(below), shlex.quote(f"{below}.done")
        script = f"""set -eu
cd /volume
if [ -d {new} ]; then
  find . -mindepth 1 -maxdepth 1 ! -name {new} -exec rm -rf {{}} +
  mv {new} {done}
fi
if [ -d {done} ]; then
  find {done} -mindepth 1 -maxdepth 1 -exec mv -t . {{}} +
  rmdir {done}
fi
"""
        self._run(script, {"/volume": volume}, what="restored")

    def drop(self, volume: str, below: str) -> None:
        self._run(f"rm -rf /volume/{shlex.quote(below)}", {"/volume": volume}, what="restored")

    def _run(self, script: str, places: Mapping[str, str], *, what: str, exchange: Exchange | None = None) -> None:
        names = self.names
        status, output = container_copy.run_script(
            self.engine, self.image, script, name=names.copier, volumes=places, labels=names.labels, exchange=exchange
        )
        if status == NO_SPACE:
            raise SandboxError(
                f"there is no space for the volumes to be {what}",
                details=output.strip(),
                fix="free some space, then run it again",
                id="disk-full",
            )
        succeeded((status, output.strip()), f"the volumes could not be {what}")


def _places(volumes: Sequence[Packed]) -> dict[str, str]:
    return {f"/volumes/{at}": packed.volume for at, packed in enumerate(volumes)}


def _files(volumes: Sequence[Packed]) -> tuple[str, ...]:
    return tuple(name for packed in volumes for name in packed.files)


def _unpacking(packed: Packed, place: str) -> str:
    target, tar = f"{place}/{packed.below}".rstrip("/"), shlex.quote(f"/in/{packed.file}.tar")
    empty = f"rm -rf {target}\nmkdir {target}\n" if packed.below else ""
    room = f'room "$(stat -c %s {tar})" {target}\n'
    removed = f"cd {target}\nxargs -0 -r rm -rf < {shlex.quote(f'/in/{packed.file}.removed')}\n" if packed.base else ""
    return f"{empty}{room}{removed}{_TAR} {_EXTRACT} --directory={target} --file={tar}\n"


def _packing(packed: Packed, place: str) -> str:
    tar = shlex.quote(f"/out/{packed.file}.tar")
    if packed.base is None:
        return f'room "$(du -sb {place} | cut -f1)" /out\n{_TAR} --create --directory={place} --file={tar} .\n'
    removed = shlex.quote(f"/out/{packed.file}.removed")
    return f"""(entries {shlex.quote(packed.base)}) > /tmp/image
(entries {place}) > /tmp/now
comm -z -13 /tmp/image /tmp/now > /tmp/changed
cut -z -f2- /tmp/image | sort -z > /tmp/before
cut -z -f2- /tmp/now | sort -z | comm -z -23 /tmp/before - > {removed}
room "$(tr '\\0' '\\n' < /tmp/changed | awk '$1 == "f" {{ sum += $2 }} END {{ printf "%d", sum }}')" /out
cut -z -f2- /tmp/changed | {_TAR} --create --directory={place} --file={tar} --null --no-recursion --files-from=-
"""
