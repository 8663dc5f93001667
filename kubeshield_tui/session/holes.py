"""Keeps findings about clusters and their objects true: known holes by who reaches them, and what the API gives away.

They bear on many cells at once, so they are not judged with each answer: what bears on them asks for a look, and one
look is taken for all that happened in the meantime.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import perf_counter, time
from typing import NamedTuple

from kubeshield_tui.judgement.cluster_view import ClusterView, Sight
from kubeshield_tui.judgement.components import ComponentVersion, component_versions
from kubeshield_tui.judgement.holes import shipped_holes
from kubeshield_tui.judgement.holes_found import known_holes
from kubeshield_tui.judgement.objects import object_findings
from kubeshield_tui.judgement.public_addresses import public_addresses
from kubeshield_tui.judgement.unenforced import unenforced_policies
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Inventory
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, FindingId
from kubeshield_tui.model.observation import Reason
from kubeshield_tui.session.enforcing import enforcement
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings

LOOK_SECONDS = 1.0
"""Least wait before a look: the thousands of answers of a sweep cost one look a second, and nobody sees it."""
LOOK_SHARE = 0.05
"""Most of the loop's time that looks may take: in a very large estate they come less often instead."""
QUIET = (
    happened.CellAsked,
    happened.CellObserved,  # CellJudged follows, if anything changed
    happened.FindingRaised,
    happened.FindingCleared,
    happened.Progress,
    happened.Paused,
)
"""Events that change nothing here."""


class Read(NamedTuple):
    """What follows from an inventory alone: worked out once, however often answers come."""

    inventory: Inventory
    versions: tuple[ComponentVersion, ...]
    findings: tuple[Finding, ...]


class Holes:
    """Looks again at all clusters when something that bears on them happened. `emit` takes the events."""

    def __init__(
        self,
        store: Store,
        emit: Callable[[happened.Event], None],
        settings: Settings = Settings(),  # noqa: B008 - frozen
    ) -> None:
        self._store = store
        self._emit = emit
        self._settings = settings
        self._read: dict[str, Read] = {}
        self._findings: dict[FindingId, Finding] = {}
        self._due: asyncio.TimerHandle | None = None
        self._cost = 0.0
        self._knows_clusters = False
        self._finished = False

    def told(self, event: happened.Event) -> None:
        """Take note of an event that the store has folded already. Needs a running loop."""
        self._knows_clusters = self._knows_clusters or isinstance(event, happened.ClusterRead | happened.SelfTested)
        if self._due is None and self._knows_clusters and not self._finished and not isinstance(event, QUIET):
            wait = max(LOOK_SECONDS, self._cost / LOOK_SHARE)
            self._due = asyncio.get_running_loop().call_later(wait, self.look)

    def look(self) -> None:
        """Look now: raise, change and clear findings as things are."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        began = perf_counter()
        now = {finding.id: finding for finding in self._current()}
        self._cost = perf_counter() - began
        before, self._findings = self._findings, now
        for gone in before.keys() - now.keys():
            self._emit(happened.FindingCleared(at=time(), finding=gone))
        for known, finding in now.items():
            if before.get(known) != finding:
                self._emit(happened.FindingRaised(at=time(), finding=finding))

    def finish(self) -> None:
        """Look for the last time: what the session ends with must be how things are now."""
        self.look()
        self._finished = True

    def _current(self) -> Iterator[Finding]:
        for name, inventory in self._store.clusters.items():
            view = self._view(name, inventory)
            read = self._read.get(name)
            if read is None or read.inventory is not inventory:
                read = Read(inventory, component_versions(inventory), tuple(object_findings(view)))
                self._read[name] = read
            yield from known_holes(shipped_holes(), read.versions, view)
            yield from read.findings
            yield from public_addresses(view)
        yield from self._unenforced()

    def _unenforced(self) -> Iterator[Finding]:
        store = self._store
        policies = {name: inventory.policies for name, inventory in store.clusters.items()}
        for name in dict.fromkeys((*policies, *store.self_tests)):
            known = enforcement(store, self._settings, name)
            yield from unenforced_policies(name, policies.get(name, ()), known, store.self_tests.get(name))

    def _view(self, name: str, inventory: Inventory) -> ClusterView:
        store = self._store
        return ClusterView(
            inventory=inventory,
            denied=tuple(denied for denied in store.denied if denied.cluster == name),
            endpoints=tuple(endpoint for endpoint in store.endpoints.values() if endpoint.cluster == name),
            vantages=tuple(store.vantages.values()),
            look=self._sight,
        )

    def _sight(self, key: CellKey) -> Sight:
        cell = self._store.cell(key)
        if cell.observation is None:
            return Sight(out_of_scope=cell.untested is Reason.OUT_OF_SCOPE)
        return Sight(verdict=cell.verdict, posture=cell.observation.posture)
