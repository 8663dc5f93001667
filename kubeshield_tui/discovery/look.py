"""From the records of one cluster to its endpoints, each place once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

import msgspec

from kubeshield_tui.discovery import control_plane, entrances, nodes, pods
from kubeshield_tui.discovery.ground import Ground
from kubeshield_tui.discovery.hosts import place_of
from kubeshield_tui.discovery.workloads import Services
from kubeshield_tui.model.cluster import Skipped
from kubeshield_tui.model.endpoint import Endpoint, Scope

SOURCES_NAMED = 3
"""Objects named as the source of one row; a load balancer may serve hundreds of Ingresses."""


class View(NamedTuple):
    """What follows from the records."""

    endpoints: tuple[Endpoint, ...]
    skipped: tuple[Skipped, ...]


def look(ground: Ground) -> View:
    """Find everything that can be asked; what matters most comes first and keeps the place that several name."""
    found = chain(
        control_plane.api_servers(ground),
        control_plane.components(ground),
        nodes.components(ground),
        control_plane.metadata(ground),
        Services(ground),
        pods.host_ports(ground),
        pods.add_ons(ground),
        entrances.ingresses(ground),
        entrances.webhooks(ground),
    )
    return View(joined(found), tuple(dict.fromkeys(ground.skipped)))


def joined(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Make one row of all that is at one place; the first keeps its name and id, the others are named as sources.

    On a node's own addresses (loopback, metadata) several components are asked differently at one place.
    """
    at: dict[tuple[object, ...], list[Endpoint]] = {}
    for endpoint in endpoints:
        asked_as = endpoint.component if endpoint.scope is Scope.NODE else ""
        at.setdefault((*place_of(endpoint), asked_as), []).append(endpoint)
    unique: dict[str, Endpoint] = {}
    for rows in at.values():
        unique.setdefault(rows[0].id, rows[0] if len(rows) == 1 else _one_of(rows))
    return tuple(unique.values())


def _one_of(rows: list[Endpoint]) -> Endpoint:
    sources = list(dict.fromkeys(row.source for row in rows if row.source))
    more = len(sources) - SOURCES_NAMED
    named = "; ".join(sources[:SOURCES_NAMED]) + (f"; and {more} more" if more > 0 else "")
    first = rows[0]
    served = next((row for row in rows if row.backends), first)
    return msgspec.structs.replace(
        first, source=named, backends=served.backends, backend_port=served.backend_port, node=first.node or served.node
    )
