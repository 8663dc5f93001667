"""Files and folders of manifests: which are read, and what is said of those that can't be."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.evidence.netpol.manifests import POLICY_WORD, Reading
from kubeshield_tui.evidence.netpol.policy import Where
from kubeshield_tui.model.text import printable

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STANDARD_INPUT = "-"
SIZE_LIMIT = 32 << 20
"""Bytes of one file; larger ones are named, not read."""
FILES_LIMIT = 20_000
_CHUNK = 1 << 20


def read_manifests(paths: Iterable[Path]) -> Reading:
    """Read files, folders (all YAML and JSON below them) and `-`. Raises SettingsError for a path that is not there."""
    reading = Reading()
    count = 0
    for path in paths:
        for file in _files(path):
            count += 1
            if count > FILES_LIMIT:
                raise SettingsError(f"--manifests {path}: more than {FILES_LIMIT:,} files", "Name a smaller folder")
            _read(file, reading)
    if not count:
        raise SettingsError("--manifests: no .yaml, .yml or .json file in the folders", "Name files, or other folders")
    return reading


def _files(path: Path) -> Iterator[Path]:
    if str(path) == STANDARD_INPUT or path.is_file() or path.is_fifo():
        yield path
        return
    if not path.is_dir():
        raise SettingsError(f"--manifests {path}: no such file or folder", "Check the path")
    for folder, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix.lower() in SUFFIXES and not name.startswith("."):
                yield file


def _read(file: Path, reading: Reading) -> None:
    is_input = str(file) == STANDARD_INPUT
    name = "standard input" if is_input else printable(str(file), 400)
    try:
        with open(sys.stdin.fileno() if is_input else file, "rb", closefd=not is_input) as stream:
            data = stream.read(SIZE_LIMIT + 1)
            if len(data) > SIZE_LIMIT:
                why = f"larger than {SIZE_LIMIT >> 20} MB, not read; split it"
                reading.refuse(Where(file=name), why, _holds_policies(data, stream.read))
                return
    except OSError as error:
        reading.refuse(Where(file=name), printable(error.strerror or error, 200), may_hold_policies=True)
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        holds = POLICY_WORD.encode() in data or b"\x00" in data[:4096]
        reading.refuse(Where(file=name, line=line), f"not UTF-8 text ({error.reason})", holds)
        return
    reading.take(text, name)


def _holds_policies(data: bytes, read: object) -> bool:
    """Whether a stream may hold policies, without keeping it."""
    word = POLICY_WORD.encode()
    assert callable(read)
    while data:
        if word in data:
            return True
        tail = data[-len(word) :]
        more = read(_CHUNK)
        data = tail + more if more else b""
    return False
