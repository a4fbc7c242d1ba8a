"""Images out of `docker save`, for stores that cannot be read: in a file without a name, gone with this process."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sandbox.errors import Away, SandboxError
from sandbox.images.sources.archive_members import unnamed_file
from sandbox.images.sources.image_source import Daemon, Inspected
from sandbox.images.sources.image_tar import Archive
from sandbox.oci.image import Image, MissingBlob
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import Target
from sandbox.system import files, interruption


def saved_images(
    daemon: Daemon, images: Sequence[Inspected], folder: Path | None, stack: contextlib.ExitStack
) -> dict[Target, Image | SandboxError]:
    """Save all at once, because they share layers, into a file in `folder` that lasts as long as `stack`.

    Where the engine refuses one image, it saves none of them; then each is saved alone.
    """
    if not images:
        return {}
    try:
        archive = _save(daemon, list(dict.fromkeys(image.name for image in images)), folder, stack)
    except SandboxError as error:
        if len(images) == 1 or isinstance(error, Away):
            return {image.target: error for image in images}
        return {t: one for image in images for t, one in saved_images(daemon, [image], folder, stack).items()}
    return {image.target: _image(archive, image, stack) for image in images}


def _save(daemon: Daemon, names: Sequence[str], folder: Path | None, stack: contextlib.ExitStack) -> Path:
    file = unnamed_file(folder, stack)
    for chunk in daemon.save(names):
        interruption.check()
        try:
            file.write(chunk)
        except OSError as error:
            raise files.refused(f"images cannot be saved in {folder or tempfile.gettempdir()}", error) from error
    file.flush()
    return Path(f"/proc/self/fd/{file.fileno()}")


def _image(archive: Path, image: Inspected, stack: contextlib.ExitStack) -> Image | SandboxError:
    for name in (image.id, image.name):
        try:
            return Archive(archive, name, stack).image()
        except MissingBlob as error:
            return image.incomplete(error.details.removeprefix("missing: "))
        except BadImage as error:
            problem = error
    problem.fix = f"docker image rm {image.name}, then pull or build it again"
    return problem
