"""`sandbox upgrade`: moves a running sandbox to another Kubernetes version, keeping its data."""

from __future__ import annotations

import re
from pathlib import Path

import click

from sandbox.cli.options import begin, changing_option, lock_options, progress_option, sandbox_of, spec_options
from sandbox.errors import UsageError


@click.command("upgrade")
@spec_options
@changing_option
@lock_options
@progress_option
def upgrade(file: Path | None, name: str | None, *, yes: bool, patience: float, progress: str) -> None:
    """Upgrade a running cluster in place to the Kubernetes of the spec, one minor version at most.

    Workloads and their data stay. Without `kubernetes` in the spec's `cluster`, the version is that of this release.
    A snapshot is saved first: if a node cannot be upgraded, it is restored. Run the command again to continue an
    upgrade that was killed.

    \b
    sandbox upgrade
    sandbox upgrade demo
    """
    begin("stopping", "run `sandbox upgrade` again to continue")
    if name and re.fullmatch(r"v?\d+(\.\d+)+", name):  # no sandbox has such a name
        raise UsageError(
            f"{name} is a version, and `upgrade` takes the name of a sandbox",
            fix=f"write `cluster: {{kubernetes: v{name.removeprefix('v')}}}` in sandbox.yaml, then: sandbox upgrade",
        )
    from sandbox.app import cluster_upgrade

    sandbox = sandbox_of(file, name, yes=yes, progress=progress, patience=patience)
    done, say = cluster_upgrade.upgrade(sandbox), sandbox.session.say
    if done.snapshot is None:
        say(f"it runs Kubernetes {done.after} already")
        return
    say(f"Kubernetes {done.after} instead of {done.before}")
    say(f"as before: sandbox snapshot restore {done.snapshot}; it is kept until snapshot delete")
