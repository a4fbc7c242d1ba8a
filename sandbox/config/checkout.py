"""The checkout that a spec is in, read without git: the project's name, and the branch of a linked worktree."""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Names of folders that tell what is in them, and not the project's name.
KINDS = {"chart", "charts", "deploy", "deployment", "helm", "k8s", "kube", "kubernetes", "kustomize", "manifests"}
# A name with a branch in it: with several control planes a sandbox's name may have 32 characters.
MAX_OWN_NAME = 32
HEADS = "ref: refs/heads/"
REFTABLE = f"{HEADS}.invalid"  # with this format of refs, HEAD is elsewhere (git: reftable)


@dataclass(frozen=True)
class Checkout:
    """The name of a project, and the branch of its linked worktree; in the main worktree, or without git, none."""

    name: str
    branch: str = ""


def of_folder(folder: Path) -> Checkout:
    """Return the checkout that a folder is in, which is named after the repository's main folder.

    A folder below is named after itself, since a repository may have several sandboxes.
    """
    top, git = _git_folder(folder)
    # Only a linked worktree has `commondir`, which names the repository's own folder; submodules have none.
    path = _text(git / "commondir") if git else ""
    place = folder
    while place != top and place.name.lower() in KINDS and place.parent.name:
        place = place.parent
    if git is None or not path:
        return Checkout(place.name)
    name, common = place.name, Path(os.path.normpath(git / path))
    if place == top:  # a bare repository is called NAME.git, or is in a hidden folder
        name = common.parent.name if common.name.startswith(".") else common.name.removesuffix(".git")
    return Checkout(name, branch_of(folder) or git.name)


def branch_of(folder: Path) -> str:
    _, git = _git_folder(folder)
    head = _text(git / "HEAD") if git else ""
    return head.removeprefix(HEADS) if head.startswith(HEADS) and head != REFTABLE else ""


def linked_worktree(folder: Path) -> Path | None:
    """Return the top folder of the linked git worktree that contains `folder`; None outside of one."""
    top, git = _git_folder(folder)
    return top if git and _text(git / "commondir") else None


def _git_folder(folder: Path) -> tuple[Path | None, Path | None]:
    # The top of the worktree, and git's own folder, which a file may name (git: gitrepository-layout).
    top = next((place for place in (folder, *folder.parents) if os.path.lexists(place / ".git")), None)
    if top is None or (top / ".git").is_dir():
        return top, top and top / ".git"
    key, _, path = _text(top / ".git").partition(": ")
    return top, top / path if key == "gitdir" else None


def own_name(name: str, suffix: str) -> str:
    """Return NAME-SUFFIX as a valid name; it ends in a digest if it is too long or no letter of SUFFIX is valid."""
    from sandbox.config.schema.values import as_name  # with the whole schema, which `list` does without

    whole = as_name(f"{name}-{suffix}", most=None)
    if whole != name and len(whole) <= MAX_OWN_NAME:
        return whole
    digest = hashlib.sha256(f"{name}-{suffix}".encode()).hexdigest()[:4]
    return f"{whole[: MAX_OWN_NAME - len(digest) - 1].rstrip('-')}-{digest}"


def _text(file: Path) -> str:
    with suppress(OSError, ValueError):  # it is not text, or its path has a null byte
        return file.read_text(encoding="utf-8").strip()
    return ""
