"""The rows of a session's grid, and what is told when they come, change and go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import time
from typing import TYPE_CHECKING

from kubeshield_tui.discovery.roster import Change, Roster
from kubeshield_tui.model import event as happened

if TYPE_CHECKING:
    from kubeshield_tui.discovery.estate import Estate


class Rows:
    """The roster that the clusters of a session share."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self.turn = asyncio.Lock()
        """Held by the cluster that changes its estate and works out the rows: in a thread, so only one at a time."""


def first_events(estate: Estate, change: Change) -> Iterator[happened.Event]:
    """What is told of a cluster that was read as a whole."""
    yield happened.ClusterRead(at=time(), inventory=estate.inventory())
    yield from change_events(change)


def change_events(change: Change) -> Iterator[happened.Event]:
    """Contexts that turned out to be one cluster, then rows that went, came or changed."""
    for context, twin in change.twins:
        yield happened.Progress(at=time(), phase=f"{context} names the same cluster as {twin}: its rows are {twin}'s")
    for gone in change.gone:
        yield happened.EndpointGone(at=time(), endpoint=gone)
    for found in change.found:
        yield happened.EndpointFound(at=time(), endpoint=found)
