"""What the package requires may be used by everybody: every requirement, however deep, has a licence we know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

NAME = "kube-sandbox"
# Licences that let the package be used, changed and passed on, also in what is not free.
ACCEPTED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 OR BSD-3-Clause",
    "BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "Python-2.0",
    "Unlicense",
}
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}


def required(name: str, seen: set[str]) -> Iterator[Distribution]:
    """What is installed of all that `name` needs; what is only for other systems or extras is not."""
    for line in distribution(name).requires or ():
        if "extra ==" in line:
            continue
        needed = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower()
        if needed in seen:
            continue
        seen.add(needed)
        try:
            yield distribution(needed)
        except PackageNotFoundError:
            continue
        yield from required(needed, seen)


def licences(one: Distribution) -> set[str]:
    """The licences that a package states, in the core metadata's newer or older way."""
    (expression, *_) = one.metadata.get_all("License-Expression") or [""]
    if expression:
        return set(re.split(r"\s+(?:AND|OR)\s+|[()]", expression)) - {""}
    stated = [line.rpartition(" :: ")[2] for line in one.metadata.get_all("Classifier") or () if "License ::" in line]
    found = {CLASSIFIERS.get(line, line) for line in stated if line != "OSI Approved"}
    return found or {(one.metadata.get_all("License") or ["none stated"])[0].splitlines()[0]}


def test_every_requirement_has_a_licence_that_everyone_may_use() -> None:
    found = list(required(NAME, set()))
    assert len(found) > 10
    refused = {one.name: licences(one) for one in found if not licences(one) <= ACCEPTED}
    assert not refused
