"""Licences are recognised by their texts, and Debian's words for them become SPDX's."""

from __future__ import annotations

import pytest

from sandbox.bundle.builder.licences import is_identifier, of_debian, recognise

MIT = """MIT License

Copyright (c) 2014 A. Author

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
"""
BSD = """Copyright (c) 2009 The Go Authors. All rights reserved.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:
{more}
THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"
"""
NAMES = "   * Neither the name of Google Inc. nor the names of its\ncontributors may be used to endorse products\n"
DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2002 A. Author
License: GPL-2+ and LGPL-2.1

Files: src/x.c
License: Expat

License: GPL-2+
 This program is free software; you can redistribute it
"""


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (MIT, "MIT"),
        (BSD.format(more=NAMES), "BSD-3-Clause"),
        (BSD.format(more=""), "BSD-2-Clause"),
        (
            "                              Apache License\n                        Version 2.0, January 2004",
            "Apache-2.0",
        ),
        ("Mozilla Public License Version 2.0\n==================================", "MPL-2.0"),
        ("Mozilla Public License, version 2.0\n\n1. Definitions", "MPL-2.0"),
        ("Permission to use, copy, modify, and distribute this software for any\npurpose with or without fee", "ISC"),
        ("Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee", "ISC"),
        ("GNU GENERAL PUBLIC LICENSE\n   Version 2, June 1991", "GPL-2.0-only"),
        ("all rights reserved, by nosuch", None),
    ],
)
def test_a_licence_is_known_by_its_text(text: str, licence: str | None) -> None:
    assert recognise(text) == licence


def test_machine_readable_copyright_names_every_licence_once() -> None:
    assert of_debian(DEP5) == ("GPL-2.0-or-later", "LGPL-2.1-only", "MIT")
    assert all(map(is_identifier, of_debian(DEP5)))


def test_free_form_copyright_names_common_licence_or_is_one() -> None:
    assert of_debian("On Debian systems see /usr/share/common-licenses/GPL-3.\n") == ("GPL-3.0-only",)
    assert of_debian(MIT) == ("MIT",)
    assert of_debian("Do what you like.") == ()


def test_debian_licence_names_unknown_to_spdx_are_kept() -> None:
    (licence,) = of_debian("License: public-domain\n")
    assert licence == "public-domain"
    assert not is_identifier(licence)
