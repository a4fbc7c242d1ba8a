"""Runs this machine's apt on the folder of another Debian system, with signed lists and security updates."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.errors import MissingTool
from sandbox.system import process

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHIVES = "var/cache/apt/archives"
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


def require() -> None:
    if not KEYRING.exists():
        raise MissingTool(
            "Debian's keys are not installed",
            details=f"the node image is made from Debian packages, and their signatures are checked: no {KEYRING}",
            fix="apt-get install debian-archive-keyring, then run `sandbox bundle build` again",
        )


def download(suite: str, packages: tuple[str, ...], root: Path, on_line: Callable[[str], None]) -> None:
    root.joinpath("var/lib/dpkg").mkdir(parents=True)
    root.joinpath("var/lib/dpkg/status").touch()
    with _apt(suite, root, on_line) as apt:
        apt("install", "--yes", "--download-only", *packages)


def upgrade(suite: str, root: Path, on_line: Callable[[str], None]) -> None:
    with _apt(suite, root, on_line) as apt:
        apt("dist-upgrade", "--yes")


@contextmanager
def _apt(suite: str, root: Path, on_line: Callable[[str], None]) -> Iterator[Callable[..., None]]:
    settings = root.with_name("apt.conf")
    settings.write_text(_SETTINGS.format(root=root), encoding="utf-8")
    for folder in ("etc/apt", "var/lib/apt/lists/partial", f"{ARCHIVES}/partial", "var/log/apt"):
        root.joinpath(folder).mkdir(parents=True, exist_ok=True)
    released, security = mirrors()
    places = ((released, suite), (released, f"{suite}-updates"), (security, f"{suite}-security"))
    sources = "".join(f"deb [signed-by={KEYRING}] {site} {name} main\n" for site, name in places)
    root.joinpath("etc/apt/sources.list").write_text(sources, encoding="utf-8")

    def apt(*words: str) -> None:
        environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        argv: list[str | Path] = ["apt-get", "--config-file", settings, "-q", *words]
        process.run(argv, timeout=TIMEOUT, on_line=on_line, env=environment, nice=True)

    apt("update")
    yield apt
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
