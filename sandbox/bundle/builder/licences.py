"""Recognises licences by sentences that no other licence has, and reads those that Debian's packages state."""

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
SPDX = frozenset(name for name, _ in _SIGNS)
_STATED = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.-]*[A-Za-z0-9])")


def recognise(text: str) -> str | None:
    flat = re.sub(r"[\s\"“”*#;/]+", " ", text.lower())
    return next((name for name, sign in _SIGNS if re.search(sign, flat)), None)


def of_debian(text: str) -> tuple[str, ...]:
    """Return the licences in a package's copyright file, by the names that Debian gives them, such as GPL-2+."""
    stated = [name for line in _STATED.findall(text) for name in re.split(r",?\s+(?:and|or|with)\s+|[,|]", line)]
    names = {name.strip() for name in stated if name.strip()} or {*_COMMON.findall(text)}
    return tuple(sorted(names or filter(None, [recognise(text)])))
