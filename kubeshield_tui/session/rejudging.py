"""Judges again what evidence bears on, news of a moment at once: a change of a cluster, a host read, a self-test.

What changed is looked for by namespace and host: a policy costs the cells of its namespace, not the grid.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Inventory
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import UNREAD

GATHER_SECONDS = 0.1
"""How long news is gathered: a host's reading is a dozen items."""
AT_ONCE = 50
"""Cells that are judged before others get a turn."""
BREATH_SECONDS = 0.005
WIDE = ("nodes", "other_policies")
"""Fields of an inventory whose objects bear on cells of every namespace."""
NARROW = ("policies", "pods", "services", "backends")


class Rejudging:
    """Notes what evidence events bear on. `changed` is called at once, `judge` with the cells a moment later."""

    def __init__(self, store: Store, changed: Callable[[], None], judge: Callable[[Iterable[CellKey]], None]) -> None:
        self._store = store
        self._changed = changed
        self._judge = judge
        self._clusters: set[str] = set()
        self._namespaces: set[tuple[str, str]] = set()
        self._hosts: set[str] = set()
        self._pending: dict[CellKey, None] = {}
        self._due: asyncio.TimerHandle | None = None
        self._finished = False

    def told(self, event: happened.Event) -> None:
        """Take note of an event that the store has folded already. Needs a running loop."""
        match event:
            case happened.ClusterRead():
                self._clusters.add(event.inventory.cluster.id)
            case happened.ClusterChanged():
                self._note(event)
            case happened.SelfTested():
                self._clusters.add(event.test.cluster)
            case happened.WatchChanged() if event.what in UNREAD:
                self._clusters.add(event.cluster)
            case happened.ReadDenied():
                self._clusters.add(event.denied.cluster)
            case happened.SourceCollected():
                self._hosts.add(event.source.host)
            case happened.VantageChanged() | happened.VantageAdded() | happened.EndpointFound():
                self._changed()
                return
            case _:
                return
        self._changed()
        if self._due is None and not self._finished:
            self._due = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.look)

    def _note(self, event: happened.ClusterChanged) -> None:
        cluster, part = event.inventory.cluster.id, event.inventory
        if any(getattr(part, field) for field in WIDE) or any(gone.kind in WIDE for gone in event.gone):
            self._clusters.add(cluster)
        named = {gone.namespace for gone in event.gone if gone.kind in NARROW}
        named |= {gone.name for gone in event.gone if gone.kind == "namespaces"}
        self._namespaces.update((cluster, name) for name in (*named, *_namespaces(part)))

    def look(self) -> None:
        """Judge some of what was noted now, the rest a little later: a large grid must not hold up the screen."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._pending.update(dict.fromkeys(self._concerned()))
        self._clusters.clear()
        self._namespaces.clear()
        self._hosts.clear()
        some = tuple(islice(self._pending, AT_ONCE))
        for key in some:
            del self._pending[key]
        if some:
            self._judge(some)
        if self._pending and not self._finished:
            self._due = asyncio.get_running_loop().call_later(BREATH_SECONDS, self.look)

    def finish(self) -> None:
        """Judge for the last time: what the session ends with must be how things are now."""
        self._finished = True
        self.look()
        while self._pending:
            self.look()

    def _concerned(self) -> Iterator[CellKey]:
        if not (self._clusters or self._namespaces or self._hosts):
            return
        store = self._store
        rows = {key for key, endpoint in store.endpoints.items() if self._is_in(endpoint.cluster, endpoint.namespace)}
        rows |= {
            key
            for key, endpoint in store.endpoints.items()
            # A target that the user named may be anything in any cluster.
            if not endpoint.cluster or any(self._is_in(endpoint.cluster, pod.namespace) for pod in endpoint.backends)
        }
        columns = {
            key for key, vantage in store.vantages.items() if self._is_in(vantage.cluster, vantage.spec.namespace)
        }
        refs = frozenset(f"host:{host}" for host in self._hosts)
        for key, cell in store.cells.items():
            if cell.judgement is None:
                continue
            if key.endpoint in rows or key.vantage in columns:
                yield key
            elif refs and any(refs.intersection(layer.refs) for layer in cell.judgement.layers):
                yield key

    def _is_in(self, cluster: str, namespace: str) -> bool:
        return cluster in self._clusters or (cluster, namespace) in self._namespaces


def _namespaces(part: Inventory) -> Iterator[str]:
    for field in NARROW:
        for record in getattr(part, field):
            yield record.namespace
    for namespace in part.namespaces:
        yield namespace.name
