"""A node as the place of a pod of our own: whether it is there and can take one. Reads only."""

from __future__ import annotations

from typing import Any

from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.raw import as_dict, as_list
from kubeshield_tui.errors import VantageError
from kubeshield_tui.model.text import printable

SYSTEM_LABEL, ARCHITECTURE_LABEL = "kubernetes.io/os", "kubernetes.io/arch"


def unfit(node: dict[str, Any]) -> str:
    """Why no pod of ours can run on a node, empty where one can. A node that says nothing of itself is taken as fit."""
    system = as_dict(as_dict(node.get("metadata")).get("labels")).get(SYSTEM_LABEL, "linux")
    if system != "linux":
        return f"it runs {printable(system, 40)}, and own pods need Linux"
    for condition in map(as_dict, as_list(as_dict(node.get("status")).get("conditions"))):
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            return "it is not Ready"
    return ""


def architecture(node: dict[str, Any]) -> str:
    """Return `amd64`, `arm64`, ... as the node's kubelet labels it; empty where that is not known."""
    return str(as_dict(as_dict(node.get("metadata")).get("labels")).get(ARCHITECTURE_LABEL, ""))


async def require_node(client: ClusterClient, name: str) -> dict[str, Any]:
    """Look at a node before a pod is put there: a pod that names one that does not exist would wait for ever.

    Returns what the API says of it. Raises VantageError for one that is not there or is unfit, ClusterError where the
    server can't be asked. Who may not read nodes goes on with nothing: the pod will tell.
    """
    try:
        node = await client.request("GET", f"/api/v1/nodes/{name}")
    except NotReadable as error:
        if error.status == 404:
            raise VantageError(f"there is no node {name}", "kubectl get nodes shows what is there") from error
        return {}
    if why := unfit(node):
        raise VantageError(f"node {name} can't take a pod: {why}", "Choose another node, or reach it over ssh:")
    return node
