"""Targets that the user names: one HOST:PORT a line.

203.0.113.10:6443   expect=blocked     # a comment
[2001:db8::1]:443/tcp
db.example.org:8000-8010
10.0.0.5:9443   component=kube-scheduler   # asked and read as the catalogue says
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from msgspec.structs import replace

from kubeshield_tui.discovery import catalogue
from kubeshield_tui.discovery.catalogue import Catalogue, Row, Where
from kubeshield_tui.discovery.hosts import address_of, host_of, reach_of
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.endpoint import Conversation, Endpoint, Protocol, Scope
from kubeshield_tui.model.ids import endpoint_id
from kubeshield_tui.model.text import printable
from kubeshield_tui.probes.datagrams import datagram_of

TARGETS_LIMIT = 100_000
LINE_LIMIT = 4_096
FORM = "Expected HOST:PORT[/tcp|/udp], [IPv6]:PORT or HOST:FROM-TO, then expect=blocked|reachable, component=NAME"
_LINE = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):(?P<first>\d{1,5})(-(?P<last>\d{1,5}))?(/(?P<protocol>\w+))?"
    r"(?P<words>(\s+(expect|component)=\S+)*)"
)


def read_targets(path: Path, known: Catalogue | None = None) -> tuple[Endpoint, ...]:
    """Read a targets file. Raises SettingsError naming file and line. `known` defaults to the built-in catalogue."""
    found: dict[str, Endpoint] = {}
    for number, line in _lines(path):
        for endpoint in parse_line(line, f"{path.name}:{number}", f"{path}:{number}", known):
            found[endpoint.id] = endpoint
            if len(found) > TARGETS_LIMIT:
                raise SettingsError(f"{path}:{number}: more than {TARGETS_LIMIT:,} targets", "Split the file")
    if not found:
        raise SettingsError(f"{path}: no target in it", FORM)
    return tuple(found.values())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, one at a time: a file of a hundred million lines is refused at its first too many."""
    try:
        with path.open(encoding="utf-8") as file:
            number = 0
            while line := file.readline(LINE_LIMIT):
                number += 1
                if len(line) == LINE_LIMIT:
                    raise SettingsError(f"{path}:{number}: a line of more than {LINE_LIMIT:,} characters", FORM)
                yield number, line
    except OSError as error:
        raise SettingsError(f"--targets {path}: {error.strerror}", "Check the path") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"--targets {path}: not a text file ({error.reason})", FORM) from error


def parse_line(line: str, source: str, where: str, known: Catalogue | None = None) -> Iterator[Endpoint]:
    """Read one line. Raises SettingsError."""
    content = line.partition("#")[0].strip()
    if not content:
        return
    shown = printable(content, 80)
    match = _LINE.fullmatch(content)
    if match is None and "%" in content:
        raise SettingsError(
            f"{where}: {shown!r}: a scope id names another interface on every vantage", "Use a global address"
        )
    if match is None:
        raise SettingsError(f"{where}: {shown!r} is not a target", FORM)
    host = _host(match["host"], where)
    protocol = match["protocol"] or "tcp"
    words = dict(word.split("=", 1) for word in match["words"].split())
    expect = words.get("expect", "")
    if protocol not in set(Protocol):
        raise SettingsError(f"{where}: {shown!r}: {protocol!r} is not a protocol", FORM)
    if expect not in {"", "blocked", "reachable"}:
        raise SettingsError(f"{where}: expect={printable(expect, 40)}", "Expected expect=blocked or expect=reachable")
    known = known or catalogue.builtin()
    row = _row(words.get("component", ""), Protocol(protocol), known, where)
    first = int(match["first"])
    last = int(match["last"] or first)
    if not 1 <= first <= last <= 65535:
        raise SettingsError(f"{where}: {shown!r}: ports are 1 to 65535, the first not above the last", FORM)
    if last - first >= TARGETS_LIMIT:
        raise SettingsError(f"{where}: more than {TARGETS_LIMIT:,} targets", "Split the file")
    for port in range(first, last + 1):
        endpoint = target_of(host, port, Protocol(protocol), source=source, known=known, expect=expect)
        yield endpoint if row is None else _as_row(endpoint, row)


def _row(component: str, protocol: Protocol, known: Catalogue, where: str) -> Row | None:
    """The row that a line names. Raises SettingsError."""
    if not component:
        return None
    row = known.row(component)
    if row is None:
        near = get_close_matches(component, [row.component for row in known.rows], 1)
        hint = f"Did you mean {near[0]!r}?" if near else "docs/reference/catalogue.md lists all components"
        raise SettingsError(f"{where}: component={printable(component, 40)} is not in the catalogue", hint)
    if row.protocol is not protocol:
        raise SettingsError(f"{where}: {component} speaks {row.protocol}", f"Write HOST:PORT/{row.protocol}")
    return row


def _as_row(endpoint: Endpoint, row: Row) -> Endpoint:
    """A target that is asked as a component. Several components can be asked for at one address."""
    return replace(
        endpoint,
        id=endpoint_id("", "", row.component, endpoint.port, endpoint.protocol, endpoint.host),
        component=row.component,
        name=row.component,
        group=row.group or catalogue.TARGETS_GROUP,
        scope=Scope.NODE if row.where is Where.METADATA else endpoint.scope,
        conversation=row.conversation,
    )


def _host(text: str, where: str) -> str:
    host = host_of(text.strip("[]"))
    if not host or (text.startswith("[") and address_of(host) is None):
        raise SettingsError(f"{where}: {printable(text, 80)!r} is no IP address and no host name (RFC 1123)", FORM)
    return host


def target_of(host: str, port: int, protocol: Protocol, *, source: str, known: Catalogue, expect: str = "") -> Endpoint:
    """A place that the user named, asked as what its address and port are known for."""
    udp = protocol is Protocol.UDP
    component = catalogue.TARGET if udp else known.component_of_target(host, port)
    return Endpoint(
        id=endpoint_id("", "", "", port, protocol, host),
        component=component,
        name=component,
        host=host,
        port=port,
        protocol=protocol,
        group=catalogue.TARGETS_GROUP,
        scope=reach_of(host),
        conversation=Conversation(datagram=datagram_of(port)) if udp else known.conversation_of(component, port),
        source=source,
        declared=expect,
        named=True,
    )
