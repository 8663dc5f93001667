"""Which door opens for what the settings name. Libraries are imported here, when they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubeshield_tui.errors import SettingsError, VantageError
from kubeshield_tui.model.event import Event
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.vantage import VantageFacts, VantageKind, VantageSpec
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.ssh_channel import CommandResult
from kubeshield_tui.vantages.vantage import VantagePoint

if TYPE_CHECKING:
    from kubeshield_tui.cluster.client import ClusterClient

LocalChannel = Callable[[], Awaitable[Channel]]
MOST_CREATING = 8
"""Own pods that are made at once."""


def resolve_contexts(settings: Settings) -> tuple[str, ...]:
    """Contexts of this run, checked against the kubeconfig. Raises SettingsError."""
    needs_cluster = settings.discovery or settings.is_open_ended or settings.self_test
    needs_cluster = needs_cluster or any(spec.kind is VantageKind.POD or spec.creates_pod for spec in settings.vantages)
    if not needs_cluster:
        return ()
    from kubeshield_tui.cluster.kubeconfig import read_kubeconfig

    try:
        kubeconfig = read_kubeconfig(settings.kubeconfig)
    except SettingsError as error:
        nodes = [spec.node for spec in settings.vantages if spec.kind is VantageKind.NODE and spec.creates_pod]
        other = f"; or give ssh_config a Host {nodes[0]}, and the node is asked over SSH" if nodes else ""
        raise SettingsError(error.message, f"{error.hint}{other}") from error
    wanted = settings.contexts or (kubeconfig.current,)
    return tuple(dict.fromkeys(kubeconfig.context(name).name for name in wanted))


async def connect_cluster(context: str, kubeconfig: Path | None) -> ClusterClient:
    """Connect to a context's API. Raises ClusterError."""
    from kubeshield_tui.cluster.client import connect

    return await connect(context, kubeconfig)


class ClusterWait:
    """Clusters by context, as they answer: a pod vantage waits here for the one that it is in."""

    def __init__(self, contexts: tuple[str, ...]) -> None:
        self.first = contexts[0] if contexts else ""
        self._clients: dict[str, asyncio.Future[ClusterClient | None]] = {}
        self.contexts = contexts
        self.creating = asyncio.Semaphore(MOST_CREATING)
        """Held while an own pod is made: columns fill as places come free, and no server meets a burst."""

    def start(self) -> None:
        """Make the futures; needs a running loop."""
        loop = asyncio.get_running_loop()
        self._clients = {context: loop.create_future() for context in self.contexts}

    def answered(self, context: str, client: ClusterClient | None) -> None:
        """Tell that a cluster was connected, or could not be (None)."""
        if not self._clients[context].done():
            self._clients[context].set_result(client)

    async def client(self, context: str) -> ClusterClient:
        """Return the client. Raises VantageError if the cluster can't be reached."""
        future = self._clients.get(context or self.first)
        client = await asyncio.shield(future) if future is not None else None
        if client is None:
            raise VantageError(f"cluster {context or self.first} can't be reached", "Its pods can't be asked")
        return client

    def clients(self) -> tuple[ClusterClient, ...]:
        """Clients that are connected."""
        done = (future.result() for future in self._clients.values() if future.done() and not future.cancelled())
        return tuple(client for client in done if client is not None)


class WaitingPod:
    """A pod vantage that is made once its cluster answered."""

    def __init__(
        self, spec: VantageSpec, clusters: ClusterWait, settings: Settings, report: Callable[[Event], None]
    ) -> None:
        self.spec = spec
        self._clusters = clusters
        self._settings = settings
        self._report = report
        self._point: VantagePoint | None = None

    async def open(self) -> VantageFacts:
        """Wait for the cluster, then open. Raises VantageError."""
        if self._point is None:
            client = await self._clusters.client(self.spec.cluster)
            from kubeshield_tui.vantages.pod import PodVantage

            self._point = PodVantage(
                self.spec,
                client,
                image=self._settings.pod_image,
                settle=self._settings.pod_settle,
                report=self._report,
            )
        if not self.spec.creates_pod:
            return await self._point.open()
        async with self._clusters.creating:
            return await self._point.open()

    async def ask(self, probe: Probe) -> Observation:
        """Ask through the pod."""
        if self._point is None:
            raise VantageError(f"{self.spec.text} is not open")
        return await self._point.ask(probe)

    async def run(self, argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        """Run a program in the pod. Raises VantageError."""
        from kubeshield_tui.vantages.pod import PodVantage

        if not isinstance(self._point, PodVantage):
            raise VantageError(f"{self.spec.text} is not open")
        return await self._point.run(argv, timeout=timeout, limit=limit)

    async def close(self) -> None:
        """Close the pod's vantage, if it was made."""
        if self._point is not None:
            await self._point.close()


def check_files(specs: Iterable[VantageSpec]) -> None:
    """Read the files of recorded vantages once, before anything is sent. Raises SettingsError naming the file."""
    for spec in specs:
        if spec.file:
            from kubeshield_tui.vantages.recorded import read_file

            try:
                read_file(spec)
            except VantageError as error:
                raise SettingsError(f"--vantage {spec.text}: {error.message}", error.hint) from error


def make_vantage(
    spec: VantageSpec,
    settings: Settings,
    clusters: ClusterWait,
    local_channel: LocalChannel | None,
    report: Callable[[Event], None],
) -> VantagePoint:
    """Make the vantage of a spec; nothing is connected before it is opened."""
    match spec.kind:
        case VantageKind.LOCAL:
            from kubeshield_tui.vantages.local import LocalVantage

            return LocalVantage(spec, connect=local_channel)
        case VantageKind.SSH:
            return _over_ssh(spec, settings)
        case VantageKind.NODE if spec.host:
            return _over_ssh(spec, settings)
        case VantageKind.POD | VantageKind.NODE:
            return WaitingPod(spec, clusters, settings, report)
        case VantageKind.SCRIPT | VantageKind.NMAP:
            from kubeshield_tui.vantages.recorded import RecordedVantage

            return RecordedVantage(spec)


def _over_ssh(spec: VantageSpec, settings: Settings) -> VantagePoint:
    from kubeshield_tui.vantages.ssh import SshVantage

    return SshVantage(spec, ssh_config=settings.ssh_config)
