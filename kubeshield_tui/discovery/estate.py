"""What is known of one cluster: its records by kind, and the endpoints that follow from them. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from kubeshield_tui.cluster.kinds import KINDS, OTHER_POLICIES, Key, key_of
from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery.catalogue import Catalogue, builtin
from kubeshield_tui.discovery.ground import Ground
from kubeshield_tui.discovery.look import look
from kubeshield_tui.discovery.recognise import recognise
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, Skipped
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.record import Record


class Estate:
    """The records of one cluster. Change it by `replace`, `put` and `drop`; what follows is computed when asked for.

    Kinds go by what their records are kept as; those of a fallback stand under the kind that it stands in for.
    """

    def __init__(self, context: ContextEntry, version: str = "", catalogue: Catalogue | None = None) -> None:
        self.context = context
        self.version = version
        self.catalogue = catalogue or builtin()
        self._records: dict[str, dict[Key, Any]] = {kind.kept_as: {} for kind in (*KINDS, *OTHER_POLICIES)}
        self._known: tuple[Inventory, tuple[Endpoint, ...]] | None = None

    def upgrade(self, version: str) -> bool:
        """Take the server's version. Tells whether it is another one."""
        if version == self.version:
            return False
        self.version = version
        self._known = None
        return True

    def replace(self, kind: str, records: Iterable[Record]) -> bool:
        """Take a whole list of a kind. Tells whether anything differs."""
        return self._changed(kind, {key_of(record): record for record in records})

    def get(self, kind: str, key: Key) -> Any | None:
        """A record, None where there is none of this key."""
        return self._records[kind].get(key)

    def put(self, kind: str, record: Record) -> bool:
        """Take a new or changed record. Tells whether it differs: most changes of an object concern nobody here."""
        held = self._records[kind]
        key = key_of(record)
        if held.get(key) == record:
            return False
        held[key] = record
        self._known = None
        return True

    def drop(self, kind: str, key: Key) -> bool:
        """Forget a record. Tells whether it was there."""
        if self._records[kind].pop(key, None) is None:
            return False
        self._known = None
        return True

    def _changed(self, kind: str, records: dict[Key, Any]) -> bool:
        if self._records[kind] == records:
            return False
        self._records[kind] = records
        self._known = None
        return True

    def records(self, kind: str) -> tuple[Any, ...]:
        """Records of a kind in the order of their keys, as a list has them: what follows knows no history."""
        held = self._records[kind]
        return tuple(held[key] for key in sorted(held))

    @property
    def identity(self) -> str:
        """What only this cluster has, whatever a context calls it; empty where it may not be read."""
        return next((each.uid for each in self.records("namespaces") if each.name == "kube-system"), "")

    def inventory(self) -> Inventory:
        """All records, as judgement and reports read them."""
        return self._computed()[0]

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Everything that can be asked, each place once, the control plane first."""
        return self._computed()[1]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was found and is not asked, and why."""
        return self._computed()[0].skipped

    def _computed(self) -> tuple[Inventory, tuple[Endpoint, ...]]:
        if self._known is None:
            inventory = self._inventory()
            view = look(Ground(self.context, inventory, self.catalogue))
            self._known = msgspec.structs.replace(inventory, skipped=view.skipped), view.endpoints
        return self._known

    def _inventory(self) -> Inventory:
        configurations = (
            *self.records("validatingwebhookconfigurations"),
            *self.records("mutatingwebhookconfigurations"),
        )
        facts = ClusterFacts(
            id=self.context.name,
            server=self.context.server,
            version=self.version,
            user=self.context.user,
            simulated=bool(self.context.simulated),
        )
        inventory = Inventory(
            cluster=facts,
            nodes=self.records("nodes"),
            namespaces=self.records("namespaces"),
            pods=self.records("pods"),
            policies=self.records("networkpolicies"),
            other_policies=tuple(each for kind in OTHER_POLICIES for each in self.records(kind.kept_as)),
            services=self.records("services"),
            backends=self.records("endpointslices"),
            ingresses=self.records("ingresses"),
            webhooks=tuple(webhook for each in configurations for webhook in each.webhooks),
            aggregated=tuple(each for each in self.records("apiservices") if each.service),
        )
        return msgspec.structs.replace(
            inventory, cluster=msgspec.structs.replace(facts, recognised=recognise(inventory))
        )
