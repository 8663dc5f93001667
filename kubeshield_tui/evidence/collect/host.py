"""All that decides on packets at one host, read in one exec: rulesets of every kind, sets, routes, settings, listeners.

All are needed: nft's JSON leaves out the options of iptables' matches, iptables-save misprints native nft rules, and
neither shows the legacy backend. What can't be read is no evidence: its layer stays unknown, it is never an `accept`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from kubeshield_tui.errors import VantageError
from kubeshield_tui.evidence.collect.script import COMMANDS, Piece, script, shown, take_apart
from kubeshield_tui.model.evidence import Source, SourceStatus
from kubeshield_tui.model.ids import VantageId
from kubeshield_tui.model.text import printable
from kubeshield_tui.vantages.ssh_channel import CommandResult

SIZE_LIMIT = 16 << 20
"""Bytes kept of a host's whole answer: a dump of 50,000 rules in two views fits."""
COLLECT_SECONDS = 30.0
WORDS_LIMIT = 400
COMMAND_NOT_FOUND = 127
NEVER_EMPTY = frozenset({"nft", "addresses", "rules", "routes", "links", "sysctls", "backends"})
"""Items that always say something: nothing is a failure there, and elsewhere it is an answer."""

_DENIED = re.compile(r"operation not permitted|permission denied|must be root|you need to be root", re.IGNORECASE)
_SUDO_REFUSED = re.compile(r"^(sudo|doas): |is not in the sudoers|a password is required|may not run", re.IGNORECASE)
_MISSING = re.compile(r"(command )?not found|no such file or directory|not supported", re.IGNORECASE)


class RunCommand(Protocol):
    """Runs one command on a host. Raises VantageError."""

    async def __call__(self, argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        """Run `argv`; keep at most `limit` bytes of each stream."""
        ...


async def collect_host(
    vantage: VantageId, host: str, run: RunCommand, commands: Mapping[str, str] = COMMANDS
) -> tuple[Source, ...]:
    """Read a host. Never raises for what it says or refuses: each item has a status."""
    begun = time.time()
    try:
        result = await run(("sh", "-c", script(commands)), timeout=COLLECT_SECONDS, limit=SIZE_LIMIT)
    except VantageError as error:
        pieces: dict[str, Piece] = {}
        nothing = printable(error, WORDS_LIMIT)
    else:
        pieces, nothing = await asyncio.to_thread(_pieces, result)
    return await asyncio.to_thread(
        lambda: tuple(
            _source(vantage, host, item, command, pieces.get(item), nothing, begun)
            for item, command in commands.items()
        )
    )


def _pieces(result: CommandResult) -> tuple[dict[str, Piece], str]:
    told = take_apart(result.stdout.decode("utf-8", "replace"), result.stderr.decode("utf-8", "replace"))
    said = " ".join(result.stderr.decode("utf-8", "replace").split())
    why = f"only the first {SIZE_LIMIT >> 20} MB were read" if result.truncated else "no answer to it"
    return told, printable(why if told or not said else said, WORDS_LIMIT)


def _source(
    vantage: VantageId, host: str, item: str, command: str, piece: Piece | None, nothing: str, at: float
) -> Source:
    command = shown(command)
    if piece is None:
        status, text, words = SourceStatus.ERROR, "", nothing
    else:
        status, words = _status(item, piece), _words(piece)
        text = _readable(piece.text) if status is SourceStatus.OK else ""
        command = f"sudo -n {command}" if piece.with_sudo and status is SourceStatus.OK else command
    return Source(vantage=vantage, host=host, item=item, tool=command, status=status, text=text, detail=words, at=at)


def _status(item: str, piece: Piece) -> SourceStatus:
    if piece.exit_status is None:
        return SourceStatus.ERROR
    if piece.exit_status == 0:
        return SourceStatus.ERROR if item in NEVER_EMPTY and not piece.text.strip() else SourceStatus.OK
    said = piece.complaint or piece.text[:WORDS_LIMIT]
    if _SUDO_REFUSED.search(said) or _DENIED.search(said):
        return SourceStatus.DENIED
    if piece.exit_status == COMMAND_NOT_FOUND or _MISSING.search(said):
        return SourceStatus.MISSING_TOOL
    return SourceStatus.ERROR


def _words(piece: Piece) -> str:
    said = printable(" ".join(piece.complaint.split()), WORDS_LIMIT)
    if piece.exit_status is None:
        return f"cut off{f': {said}' if said else ''}"
    if piece.exit_status == 0:
        return said if piece.text.strip() else said or "it printed nothing: there are none"
    return said or f"exit status {piece.exit_status}"


def _readable(text: str) -> str:
    """Return the dump as printable lines; JSON with one object a line, still the same JSON."""
    if text.lstrip().startswith(("{", "[")):
        text = _one_object_a_line(text)
    # Line by line: most are printable as they are, and then cost nothing.
    return "\n".join(printable(line, SIZE_LIMIT, lines=True) for line in text.rstrip("\n").split("\n"))


def _one_object_a_line(text: str) -> str:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(told, list) and told:
        return "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in told) + "\n]"
    if not isinstance(told, dict) or list(told) != ["nftables"] or not isinstance(told["nftables"], list):
        return text
    lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in told["nftables"])
    return f'{{"nftables": [\n{lines}\n]}}'
