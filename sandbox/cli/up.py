"""`sandbox up`: creates or repairs a sandbox and prints its addresses, or shows with --plan what it would change."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import click

from sandbox.app import chosen_spec, context
from sandbox.app.core import BROUGHT, Sandbox
from sandbox.app.views import overview
from sandbox.app.views.overview import Addresses
from sandbox.cli import prompts
from sandbox.cli.options import Call, Port, begin, change_options, named_spec_options, output_option
from sandbox.config import resolve
from sandbox.config.resolve import PortChoice
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Bind
from sandbox.errors import UsageError
from sandbox.plan.lifecycle import Found
from sandbox.sanitize import fit
from sandbox.step import Rebuildable

VERBS: Mapping[str, Literal["make", "repair", "rebuild", "look at"]] = {
    "absent": "make",
    "drifted": "repair",
    "stale": "rebuild",
    "unseen": "look at",
}
KEPT = """kept: everything from before, the registry's data and the certificates
continue: sandbox up      remove everything: sandbox down --purge"""


@dataclass(frozen=True, kw_only=True)
class Up:
    """`context` is null if the user's kubeconfig does not have it."""

    name: str
    urls: Sequence[str]
    network_urls: Sequence[str]
    registry: str
    context: str | None
    kubeconfig: str
    root_certificate: str


@dataclass(frozen=True)
class Change:
    """What `up` would do with a component, and what would be lost."""

    step: str
    title: str
    action: Literal["make", "repair", "rebuild", "look at"]
    detail: str
    loses: str


@dataclass(frozen=True)
class Plan:
    """`sandbox up --plan`."""

    name: str
    changes: bool
    steps: Sequence[Change]


@click.command("up")
@named_spec_options
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="A folder, a git repository (URL#BRANCH:FOLDER) or a bundle file with a sandbox.yaml.",
)
@click.option("--trust", is_flag=True, help="Trust what --from fetches: it runs with your rights.")
@click.option(
    "--identity", metavar="sha256:…", help="Require this identity of the bundle, as `bundle save` printed it."
)
@click.option(
    "--https-port",
    "https_ports",
    type=Port(),
    multiple=True,
    help="Use this port instead of the spec's; repeatable.",
)
@click.option("--registry-port", type=Port(), help="Use this port instead of the spec's.")
@click.option("--keep", is_flag=True, help="Do not roll back on failure.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--check", is_flag=True, help="With --plan: exit with 1 if something would change.")
@click.option(
    "--recreate",
    multiple=True,
    metavar="STEP",
    help="Allow STEP to be recreated, if the spec needs it; its data is lost.",
)
@click.option("--take-over", is_flag=True, help="Take over the sandbox of another person in an existing cluster.")
@output_option(Up | Plan)
@change_options("Answer yes to every question, but not to one about another person's sandbox.")
def up(
    *,
    source: str | None,
    identity: str | None,
    trust: bool,
    https_ports: tuple[PortChoice, ...],
    registry_port: PortChoice | None,
    keep: bool,
    only_plan: bool,
    check: bool,
    recreate: tuple[str, ...],
    take_over: bool,
) -> int:
    """Create a sandbox, or repair it; change nothing if all is well.

    The context `sandbox-NAME` becomes kubectl's current one.

    \b
    sandbox up                      the spec in this folder, or a default one
    sandbox up feature              the spec in this folder under another name
    sandbox up -f demo/sandbox.yaml
    sandbox up --from https://git.example.com/demo.git#main:k8s   asks you first
    sandbox up --from demo.bundle   on a machine without network, too
    sandbox up --https-port auto    443 and 8443 if they are free, else others
    """
    if check and not only_plan:
        raise UsageError("--check is for --plan", fix="add --plan, or leave --check out")
    if keep:
        call = begin("stopping", "created components are kept; run `sandbox up` again to continue")
    else:
        call = begin("rolling back the changes of this run", KEPT)
    with chosen_spec.from_source(source, call.file, call.session, identity=identity, trusted=trust) as project:
        if project is not None:
            if not only_plan:
                prompts.require_trust(project, context.home(), trusted=trust)
            elif not trust and (error := prompts.untrusted(project, context.home())):
                if call.output == "json":
                    raise error
                click.echo(fit(project.file.read_text(encoding="utf-8", errors="replace")), nl=False)
                call.say(f"this is the spec's own text; to plan {project.origin}, read it, then add --trust")
                return 1 if check else 0
            project.complete(context.home(), call.session)
        ports = tuple(resolve.ports(https_ports, registry_port))
        file = chosen_spec.file_to_bring_up(call.file, call.name) if project is None else call.file
        chosen = chosen_spec.choose(file, call.name, ports, project=project, may_rename=True)
        if project is None and file is None and call.name is None:
            prompts.note_project(call.say)
        asking = prompts.Asking(yes=bool(call.yes), take_over=take_over)
        agreement = prompts.Telling(call.say) if only_plan else asking
        sandbox = Sandbox(chosen, session=call.session, agreement=agreement)
        if only_plan:
            found = sandbox.plan(recreate=recreate)
            return 1 if _show(call, sandbox.name, found, recreate) and check else 0
        sandbox.up(recreate=recreate, keep=keep, spared=BROUGHT)
    welcome(sandbox.resolved, call)
    return 0


def _show(call: Call, name: str, found: Found, recreate: Collection[str]) -> bool:
    changing = [(step, status) for step, status in found if status.state.value != "ready"]
    rows = [Change(step.name, step.title, VERBS[s.state.value], s.detail, s.loses) for step, s in changing]
    rebuildable = {step.name for step, _ in changing if isinstance(step, Rebuildable)}
    call.show(Plan(name, changes=bool(rows), steps=rows), _lines(rows, rebuildable, recreate))
    return bool(rows)


def _lines(rows: Sequence[Change], rebuildable: Collection[str], recreate: Collection[str]) -> Iterator[str]:
    for row in rows:
        yield fit(f"{row.action:<7} {row.title:<44} {row.detail}".rstrip())
        if row.loses:
            way = f"--recreate {row.step}" if row.step in rebuildable else "sandbox down"
            consent = "agreed to" if row.step in recreate else f"only with {way}"
            yield fit(f"        deletes: {row.loses}; {consent}")


def welcome(spec: ResolvedSpec, call: Call) -> None:
    """Print the sandbox's addresses on stdout; none for people who want it quiet."""
    if call.output == "text" and call.progress == "quiet":
        return
    sandbox = overview.addresses(spec)
    result = Up(
        name=spec.name,
        urls=[url for host in sandbox.hosts for url in sandbox.urls(host)],
        network_urls=sandbox.network.urls,
        registry=sandbox.registry,
        context=sandbox.context,
        kubeconfig=str(sandbox.kubeconfig),
        root_certificate=str(sandbox.root_certificate),
    )
    call.show(result, _welcome_lines(spec, sandbox))


def _welcome_lines(spec: ResolvedSpec, sandbox: Addresses) -> Iterator[str]:
    for host in sandbox.hosts:
        yield sandbox.urls(host)[0] + "".join(f"   and :{port}" for port in sandbox.ports[1:])
    yield f"registry    {sandbox.registry}   (sandbox push-images)"
    kubeconfig, root = shlex.quote(str(sandbox.kubeconfig)), shlex.quote(str(sandbox.root_certificate))
    yield f"kubectl     --context {sandbox.context}" if sandbox.context else f"kubectl     --kubeconfig {kubeconfig}"
    if spec.takes_https_ports:  # else neither the way nor the certificate is the sandbox's
        host, port = sandbox.tried, sandbox.ports[0]
        address = Bind(spec.edge.listen, port).asked_at
        # curl itself knows that names of .localhost are at 127.0.0.1, and a public name may lead anywhere else.
        resolves = host.endswith(".localhost") and (address == "127.0.0.1" or not address.startswith("127."))
        way = "" if resolves else f" --resolve {host}:{port}:{address}"
        yield f"trust       {sandbox.root_certificate}"
        yield f"try         curl --cacert {root}{way} {sandbox.urls(host)[0]}"
    for note in sandbox.notes:
        yield f"{click.style('note', fg='yellow')}        {note}"
    if sandbox.network.open:
        yield f"{click.style('network', fg='yellow')}     {sandbox.network.warning}"
        for url in sandbox.network.urls:
            yield f"            {url}"
