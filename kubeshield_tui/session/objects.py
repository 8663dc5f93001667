"""A cluster's objects, kept so that a change costs what changed: of 5,000 pods one is one record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import fields

from kubeshield_tui.cluster.kinds import Key, key_of
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, PolicyRecord, Skipped
from kubeshield_tui.model.event import ObjectName
from kubeshield_tui.model.record import Record

KINDS = tuple(each.name for each in fields(Inventory) if each.name != "cluster")
"""Fields of an inventory that hold objects."""


@dataclass(slots=True)
class Objects:
    """One cluster as its events tell it."""

    cluster: ClusterFacts
    _held: dict[str, dict[Key, Record]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    _inventory: Inventory | None = field(default=None, compare=False)

    def change(self, inventory: Inventory, gone: Iterable[ObjectName] = ()) -> None:
        """Take in what is new or changed, and drop what is gone."""
        self.cluster = inventory.cluster
        for name in gone:
            self._held[name.kind].pop((name.namespace, name.name), None)
        for kind in KINDS:
            self._held[kind].update({key_in_inventory(record): record for record in getattr(inventory, kind)})
        self._inventory = None

    @property
    def inventory(self) -> Inventory:
        """All objects as they are now."""
        if self._inventory is None:
            held: dict[str, Any] = {kind: tuple(self._held[kind].values()) for kind in KINDS}
            self._inventory = Inventory(cluster=self.cluster, **held)
        return self._inventory


def difference(before: Inventory, after: Inventory) -> tuple[Inventory, tuple[ObjectName, ...]] | None:
    """What is new or changed and what is gone between two readings; None where nothing differs.

    Records that both share are told apart by being the same ones: most of a large cluster is not compared at all.
    """
    changed: dict[str, Any] = {}
    gone: list[ObjectName] = []
    for kind in KINDS:
        old, new = getattr(before, kind), getattr(after, kind)
        if old == new:
            continue
        shared = set(map(id, old)) & set(map(id, new))
        was = {key_in_inventory(record): record for record in old if id(record) not in shared}
        now = {key_in_inventory(record): record for record in new if id(record) not in shared}
        changed[kind] = tuple(record for key, record in now.items() if was.get(key) != record)
        gone += [ObjectName(kind=kind, namespace=key[0], name=key[1]) for key in was.keys() - now.keys()]
    part = Inventory(cluster=after.cluster, **changed)
    return (part, tuple(gone)) if gone or part != Inventory(cluster=before.cluster) else None


def key_in_inventory(record: Record) -> Key:
    """The identity of a record within its field of an inventory."""
    match record:
        case Skipped():
            return record.why, record.name
        case PolicyRecord(kind=kind, api_version=version, name=name):  # several kinds stand in one field
            return record.namespace, name if kind == "NetworkPolicy" else f"{kind}.{version}/{name}"
    return key_of(record)
