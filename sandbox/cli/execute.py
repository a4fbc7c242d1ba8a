"""`sandbox exec`: runs a command in a pod of a workload."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from sandbox.cli import completion
from sandbox.cli.options import begin, find_spec, spec_options


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("workload", shell_complete=completion.workloads)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@spec_options
@click.option("-c", "--container", metavar="NAME", help="The container.  [default: the first of the pod]")
def execute(
    workload: str, command: tuple[str, ...], file: Path | None, name: str | None, *, container: str | None
) -> None:
    """Run COMMAND (default: a shell) in the newest running pod of WORKLOAD, with this terminal.

    The exit code is that of the command.

    \b
    sandbox exec web
    sandbox exec db -- psql -U postgres
    sandbox exec shop/web -c sidecar -- cat /etc/hosts
    """
    begin()
    from sandbox.app import context, project_workloads
    from sandbox.app.session import wake_paused
    from sandbox.bundle import kubectl
    from sandbox.bundle.store import Store
    from sandbox.kube.api import Cluster
    from sandbox.plan import providers

    names = context.home().sandbox(find_spec(file, name).name)
    wake_paused(names)
    cluster = Cluster(names.kubeconfig)
    pod = project_workloads.running_pod(cluster, project_workloads.find(cluster, workload, providers.namespace(names)))
    program = kubectl.find(Store(names.home.bundle))
    terminal = ["--stdin", "--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else ["--stdin"]
    chosen = ["--container", container] if container else []
    # The shell that most images have; bash where there is one.
    shell = ("sh", "-c", "command -v bash >/dev/null && exec bash || exec sh")
    place = ["--namespace", pod["metadata"]["namespace"], pod["metadata"]["name"]]
    argv = ["kubectl", "--kubeconfig", str(names.kubeconfig), "exec", *terminal, *chosen, *place, "--"]
    os.execv(program, [*argv, *(command or shell)])  # noqa: S606
