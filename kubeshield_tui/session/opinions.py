"""Second looks on request: nmap's opinion of a cell, and the whole conversation with an endpoint."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Protocol as Interface
from typing import runtime_checkable

from kubeshield_tui.errors import KubeShieldError, ProbeError
from kubeshield_tui.model.endpoint import Endpoint, Protocol
from kubeshield_tui.model.event import Event, Inspected, OpinionHeard
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.opinion import Inspection, SecondOpinion
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import Vantage, VantageKind
from kubeshield_tui.probes.inspect import Stream, inspect, wants_tls
from kubeshield_tui.probes.nmap import NmapPort, NmapReport, read_report, scan_arguments, scan_here
from kubeshield_tui.session.store import Store
from kubeshield_tui.vantages.ssh_channel import CommandResult
from kubeshield_tui.vantages.vantage import VantagePoint

Place = tuple[VantageId, str, Protocol]
"""Vantage, host and protocol of one run."""
RUN_SECONDS = 60.0
"""For one run of nmap over the ports of one host."""
OUTPUT_LIMIT = 8 << 20
HOSTS_AT_ONCE = 4
CONNECT_SECONDS = 5.0
READ_SIZE = 65_536
BLURRED = {
    Reason.PORT_UNREACH: (State.CLOSED, Reason.CONN_REFUSED),
    Reason.ADMIN_PROHIBITED: (State.FILTERED, Reason.HOST_UNREACH),
    Reason.HOST_PROHIBITED: (State.FILTERED, Reason.HOST_UNREACH),
    Reason.NET_PROHIBITED: (State.FILTERED, Reason.NET_UNREACH),
}
"""What `nmap -sT` makes of rejects whose ICMP code it can't see."""


@runtime_checkable
class RunsPrograms(Interface):
    """A vantage that can run a program."""

    async def run(self, argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        """Run a program to its end. Raises VantageError."""
        ...


@runtime_checkable
class OpensStreams(Interface):
    """A vantage that can open a stream to a target."""

    async def open_stream(self, host: str, port: int) -> Stream:
        """Connect from there. Raises VantageError or OSError."""
        ...


async def hear_opinions(
    store: Store, points: Mapping[VantageId, VantagePoint], keys: Iterable[CellKey], emit: Callable[[Event], None]
) -> None:
    """Ask nmap of cells, one run a vantage, host and protocol. What can't be asked is an opinion that says why."""
    runs: dict[Place, list[CellKey]] = {}
    for key in keys:
        endpoint, vantage = store.endpoints.get(key.endpoint), store.vantages.get(key.vantage)
        if endpoint is None or vantage is None:
            continue
        why = _why_not(store, endpoint, vantage)
        if why:
            emit(OpinionHeard(at=time.time(), opinion=_none(key, why)))
        else:
            runs.setdefault((key.vantage, endpoint.host, endpoint.protocol), []).append(key)
    places = asyncio.Semaphore(HOSTS_AT_ONCE)

    async def one(place: Place, cells: list[CellKey]) -> None:
        async with places:
            vantage, host, protocol = place
            opinions = await _run(store, points.get(vantage), host, protocol, cells)
            for opinion in opinions:
                emit(OpinionHeard(at=time.time(), opinion=opinion))

    await asyncio.gather(*(one(place, cells) for place, cells in runs.items()))


def _why_not(store: Store, endpoint: Endpoint, vantage: Vantage) -> str:
    if store.simulated:
        return "the training range is simulated: nmap would meet nobody at this address"
    if vantage.spec.kind not in {VantageKind.LOCAL, VantageKind.SSH, VantageKind.POD, VantageKind.NODE}:
        return f"nmap can't be run at a vantage of kind {vantage.spec.kind}"
    try:
        ip_address(endpoint.host)
    except ValueError:
        return "nmap is asked for addresses; this target is a name, and may have another address there"
    return ""


async def _run(
    store: Store, point: VantagePoint | None, host: str, protocol: Protocol, cells: list[CellKey]
) -> list[SecondOpinion]:
    vantage = store.vantages[cells[0].vantage]
    ports = {store.endpoints[key.endpoint].port: key for key in cells if key.endpoint in store.endpoints}
    local = vantage.spec.kind is VantageKind.LOCAL
    user = "" if vantage.facts is None else vantage.facts.user
    raw = os.geteuid() == 0 if local else user == "root"
    where = "this machine" if local else vantage.spec.text
    try:
        if protocol is Protocol.UDP and not raw:
            raise ProbeError("nmap asks UDP with raw sockets, which need root there")
        arguments = scan_arguments([host], ports, protocol=protocol, timeout=1.5, attempts=2, raw=raw)
        report = await _report(point, local, arguments)
    except KubeShieldError as error:
        return [_none(key, str(error)) for key in cells]
    said = {found.port: found for found in report.ports if found.protocol is protocol}
    by = f"nmap {report.version} {arguments[0]} on {where}"
    return [_opinion(key, said.get(port), by, arguments[0], store.cell(key).observation) for port, key in ports.items()]


async def _report(point: VantagePoint | None, local: bool, arguments: list[str]) -> NmapReport:
    if local:
        return await asyncio.to_thread(scan_here, arguments, timeout=RUN_SECONDS)
    if not isinstance(point, RunsPrograms):
        raise ProbeError("nothing can be run at this vantage")
    done = await point.run(["nmap", *arguments], timeout=RUN_SECONDS, limit=OUTPUT_LIMIT)
    # A shell ends with 127; the kubelet's runtime says it in words, which the server may cut.
    missing = b"not found" in done.stderr or b"executable file" in done.stderr
    if done.exit_status == 127 or (not done.stdout and missing):
        raise ProbeError("nmap is not installed there", "Install it there, or ask from this machine")
    if not done.stdout:
        raise ProbeError(f"nmap there says: {printable(done.stderr, 200)}")
    return read_report(done.stdout)


def _opinion(key: CellKey, said: NmapPort | None, by: str, kind: str, ours: Observation | None) -> SecondOpinion:
    if said is None:
        return _none(key, f"{by}: it says nothing of this port")
    sentence, differs = agreement(ours, said.state, said.reason, kind)
    return SecondOpinion(
        endpoint=key.endpoint,
        vantage=key.vantage,
        at=time.time(),
        by=by,
        state=said.state,
        reason=said.reason,
        agreement=sentence,
        differs=differs,
    )


def _none(key: CellKey, why: str) -> SecondOpinion:
    return SecondOpinion(
        endpoint=key.endpoint,
        vantage=key.vantage,
        at=time.time(),
        by="nmap",
        state=State.UNTESTED,
        reason=Reason.OUT_OF_SCOPE,
        agreement="",
        error=printable(why, 300),
    )


def agreement(ours: Observation | None, state: State, reason: Reason, kind: str) -> tuple[str, bool]:
    """Compare nmap's answer with ours: a sentence, and whether they differ."""
    if ours is None or not ours.is_answer:
        return "there is no answer of ours to compare it with", False
    told = f"ours is {ours.state} ({ours.reason})"
    if (ours.state, ours.reason) == (state, reason):
        return "agrees", False
    if kind == "-sT" and BLURRED.get(ours.reason) == (state, reason):
        return f"agrees as far as -sT can tell, which sees no ICMP: {told}", False
    if ours.state is state:
        return f"agrees on the state; {told}", False
    return f"DIFFERS: {told}", True


# --- inspect


class _LocalStream:
    """A connection of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return the next piece. Raises OSError."""
        return await self._reader.read(READ_SIZE)

    async def write(self, data: bytes) -> None:
        """Send. Raises OSError."""
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        """Close at once."""
        self._writer.transport.abort()


async def inspect_cell(store: Store, point: VantagePoint | None, key: CellKey) -> Inspection | None:
    """Hold the whole safe conversation with a cell's endpoint; None where cell or endpoint is gone."""
    endpoint, vantage = store.endpoints.get(key.endpoint), store.vantages.get(key.vantage)
    if endpoint is None or vantage is None:
        return None
    local = vantage.spec.kind is VantageKind.LOCAL
    why = ""
    if store.simulated:
        why = "the training range is simulated: nobody is at this address"
    elif endpoint.protocol is not Protocol.TCP:
        why = "there is no conversation over UDP"
    elif not local and not isinstance(point, OpensStreams):
        why = "only this machine and SSH vantages can carry it"
    if why:
        return Inspection(endpoint=key.endpoint, vantage=key.vantage, at=time.time(), through="", error=why)
    through = "this machine" if local else f"SSH forwarding by {vantage.spec.text}"

    async def opener() -> Stream:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if local:
                    return _LocalStream(*await asyncio.open_connection(endpoint.host, endpoint.port))
                assert isinstance(point, OpensStreams)
                return await point.open_stream(endpoint.host, endpoint.port)
        except TimeoutError as error:
            raise OSError(f"no connection within {CONNECT_SECONDS:g} s") from error
        except KubeShieldError as error:
            raise OSError(error.message) from error

    observation = store.cell(key).observation
    found = await inspect(endpoint, wants_tls(endpoint, observation.tls if observation else None), opener)
    return Inspection(
        endpoint=key.endpoint,
        vantage=key.vantage,
        at=time.time(),
        through=through,
        exchanges=tuple(found.exchanges),
        tls=found.tls,
        trust=found.trust,
        error=found.error,
        seconds=found.seconds,
    )


async def inspect_into(
    store: Store, points: Mapping[VantageId, VantagePoint], key: CellKey, emit: Callable[[Event], None]
) -> None:
    """Inspect a cell and tell it."""
    inspection = await inspect_cell(store, points.get(key.vantage), key)
    if inspection is not None:
        emit(Inspected(at=time.time(), inspection=inspection))
