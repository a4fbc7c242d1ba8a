"""Makes a folder of Debian packages: a configured system for the node, or unpacked files to copy programs from."""

import os
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from sandbox.bundle.architecture import native
from sandbox.bundle.builder import apt
from sandbox.bundle.recipe import DebianTree
from sandbox.errors import MissingTool
from sandbox.system import process

DATABASE = "var/lib/dpkg"


def require() -> Path:
    program = process.which("debootstrap", extra=[Path("/usr/sbin")])
    if program is None:
        raise MissingTool(
            "debootstrap is not installed",
            details="the bundle's node image is a small Debian system",
            fix="apt-get install debootstrap debian-archive-keyring, then run `sandbox bundle build` again",
        )
    apt.require()
    return program


def make_tree(spec: DebianTree, root: Path, on_line: Callable[[str], None]) -> None:
    """Fill the folder `root` with the suite's packages and security updates from the mirrors this machine uses.

    Every package is signed: without Debian's keys, debootstrap alone would only warn. Raises MissingTool.
    """
    if spec.configured:
        signed = ("--force-check-gpg", f"--keyring={apt.KEYRING}")
        packages = ("--variant=minbase", f"--include={','.join(spec.packages)}")
        argv: list[str | Path] = [require(), *signed, *packages, spec.suite, root, apt.mirrors()[0]]
        process.run(argv, timeout=apt.TIMEOUT, on_line=on_line, nice=True)
        apt.upgrade(spec.suite, root, on_line)
    else:
        apt.require()
        apt.download(spec.suite, spec.packages, root, on_line)
        _unpack(root)
    for path in (root / name for name in spec.prune):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def closure(root: Path, paths: Iterable[str]) -> list[Path]:
    """Return the files at `paths` inside `root` (folders whole) and the shared libraries that their programs load.

    Symbolic links are followed inside `root`, and both ends are returned.
    """
    closure: dict[Path, None] = {}
    for path in paths:
        for entry in _chain(root, Path(path)):
            closure[entry] = None
            if entry.is_symlink():
                continue
            programs = []
            for inside in sorted(entry.rglob("*")) if entry.is_dir() else [entry]:
                chain = [inside]
                if inside.is_symlink():
                    with suppress(FileNotFoundError):  # some packages have dangling links
                        chain = _chain(root, Path("/") / inside.relative_to(root))
                for file in chain:
                    if file.is_symlink() or file.is_file():
                        closure[file] = None
                        programs += [] if file.is_symlink() else [file]
            for library in _libraries(root, programs):
                closure.update(dict.fromkeys(_chain(root, library)))
    return [path for path in closure if path.is_symlink() or not path.is_dir()]


def _chain(root: Path, path: Path) -> list[Path]:
    chain: list[Path] = []
    inside = root
    parts = list(path.parts[1:])
    while parts:
        inside = inside / parts.pop(0)
        if inside.is_symlink():
            target = inside.readlink()
            if not parts:
                chain.append(inside)
            base = Path("/") if target.is_absolute() else Path("/") / inside.parent.relative_to(root)
            parts = [*Path(os.path.normpath(base / target)).parts[1:], *parts]
            inside = root
    if not inside.exists():
        raise FileNotFoundError(f"{path} is not in {root}")
    return [*chain, inside]


def _libraries(root: Path, programs: Iterable[Path]) -> list[Path]:
    loader = native().loader  # a tree of packages is made on the machine that it is for
    libraries: dict[Path, None] = {}
    for program in programs:
        if program.read_bytes()[:4] != b"\x7fELF":
            continue
        with suppress(process.ToolFailed):  # statically linked
            listing = process.run(["chroot", root, loader, "--list", f"/{program.relative_to(root)}"], timeout=30)
            libraries[Path(loader)] = None
            libraries.update((Path(path), None) for path in re.findall(r"=> (/\S+)", listing))
    return list(libraries)


def _unpack(root: Path) -> None:
    """Replace the folder of downloaded packages by their files, without running anything of them.

    The files of each package are listed as in dpkg's own database (dpkg-query(1)).
    """
    packages = sorted(root.joinpath(apt.ARCHIVES).glob("*.deb"))
    files = root.with_name(root.name + ".files")
    for name in ("bin", "sbin", "lib", "lib64"):
        files.joinpath("usr", name).mkdir(parents=True)
        files.joinpath(name).symlink_to(f"usr/{name}")
    database = files / DATABASE
    database.joinpath("info").mkdir(parents=True)
    stanzas = []
    for package in packages:
        process.run(["dpkg-deb", "--extract", package, files], timeout=120)
        stanzas.append(process.run(["dpkg-deb", "--field", package], timeout=60))
        listing = process.run(["dpkg-deb", "--contents", package], timeout=60)
        name = package.name.partition("_")[0]
        database.joinpath("info", f"{name}.list").write_text(
            "".join(f"{path}\n" for path in _listed(listing)), encoding="utf-8"
        )
    database.joinpath("status").write_text("\n".join(stanzas), encoding="utf-8")
    shutil.rmtree(root)
    files.rename(root)


def _listed(contents: str) -> Iterable[str]:
    for line in contents.splitlines():
        path = line.split(maxsplit=5)[5].partition(" -> ")[0].partition(" link to ")[0]
        yield path.removeprefix(".").rstrip("/") or "/."
