"""The life of a pod of our own: Lease, pod, renewal, removal. What can't be removed is said."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from kubeshield_tui.cluster.access import may
from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.raw import as_dict, as_list
from kubeshield_tui.cluster.rights import Feature, rights_of, shown_rights
from kubeshield_tui.errors import ClusterError, VantageError
from kubeshield_tui.model.event import Event, ObjectCreated, ObjectLeft, ObjectRemoved
from kubeshield_tui.model.text import printable
from kubeshield_tui.vantages import pod_objects
from kubeshield_tui.vantages.node import architecture, require_node

START_SECONDS = 60.0
"""From the pod's creation until it runs: a pull of a small image included."""
POLL_SECONDS = 0.7
"""Until the first look at a pod that starts or ends; the later ones are further apart."""
POLL_GROWTH = 1.4
POLL_MOST = 3.0
REMOVE_SECONDS = 25.0
"""What removal may take, through a restart of the API server if need be."""
GRACE_SECONDS = 4.0
"""How long a pod may take to end by itself before it is deleted without grace."""
ANSWER_SECONDS = 5.0
"""How long a creation that is cut short may take to be answered."""
HOPELESS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError",
     "CreateContainerError", "RunContainerError"}
)  # fmt: skip
UNSCHEDULABLE_SECONDS = 10.0


class OwnPod:
    """One Lease and one pod."""

    def __init__(
        self,
        client: ClusterClient,
        namespace: str,
        node: str,
        image: str,
        settle: float,
        report: Callable[[Event], None],
        *,
        host_network: bool = False,
        reads_firewall: bool = False,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._node = node
        self._image = image
        self._settle = settle
        self._report = report
        self._host_network = host_network or reads_firewall
        self._reads_firewall = reads_firewall
        self.name = f"kubeshield-{secrets.token_hex(4)}"
        self._renewing: asyncio.Task[None] | None = None
        self._made: list[tuple[str, str]] = []
        """(kind and name as shown, path), in the order of creation."""

    async def create(self) -> dict[str, Any]:
        """Create Lease and pod and wait until it runs; returns the pod.

        Raises VantageError after removing what was made; a cancelled call leaves that to `remove`.
        """
        try:
            await self._require_removal()
            node = await require_node(self._client, self._node) if self._node else {}
            lease = await self._make("Lease", self._leases, self._lease())
            uid = str(as_dict(lease.get("metadata")).get("uid"))
            await self._make("Pod", self._pods, self._pod(uid, node))
            self._renewing = asyncio.create_task(self._renew(), name="lease renewal")
            pod = await self._wait()
            await asyncio.sleep(self._settle)
            return pod
        except ClusterError as error:
            await self.remove()
            raise refusal(error, self._namespace, self._node if self._host_network else "") from error
        except VantageError:
            await self.remove()
            raise

    async def read(self) -> dict[str, Any] | None:
        """Read the pod; None where it is gone or over. Raises ClusterError."""
        try:
            pod = await self._client.request("GET", f"{self._pods}/{self.name}")
        except NotReadable as error:
            if error.status == 404:
                return None
            raise
        if as_dict(pod.get("metadata")).get("deletionTimestamp"):
            return None  # someone deletes it: it may run for seconds yet, but nothing can be begun in it
        return pod if as_dict(pod.get("status")).get("phase") == "Running" else None

    async def remove(self) -> None:
        """Delete what was made and wait until it is gone. Never raises; reports what was removed or left."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
            self._renewing = None
        made, self._made = self._made, []
        for shown, path in reversed(made):  # the pod before its owner: two deletions of it at once slow each other
            await self._remove(shown, path)

    @property
    def _pods(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}/pods"

    @property
    def _leases(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases"

    def _lease(self) -> dict[str, Any]:
        holder = f"{socket.gethostname()}-{os.getpid()}"
        return pod_objects.lease(self._namespace, self.name, holder, datetime.now(UTC))

    def _pod(self, owner_uid: str, node: dict[str, Any]) -> dict[str, Any]:
        place = (self._namespace, self.name, owner_uid, self._image, self._node)
        if self._reads_firewall:
            return pod_objects.reader_pod(*place, architecture(node))
        return pod_objects.probe_pod(*place, host_network=self._host_network)

    async def _require_removal(self) -> None:
        """Make nothing that could not be taken away. Raises VantageError where the server says so."""
        for right in (right for right in rights_of([Feature.OWN_PODS]) if right.verb == "delete"):
            where = {"namespace": self._namespace, "group": right.group}
            if await may(self._client, right.verb, right.resource, **where) is False:
                raise VantageError(
                    f"own pod in {self._namespace}: may not {shown_rights([right])} there, so nothing was made that "
                    "could not be removed",
                    Feature.OWN_PODS.role_hint(self._namespace),
                )

    async def _make(self, kind: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        shown = f"{kind} {self._namespace}/{self.name}"
        # Noted before it is asked for: a cut connection may have made it, and then it must be removed.
        self._made.append((shown, f"{path}/{self.name}"))
        asked = asyncio.create_task(self._client.request("POST", path, body=body), name=f"make {shown}")
        try:
            made = await asyncio.shield(asked)
        except NotReadable:
            self._made.pop()
            raise
        except asyncio.CancelledError:
            await _settled(asked)
            raise
        self._report(ObjectCreated(at=time.time(), cluster=self._client.context.name, object=shown))
        return made

    async def _wait(self) -> dict[str, Any]:
        begun = time.monotonic()
        for pause in pauses():
            await asyncio.sleep(pause)
            try:
                pod = await self._client.request("GET", f"{self._pods}/{self.name}")
            except NotReadable as error:
                if error.status != 404:
                    raise
                raise VantageError(
                    f"own pod in {self._namespace} was deleted while it started", "Does something clean up there?"
                ) from error
            status = as_dict(pod.get("status"))
            waited = time.monotonic() - begun
            if status.get("phase") == "Running":
                return pod
            if why := _hopeless(status, waited):
                raise VantageError(
                    f"own pod in {self._namespace} does not start: {why}", "See --pod-image, or its events"
                )
            if waited > START_SECONDS:
                phase = printable(status.get("phase"), 40)
                raise VantageError(
                    f"own pod in {self._namespace} is {phase} after {START_SECONDS:g} s",
                    "kubectl describe pod tells why",
                )
        raise AssertionError("unreachable")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(pod_objects.LEASE_SECONDS / 3)
            with contextlib.suppress(ClusterError):
                lease = await self._client.request("GET", f"{self._leases}/{self.name}")
                lease["spec"] = {**as_dict(lease.get("spec")), **pod_objects.renewal(datetime.now(UTC))["spec"]}
                await self._client.request("PUT", f"{self._leases}/{self.name}", body=lease)

    async def _remove(self, shown: str, path: str) -> None:
        cluster = self._client.context.name
        why = ""
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                while True:
                    try:
                        await delete(self._client, path)
                        break
                    except NotReadable as error:
                        why = error.message
                        if error.status in {401, 403}:
                            raise
                    except ClusterError as error:
                        why = error.message
                    await asyncio.sleep(1.0)
        except (TimeoutError, NotReadable):
            kind, _, name = shown.partition(" ")
            command = f"kubectl -n {self._namespace} delete {kind.lower()} {name.rpartition('/')[2]}"
            self._report(ObjectLeft(at=time.time(), cluster=cluster, object=shown, why=f"{why}; remove it: {command}"))
        else:
            self._report(ObjectRemoved(at=time.time(), cluster=cluster, object=shown))


async def _settled(asked: asyncio.Task[dict[str, Any]]) -> None:
    """Wait for the answer to a creation though all is cut short: what is made after its removal would stay."""
    try:
        await asyncio.wait((asked,), timeout=ANSWER_SECONDS)
    finally:
        asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


async def delete(client: ClusterClient, path: str) -> None:
    """Delete an object and wait until it is gone; done already is done. Raises ClusterError.

    A pod whose containers have ended, or that is still there after a few seconds, is deleted without grace: it holds
    nothing that could be lost, and some kubelets take half a minute to report the end of a container.
    """
    try:
        for grace in (1, 0):
            body = {"gracePeriodSeconds": grace, "propagationPolicy": "Background"}
            told = await client.request("DELETE", path, body=body)
            # A Status instead of the object: it is gone. Without grace only a finalizer holds it.
            if told.get("kind") == "Status" or not (grace or as_dict(told.get("metadata")).get("finalizers")):
                return
            await _ended(client, path, patient=not grace)
    except NotReadable as error:
        if error.status != 404:
            raise


async def _ended(client: ClusterClient, path: str, *, patient: bool) -> None:
    """Wait until a pod's containers have ended, a while at most; `patient`: until it is gone.

    Who may not look waits that while, and takes the server's word after it. Raises NotReadable (404) once it is gone,
    ClusterError where something holds it.
    """
    end = time.monotonic() + (REMOVE_SECONDS if patient else GRACE_SECONDS)
    for pause in pauses():
        await asyncio.sleep(pause)
        told = {}
        try:
            told = await client.request("GET", path)
        except NotReadable as error:
            if error.status != 403:
                raise
            if patient:
                return
        late = time.monotonic() > end
        if patient and late:
            held = printable(", ".join(map(str, as_list(as_dict(told.get("metadata")).get("finalizers")))), 200)
            raise ClusterError(f"it is still there, held by {held or 'nothing that it names'}", "See its finalizers")
        if not patient and (late or as_dict(told.get("status")).get("phase") in {"Succeeded", "Failed"}):
            return


def pauses() -> Iterator[float]:
    """Seconds between two looks at an object: the first ones quick, then fewer, so that a slow start costs few."""
    pause = POLL_SECONDS
    while True:
        yield pause
        pause = min(pause * POLL_GROWTH, POLL_MOST)


def refusal(error: ClusterError, namespace: str, node: str = "") -> VantageError:
    """Say in a sentence why the server does not let an own pod be made; `node`: one in that node's own network."""
    what = f"own pod in {namespace}" + (f" for node {node} (hostNetwork)" if node else "")
    said = error.message
    if isinstance(error, NotReadable) and error.status == 404:
        return VantageError(f"there is no namespace {namespace}", "kubectl get namespaces")
    if "violates PodSecurity" in said:
        hint = "See the namespace's pod-security.kubernetes.io/enforce label"
        if node:
            hint = (
                "--pod-namespace names one that enforces `privileged`; or give ssh_config a "
                f"Host {node}, and it is asked over SSH"
            )
        return VantageError(f"{what}: Pod Security of namespace {namespace} refuses it: {said}", hint)
    if "being terminated" in said:
        return VantageError(f"{what}: the namespace is terminating", "Choose another namespace")
    if "exceeded quota" in said or "must specify limits" in said:
        return VantageError(f"{what}: the namespace's quota refuses it: {said}", "It asks for 5m CPU and 16Mi")
    hint = error.hint or Feature.OWN_PODS.role_hint(namespace)
    if node:
        hint = f"{hint}; or give ssh_config a Host {node}, and it is asked over SSH"
    return VantageError(f"{what}: {said}", hint)


def _hopeless(status: dict[str, Any], waited: float) -> str:
    """Why a pod will not start, empty while it may."""
    if status.get("phase") in {"Failed", "Succeeded"}:
        return printable(status.get("message") or status.get("reason") or "it ended", 200)
    for container in map(as_dict, as_list(status.get("containerStatuses"))):
        waiting = as_dict(as_dict(container.get("state")).get("waiting"))
        if waiting.get("reason") in HOPELESS:
            return printable(f"{waiting.get('reason')}: {waiting.get('message') or ''}", 300)
    for condition in map(as_dict, as_list(status.get("conditions"))):
        if condition.get("reason") == "Unschedulable" and waited > UNSCHEDULABLE_SECONDS:
            return printable(f"Unschedulable: {condition.get('message') or ''}", 300)
    return ""
