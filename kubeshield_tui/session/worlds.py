"""Each cluster as policies see it, kept up to date by the session's own events: what changed costs what changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable

from msgspec.structs import replace

from kubeshield_tui.cluster.kinds import GROUPS_PATH, OTHER_POLICIES, Key
from kubeshield_tui.evidence.netpol.parse import parse_policy, unread_policies
from kubeshield_tui.evidence.netpol.party import BrokenPod
from kubeshield_tui.evidence.netpol.policy import ObjectKey, OpaquePolicy, Policy
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Denied, Inventory, PodRecord, PolicyRecord
from kubeshield_tui.session.objects import key_in_inventory
from kubeshield_tui.session.store import Store

KINDS = {"pods": "Pod", "namespaces": "Namespace", "nodes": "Node", "services": "Service", "backends": "EndpointSlice"}
"""Fields of an inventory that a World knows, and what it calls their objects."""
POLICIES = ("policies", "other_policies")
_LISTS = ("pods", "networkpolicies.networking.k8s.io", GROUPS_PATH)
UNREAD = frozenset({*_LISTS, *(kind.resource for kind in OTHER_POLICIES)})
"""Lists of which a refusal leaves unknown what policies say, or of whom they speak."""


class KnownWorld:
    """One cluster's World, and what a World does not hold of it."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.world = World()
        self.changed_at: dict[ObjectKey, float] = {}
        """When each policy came to be as it is, seconds since the epoch; 0 where that is not known."""
        self.removed_at = 0.0
        """When a policy was last removed, seconds since the epoch."""
        self.lacks_pods = False
        """Pods may not be listed."""
        self.revision = 0
        """Changes with all that answers may follow from."""
        self._policies: dict[tuple[str, Key], ObjectKey] = {}
        """By the field of the inventory and the key in it."""
        self._guests: dict[tuple[str, str], PodRecord | BrokenPod] = {}
        """Pods of vantages that no list told of."""

    def put(self, inventory: Inventory, seen_at: float | None) -> None:
        """Take in objects that are new or changed. `seen_at`: when we were told, None for a first reading."""
        self.revision += 1
        for field in KINDS:
            for record in getattr(inventory, field):
                self.world.put(record)
        for pod in inventory.pods:
            self._guests.pop((pod.namespace, pod.name), None)
        for field in POLICIES:
            for record in getattr(inventory, field):
                self._put_policy(field, record, record.changed_at if seen_at is None else seen_at)

    def drop(self, gone: Iterable[happened.ObjectName], at: float) -> None:
        """Forget objects. `at`: when we were told."""
        self.revision += 1
        for name in gone:
            if name.kind in KINDS:
                self.world.drop(ObjectKey(kind=KINDS[name.kind], namespace=name.namespace, name=name.name))
            elif (key := self._policies.pop((name.kind, (name.namespace, name.name)), None)) is not None:
                self.world.drop(key)
                self.changed_at.pop(key, None)
                self.removed_at = at

    def unread(self, resource: str, why: str) -> None:
        """Leave unknown what a list that was refused, or is not followed, may hold."""
        self.revision += 1
        if resource == "pods":
            self.lacks_pods = True
            return
        self.world.put(unread_policies(resource, why))

    def read_again(self, resource: str) -> None:
        """Take back that a list was not read."""
        self.revision += 1
        self.lacks_pods = self.lacks_pods and resource != "pods"
        self.world.drop(unread_policies(resource, "").key)

    def visit(self, pod: PodRecord | BrokenPod) -> None:
        """Know a vantage's pod, unless a list told of it."""
        name = (pod.namespace, pod.name)
        if self._guests.get(name) != pod and (name in self._guests or self.world.pod(*name) is None):
            self.revision += 1
            self._guests[name] = pod
            self.world.put(pod)

    def _put_policy(self, field: str, record: PolicyRecord, at: float) -> None:
        policy = policy_of(record)
        place = (field, key_in_inventory(record))
        before = self._policies.get(place)
        if before is not None and before != policy.key:
            self.world.drop(before)
        self._policies[place] = policy.key
        self.changed_at[policy.key] = at
        self.world.put(policy)


class Worlds:
    """The World of each cluster of a session, made when it is first asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, KnownWorld] = {}

    def of(self, cluster: str) -> KnownWorld | None:
        """Return a cluster's World, None for a cluster that was not read."""
        known = self._known.get(cluster)
        if known is None:
            inventory = self._store.clusters.get(cluster) if cluster else None
            if inventory is None:
                return None
            known = self._known[cluster] = KnownWorld(cluster)
            known.put(inventory, None)
            for denied in self._store.denied:
                self._denied(denied)
            for (where, what), watch in self._store.watches.items():
                if where == cluster:
                    _watched(known, what, watch)
        return known

    def told(self, event: happened.Event) -> None:
        """Take in an event that the store has folded already."""
        match event:
            case happened.ClusterRead():
                if (known := self._known.pop(event.inventory.cluster.id, None)) is not None:
                    known.revision += 1  # nothing that was made of it holds any more
            case happened.ClusterChanged():
                if (known := self._known.get(event.inventory.cluster.id)) is not None:
                    known.drop(event.gone, event.at)
                    known.put(event.inventory, event.at)
            case happened.ReadDenied():
                self._denied(event.denied)
            case happened.WatchChanged():
                if (known := self._known.get(event.cluster)) is not None:
                    _watched(known, event.what, event)

    def _denied(self, denied: Denied) -> None:
        resource = denied.what.partition(" ")[2]
        if resource in UNREAD and (known := self._known.get(denied.cluster)) is not None:
            known.unread(resource, denied.why)


def _watched(known: KnownWorld, resource: str, watch: happened.WatchChanged) -> None:
    if resource not in UNREAD:
        return
    if watch.status is happened.WatchStatus.FAILED:
        known.unread(resource, f"not followed any more: {watch.detail}")
    else:
        known.read_again(resource)


def policy_of(record: PolicyRecord) -> Policy | OpaquePolicy:
    """Make the policy that a record tells of; one whose text was not kept is there and can't be evaluated."""
    with contextlib.suppress(ValueError, RecursionError):  # a record may come of a file
        raw = json.loads(record.document)
        if isinstance(raw, dict):
            return parse_policy(raw)
    names = {"name": record.name, **({"namespace": record.namespace} if record.namespace else {})}
    policy = parse_policy({"apiVersion": record.api_version, "kind": record.kind, "metadata": names, "spec": ""})
    why = "its text is too large to be kept" if record.spec else "its text was not kept"
    return replace(policy, why=why) if isinstance(policy, OpaquePolicy) else policy
