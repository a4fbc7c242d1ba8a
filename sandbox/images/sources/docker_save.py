"""Images out of `docker save`, for stores that cannot be read: in a file without a name, gone with this process."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sandbox.errors import Away, SandboxError
from sandbox.images.sources.image_source import Daemon, Inspected
from sandbox.images.sources.image_tar import Archive
from sandbox.oci.image import Image, MissingBlob
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Target
from sandbox.system import files, interruption


def unnamed_file(folder: Path | None, stack: contextlib.ExitStack) -> IO[bytes]:
    """Return a new file in `folder`, else where the system has temporary files, open as long as `stack`."""
    if folder:
        files.make_private_dir(folder)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed with the stack
    stack.callback(_close, file)
    return file


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # of a full disk, which was reported
        file.close()


class Saved:
    """Images that `daemon` saves, in files in `folder` that last as long as `stack`."""

    def __init__(self, daemon: Daemon, folder: Path | None, stack: contextlib.ExitStack) -> None:
        self._daemon = daemon
        self._folder = folder
        self._stack = stack

    def images(self, wanted: Sequence[Inspected]) -> dict[Target, Image | SandboxError]:
        """Save all at once, because they share layers. Where the engine refuses one image, it saves none of them."""
        if not wanted:
            return {}
        try:
            archive = self._save(list(dict.fromkeys(image.name for image in wanted)))
        except SandboxError as error:
            if len(wanted) == 1 or isinstance(error, Away):
                return {image.target: error for image in wanted}
            return {target: one for image in wanted for target, one in self.images([image]).items()}
        return {image.target: _image(archive, image) for image in wanted}

    def _save(self, names: Sequence[str]) -> Path:
        file = unnamed_file(self._folder, self._stack)
        for chunk in self._daemon.save(names):
            interruption.check()
            try:
                file.write(chunk)
            except OSError as error:
                raise files.refused(
                    f"images cannot be saved in {self._folder or tempfile.gettempdir()}", error
                ) from error
        file.flush()
        return Path(f"/proc/self/fd/{file.fileno()}")


def _image(archive: Path, image: Inspected) -> Image | SandboxError:
    for name in (image.id, image.name):
        try:
            return Archive(archive, name).image()
        except MissingBlob as error:
            return image.incomplete(error.details.removeprefix("missing: "))
        except BadImage as error:
            problem = error
    problem.fix = f"docker image rm {image.name}, then pull or build it again"
    return problem
