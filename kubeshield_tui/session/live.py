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
from kubeshield_tui.cluster.client import NOT_FOUND, ClusterClient, NotReadable
from kubeshield_tui.cluster.kinds import GROUPS_PATH, KINDS, OTHER_POLICIES, Key, Kind, key_of
from kubeshield_tui.cluster.served import other_policies
from kubeshield_tui.discovery.estate import Estate
from kubeshield_tui.discovery.hosts import place_of
from kubeshield_tui.errors import ClusterError
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Denied, Inventory
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.event import WatchStatus
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.record import Record
from kubeshield_tui.session.concern import Change, Concerns, asks_alike
from kubeshield_tui.session.objects import difference
from kubeshield_tui.session.rows import Rows, change_events, first_events
from kubeshield_tui.session.store import Store

QUIET_SECONDS = 0.15
"""Facts that follow one another faster than this are taken together."""
LONGEST_SECONDS = 0.5
"""The longest that a fact waits for others."""
VERSION_SECONDS = 300.0
"""How often the server is asked for its version: it may be upgraded while we look, and known holes go with it."""
FIRST_SECONDS = 10.0
"""How long the first picture waits for kinds that do not answer: they come as changes later."""


class LiveCluster:
    """Follows one cluster. `ask` asks cells again, also those under way; `emit` is where events go."""

    def __init__(
        self,
        client: ClusterClient,
        estate: Estate,
        rows: Rows,
        store: Store,
        emit: Callable[[happened.Event], None],
        ask: Callable[[Iterable[CellKey]], int],
    ) -> None:
        self.started = asyncio.Event()
        """The first picture stands in the store, or following ended."""
        self._client = client
        self._estate = estate
        self._shared = rows
        self._store = store
        self._emit = emit
        self._ask = ask
        self._cluster = client.context.name
        self._arrived: dict[tuple[str, Key], Record | None] = {}
        """The newest of each object that differs from the estate; None for one that is gone."""
        self._inventory: Inventory | None = None
        """As it was last published."""
        self._own: dict[EndpointId, Endpoint] = {}
        self._concerns = Concerns(self._cluster)
        self._silent = {kind.kept_as for kind in KINDS}
        """Kinds that have not answered yet."""
        self._skipped: set[str] = set()
        self._stirred = asyncio.Event()
        self._complete = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        self._silent.add(GROUPS_PATH)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(watched.watch(self._client, KINDS, self.take), name=f"watches of {self._cluster}")
                group.create_task(self._watch_other_policies(), name=f"other policies of {self._cluster}")
                group.create_task(self._publish_when_quiet(), name=f"changes of {self._cluster}")
                group.create_task(self._keep_version(), name=f"version of {self._cluster}")
        finally:
            self.started.set()

    async def _watch_other_policies(self) -> None:
        """Follow the kinds of policy that the server has beside NetworkPolicy, also those that it has later."""
        followed: set[Kind] = set()
        failed = False
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    served = await other_policies(self._client)
                except NotReadable as error:
                    if error.status in watched.REFUSALS:
                        self._deny(f"list {GROUPS_PATH}", error.why)
                        self._heard(GROUPS_PATH)
                        return
                    failed = self._groups_are(WatchStatus.FAILED, error.why)
                except ClusterError as error:
                    failed = self._groups_are(WatchStatus.FAILED, error.message)
                else:
                    failed = failed and self._groups_are(WatchStatus.FOLLOWED)
                    new = [kind for kind in served if kind not in followed]
                    followed.update(new)
                    if GROUPS_PATH in self._silent:
                        self._silent.update(kind.kept_as for kind in new)
                    group.create_task(watched.watch(self._client, new, self.take))
                    self._heard(GROUPS_PATH)
                await asyncio.sleep(watched.POLL_SECONDS if failed else VERSION_SECONDS)

    def _groups_are(self, status: WatchStatus, why: str = "") -> bool:
        """Tell whether it is known which kinds of policy there are; returns whether it is not."""
        self._emit(happened.WatchChanged(at=time(), cluster=self._cluster, what=GROUPS_PATH, status=status, detail=why))
        return status is WatchStatus.FAILED

    # --- taking facts

    def take(self, fact: watched.Fact) -> None:
        """Take a fact in; what follows from it is published a moment later."""
        match fact:
            case watched.Listed(kind, records):
                self._take_list(kind, records)
                if kind.kept_as in self._silent:
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
                    if kind not in OTHER_POLICIES or why != NOT_FOUND:  # an API may have some of its kinds only
                        self._deny(f"list {resource}", why)
            case watched.Skipped(kind, why):
                if kind.kept_as not in self._skipped:
                    self._skipped.add(kind.kept_as)
                    self._deny(f"watch {kind.resource}", why)
        self._heard(fact.kind.kept_as)

    def _heard(self, what: str) -> None:
        self._silent.discard(what)
        if not self._silent:
            self._complete.set()

    def _take_list(self, kind: Kind, records: Iterable[Record]) -> None:
        now = {key_of(record): record for record in records}
        known = {key_of(record) for record in self._estate.records(kind.kept_as)}
        known |= {key for name, key in self._arrived if name == kind.kept_as}
        for key in known - now.keys():
            self._change(kind, key, None)
        for key, record in now.items():
            self._change(kind, key, record)

    def _change(self, kind: Kind, key: Key, record: Record | None) -> None:
        place = (kind.kept_as, key)
        known = self._arrived[place] if place in self._arrived else self._estate.get(*place)
        if known != record:  # most changes of an object concern nobody here
            self._arrived[place] = record
            self._stirred.set()

    def _watch_is(self, kind: Kind, status: WatchStatus, why: str = "") -> None:
        self._emit(
            happened.WatchChanged(at=time(), cluster=self._cluster, what=kind.resource, status=status, detail=why)
        )

    def _deny(self, what: str, why: str) -> None:
        self._emit(happened.ReadDenied(at=time(), denied=Denied(cluster=self._cluster, what=what, why=why)))

    async def _keep_version(self) -> None:
        while True:
            await asyncio.sleep(VERSION_SECONDS)
            with contextlib.suppress(ClusterError):
                await self._client.read_version()
                self._stirred.set()

    # --- publishing

    async def _publish_when_quiet(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._complete.wait()
        self._stirred.clear()
        await self.publish_first()
        self.started.set()
        loop = asyncio.get_running_loop()
        while True:
            await self._stirred.wait()
            latest = loop.time() + LONGEST_SECONDS
            while self._stirred.is_set() and loop.time() < latest:
                self._stirred.clear()
                await asyncio.sleep(QUIET_SECONDS)
            self._stirred.clear()
            await self.publish()

    async def publish_first(self) -> None:
        """Tell all that is known: the first picture."""
        async with self._shared.turn:
            self._take_in()
            change = await asyncio.to_thread(self._shared.roster.read, self._estate)
            self._inventory = self._estate.inventory()
            self._index()
            for event in first_events(self._estate, change):
                self._emit(event)

    async def publish(self) -> None:
        """Make events of what changed since the last time, and ask again what it concerns."""
        async with self._shared.turn:
            changes = self._take_in()
            upgraded = self._estate.upgrade(self._client.version)
            if self._inventory is None or not (changes or upgraded):
                return
            # In a thread: 50 ms for 5,000 pods in which keys and screen must not stand still.
            change = await asyncio.to_thread(self._shared.roster.read, self._estate)
            inventory = self._estate.inventory()
            differs = difference(self._inventory, inventory)
            self._inventory = inventory
            if differs is not None:
                self._emit(happened.ClusterChanged(at=time(), inventory=differs[0], gone=differs[1]))
            concerned = self._concerns.of(changes, self._store.vantages)
            self._index()
            later = self._concerns.of(changes, self._store.vantages)
            rows = self._rows(concerned.endpoints | later.endpoints)
            rows |= {row.id for row in change.found if self._is_asked_otherwise(row)}
            for event in change_events(change):
                self._emit(event)
            self._ask(self._cells(rows, concerned.vantages))

    def _take_in(self) -> list[Change]:
        arrived, self._arrived = self._arrived, {}
        changes = []
        for (kind, key), record in arrived.items():
            before = self._estate.get(kind, key)
            if record is None:
                self._estate.drop(kind, key)
            else:
                self._estate.put(kind, record)
            if before != record:
                changes.append(Change(before, record))
        return changes

    def _index(self) -> None:
        before, self._own = self._own, {endpoint.id: endpoint for endpoint in self._estate.endpoints()}
        for gone in before.keys() - self._own.keys():
            self._concerns.drop(gone)
        for key, endpoint in self._own.items():
            if before.get(key) != endpoint:
                self._concerns.put(endpoint)

    def _is_asked_otherwise(self, row: Endpoint) -> bool:
        before = self._store.endpoints.get(row.id)
        return before is None or not asks_alike(before, row)

    def _rows(self, own: Iterable[EndpointId]) -> set[EndpointId]:
        """Rows that these endpoints of the cluster are in: a public address may be another cluster's row."""
        if self._shared.roster.is_twin(self._cluster):
            return set()  # the other context that names this cluster tells of them
        store = self._store
        rows = {key for key in own if key in store.endpoints}
        places = {place_of(self._own[key]) for key in own if key not in rows and key in self._own}
        return rows | ({row.id for row in store.endpoints.values() if place_of(row) in places} if places else set())

    def _cells(self, rows: Iterable[EndpointId], columns: Iterable[VantageId]) -> set[CellKey]:
        store = self._store
        cells = {CellKey(row, column) for row in rows if row in store.endpoints for column in store.vantages}
        return cells | {CellKey(row, column) for row in store.endpoints for column in columns}
