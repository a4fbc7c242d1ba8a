"""Which layer a folder of an old `docker save` holds: its name is a hash over what is known, so it can be recognised.

Docker before 25 saves layers as `<id>/layer.tar` next to `<id>/json`, a description. The id is the sha256 of that
description in the form it had before it was given its id: without `id`, with the chain id of the layer as `layer_id`
and the parent's digest in full, keys sorted. A match proves the chain id, and that proves the layer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping


def chains(images: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Map the chain id of every layer to its diff id (OCI image-spec, config.md, "Layer ChainID")."""
    found: dict[str, str] = {}
    for diff_ids in images:
        chain = ""
        for diff_id in diff_ids:
            chain = "sha256:" + hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest() if chain else diff_id
            found[chain] = diff_id
    return found


def recognised(folder: str, description: bytes, known: Mapping[str, str]) -> str | None:
    """Return the diff id of the layer in `folder`, one of those of `known` (see `chains`).

    None when it is none of them.
    """
    try:
        members = _members(description.decode())
    except (ValueError, IndexError):
        return None
    members.pop("id", None)
    if parent := members.pop("parent", None):
        members["parent"] = f'"sha256:{parent[1:]}'
    # The system's name is added to all descriptions, but was there when the id was made only in a topmost one.
    forms = [members, {key: value for key, value in members.items() if key != "os"}]
    for chain, diff_id in known.items():
        for form in forms:
            ordered = sorted((form | {"layer_id": f'"{chain}"'}).items())
            text = ",".join(f'"{key}":{value}' for key, value in ordered)
            if hashlib.sha256(f"{{{text}}}".encode()).hexdigest() == folder:
                return diff_id
    return None


def _members(text: str) -> dict[str, str]:
    """Return the members of a JSON object without spaces, each value as it is written.

    Raises ValueError, IndexError.
    """
    decoder = json.JSONDecoder()
    found: dict[str, str] = {}
    end = 0
    while text[end] != "}":
        key, colon = decoder.raw_decode(text, end + 1)
        _, end = decoder.raw_decode(text, colon + 1)
        found[str(key)] = text[colon + 1 : end]
    return found
