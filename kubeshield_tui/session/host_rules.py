"""Reads the rules of hosts, watches a probe pass them, and keeps findings about the rules themselves true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import time

from kubeshield_tui.errors import VantageError
from kubeshield_tui.evidence.audit import RuleFinding, audit
from kubeshield_tui.evidence.collect.host import RunCommand, collect_host
from kubeshield_tui.evidence.collect.script import COUNTING, connections
from kubeshield_tui.evidence.netfilter.conntrack import Tracked, parse_conntrack, since
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.evidence.witness import Reading, conclusion, witness_host
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.evidence import HostWitness, Source, Witness
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, FindingId, VantageId, finding_id
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.session.doors import ClusterWait
from kubeshield_tui.session.firewalls import Firewalls, NodeName, Stop, is_on_host
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.vantages.ssh_channel import CommandResult
from kubeshield_tui.vantages.vantage import VantagePoint

CONNTRACK = "conntrack"
MOST_AT_ONCE = 8
"""Hosts that are read at once."""
AGAIN_SECONDS = 600.0
"""How often a host that was read is read again while a session lives: well before a reading is stale."""
SOON_SECONDS = 30.0
"""How soon where rows came meanwhile: rules are written for them."""
BEHIND_SECONDS = 5.0
"""How long rules take until they are written for a row; a first picture that comes this much later is no change."""
Emit = Callable[[happened.Event], None]


class HostRules:
    """What a session does with hosts' rules. All answers are events; nothing is raised for what a host refuses."""

    def __init__(
        self,
        store: Store,
        firewalls: Firewalls,
        points: Mapping[VantageId, VantagePoint],
        clusters: ClusterWait,
        settings: Settings,
        emit: Emit,
    ) -> None:
        self._store = store
        self._firewalls = firewalls
        self._points = points
        self._clusters = clusters
        self._settings = settings
        self._emit = emit
        self._findings: dict[VantageId, dict[FindingId, Finding]] = {}
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._under_way: set[asyncio.Task[None]] = set()

    async def read_all(self, *, with_pods: bool = False) -> None:
        """Read every host that a vantage stands on; `with_pods`: also where a pod has to be made for it.

        Findings wait for `look`: which of them are nodes is known once the clusters were read.
        """
        able = [each for each in self._store.vantages.values() if can_read(each, with_pods=with_pods)]
        await self._hold(self._read_several(able))

    async def read_way(self, key: CellKey, *, with_pods: bool = False) -> None:
        """Read the hosts on a cell's way, then those that only this reading brought to light."""
        done: set[VantageId] = set()
        while new := [each for each in self._readers(key, with_pods=with_pods) if each.id not in done]:
            done.update(each.id for each in new)
            await self._hold(self._read_several(new))
        await self.look(done)

    async def read_due(self) -> None:
        """Read hosts again over SSH whose reading grows too old to decide, or can't know of rows that came since."""
        now, newest = time(), max(self._store.found_at.values(), default=0.0)
        due = [each for each in self._store.vantages.values() if self._is_due(each, now, newest)]
        if due:
            await self._hold(self._read_several(due))
            await self.look([each.id for each in due])

    def _is_due(self, vantage: Vantage, now: float, newest: float) -> bool:
        gathered = self._firewalls.gathered(vantage.id)
        if gathered is None or not can_read(vantage, with_pods=False):
            return False
        if newest - gathered.at <= BEHIND_SECONDS:
            return gathered.age(now) >= AGAIN_SECONDS
        is_quiet = now - newest >= BEHIND_SECONDS
        return gathered.age(now) >= (SOON_SECONDS if is_quiet else 2 * SOON_SECONDS)

    async def witness(self, key: CellKey, probe: Probe, *, with_pods: bool = False) -> None:
        """Send a cell's probe between two readings of the hosts on its way."""
        await self._hold(self._witness(key, probe, with_pods=with_pods))

    async def close(self) -> None:
        """End what is under way; pods that were made for it go."""
        under_way = tuple(self._under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def look(self, vantages: Iterable[VantageId] | None = None) -> None:
        """Raise, change and clear findings about the rules of these hosts, or of all."""
        for vantage in tuple(self._store.vantages if vantages is None else vantages):
            gathered = self._firewalls.gathered(vantage)
            if gathered is not None:
                node = self._firewalls.ways().node_of(vantage)
                pods = tuple(sorted(self._firewalls.ways().pods_on(node))) if node is not None else ()
                self._publish(vantage, await asyncio.to_thread(_audited, gathered, node, pods))

    # --- reading

    async def _hold(self, work: Coroutine[None, None, None]) -> None:
        """Wait for something that `close` can end."""
        task = asyncio.create_task(work, name="hosts' rules")
        self._under_way.add(task)
        try:
            await task
        finally:
            self._under_way.discard(task)

    def _readers(self, key: CellKey, *, with_pods: bool) -> list[Vantage]:
        """Vantages that can read the hosts on a cell's way."""
        wanted = dict.fromkeys(stop.reader for stop in self._firewalls.way(key) if stop.reader is not None)
        found = [self._store.vantages[each] for each in wanted if each in self._store.vantages]
        return [each for each in found if can_read(each, with_pods=with_pods)]

    @asynccontextmanager
    async def _runner(self, vantage: Vantage) -> AsyncIterator[RunCommand]:
        """Give what runs a script on a vantage's host; one that fails says so for every item."""
        from kubeshield_tui.vantages.ssh import SshVantage

        point = self._points.get(vantage.id)
        if isinstance(point, SshVantage):
            yield point.run
            return
        from kubeshield_tui.vantages.node_reader import NodeReader

        async with AsyncExitStack() as stack:
            try:
                client = await self._clusters.client(vantage.spec.cluster)
                place = (vantage.spec.namespace, vantage.spec.node, self._settings.pod_image)
                reader: RunCommand = await stack.enter_async_context(NodeReader(client, *place, self._emit))
            except VantageError as error:
                reader = _failing(error)
            yield reader

    async def _read_several(self, vantages: Iterable[Vantage]) -> None:
        async with asyncio.TaskGroup() as group:  # which waits for all of them, also when it is cut short
            for vantage in vantages:
                group.create_task(self._read_alone(vantage))

    async def _read_alone(self, vantage: Vantage) -> None:
        async with self._places, self._runner(vantage) as run:
            await self._read(vantage, run)

    async def _read(self, vantage: Vantage, run: RunCommand) -> None:
        sources = await collect_host(vantage.id, vantage.spec.host or vantage.spec.node, run)
        self._firewalls.keep(vantage.id, await _gather(sources))
        for source in sources:
            self._emit(happened.SourceCollected(at=time(), source=source))

    # --- witnesses

    async def _witness(self, key: CellKey, probe: Probe, *, with_pods: bool) -> None:
        runners: dict[VantageId, RunCommand] = {}
        async with AsyncExitStack() as stack:
            while new := [each for each in self._readers(key, with_pods=with_pods) if each.id not in runners]:
                for vantage in new:
                    runners[vantage.id] = await stack.enter_async_context(self._runner(vantage))
                await asyncio.gather(*(self._read(each, runners[each.id]) for each in new))
            told = await self._watch(key, probe, runners)
        self._emit(happened.Witnessed(at=time(), witness=told))
        await self.look(runners)

    async def _watch(self, key: CellKey, probe: Probe, runners: Mapping[VantageId, RunCommand]) -> Witness:
        stops = [stop for stop in self._firewalls.way(key) if stop.gathered is not None and stop.reader in runners]
        if not stops:
            return Witness(*key, at=time(), error="no host on its way can be read: see what the firewall section names")
        point = self._points.get(key.vantage)
        if point is None:
            return Witness(*key, at=time(), error="this vantage is not open")
        before = await self._count(stops, runners)
        try:
            observation = await point.ask(probe)
        except VantageError as error:
            return Witness(*key, at=time(), error=error.message)
        after = await self._count(stops, runners)
        sent = max(len(observation.attempts), 1)
        hosts = await asyncio.to_thread(_compare, stops, before, after, observation, sent)
        is_open = observation.state is State.OPEN
        said = conclusion(hosts, is_open=is_open, is_reset=observation.reason is Reason.CONN_REFUSED)
        answer = f"{observation.state} ({observation.reason})"
        return Witness(*key, at=time(), sent=sent, answer=answer, hosts=tuple(hosts), sentence=said)

    async def _count(self, stops: Sequence[Stop], runners: Mapping[VantageId, RunCommand]) -> list[Reading]:
        """Read counters and connections of every host on the way, all at once."""
        return list(await asyncio.gather(*(self._count_one(stop, runners) for stop in stops)))

    async def _count_one(self, stop: Stop, runners: Mapping[VantageId, RunCommand]) -> Reading:
        assert stop.reader is not None
        assert stop.gathered is not None
        visit = stop.visit
        commands = {**COUNTING, CONNTRACK: connections(visit.family, visit.protocol, visit.target, visit.port)}
        sources = await collect_host(stop.reader, stop.host, runners[stop.reader], commands)
        told = {source.item: source for source in sources}
        tracked = told.pop(CONNTRACK)
        gathered = await _gather((*{**stop.gathered.sources, **told}.values(),))
        return Reading(gathered, parse_conntrack(tracked.text) if _is_read(tracked) else None)

    # --- findings

    def _publish(self, vantage: VantageId, now: dict[FindingId, Finding]) -> None:
        before = self._findings.get(vantage, {})
        self._findings[vantage] = now
        elsewhere = {each for where, found in self._findings.items() if where != vantage for each in found}
        for gone in before.keys() - now.keys() - elsewhere:
            self._emit(happened.FindingCleared(at=time(), finding=gone))
        for known, finding in now.items():
            if before.get(known) != finding:
                self._emit(happened.FindingRaised(at=time(), finding=finding))


def can_read(vantage: Vantage, *, with_pods: bool) -> bool:
    """Whether a vantage's host can be read: over SSH, or by a pod where one may be made."""
    return is_on_host(vantage) and (bool(vantage.spec.host) or with_pods)


def _failing(error: VantageError) -> RunCommand:
    async def run(argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        raise error

    return run


async def _gather(sources: Sequence[Source]) -> Gathered:
    """Parse in a thread: a large host takes a second."""

    def make() -> Gathered:
        gathered = Gathered(sources)
        for family in ("ip", "ip6"):
            gathered.firewall(family)
        return gathered

    return await asyncio.to_thread(make)


def _is_read(source: Source) -> bool:
    return source.status == "ok"


def _compare(
    stops: Sequence[Stop], before: Sequence[Reading], after: Sequence[Reading], observation: Observation, sent: int
) -> list[HostWitness]:
    hosts = []
    for stop, old, new in zip(stops, before, after, strict=True):
        fresh: Sequence[Tracked] = since(old.tracked or (), new.tracked or (), stop.visit.source)
        hosts.append(witness_host(old, new, fresh, stop.visit, sent))
    return hosts


def _audited(gathered: Gathered, node: NodeName | None, pods: Sequence[str]) -> dict[FindingId, Finding]:
    cluster, place = ("", f"Host/{gathered.host}") if node is None else (node[0], f"Node/{node[1]}")
    found = audit(gathered, time(), is_node=node is not None, pods=pods)
    return {finding.id: finding for finding in (_finding(each, cluster, place) for each in found)}


def _finding(told: RuleFinding, cluster: str, place: str) -> Finding:
    return Finding(
        id=finding_id(told.code, cluster, place, *told.about),
        code=told.code,
        severity=told.severity,
        title=told.title,
        because=told.because,
        verify=told.verify,
        remedy=told.remedy,
        cluster=cluster,
        object=place if place.startswith("Node/") else "",
    )
