"""A place with only the tools that a test wants: a folder of links as PATH, asked over a real sshd."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

PLAIN = ("id", "uname")
"""What even the smallest image has."""


def tool(name: str) -> str:
    """The program of that name on this machine, which must be there."""
    found = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin")
    assert found is not None, f"{name} is not installed here"
    return found


def place(folder: Path, *tools: str, links: Sequence[tuple[str, str]] = (), shell: str = "dash") -> Path:
    """Make a folder with `tools` and a shell as sh; `links` are (name, program)."""
    folder.mkdir(parents=True)
    for name in (*PLAIN, *tools):
        (folder / name).symlink_to(tool(name))
    for name, program in (*links, ("sh", shell)):
        (folder / name).symlink_to(tool(program))
    return folder
