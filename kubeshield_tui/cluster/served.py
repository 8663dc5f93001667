"""Which kinds of policy a server has: asked of it before they are listed, since most servers have few of them.

A server refuses what it does not have like what one may not read, so a refusal alone tells nothing.
"""

from __future__ import annotations

from kubeshield_tui.cluster.client import ClusterClient
from kubeshield_tui.cluster.kinds import GROUPS_PATH, OTHER_POLICIES, Kind
from kubeshield_tui.cluster.raw import objects, text


async def served_versions(client: ClusterClient) -> set[str]:
    """Group and version of every API that a server has. Raises NotReadable where it does not tell."""
    told = await client.request("GET", GROUPS_PATH)
    versions = [version for group in objects(told.get("groups")) for version in objects(group.get("versions"))]
    return {text(version.get("groupVersion")) for version in versions}


async def other_policies(client: ClusterClient) -> tuple[Kind, ...]:
    """Kinds of policy beside NetworkPolicy whose API a server has. Raises as `served_versions`."""
    served = await served_versions(client)
    return tuple(kind for kind in OTHER_POLICIES if kind.path.removeprefix("/apis/").rpartition("/")[0] in served)
