"""`sandbox push-images`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli import command_context, push_report
from sandbox.cli.options import find_spec
from sandbox.cli.push_output import Talk, count, megabytes, talk
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError, UsageError
from sandbox.images import images_yaml
from sandbox.images.images_yaml import Entry, FromBuild, FromDaemon, FromRegistry
from sandbox.images.lock_check import Promise
from sandbox.images.lock_entries import Lock
from sandbox.images.lockfile import LockFile
from sandbox.images.progress import Result
from sandbox.images.push import PushFailed, push
from sandbox.images.sources.image_source import Daemon
from sandbox.images.sources.remote import host_platform
from sandbox.images.target import Target
from sandbox.oci import address
from sandbox.oci.compression import Compression
from sandbox.oci.credential import Keychain

if TYPE_CHECKING:
    from sandbox.cli.push_prune import Pruning
    from sandbox.cli.push_repair import Mend


def run(
    ctx: click.Context,
    manifest: Path | None,
    file: Path | None,
    *,
    registry: str | None,
    locked: bool,
    update: bool,
    dry_run: bool,
    check: bool,
    prune: bool,
    yes: bool,
    packing: str | None,
    fail_fast: bool,
    schema: bool,
    output: str,
    progress: str,
) -> int:
    """Push the images of MANIFEST (by default the spec's `push`) into the registry; only what is missing crosses."""
    if schema:
        push_report.show_json(images_yaml.schema())
        return 0
    if locked and update:
        raise UsageError("--locked and --update contradict each other", fix="give one of them")
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals("stopping", "what has arrived is not sent again; go on: sandbox push-images")
    spec = find_spec(file, None)
    chosen = manifest or spec.push
    if chosen is None:
        raise UsageError("no manifest of images", fix="name one, or write `push: images.yaml` in sandbox.yaml")
    work = _Work.of(chosen, registry or _own(spec), locked, update, packing, command_context.keychain(spec.credentials))
    whose = "" if registry or spec.registry.external else spec.name
    pruning = _pruning(work, whose) if prune else None
    if dry_run:
        return _foretell(work, pruning, output)
    if pruning is not None:
        pruning.require_consent(yes=yes)
    with _turn(whose, progress):
        with talk(progress) as speaking:
            mend = _mender(spec, registry) if check else None
            report = _push(work, speaking, output, mend, locked=locked, fail_fast=fail_fast, check=check)
        if pruning is not None:
            report["pruned"] = pruning.carry_out(yes=yes)
    if output == "json":
        push_report.show_json(report)
    return 0


def _turn(whose: str, progress: str) -> AbstractContextManager[None]:
    """The turn at the registry of the sandbox `whose`; its garbage is not collected meanwhile."""
    if not whose:
        return nullcontext()
    from sandbox.cli import session

    return session.pushing(whose, progress=progress)


def _mender(spec: Spec, registry: str | None) -> Mend | None:
    from sandbox.cli.push_repair import mender

    return mender(spec, registry)


def _pruning(work: _Work, whose: str) -> Pruning:
    from sandbox.cli.push_prune import Pruning

    return Pruning(work.registry, work.keychain, [entry.target for entry in work.entries], whose)


def _own(spec: Spec) -> str:
    """The URL of the registry that the spec names, else of the sandbox's own."""
    if spec.registry.external:
        return spec.registry.external
    from sandbox.cli import session

    return session.registry(spec)


@dataclass(frozen=True)
class _Work:
    """What is to be pushed where, after a look at the manifest and its lock."""

    file: LockFile
    lock: Lock | None
    entries: tuple[Entry, ...]
    promised: Mapping[Target, Promise]
    registry: str
    compression: Compression
    keychain: Keychain

    @classmethod
    def of(
        cls, manifest: Path, registry: str, locked: bool, update: bool, packing: str | None, keychain: Keychain
    ) -> _Work:
        """Read the files and settle what the options leave open. Raises UsageError, Drift."""
        file = LockFile.of(manifest)
        known = file.read()
        if locked and known is None:
            raise UsageError(f"there is no lock {file.path}", fix="write it: sandbox push-images")
        kind = _compression(packing, known, registry)
        if locked and known is not None and kind is not known.compression:
            raise UsageError(
                f"{file.path} is for {known.compression.value} layers, not {kind.value}", fix="leave out --compression"
            )
        promised = file.promises(known) if locked and known else {}
        entries = file.entries if update else file.pinned(known)
        _warn(entries)
        return cls(file, known, entries, promised, registry, kind, keychain)

    @property
    def engine(self) -> Daemon | None:
        """The Docker Engine, when an image comes from it."""
        if not any(isinstance(entry, FromDaemon | FromBuild) for entry in self.entries):
            return None
        from sandbox.engine import Engine

        return Engine.connect()

    def push(self, talk: Talk, *, fail_fast: bool = False, thorough: bool = False) -> tuple[Result, ...]:
        """Have every image in the registry. Raises PushFailed and what else `push` does."""
        return push(
            self.entries,
            self.registry,
            self.engine,
            talk,
            thorough=thorough,
            fail_fast=fail_fast,
            compression=self.compression,
            promised=self.promised,
            keychain=self.keychain,
            spool=command_context.home().spool,
            reading=self.file.reading,
        )

    def keep(self, results: Sequence[Result]) -> None:
        """Write the lock when it would say something else, and say what."""
        if changes := self.file.follow(results, self.lock, self.compression):
            click.echo(f"{self.file.path}: {', '.join(changes)}", err=True)


def _compression(packing: str | None, known: Lock | None, registry: str) -> Compression:
    if packing is not None:
        return Compression(packing)
    if known is not None:
        return known.compression
    return Compression.RAW if address.parse(registry).is_loopback else Compression.GZIP


def _warn(entries: Sequence[Entry]) -> None:
    """Say which images are locked for another machine: the same lock gives the same bytes, wanted or not."""
    own = host_platform()
    for entry in entries:
        if isinstance(entry, FromRegistry) and entry.platforms and own not in entry.platforms:
            click.echo(
                f"{entry.target} is for {', '.join(entry.platforms)}, this machine is {own}: list both in `platforms:`",
                err=True,
            )


def _push(
    work: _Work, speaking: Talk, output: str, mend: Mend | None, *, locked: bool, fail_fast: bool, check: bool
) -> dict[str, Any]:
    """Push, keep the lock, verify; the results are shown whatever happens."""
    started = time.monotonic()
    failure: PushFailed | None = None
    try:
        results = work.push(speaking, fail_fast=fail_fast)
    except PushFailed as error:
        failure, results = error, error.results
    seconds, sent = time.monotonic() - started, speaking.bytes
    report = push_report.pushed(results, failure, sent, seconds)
    try:
        if check and results:
            report["verified_bytes"] = _verify(work, results, speaking, mend)
    except SandboxError as error:
        report["verify"] = push_report.why(error)
        _show(results, report, output, speaking)
        error.reported = True
        raise
    if not locked:
        speaking.close()
        work.keep(results)
    if output == "text":
        speaking.close()
        push_report.show_results(results)
    if failure is not None:
        _show((), report, output, speaking)
        failure.reported = True
        raise failure
    return report


def _show(results: Sequence[Result], report: Mapping[str, Any], output: str, speaking: Talk) -> None:
    speaking.close()
    if output == "json":
        push_report.show_json(report)
    else:
        push_report.show_results(results)


def _verify(work: _Work, results: Sequence[Result], speaking: Talk, mend: Mend | None) -> int:
    from sandbox.images.verify import VerifyFailed

    speaking.verifying(len(results))
    try:
        size = _read_back(work, results)
    except VerifyFailed as harm:
        if mend is None or not harm.damaged:
            raise
        mend(harm.damaged)
        work.push(speaking, thorough=True)
        size = _read_back(work, results)
    speaking.close()
    click.echo(f"verified: {count(len(results), 'image')}, {megabytes(size)} read back", err=True)
    return size


def _read_back(work: _Work, results: Sequence[Result]) -> int:
    from sandbox.images.progress import Silent
    from sandbox.images.verify import verify
    from sandbox.oci.client import Client

    by_name = {str(entry.target): entry.target for entry in work.entries}
    with Client(work.registry, keychain=work.keychain) as client:
        return verify({by_name[one.target]: one.digest for one in results}, client, Silent())


def _foretell(work: _Work, pruning: Pruning | None, output: str) -> int:
    from sandbox.images.dry_run import forecast

    forecasts = forecast(
        work.entries,
        work.registry,
        work.engine,
        compression=work.compression,
        promised=work.promised,
        keychain=work.keychain,
    )
    report = push_report.foretold(forecasts)
    if pruning is not None:
        report["unlisted"] = pruning.names
    if output == "json":
        push_report.show_json(report)
    else:
        push_report.show_forecasts(forecasts)
        for name in pruning.names if pruning else ():
            click.echo(f"deleted   {name}")
    return 1 if any(one.error for one in forecasts) else 0
