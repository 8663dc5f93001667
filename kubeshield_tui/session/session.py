"""The composition root: clusters, vantages, engine and judgement, joined by events.

Everything that happens goes through `_happen`: the store folds it, the record and the listeners get it, and only then
do we react to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from time import time
from typing import TYPE_CHECKING

from kubeshield_tui import __version__
from kubeshield_tui.cluster.rights import VERSION_READ
from kubeshield_tui.discovery.catalogue import builtin, load
from kubeshield_tui.discovery.imported import with_open_ports
from kubeshield_tui.discovery.roster import Roster
from kubeshield_tui.engine.run import Engine
from kubeshield_tui.errors import KubeShieldError
from kubeshield_tui.judgement.expectations import Expectations, known_components
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Denied
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe, probe_of
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import Vantage, VantageKind
from kubeshield_tui.session.asking import Asking
from kubeshield_tui.session.doors import (
    ClusterWait,
    LocalChannel,
    check_files,
    connect_cluster,
    make_vantage,
    resolve_contexts,
)
from kubeshield_tui.session.enforcing import require_clusters
from kubeshield_tui.session.expand import Failure, expand, require_zones, resolve_nodes
from kubeshield_tui.session.holes import Holes
from kubeshield_tui.session.offer import require_consent
from kubeshield_tui.session.on_demand import OnDemand
from kubeshield_tui.session.recorder import Recorder
from kubeshield_tui.session.rejudging import Rejudging
from kubeshield_tui.session.rows import Rows, change_events, first_events
from kubeshield_tui.session.verdicts import Verdicts
from kubeshield_tui.settings.expect_file import Declared, read_expectations
from kubeshield_tui.settings.runtime import tune_collector
from kubeshield_tui.settings.schema import Settings

if TYPE_CHECKING:
    from kubeshield_tui.cluster.client import ClusterClient

AUDIT_RECONNECTS = 4
"""Attempts to regain a lost vantage before an audit gives it up; a live session never does."""
REVIEW_SECONDS = 5.0
"""How often a live session looks whether other things are declared now, and what each line comes to."""
SETTLE_SECONDS = 0.02
"""How often an audit looks whether it is done."""

Listener = Callable[[happened.Event], None]


class Session(OnDemand):
    """One run over an estate. Use `run` (live) or `audit` (once), then `close`, which is safe to call always."""

    def __init__(
        self, settings: Settings, *, local_channel: LocalChannel | None = None, listeners: Iterable[Listener] = ()
    ) -> None:
        super().__init__(settings)
        self._local_channel = local_channel
        self._listeners = list(listeners)
        self._holes = Holes(self.store, self._happen, settings)
        self._catalogue = builtin()
        self._rows = Rows(Roster())
        self._notes: tuple[str, ...] = ()
        self._unread: tuple[Failure, ...] = ()
        self._engine: Engine | None = None
        self._verdicts: Verdicts | None = None
        self._rejudging: Rejudging | None = None
        self._asking: Asking | None = None
        self._recorder: Recorder | None = None
        self._followers: list[asyncio.Task[None]] = []
        """One a cluster that is followed, in a live session."""
        self._expectations = Expectations()

    def prepare(self) -> None:
        """Check everything that can be checked without connecting anywhere. Raises SettingsError."""
        settings = self.settings = resolve_nodes(self.settings)
        contexts = resolve_contexts(settings)
        require_clusters(settings, contexts)
        self._catalogue = load(settings.catalogue)
        targets: tuple[Endpoint, ...] = ()
        if settings.targets is not None:
            from kubeshield_tui.discovery.targets_file import read_targets

            targets = read_targets(settings.targets, self._catalogue)
        check_files(settings.vantages)
        self._rows = Rows(Roster(contexts, with_open_ports(targets, settings.vantages, self._catalogue)))
        if not settings.is_open_ended:
            require_zones(settings)
            require_consent(settings, contexts)
        self._clusters = ClusterWait(contexts)
        known = known_components(self._catalogue)
        declared = read_expectations(settings.expect, known) if settings.expect is not None else Declared()
        self._expectations = Expectations(lambda: self.store.clusters, self._catalogue, declared, time())

    async def run(self) -> None:
        """Sweep, then keep asking until cancelled or closed."""
        self.prepare()
        await self._expand()
        try:
            await self._start(live=True)
            self._say("watching")
            await asyncio.gather(*self._followers, self._keep_to_expectations(), self._keep_rules())
        finally:
            await self.close()

    async def audit(self) -> None:
        """Sweep once, confirm what needs confirming, close. The outcome is the store."""
        self.prepare()
        await self._expand()
        try:
            async with asyncio.timeout(self.settings.time_limit):
                await self._start(live=False)
                if self.settings.self_test:
                    await asyncio.gather(*(self.self_test(context) for context in self._clusters.contexts))
                await self._settle()
        except TimeoutError:
            if self._asking is not None:
                self._asking.time_is_up(self.settings.time_limit)
        finally:
            await self.close()

    async def close(self) -> None:
        """End all probes, close all vantages and clusters, remove what was created."""
        if self._closed:
            return
        self._closed = True
        tests = self._self_tests.values()
        for task in (*self._followers, *tests):
            task.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)
        await self.remedies.close()
        if self._engine is not None:
            self._say("closing vantages")
            await self._engine.stop()
        await asyncio.gather(*tests, return_exceptions=True)
        if self._rejudging is not None:
            self._rejudging.finish()
        self._holes.finish()
        for client in self._clusters.clients():
            with contextlib.suppress(Exception):
                await client.close()
        if self._verdicts is not None:
            self._verdicts.review()
        from kubeshield_tui.session.coverage import incomplete

        self._happen(happened.SessionEnded(at=time(), incomplete=incomplete(self.store)))
        if self._recorder is not None:
            self._recorder.close()

    def ask_again(self, keys: Iterable[CellKey]) -> int:
        """Ask cells again now, ahead of the others."""
        return self._asking.again(keys) if self._asking else 0

    def pause(self, paused: bool) -> None:
        """Stop asking, or go on."""
        if self._engine is not None:
            self._engine.pause(paused)
            self._happen(happened.Paused(at=time(), paused=paused))

    # --- starting

    async def _expand(self) -> None:
        """Make vantages of the flags that name none, before anything else begins. Raises ConsentMissing."""
        expansion = await expand(self.settings, self._clusters.contexts)
        require_zones(expansion.settings)
        require_consent(expansion.settings, self._clusters.contexts)
        self.settings, self._notes, self._unread = expansion
        if self.settings.record is not None:
            self._recorder = Recorder(self.settings.record)

    async def _start(self, *, live: bool) -> None:
        tune_collector()
        settings = self.settings
        title = settings.title or ", ".join(self._clusters.contexts) or "targets"
        self._happen(happened.SessionStarted(at=time(), title=title, version=__version__, simulated=settings.simulated))
        engine = Engine(settings.limits, self._probe_for, self._happen, None if live else AUDIT_RECONNECTS)
        self._engine = engine
        self._verdicts = Verdicts(self.store, engine, self._happen, live, self._expectations, self.chains.of)
        self._rejudging = Rejudging(self.store, self.chains.changed, self._verdicts.judge_again)
        self._asking = Asking(self.store, engine, self._verdicts, self._happen)
        self._clusters.start()
        if settings.catalogue is not None:
            self._say(f"rows of {printable(settings.catalogue, 200)} lie over the catalogue")
        for note in self._notes:
            self._say(note)
        for context, message, hint in self._unread:
            self._happen(happened.ClusterFailed(at=time(), context=context, message=message, hint=hint))
        self._add_vantages(engine)
        for event in change_events(self._rows.roster.begin()):
            self._happen(event)
        if self._clusters.contexts:
            self._say("reading clusters")
        async with asyncio.TaskGroup() as group:
            for context in self._clusters.contexts:
                group.create_task(self._read_cluster(context, live=live))
            if settings.read_firewalls:
                group.create_task(self._rules.read_all(with_pods=settings.firewall_pods and settings.consent))
        if settings.read_firewalls:
            await self._rules.look()  # once the clusters say which hosts are nodes
        self._say("first sweep")

    def _add_vantages(self, engine: Engine) -> None:
        for spec in self.settings.vantages:
            in_cluster = spec.kind in {VantageKind.POD, VantageKind.NODE}
            cluster = (spec.cluster or self._clusters.first) if in_cluster else ""
            vantage = Vantage(id=spec.id, spec=spec, zone=self.settings.zone_of(spec), cluster=cluster)
            self._happen(happened.VantageAdded(at=time(), vantage=vantage))
            point = make_vantage(spec, self.settings, self._clusters, self._local_channel, self._happen)
            self._points[spec.id] = point
            engine.add(spec.id, point)

    async def _read_cluster(self, context: str, *, live: bool) -> None:
        try:
            client = await connect_cluster(context, self.settings.kubeconfig)
        except KubeShieldError as error:
            self._clusters.answered(context, None)
            self._cluster_failed(context, error)
            return
        self._clusters.answered(context, client)
        if not self.settings.discovery:
            return
        if not client.version:
            denied = Denied(cluster=context, what=VERSION_READ, why="not told")
            self._happen(happened.ReadDenied(at=time(), denied=denied))
        if live:
            await self._follow_cluster(client)
            return
        from kubeshield_tui.discovery.discover import discover

        try:
            found = await discover(client, self._catalogue)
        except KubeShieldError as error:
            self._cluster_failed(context, error)
            return
        change = self._rows.roster.read(found.estate)
        for event in first_events(found.estate, change):
            self._happen(event)
        for denied in found.denied:
            self._happen(happened.ReadDenied(at=time(), denied=denied))

    async def _follow_cluster(self, client: ClusterClient) -> None:
        """Follow a cluster from now on; returns when its first picture stands."""
        from kubeshield_tui.discovery.estate import Estate
        from kubeshield_tui.session.live import LiveCluster

        estate = Estate(client.context, client.version, self._catalogue)
        assert self._asking is not None
        cluster = LiveCluster(client, estate, self._rows, self.store, self._happen, self._asking.changed)
        self._followers.append(asyncio.create_task(cluster.run(), name=f"cluster {client.context.name}"))
        await cluster.started.wait()

    def _cluster_failed(self, context: str, error: KubeShieldError) -> None:
        message = printable(error.message, 500)
        self._happen(
            happened.ClusterFailed(at=time(), context=context, message=message, hint=printable(error.hint, 500))
        )

    # --- reacting

    def _happen(self, event: happened.Event) -> None:
        before: Observation | None = None
        known: Endpoint | None = None
        if isinstance(event, happened.EndpointFound):
            known = self.store.endpoints.get(event.endpoint.id)
        elif isinstance(event, happened.CellObserved):
            if event.observation.endpoint not in self.store.endpoints:
                return  # it went while it was being asked
            before = self.store.cell(event.observation.key).observation
        self.store.apply(event)
        self.worlds.told(event)
        if self._recorder is not None:
            self._recorder(event)
        for listener in self._listeners:
            listener(event)
        self._holes.told(event)
        if self._rejudging is not None:
            self._rejudging.told(event)
        if self._verdicts is None or self._asking is None:
            return
        match event:
            case happened.CellObserved():
                now = event.observation
                changed = before is not None and (before.state, before.reason) != (now.state, now.reason)
                self._verdicts.observed(now, changed)
            case happened.EndpointFound():
                self._asking.endpoint_found(event.endpoint, known)
            case happened.EndpointGone():
                self._asking.endpoint_gone(event.endpoint)
            case happened.VantageChanged():
                self._asking.vantage_changed(event)
                if event.facts is not None:
                    self._verdicts.refresh()
            case happened.ClusterRead() | happened.ClusterChanged():
                self._verdicts.refresh()

    def _probe_for(self, key: CellKey) -> Probe | None:
        endpoint = self.store.endpoints.get(key.endpoint)
        return None if endpoint is None else probe_of(endpoint, key.vantage, self.settings.timing)

    async def _keep_to_expectations(self) -> None:
        """As long as it lives: judge by what is declared now, and say what each line comes to."""
        while self._verdicts is not None:
            self._verdicts.refresh()
            self._verdicts.review()
            await asyncio.sleep(REVIEW_SECONDS)

    # --- ending

    async def _settle(self) -> None:
        engine = self._engine
        # Lanes, schedule and opening all count: a look now and then is simpler than an event from each of them.
        while engine is not None and (engine.is_opening or engine.is_busy):
            if engine.failure is not None:
                raise engine.failure
            await asyncio.sleep(SETTLE_SECONDS)

    def _say(self, phase: str) -> None:
        self._happen(happened.Progress(at=time(), phase=phase))
