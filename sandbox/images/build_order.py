"""Which images of images.yaml are made from others of it: those are built first, and both when one changes."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.images.images_yaml import Entry, FromBuild
from sandbox.oci import reference as references
from sandbox.oci.reference import DOCKER_HUB, Target

# The names of images in arguments (Dockerfile reference): FROM [--platform=…] IMAGE [AS STAGE], COPY --from=IMAGE, or a
# stage, and RUN --mount=type=bind,from=IMAGE.
_NAMES = {
    "FROM": re.compile(r"^(?:--\S+\s+)*(\S+)"),
    "COPY": re.compile(r"^(?:--\S+\s+)*?--from=(\S+)"),
    "RUN": re.compile(r"(?<!\S)--mount=(?:[^\s,]+,)*?from=([^\s,]+)"),
}
_STAGE = re.compile(r"\sAS\s+(\S+)$", re.IGNORECASE)
_ARG = re.compile(r"""(?<!\S)(\w+)(?:=("[^"]*"|'[^']*'|\S*))?""")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")
_INSTRUCTION = re.compile(r"\s*(\w+)\s+(.+)")
_TAKE_DOCUMENTS = ("ADD", "COPY", "ONBUILD", "RUN")
# A text in quotes, or what begins a document outside of one.
_DOCUMENT = re.compile(
    r"""\"(?:[^"\\]|\\.)*(?:"|$)|'[^']*(?:'|$)|(?<!\S)\d*<<(?P<dash>-?)(?P<quote>['"]?)(?P<end>[A-Za-z_][\w.-]*)(?P=quote)"""
)
_CONTINUES = re.compile(r"(?<!\\)\\[ \t]*$")


def bases(entries: Sequence[Entry]) -> Mapping[Target, frozenset[Target]]:
    """Return, for each image to build, the images among `entries` that its Dockerfile names."""
    places = {(entry.target.repository, entry.target.tag): entry.target for entry in entries}
    made_from = {}
    for entry in entries:
        if not isinstance(entry, FromBuild):
            continue
        text, file = "", entry.context / (entry.dockerfile or "Dockerfile")
        with suppress(UsageError):  # the build reports what is wrong with it
            text = text_file.read(file) if file.is_file() else ""
        targets = set()
        for name in names(text, dict(entry.args)):
            reference = references.of_text(name)  # the builder reports an invalid name
            if reference and reference.host == DOCKER_HUB and not reference.digest:
                targets.add(places.get((reference.familiar_path, reference.with_default_tag().tag)))
        made_from[entry.target] = frozenset(target for target in targets if target and target != entry.target)
    return made_from


def with_made_from(changed: Collection[Target], made_from: Mapping[Target, frozenset[Target]]) -> frozenset[Target]:
    """Return the images that changed and all images made from them; `made_from` is the result of `bases`."""
    targets = frozenset(changed)
    while more := {target for target, below in made_from.items() if target not in targets and below & targets}:
        targets |= more
    return targets


def waves(entries: Sequence[FromBuild]) -> Iterator[list[FromBuild]]:
    """Yield the images in groups, each after all that it is made from; those of a cycle come last, together."""
    made_from, left = bases(entries), list(entries)
    while left:
        waiting = {entry.target for entry in left}
        ready = [entry for entry in left if not made_from[entry.target] & waiting] or left
        yield ready
        left = [entry for entry in left if entry not in ready]


def names(text: str, given: Mapping[str, str]) -> Iterator[str]:
    """Yield the names of images in a Dockerfile with the `given` arguments; not those of its stages."""
    values, stages, is_global = dict[str, str](), set[str](), True

    def filled(text: str) -> str:
        return _VARIABLE.sub(lambda match: values.get(match[1] or match[2]) or match[3] or "", text)

    for instruction, arguments in instructions(text):
        is_global &= instruction != "FROM"
        if instruction == "ARG" and is_global:  # FROM does not see arguments of stages
            for name, default in _ARG.findall(arguments):
                values[name] = given.get(name, filled(default.strip("\"'")))
        if pattern := _NAMES.get(instruction):
            yield from (name for name in map(filled, pattern.findall(arguments)) if name.lower() not in stages)
        if instruction == "FROM" and (stage := _STAGE.search(arguments)):
            stages.add(stage[1].lower())


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction's name and arguments in one line, without comments and the lines of here-documents.

    Source: Dockerfile reference, "Format" and "Here-Documents"; moby/buildkit, frontend/dockerfile/parser.
    """
    lines = iter(text.splitlines())
    code = filter(lambda line: line.strip()[:1] not in ("", "#"), lines)
    for line in code:
        parts = [line]
        while more := _CONTINUES.search(parts[-1]):
            parts[-1:] = parts[-1][: more.start()], next(code, "")
        if (match := _INSTRUCTION.match("".join(parts))) is None:
            continue
        name, arguments = match[1].upper(), match[2].rstrip()
        for begun in _DOCUMENT.finditer(arguments) if name in _TAKE_DOCUMENTS else ():
            for body in lines if begun["end"] else ():
                if body.lstrip("\t" if begun["dash"] else "") == begun["end"]:
                    break
        yield name, arguments
