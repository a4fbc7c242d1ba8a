"""`sandbox doctor`: what a sandbox needs, what is wrong with it, and what repairs that."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click

from sandbox.app import diagnosis
from sandbox.app.chosen_spec import require_own_cluster
from sandbox.app.views.known_sandboxes import require_known
from sandbox.cli import completion
from sandbox.cli.app import Group
from sandbox.cli.options import Call, begin, output_option, seconds, spec_options
from sandbox.config.schema import Spec
from sandbox.doctor import egress_checks, pod_checks, request_checks, service_checks
from sandbox.doctor.check import DoctorContext, Row, Status
from sandbox.errors import UsageError
from sandbox.quantities import count
from sandbox.support_bundle import support_archive

COLORS = {"ok": "green", "warn": "yellow", "error": "red", "skipped": "white"}


class _WithDefault(Group):
    """A group that passes arguments which name no subcommand to `machine`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_default = args[0] not in (*self.commands, *ctx.help_option_names) if args else not ctx.resilient_parsing
        return super().parse_args(ctx, ["machine", *args] if is_default else args)


@click.group("doctor", cls=_WithDefault)
def doctor() -> None:
    """Find problems and suggest fixes; exit code 1 if there is a problem.

    \b
    sandbox doctor                  what the sandbox in this folder needs
    sandbox doctor -n demo -o json  what the sandbox demo needs, for programs
    sandbox doctor --fix            apply the safe fixes
    sandbox doctor tls app.demo.sandbox.localhost
                                    trace a request, step by step
    sandbox doctor service shop/db  trace a connection to a Service
    sandbox doctor pod shop/web     find why a pod does not run
    sandbox doctor network          trace egress, from a pod
    sandbox doctor archive          collect everything in a file for a report
    """


@doctor.command("machine")
@spec_options
@output_option(tuple[Row, ...])
@click.option("--fix", is_flag=True, help="Apply the safe fixes: file modes, limits, leftovers.")
@click.option(
    "--seconds", type=seconds(1), metavar="SECONDS", default=3, help="How long to wait for slow answers.  [default: 3]"
)
def machine(*, fix: bool, seconds: float) -> int:
    """Check the engine, the machine and the sandbox's components (the default). Takes three seconds at most.

    \b
    sandbox doctor machine
    """
    call = begin()
    return _show(call, diagnosis.rows(call.spec(), file=call.file, name=call.name, fix=fix, seconds=seconds))


@doctor.command("tls")
@click.argument("host", shell_complete=completion.hosts)
@spec_options
@output_option(tuple[Row, ...])
def tls(host: str) -> int:
    """Trace a request to https://HOST (or HOST:PORT), up to the first step that fails.

    \b
    sandbox doctor tls app.demo.sandbox.localhost
    sandbox doctor tls app.demo.sandbox.localhost:8443 -n demo
    """
    call = begin()
    is_named = call.file is not None or call.name is not None
    return _show(call, request_checks.examine(_context(call, call.spec()), host, named=is_named))


@doctor.command("service")
@click.argument("service", metavar="[NAMESPACE/]SERVICE")
@spec_options
@output_option(tuple[Row, ...])
def service(service: str) -> int:
    """Trace a connection to a Service, hop by hop, up to the first that fails.

    The hops are this machine, the edge, the node, kube-proxy, the EndpointSlice and the pods.

    \b
    sandbox doctor service shop/db
    sandbox doctor service db -n demo -o json
    """
    call = begin()
    return _show(call, service_checks.examine(_context(call, call.spec()), service))


@doctor.command("pod")
@click.argument("pod", metavar="[NAMESPACE/]POD")
@spec_options
@output_option(tuple[Row, ...])
def pod(pod: str) -> int:
    """Find why a pod does not run: its containers' reasons and last lines, its node, its events.

    POD is the name of a pod, or of the workload that makes it.

    \b
    sandbox doctor pod web
    sandbox doctor pod shop/web-5d8f-x2x9 -n demo
    """
    call = begin()
    return _show(call, pod_checks.examine(_context(call, call.spec()), pod))


@doctor.command("network")
@spec_options
@output_option(tuple[Row, ...])
@click.option("--to", metavar="HOST[:PORT]", help="The server to reach.  [default: registry.k8s.io:443]")
def network(*, to: str | None) -> int:
    """Trace egress from a temporary pod: names, this machine, TCP, TLS.

    \b
    sandbox doctor network
    sandbox doctor network -n demo --to git.example.com:8443
    """
    call = begin()
    spec = call.spec()
    require_own_cluster(spec, "a pod from which egress can be tested")
    return _show(call, egress_checks.examine(_context(call, spec), to or egress_checks.DESTINATION))


@doctor.command("archive")
@spec_options
@click.option("--out", type=click.Path(path_type=Path), help="The archive.  [default: ./sandbox-NAME-TIME.tar.gz]")
def archive(*, out: Path | None) -> None:
    """Collect logs, states and settings in one archive without secrets, also of a broken sandbox.

    \b
    sandbox doctor archive
    sandbox doctor archive -n demo --out demo.tar.gz
    """
    call = begin()
    if call.name is not None:
        require_known(call.name)
    spec = call.spec()
    path = out or Path(f"sandbox-{spec.name}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    if path.exists():
        raise UsageError(f"{path} exists already", fix="remove it, or name another file with --out")
    files = support_archive.make(path, spec, _context(call, spec))
    click.echo(path)
    click.echo(f"{count(files, 'file')}, secrets removed; check it before you share it", err=True)


def _context(call: Call, spec: Spec) -> DoctorContext:
    return diagnosis.context_of(spec, file=call.file, name=call.name, seconds=diagnosis.PATIENT)


def _show(call: Call, rows: Iterable[Row]) -> int:
    shown = []
    for row in rows:
        shown.append(row)
        if call.output == "text":
            text = "\n".join(diagnosis.lines(row))
            click.echo(click.style(text[0], fg=COLORS[row.status.value]) + text[1:])
            sys.stdout.flush()
    if call.output == "json":
        call.show(shown, ())
    return 1 if any(row.status is Status.ERROR for row in shown) else 0
