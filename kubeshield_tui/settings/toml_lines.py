"""On which line each key of a TOML text stands, which the standard library's reader does not tell.

For texts that `tomllib` has read without complaint: nothing is checked again here. A key inside an inline table or an
inline array has no entry of its own; what it stands in has.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
"""`("rule", 2, "to", "port")`: names of tables and keys, numbers inside arrays of tables."""

_TOKEN = re.compile(
    r'(?P<string>"""(?:\\.|[^\\])*?"{3,5}(?!")|'
    r"'''.*?'{3,5}(?!')|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*')"
    r"|(?P<comment>#[^\n]*)|(?P<end>\n)|(?P<open>[\[{])|(?P<close>[\]}])|(?P<equals>=)|(?P<plain>[^\"'#\n\[\]{}=]+)",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, of every table and every key that begins a line."""
    found: dict[KeyPath, int] = {}
    lengths: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, begin in _statements(text):
        if begin.startswith("["):
            is_array = begin.startswith("[[")
            parents, last = _split(begin.strip("[] \t"))
            table = (*_inside(parents, lengths), last)
            if is_array:
                number = lengths[table] = lengths.get(table, -1) + 1
                found.setdefault(table, line)
                table = (*table, number)
        else:
            parents, last = _split(begin)
            key: KeyPath = table
            for part in (*parents, last):
                key = (*key, part)
                found.setdefault(key, line)
            continue
        found.setdefault(table, line)
    return found


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """Return the line of a path, or of the nearest thing around it that has one; 1 where nothing has."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


def _statements(text: str) -> list[tuple[int, str]]:
    """Line and beginning of each header and each `key =`."""
    statements: list[tuple[int, str]] = []
    line, depth, begin, in_value = 1, 0, "", False
    for token in _TOKEN.finditer(text.replace("\r\n", "\n")):
        kind, piece = token.lastgroup, token[0]
        if kind == "end":
            line += 1
            if not depth:
                if begin.strip():
                    statements.append((line - 1, begin.strip()))
                begin, in_value = "", False
            continue
        if kind == "open" and in_value:
            depth += 1
        elif kind == "close" and in_value:
            depth -= 1
        elif kind == "equals" and not in_value:
            statements.append((line, begin.strip()))
            begin, in_value = "", True
        elif not in_value and kind != "comment":
            begin += piece
        line += piece.count("\n")
    if begin.strip():
        statements.append((line, begin.strip()))
    return statements


def _split(key: str) -> tuple[tuple[str, ...], str]:
    """Take a dotted key apart as TOML does; quoted parts may hold anything."""
    nested = tomllib.loads(f"{key} = 0")
    parts: list[str] = []
    while isinstance(nested, dict):
        (part,) = nested
        parts.append(part)
        nested = nested[part]
    return tuple(parts[:-1]), parts[-1]


def _inside(parts: tuple[str, ...], lengths: Mapping[KeyPath, int]) -> KeyPath:
    """Names of a header as a path: an array of tables on the way means its latest element."""
    path: KeyPath = ()
    for part in parts:
        path = (*path, part)
        if path in lengths:
            path = (*path, lengths[path])
    return path
