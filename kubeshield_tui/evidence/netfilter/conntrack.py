"""What the kernel keeps of connections, as `conntrack -L` or /proc/net/nf_conntrack print it, and what it witnesses.

A packet that a host drops or rejects leaves nothing there: the entry is only kept once the packet got through. So hosts
in a row tell where it died. A reset that answers the first packet takes the entry away again, and a kernel keeps
connections only where a rule asks for them. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import StrEnum

from kubeshield_tui.evidence.netfilter.words import address
from kubeshield_tui.model.record import Record

_PAIR = re.compile(r"\b(src|dst|sport|dport)=(\S+)")
_LINE = re.compile(r"^(?:ipv[46]\s+\d+\s+)?(tcp|udp)\s+\d+\s+\d+\s+(?:([A-Z_0-9]+)\s+)?src=")


class Fate(StrEnum):
    """What a host's table says of a connection."""

    UNREAD = "not-read"
    UNTRACKED = "not-tracked"
    """No rule there needs connections, so the kernel keeps none: no entry says nothing."""
    NOTHING = "no-entry"
    """Dropped or rejected there, never arrived, or refused by a reset."""
    PASSED_ON = "passed-on"
    """Let through, and no answer came by."""
    ANSWERED = "answered"
    """An answer came by; the handshake was not completed, or it was reset."""
    ACCEPTED = "accepted"
    """The handshake was completed, or datagrams went both ways."""


class Tracked(Record, frozen=True):
    """One connection: the first packet's ends, and those that its answer has."""

    protocol: str
    state: str
    """TCP's; empty for UDP."""
    source: str
    source_port: int
    target: str
    port: int
    answer_source: str
    answer_source_port: int
    answer_target: str
    answer_port: int
    unreplied: bool
    assured: bool

    @property
    def translated(self) -> tuple[str, str]:
        """Where destination and source were translated to, as the answer shows it; empty where they were not."""
        to = "" if (self.answer_source, self.answer_source_port) == (self.target, self.port) else _end(
            self.answer_source, self.answer_source_port
        )  # fmt: skip
        by = "" if (self.answer_target, self.answer_port) == (self.source, self.source_port) else _end(
            self.answer_target, self.answer_port
        )  # fmt: skip
        return to, by

    @property
    def fate(self) -> Fate:
        """What it witnesses."""
        if self.unreplied:
            return Fate.PASSED_ON
        if self.assured or (self.protocol == "udp") or self.state in {"ESTABLISHED", "FIN_WAIT", "TIME_WAIT"}:
            return Fate.ACCEPTED
        return Fate.ANSWERED


def parse_conntrack(text: str) -> tuple[Tracked, ...]:
    """Read the lines that are understood; never raises."""
    return tuple(found for line in text.splitlines() if (found := _tracked(line)))


def since(before: Iterable[Tracked], after: Iterable[Tracked], source: str) -> list[Tracked]:
    """Return connections that were not there before; `source` is who opened them, empty where it is not known."""
    known = {_identity(each) for each in before}
    return [each for each in after if _identity(each) not in known and (not source or _same(each.source, source))]


def fate_of(found: Collection[Tracked]) -> Fate:
    """Return the best that became of several tries."""
    order = list(Fate)
    return max((each.fate for each in found), key=order.index, default=Fate.NOTHING)


def _tracked(line: str) -> Tracked | None:
    begin = _LINE.match(line.strip())
    pairs = _PAIR.findall(line)
    if begin is None or [name for name, _ in pairs] != ["src", "dst", "sport", "dport"] * 2:
        return None
    values = [value for _, value in pairs]
    ports = [values[at] for at in (2, 3, 6, 7)]
    if not all(port.isdecimal() for port in ports) or any(address(values[at]) is None for at in (0, 1, 4, 5)):
        return None
    return Tracked(
        protocol=begin[1],
        state=begin[2] or "",
        source=values[0],
        source_port=int(values[2]),
        target=values[1],
        port=int(values[3]),
        answer_source=values[4],
        answer_source_port=int(values[6]),
        answer_target=values[5],
        answer_port=int(values[7]),
        unreplied="[UNREPLIED]" in line,
        assured="[ASSURED]" in line,
    )


def _identity(each: Tracked) -> tuple[str, str, int, str, int]:
    return each.protocol, each.source, each.source_port, each.target, each.port


def _same(one: str, other: str) -> bool:
    return address(one) == address(other)


def _end(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
