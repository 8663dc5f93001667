"""A place with only the tools that a test wants: a folder of links as PATH, asked over a real sshd."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Rung:
    """What a place must have to be asked in one way."""

    runner: str
    tools: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    shell: str = "dash"
    more: tuple[str, ...] = ()

    def environment(self, folder: Path) -> list[str]:
        """Make the place and return what its environment must say."""
        return [f"PATH={place(folder, *self.tools, links=self.links, shell=self.shell)}", *self.more]


RUNGS = {
    "nmap -sS": Rung("nmap", ("nmap", "getent")),
    "nmap -sT": Rung("nmap", ("nmap",), more=("NMAP_UNPRIVILEGED=1",)),
    "bash": Rung("bash", ("bash",)),
    "bash alone": Rung("bash", ("bash",), shell="bash"),
    "busybox": Rung("nc of busybox", links=(("nc", "busybox"), ("busybox", "busybox")), shell="busybox"),
    "busybox alone": Rung("nc of busybox", ("busybox",), shell="busybox"),
    "openbsd": Rung("nc (OpenBSD)", links=(("nc", "nc.openbsd"),)),
    "traditional": Rung("nc (traditional)", links=(("nc", "nc.traditional"),)),
    "ncat": Rung("ncat", ("ncat",)),
}
