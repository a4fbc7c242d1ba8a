"""Licences are recognised by their texts, and read where Debian states them."""

from __future__ import annotations

import pytest

from sandbox.bundle.builder.licences import SPDX, of_debian, recognise

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


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (MIT, "MIT"),
        (BSD.format(more="Neither the name of X may be used to endorse"), "BSD-3-Clause"),
        (BSD.format(more=""), "BSD-2-Clause"),
        ("           Apache License\n           Version 2.0, January 2004", "Apache-2.0"),
        ("Mozilla Public License Version 2.0\n==================================", "MPL-2.0"),
        ("Permission to use, copy, modify, and distribute this software for any\npurpose with or without fee", "ISC"),
        ("Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee", "ISC"),
        ("GNU GENERAL PUBLIC LICENSE\n   Version 2, June 1991", "GPL-2.0-only"),
        ("all rights reserved, by nosuch", None),
    ],
)
def test_a_licence_is_known_by_its_text(text: str, licence: str | None) -> None:
    assert recognise(text) == licence and licence in (*SPDX, None)


@pytest.mark.parametrize(
    ("text", "licences"),
    [
        ("License: GPL-2+ and LGPL-2.1\n\nLicense: Expat\n\nLicense: GPL-2+\n This", ("Expat", "GPL-2+", "LGPL-2.1")),
        ("On Debian systems see /usr/share/common-licenses/GPL-3.\n", ("GPL-3",)),
        (MIT, ("MIT",)),
        ("Do what you like.", ()),
    ],
)
def test_copyright_of_debian_names_each_licence_once(text: str, licences: tuple[str, ...]) -> None:
    assert of_debian(text) == licences
