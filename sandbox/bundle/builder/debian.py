"""Makes a folder of Debian packages: a configured system for the node, or unpacked files to copy programs from.

This machine's apt fetches the packages, with signed lists and security updates.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from sandbox.bundle.recipe import DebianTree, native
from sandbox.errors import MissingTool
from sandbox.system import process

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHIVES = "var/cache/apt/archives"
DATABASE = "var/lib/dpkg"
TIMEOUT = 1800.0  # seconds
# Read after the machine's own settings, so that only its network settings still apply (apt.conf(5)).
_SETTINGS = """
Dir::Etc::sourcelist "{root}/etc/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{root}/var/lib/apt";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Cache "{root}/var/cache/apt";
Dir::Log "{root}/var/log/apt";
DPkg::Chroot-Directory "{root}";
APT::Default-Release "";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Update::Error-Mode "any";
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


def require() -> Path:
    program = process.which("debootstrap", extra=[Path("/usr/sbin")])
    if program is None:
        raise MissingTool(
            "debootstrap is not installed",
            details="the bundle's node image is a small Debian system",
            fix="apt-get install debootstrap debian-archive-keyring, then run `sandbox bundle build` again",
        )
    _require_keys()
    return program


def _require_keys() -> None:
    if not KEYRING.exists():
        raise MissingTool(
            "Debian's keys are not installed",
            details=f"the node image is made from Debian packages, and their signatures are checked: no {KEYRING}",
            fix="apt-get install debian-archive-keyring, then run `sandbox bundle build` again",
        )


def make_tree(spec: DebianTree, root: Path, on_line: Callable[[str], None]) -> None:
    """Fill the folder `root` with the suite's packages and security updates from the mirrors this machine uses.

    Every package is signed: without Debian's keys, debootstrap alone would only warn. Raises MissingTool.
    """
    if spec.configured:
        signed = ("--force-check-gpg", f"--keyring={KEYRING}")
        packages = ("--variant=minbase", f"--include={','.join(spec.packages)}")
        argv: list[str | Path] = [require(), *signed, *packages, spec.suite, root, mirrors()[0]]
        process.run(argv, timeout=TIMEOUT, on_line=on_line, nice=True)
        _apt(spec.suite, root, on_line, "dist-upgrade", "--yes")
    else:
        _require_keys()
        root.joinpath(DATABASE).mkdir(parents=True)
        root.joinpath(DATABASE, "status").touch()
        _apt(spec.suite, root, on_line, "install", "--yes", "--download-only", *spec.packages)
        _unpack(root)
    for path in (root / name for name in spec.prune):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _apt(suite: str, root: Path, on_line: Callable[[str], None], *words: str) -> None:
    settings = root.with_name("apt.conf")
    settings.write_text(_SETTINGS.format(root=root), encoding="utf-8")
    for folder in ("etc/apt", "var/lib/apt/lists/partial", f"{ARCHIVES}/partial", "var/log/apt"):
        root.joinpath(folder).mkdir(parents=True, exist_ok=True)
    released, security = mirrors()
    places = ((released, suite), (released, f"{suite}-updates"), (security, f"{suite}-security"))
    sources = "".join(f"deb [signed-by={KEYRING}] {site} {name} main\n" for site, name in places)
    root.joinpath("etc/apt/sources.list").write_text(sources, encoding="utf-8")
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    for command in (("update",), words):
        argv: list[str | Path] = ["apt-get", "--config-file", settings, "-q", *command]
        process.run(argv, timeout=TIMEOUT, on_line=on_line, env=environment, nice=True)
    settings.unlink()


def mirrors() -> tuple[str, str]:
    """Return the mirrors of Debian and of its security updates that this machine uses. Raises MissingTool."""
    listing = process.run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(ORIGIN)"], timeout=60)
    sites: dict[bool, str] = {}
    for line in listing.splitlines():
        match line.split():
            case [site, release, "Debian"]:
                sites.setdefault("security" in site or release.endswith("-security"), site)
    if len(sites) == 2:
        return sites[False], sites[True]
    raise MissingTool(
        f"apt knows no mirror of {'Debian' if False not in sites else 'its security updates'}",
        details="the bundle's node image is made from Debian packages of the mirrors that this machine uses",
        fix="apt-get update, with both in /etc/apt/sources.list, or build the bundle in a Debian container",
    )


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
    # Nothing of the packages runs. Their files are listed as in dpkg's own database (dpkg-query(1)).
    packages = sorted(root.joinpath(ARCHIVES).glob("*.deb"))
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
        paths = []
        for line in listing.splitlines():
            path = line.split(maxsplit=5)[5].partition(" -> ")[0].partition(" link to ")[0]
            paths.append(path.removeprefix(".").rstrip("/") or "/.")
        listed = "".join(f"{path}\n" for path in paths)
        database.joinpath("info", f"{name}.list").write_text(listed, encoding="utf-8")
    database.joinpath("status").write_text("\n".join(stanzas), encoding="utf-8")
    shutil.rmtree(root)
    files.rename(root)
