"""A followed cluster without a server: facts are handed in, events and wishes come out."""

from __future__ import annotations

from collections.abc import Iterable

from kubeshield_tui.cluster import watch as watched
from kubeshield_tui.cluster.kinds import KINDS, key_of
from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery.estate import Estate
from kubeshield_tui.discovery.roster import Roster
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.record import Record
from kubeshield_tui.session.live import LiveCluster
from kubeshield_tui.session.rows import Rows
from kubeshield_tui.session.store import Store
from tests.unit.estate import vantage

CONTEXT = ContextEntry(name="prod", cluster="prod", server="https://203.0.113.10:6443")
KIND = {kind.name: kind for kind in KINDS}


class FakeClient:
    """A fake client: facts are handed in, and it is asked only which APIs there are."""

    context = CONTEXT
    version = "v1.30.0"

    @staticmethod
    async def request(method: str, path: str) -> dict[str, object]:
        """No API has other policies."""
        return {"groups": []}


class Bench:
    """A followed cluster with its store and everything that it asked for."""

    def __init__(self, *specs: str) -> None:
        self.store = Store()
        self.events: list[happened.Event] = []
        self.asked: list[set[CellKey]] = []
        self.estate = Estate(CONTEXT, FakeClient.version)
        rows = Rows(Roster(("prod",)))
        self.live = LiveCluster(FakeClient, self.estate, rows, self.store, self.emit, self.ask)  # type: ignore[arg-type]
        for spec in specs:
            self.emit(happened.VantageAdded(at=1, vantage=vantage(spec)))

    def emit(self, event: happened.Event) -> None:
        self.events.append(event)
        self.store.apply(event)

    def ask(self, keys: Iterable[CellKey]) -> int:
        self.asked.append(set(keys))
        return len(self.asked[-1])

    def lists(self, **records: Iterable[Record]) -> None:
        for name, listed in records.items():
            self.live.take(watched.Listed(KIND[name], tuple(listed)))

    def put(self, kind: str, record: Record) -> None:
        self.live.take(watched.Put(KIND[kind], record))

    def gone(self, kind: str, record: Record) -> None:
        self.live.take(watched.Gone(KIND[kind], key_of(record)))

    async def published(self) -> list[happened.Event]:
        before = len(self.events)
        await self.live.publish()
        return self.events[before:]
