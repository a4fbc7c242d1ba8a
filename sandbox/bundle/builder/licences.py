"""Recognises licences by sentences that no other licence has, as identifiers of the SPDX licence list."""

from __future__ import annotations

import re

# The first match counts: special licences come before those whose text they contain.
_SIGNS: tuple[tuple[str, str], ...] = (
    ("Apache-2.0", r"apache license,? version 2\.0|licensed under the apache license"),
    ("MPL-2.0", r"mozilla public license,? (version|v\.) ?2\.0"),
    ("AGPL-3.0-only", r"gnu affero general public license version 3"),
    ("LGPL-3.0-only", r"gnu lesser general public license version 3"),
    ("LGPL-2.1-only", r"gnu lesser general public license version 2\.1"),
    ("GPL-3.0-only", r"gnu general public license version 3"),
    ("GPL-2.0-only", r"gnu general public license version 2"),
    ("CC0-1.0", r"cc0 1\.0 universal"),
    ("CC-BY-4.0", r"creative commons attribution 4\.0 international"),
    ("Unlicense", r"this is free and unencumbered software released into the public domain"),
    (
        "ISC",
        r"permission to use, copy, modify, and ?(or)? distribute this software for any purpose with or without fee",
    ),
    ("MIT", r"permission is hereby granted, free of charge, to any person obtaining a copy"),
    (
        "BSD-3-Clause",
        r"redistribution and use in source and binary forms.*neither the names? .* (endorse|contributors)",
    ),
    ("BSD-2-Clause", r"redistribution and use in source and binary forms"),
)
# Debian's short names (machine-readable copyright file 1.0, "License short name") that SPDX spells differently.
_DEBIAN = {
    "expat": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "isc": "ISC",
    "zlib": "Zlib",
    "apache-2.0": "Apache-2.0",
    "cc0-1.0": "CC0-1.0",
    "mpl-2.0": "MPL-2.0",
    "x11": "X11",
}
_GNU = re.compile(r"(LGPL|GPL|AGPL|GFDL)-([0-9])(?:\.([0-9]))?(\+?)", re.IGNORECASE)
_IDENTIFIERS = {name for name, _ in _SIGNS} | set(_DEBIAN.values())
_STATED = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.-]*[A-Za-z0-9])")


def recognise(text: str) -> str | None:
    """Return the licence in `text`, a LICENSE or COPYING file; None if it is not known."""
    flat = re.sub(r"[\s\"“”*#;/]+", " ", text.lower())
    return next((name for name, sign in _SIGNS if re.search(sign, flat)), None)


def of_debian(text: str) -> tuple[str, ...]:
    """Return the licences in a package's copyright file: SPDX identifiers, or Debian's names where SPDX has none."""
    stated = [name for line in _STATED.findall(text) for name in re.split(r",?\s+(?:and|or|with)\s+|[,|]", line)]
    named = stated or _COMMON.findall(text)
    names = {_spdx(name.strip()) for name in named if name.strip()}
    if not names and (name := recognise(text)):
        names = {name}
    return tuple(sorted(names))


def is_identifier(name: str) -> bool:
    """Tell whether `name`, which `recognise` or `of_debian` returned, is on the SPDX licence list."""
    return name in _IDENTIFIERS or name.endswith(("-only", "-or-later"))


def _spdx(name: str) -> str:
    gnu = _GNU.fullmatch(name)
    if gnu:
        family, major, minor, later = gnu.groups()
        return f"{family.upper()}-{major}.{minor or 0}-{'or-later' if later else 'only'}"
    return _DEBIAN.get(name.lower(), name)
