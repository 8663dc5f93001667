"""Which hosts the user's ssh_config names, to offer them as vantages. Reads names only and never fails on a mess."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path

MOST_FILES = 64
"""Files read in all, Includes counted: some include themselves."""
FILE_LIMIT = 1 << 20
_ALIAS = re.compile(r"[A-Za-z0-9_][\w.\-]{0,252}")
"""Aliases that a vantage spec can hold."""


def ssh_hosts(ssh_config: Path | None = None) -> tuple[str, ...]:
    """Return the concrete aliases of `Host` lines, in their order, without patterns and negations.

    `ssh_config` defaults to the user's own file. Follows Include. What can't be read is left out.
    """
    start = ssh_config or Path.home() / ".ssh/config"
    return tuple(dict.fromkeys(alias for alias in _hosts(start, set()) if _ALIAS.fullmatch(alias)))


def _hosts(path: Path, seen: set[Path]) -> Iterator[str]:
    if len(seen) >= MOST_FILES or path in seen:
        return
    seen.add(path)
    try:
        if not path.is_file():
            return
        with path.open("rb") as opened:
            text = opened.read(FILE_LIMIT).decode("utf-8", "replace")
    except OSError:
        return
    for line in text.splitlines():
        keyword, values = _words(line)
        if keyword == "host":
            yield from values
        elif keyword == "include":
            for value in values:
                for included in _included(value):
                    yield from _hosts(included, seen)


def _words(line: str) -> tuple[str, list[str]]:
    """Split `Keyword value ...` or `Keyword=value`; quotes hold words together, `#` begins a comment."""
    found = re.match(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)", line)
    if not found:
        return "", []
    words: list[str] = []
    for quoted, plain in re.findall(r'"([^"]*)"|([^\s"]+)', found[2]):
        if plain.startswith("#"):
            break
        words.append(quoted or plain)
    return found[1].lower(), words


def _included(pattern: str) -> list[Path]:
    # Relative ones stand in ~/.ssh, whichever file includes them. Source: ssh_config(5), Include.
    try:
        path = Path(pattern).expanduser()
        absolute = path if path.is_absolute() else Path.home() / ".ssh" / path
        return [Path(name) for name in sorted(glob.glob(str(absolute)))][:MOST_FILES]
    except (OSError, RuntimeError, ValueError):
        return []
