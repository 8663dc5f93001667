"""What a row of a catalogue may be: safe, read-only questions that lead to no credential, and readings that hold.

A catalogue file is the user's, and still: a mistake in it must not write anything, bring a credential into a report, or
have a port read as open to anybody because it says its version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Literal, NamedTuple
from urllib.parse import unquote

import msgspec

from kubeshield_tui.discovery.catalogue import Where
from kubeshield_tui.model.endpoint import Fact, Protocol, Reading
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.observation import Posture
from kubeshield_tui.model.record import Record
from kubeshield_tui.probes.datagrams import DATAGRAMS
from kubeshield_tui.probes.posture import STRONGEST_FIRST

MOST_REQUESTS = 2
"""On one connection."""
MOST_PORTS = 4_096
"""Of one row; the range of node ports has 2,768."""
TOKEN_PATH = "/latest/api/token"
"""The one path that may be PUT: it gives a session token, which is neither kept nor used."""
PUBLIC_PATHS = ("/version", "/healthz", "/livez", "/readyz", "/health")
"""Paths that hardened servers serve to anybody: a 200 there says who it is, not that it lets you in."""
POSTURES = tuple(STRONGEST_FIRST)
CREDENTIALS = re.compile(
    r"credential|secret|token|passwor|passwd|identity|service-?accounts?(?=/|$)|user-?data|custom-?data|private-?key|oauth"
)
COMMANDS = re.compile(r"(^|[/?&=])(exec|run|attach|port-?forward|proxy|iam|cri)(?=$|[/?&=])")
PORTS = re.compile(r"(?P<first>\d{1,5})(-(?P<last>\d{1,5}))?")
PATH = re.compile(r"/[\x21-\x7e]{0,199}")
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
STATUS = re.compile(r"[1-5](xx|\d\d)|none|")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,80}")
"""RFC 9110 section 5.6.2."""
HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,200}")
OURS = frozenset({"host", "connection", "content-length", "transfer-encoding", "user-agent", "upgrade", "expect"})
"""Headers that are ours to say."""
BEARERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"})
"""Headers that carry credentials, besides all that have `token` in their names."""
KNOWN_BEARERS = frozenset({("authorization", "Bearer Oracle")})
"""Constants that look like one. Source: Oracle's documentation of instance metadata, version 2."""
LIFETIMES = frozenset({"x-aws-ec2-metadata-token-ttl-seconds", "x-aliyun-ecs-metadata-token-ttl-seconds"})
"""They say how long a token lives."""


class RequestTable(Record, frozen=True):
    """A `[[row.request]]`."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    keep_body: bool = True
    readings: tuple[Reading, ...] = ()
    facts: tuple[Fact, ...] = ()


class RowTable(Record, frozen=True):
    """A `[[row]]`."""

    component: str
    title: str
    where: Where
    ports: tuple[int | str, ...]
    outside: Severity
    inside: Severity
    reference: str
    protocol: Protocol = Protocol.TCP
    tls: bool | Literal["either"] = False
    datagram: str = ""
    request: tuple[RequestTable, ...] = ()
    readings: tuple[Reading, ...] = ()
    group: str = ""
    provider: str = ""
    address: str = ""
    unauthenticated: bool = False
    asked: bool = True


class Problem(NamedTuple):
    """What is wrong with a row."""

    key: str
    what: str
    hint: str


def problem_of(row: RowTable) -> Problem | None:
    """Return the first thing that is wrong, None where all is well."""
    return next(_problems(row), None)


def ports_of(row: RowTable) -> Iterator[int]:
    """Return all ports of a row that was checked."""
    for entry in row.ports:
        first, _, last = str(entry).partition("-")
        yield from range(int(first), int(last or first) + 1)


def _problems(row: RowTable) -> Iterator[Problem]:
    if not NAME.fullmatch(row.component):
        yield Problem("component", "no name", "Small letters, digits, '-' and '.', 63 at most")
    for key, text in (("title", row.title), ("reference", row.reference)):
        if not text.strip():
            yield Problem(key, "it is empty", "Say what it is and where that is written")
    yield from _place_problems(row)
    if row.protocol is Protocol.UDP and (row.tls or row.request or row.readings):
        yield Problem("protocol", "TLS and requests are for tcp", "Name the `datagram` that a udp port is asked in")
    if row.datagram and (row.protocol is not Protocol.UDP or row.datagram not in DATAGRAMS):
        yield Problem("datagram", "not known, or not udp", f'Known are {", ".join(DATAGRAMS)}, with protocol = "udp"')
    if len(row.request) > MOST_REQUESTS:
        yield Problem("request", f"{len(row.request)} requests", "Two at most, on one connection")
    for reading in row.readings:
        if not reading.certificate or reading.status or reading.header or reading.body or reading.posture:
            yield Problem("readings", "a row's own reading is of its certificate", "Put others under [[row.request]]")
    for number, request in enumerate(row.request, 1):
        for key, what, hint in (*_request_problems(request), *_answer_problems(request, row)):
            yield Problem(f"request {number}: {key}", what, hint)


def _place_problems(row: RowTable) -> Iterator[Problem]:
    count = 0
    for entry in row.ports:
        found = PORTS.fullmatch(str(entry))
        first, last = (int(found["first"]), int(found["last"] or found["first"])) if found else (0, 0)
        if not 1 <= first <= last <= 65535:
            yield Problem("ports", f"{str(entry)[:20]!r}", 'Ports are 1 to 65535, ranges "FROM-TO"')
        count += last - first + 1
    if not 1 <= count <= MOST_PORTS:
        yield Problem("ports", f"{count} ports", f"1 to {MOST_PORTS:,} of one row")
    if (row.where is Where.METADATA) is not bool(row.address) or (row.address and not _is_address(row.address)):
        yield Problem("address", f"{row.address[:60]!r}", "Rows of metadata have an IP address, others have none")


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _request_problems(request: RequestTable) -> Iterator[Problem]:
    method, path = request.method, request.path
    if not PATH.fullmatch(path):
        yield Problem("path", f"{path[:60]!r}", "A path begins with / and holds no space, 200 characters at most")
    if method == "PUT":
        if path != TOKEN_PATH or request.keep_body:
            yield Problem("method", f"PUT {path[:60]}", f"PUT is for {TOKEN_PATH} only, with keep_body = false")
    elif method not in {"GET", "HEAD"}:
        yield Problem("method", f"{method[:20]!r}", "GET or HEAD: nothing is changed anywhere")
    elif word := dangerous(path):
        yield Problem("path", f"{path[:60]!r} leads to {word}", "Ask for something that anybody may know")
    for name, value in request.headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value) or name.lower() in OURS:
            yield Problem("headers", f"{name[:60]!r}", "A header's name and a line of ASCII; framing is ours to say")
        elif _is_bearer(name.lower(), value):
            yield Problem("headers", f"{name[:60]!r} carries a credential", "Strangers have none: leave it out")


def dangerous(path: str) -> str:
    """Say what a path leads to that is not asked, in whatever way it is written; empty where it is safe."""
    plain = path
    for _ in range(4):
        plain = unquote(plain)
    plain = re.sub(r"/(\./)*/*", "/", plain.lower())
    if "%" in plain or "/.." in plain:
        return "another path"
    if found := CREDENTIALS.search(plain):
        return f"credentials ({found[0]!r})"
    return f"a command ({found[2]!r})" if (found := COMMANDS.search(plain)) else ""


def _is_bearer(name: str, value: str) -> bool:
    if name in LIFETIMES or (name, value) in KNOWN_BEARERS:
        return False
    return name in BEARERS or "token" in name


def _answer_problems(request: RequestTable, row: RowTable) -> Iterator[Problem]:
    """How the answers to one request read."""
    has_body = request.keep_body and request.method == "GET"
    public = request.path.partition("?")[0] in PUBLIC_PATHS
    for reading in request.readings:
        if not STATUS.fullmatch(reading.status):
            yield Problem("readings: status", f"{reading.status[:20]!r}", "A status (401), a class (2xx), or none")
        if reading.header and not HEADER_NAME.fullmatch(reading.header.partition(":")[0].strip()):
            yield Problem("readings: header", f"{reading.header[:60]!r}", "`Name`, or `Name: fragment of its value`")
        if reading.body and not has_body:
            yield Problem("readings: body", "no body is kept of this answer", "Read its status and headers")
        if reading.certificate:
            yield Problem("readings: certificate", "of the connection, not of an answer", "Put it into the row itself")
        if reading.posture is not None and (reading.posture not in POSTURES or reading.status == "none"):
            yield Problem("readings: posture", f"{reading.posture}", f"One of {', '.join(POSTURES)}; silence has none")
        if reading.posture is Posture.ANONYMOUS:
            if not reading.status.startswith("2"):
                yield Problem("readings: posture", "anonymous", 'Only a success lets anybody in: status = "2xx"')
            if public and not (reading.body or row.unauthenticated):
                yield Problem("readings: posture", "anonymous", f"{request.path} is for anybody: name a `body` too")
    for fact in request.facts:
        places = [bool(fact.header), bool(fact.json), bool(fact.after or fact.before)]
        if not NAME.fullmatch(fact.name) or sum(places) > 1 or (not fact.header and not has_body):
            yield Problem("facts", f"{fact.name[:60]!r}", "A name, and one place: header, json, or after and before")
