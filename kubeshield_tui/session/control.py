"""What a front end may ask of a session: intents in, state out. The dashboard and the audit use nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings


class SessionControl(Protocol):
    """A running session as its front ends see it."""

    settings: Settings
    store: Store

    async def run(self) -> None:
        """Read the clusters, open the vantages, sweep, then keep asking until `close` or cancellation.

        What fails is an event in the store; nothing is raised but SettingsError before anything was asked.
        """
        ...

    async def close(self) -> None:
        """End all probes, close all vantages, remove what was created; what was removed or left stands in the store."""
        ...

    def ask_again(self, keys: Iterable[CellKey]) -> int:
        """Ask these cells again now, ahead of the others; returns how many can be asked."""
        ...

    def pause(self, paused: bool) -> None:
        """Stop asking, or go on. Answers under way still arrive."""
        ...

    async def self_test(self, cluster: str) -> None:
        """Show whether a cluster (by context) enforces policies; the answer is in `store.self_tests`, failures too.

        Makes the objects that `objects_of_self_test` names, so a front end calls it after a yes to them. It goes on if
        the caller leaves, and is over before the session is.
        """
        ...

    async def hear_opinions(self, keys: Iterable[CellKey]) -> None:
        """Ask nmap of these cells, where it is installed; the answers are in `store.opinions`, failures too."""
        ...

    async def inspect(self, key: CellKey) -> None:
        """Hold the whole safe conversation with a cell's endpoint; it is in `store.inspections`, failures too."""
        ...

    async def collect_host(self, vantage: VantageId) -> None:
        """Read what decides on packets at an SSH vantage's host, read-only; the answer is in `store.sources`."""
        ...
