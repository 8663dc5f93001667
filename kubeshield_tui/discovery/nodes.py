"""What runs on every node: kubelet, kube-proxy, container engines, and the tunnels between nodes."""

from __future__ import annotations

from collections.abc import Iterator

from kubeshield_tui.discovery import catalogue
from kubeshield_tui.discovery.catalogue import Row, Where
from kubeshield_tui.discovery.control_plane import can_be_in, on_node
from kubeshield_tui.discovery.ground import Ground
from kubeshield_tui.model.cluster import NodeRecord
from kubeshield_tui.model.endpoint import Endpoint

NODES_WHOLE = 50
"""Nodes on which every component is asked; on further ones the kubelet's two ports, which matter most."""
ALWAYS = frozenset({catalogue.KUBELET, catalogue.KUBELET_READ_ONLY})
DOCKER_TLS = "docker-api-tls"


def components(ground: Ground) -> Iterator[Endpoint]:
    """Each node's components, at all its addresses."""
    rows = (*ground.rows(Where.NODE), *ground.rows(Where.OVERLAY))
    asked = [row for row in rows if can_be_in(row, ground)]
    for number, node in enumerate(ground.nodes):
        for row in asked:
            if (number < NODES_WHOLE or row.component in ALWAYS) and _is_on(row, node):
                for port in (node.kubelet_port,) if row.component == catalogue.KUBELET else row.ports:
                    yield from on_node(ground, node, row, port)
    more = len(ground.nodes) - NODES_WHOLE
    if more > 0:
        left = ", ".join(row.component for row in asked if row.component not in ALWAYS)
        ground.skip(f"{more} of {len(ground.nodes)} nodes", f"only the kubelet is asked there, not {left}")
    silent = [f"{row.component} {'/'.join(map(str, row.ports))}" for row in rows if not row.asked]
    if silent and ground.nodes:
        why = "no packet tells whether they are open; the firewalls of the nodes do"
        ground.skip(f"{', '.join(silent)} of {len(ground.nodes)} nodes", why)


def _is_on(row: Row, node: NodeRecord) -> bool:
    """Docker behind TLS is asked where Docker runs; its open port everywhere, for it is an open door to the node."""
    return row.component != DOCKER_TLS or not node.runtime or node.runtime.startswith("docker://")
