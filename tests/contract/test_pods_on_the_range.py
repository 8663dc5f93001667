"""Pod vantages, exec and sweep against the range's API: the same calls that a real cluster gets, exec v5 and v4 too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from kubeshield_tui.cluster import exec as exec_module
from kubeshield_tui.cluster.access import may
from kubeshield_tui.cluster.client import ClusterClient, NotReadable, connect
from kubeshield_tui.cluster.exec import exec_in_pod
from kubeshield_tui.discovery.catalogue import KUBELET, conversation_of
from kubeshield_tui.discovery.discover import discover
from kubeshield_tui.errors import ClusterError, VantageError, VantageLost
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Posture, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.range.restricted import violations
from kubeshield_tui.vantages import pod_objects
from kubeshield_tui.vantages.pod import PodVantage
from kubeshield_tui.vantages.sweep import sweep

SELECTOR = {"labelSelector": pod_objects.SELECTOR}


@pytest.fixture
async def training() -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


@pytest.fixture
async def client(training: TrainingRange) -> AsyncIterator[ClusterClient]:
    made = await connect("range", training.kubeconfig)
    yield made
    await made.close()


def vantage(client: ClusterClient, spec: str, events: list[happened.Event], settle: float = 0.0) -> PodVantage:
    return PodVantage(parse_vantage(spec), client, image="python:3-slim", settle=settle, report=events.append)


async def ours(client: ClusterClient) -> list[str]:
    pods = await client.collect("/api/v1/pods", lambda raw: f"Pod {raw['metadata']['name']}", SELECTOR)
    leases = "/apis/coordination.k8s.io/v1/leases"
    return pods + await client.collect(leases, lambda raw: f"Lease {raw['metadata']['name']}", SELECTOR)


KUBELET_PROBE = Probe(
    endpoint=EndpointId("kubelet"),
    vantage=VantageId("pod"),
    host="10.0.0.11",
    port=10250,
    conversation=conversation_of(KUBELET, 10250),
    timing=Timing(timeout=0.5, confirm=0.5),
)


async def test_an_own_pod_asks_and_goes_with_its_lease(client: ClusterClient) -> None:
    events: list[happened.Event] = []
    point = vantage(client, "pod:shop", events)
    facts = await point.open()
    assert dict(facts.labels)["app.kubernetes.io/managed-by"] == "kubeshield"
    assert len(await ours(client)) == 2
    seen = await point.ask(KUBELET_PROBE)
    assert (seen.state, seen.posture) == (State.OPEN, Posture.AUTH_REQUIRED)
    await point.close()
    assert await ours(client) == []
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["ObjectCreated", "ObjectCreated", "ObjectRemoved", "ObjectRemoved"]
    await point.close()  # safe to call twice


async def test_a_pod_sees_the_range_from_where_it_stands(client: ClusterClient) -> None:
    point = vantage(client, "pod:payments", [])
    await point.open()
    seen = await point.ask(KUBELET_PROBE)
    await point.close()
    assert seen.state is State.FILTERED


async def test_an_open_that_is_cut_short_leaves_nothing(client: ClusterClient) -> None:
    point = vantage(client, "pod:shop", [], settle=60.0)
    opening = asyncio.create_task(point.open())
    async with asyncio.timeout(10):
        while len(await ours(client)) < 2:
            await asyncio.sleep(0.01)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await point.close()
    assert await ours(client) == []


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("pod:nowhere", "namespace nowhere"),
        ("pod:shop/nobody", "not found"),
    ],
)
async def test_what_is_not_there_is_named_and_nothing_is_left(client: ClusterClient, spec: str, named: str) -> None:
    point = vantage(client, spec, [])
    with pytest.raises(VantageError, match=named):
        await point.open()
    await point.close()
    assert await ours(client) == []


async def test_a_sweep_takes_what_is_expired_and_spares_the_living(client: ClusterClient) -> None:
    old = datetime.now(UTC) - timedelta(hours=1)
    leases = "/apis/coordination.k8s.io/v1/namespaces/shop/leases"
    for name, renewed in (("kubeshield-old", old), ("kubeshield-new", datetime.now(UTC))):
        lease = await client.request("POST", leases, body=pod_objects.lease("shop", name, "me", renewed))
        pod = pod_objects.probe_pod("shop", name, lease["metadata"]["uid"], "python:3-slim")
        await client.request("POST", "/api/v1/namespaces/shop/pods", body=pod)
    swept = await sweep(client)
    assert set(swept.removed) == {"Pod shop/kubeshield-old", "Lease shop/kubeshield-old"}
    assert set(swept.held) == {"Pod shop/kubeshield-new", "Lease shop/kubeshield-new"}
    assert swept.left == ()
    await sweep(client, force=True)
    assert await ours(client) == []


async def test_the_pod_that_we_make_passes_the_restricted_standard_and_each_rule_bites(client: ClusterClient) -> None:
    body = pod_objects.probe_pod("shop", "kubeshield-x", "uid", "python:3-slim")
    assert violations(body["spec"]) == []
    assert body["spec"]["automountServiceAccountToken"] is False
    assert body["spec"]["activeDeadlineSeconds"] > 0
    assert body["spec"]["readinessGates"]
    container = body["spec"]["containers"][0]["securityContext"]
    for key in ("allowPrivilegeEscalation", "capabilities"):
        kept = container.pop(key)
        assert violations(body["spec"]) != []
        with pytest.raises(NotReadable, match="PodSecurity"):
            await client.request("POST", "/api/v1/namespaces/shop/pods", body=body)
        container[key] = kept
    for key in ("runAsNonRoot", "seccompProfile"):
        kept = body["spec"]["securityContext"].pop(key)
        assert violations(body["spec"]) != []
        body["spec"]["securityContext"][key] = kept
    assert violations({**body["spec"], "hostNetwork": True}) == ["hostNetwork"]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("v5.channel.k8s.io, v4.channel.k8s.io", "v5.channel.k8s.io"),
        ("v4.channel.k8s.io", "v4.channel.k8s.io"),
    ],
)
async def test_exec_speaks_v5_and_needs_only_v4(
    client: ClusterClient, monkeypatch: pytest.MonkeyPatch, offered: str, chosen: str
) -> None:
    monkeypatch.setattr(exec_module, "PROTOCOLS", offered)
    stream = await exec_in_pod(client, "shop", "web-6d4f9", "main", ["cat"])
    assert stream.protocol == chosen
    data = bytes(range(256)) * 400  # more than one piece, and no text
    await stream.write(data)
    echoed = b""
    while len(echoed) < len(data):
        echoed += await stream.read()
    assert echoed == data
    await stream.close()


async def test_exec_of_what_is_not_there_says_so(client: ClusterClient) -> None:
    stream = await exec_in_pod(client, "shop", "web-6d4f9", "main", ["no-such-program"])
    assert await stream.read() == b""
    assert "no-such-program" in stream.complaint()
    await stream.close()
    with pytest.raises(ClusterError, match="no such pod"):
        await exec_in_pod(client, "shop", "nobody", "main", ["cat"])


async def test_a_cut_exec_is_lost_within_five_seconds_and_never_filtered(client: ClusterClient) -> None:
    point = vantage(client, "pod:shop/web-6d4f9", [])
    await point.open()
    silent = Probe(
        endpoint=EndpointId("x"),
        vantage=VantageId("pod"),
        host="10.9.9.9",
        port=1,
        timing=Timing(timeout=30, confirm=30),
    )
    waiting = asyncio.create_task(point.ask(silent))
    await point.ask(KUBELET_PROBE)
    assert point._link is not None
    await point._link._channel.close()
    with pytest.raises(VantageLost):
        async with asyncio.timeout(5):
            await waiting
    await point.open()  # and it comes back
    assert (await point.ask(KUBELET_PROBE)).state is State.OPEN
    await point.close()


async def test_discovery_finds_exactly_what_the_scenarios_author_listed(
    client: ClusterClient, training: TrainingRange
) -> None:
    found = await discover(client)
    listed = {endpoint for endpoint in training.scenario.truth if endpoint.startswith("range/")}
    assert {endpoint.id for endpoint in found.endpoints} == listed
    assert found.inventory.cluster.simulated
    assert {policy.name for policy in found.inventory.policies} == {
        "default-deny",
        "api-from-shop-web",
        "allow-dns-and-db",
        "db-from-payments",
        "dashboard-from-ops",
    }
    assert found.denied == ()
    assert await may(client, "create", "pods", namespace="shop") is True


async def test_strangers_meet_what_a_hardened_api_shows_them(client: ClusterClient) -> None:
    client.configuration.api_key.clear()
    assert (await client.request("GET", "/version"))["gitVersion"]
    with pytest.raises(NotReadable, match="forbidden"):
        await client.request("GET", "/api/v1/pods")
    client.configuration.api_key["BearerToken"] = "Bearer wrong"
    with pytest.raises(NotReadable, match="unauthorized"):
        await client.request("GET", "/version")
