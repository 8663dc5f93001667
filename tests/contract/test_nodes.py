"""Nodes as vantages, and pods that go, on the range's API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.errors import ClusterError, SettingsError, VantageError
from kubeshield_tui.model.event import Event, ObjectLeft
from kubeshield_tui.model.vantage import VantageKind, VantageStatus, Zone, parse_vantage
from kubeshield_tui.range.api import status
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.session import expand
from kubeshield_tui.session.offer import Offer, intent_of
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.vantages import own_pod, pod_objects
from kubeshield_tui.vantages.pod import PodVantage
from tests.contract.served import Json, Server, add_node, crowd, settings, targets, watch


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return watch(monkeypatch)


@pytest.fixture
async def training() -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


@pytest.fixture
async def client(training: TrainingRange) -> AsyncIterator[ClusterClient]:
    made = await connect("range", training.kubeconfig)
    yield made
    await made.close()


def at_node(client: ClusterClient, spec: str, events: list[Event]) -> PodVantage:
    resolved = expand.resolve_node(parse_vantage(spec), (), "shop")
    return PodVantage(resolved, client, image="python:3-slim", settle=0.0, report=events.append)


@pytest.mark.parametrize("spec", ["pod:shop@nowhere", "node:nowhere"])
async def test_a_node_that_is_not_there_is_said_before_anything_is_made(client: ClusterClient, spec: str) -> None:
    events: list[Event] = []
    with pytest.raises(VantageError, match="there is no node nowhere"):
        await at_node(client, spec, events).open()
    assert events == []


@pytest.mark.parametrize("node", [{"ready": "Unknown"}, {"ready": "False"}, {"system": "windows"}])
async def test_a_node_that_can_take_no_pod(monkeypatch: pytest.MonkeyPatch, node: Json) -> None:
    crowd(monkeypatch, lambda world: add_node(world, "odd", **node))
    async with TrainingRange() as training:
        client = await connect("range", training.kubeconfig)
        events: list[Event] = []
        with pytest.raises(VantageError, match="node odd can't take a pod"):
            await at_node(client, "pod:shop@odd", events).open()
        assert events == []
        await client.close()


async def test_who_may_not_read_nodes_can_name_one(client: ClusterClient, server: Server) -> None:
    async def answer(request: web.Request) -> web.Response | None:
        return status(403, "Forbidden", "no") if request.path == "/api/v1/nodes/n2" else None

    server.answer = answer
    point = at_node(client, "pod:shop@n2", [])
    assert (await point.open()).node == "n2"
    await point.close()


async def test_a_node_that_ssh_config_names_needs_no_pod(
    training: TrainingRange, server: Server, tmp_path: Path
) -> None:
    jump = next(text for text in training.vantages if text.startswith("ssh:")).partition(":")[2]
    wanted = settings(training, f"node:{jump}", targets=targets(tmp_path, "10.0.0.11:6443"))
    assert intent_of(expand.resolve_nodes(wanted)).creates == ()
    session = Session(wanted)  # no consent: none is needed
    await session.audit()
    (vantage,) = session.store.vantages.values()
    assert (vantage.spec.kind, vantage.zone, vantage.status) == (VantageKind.NODE, Zone.NODE, VantageStatus.CLOSED)
    assert vantage.facts is not None
    assert vantage.facts.created == ""
    assert all(method == "GET" for method, _ in server.asked)


def test_a_node_is_resolved_once_and_the_same_way_everywhere() -> None:
    spec = parse_vantage("node:n1")
    by_ssh, by_pod = expand.resolve_node(spec, ["n1"], "ops"), expand.resolve_node(spec, ["n1.example", "n"], "ops")
    assert (by_ssh.host, by_ssh.creates_pod) == ("n1", False)
    assert (by_pod.namespace, by_pod.creates_pod) == ("ops", True)
    assert by_ssh.id == by_pod.id == spec.id
    assert expand.resolve_node(by_pod, ["n1"], "other") == by_pod
    assert Offer(ssh_hosts=("n1",)).resolve(spec) == by_ssh
    assert expand.resolve_node(parse_vantage("pod:shop@n1"), ["n1"], "x") == parse_vantage("pod:shop@n1")


async def test_a_node_that_can_be_reached_in_neither_way_names_both(tmp_path: Path) -> None:
    wanted = Settings(
        kubeconfig=tmp_path / "none",
        ssh_config=tmp_path / "none",
        vantages=(parse_vantage("node:n1"),),
        targets=targets(tmp_path, "127.0.0.1:9"),
        discovery=False,
        consent=True,
    )
    with pytest.raises(SettingsError, match="kubeconfig") as caught:
        await Session(wanted).audit()
    assert "Host n1" in caught.value.hint


# --- a pod that goes


async def test_a_pod_that_is_being_deleted_is_not_used_again(client: ClusterClient, server: Server) -> None:
    events: list[Event] = []
    point = PodVantage(parse_vantage("pod:shop"), client, image="python:3-slim", settle=0.0, report=events.append)
    first = (await point.open()).created
    path = f"/api/v1/namespaces/shop/pods/{first.rpartition('/')[2]}"
    dying = await client.request("GET", path)
    dying["metadata"]["deletionTimestamp"] = "2026-05-17T12:00:00Z"
    looks = 0

    async def answer(request: web.Request) -> web.Response | None:
        nonlocal looks
        if (request.method, request.path) == ("GET", path):
            looks += 1
            return web.json_response(dying) if looks == 1 else None
        return None

    server.answer = answer
    second = (await point.open()).created
    assert looks >= 1
    assert second != first
    await point.close()


async def test_a_pod_that_is_deleted_while_it_starts(client: ClusterClient, server: Server) -> None:
    async def answer(request: web.Request) -> web.Response | None:
        if request.method == "GET" and "/namespaces/shop/pods/" in request.path:
            return status(404, "NotFound", "gone")
        return None

    server.answer = answer
    point = PodVantage(parse_vantage("pod:shop"), client, image="python:3-slim", settle=0.0, report=lambda _: None)
    with pytest.raises(VantageError, match="own pod in shop was deleted while it started"):
        await point.open()
    leases = "/apis/coordination.k8s.io/v1/leases"
    assert await client.collect(leases, lambda raw: raw, {"labelSelector": pod_objects.SELECTOR}) == []


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
async def test_a_pod_that_a_finalizer_holds_is_said_to_be_left(
    client: ClusterClient, server: Server, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    monkeypatch.setattr(own_pod, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(own_pod, "REMOVE_SECONDS", 0.5)
    events: list[Event] = []
    point = PodVantage(parse_vantage("pod:shop"), client, image="python:3-slim", settle=0.0, report=events.append)
    created = (await point.open()).created
    path = f"/api/v1/namespaces/shop/pods/{created.rpartition('/')[2]}"
    held = await client.request("GET", path)
    held["metadata"] |= {"finalizers": ["example.org/keep"], "deletionTimestamp": "2026-05-17T12:00:00Z"}
    held["status"]["phase"] = phase

    async def answer(request: web.Request) -> web.Response | None:
        return web.json_response(held) if request.path == path else None

    server.answer = answer
    await point.close()
    left = [event for event in events if isinstance(event, ObjectLeft)]
    assert [event.object for event in left] == [created]
    assert "example.org/keep" in left[0].why or "kubectl" in left[0].why
    with pytest.raises(ClusterError, match=r"example\.org/keep"):
        await own_pod.delete(client, path)
