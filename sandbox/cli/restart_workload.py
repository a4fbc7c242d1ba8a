"""`sandbox restart`: replaces the pods of a workload."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox.cli import completion
from sandbox.cli.options import begin, progress_option, sandbox_of, spec_options


@click.command("restart")
@click.argument("workload", shell_complete=completion.workloads)
@spec_options
@progress_option
def restart(workload: str, file: Path | None, name: str | None, *, progress: str) -> None:
    """Replace the pods of WORKLOAD, and wait until the new ones are ready.

    \b
    sandbox restart web
    sandbox restart shop/statefulset/db
    """
    begin("stopping", "the roll-out goes on in the cluster")
    from sandbox.app import project_workloads
    from sandbox.kube.api import Cluster
    from sandbox.plan import providers

    sandbox = sandbox_of(file, name, progress=progress)
    with sandbox.alone("restart"):
        cluster = Cluster(sandbox.names.kubeconfig)
        found = project_workloads.find(cluster, workload, providers.namespace(sandbox.names))
        with sandbox.session.task(f"Restart of {found.title}") as task:
            project_workloads.restart(cluster, found, task.say)
            task.done = "ready"
