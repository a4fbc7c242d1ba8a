"""What the environment says of the user: the folders, the kubeconfig and the accounts at registries."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs.unix import Unix

from sandbox.config.checkout import linked_worktree
from sandbox.errors import UsageError
from sandbox.names import Home
from sandbox.system import files

if TYPE_CHECKING:
    from sandbox.config.schema import Spec
    from sandbox.config.schema.credentials_schema import Credentials
    from sandbox.oci.credential import Keychain

DEFAULT_FILE = Path("sandbox.yaml")
CERTIFICATES = "SSL_CERT_FILE"
NAMES = ("sandbox.yaml", "sandbox.yml")


def environ() -> Mapping[str, str]:
    return os.environ


def home() -> Home:
    """Find the user's folders, by the XDG specification on every system, and KUBECONFIG.

    macOS' own folders have a space in their names, which some tools of virtual machines do not mount. Of a list,
    kubectl writes what is new to the first file that exists, else to the last (client-go, tools/clientcmd/loader.go:
    GetDefaultFilename). A relative path counts as if it were not set, as that specification says. Raises UsageError
    when there is no home folder, and for a state folder whose path would be two in lists of the engine and of kubectl.
    """
    fix, own = "set HOME to your own folder", Unix("sandbox")
    try:
        folder = Path.home()
    except RuntimeError as error:  # no HOME, and no account of this user
        raise UsageError("there is no home folder", details=str(error), fix=fix, id="home") from error
    if not folder.is_absolute():
        raise UsageError("HOME is not an absolute path", details=f"HOME={folder}", fix=fix, id="home")
    listed = [Path(each) for each in environ().get("KUBECONFIG", "").split(os.pathsep) if each]
    listed = listed or [folder / ".kube" / "config"]
    # Not Path.exists, which raises where even asking is forbidden.
    chosen = next((path for path in listed if os.path.exists(path)), listed[-1])  # noqa: PTH110
    if os.pathsep in str(own.user_state_path):
        raise UsageError(
            "the state folder has a colon in its path",
            details=f"{own.user_state_path}: nodes cannot mount it (docker run --volume), nor kubectl find files in it",
            fix="set XDG_STATE_HOME to a folder without one",
            id="home",
        )
    return Home(
        state=own.user_state_path,
        cache=own.user_cache_path,
        kubeconfig=chosen,
        other_kubeconfigs=tuple(path for path in dict.fromkeys(listed) if path != chosen),
    )


def default_file() -> Path | None:
    """Return the spec that a command without FILE and NAME means; a dangling link is reported when it is read.

    It is ./sandbox.yaml (or .yml), else the nearest one of this user's in the folders above, up to the home folder, so
    that a subfolder of a project means the project; a linked worktree inside of the main one does not. Another user's
    would run with this user's rights. Raises UsageError for another user's in the current folder.
    """
    if file := spec_in(Path()):
        if not _is_own(file):
            raise UsageError(
                f"{file} belongs to another user, and what it names would run with your rights",
                details=f"its owner has the uid {file.lstat().st_uid}, you have {os.getuid()}",
                fix=f"-f {file}, if you trust that user",
            )
        return file
    above: list[Path] = []
    with suppress(OSError, RuntimeError):  # the current folder may be gone, and there may be no home folder
        top = linked_worktree(here := Path.cwd())
        ends = (Path.home(), top and top.parent)
        above += itertools.takewhile(lambda folder: folder not in ends, here.parents)
    for folder in above:
        with suppress(OSError):  # a folder that may not be read
            file = spec_in(folder)
            if file and _is_own(file):
                return file
    return None


def _is_own(path: Path) -> bool:
    # For root also to the user who called sudo, as in git (safe.directory).
    user, owner = os.getuid(), path.lstat().st_uid
    return owner == user or (user == 0 and environ().get("SUDO_UID") == str(owner))


def meant_file(file: Path | None, name: str | None) -> Path | None:
    """Return the spec that a command with FILE and NAME means: FILE, else `default_file` unless a NAME is given.

    Raises UsageError, and FileNotFoundError where the current folder was removed: it may have had a spec.
    """
    if file is None and name is None:
        Path.cwd()
        return default_file()
    return file


def spec_in(folder: Path) -> Path | None:
    return next((path for name in NAMES if os.path.lexists(path := folder / name)), None)


def keychain(entries: Sequence[Credentials] = ()) -> Keychain:
    from sandbox.components.credentials.registry_accounts import keychain

    return keychain(entries, environ())


def trusted_by_clients(spec: Spec) -> Path:
    """Return the file by which clients accept the domain's certificate: the sandbox's root, or the user's chain."""
    return spec.certs.default.cert if spec.certs.default else home().sandbox(spec.name).root_certificate


def trust(spec: Spec) -> None:
    """Have this process, and those it starts, trust the spec's CA besides what this machine trusts.

    OpenSSL and Go's programs, helm among them, read the file that SSL_CERT_FILE names, and folders besides. The file
    stays, for processes that outlive this one. Raises UsageError for a file that is no CA.
    """
    usual = _certificates()
    if not isinstance(spec.network.ca, Path):  # what the administrator added is trusted already
        os.environ.pop(CERTIFICATES, None)
        os.environ |= {CERTIFICATES: usual} if usual else {}
        return
    import hashlib
    import ssl

    from sandbox.components.cluster.company_ca import CompanyCa

    named = Path(usual or ssl.get_default_verify_paths().openssl_cafile)
    data = named.read_bytes().rstrip() + b"\n" if named.is_file() else b""
    data += CompanyCa(spec.network.ca).pem
    path = home().certificates / f"{hashlib.sha256(data).hexdigest()[:16]}.pem"
    if not path.exists():
        files.write_private(path, data)
    os.environ[CERTIFICATES] = str(path)


@functools.cache
def _certificates() -> str:
    return os.environ.get(CERTIFICATES, "")
