"""The name that a spec has by its checkout: of a repository, of a linked worktree, of a folder without git."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.config import resolve
from sandbox.config.checkout import branch_of, of_folder, own_name
from tests.support.repositories import git, made


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A repository with a spec, in a folder called Shop, and a linked worktree of the branch fix/login next to it."""
    folder = tmp_path / "Shop"
    made(folder, {"sandbox.yaml": "", "k8s/sandbox.yaml": "", "worker/sandbox.yaml": "name: jobs\n"})
    git(folder, "worktree", "add", "-b", "fix/login", "../other")
    return folder


def names(*folders: Path) -> list[str]:
    return [resolve.load(folder / "sandbox.yaml").name for folder in folders]


def test_worktree_is_named_after_the_main_folder_and_its_branch(main: Path) -> None:
    other = main.parent / "other"
    assert names(main, main / "k8s", main / "worker") == ["shop", "shop", "jobs"]
    assert names(other, other / "k8s", other / "worker") == ["shop-fix-login", "shop-fix-login", "jobs-fix-login"]
    spec = resolve.load(other / "sandbox.yaml")
    assert (spec.domain, spec.base_domain) == ("shop-fix-login.sandbox.localhost", "shop.sandbox.localhost")
    assert spec.origin("name") == "its folder"


def test_worktree_without_a_branch_has_its_own_name(main: Path) -> None:
    git(main.parent / "other", "checkout", "--detach")
    assert names(main.parent / "other") == ["shop-other"]
    assert branch_of(main.parent / "other") == ""
    (main / ".git" / "worktrees" / "other" / "HEAD").write_text("ref: refs/heads/.invalid\n")
    assert names(main.parent / "other") == ["shop-other"], "git keeps its refs as a reftable"


def test_worktree_of_a_bare_repository_is_named_after_it(main: Path, tmp_path: Path) -> None:
    for bare, name in (("store.git", "store-one"), ("mart/.bare", "mart-one")):
        git(tmp_path, "clone", "--bare", str(main), bare)
        git(tmp_path / bare, "worktree", "add", "-b", "one", str(tmp_path / f"of-{name}"))
        assert names(tmp_path / f"of-{name}") == [name]


def test_folder_called_by_its_kind_has_the_name_above() -> None:
    paths = map(Path, ("/p/podinfo/kustomize", "/p/shop", "/k8s"))
    assert [of_folder(path).name for path in paths] == ["podinfo", "shop", "k8s"]


@pytest.mark.parametrize("content", ["", "gitdir: /none\n", "gitdir:", "\0", "gitdir: \0"])
def test_folder_that_git_cannot_read_has_its_own_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / ".git").write_text(content)
    assert (of_folder(tmp_path / "web").name, branch_of(tmp_path / "web")) == ("web", "")


def test_branches_without_latin_letters_have_different_names() -> None:
    found = {own_name("shop", branch) for branch in ("修正", "修复", "исправить", "🎉")}
    assert len(found) == 4 and all(name.startswith("shop-") and len(name) == 9 for name in found)


def test_long_branches_give_different_names_of_a_label() -> None:
    found = {own_name("shop", f"feature/{'x' * 60}-{number}") for number in range(9)}
    assert len(found) == 9 and all(len(name) == 32 and name.startswith("shop-feature-xxx") for name in found)
