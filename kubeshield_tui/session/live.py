"""A cluster that is followed: facts of its watches become events, and what they concern is asked again.

Facts are gathered for a moment before anything is made of them: a rollout is one change, not a hundred. A cluster that
never rests is still told of twice a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from time import time

from kubeshield_tui.cluster import watch as watched
from kubeshield_tui.cluster.client import ClusterClient
from kubeshield_tui.cluster.kinds import KINDS, Key, Kind, key_of
from kubeshield_tui.discovery.estate import Estate
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Denied, Inventory
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.event import WatchStatus
from kubeshield_tui.model.ids import CellKey, EndpointId
from kubeshield_tui.model.record import Record
from kubeshield_tui.session.concern import Change, Concerned, Concerns, asks_alike
from kubeshield_tui.session.objects import difference
from kubeshield_tui.session.store import Store

QUIET_SECONDS = 0.15
"""Facts that follow one another faster than this are taken together."""
LONGEST_SECONDS = 0.5
"""The longest that a fact waits for others."""
FIRST_SECONDS = 10.0
"""How long the first picture waits for kinds that do not answer: they come as changes later."""


class LiveCluster:
    """Follows one cluster. `ask` asks cells again, also those under way; `emit` is where events go."""

    def __init__(
        self,
        client: ClusterClient,
        store: Store,
        emit: Callable[[happened.Event], None],
        ask: Callable[[Iterable[CellKey]], int],
    ) -> None:
        self.started = asyncio.Event()
        """The first picture stands in the store."""
        self._client = client
        self._store = store
        self._emit = emit
        self._ask = ask
        self._cluster = client.context.name
        self._estate = Estate(client.context, client.version)
        self._concerns = Concerns(self._cluster)
        self._shown: dict[EndpointId, Endpoint] = {}
        self._inventory: Inventory | None = None
        self._before: dict[tuple[str, Key], Record | None] = {}
        """Objects that changed since the last publication, as they were then."""
        self._silent = {kind.name for kind in KINDS}
        """Kinds that have not answered yet."""
        self._skipped: set[str] = set()
        self._stirred = asyncio.Event()
        self._complete = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled. `started` is set in any case."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(watched.watch(self._client, KINDS, self.take), name=f"watches of {self._cluster}")
                group.create_task(self._publish_when_quiet(), name=f"changes of {self._cluster}")
        finally:
            self.started.set()

    # --- taking facts

    def take(self, fact: watched.Fact) -> None:
        """Take a fact in; what follows from it is published a moment later."""
        match fact:
            case watched.Listed(kind, records):
                self._take_list(kind, records)
                if kind.name in self._silent:
                    self._watch_is(kind, WatchStatus.FOLLOWED)
            case watched.Put(kind, record):
                self._change(kind, key_of(record), record)
            case watched.Gone(kind, key):
                self._change(kind, key, None)
            case watched.Failed(kind, why):
                self._watch_is(kind, WatchStatus.FAILED, why)
            case watched.Slowed(kind, why):
                self._watch_is(kind, WatchStatus.SLOW, why)
            case watched.Restored(kind):
                self._watch_is(kind, WatchStatus.FOLLOWED)
            case watched.Unreadable(kind, refusals):
                for resource, why in refusals:
                    self._deny(f"list {resource}", why)
            case watched.Skipped(kind, why):
                if kind.name not in self._skipped:
                    self._skipped.add(kind.name)
                    self._deny(f"watch {kind.resource}", why)
        self._silent.discard(fact.kind.name)
        if not self._silent:
            self._complete.set()

    def _take_list(self, kind: Kind, records: Iterable[Record]) -> None:
        now = {key_of(record): record for record in records}
        for record in self._estate.records(kind.name):
            if key_of(record) not in now:
                self._change(kind, key_of(record), None)
        for key, record in now.items():
            self._change(kind, key, record)

    def _change(self, kind: Kind, key: Key, record: Record | None) -> None:
        before = self._estate.get(kind.name, key)
        if before == record:
            return  # most changes of an object concern nobody here
        if record is None:
            self._estate.drop(kind.name, key)
        else:
            self._estate.put(kind.name, record)
        self._before.setdefault((kind.name, key), before)
        self._stirred.set()

    def _watch_is(self, kind: Kind, status: WatchStatus, why: str = "") -> None:
        self._emit(
            happened.WatchChanged(at=time(), cluster=self._cluster, what=kind.resource, status=status, detail=why)
        )

    def _deny(self, what: str, why: str) -> None:
        self._emit(happened.ReadDenied(at=time(), denied=Denied(cluster=self._cluster, what=what, why=why)))

    # --- publishing

    async def _publish_when_quiet(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._complete.wait()
        self._publish_first()
        self.started.set()
        while True:
            await self._stirred.wait()
            loop = asyncio.get_running_loop()
            latest = loop.time() + LONGEST_SECONDS
            while self._stirred.is_set() and loop.time() < latest:
                self._stirred.clear()
                await asyncio.sleep(QUIET_SECONDS)
            self._stirred.clear()
            self.publish()

    def _publish_first(self) -> None:
        self._before.clear()
        self._stirred.clear()
        self._inventory = self._estate.inventory()
        self._emit(happened.ClusterRead(at=time(), inventory=self._inventory))
        for endpoint in self._estate.endpoints():
            self._show(endpoint)

    def publish(self) -> None:
        """Make events of what changed since the last time, and ask again what it concerns."""
        changed, self._before = self._before, {}
        changes = [
            Change(before, after)
            for (kind, key), before in changed.items()
            if before != (after := self._estate.get(kind, key))
        ]
        if not changes or self._inventory is None:
            return
        inventory = self._estate.inventory()
        if (differs := difference(self._inventory, inventory)) is not None:
            part, gone = differs
            self._emit(happened.ClusterChanged(at=time(), inventory=part, gone=gone))
        self._inventory = inventory
        concerned = self._concerns.of(changes, self._store.vantages)
        other = self._publish_endpoints()
        later = self._concerns.of(changes, self._store.vantages)
        rows = (concerned.endpoints | other | later.endpoints) & self._shown.keys()
        self._ask(self._cells(Concerned(rows, concerned.vantages)))

    def _publish_endpoints(self) -> frozenset[EndpointId]:
        """Tell which endpoints came, went and changed; returns those whose answers may differ now."""
        now = {endpoint.id: endpoint for endpoint in self._estate.endpoints()}
        for gone in [known for known in self._shown if known not in now]:
            del self._shown[gone]
            self._concerns.drop(gone)
            self._emit(happened.EndpointGone(at=time(), endpoint=gone))
        other = set()
        for endpoint in now.values():
            before = self._shown.get(endpoint.id)
            if before != endpoint:
                self._show(endpoint)
                if before is None or not asks_alike(before, endpoint):
                    other.add(endpoint.id)
        return frozenset(other)

    def _show(self, endpoint: Endpoint) -> None:
        self._shown[endpoint.id] = endpoint
        self._concerns.put(endpoint)
        self._emit(happened.EndpointFound(at=time(), endpoint=endpoint))

    def _cells(self, concerned: Concerned) -> Iterable[CellKey]:
        store = self._store
        cells = {CellKey(row, column) for row in concerned.endpoints for column in store.vantages}
        return cells | {CellKey(row, column) for row in store.endpoints for column in concerned.vantages}
