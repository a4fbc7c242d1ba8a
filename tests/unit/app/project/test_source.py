"""Where a sandbox may come from: a folder, a git repository at a branch and a folder, a bundle file."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.app import chosen_spec, context
from sandbox.app.project import source as origin
from sandbox.app.project.source import Fetched, Repository
from sandbox.app.session import Session
from sandbox.bundle.bundle_load import opened
from sandbox.bundle.bundle_save import save
from sandbox.bundle.store import Store
from sandbox.cli import log, signals
from sandbox.cli.up import up as command
from sandbox.config.resolve import load
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import SandboxError, UsageError
from sandbox.plan.saved_spec import RememberedStep
from sandbox.system import sandbox_lock
from tests.support.fakes import NoWork
from tests.support.project_folder import write
from tests.support.repositories import committed, git, made
from tests.unit.bundle.test_bundle_file import store

__all__ = ["store"]


def fetch(source: str, *, identity: str | None = None) -> Path:
    with origin.fetched(source, context.home(), Session(), identity=identity) as found:
        return found.file


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository whose branch `other` has another sandbox in a folder."""
    folder = made(tmp_path / "team.git", {"sandbox.yaml": "name: main\n"})
    git(folder, "checkout", "--quiet", "-b", "other")
    committed(folder, {"k8s/sandbox.yaml": "name: other\n"})
    git(folder, "checkout", "--quiet", "main")
    return folder


@pytest.mark.parametrize(("fragment", "name"), [("", "main"), ("#main", "main"), ("#other:k8s", "other")])
def test_repository_is_cloned_at_its_present_commit(repository: Path, fragment: str, name: str) -> None:
    source = f"file://{repository}{fragment}"
    file = fetch(source)
    assert file.read_text() == f"name: {name}\n"
    assert file.is_relative_to(context.home().projects)
    assert fetch(source) == file
    assert not list(context.home().projects.glob(".*"))


@pytest.mark.parametrize(
    "fragment", ["#none", "#--upload-pack=touch /tmp/x", "#main:../..", "#main:/etc", "#main:none"]
)
def test_missing_revision_of_a_repository_is_refused(repository: Path, fragment: str) -> None:
    with pytest.raises(UsageError):
        fetch(f"file://{repository}{fragment}")


@pytest.mark.fault(43)
def test_unknown_kind_of_source_is_refused(tmp_path: Path) -> None:
    """--from names a pipe, a device or no address → refused, not waited for."""
    os.mkfifo(tmp_path / "pipe")
    options = ("ext::sh -c touch% /tmp/x", "--upload-pack=x")
    for source in (str(tmp_path / "pipe"), "/dev/zero", "x" * 5000, "nowhere", "", *options):
        with pytest.raises(UsageError, match="is neither a folder"):
            fetch(source)
    with pytest.raises(UsageError, match="is not valid"):
        fetch("https://[x/y")
    (tmp_path / "sandbox.yaml").write_text("name: demo\n")
    with pytest.raises(UsageError, match="not a bundle") as caught:
        fetch(str(tmp_path / "sandbox.yaml"))
    assert caught.value.fix == f"-f {tmp_path / 'sandbox.yaml'}"


def bundled(store: Store, folder: Path, files: dict[str, str]) -> Path:
    """Save a bundle file with the sandbox `demo`, whose project has these files."""
    save(file := folder / "demo.bundle", store, project=("demo", write(folder / "project", files)), compress=False)
    return file


@pytest.fixture
def bundle(store: Store, tmp_path: Path) -> Path:
    return bundled(store, tmp_path, {"sandbox.yaml": "name: demo\n"})


def test_a_bundle_brings_its_project(store: Store, tmp_path: Path) -> None:
    text = "name: demo\napply: [k8s/]\n"
    file = bundled(store, tmp_path, {"sandbox.yaml": text, "k8s/a b.yaml": "kind: x\n"})
    found = fetch(str(file))
    assert found.read_text() == text
    assert (found.parent / "k8s" / "a b.yaml").exists()
    assert fetch(str(file)) == found


def test_a_bundle_without_a_project_says_so(store: Store, tmp_path: Path) -> None:
    save(file := tmp_path / "plain.bundle", store)
    with pytest.raises(SandboxError, match="contains no sandbox") as caught:
        fetch(str(file))
    assert "bundle load" in caught.value.fix


@pytest.mark.parametrize(("said", "source"), [("", "bundle"), ("images: {source: upstream}\n", "upstream")])
def test_sandbox_of_a_bundle_has_the_images_of_the_bundle(store: Store, tmp_path: Path, said: str, source: str) -> None:
    file = bundled(store, tmp_path, {"sandbox.yaml": f"name: demo\n{said}"})
    with origin.fetched(str(file), context.home(), Session()) as found:
        assert chosen_spec.choose(None, None, project=found).spec.images.source == source
    plain = chosen_spec.choose(tmp_path / "project" / "sandbox.yaml", None)
    assert plain.spec.images.source == (source if said else "auto")


def identity(file: Path) -> str:
    with opened(file) as found:
        return found.identity


def components() -> list[Path]:
    return list(context.home().bundle.glob("*-*"))


@pytest.mark.security(7)
def test_programs_of_a_bundle_wait_for_the_user(bundle: Path) -> None:
    """`up --from FILE.bundle` → its project is read, its programs come in only once the user agreed to the identity."""
    said: list[str] = []
    session = Session(say=said.append)
    home = context.home()
    with origin.fetched(str(bundle), home, session) as found:
        assert found.bundle == bundle and components() == []
        assert said[0] == f"{identity(bundle)}  {bundle}"
        found.complete(home, session)
    assert components()


@pytest.mark.security(7)
def test_bundle_of_another_identity_is_refused(bundle: Path) -> None:
    """--identity of another bundle → an error with both identities; nothing is placed."""
    other = "sha256:" + "0" * 64
    with pytest.raises(UsageError, match="is not the bundle") as caught:
        fetch(str(bundle), identity=other)
    assert caught.value.id == "bundle-identity"
    assert other in caught.value.details and identity(bundle) in caught.value.details
    assert components() == [] and not list(context.home().projects.iterdir())


@pytest.mark.security(7)
def test_bundle_exchanged_after_the_question_is_refused(bundle: Path, store: Store, tmp_path: Path) -> None:
    """The file becomes another bundle while the user reads the question → nothing of it is taken in."""
    home = context.home()
    with origin.fetched(str(bundle), home, Session()) as found:
        (tmp_path / "project" / "more.yaml").touch()
        save(bundle, store, project=("demo", tmp_path / "project"), compress=False)
        with pytest.raises(UsageError, match="is not the bundle"):
            found.complete(home, Session())
    assert components() == []


@pytest.mark.fault(46)
@pytest.mark.security(17)
@pytest.mark.parametrize(
    ("links", "fragment", "place"),
    [
        ({"sandbox.yaml": "../victim/sandbox.yaml"}, "", "sandbox.yaml"),
        ({"out": "../victim"}, "#:out", "out"),
        ({"chart/files": "../other", "other/creds": "../../../../../.docker/config.json"}, "", "other/creds"),
    ],
)
def test_link_out_of_a_repository_is_refused(tmp_path: Path, links: dict[str, str], fragment: str, place: str) -> None:
    """sandbox.yaml, the folder after `#:` or a file behind a link leaves the repository → refused, nothing is read."""
    write(tmp_path / "victim", {"sandbox.yaml": "name: victim\n"})
    folder = made(
        tmp_path / "evil.git",
        {"chart/x": "", "other/x": "", "real/sandbox.yaml": "name: real\n", "sandbox.yaml": "name: x\n"},
    )
    (folder / "short").symlink_to("real")
    committed(folder, {})
    assert fetch(f"file://{folder}#:short").read_text() == "name: real\n", "a link inside is followed"
    for name, target in links.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)
    committed(folder, {})
    with pytest.raises(UsageError, match="a link to a place outside") as caught:
        fetch(f"file://{folder}{fragment}")
    assert caught.value.brief.startswith(place)


def test_running_copy_stays_when_the_branch_moves(repository: Path) -> None:
    """A second fetch of a moved branch → a copy of its own; the first stays, its folders are the same ones."""
    source = f"file://{repository}"
    first = fetch(source)
    inode = first.parent.stat().st_ino
    committed(repository, {"sandbox.yaml": "name: moved\n"})
    second = fetch(source)
    assert (first.read_text(), second.read_text()) == ("name: main\n", "name: moved\n")
    assert first.parent != second.parent
    git(repository, "reset", "--quiet", "--hard", "HEAD~1")
    assert fetch(source) == first and first.parent.stat().st_ino == inode


ACCOUNT = "https://me:canary%21@git.example.com/team/demo.git"


@pytest.mark.parametrize(
    ("source", "url", "name"),
    [
        ("https://git.example.com/team/demo.git#main:k8s", "https://git.example.com/team/demo.git", "demo"),
        ("git@git.example.com:team/demo.git", "git@git.example.com:team/demo.git", "demo"),
        ("ssh://git@git.example.com:2222/demo/", "ssh://git@git.example.com:2222/demo/", "demo"),
        ("http://127.0.0.1:8080/demo", "http://127.0.0.1:8080/demo", "demo"),
        ("git://localhost/demo", "git://localhost/demo", "demo"),
        ("file:///srv/a%20b/demo#feature/ü:my folder", "file:///srv/a%20b/demo", "demo"),
    ],
)
def test_address_is_taken_apart(source: str, url: str, name: str) -> None:
    repository = Repository.parse(source)
    assert repository and (repository.url, repository.name) == (url, name)


@pytest.mark.security(10)
@pytest.mark.parametrize(
    "source", ["http://git.example.com/x.git", "git://10.0.0.1/x", "http://localhost.example.com/x"]
)
def test_unprotected_protocol_to_another_machine_is_refused(source: str) -> None:
    """--from http:// or git:// of another machine → refused: what is fetched could be changed on the way."""
    with pytest.raises(UsageError, match="fetched unencrypted") as caught:
        Repository.parse(source)
    assert "https://" in caught.value.fix


@pytest.mark.security(6)
@pytest.mark.parametrize(
    "source",
    [ACCOUNT, "ssh://git:canary@git.example.com/demo", "https://canary@git.example.com/demo", "https://me:can@ary@x/y"],
)
def test_account_in_an_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """`up --from https://me:token@…` → refused, and the token is in no output, no log, no file of the state."""
    monkeypatch.setattr(signals, "catch", lambda *_, **__: None)
    for name in ("handlers", "propagate"):  # put back afterwards
        monkeypatch.setattr(logging.getLogger("sandbox"), name, getattr(logging.getLogger("sandbox"), name))
    argv = ["--from", f"{source}#main"]
    monkeypatch.setattr("sys.argv", ["sandbox", "up", *argv])
    ran = CliRunner().invoke(command, argv, obj=False, standalone_mode=False)
    for handler in logging.getLogger("sandbox").handlers:
        handler.close()
    assert isinstance(ran.exception, UsageError) and "has an account in it" in ran.exception.brief
    with sandbox_lock.take(tmp_path / "lock", log.command_line(), seconds=0, waits=lambda _: None):
        holder = json.loads((tmp_path / "lock" / sandbox_lock.RECORD).read_text())["command"]
    kept = [path.read_text(errors="replace") for path in context.home().state.rglob("*") if path.is_file()]
    for text in (*kept, holder, ran.output, str(ran.exception), ran.exception.fix):
        assert not any(part in text for part in ("canary", "can@ary"))


@pytest.mark.security(17)
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("cluster: {mounts: [{host: ../out, node: /o}, {host: seed, node: /x}]}", "cluster.mounts[1].host"),
        ("registry: {storage: data/images}", "registry.storage"),
    ],
)
def test_data_inside_a_fetched_project_is_refused(tmp_path: Path, text: str, key: str) -> None:
    """A fetched spec whose nodes or registry write into its own folder → refused, with the key."""
    root = tmp_path / "demo-abc"
    root.mkdir()
    (root / "sandbox.yaml").write_text(f"name: demo\n{text}\n")
    project = Fetched(root / "sandbox.yaml", root, Origin(kind="git"))
    with pytest.raises(UsageError) as refused:
        project.require_no_data(load(root / "sandbox.yaml"))
    assert refused.value.brief.startswith(f"{key} is a folder of a project")


def test_only_unused_copies_are_swept() -> None:
    home = context.home()
    ours, unused, killed = (home.projects / name for name in ("b-2", "c-3", ".d.x1"))
    for folder in (ours, unused, killed):
        folder.mkdir(parents=True)
    spec = ResolvedSpec.of(Spec(name="demo", apply=(ours / "k8s",)), registry=5001, https=(443,))
    RememberedStep(home.sandbox("demo"), spec).apply(NoWork())
    with origin._locked(home, fcntl.LOCK_SH), origin._locked(home, fcntl.LOCK_SH):
        origin.sweep(home)
        assert unused.exists(), "a command may have chosen it"
    origin.sweep(home)
    assert ours.exists() and not unused.exists() and not killed.exists()
    RememberedStep(home.sandbox("demo"), spec).undo()
    origin.sweep(home)
    assert not ours.exists()
