"""The user's kubeconfig: ours goes in and out, one context is copied, and everything else stays as it was."""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.cluster import kubeconfig_lock
from sandbox.components.cluster.kubeconfig import (
    hindrance,
    holds,
    merge,
    of_cluster,
    remove,
    require_place,
    single_context,
)
from sandbox.components.cluster.kubeconfig_lock import KubeconfigError, require_unlocked
from sandbox.config import yaml_text
from sandbox.errors import UsageError
from tests.support.api_server import kubeconfig

NAME = "sandbox-demo"
FOREIGN = """\
# kept by hand
apiVersion: v1
kind: Config
current-context: work
preferences: {colors: true}
x-tool: {nested: [1, 2.5, null, "yes"]}
clusters:
- name: work
  cluster: {server: "https://10.0.0.1:6443", insecure-skip-tls-verify: true, x-unknown: 0755}
users:
- name: me
  user:
    auth-provider: {name: oidc, config: {expiry: 2026-01-02T03:04:05Z, day: 2026-01-02}}
    exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [eks], env: null}
contexts:
- name: work
  context: {cluster: work, user: me, namespace: team}
extensions:
- {name: other, extension: {a: "1"}}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return kubeconfig(tmp_path / "own", 40001)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "kube" / "config"
    path.parent.mkdir()
    path.write_text(FOREIGN)
    path.chmod(0o640)
    return path


def meaning(path: Path) -> dict[str, Any]:
    """The content by the rules of JSON: nothing is resolved but what JSON has."""
    content: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506  # text only
    return content


@pytest.mark.fault(49)
@pytest.mark.security(14)
def test_a_new_file_is_private_and_has_our_context(tmp_path: Path, own: Path) -> None:
    """No kubeconfig yet → made with mode 0600."""
    path = tmp_path / "new" / ".kube" / "config"
    merge(path, NAME, own)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = meaning(path)
    assert content["current-context"] == NAME
    assert content["contexts"] == [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}]
    assert [one.name for one in path.parent.iterdir()] == ["config"]
    content["contexts"][0]["context"]["namespace"] = "demo"
    path.write_text(yaml.safe_dump(content))
    assert holds(path, NAME, own), "the user chose another namespace"


def test_other_entries_survive_with_their_meaning(theirs: Path, own: Path) -> None:
    before = meaning(theirs)
    before["clusters"][0]["cluster"]["x-unknown"] = "493"  # as kubectl reads 0755
    merge(theirs, NAME, own)
    for kind in ("clusters", "users", "contexts", "extensions"):
        assert meaning(theirs)[kind][0] == before[kind][0]
    remove(theirs, NAME)
    assert meaning(theirs) == before
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o640


@pytest.mark.parametrize("first", ["sandbox-one", "sandbox-two"])
@pytest.mark.parametrize("again", [False, True])
def test_last_of_two_removed_restores_the_first_state(theirs: Path, own: Path, first: str, again: bool) -> None:
    merge(theirs, "sandbox-one", own)
    merge(theirs, "sandbox-two", own)
    if again:
        merge(theirs, "sandbox-one", own)
    last = "sandbox-one" if first == "sandbox-two" else "sandbox-two"
    remove(theirs, first)
    assert meaning(theirs)["current-context"] == last
    remove(theirs, last)
    assert meaning(theirs)["current-context"] == "work"
    assert yaml.safe_load(theirs.read_text())["contexts"] == yaml.safe_load(FOREIGN)["contexts"]


@pytest.mark.parametrize(
    ("current", "kept", "after"),
    [("other", ("work", NAME), "other"), (NAME, (NAME,), ""), (NAME, ("work", NAME), "work")],
)
def test_removal_restores_the_earlier_context_if_it_still_exists(
    theirs: Path, own: Path, current: str, kept: tuple[str, ...], after: str
) -> None:
    merge(theirs, NAME, own)
    content = yaml.safe_load(theirs.read_text())
    content["contexts"] = [each for each in content["contexts"] if each["name"] in kept]
    theirs.write_text(yaml.safe_dump({**content, "current-context": current}))
    remove(theirs, NAME)
    assert meaning(theirs)["current-context"] == after


@pytest.mark.fault(50)
@pytest.mark.parametrize("is_there", [True, False])
def test_link_stays_and_its_target_changes(tmp_path: Path, theirs: Path, own: Path, is_there: bool) -> None:
    """The kubeconfig is a link → its target changes, with its mode, or is made; the link stays."""
    link = tmp_path / "link"
    link.symlink_to("kube/config")
    if not is_there:
        theirs.unlink()
    require_place(link)
    merge(link, NAME, own)
    assert link.is_symlink() and holds(theirs, NAME, own)
    assert stat.S_IMODE(theirs.stat().st_mode) == (0o640 if is_there else 0o600)
    assert remove(link, NAME) and not holds(theirs, NAME, own)


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    "text",
    [
        *("clusters: [", "just words", "- a\n- b\n", "clusters: {a: b}\n", "users: [1]\n", "contexts: text\n", "\x00"),
        *("users: [{name: a, user: text}]\n", "contexts: [{name: a, context: {extensions: [null]}}]\n"),
    ],
)
def test_corrupt_file_is_an_error_and_unchanged(theirs: Path, own: Path, text: str) -> None:
    """A kubeconfig of other YAML, or none → an error that names it; not a byte changes."""
    theirs.write_text(text)
    with pytest.raises(KubeconfigError) as caught:
        merge(theirs, NAME, own)
    assert str(theirs) in caught.value.brief and caught.value.fix
    assert str(theirs) in (hindrance(theirs) or "")
    assert not holds(theirs, NAME, own) and not remove(theirs, NAME)
    assert theirs.read_text() == text
    assert [one.name for one in theirs.parent.iterdir()] == ["config"]
    theirs.write_text(f"{text}\n# {NAME}\n")
    with pytest.raises(KubeconfigError):
        remove(theirs, NAME)


@pytest.mark.fault(51)
@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
@pytest.mark.parametrize("name", ["config", "link"])
def test_the_lock_of_kubectl_is_respected(
    theirs: Path, own: Path, monkeypatch: pytest.MonkeyPatch, name: str, make: Callable[[Path], None]
) -> None:
    """Config.lock is left over → after a wait the command that removes it; nothing is changed."""
    monkeypatch.setattr(kubeconfig_lock, "PATIENCE", 0.0)
    theirs.with_name("link").symlink_to(theirs)
    path, lock = theirs.with_name(name), theirs.with_name(f"{name}.lock")  # next to the name, as client-go does
    make(lock)
    with pytest.raises(KubeconfigError) as caught:
        merge(path, NAME, own)
    assert f"rm {lock}" in caught.value.fix
    assert theirs.read_text() == FOREIGN
    lock.unlink()
    merge(path, NAME, own)
    assert not lock.exists()


@pytest.mark.fault(51)
def test_old_lock_is_reported_before_anything_is_created(theirs: Path) -> None:
    """Config.lock is an hour old when `up` begins → the command that removes it, before anything is made."""
    lock = theirs.with_name("config.lock")
    lock.touch()
    require_unlocked(theirs)
    os.utime(lock, (time.time() - 3600, time.time() - 3600))
    with pytest.raises(KubeconfigError) as caught:
        require_unlocked(theirs)
    assert "3600 s" in caught.value.details and f"rm {lock}" in caught.value.fix


def test_incomplete_kubeconfig_of_the_sandbox_changes_nothing(theirs: Path, own: Path) -> None:
    own.write_text("clusters: []\n")
    with pytest.raises(KubeconfigError, match="incomplete"):
        merge(theirs, NAME, own)
    assert theirs.read_text() == FOREIGN


def test_full_disk_leaves_no_lock_on_the_kubeconfig(theirs: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(KubeconfigError, match="cannot be changed") as caught:
            merge(theirs, NAME, own)
    assert "free space" in caught.value.fix
    assert [one.name for one in theirs.parent.iterdir()] == ["config"]
    merge(theirs, NAME, own)
    assert holds(theirs, NAME, own)


KILLED = """
import os, signal, sys
from pathlib import Path
from sandbox.components.cluster import kubeconfig_lock
from sandbox.system import files
theirs = Path(sys.argv[1])
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with kubeconfig_lock.locked(theirs):
    files.write_atomic(theirs, b"half", mode=0o600)
"""


@pytest.mark.fault(8, 51)
def test_killed_command_leaves_no_lock_and_no_files(theirs: Path, own: Path) -> None:
    """Kill -9 while the kubeconfig is written → it is as it was, and the next command goes on at once."""
    died = subprocess.run([sys.executable, "-c", KILLED, str(theirs)], env=os.environ, timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert theirs.read_text() == FOREIGN
    assert len(list(theirs.parent.iterdir())) == 3
    require_unlocked(theirs)
    begun = time.monotonic()
    merge(theirs, NAME, own)
    assert time.monotonic() - begun < kubeconfig_lock.PATIENCE / 2
    assert holds(theirs, NAME, own)
    assert [one.name for one in theirs.parent.iterdir()] == ["config"]


# Root may write everywhere, and so becomes another user first.
AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
from sandbox.components.cluster.kubeconfig import hindrance, remove
if os.getuid() == 0:
    os.setuid(65534)
path = Path(sys.argv[1])
print(hindrance(path), remove(path, "sandbox-demo"))
"""


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    ("folder_mode", "mode", "said"),
    [
        (0o777, 0o444, "{file} is read-only"),
        (0o555, 0o666, "{folder} is read-only"),
        (0o000, 0o666, "{file} is not a readable kubeconfig"),
    ],
)
def test_a_kubeconfig_that_may_not_be_used_is_left_alone(folder_mode: int, mode: int, said: str) -> None:
    """A kubeconfig that is read-only or in a folder of another user → `up` works and says where its own one is."""
    with tempfile.TemporaryDirectory() as made:
        folder, file = Path(made), Path(made) / "config"
        file.write_text(FOREIGN)
        file.chmod(mode)
        folder.chmod(folder_mode)
        argv = [sys.executable, "-c", AS_ANOTHER_USER, str(file)]
        output = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
        folder.chmod(0o700)
    assert output == f"{said.format(file=file, folder=folder)} False\n"


def make_null(path: Path) -> None:
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


@pytest.mark.fault(68)
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        Path.mkdir,
        lambda path: path.symlink_to("none/config"),
        pytest.param(make_null, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a device")),
    ],
)
def test_kubeconfig_path_that_can_be_no_file_is_refused_and_left_alone(
    tmp_path: Path, own: Path, make: Callable[[Path], None]
) -> None:
    """KUBECONFIG is /dev/null, a FIFO, a folder or a link into nowhere → an error that says so, before any lock."""
    path = tmp_path / "kube"
    make(path)
    before = path.lstat()
    for begin in (require_place, partial(merge, name=NAME, own=own)):
        with pytest.raises(KubeconfigError, match="no context can be kept in") as caught:
            begin(path)
        assert "KUBECONFIG" in caught.value.fix
    assert "no context can be kept" in (hindrance(path) or "")
    assert not holds(path, NAME, own) and not remove(path, NAME)
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)
    assert {one.name for one in tmp_path.iterdir()} == {"kube", "own"}


CLUSTER = {"server": "https://127.0.0.1:40001", "certificate-authority-data": "Q0E="}
USER = {"client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ"}


def exported(cluster: dict[str, Any], user: dict[str, Any]) -> bytes:
    """What kind makes of the control plane's admin.conf."""
    content = {
        "clusters": [{"name": NAME, "cluster": cluster}],
        "users": [{"name": NAME, "user": user}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        "preferences": {"colors": True},
    }
    return yaml.safe_dump(content).encode()


EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "touch /tmp/owned"]}


@pytest.mark.parametrize(
    ("cluster", "user", "named"),
    [
        (CLUSTER, {**USER, "exec": EXEC}, "`exec` of the user"),
        (CLUSTER, {**USER, "auth-provider": {"name": "gcp"}}, "`auth-provider` of the user"),
        (CLUSTER, {**USER, "tokenFile": "/root/.ssh/id_rsa"}, "`tokenFile` of the user"),
        ({**CLUSTER, "proxy-url": "http://192.0.2.1"}, USER, "`proxy-url` of the cluster"),
        (CLUSTER, {"exec": EXEC}, "'client-certificate-data'"),
        ({"insecure-skip-tls-verify": True}, USER, "'certificate-authority-data'"),
    ],
)
@pytest.mark.security(20)
def test_kubeconfig_of_a_node_that_runs_programs_is_refused(
    cluster: dict[str, Any], user: dict[str, Any], named: str
) -> None:
    """A node's admin.conf has a program for clients to run, a token or a proxy → refused, nothing is written."""
    with pytest.raises(KubeconfigError, match="not as kubeadm wrote it") as caught:
        of_cluster(exported(cluster, user))
    assert named in caught.value.details and caught.value.fix
    kept = yaml_text.document(of_cluster(exported(CLUSTER, USER)))
    assert (kept["clusters"][0]["cluster"], kept["users"][0]["user"]) == (CLUSTER, USER)
    assert kept["current-context"] == kept["contexts"][0]["name"] == NAME and "preferences" not in kept
    for text in (b"", b"[]", b"clusters: [", b"clusters: []\nusers: []\n", b"users: 1"):
        with pytest.raises(KubeconfigError, match="not as kubeadm wrote it"):
            of_cluster(text)


def write(path: Path, cluster: dict[str, Any], user: dict[str, Any], name: str = "team") -> Path:
    content = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u", "namespace": "theirs"}}],
        "current-context": "another",
    }
    path.write_text(yaml.safe_dump(content))
    return path


def alone(*paths: Path, context: str = "team") -> dict[str, Any]:
    return dict(yaml.safe_load(single_context(paths, context, "mine")))


def test_context_of_the_first_file_is_copied_with_its_references_inlined(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"ca")
    first = write(tmp_path / "a", {"server": "https://x", "certificate-authority": "ca.crt"}, {"token": "t"})
    found = alone(first, write(tmp_path / "b", {"server": "https://second"}, {}), tmp_path / "absent")
    cluster = {"server": "https://x", "certificate-authority-data": base64.b64encode(b"ca").decode()}
    assert found["clusters"] == [{"name": "team", "cluster": cluster}]
    assert found["users"] == [{"name": "team", "user": {"token": "t"}}]
    assert found["contexts"][0]["context"] == {"cluster": "team", "user": "team", "namespace": "mine"}
    assert found["current-context"] == "team"


def test_exec_credentials_stay_as_they_are(tmp_path: Path) -> None:
    user = {"exec": {"command": "bin/login", "args": ["x"]}, "tokenFile": "token"}
    found = alone(write(tmp_path / "k", {"server": "https://x"}, user))["users"][0]["user"]
    login = {"command": f"{tmp_path}/bin/login", "args": ["x"]}
    assert found == {"exec": login, "tokenFile": f"{tmp_path}/token"}
    plain = alone(write(tmp_path / "k", {"server": "https://x"}, {"exec": {"command": "aws"}}))["users"][0]["user"]
    assert plain == {"exec": {"command": "aws"}}


def test_context_and_its_entries_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        alone(write(tmp_path / "k", {}, {}, name="other"))
    assert caught.value.details == f"{tmp_path / 'k'}: other"
    (tmp_path / "k").write_text("contexts: [{name: team, context: {cluster: c, user: u}}]")
    with pytest.raises(KubeconfigError, match="not among the clusters"):
        alone(tmp_path / "k")
    with pytest.raises(KubeconfigError, match="cannot be used"):
        alone(write(tmp_path / "k", {"certificate-authority": "absent"}, {}))


@pytest.mark.parametrize("user", [{"exec": 5}, {"exec": {"command": 5}}, {"tokenFile": 5}, {"client-key": []}])
def test_entry_of_another_form_is_an_error(tmp_path: Path, user: Any) -> None:
    with pytest.raises(KubeconfigError, match=r"'u' of the users in .* cannot be used"):
        alone(write(tmp_path / "k", {"server": "https://x"}, user))


# What some reader of YAML 1.1 or 1.2 takes for a number, a truth, nothing, a date or a marker.
TRAPS = [
    *("1e3", "0o17", "017", "0x1", ".5e3", "1_000", "+1", "1.", ".inf", "1:30", "y", "N", "yes", "off", "null", "~"),
    *("=", "<<", "-", "2026-01-02", " a", "a: b", "a #b", "{a}", "&a", "@a", "a\nb", "Zürich", "'", '"', "|", "---"),
]


def kubectl(path: Path) -> Any:
    argv = ["kubectl", "config", "view", "--raw", "-o", "json", f"--kubeconfig={path}"]
    return json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.fault(50)
def test_kubectl_reads_every_name_and_token_as_text(tmp_path: Path, own: Path) -> None:
    """Contexts are called "1e3", "y", "0o17" and the like → kubectl reads the file that we have changed as before."""
    path = tmp_path / "config"
    theirs = {
        "clusters": [{"name": one, "cluster": {"server": f"https://{number}"}} for number, one in enumerate(TRAPS)],
        "users": [{"name": one, "user": {"token": one}} for one in TRAPS],
        "contexts": [{"name": one, "context": {"cluster": one, "user": one}} for one in TRAPS],
        "current-context": "1e3",
    }
    path.write_text(json.dumps(theirs))
    before = kubectl(path)
    merge(path, NAME, own)
    assert kubectl(path)["current-context"] == NAME
    assert remove(path, NAME)
    assert kubectl(path) == before
