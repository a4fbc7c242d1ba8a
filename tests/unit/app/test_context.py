"""What this machine's programs trust while they act for a sandbox."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox.app import chosen_spec, context
from sandbox.components.certificates.authority import make_root
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import UsageError
from sandbox.plan import saved_spec
from tests.support.repositories import git, made


@pytest.fixture(autouse=True)
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's own file of certificates."""
    file = tmp_path / "usual.pem"
    file.write_bytes(make_root(("usual.example",), now=datetime.now(UTC)).cert_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    context._certificates.cache_clear()
    yield file
    context._certificates.cache_clear()


def trusted() -> int:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_default_certs()
    return len(made.get_ca_certs())


def test_ca_of_the_spec_is_trusted_besides_the_user_s_own(tmp_path: Path, usual: Path) -> None:
    company = tmp_path / "company.pem"
    company.write_bytes(make_root(("company.example",), now=datetime.now(UTC)).cert_pem)
    spec = Spec.model_validate({"network": {"ca": company}})
    for _ in range(2):
        context.trust(spec)
        assert trusted() == 2 and os.environ["SSL_CERT_FILE"] != str(usual)
    assert len(list(context.home().certificates.iterdir())) == 1
    context.trust(Spec())
    assert trusted() == 1 and os.environ["SSL_CERT_FILE"] == str(usual)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_folders_are_the_same_on_every_system(
    isolated_home: Path, monkeypatch: pytest.MonkeyPatch, system: str, relative: bool
) -> None:
    """Those of macOS have a space, which breaks mounts of virtual machines' tools; the XDG ignores relative ones."""
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "here")
        if not relative:
            monkeypatch.delenv(name)
    monkeypatch.setattr("sys.platform", system)
    home = context.home()
    assert home.state == isolated_home / ".local" / "state" / "sandbox"
    assert home.cache == isolated_home / ".cache" / "sandbox"
    monkeypatch.setenv("HOME", "here")
    with pytest.raises(UsageError, match="HOME is not an absolute path"):
        context.home()


def test_state_folder_with_a_colon_is_refused(isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be two paths for `docker run --volume` and in KUBECONFIG, when half of the sandbox is made."""
    monkeypatch.setenv("XDG_STATE_HOME", f"{isolated_home}/a:b")
    with pytest.raises(UsageError, match="the state folder has a colon") as caught:
        context.home()
    assert f"{isolated_home}/a:b/sandbox" in caught.value.details and "XDG_STATE_HOME" in caught.value.fix


def test_spec_here_may_have_the_other_ending_and_be_no_dangling_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sandbox.yml").write_text("name: demo\n")
    assert chosen_spec.choose(None, None).spec.name == "demo"
    Path("sandbox.yaml").symlink_to("gone.yaml")
    with pytest.raises(UsageError, match=r"sandbox\.yaml: no such file"):
        chosen_spec.choose(None, None)


def test_spec_of_a_folder_above_counts_for_its_user_below_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sandbox.yaml").write_text("name: shop\n")
    below = tmp_path / "my src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert context.default_file() == tmp_path / "sandbox.yaml"
    assert chosen_spec.choose(None, None).origin == Origin.of(tmp_path / "sandbox.yaml")
    with monkeypatch.context() as other_user:
        other_user.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
        assert context.default_file() is None
    for home in (tmp_path, below.parent):
        monkeypatch.setenv("HOME", str(home))
        assert context.default_file() is None
    (below / "sandbox.yaml").write_text("name: nearer\n")
    assert context.default_file() == Path("sandbox.yaml")


def test_spec_above_a_linked_worktree_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "shop", {"src/a": "", "vendor/.git/HEAD": ""})
    git(folder, "worktree", "add", ".worktrees/fix")
    (folder / "sandbox.yaml").write_text("")
    for place, expected in (
        ("src", folder),
        ("vendor", folder),
        (".worktrees/fix", None),
        (".worktrees/fix/src", None),
    ):
        monkeypatch.chdir(folder / place)
        assert context.default_file() == (expected and expected / "sandbox.yaml")


@pytest.mark.parametrize(("uid", "sudo", "read"), [(1, "", False), (0, "{owner}", True), (1, "{owner}", False)])
def test_spec_here_of_another_user_is_refused_unless_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, sudo: str, read: bool
) -> None:
    owner = 4711
    file = tmp_path / "sandbox.yaml"
    file.write_text("name: shop\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "lstat", lambda _: SimpleNamespace(st_uid=owner))
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setenv("SUDO_UID", sudo.format(owner=owner))
    if read:
        assert context.default_file() == Path("sandbox.yaml")
        return
    with pytest.raises(UsageError, match="belongs to another user") as caught:
        chosen_spec.choose(None, None)
    assert caught.value.fix.startswith("-f sandbox.yaml")
    assert chosen_spec.choose(Path("sandbox.yaml"), None).spec.name == "shop"


def test_shell_has_the_ports_of_the_last_up(isolated_home: Path) -> None:
    """`up --https-port 8444`, then `down` → what it names as removed is what was there, not 443 of another program."""
    spec = Spec(name="demo")
    assert chosen_spec.shell(spec).edge.ports == (443, 8443)
    saved_spec.save(context.home().sandbox("demo"), ResolvedSpec.of(spec, registry=5009, https=(8444,)))
    shell = chosen_spec.shell(spec)
    assert (shell.edge.ports, shell.registry.port) == ((8444,), 5009)
