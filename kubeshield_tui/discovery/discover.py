"""Read one cluster: all lists at once, what may not be read is counted and said, never fatal."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.kinds import KINDS, Kind
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
    refusals = await asyncio.gather(*(_read(client, kind, estate) for kind in KINDS))
    return Discovery(estate, tuple(denied for each in refusals for denied in each))


async def _read(client: ClusterClient, kind: Kind, estate: Estate) -> tuple[Denied, ...]:
    """List a kind in the newest version that the server lets us read; tell what it refused if it was none."""
    cluster = client.context.name
    refused: dict[str, str] = {}
    for version in kind.versions:
        try:
            estate.replace(kind.name, await client.collect(version.path, partial(version.make, cluster=cluster)))
        except NotReadable as error:
            refused.setdefault(version.resource, error.why)
        else:
            return ()
    return tuple(Denied(cluster=cluster, what=f"list {what}", why=why) for what, why in refused.items())
