"""A bundle file and the store: the same bytes each time, whole or not at all; damage is named."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from sandbox.bundle import bundle_load
from sandbox.bundle import contents as described
from sandbox.bundle.bundle_load import opened
from sandbox.bundle.bundle_save import save
from sandbox.bundle.contents import Damaged
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import NEEDED
from sandbox.errors import SandboxError, UsageError
from sandbox.system.files import NotAFile

BUSYBOX = recipes()["busybox"]
MATERIALS = [{"kind": "golang", "name": "example.com/M", "version": "v1.0.0"}]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A cache with all that `up` needs, a word in place of each image, and a kubectl."""
    store = Store(tmp_path / "built")
    for name in (*NEEDED, "kubernetes", "metrics-server"):
        recipe = recipes()[name]
        with store.filling(recipe) as folder:
            (folder / "materials.json").write_text(json.dumps(MATERIALS))
            if recipe.image or recipe.node:
                (folder / "image.tar").write_bytes(f"image of {name}".encode() * 1000)
            if recipe.go:
                (folder / "bin").mkdir()
                (folder / "bin" / name).write_bytes(b"\x7fELF" + name.encode())
                (folder / "bin" / name).chmod(0o755)
            if recipe.files:
                (folder / "files").mkdir()
                (folder / "files" / "kinds.yaml").write_text("kind: x\n")
    return store


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    save(path := tmp_path / "one.bundle", store, compress=False)
    return path


def load(path: Path, store: Store) -> None:
    store.root.mkdir(exist_ok=True)
    with opened(path) as bundle:
        bundle_load.load(bundle, store)


def faults(path: Path) -> list[str]:
    with opened(path) as bundle:
        return bundle.scan(lambda _: None)


Entries = list[tuple[tarfile.TarInfo, bytes]]


def rewrite(path: Path, change: Callable[[Entries], Any]) -> None:
    with tarfile.open(path) as tar:
        entries = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    change(entries)
    with tarfile.open(path, "w") as tar:
        for info, data in entries:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def head(file: Path, **values: Any) -> None:
    """Change the list of contents at the start of a bundle file, as if another version or machine had written it."""

    def change(entries: Entries) -> None:
        info, data = entries[0]
        entries[0] = (info, json.dumps({**json.loads(data), **values}).encode())

    rewrite(file, change)


def listed_files(file: Path) -> list[dict[str, Any]]:
    with opened(file) as bundle:
        return [one.model_dump() for one in bundle.contents.files]


def test_saved_bundle_is_loaded(file: Path, store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "loaded")
    (other.root / ("node-" + "0" * 12)).mkdir(parents=True)  # an older build
    load(file, other)
    assert [path.name for path in other.root.glob("node-*")] == [f"node-{recipes()['node'].digest}"]
    before = {path: path.stat().st_mtime_ns for path in other.root.rglob("*")}
    load(file, other)
    assert {path: path.stat().st_mtime_ns for path in other.root.rglob("*")} == before
    for name in NEEDED:
        assert other.has(recipes()[name])
    for loaded in (path for path in other.root.rglob("*") if path.is_file()):
        original = store.root / loaded.relative_to(other.root)
        assert loaded.read_bytes() == original.read_bytes()
        assert os.access(loaded, os.X_OK) == os.access(original, os.X_OK)
    assert other.program(recipes()["kubernetes"], "kubernetes").exists()
    assert not other.has(recipes()["kubernetes"]), "its image is in the node's"
    assert not list(other.root.glob(".*"))


@pytest.mark.parametrize("compress", [True, False])
def test_the_same_cache_gives_the_same_bytes(store: Store, tmp_path: Path, compress: bool) -> None:
    first, second, again = (tmp_path / name for name in ("first", "second", "again"))
    (tmp_path / ".second.abcdefgh.tmp").touch()  # left by a save that was killed
    save(first, store, compress=compress)
    for path in store.root.rglob("*"):
        os.utime(path, (1, 1))
    save(second, store, compress=compress)
    assert first.read_bytes() == second.read_bytes()
    assert (first.read_bytes()[:4] == b"\x28\xb5\x2f\xfd") == compress
    assert not list(tmp_path.glob(".*"))
    load(first, other := Store(tmp_path / "loaded"))  # and without Go or Debian
    save(again, other, compress=compress)
    assert again.read_bytes() == first.read_bytes()


def test_save_refuses_special_files_before_it_reads(store: Store, tmp_path: Path) -> None:
    """A device, FIFO or folder → an error at once; it stays what it was."""
    os.mkfifo(path := tmp_path / "pipe")
    read: list[str] = []
    with pytest.raises(NotAFile, match="is not a regular file"):
        save(path, store, on_file=read.append)
    assert path.is_fifo() and read == []


@pytest.mark.parametrize("name", ["at 3.41\u202fPM.yaml", "two\nlines.yaml", os.fsdecode(b"caf\xe9.yaml")])
def test_file_with_an_unprintable_name_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    project = tmp_path / "project"
    (project / "manifests").mkdir(parents=True)
    (project / "manifests" / name).write_text("kind: ConfigMap")
    with pytest.raises(UsageError, match=r"^'project/manifests/.*yaml' cannot be in a bundle") as refused:
        save(tmp_path / "one.bundle", store, project=("demo", project))
    assert refused.value.brief.isprintable() and refused.value.fix
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built", "project"]


def test_the_bill_of_materials_says_what_is_in_it(file: Path) -> None:
    with tarfile.open(file) as tar:
        bill = json.load(tar.extractfile(described.SBOM))  # type: ignore[arg-type]
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    by_name = {one["name"]: one for one in bill["components"]}
    assert by_name["example.com/M"]["purl"] == "pkg:golang/example.com/m@v1.0.0"
    refs = {one["bom-ref"] for one in bill["components"]}
    assert all(set(one["dependsOn"]) <= refs for one in bill["dependencies"])


def test_an_incomplete_cache_is_not_saved(store: Store, tmp_path: Path) -> None:
    shutil.rmtree(store.folder(recipes()["haproxy"]))
    with pytest.raises(SandboxError, match="not complete") as caught:
        save(tmp_path / "one.bundle", store)
    assert caught.value.fix == "sandbox bundle build haproxy"
    assert not list(tmp_path.glob("*one.bundle*"))


def _harm(entries: Entries, kind: str) -> None:
    at = next(number for number, (info, _) in enumerate(entries) if info.name.endswith("image.tar"))
    info, data = entries[at]
    match kind:
        case "changed":
            entries[at] = (info, data.replace(b"image", b"virus"))
        case "longer":
            entries[at] = (info, data + b"x")
        case "missing":
            del entries[at]
        case "link":
            info.type, info.linkname = tarfile.SYMTYPE, "/x"
            entries[at] = (info, b"")
        case name:
            entries.append((tarfile.TarInfo(name), b"evil"))


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("changed", r"components/busybox-.*/image\.tar: changed"),
        ("longer", r"components/busybox-.*/image\.tar: 16001 bytes instead of 16000"),
        ("missing", r"components/busybox-.*/image\.tar: missing"),
        ("link", r"components/busybox-.*/image\.tar: a link, a folder or a device"),
        ("../../etc/cron.d/evil", r"\.\./\.\./etc/cron\.d/evil: not in the list"),
        ("/etc/passwd", "etc/passwd: not in the list"),
        (f"components/node-{recipes()['node'].digest}/image.tar", "not in the list, or in the bundle twice"),
    ],
)
def test_tampered_part_is_named_and_nothing_is_loaded(file: Path, tmp_path: Path, kind: str, fault: str) -> None:
    assert faults(file) == []
    rewrite(file, lambda entries: _harm(entries, kind))
    (line,) = faults(file)
    assert re.search(fault, line), line
    other = Store(tmp_path / "loaded")
    with pytest.raises(Damaged, match=fault):
        load(file, other)
    assert list(other.root.iterdir()) == []
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize(
    "fields",
    [
        *({"path": path} for path in ("../x", "/x", "a/../x", "a//b", "", "a\nb", ".")),
        *({"size": size} for size in (1 << 63, 10**400, -1)),
    ],
)
def test_list_with_paths_outside_or_impossible_sizes_is_refused(file: Path, fields: dict[str, object]) -> None:
    first, *others = listed_files(file)
    head(file, files=[{**first, **fields}, *others])
    with pytest.raises(Damaged, match="can read"):
        faults(file)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_torn_file_is_named(store: Store, tmp_path: Path, compress: bool, part: float) -> None:
    save(path := tmp_path / "one.bundle", store, compress=compress)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(SandboxError) as caught:
        load(path, Store(tmp_path / "loaded"))
    assert str(path) in caught.value.brief
    assert list((tmp_path / "loaded").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"hello", b"\x28\xb5\x2f\xfd garbage", b"\0" * 20480])
def test_non_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.bundle"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a bundle"):
        faults(path)
    (loop := tmp_path / "loop").symlink_to("loop")
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(NotAFile, match="is not a regular file"):
        faults(pipe)
    for other in (tmp_path / "none", tmp_path, loop):
        with pytest.raises(UsageError, match=re.escape(str(other))):
            faults(other)


def _header(kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, size
    return member.tobuf()


def _pax(record: bytes, size: int) -> bytes:
    return _header(tarfile.XHDTYPE, size) + record.ljust(-(-size // 512) * 512, b"\0")


@pytest.mark.fault(47)
@pytest.mark.parametrize(
    "odd",
    [
        lambda: _pax(b"", 64 << 20),
        lambda: _pax(b"8 a=bcd\n", 8) * 3000,
        lambda: _pax(b"29 GNU.sparse.map=a,b,c,d,ef\n", 29),
        lambda: _header(tarfile.REGTYPE, 0) * 20_000,
        lambda: _header(tarfile.REGTYPE, 1 << 40),
    ],
    ids=["header", "headers", "numbers", "members", "terabyte"],
)
@pytest.mark.parametrize("head", [True, False])
def test_bundle_with_headers_that_swell_is_refused(
    file: Path, tmp_path: Path, odd: Callable[[], bytes], head: bool
) -> None:
    """A bundle of some kB whose headers unpack to gigabytes, or claim a terabyte → refused with little memory."""
    content = file.read_bytes()
    whole = content if head else content.rstrip(b"\0").ljust(-(-len(content.rstrip(b"\0")) // 512) * 512, b"\0")
    packed = zstandard.ZstdCompressor().compress(odd() + whole if head else whole + odd())
    (tmp_path / "odd.bundle").write_bytes(packed)
    tracemalloc.start()
    try:
        with pytest.raises((Damaged, UsageError)) as caught:
            load(tmp_path / "odd.bundle", Store(tmp_path / "loaded"))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert "is not a bundle" in str(caught.value) or "is damaged" in str(caught.value)
    assert len(str(caught.value)) < 5000


def test_a_bundle_for_another_machine_or_version_is_refused(file: Path, tmp_path: Path) -> None:
    head(file, architecture="s390x")
    with pytest.raises(UsageError, match="for s390x"):
        load(file, Store(tmp_path / "loaded"))
    head(file, architecture="amd64", sandbox="9.9", components=[{"name": "node", "version": "1", "digest": "0" * 12}])
    with pytest.raises(UsageError, match=r"for sandbox 9\.9") as caught:
        load(file, Store(tmp_path / "loaded"))
    assert caught.value.fix.startswith("install sandbox 9.9")
    head(file, format=2)
    with pytest.raises(Damaged, match="can read"):
        load(file, Store(tmp_path / "loaded"))


@pytest.mark.fault(46)
@pytest.mark.parametrize("name", ["/abs/x", "../../victim/*", "..", "a/b", "*", "[a-z]", "", "A", "a\n"])
def test_project_with_an_invalid_name_is_refused(file: Path, tmp_path: Path, name: str) -> None:
    """A bundle whose project or component is a path or a pattern → refused; nothing is written or deleted."""
    victim = tmp_path / "victim" / "work-0123456789ab"
    victim.mkdir(parents=True)
    for fields in ({"project": name}, {"components": [{"name": name, "version": "1", "digest": "0" * 12}]}):
        head(file, **{"project": None, "components": [], **fields})
        with pytest.raises(Damaged, match="can read"):
            load(file, Store(tmp_path / "loaded"))
    assert victim.exists()
    assert not list((tmp_path / "loaded").iterdir())


def test_list_with_a_file_below_a_file_is_refused(file: Path, tmp_path: Path) -> None:
    listed = listed_files(file)
    head(file, files=[*listed, {**listed[0], "path": f"{listed[0]['path']}/x/y"}])
    with pytest.raises(Damaged, match="is a file and a folder"):
        load(file, Store(tmp_path / "loaded"))


def test_free_disk_space_is_checked_first(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(SandboxError, match=r"needs 0\.0 GB"):
        load(file, Store(tmp_path / "loaded"))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failed_write_leaves_nothing_under_the_final_name(tmp_path: Path, error: type[BaseException]) -> None:
    store = Store(tmp_path)
    with pytest.raises(error), store.filling(BUSYBOX) as folder:
        (folder / "half").touch()
        raise error
    assert not store.has(BUSYBOX)
    with store.filling(BUSYBOX) as folder:
        assert list(folder.iterdir()) == []
        (folder / "image.tar").touch()
    assert store.has(BUSYBOX)


def test_failed_build_keeps_previous_and_finished_replaces_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    older = tmp_path / ("busybox-" + "0" * 12)
    other = tmp_path / ("busybox-extra-" + "0" * 12)
    for folder in (older, other):
        folder.mkdir()
    with pytest.raises(RuntimeError), store.filling(BUSYBOX):
        raise RuntimeError
    assert older.exists()
    with store.filling(BUSYBOX) as folder:
        (folder / "image.tar").touch()
    assert not older.exists()
    assert other.exists()


@pytest.mark.fault(46)
def test_pattern_in_a_name_matches_only_itself(tmp_path: Path) -> None:
    """A folder whose name is a glob pattern is placed → other folders that the pattern matches stay."""
    victim, partial = tmp_path / "work-0123456789ab", tmp_path / "partial"
    victim.mkdir()
    partial.mkdir()
    Store(tmp_path).place(partial, tmp_path / "*-ffffffffffff")
    assert victim.exists()
