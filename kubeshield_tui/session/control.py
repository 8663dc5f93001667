"""What a front end may ask of a session: intents in, state out. The dashboard and the audit use nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings

if TYPE_CHECKING:
    from kubeshield_tui.session.chains import Chains
    from kubeshield_tui.session.firewalls import Firewalls
    from kubeshield_tui.session.remedies import Remedies
    from kubeshield_tui.session.worlds import Worlds


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

    @property
    def chains(self) -> Chains:
        """The layers on the way of every cell, and what would be without some of them."""
        ...

    @property
    def firewalls(self) -> Firewalls:
        """Hosts whose rules were read, and the ways of cells through them."""
        ...

    @property
    def worlds(self) -> Worlds:
        """Each cluster as policies see it."""
        ...

    async def read_rules(self, key: CellKey, *, with_pods: bool = False) -> None:
        """Read what decides on packets at the hosts on a cell's way, read-only; the answers are in `store.sources`.

        `with_pods`: the user agreed to the pods that nodes need which SSH does not lead to.
        """
        ...

    async def witness(self, key: CellKey, *, with_pods: bool = False) -> None:
        """Send a cell's probe between two readings of the hosts on its way; it is in `store.witnesses`."""
        ...

    @property
    def remedies(self) -> Remedies:
        """How to close what was found: proposed, applied after an explicit yes, taken back."""
        ...
