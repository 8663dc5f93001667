"""Pods of our own on the range: whatever goes wrong, at whatever moment, nothing stays behind that is not said."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model.event import Event, ObjectCreated, ObjectLeft, ObjectRemoved
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.range.api import Api, status
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.range.world import World
from kubeshield_tui.session.expand import resolve_node
from kubeshield_tui.vantages import own_pod, pod_objects
from kubeshield_tui.vantages.pod import PodVantage
from kubeshield_tui.vantages.sweep import sweep

Json = dict[str, Any]
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
PODS = "/api/v1/namespaces/{}/pods"
WEB = Probe(
    endpoint=EndpointId("web"),
    vantage=VantageId("pod"),
    host="10.96.1.10",
    port=80,
    timing=Timing(timeout=0.5, confirm=0.5),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_pod, "POLL_SECONDS", 0.01)


@pytest.fixture
async def client() -> AsyncIterator[ClusterClient]:
    async with TrainingRange() as training:
        made = await connect("range", training.kubeconfig)
        yield made
        await made.close()


def vantage(client: ClusterClient, events: list[Event], spec: str = "pod:shop") -> PodVantage:
    return PodVantage(parse_vantage(spec), client, image="python:3-slim", settle=0.0, report=events.append)


async def ours(client: ClusterClient) -> list[str]:
    query = {"labelSelector": pod_objects.SELECTOR}
    found = []
    for kind, path in (("Pod", "/api/v1/pods"), ("Lease", "/apis/coordination.k8s.io/v1/leases")):

        def shown(raw: Json, kind: str = kind) -> str:
            return f"{kind} {raw['metadata']['namespace']}/{raw['metadata']['name']}"

        found += await client.collect(path, shown, query)
    return found


async def leave_behind(client: ClusterClient, namespace: str, name: str, renewed: datetime) -> None:
    """What a run leaves that was killed."""
    body = pod_objects.lease(namespace, name, "me", renewed)
    lease = await client.request("POST", LEASES.format(namespace), body=body)
    pod = pod_objects.probe_pod(namespace, name, lease["metadata"]["uid"], "python:3-slim")
    await client.request("POST", PODS.format(namespace), body=pod)


def said(events: list[Event]) -> list[tuple[str, str]]:
    """(kind of event, kind of object), after a check that all name the same cluster."""
    told = []
    for event in events:
        assert isinstance(event, ObjectCreated | ObjectRemoved | ObjectLeft)
        assert event.cluster == "range"
        told.append((type(event).__name__, event.object.partition(" ")[0]))
    return told


LIVED = [("ObjectCreated", "Lease"), ("ObjectCreated", "Pod"), ("ObjectRemoved", "Pod"), ("ObjectRemoved", "Lease")]


async def test_what_is_made_is_said_asked_from_and_taken_away(client: ClusterClient) -> None:
    events: list[Event] = []
    point = vantage(client, events)
    with pytest.raises(VantageLost, match="not open"):
        await point.ask(WEB)
    facts = await point.open()
    assert facts.node == "n1"
    assert re.fullmatch(r"Pod shop/kubeshield-[0-9a-f]{8}", facts.created)
    assert sorted(await ours(client)) == sorted([facts.created, facts.created.replace("Pod", "Lease")])
    assert (await point.ask(WEB)).state is State.OPEN
    await point.close()
    assert await ours(client) == []
    assert said(events) == LIVED
    with pytest.raises(VantageLost):
        await point.ask(WEB)


async def test_a_pod_on_a_node_of_choice(client: ClusterClient) -> None:
    point = vantage(client, [], "pod:shop@n2")
    assert (await point.open()).node == "n2"
    await point.close()


async def test_an_existing_pod_is_used_and_left_alone(client: ClusterClient) -> None:
    events: list[Event] = []
    before = await client.collect("/api/v1/pods", lambda raw: raw["metadata"]["name"])
    point = vantage(client, events, "pod:shop/web-6d4f9")
    facts = await point.open()
    assert (facts.node, facts.created, dict(facts.labels)["app"]) == ("n2", "", "web")
    assert (await point.ask(WEB)).state is State.OPEN
    await point.close()
    assert events == []
    assert await client.collect("/api/v1/pods", lambda raw: raw["metadata"]["name"]) == before


async def test_several_of_ours_in_one_namespace_do_not_meet(client: ClusterClient) -> None:
    events: list[Event] = []
    points = [vantage(client, events) for _ in range(3)]
    facts = await asyncio.gather(*(point.open() for point in points))
    assert len({each.created for each in facts}) == 3
    await points[0].close()
    assert len(await ours(client)) == 4
    assert (await points[1].ask(WEB)).state is State.OPEN
    await asyncio.gather(*(point.close() for point in points))
    assert await ours(client) == []


async def test_a_pod_that_was_taken_from_us_is_made_anew(client: ClusterClient) -> None:
    events: list[Event] = []
    point = vantage(client, events)
    first = (await point.open()).created
    same = (await point.open()).created
    assert same == first  # it is still there: nothing new is made
    await client.request("DELETE", f"{PODS.format('shop')}/{first.rpartition('/')[2]}")
    second = (await point.open()).created
    assert second != first
    assert len(await ours(client)) == 2
    await point.close()
    assert await ours(client) == []
    assert said(events) == LIVED * 2


async def test_a_running_pod_renews_its_lease(client: ClusterClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_objects, "LEASE_SECONDS", 0.06)
    point = vantage(client, [])
    created = (await point.open()).created
    path = f"{LEASES.format('shop')}/{created.rpartition('/')[2]}"
    before = await client.request("GET", path)
    async with asyncio.timeout(5):
        while (after := await client.request("GET", path))["spec"]["renewTime"] == before["spec"]["renewTime"]:
            await asyncio.sleep(0.01)
    assert after["spec"]["renewTime"] > before["spec"]["renewTime"]
    assert {**after["spec"], "renewTime": ""} == {**before["spec"], "renewTime": ""}
    await point.close()


# --- pods that never run


def stuck(state: Json) -> Callable[[World, Json], Json]:
    def run_pod(world: World, body: Json) -> Json:
        body["status"] = state
        return world.put("pods", body)

    return run_pod


def waiting(reason: str) -> Json:
    return {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason, "message": "no\x1b"}}}]}


UNSCHEDULABLE = {"reason": "Unschedulable", "message": "0/2 nodes are available"}


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (waiting("ErrImagePull"), "ErrImagePull: no␛"),
        (waiting("CreateContainerConfigError"), "CreateContainerConfigError"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "low on memory"),
        ({"phase": "Succeeded"}, "it ended"),
        ({"phase": "Pending", "conditions": [UNSCHEDULABLE]}, "0/2 nodes are available"),
        (waiting("ContainerCreating"), "Pending after"),
        ({}, "after"),
    ],
)
async def test_a_pod_that_does_not_start_says_why_and_is_taken_away(
    client: ClusterClient, monkeypatch: pytest.MonkeyPatch, state: Json, named: str
) -> None:
    monkeypatch.setattr(World, "run_pod", stuck(state))
    monkeypatch.setattr(own_pod, "START_SECONDS", 0.2)
    monkeypatch.setattr(own_pod, "UNSCHEDULABLE_SECONDS", 0.05)
    events: list[Event] = []
    point = vantage(client, events)
    with pytest.raises(VantageError) as caught:
        await point.open()
    assert named in caught.value.message
    assert str(caught.value).isprintable()
    assert caught.value.hint
    assert await ours(client) == []
    assert said(events) == LIVED
    await point.close()
    assert said(events) == LIVED


async def test_a_pod_that_is_refused_leaves_no_lease(client: ClusterClient) -> None:
    events: list[Event] = []
    spec = resolve_node(parse_vantage("node:n1"), (), "shop")
    point = PodVantage(spec, client, image="python:3-slim", settle=0.0, report=events.append)
    with pytest.raises(VantageError, match='violates PodSecurity "restricted:latest": hostNetwork') as caught:
        await point.open()
    assert "Pod Security of namespace shop refuses it" in caught.value.message
    assert "Host n1" in caught.value.hint  # both ways are named
    assert "--pod-namespace" in caught.value.hint
    assert await ours(client) == []
    assert said(events) == [("ObjectCreated", "Lease"), ("ObjectRemoved", "Lease")]


async def test_a_namespace_that_is_not_there(client: ClusterClient) -> None:
    events: list[Event] = []
    with pytest.raises(VantageError, match="there is no namespace nowhere"):
        await vantage(client, events, "pod:nowhere").open()
    assert events == []
    assert await ours(client) == []


# --- cut short


@pytest.mark.parametrize("plural", ["leases", "pods"])
@pytest.mark.parametrize(("made", "patience"), [("at once", 0.1), ("later", 60.0), ("never", 0.1)])
async def test_an_open_that_ends_while_the_server_makes_up_its_mind(
    client: ClusterClient, monkeypatch: pytest.MonkeyPatch, plural: str, made: str, patience: float
) -> None:
    """The answer comes late or never: the object may be there, may come or not, and is gone afterwards."""
    real = Api._create
    reached = asyncio.Event()

    async def slow(api: Api, request: web.Request, what: str, namespace: str) -> web.Response:
        async def later() -> web.Response:
            await asyncio.sleep(0.3)  # long after a removal that would not wait for it
            return await real(api, request, what, namespace)

        if what != plural:
            return await real(api, request, what, namespace)
        await request.read()
        if made == "at once":
            await real(api, request, what, namespace)
        reached.set()
        return await (asyncio.shield(asyncio.create_task(later())) if made == "later" else asyncio.Future())

    monkeypatch.setattr(Api, "_create", slow)
    monkeypatch.setattr(own_pod, "ANSWER_SECONDS", patience)
    point = vantage(client, [])
    opening = asyncio.create_task(point.open())
    async with asyncio.timeout(10):
        await reached.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await point.close()
    await asyncio.sleep(0.4 if made == "later" else 0)
    assert await ours(client) == []


async def test_an_open_that_ends_while_the_pod_starts(client: ClusterClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "run_pod", stuck(waiting("ContainerCreating")))
    point = vantage(client, [])
    opening = asyncio.create_task(point.open())
    async with asyncio.timeout(5):
        while len(await ours(client)) < 2:
            await asyncio.sleep(0.01)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await point.close()
    assert await ours(client) == []
    assert "lease renewal" not in {task.get_name() for task in asyncio.all_tasks()}


# --- what can't be removed


def refusing(codes: list[int]) -> Any:
    """DELETE is answered with these codes, then as usual."""
    real = Api._single

    async def single(api: Api, request: web.Request, plural: str, key: tuple[str, str]) -> web.Response:
        if request.method == "DELETE" and codes:
            return status(codes.pop(0), "Refused", "not now\x1b[2J")
        return await real(api, request, plural, key)

    return single


async def test_what_may_not_be_removed_is_said_with_the_command_that_does(
    client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    point = vantage(client, events)
    created = (await point.open()).created
    with monkeypatch.context() as patch:
        patch.setattr(Api, "_single", refusing([403] * 9))
        await point.close()
    left = [event for event in events if isinstance(event, ObjectLeft)]
    assert [event.object for event in left] == [created, created.replace("Pod", "Lease")]
    for event, kind in zip(left, ("pod", "lease"), strict=True):
        assert "forbidden" in event.why
        assert event.why.endswith(f"kubectl -n shop delete {kind} {created.rpartition('/')[2]}")
        assert event.why.isprintable()
    assert len(await ours(client)) == 2


async def test_a_server_that_stumbles_is_asked_again(client: ClusterClient, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    point = vantage(client, events)
    await point.open()
    monkeypatch.setattr(Api, "_single", refusing([500]))
    await point.close()
    assert said(events) == LIVED
    assert await ours(client) == []


async def test_a_removal_that_never_works_ends(client: ClusterClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_pod, "REMOVE_SECONDS", 0.1)
    events: list[Event] = []
    point = vantage(client, events)
    await point.open()
    monkeypatch.setattr(Api, "_single", refusing([503] * 99))
    async with asyncio.timeout(5):
        await point.close()
    assert [kind for kind, _ in said(events)][-2:] == ["ObjectLeft", "ObjectLeft"]


# --- what others left


async def test_opening_takes_what_a_killed_run_left_and_says_so(client: ClusterClient) -> None:
    now = datetime.now(UTC)
    for namespace, name, age in (("shop", "old", 600), ("shop", "living", 0), ("payments", "elsewhere", 600)):
        await leave_behind(client, namespace, f"kubeshield-{name}", now - timedelta(seconds=age))
    events: list[Event] = []
    point = vantage(client, events)
    await point.open()
    assert {event.object for event in events if isinstance(event, ObjectRemoved)} == {
        "Pod shop/kubeshield-old",
        "Lease shop/kubeshield-old",
    }
    await point.close()
    names = {each.rpartition("/")[2] for each in await ours(client)}
    assert names == {"kubeshield-living", "kubeshield-elsewhere"}
    swept = await sweep(client, namespace="payments")
    assert set(swept.removed) == {"Pod payments/kubeshield-elsewhere", "Lease payments/kubeshield-elsewhere"}
    assert len((await sweep(client)).held) == 2
    forced = await sweep(client, force=True)
    assert (len(forced.removed), forced.held, forced.left) == (2, (), ())


async def test_a_sweep_does_not_touch_what_is_not_ours_and_says_what_stays(
    client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = pod_objects.lease("shop", "leader-election", "other", datetime(2020, 1, 1, tzinfo=UTC))
    foreign["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    await client.request("POST", LEASES.format("shop"), body=foreign)
    unread = pod_objects.lease("shop", "kubeshield-unread", "me", datetime(2020, 1, 1, tzinfo=UTC))
    unread["spec"] = {"renewTime": "yesterday"}
    await client.request("POST", LEASES.format("shop"), body=unread)
    await leave_behind(client, "shop", "kubeshield-old", datetime(2020, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(Api, "_single", refusing([403]))
    swept = await sweep(client)
    assert [shown for shown, _ in swept.left] == ["Pod shop/kubeshield-old"]
    assert "forbidden" in swept.left[0][1]
    assert swept.removed == ("Lease shop/kubeshield-old",)
    assert swept.held == ("Lease shop/kubeshield-unread",)
    assert await client.request("GET", f"{LEASES.format('shop')}/leader-election")
