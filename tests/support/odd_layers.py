"""Images of everything that a layer can hold, each from a seed; SANDBOX_TEST_SEEDS says how many."""

from __future__ import annotations

import io
import os
import random
import tarfile

from tests.support.images import TestImage

SEEDS = int(os.environ.get("SANDBOX_TEST_SEEDS", "6"))


def odd_image(seed: int, name: str) -> TestImage:
    """An image with a layer that hides some of an odd one, and another odd one above."""
    return TestImage((odd(seed), upper(seed), odd(seed + 100_000)), f"{name} {seed}")


def with_record(record: str) -> bytes:
    """A tar with an empty file, whose pax header is `record`."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    return header.tobuf() + record.encode().ljust(512, b"\0") + tarfile.TarInfo("a").tobuf() + bytes(1024)


def odd(number: int) -> bytes:
    """A layer of everything that a tar can hold, from a seed: a tar in one of the three formats."""
    luck, output = random.Random(number), io.BytesIO()  # noqa: S311
    form = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)[number % 3]
    names: list[str] = []
    with tarfile.open(fileobj=output, mode="w", format=form, errors="surrogateescape") as tar:

        def put(name: str, data: bytes = b"", **more: object) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), luck.randrange(1 << 31), luck.choice((0o644, 0o4755, 0))
            info.uid, info.gid = luck.randrange(70_000), luck.randrange(70_000)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))

        for folder in range(luck.randrange(1, 6)):
            put(f"d{folder}", type=tarfile.DIRTYPE, mode=0o755)
            for file in range(luck.randrange(40)):
                size = luck.choice((0, 1, 511, 512, 513, luck.randrange(200_000)))
                names.append(f"d{folder}/f{file}")
                put(names[-1], luck.randbytes(size))
        put("sparse", bytes(3_000_000) + b"end")
        put("long/" + "n" * 90 if form == tarfile.USTAR_FORMAT else "long/" + "n" * 200 + "/" + "m" * 200, b"long")
        if form != tarfile.USTAR_FORMAT:
            put("gr\udcfc\udcdfe", b"not utf-8")
        put("umläut\nline", b"utf-8")
        put("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
        put("disk", type=tarfile.BLKTYPE, devmajor=7, devminor=0)
        put("fifo", type=tarfile.FIFOTYPE)
        put("absolute", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        if names:
            put("hard", type=tarfile.LNKTYPE, linkname=luck.choice(names))
        if form == tarfile.PAX_FORMAT:
            put("attributed", b"x", pax_headers={"SCHILY.xattr.user.sandbox": "yes", "comment": "c"})
            put("capable", b"x", pax_headers={"SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x20" + 14 * "\0"})
    return output.getvalue()


def upper(number: int) -> bytes:
    """A layer over an odd one: what is below is hidden, one by one and as folders."""
    luck, output = random.Random(-number), io.BytesIO()  # noqa: S311
    with tarfile.open(fileobj=output, mode="w") as tar:
        for name in ("d0", "d1"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name in ("d0/.wh..wh..opq", "d1/.wh.f0", ".wh.sparse", f"d1/new{luck.random()}"):
            tar.addfile(tarfile.TarInfo(name))
    return output.getvalue()
