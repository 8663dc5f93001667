"""What is known of one cluster: its records by kind, and the endpoints that follow from them. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubeshield_tui.cluster.kinds import KINDS, Key, key_of
from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery import control_plane, workloads
from kubeshield_tui.model.cluster import ClusterFacts, Inventory
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.record import Record


class Estate:
    """The records of one cluster. Change it by `replace`, `put` and `drop`; what follows is computed when asked for.

    Kinds go by the names of `KINDS`; records of a fallback stand under the name of the kind that it stands in for.
    """

    def __init__(self, context: ContextEntry, version: str = "") -> None:
        self.context = context
        self.version = version
        self._records: dict[str, dict[Key, Any]] = {kind.name: {} for kind in KINDS}
        self._found: tuple[tuple[Endpoint, ...], tuple[workloads.Skipped, ...]] | None = None

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
        self._found = None
        return True

    def drop(self, kind: str, key: Key) -> bool:
        """Forget a record. Tells whether it was there."""
        if self._records[kind].pop(key, None) is None:
            return False
        self._found = None
        return True

    def _changed(self, kind: str, records: dict[Key, Any]) -> bool:
        if self._records[kind] == records:
            return False
        self._records[kind] = records
        self._found = None
        return True

    def records(self, kind: str) -> tuple[Any, ...]:
        """Records of a kind in the order of their keys, as a list has them: what follows knows no history."""
        held = self._records[kind]
        return tuple(held[key] for key in sorted(held))

    def facts(self) -> ClusterFacts:
        """The cluster itself."""
        return ClusterFacts(
            id=self.context.name,
            server=self.context.server,
            version=self.version,
            user=self.context.user,
            simulated=bool(self.context.simulated),
        )

    def inventory(self) -> Inventory:
        """All records, as judgement and reports read them."""
        configurations = (
            *self.records("validatingwebhookconfigurations"),
            *self.records("mutatingwebhookconfigurations"),
        )
        return Inventory(
            cluster=self.facts(),
            nodes=self.records("nodes"),
            namespaces=self.records("namespaces"),
            pods=self.records("pods"),
            policies=self.records("networkpolicies"),
            services=self.records("services"),
            backends=self.records("endpointslices"),
            ingresses=self.records("ingresses"),
            webhooks=tuple(webhook for each in configurations for webhook in each.webhooks),
            aggregated=tuple(each for each in self.records("apiservices") if each.service),
        )

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Everything that can be asked, each address once, the control plane first."""
        return self._look()[0]

    @property
    def skipped(self) -> tuple[workloads.Skipped, ...]:
        """(name, why) of what is not asked."""
        return self._look()[1]

    def _look(self) -> tuple[tuple[Endpoint, ...], tuple[workloads.Skipped, ...]]:
        if self._found is None:
            self._found = _look(self)
        return self._found


def _look(estate: Estate) -> tuple[tuple[Endpoint, ...], tuple[workloads.Skipped, ...]]:
    cluster = estate.context.name
    nodes, services, backends = (estate.records(kind) for kind in ("nodes", "services", "endpointslices"))
    skipped: list[workloads.Skipped] = []
    served = list(workloads.services(cluster, services, backends, nodes, skipped))
    served.sort(key=lambda each: (each.namespace, each.name))
    endpoints = [
        *control_plane.api_servers(estate.context, services, backends),
        *control_plane.etcd_members(cluster, nodes, estate.records("pods")),
        *control_plane.kubelets(nodes),
        control_plane.metadata(cluster),
        *served,
    ]
    unique = {endpoint.id: endpoint for endpoint in reversed(endpoints)}
    return tuple(reversed(unique.values())), tuple(skipped)
