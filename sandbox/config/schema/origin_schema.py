"""Where a spec came from: a file of the user, a git repository at a commit, or a bundle file."""

import os
from pathlib import Path
from typing import Literal, Self

from sandbox.config.model import Document


class Origin(Document):
    """A source, and the revision that was taken from it.

    `source` is the absolute path of a file, or the URL of a repository with #BRANCH:FOLDER and without an account;
    `revision` is the commit or the bundle's identity.
    """

    kind: Literal["default", "file", "git", "bundle"] = "default"
    source: str = ""
    revision: str = ""

    @classmethod
    def of(cls, file: Path) -> Self:
        return cls(kind="file", source=os.path.abspath(file))  # noqa: PTH100  # resolve() would follow them

    @property
    def is_fetched(self) -> bool:
        return self.kind in ("git", "bundle")

    @property
    def source_key(self) -> str:
        """Return the prefix of the keys of every revision of this source; for a bundle file, its identity."""
        return f"git {self.source} " if self.kind == "git" else f"{self.kind} {self.revision}"

    @property
    def key(self) -> str:
        return f"{self.source_key}{self.revision}"

    def may_replace(self, known: Self) -> bool:
        """Tell whether a spec from here may replace one from `known` without a question.

        The default spec holds nothing of the user's, and is replaced by a file as soon as one is needed.
        """
        if self.kind == "bundle" or known.kind == "bundle":
            return (self.kind, self.revision) == (known.kind, known.revision)
        if self.kind == known.kind == "file":
            return os.path.realpath(self.source) == os.path.realpath(known.source)
        return (self.kind, self.source) == (known.kind, known.source) or (known.kind, self.kind) == ("default", "file")

    def __str__(self) -> str:
        match self.kind:
            case "git":
                return f"{self.source}, commit {self.revision[:12]}"
            case "bundle":
                return f"{self.source}, identity {self.revision}"
            case "file":
                return self.source
        return "no file (the default spec)"
