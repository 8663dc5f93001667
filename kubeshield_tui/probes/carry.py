"""Probes that are carried to a machine that nothing else reaches, and their results that are carried back.

`script` builds one file of carried.py, the agent and a job; `read_carried` reads what it wrote there, which is foreign
text in every part: checked, capped and printable.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from importlib import resources
from ipaddress import ip_address, ip_network
from statistics import median
from typing import Any, NamedTuple

import msgspec

from kubeshield_tui import __version__
from kubeshield_tui.errors import ProbeError
from kubeshield_tui.model.endpoint import Endpoint, Protocol
from kubeshield_tui.model.ids import VantageId
from kubeshield_tui.model.probe import Probe, Timing, probe_of
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable
from kubeshield_tui.probes import protocol
from kubeshield_tui.probes.nmap import read_report

SCHEMA = "kubeshield/carried/v1"
BATCH = 500
FILE_LIMIT = 256 << 20
"""Bytes of a result file: 100,000 answers with conversations fit."""
CLOCK_SLACK = 60.0
"""Seconds that two clocks may differ before it is said: the Date of an answer has no fractions and may be cached."""
OLD = 86_400.0
Place = tuple[str, int, Protocol]


class CarriedAnswer(NamedTuple):
    """One result. `told` is the agent's own."""

    at: float
    told: dict[str, Any]


class Carried(Record, frozen=True):
    """A result file. All text printable."""

    job: str
    version: str
    started: float
    ended: float
    runner: str
    answers: dict[Place, CarriedAnswer]
    host_name: str = ""
    user: str = ""
    system: str = ""
    addresses: tuple[str, ...] = ()
    tunnels: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    """Networks that it had routes to besides the default."""
    attempts_unknown: bool = False


class _Where(msgspec.Struct):
    host_name: str = ""
    system: str = ""
    python: str = ""
    addresses: list[str] = []
    tunnels: list[str] = []
    routes: list[list[str]] = []


class _Hello(msgspec.Struct):
    python: str = ""
    user: str = ""
    addresses: list[str] = []


class _Entry(msgspec.Struct):
    host: str
    port: int
    protocol: Protocol
    at: float
    told: dict[str, Any]


class _File(msgspec.Struct):
    schema: str
    job: str
    started: float
    ended: float
    results: list[_Entry]
    version: str = ""
    where: _Where = msgspec.field(default_factory=_Where)
    hello: _Hello = msgspec.field(default_factory=_Hello)


def script(endpoints: Sequence[Endpoint], timing: Timing) -> str:
    """Build the file to carry."""
    job, agent = _job(endpoints, timing), protocol.agent_line().decode("ascii").strip()
    text = resources.files("kubeshield_tui.probes").joinpath("carried.py").read_text("utf-8")
    for name, value in (("AGENT", agent), ("JOB", job)):
        text = text.replace(f'\n{name} = ""\n', f'\n{name} = "{value}"\n', 1)
    return text


def _job(endpoints: Sequence[Endpoint], timing: Timing) -> str:
    shapes: dict[tuple[object, ...], list[tuple[str, Probe]]] = {}
    for number, endpoint in enumerate(endpoints):
        probe = probe_of(endpoint, VantageId("script"), timing)
        shapes.setdefault(protocol.shape(probe), []).append((str(number), probe))
    lines = [
        {
            "op": "probe",
            "common": protocol.common_of(alike[0][1]),
            "targets": [[key, probe.host, probe.port, probe.protocol] for key, probe in alike[begin : begin + BATCH]],
        }
        for alike in shapes.values()
        for begin in range(0, len(alike), BATCH)
    ]
    told = json.dumps({"version": __version__, "lines": lines}, separators=(",", ":"))
    return base64.b64encode(zlib.compress(told.encode(), 9)).decode("ascii")


def job_hash(endpoints: Sequence[Endpoint], timing: Timing) -> str:
    """What a result of this job says it belongs to."""
    return hashlib.sha256(_job(endpoints, timing).encode("ascii")).hexdigest()


def read_carried(data: bytes) -> Carried:
    """Read a result file. Raises ProbeError saying what was expected."""
    if len(data) > FILE_LIMIT:
        raise ProbeError(
            f"larger than {FILE_LIMIT >> 20} MiB", "A result file of `kubeshield vantage script` was expected"
        )
    try:
        told = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProbeError(
            f"not a result file of `kubeshield vantage script` ({printable(str(error), 160)})",
            "Was it copied whole?",
        ) from error
    if told.schema != SCHEMA:
        raise ProbeError(f"written in the form {printable(told.schema, 60)!r}, not {SCHEMA!r}", "Use the same release")
    answers = {
        (entry.host.lower(), entry.port, entry.protocol): CarriedAnswer(_time(entry.at), entry.told)
        for entry in told.results
    }
    return Carried(
        job=printable(told.job, 64),
        version=printable(told.version, 20),
        started=_time(told.started),
        ended=_time(told.ended),
        runner=f"script, python {printable(told.hello.python or told.where.python, 12)}",
        host_name=printable(told.where.host_name, 64),
        user=printable(told.hello.user, 64),
        system=printable(told.where.system, 120),
        addresses=_texts([*told.hello.addresses, *told.where.addresses]),
        tunnels=_texts(told.where.tunnels),
        networks=_networks(told.where.routes),
        answers=answers,
    )


def read_nmap(data: bytes) -> Carried:
    """Read an nmap report as the answers of a vantage. Raises ProbeError."""
    report = read_report(data)
    if not report.ports:
        raise ProbeError("no port in this nmap report", "Were the hosts up? Add -Pn")
    answers = {}
    for found in report.ports:
        told = {
            "op": "result", "id": "0", "state": found.state, "reason": found.reason, "detail": found.detail,
            "attempts": [[found.state, found.reason, 0.0]] * (1 if report.single_attempt else 2), "steps": [],
        }  # fmt: skip
        answers[found.host, found.port, found.protocol] = CarriedAnswer(found.at, told)
    times = [answer.at for answer in answers.values()]
    return Carried(
        job="",
        version=report.version,
        started=report.started,
        ended=max(times),
        runner=f"nmap {report.version}, a report",
        answers=answers,
        attempts_unknown=True,
    )


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(printable(value, 64) for value in list(values)[:200]))


def _time(value: float) -> float:
    return value if 0 <= value < 1e11 else 0.0


def _networks(routes: list[list[str]]) -> tuple[str, ...]:
    found = []
    for route in routes[:200]:
        try:
            network = ip_network(f"{route[0]}/{route[1]}")
        except (ValueError, IndexError):
            continue
        if network.prefixlen:
            found.append(str(network))
    return tuple(dict.fromkeys(found))


def warnings_of(carried: Carried, now: float, expected_job: str = "") -> tuple[str, ...]:
    """What makes the results less than they seem, in sentences."""
    said = []
    if carried.tunnels:
        said.append(f"a tunnel was up there ({', '.join(carried.tunnels)}): some answers may have come through it")
    inside = [
        host
        for host in dict.fromkeys(host for host, _, _ in carried.answers)
        if _is_private(host) and any(_is_in(host, network) for network in carried.networks)
    ]
    if inside:
        said.append(f"it had its own route to {', '.join(inside[:5])}: that is inside, not outside")
    own = [host for host, _, _ in carried.answers if host in carried.addresses]
    if own:
        said.append(f"it ran on a target itself ({', '.join(sorted(set(own))[:5])})")
    offset = clock_offset(carried)
    if offset is not None and abs(offset) > CLOCK_SLACK:
        said.append(
            f"its clock was {abs(offset):.0f} s {'ahead' if offset > 0 else 'behind'} of the servers that it asked"
        )
    if carried.ended and now - carried.ended > OLD:
        said.append(f"it is {(now - carried.ended) / 86_400:.1f} days old")
    if carried.ended > now + CLOCK_SLACK:
        said.append("it is from the future: one of the two clocks is wrong")
    if expected_job and carried.job != expected_job:
        said.append("it was made for other targets or another timing than these")
    return tuple(said)


def clock_offset(carried: Carried) -> float | None:
    """Seconds that the clock there was ahead of the servers' own, from the Date of their answers; None if none told."""
    found = []
    for answer in carried.answers.values():
        for name, value in _headers(answer.told.get("http")):
            if name.lower() == "date":
                try:
                    date = parsedate_to_datetime(value)
                except (ValueError, TypeError):
                    continue
                found.append(answer.at - date.replace(tzinfo=date.tzinfo or UTC).timestamp())
    return median(found) if found else None


def _headers(told: object) -> Iterator[tuple[str, str]]:
    """Headers of exchanges, as far as they are any."""
    for exchange in told if isinstance(told, list) else ():
        headers = exchange.get("headers") if isinstance(exchange, dict) else None
        for pair in headers if isinstance(headers, list) else ():
            if isinstance(pair, list) and len(pair) == 2:
                yield str(pair[0]), str(pair[1])


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def _is_in(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network)
    except (ValueError, TypeError):
        return False
