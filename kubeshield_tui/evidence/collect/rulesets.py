"""A host's packet filter as its own tools print it: nftables and both iptables families, read-only.

All are needed: nft's JSON leaves out the options of iptables' matches, iptables-save misprints native nft rules. What
can't be read, and a tool that prints nothing, is no evidence: its layer stays unknown, it is never an `accept`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from typing import Protocol

from kubeshield_tui.errors import VantageError
from kubeshield_tui.model.evidence import Ruleset, SourceStatus
from kubeshield_tui.model.ids import VantageId
from kubeshield_tui.model.text import printable
from kubeshield_tui.vantages.ssh_channel import CommandResult

TOOLS: tuple[tuple[str, ...], ...] = (
    ("nft", "-j", "list", "ruleset"),
    ("iptables-save", "-c"),
    ("ip6tables-save", "-c"),
)
SYSTEM_FOLDER = "/usr/sbin/"
"""Where these tools are; not in the PATH of an ordinary user on some systems."""
SIZE_LIMIT = 4 << 20
"""Bytes kept of one dump."""
COMMAND_SECONDS = 20.0
WORDS_LIMIT = 400
COMMAND_NOT_FOUND = 127

_DENIED = re.compile(r"operation not permitted|permission denied|must be root|you need to be root", re.IGNORECASE)
_SUDO_REFUSED = re.compile(r"^(sudo|doas): |is not in the sudoers|a password is required|may not run", re.IGNORECASE)
_MISSING = re.compile(r"(command )?not found|no such file or directory", re.IGNORECASE)


class RunCommand(Protocol):
    """Runs one command on a host. Raises VantageError."""

    async def __call__(self, argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        """Run `argv`; keep at most `limit` bytes of each stream."""
        ...


async def collect_rulesets(vantage: VantageId, host: str, run: RunCommand) -> tuple[Ruleset, ...]:
    """Read all rulesets of a host, one after the other. Never raises for what the host says or refuses."""
    return tuple([await _collect(vantage, host, tool, run) for tool in TOOLS])


async def _collect(vantage: VantageId, host: str, tool: tuple[str, ...], run: RunCommand) -> Ruleset:
    try:
        argv, status, result, words = await _read(tool, run)
    except VantageError as error:
        argv, status, result, words = tool, SourceStatus.ERROR, None, printable(error, WORDS_LIMIT)
    text = ""
    if status is SourceStatus.OK and result is not None:
        text = await asyncio.to_thread(_readable, result)
        if result.truncated:
            words = f"only the first {SIZE_LIMIT >> 20} MB were read{f'; {words}' if words else ''}"
    return Ruleset(
        vantage=vantage, host=host, tool=" ".join(argv), status=status, text=text, detail=words, at=time.time()
    )


async def _read(
    tool: tuple[str, ...], run: RunCommand
) -> tuple[tuple[str, ...], SourceStatus, CommandResult | None, str]:
    """Try the plain command, its full path where it is not found, and sudo only where it was denied."""
    argv = tool
    result = await _run(argv, run)
    status = _status(result)
    if status is SourceStatus.MISSING_TOOL:
        in_folder = (SYSTEM_FOLDER + tool[0], *tool[1:])
        again = await _run(in_folder, run)
        if _status(again) is not SourceStatus.MISSING_TOOL:
            argv, result, status = in_folder, again, _status(again)
    words = _words(result, status)
    if status is SourceStatus.DENIED:
        with_sudo = ("sudo", "-n", *argv)
        again = await _run(with_sudo, run)
        if _status(again) is SourceStatus.OK:
            return with_sudo, SourceStatus.OK, again, _words(again, SourceStatus.OK)
        words = f"{words}; with sudo -n: {_words(again, _status(again))}"
    return argv, status, result, words


async def _run(argv: tuple[str, ...], run: RunCommand) -> CommandResult:
    return await run(argv, timeout=COMMAND_SECONDS, limit=SIZE_LIMIT)


def _status(result: CommandResult) -> SourceStatus:
    said = result.stderr.decode("utf-8", "replace") or result.stdout[:WORDS_LIMIT].decode("utf-8", "replace")
    if result.truncated or (result.exit_status == 0 and result.stdout.strip()):
        return SourceStatus.OK if result.stdout.strip() else SourceStatus.ERROR
    if result.exit_status == 0:
        return SourceStatus.ERROR  # it printed nothing: no rules, or rules that this tool does not see
    if _SUDO_REFUSED.search(said) and "command not found" not in said.replace("sudo: command not found", ""):
        return SourceStatus.DENIED
    if _DENIED.search(said):
        return SourceStatus.DENIED
    if result.exit_status == COMMAND_NOT_FOUND or _MISSING.search(said):
        return SourceStatus.MISSING_TOOL
    return SourceStatus.ERROR


def _words(result: CommandResult, status: SourceStatus) -> str:
    said = " ".join(
        printable(line, WORDS_LIMIT) for line in result.stderr.decode("utf-8", "replace").split("\n") if line
    )
    said = said[:WORDS_LIMIT].strip()
    if status is SourceStatus.OK:
        return said
    if result.exit_status == 0 and not result.stdout.strip():
        nothing = "it printed nothing: no rules, or none that this tool sees; counts as unknown"
        return f"{nothing}; {said}" if said else nothing
    return said or f"exit status {result.exit_status}"


def _readable(result: CommandResult) -> str:
    """Return the dump as printable lines; nft's JSON with one object a line, still the same JSON."""
    text = result.stdout.decode("utf-8", "replace")
    if text.lstrip().startswith("{") and not result.truncated:
        text = _one_object_a_line(text)
    # Line by line: most are printable as they are, and then cost nothing.
    return "\n".join(printable(line, SIZE_LIMIT, lines=True) for line in text.rstrip("\n").split("\n"))


def _one_object_a_line(text: str) -> str:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(told, dict) or list(told) != ["nftables"] or not isinstance(told["nftables"], list):
        return text
    lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in told["nftables"])
    return f'{{"nftables": [\n{lines}\n]}}'
