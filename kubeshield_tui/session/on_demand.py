"""What people ask of a session while it runs: second looks, hosts' rules, self-tests, remedies; loaded on demand."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.session.doors import ClusterWait
from kubeshield_tui.session.remedies import Remedies
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.vantages.vantage import VantagePoint

if TYPE_CHECKING:
    from kubeshield_tui.session.chains import Chains
    from kubeshield_tui.session.firewalls import Firewalls
    from kubeshield_tui.session.host_rules import HostRules

RULES_SECONDS = 5.0
"""How often a live session looks whether hosts must be read again."""
RULES_REST = 9.0
"""How many times as long as reading took it rests: a tenth of the time at most."""


class OnDemand(ABC):
    """The part of a session that only acts when it is asked to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store()
        self.worlds = Worlds(self.store)
        """Each cluster as policies see it."""
        self._points: dict[VantageId, VantagePoint] = {}
        self._clusters = ClusterWait(())
        self._self_tests: dict[str, asyncio.Task[None]] = {}
        """The last of each cluster."""
        self.remedies = Remedies(self, lambda: self._clusters, self._happen)
        """How to close what was found: proposed, applied, taken back."""
        self._closed = False

    @abstractmethod
    def ask_again(self, keys: Iterable[CellKey]) -> int:
        """Ask cells again now, ahead of the others."""

    @abstractmethod
    def _happen(self, event: happened.Event) -> None: ...

    @abstractmethod
    def _probe_for(self, key: CellKey) -> Probe | None: ...

    async def self_test(self, cluster: str) -> None:
        """Show whether a cluster enforces policies, with objects of our own: after a yes to them."""
        from kubeshield_tui.session.selftest import self_test_into

        task = self._self_tests.get(cluster)
        if (task is None or task.done()) and not self._closed:
            job = self_test_into(self._clusters, cluster, self.settings.pod_image, self._happen)
            task = self._self_tests[cluster] = asyncio.create_task(job, name=f"self-test {cluster}")
        if task is not None:
            await asyncio.shield(task)

    async def hear_opinions(self, keys: Iterable[CellKey]) -> None:
        """Ask nmap of cells, where it is installed."""
        from kubeshield_tui.session.opinions import hear_opinions

        await hear_opinions(self.store, self._points, keys, self._happen)

    async def inspect(self, key: CellKey) -> None:
        """Hold the whole safe conversation with a cell's endpoint."""
        from kubeshield_tui.session.opinions import inspect_into

        await inspect_into(self.store, self._points, key, self._happen)

    @cached_property
    def chains(self) -> Chains:
        """The layers on the way of every cell."""
        from kubeshield_tui.session.chains import Chains

        return Chains(self.store, self.worlds, self.firewalls, self.settings)

    @cached_property
    def firewalls(self) -> Firewalls:
        """Hosts whose rules were read, and the ways of cells through them."""
        from kubeshield_tui.session.firewalls import Firewalls

        return Firewalls(self.store)

    async def read_rules(self, key: CellKey, *, with_pods: bool = False) -> None:
        """Read what decides on packets at the hosts on a cell's way."""
        await self._rules.read_way(key, with_pods=with_pods)

    async def witness(self, key: CellKey, *, with_pods: bool = False) -> None:
        """Watch a probe of a cell pass the hosts on its way."""
        probe = self._probe_for(key)
        if probe is not None:
            await self._rules.witness(key, probe, with_pods=with_pods)

    async def _keep_rules(self) -> None:
        """As long as it lives and is not paused: read hosts again that were read, before what they said is too old."""
        took = 0.0
        while not self._closed:
            # A cluster in which rows come all the time must not keep its hosts, and us, busy with reading.
            await asyncio.sleep(max(RULES_SECONDS, RULES_REST * took))
            begun = monotonic()
            if self.store.sources and not self.store.paused:
                await self._rules.read_due()
            took = monotonic() - begun

    @cached_property
    def _rules(self) -> HostRules:
        from kubeshield_tui.session.host_rules import HostRules

        return HostRules(self.store, self.firewalls, self._points, self._clusters, self.settings, self._happen)
