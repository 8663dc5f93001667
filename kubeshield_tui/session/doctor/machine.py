"""What this machine brings: Python, limits, IPv6, the terminal, other programs. Nothing is sent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import re
import resource
import shutil
import socket
import sys
from collections.abc import Mapping

from kubeshield_tui.session.doctor.check import Check, Health

TOOL_SECONDS = 5.0
FILES_WANTED = 10_240
"""Open files that 10,000 probes at once need."""
SMALLEST = (80, 24)
"""Columns and lines that every screen fits."""
_DOCUMENTATION = "2001:db8::1"
"""An address that nobody has (RFC 3849): only the route to it is looked up."""
_VERSION = re.compile(r"\d+(?:\.\d+)+(?:p\d+)?")
TOOLS = (
    ("nmap", ("--version",), "second opinions on a cell"),
    ("nft", ("--version",), "commands that verify findings on firewalls"),
    ("ssh", ("-V",), "accepting a host's key by hand"),
    ("kubectl", ("version", "--client"), "commands that verify findings"),
)
"""Name, arguments that make it tell its version, what it is good for. None is needed."""
SYSTEM_FOLDERS = "/usr/sbin:/sbin"
"""Where some of them are, off the PATH of an ordinary user."""


def machine_checks() -> tuple[Check, ...]:
    """Python, open files, IPv6."""
    python = Check(area="machine", said=f"Python {platform.python_version()}")
    return python, _files(*resource.getrlimit(resource.RLIMIT_NOFILE)), _ipv6()


def _files(soft: int, hard: int) -> Check:
    shown = "no limit on open files" if hard == resource.RLIM_INFINITY else f"{max(soft, hard)} open files"
    if hard == resource.RLIM_INFINITY or hard >= FILES_WANTED:
        return Check(area="machine", said=shown)
    return Check(
        area="machine",
        health=Health.LIMITED,
        said=f"{shown}: about {max(hard - 64, 1)} probes at once instead of 10,000",
        hint="Raise the hard limit: `ulimit -Hn`, limits.conf, or the container's nofile",
    )


def _ipv6() -> Check:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((_DOCUMENTATION, 9))  # of a datagram socket: nothing is sent
    except OSError as error:
        said = f"no IPv6 from here ({error.strerror}): IPv6 targets read no-route"
        return Check(area="machine", health=Health.ABSENT, said=said)
    return Check(area="machine", said="IPv6 has a route")


def terminal_check(environment: Mapping[str, str] = os.environ) -> Check:
    """Whether the dashboard can be drawn here, and with what."""
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        said = "standard input or output is none; the dashboard needs one, `audit` does not"
        return Check(area="terminal", health=Health.ABSENT, said=said)
    size = os.get_terminal_size(sys.stdout.fileno())
    name = environment.get("TERM", "")
    encoding = (sys.stdout.encoding or "ascii").upper()
    colour = "24-bit colour" if environment.get("COLORTERM", "") in {"truecolor", "24bit"} else "256 colours or fewer"
    if environment.get("NO_COLOR"):
        colour = "no colour (NO_COLOR): glyphs and words tell"
    said = f"{name or 'TERM is not set'}, {size.columns}x{size.lines}, {colour}, {encoding}"
    hint = ""
    if name in {"", "dumb"}:
        hint = "Set TERM to what the terminal is, or use `audit`"
    elif size.columns < SMALLEST[0] or size.lines < SMALLEST[1]:
        hint = "Make it 80x24 or larger"
    elif "UTF" not in encoding:
        hint = "Use --ascii, or a UTF-8 locale"
    return Check(area="terminal", health=Health.LIMITED if hint else Health.OK, said=said, hint=hint)


async def tool_checks() -> tuple[Check, ...]:
    """Other programs with their versions."""
    return tuple(await asyncio.gather(*(_tool(*tool) for tool in TOOLS)))


async def _tool(name: str, arguments: tuple[str, ...], good_for: str) -> Check:
    path = shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)
    if path is None:
        return Check(area="tools", health=Health.ABSENT, said=f"{name} ({good_for})")
    found = _VERSION.search(await _output(path, *arguments))
    if found is None:
        return Check(area="tools", health=Health.UNKNOWN, said=f"{path} does not tell its version")
    return Check(area="tools", said=f"{name} {found[0]}")


async def _output(*argv: str) -> str:
    """What a program prints, on either stream; empty where it does not end in time."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(TOOL_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        return ""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        transport = getattr(process, "_transport", None)
        if transport is not None:
            transport.close()  # else it complains of its pipes when the loop is gone
    return said.decode("utf-8", "replace")
