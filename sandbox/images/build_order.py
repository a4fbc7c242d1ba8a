"""Which images of images.yaml are made from others of it: those are built first, and both when one changes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.images import here_documents
from sandbox.images.images_yaml import Entry, FromBuild
from sandbox.oci import reference as references
from sandbox.oci.reference import DOCKER_HUB, Target

# Dockerfile reference: ARG before FROM, FROM [--platform=…] IMAGE [AS STAGE], COPY --from=IMAGE, or a stage, and
# RUN --mount=type=bind,from=IMAGE.
_ARG = re.compile(r"^\s*ARG\s+(\w+)(?:=(\S*))?", re.IGNORECASE)
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_COPY = re.compile(r"^\s*COPY\s+(?:--\S+\s+)*?--from=(\S+)", re.IGNORECASE)
_MOUNT = re.compile(r"(?<!\S)--mount=(?:[^\s,]+,)*?from=([^\s,]+)", re.IGNORECASE)
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
    """Return the image that the builder finds in the engine under the name."""
    try:
        reference = references.parse(name).with_default_tag()
    except UsageError:  # the builder reports it
        return None
    if reference.host != DOCKER_HUB or reference.digest:
        return None
    return next((one for one in targets if (one.repository, one.tag) == (reference.familiar_path, reference.tag)), None)


def _names(entry: FromBuild) -> Iterator[str]:
    """Yield the names of images in the Dockerfile, with its arguments filled in; not those of its stages."""
    file = entry.context / (entry.dockerfile or "Dockerfile")
    try:
        lines = here_documents.without(text_file.read(file)).splitlines() if file.is_file() else []
    except UsageError:  # the build reports what is wrong with it
        lines = []
    given, known, stages = dict(entry.args), dict[str, str](), set[str]()

    def value(match: re.Match[str]) -> str:
        return known.get(match[1] or match[2]) or match[3] or ""

    for line in lines:
        if argument := _ARG.match(line):
            default = _VARIABLE.sub(value, (argument[2] or "").strip("\"'"))
            known[argument[1]] = given.get(argument[1], default)
        elif found := _FROM.match(line) or _COPY.match(line):
            name = _VARIABLE.sub(value, found[1])
            if name.lower() not in stages:
                yield name
            if found.re is _FROM and found[2]:
                stages.add(found[2].lower())
        elif not line.lstrip().startswith("#"):  # RUN, or a further line of one
            mounted = (_VARIABLE.sub(value, one[1]) for one in _MOUNT.finditer(line))
            yield from (name for name in mounted if name.lower() not in stages)
