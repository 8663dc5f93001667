"""Show whether a cluster enforces policies: two pods in a namespace of ours, without a policy and under deny-all.

Creates objects, so it runs after consent only; all of them are removed, whatever happens, and what can't be is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.exec import ExecStream, exec_in_pod
from kubeshield_tui.cluster.raw import as_dict
from kubeshield_tui.errors import ClusterError, KubeShieldError, VantageError
from kubeshield_tui.model.event import Event, ObjectCreated, ObjectLeft, ObjectRemoved, SelfTested
from kubeshield_tui.model.evidence import SelfTest
from kubeshield_tui.model.ids import EndpointId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.session.doors import ClusterWait
from kubeshield_tui.vantages import pod_objects
from kubeshield_tui.vantages.own_pod import OwnPod
from kubeshield_tui.vantages.pod import PodVantage

PORT = 39_741
"""Where the asked pod listens: above 1024, and nobody's."""
_PROGRAM = f"""import socket
try:
 s=socket.create_server(('',{PORT}),family=socket.AF_INET6,dualstack_ipv6=True)
except (OSError,ValueError):
 s=socket.create_server(('',{PORT}))
print('ready',flush=True)
while 1:
 s.accept()[0].close()"""
LISTENER = ("python3", "-c", _PROGRAM)
TIMING = Timing(timeout=1.0, confirm=1.0, attempts=1)
BEGIN_SECONDS = 15.0
"""What the pods may take to reach each other at first: some engines isolate a pod until they have programmed it."""
HOLD_SECONDS = 30.0
"""What a policy may take to hold before it counts as not enforced."""
RELEASE_SECONDS = 30.0
PAUSE_SECONDS = 0.25
GONE_SECONDS = 60.0
"""What the namespace may take to be gone."""
NEEDS = "It needs an image with python3: see --pod-image"
Report = Callable[[Event], None]


def objects_of_self_test(image: str) -> tuple[str, ...]:
    """Name what a self-test creates, as it is shown before consent."""
    return (
        "Namespace kubeshield-selftest-... (Pod Security: restricted; goes at the end, with all that is in it)",
        f"Lease and Pod kubeshield-... in it, twice ({image}; restricted, no token, never Ready, ends by itself)",
        "NetworkPolicy deny-all in it (selects the two pods alone)",
    )


async def run_self_test(client: ClusterClient, image: str, report: Report) -> SelfTest:
    """Run it. Raises VantageError or ClusterError where it can't be run; everything made is removed first."""
    name = f"kubeshield-selftest-{secrets.token_hex(4)}"
    async with _namespace(client, name, report), _asked_pod(client, name, image, report) as (address, asked_node):
        vantage = PodVantage(parse_vantage(f"pod:{name}"), client, image=image, settle=0.0, report=report)
        try:
            facts = await vantage.open()
            return await _measure(client, vantage, name, address, (facts.node, asked_node))
        finally:
            await vantage.close()


async def self_test_into(clusters: ClusterWait, cluster: str, image: str, emit: Report) -> None:
    """Run it in a session's cluster: what it came to is an event, and so is why there is nothing to tell."""
    test = SelfTest(cluster=cluster, enforced=None, before="", after="", detail="it was ended before it told anything")
    try:
        test = await run_self_test(await clusters.client(cluster), image, emit)
    except KubeShieldError as error:
        test = replace(test, detail=printable(error.message, 500))
    finally:
        emit(SelfTested(at=time.time(), test=replace(test, at=time.time())))


async def _measure(
    client: ClusterClient, vantage: PodVantage, namespace: str, address: str, nodes: tuple[str, str]
) -> SelfTest:
    before, _ = await _until(vantage, address, wanted=True, limit=BEGIN_SECONDS)
    told = SelfTest(
        cluster=client.context.name, enforced=None, before=_words(before), after="", nodes=nodes, at=time.time()
    )
    if before.state is not State.OPEN:
        return replace(told, detail="the pods do not reach each other without a policy either")
    policies = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    await client.request("POST", policies, body=pod_objects.deny_all(namespace))
    after, lag = await _until(vantage, address, wanted=False, limit=HOLD_SECONDS)
    told = replace(told, after=_words(after))
    if after.state is State.OPEN:
        return replace(told, enforced=False, detail=f"still open {HOLD_SECONDS:g} s after the policy was made")
    await client.request("DELETE", f"{policies}/deny-all")
    again, release = await _until(vantage, address, wanted=True, limit=RELEASE_SECONDS)
    if again.state is not State.OPEN:
        detail = f"not open again {RELEASE_SECONDS:g} s after the policy was removed: something else stops it"
        return replace(told, detail=detail)
    return replace(told, enforced=True, deny_style=_style(after), lag=lag, release=release)


async def _until(vantage: PodVantage, address: str, *, wanted: bool, limit: float) -> tuple[Observation, float]:
    """Ask until the port is open (or is not, twice running); returns the last answer and when it was asked for."""
    begun = time.monotonic()
    since: float | None = None
    while True:
        asked = time.monotonic() - begun
        seen = await vantage.ask(_probe(address))
        fits = (seen.state is State.OPEN) is wanted
        if fits and (wanted or since is not None):
            return seen, asked if since is None else since
        since = asked if fits else None
        if asked > limit:
            return seen, asked
        await asyncio.sleep(PAUSE_SECONDS)


def _probe(address: str) -> Probe:
    vantage = parse_vantage("local").id
    return Probe(endpoint=EndpointId("self-test"), vantage=vantage, host=address, port=PORT, timing=TIMING)


def _words(seen: Observation) -> str:
    return f"{seen.state} ({seen.reason})"


def _style(seen: Observation) -> str:
    if seen.state is State.CLOSED:
        return "reject"
    return "drop" if seen.reason is Reason.NO_RESPONSE else "icmp"


@asynccontextmanager
async def _namespace(client: ClusterClient, name: str, report: Report) -> AsyncIterator[None]:
    shown, cluster = f"Namespace {name}", client.context.name
    await client.request("POST", "/api/v1/namespaces", body=pod_objects.trial_namespace(name))
    report(ObjectCreated(at=time.time(), cluster=cluster, object=shown))
    try:
        yield
    finally:
        why = await asyncio.shield(_gone(client, f"/api/v1/namespaces/{name}"))
        if why:
            say = f"{why}; remove it: kubectl delete namespace {name}"
            report(ObjectLeft(at=time.time(), cluster=cluster, object=shown, why=say))
        else:
            report(ObjectRemoved(at=time.time(), cluster=cluster, object=shown))


async def _gone(client: ClusterClient, path: str) -> str:
    """Delete and wait until it is gone; returns why it is not, empty if it is."""
    end = time.monotonic() + GONE_SECONDS
    why = ""
    asked = False
    while time.monotonic() < end:
        try:
            await client.request("GET" if asked else "DELETE", path)
            asked = True
            why = f"it is still there after {GONE_SECONDS:g} s"
        except NotReadable as error:
            if error.status == 404:
                return ""
            if error.status in {401, 403}:
                return error.message
            why = error.message
        except ClusterError as error:
            why = error.message
        await asyncio.sleep(1.0)
    return why


@asynccontextmanager
async def _asked_pod(
    client: ClusterClient, namespace: str, image: str, report: Report
) -> AsyncIterator[tuple[str, str]]:
    """A pod that listens; yields its address and node."""
    own = OwnPod(client, namespace, "", image, 0.0, report)
    stream: ExecStream | None = None
    try:
        pod = await own.create()
        stream = await exec_in_pod(client, namespace, own.name, pod_objects.CONTAINER, LISTENER)
        async with asyncio.timeout(BEGIN_SECONDS):
            while b"ready" not in (said := await stream.read()):
                if not said:
                    words = printable(stream.complaint(), 200)
                    raise VantageError(
                        f"self-test: nothing listens in {image}: {words}", "It needs an image with python3"
                    )
        status = as_dict(pod.get("status"))
        yield str(status.get("podIP") or ""), str(as_dict(pod.get("spec")).get("nodeName") or "")
    except TimeoutError:
        raise VantageError("self-test: nothing listens in the asked pod", NEEDS) from None
    finally:
        if stream is not None:
            with contextlib.suppress(ClusterError):
                await stream.close()
        await own.remove()
