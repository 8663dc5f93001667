"""Tools of a simulated host: small programs that print what the scenario says; what it does not name is not found.

They stand before the machine's own in the PATH, so that a shell on the simulated host never shows the real one.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

TOOLS = (
    "nft", "iptables-save", "ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save", "ipset", "ip", "ss",
    "bpftool", "conntrack", "sudo", "tc", "sysctl", "sh",
)  # fmt: skip


def write_tools(folder: Path, printed: Mapping[str, str]) -> Path:
    """Write the programs into a new folder; `printed` tells by command what is on standard output.

    A command that ends in `*` stands for all that begin so.
    """
    folder.mkdir()
    for number, name in enumerate(TOOLS):
        cases: list[str] = []
        for command, text in printed.items():
            words = shlex.split(command)
            if words[0] == name:
                output = folder / f"{number}-{len(cases)}.out"
                output.write_text(text)
                told = " ".join(words[1:])
                pattern = shlex.quote(told.removesuffix("*")) + ("*" if told.endswith("*") else "")
                cases.append(f"  {pattern}) exec /bin/cat {shlex.quote(str(output))} ;;\n")
        body = f'case "$*" in\n{"".join(cases)}  *) echo "{name}: not found" >&2; exit 127 ;;\nesac\n'
        program = folder / name
        program.write_text(f"#!/bin/sh\n{body}")
        program.chmod(0o700)
    return folder
