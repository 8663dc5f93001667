"""A pod as a vantage: an existing one by exec, or one of our own made for it after consent (for a node too)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.exec import ExecStream, exec_in_pod
from kubeshield_tui.cluster.raw import as_dict, as_list
from kubeshield_tui.cluster.resources import pod_record
from kubeshield_tui.cluster.rights import Feature
from kubeshield_tui.errors import ClusterError, VantageError, VantageLost
from kubeshield_tui.model.event import Event, ObjectRemoved
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.vantage import VantageFacts, VantageKind, VantageSpec
from kubeshield_tui.vantages.asker import Asker, Runner
from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.ladder import HINT, climb
from kubeshield_tui.vantages.own_pod import OwnPod
from kubeshield_tui.vantages.ssh_channel import CommandResult
from kubeshield_tui.vantages.sweep import sweep

ON_HOST = "it stands in its node's own network (hostNetwork): what NetworkPolicies do to pods is not seen from here"
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


class ExecChannel:
    """An exec's stream as a vantage's channel."""

    def __init__(self, stream: ExecStream) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        """Return the next piece of output. Raises VantageLost."""
        try:
            return await self._stream.read()
        except ClusterError as error:
            raise VantageLost(error.message) from error

    async def write(self, data: bytes) -> None:
        """Write to the process. Raises VantageLost."""
        try:
            await self._stream.write(data)
        except ClusterError as error:
            raise VantageLost(error.message) from error

    def complaint(self) -> str:
        """Return what the process or the server said."""
        return self._stream.complaint()

    async def close(self) -> None:
        """Close the stream."""
        await self._stream.close()


class PodVantage:
    """Asks from a pod."""

    def __init__(
        self,
        spec: VantageSpec,
        client: ClusterClient,
        *,
        image: str,
        settle: float,
        report: Callable[[Event], None],
    ) -> None:
        self.spec = spec
        self._client = client
        self._image = image
        self._settle = settle
        self._report = report
        self._own: OwnPod | None = None
        self._link: Asker | None = None
        self._at: tuple[str, str, str] | None = None
        """Namespace, pod and container that asks."""

    async def open(self) -> VantageFacts:
        """Find or make the pod and start the agent in it, or what else can ask there. Raises VantageError."""
        await self._end_link()
        pod = await (self._own_pod() if self.spec.creates_pod else self._existing_pod())
        record = pod_record(pod, self._client.context.name)
        if record is None:
            raise VantageError(f"{self.spec.text}: the server's answer is no pod", "Is this a Kubernetes API?")
        self._link = await self._start_asker(record.namespace, record.name, _containers(pod))
        on_host = as_dict(pod.get("spec")).get("hostNetwork") is True
        return replace(
            self._link.facts,
            node=record.node,
            labels=() if on_host else record.labels,
            cannot_see=(*self._link.facts.cannot_see, *((ON_HOST,) if on_host else ())),
            created=f"Pod {record.namespace}/{record.name}" if self._own else "",
        )

    async def ask(self, probe: Probe) -> Observation:
        """Ask one probe. Raises VantageLost."""
        if self._link is None:
            raise VantageLost(f"{self.spec.text} is not open")
        return await self._link.ask(probe)

    async def run(self, argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        """Run a program in the container that asks, without input. Raises VantageError, also after `timeout` seconds.

        The server tells no exit status of its own; what it says stands in `stderr`.
        """
        if self._at is None:
            raise VantageLost(f"{self.spec.text} is not open")
        stream = await self._runner(*self._at)(argv)
        output = b""
        try:
            async with asyncio.timeout(timeout):
                while len(output) <= limit and (data := await stream.read()):
                    output += data
        except TimeoutError as error:
            raise VantageError(f"{self.spec.text}: {argv[0]} was not done within {timeout:g} s") from error
        finally:
            await stream.close()
        said = stream.complaint().encode()
        return CommandResult(exit_status=-1, stdout=output[:limit], stderr=said, truncated=len(output) > limit)

    async def close(self) -> None:
        """End the agent and remove what was made."""
        await self._end_link()
        own, self._own = self._own, None
        if own is not None:
            await own.remove()

    async def _end_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _existing_pod(self) -> dict[str, Any]:
        spec = self.spec
        try:
            pod = await self._client.request("GET", f"/api/v1/namespaces/{spec.namespace}/pods/{spec.pod}")
        except NotReadable as error:
            hint = Feature.EXEC.role_hint(spec.namespace)
            if error.status == 404:
                hint = "kubectl get pods shows what is there"
            raise VantageError(f"{spec.text}: {error.why}", hint) from error
        except ClusterError as error:
            raise VantageError(f"{spec.text}: {error.message}", error.hint) from error
        phase = as_dict(pod.get("status")).get("phase")
        if phase != "Running":
            raise VantageError(f"{spec.text}: the pod is {phase}, not Running", "Choose another pod")
        return pod

    async def _own_pod(self) -> dict[str, Any]:
        if self._own is not None:
            try:
                pod = await self._own.read()
            except ClusterError as error:
                raise VantageError(f"{self.spec.text}: {error.message}", error.hint) from error
            if pod is not None:
                return pod
            await self._own.remove()
        else:
            await self._sweep()
        self._own = OwnPod(
            self._client,
            self.spec.namespace,
            self.spec.node,
            self._image,
            self._settle,
            self._report,
            host_network=self.spec.kind is VantageKind.NODE,
        )
        return await self._own.create()

    async def _sweep(self) -> None:
        """Remove what a crashed run left in this namespace."""
        with contextlib.suppress(ClusterError):
            swept = await sweep(self._client, namespace=self.spec.namespace, quick=True)
            for shown in swept.removed:
                self._report(ObjectRemoved(at=time.time(), cluster=self._client.context.name, object=shown))

    async def _start_asker(self, namespace: str, pod: str, containers: list[str]) -> Asker:
        """Climb the ladder in one container after another. Raises VantageError."""
        failed: list[str] = []
        refused: VantageError | None = None
        for container in containers:
            try:
                asker = await climb(self._runner(namespace, pod, container), f"{namespace}/{pod}")
                self._at = (namespace, pod, container)
                return asker
            except VantageLost:
                raise
            except VantageError as error:
                failed.append(f"container {container}: {error.message}")
                refused = None if error.hint == HINT else error
        if not failed:
            raise VantageError(f"{namespace}/{pod} has no container", "Choose another pod")
        if refused is not None:  # the server let nothing start: what it says helps more than what was tried
            raise refused
        hint = "See --pod-image" if self._own else f"Use pod:{namespace} for a pod of our own with Python"
        raise VantageError(f"nothing in {namespace}/{pod} can ask: {'; '.join(failed)}", hint)

    def _runner(self, namespace: str, pod: str, container: str) -> Runner:
        async def run(argv: Sequence[str]) -> Channel:
            try:
                return ExecChannel(await exec_in_pod(self._client, namespace, pod, container, argv))
            except ClusterError as error:
                raise VantageError(error.message, error.hint) from error

        return run


def _containers(pod: dict[str, Any]) -> list[str]:
    """Names of the containers, the one that kubectl would choose first."""
    names = [str(as_dict(item).get("name")) for item in as_list(as_dict(pod.get("spec")).get("containers"))]
    chosen = as_dict(as_dict(pod.get("metadata")).get("annotations")).get(DEFAULT_CONTAINER)
    return sorted(names, key=lambda name: name != chosen)
