"""Who listens on a host, as `ss -Hlntup` prints it. Pure; lines that are not understood are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kubeshield_tui.evidence.netfilter.words import address, address_text
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable

_LOCAL = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)|(?P<any>\*))(?:%(?P<device>[^:\s]+))?:(?P<port>\d+)"
)
_PROCESS = re.compile(r'\(\("([^"]*)"')


class Listener(Record, frozen=True):
    """A socket that takes connections or datagrams."""

    protocol: str
    """tcp or udp."""
    address: str
    """Empty: every address of its families."""
    port: int
    families: tuple[str, ...] = ("ip", "ip6")
    device: str = ""
    """Only what comes by it, where it is bound to one."""
    process: str = ""
    """Empty where it may not be known: it needs root."""

    @property
    def is_loopback(self) -> bool:
        """Whether only the host itself can reach it."""
        return self.address.startswith("127.") or self.address == "::1" or self.device == "lo"

    @property
    def text(self) -> str:
        """`kubelet on 172.30.0.1:10250/tcp`."""
        host = f"[{self.address}]" if ":" in self.address else self.address or "*"
        return f"{self.process or 'a process'} on {host}:{self.port}/{self.protocol}"


def parse_listeners(text: str) -> tuple[Listener, ...]:
    """Read the sockets; never raises."""
    return tuple(found for line in text.splitlines() if (found := _listener(line)))


def _listener(line: str) -> Listener | None:
    words = line.split()
    if len(words) < 6 or words[0] not in {"tcp", "udp"} or not (found := _LOCAL.fullmatch(words[4])):
        return None
    families = ("ip", "ip6") if found["any"] else ("ip6",) if found["six"] else ("ip",)
    told = found["six"] or found["four"] or ""
    number = address(told) if told else 0
    if number is None:
        return None
    process = _PROCESS.search(line)
    return Listener(
        protocol=words[0],
        address=address_text(number, families[0]) if number else "",
        port=int(found["port"]),
        families=families,
        device=printable(found["device"] or "", 60),
        process=printable(process[1], 60) if process else "",
    )


def listening(listeners: Iterable[Listener], family: str, protocol: str, target: str, port: int) -> Sequence[Listener]:
    """Those that take what is sent to an address and port of the host; an empty target means any of its addresses."""
    return [
        each
        for each in listeners
        if (each.protocol, each.port) == (protocol, port)
        and family in each.families
        and (each.address == target or not each.address or not (target or each.is_loopback))
    ]
