"""Which images of images.yaml are made from others of it: those are built first, and both when one changes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.images.dockerfile_instructions import instructions
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


def bases(entries: Sequence[Entry]) -> Mapping[Target, frozenset[Target]]:
    """Return the images among `entries` that each built one is made from, by the names in its Dockerfile."""
    targets = {one.target for one in entries}
    return {
        one.target: frozenset(
            found for name in _names(one) if (found := _meant(name, targets)) not in (None, one.target)
        )
        for one in entries
        if isinstance(one, FromBuild)
    }


def with_made_from(changed: Collection[Target], made_from: Mapping[Target, frozenset[Target]]) -> frozenset[Target]:
    """Return the images that changed, and those that are made from them, by what `bases` returned."""
    found = frozenset(changed)
    while more := {one for one, bases in made_from.items() if one not in found and bases & found}:
        found |= more
    return found


def waves(entries: Sequence[FromBuild]) -> Iterator[list[FromBuild]]:
    """Yield the images in groups, each after all that it is made from; those of a cycle come last, together."""
    made_from, left = bases(entries), list(entries)
    while left:
        waiting = {one.target for one in left}
        ready = [one for one in left if not made_from[one.target] & waiting] or left
        yield ready
        left = [one for one in left if one not in ready]


def _meant(name: str, targets: set[Target]) -> Target | None:
    reference = references.of_text(name)  # the builder reports what is none
    if reference is None or reference.host != DOCKER_HUB or reference.digest:
        return None
    place = (reference.familiar_path, reference.with_default_tag().tag)
    return next((one for one in targets if (one.repository, one.tag) == place), None)


def _names(entry: FromBuild) -> Iterator[str]:
    file = entry.context / (entry.dockerfile or "Dockerfile")
    text = ""
    with suppress(UsageError):  # the build reports what is wrong with it
        text = text_file.read(file) if file.is_file() else ""
    return names(text, dict(entry.args))


def names(text: str, given: Mapping[str, str]) -> Iterator[str]:
    """Yield the names of images in a Dockerfile, with the arguments that are given; not those of its stages."""
    known, stages, is_global = dict[str, str](), set[str](), True

    def filled(said: str) -> str:
        return _VARIABLE.sub(lambda match: known.get(match[1] or match[2]) or match[3] or "", said)

    for instruction, said in instructions(text):
        is_global &= instruction != "FROM"
        if instruction == "ARG" and is_global:  # of those of a stage FROM knows nothing
            for name, default in _ARG.findall(said):
                known[name] = given.get(name, filled(default.strip("\"'")))
        if pattern := _NAMES.get(instruction):
            yield from (name for name in map(filled, pattern.findall(said)) if name.lower() not in stages)
        if instruction == "FROM" and (stage := _STAGE.search(said)):
            stages.add(stage[1].lower())
