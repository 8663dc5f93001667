"""A World of a live cluster: each kind listed once. What may not be read is said, what depends on it is unknown."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, NamedTuple, cast

from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.kinds import GROUPS_PATH, KINDS, POLICY_KINDS, Kind
from kubeshield_tui.cluster.served import served_versions
from kubeshield_tui.evidence.netpol.parse import parse_policy, unread_policies
from kubeshield_tui.evidence.netpol.policy import OpaquePolicy, Policy
from kubeshield_tui.evidence.netpol.world import World, WorldRecord
from kubeshield_tui.model.cluster import Denied

NEEDED = frozenset({"nodes", "namespaces", "pods", "services", "endpointslices"})
"""Kinds of discovery that an evaluation needs, beside policies."""


class PolicyList(NamedTuple):
    """Where one kind of policy is listed."""

    api_version: str
    kind: str
    name: str
    """Plural."""

    @property
    def group(self) -> str:
        """API group."""
        return self.api_version.partition("/")[0]

    @property
    def resource(self) -> str:
        """As messages name it: `networkpolicies.networking.k8s.io`."""
        return f"{self.name}.{self.group}"

    @property
    def path(self) -> str:
        """Where the objects of all namespaces are listed."""
        return f"/apis/{self.api_version}/{self.name}"

    def make(self, raw: dict[str, Any]) -> Policy | OpaquePolicy:
        """A policy of an item of the list: items of lists do not name their kind."""
        return parse_policy({**raw, "apiVersion": self.api_version, "kind": self.kind})


POLICY_LISTS = (
    PolicyList("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    *(PolicyList(*each) for each in POLICY_KINDS),
)
"""Every kind of policy that is read; those of a group that the server does not have are passed over."""


async def read_world(client: ClusterClient) -> tuple[World, tuple[Denied, ...]]:
    """Read a cluster. Raises ClusterError only where the API does not answer any more."""
    world = World()
    kinds = [_read(client, world, kind) for kind in KINDS if kind.name in NEEDED]
    refused = await asyncio.gather(*kinds, _read_policies(client, world))
    return world, tuple(denied for each in refused for denied in each)


async def _read(client: ClusterClient, world: World, kind: Kind) -> list[Denied]:
    """List a kind in the newest version that the server lets us read; tell what it refused if it was none."""
    refused: list[Denied] = []
    for version in kind.versions:
        try:
            records = await client.collect(version.path, partial(version.make, cluster=client.context.name))
        except NotReadable as error:
            refused.append(_denied(client, version.resource, error))
        else:
            for record in records:
                world.put(cast("WorldRecord", record))  # what the kinds in NEEDED make
            return []
    return refused


async def _read_policies(client: ClusterClient, world: World) -> list[Denied]:
    """List every kind of policy that the server has: a list that is refused leaves what it may hold unknown."""
    try:
        served = await served_versions(client)
    except NotReadable as error:
        world.put(unread_policies("policies of every API", error.why))
        return [_denied(client, GROUPS_PATH, error)]
    refused = []
    for listed in POLICY_LISTS:
        if listed.api_version not in served:
            continue
        try:
            policies: list[Policy | OpaquePolicy] = await client.collect(listed.path, listed.make)
        except NotReadable as error:
            if error.status != 404:  # the group has other kinds
                world.put(unread_policies(listed.resource, error.why))
                refused.append(_denied(client, listed.resource, error))
            continue
        for policy in policies:
            world.put(policy)
    return refused


def _denied(client: ClusterClient, what: str, error: NotReadable) -> Denied:
    return Denied(cluster=client.context.name, what=f"list {what}", why=error.why)
