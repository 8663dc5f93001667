"""Read one cluster: all lists at once, what may not be read is counted and said, never fatal."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.kinds import GROUPS_PATH, KINDS, OTHER_POLICIES, Kind
from kubeshield_tui.cluster.served import other_policies
from kubeshield_tui.discovery.catalogue import Catalogue
from kubeshield_tui.discovery.estate import Estate
from kubeshield_tui.model.cluster import Denied, Inventory, Skipped
from kubeshield_tui.model.endpoint import Endpoint


class Discovery(NamedTuple):
    """What one cluster said of itself."""

    estate: Estate
    denied: tuple[Denied, ...]

    @property
    def inventory(self) -> Inventory:
        """All records."""
        return self.estate.inventory()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Everything that can be asked."""
        return self.estate.endpoints()

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was found and is not asked, and why."""
        return self.estate.skipped


async def discover(client: ClusterClient, catalogue: Catalogue | None = None) -> Discovery:
    """Read a cluster. Raises ClusterError only where the API does not answer any more.

    `catalogue` tells what to look for; without one it is the product's own.
    """
    estate = Estate(client.context, client.version, catalogue)
    refusals = await asyncio.gather(
        *(_read(client, kind, estate) for kind in KINDS), _read_other_policies(client, estate)
    )
    return Discovery(estate, tuple(denied for each in refusals for denied in each))


async def _read_other_policies(client: ClusterClient, estate: Estate) -> tuple[Denied, ...]:
    """List the kinds of policy that the server has beside NetworkPolicy."""
    try:
        kinds = await other_policies(client)
    except NotReadable as error:
        return (Denied(cluster=client.context.name, what=f"list {GROUPS_PATH}", why=error.why),)
    refusals = await asyncio.gather(*(_read(client, kind, estate) for kind in kinds))
    return tuple(denied for each in refusals for denied in each)


async def _read(client: ClusterClient, kind: Kind, estate: Estate) -> tuple[Denied, ...]:
    """List a kind in the newest version that the server lets us read; tell what it refused if it was none."""
    cluster = client.context.name
    refused: dict[str, str] = {}
    for version in kind.versions:
        try:
            estate.replace(kind.kept_as, await client.collect(version.path, partial(version.make, cluster=cluster)))
        except NotReadable as error:
            if error.status != 404 or kind not in OTHER_POLICIES:  # an API may have some of its kinds only
                refused.setdefault(version.resource, error.why)
        else:
            return ()
    return tuple(Denied(cluster=cluster, what=f"list {what}", why=why) for what, why in refused.items())
