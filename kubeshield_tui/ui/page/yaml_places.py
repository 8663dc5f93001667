"""Which lines of a policy's YAML a rule, a peer or a list of ports stands on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from types import MappingProxyType

from kubeshield_tui.evidence.netpol.yaml_lines import Document, Mapping, Sequence, documents

Lines = range
"""Lines of a text, counted from 0."""
Places = MappingProxyType[str, Lines]
"""By place: `podSelector`, `ingress[0]`, `ingress[0].from[1]`."""
REMEMBERED = 512
"""Texts whose places are kept."""


@lru_cache(maxsize=REMEMBERED)
def places(text: str) -> Places:
    """Find the lines of everything in a YAML text, of one that was cut all before the cut; nothing in what is none."""
    lines = text.splitlines()
    for kept in (lines, lines[:-1]):
        read = list(documents("\n".join(kept)))
        if len(read) == 1 and isinstance(read[0], Document):
            return MappingProxyType(dict(_inside(read[0].value, "", len(kept))))
    return MappingProxyType({})


def _inside(value: object, place: str, end: int) -> Iterator[tuple[str, Lines]]:
    """Each key and item below a value that ends before line `end` (counted from 0)."""
    if isinstance(value, Mapping):
        names = [f"{place}.{key}" if place else key for key in value]
        starts = [value.lines[key] - 1 for key in value]
        below: list[object] = list(value.values())
    elif isinstance(value, Sequence):
        names = [f"{place}[{number}]" for number in range(len(value))]
        starts = [line - 1 for line in value.lines]
        below = list(value)
    else:
        return
    stops = [*starts[1:], end][: len(starts)]
    for name, start, stop, item in zip(names, starts, stops, below, strict=True):
        yield name, range(start, max(stop, start + 1))
        yield from _inside(item, name, stop)
