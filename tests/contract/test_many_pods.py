"""Pods and nodes in numbers on the range's API: what is agreed to before, what it costs, what one refusal stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.errors import ClusterError, ConsentMissing, SettingsError, VantageError
from kubeshield_tui.model.event import Event, ObjectLeft
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.probe import Timing
from kubeshield_tui.model.vantage import VantageKind, VantageStatus, Zone, parse_vantage
from kubeshield_tui.range.api import Api, status
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.range.world import World
from kubeshield_tui.session import doors, expand
from kubeshield_tui.session.offer import Offer, intent_of
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.vantages import own_pod, pod_objects
from kubeshield_tui.vantages.pod import PodVantage

Json = dict[str, Any]
Answer = Callable[[web.Request], Any]


class Server:
    """What the range's API was asked; `answer` may answer in its place, or wait."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: Answer | None = None


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    seen = Server()
    real = Api._dispatch

    async def dispatch(self: Api, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:  # ours; probes come as strangers
            seen.asked.append((request.method, request.path))
            if seen.answer is not None and (answer := await seen.answer(request)) is not None:
                assert isinstance(answer, web.StreamResponse)
                return answer
        return await real(self, request)

    monkeypatch.setattr(Api, "_dispatch", dispatch)
    monkeypatch.setattr(own_pod, "POLL_SECONDS", 0.01)
    return seen


@pytest.fixture
async def training() -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


def settings(training: TrainingRange, *vantages: str, **others: Any) -> Settings:
    chosen: Json = {
        "kubeconfig": training.kubeconfig,
        "ssh_config": training.ssh_config,
        "vantages": tuple(parse_vantage(text) for text in vantages),
        "discovery": False,
        "pod_settle": 0.0,
        "timing": Timing(timeout=0.2, confirm=0.2),
        **others,
    }
    return Settings(**chosen)


async def ours(training: TrainingRange) -> list[str]:
    """All pods and leases that exist, ours or not."""
    client = await connect("range", training.kubeconfig)
    found = []
    for path in ("/api/v1/pods", "/apis/coordination.k8s.io/v1/leases"):
        found += await client.collect(path, lambda raw: f"{raw['metadata']['namespace']}/{raw['metadata']['name']}")
    await client.close()
    return found


def targets(directory: Path, *lines: str) -> Path:
    path = directory / "targets"
    path.write_text("\n".join(lines) + "\n")
    return path


def crowd(monkeypatch: pytest.MonkeyPatch, fill: Callable[[World], None]) -> None:
    """Add to the range's world."""
    real = World._fill

    def filled(self: World) -> None:
        real(self)
        fill(self)

    monkeypatch.setattr(World, "_fill", filled)


def add_namespace(world: World, name: str, phase: str = "Active", **spec: Any) -> None:
    world.put("namespaces", {"metadata": {"name": name}, "status": {"phase": phase}})
    pod = {"metadata": {"namespace": name, "name": "app"}, "spec": {"containers": [], **spec}}
    world.put("pods", {**pod, "status": {"phase": "Running"}})


def add_teams(count: int, world: World) -> None:
    for number in range(count):
        add_namespace(world, f"team-{number:02}")


def add_node(world: World, name: str, ready: str = "True", system: str = "linux", **spec: Any) -> None:
    body = {
        "metadata": {"name": name, "labels": {"kubernetes.io/os": system}},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }
    world.put("nodes", body)


# --- what the flags come to


async def test_each_namespace_with_pods_and_each_fit_node(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(world: World) -> None:
        add_namespace(world, "going", "Terminating")
        add_namespace(world, "hosts", hostNetwork=True)
        add_node(world, "control", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
        add_node(world, "cordoned", unschedulable=True)
        add_node(world, "away", ready="Unknown")
        add_node(world, "panes", system="windows")
        world.put("namespaces", {"metadata": {"name": "empty"}, "status": {"phase": "Active"}})
        add_namespace(world, "done")
        world.objects["pods"]["done", "app"]["status"]["phase"] = "Succeeded"

    crowd(monkeypatch, fill)
    async with TrainingRange() as training:
        wanted = settings(training, "pod:shop", per_namespace=True, per_node=True)
        made, notes, failures = await expand.expand(wanted, ("range",))
    assert [spec.text for spec in made.vantages] == [
        "pod:shop", "pod:ops", "pod:payments", "pod:kube-system",
        "pod:default@control", "pod:default@n1", "pod:default@n2",
    ]  # fmt: skip
    assert not made.is_open_ended
    assert failures == ()
    said = "\n".join(notes)
    for name, why in {
        "going": "terminating", "hosts": "hostNetwork", "cordoned": "cordoned", "away": "not Ready", "panes": "windows",
    }.items():  # fmt: skip
        assert any(name in note and why in note for note in notes), (name, said)
    assert "empty" not in said
    assert len(notes) == 5


async def test_more_than_fit_are_left_out_and_named_system_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(monkeypatch, partial(add_teams, 40))
    async with TrainingRange() as training:
        made, notes, _ = await expand.expand(settings(training, per_namespace=True), ("range",))
    assert len(made.vantages) == expand.MOST
    assert "pod:kube-system" not in {spec.text for spec in made.vantages}
    (note,) = notes
    assert "40 of 44" in note
    assert "pod:kube-system" in note


async def test_a_list_that_may_not_be_read_is_said_and_the_rest_goes_on(
    training: TrainingRange, server: Server, tmp_path: Path
) -> None:
    async def answer(request: web.Request) -> web.Response | None:
        return status(403, "Forbidden", "no") if request.path == "/api/v1/nodes" else None

    server.answer = answer
    wanted = settings(
        training, per_namespace=True, per_node=True, consent=True, targets=targets(tmp_path, "10.96.1.10:80")
    )
    session = Session(wanted)
    await session.audit()
    assert {vantage.spec.text for vantage in session.store.vantages.values()} >= {"pod:shop", "pod:payments"}
    (failed,) = session.store.failed_clusters.values()
    assert "--per-node" in failed.message
    assert "forbidden" in failed.message
    assert "pod:NAMESPACE@NODE" in failed.hint


async def test_an_unreachable_cluster_is_no_crash(training: TrainingRange, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(training.kubeconfig.read_text().replace("https://127.0.0.1:", "https://127.0.0.1:1#"))
    wanted = settings(training, "local", per_node=True, kubeconfig=config, targets=targets(tmp_path, "127.0.0.1:9"))
    session = Session(wanted)
    await session.audit()
    assert list(session.store.failed_clusters) == ["range"]
    assert [vantage.spec.text for vantage in session.store.vantages.values()] == ["local"]


# --- consent


async def test_without_consent_the_exact_list_is_shown_and_nothing_is_made(
    training: TrainingRange, server: Server, tmp_path: Path
) -> None:
    before = await ours(training)
    record = tmp_path / "record"
    wanted = settings(training, "node:n1", "local", per_namespace=True, per_node=True, record=record)
    with pytest.raises(ConsentMissing) as caught:
        await Session(wanted).audit()
    first, *others = caught.value.message.splitlines()
    assert first.endswith("created in range:")  # a yes to the wrong cluster would be worse than none
    lines = [line.strip() for line in others if line.strip()]
    pods = [line for line in lines if line.startswith("Pod ")]
    assert [line.split()[1] for line in pods] == [
        "default/kubeshield-...", "ops/kubeshield-...", "payments/kubeshield-...", "shop/kubeshield-...",
        "kube-system/kubeshield-...", "default/kubeshield-...", "default/kubeshield-...",
    ]  # fmt: skip
    assert "on node n1: hostNetwork" in pods[0]
    assert "on node n2 (" in pods[-1]
    assert len([line for line in lines if line.startswith("Lease ")]) == len(pods)
    assert "Host n1 in ssh_config" in caught.value.hint
    assert {method for method, _ in server.asked} == {"GET"}
    assert await ours(training) == before
    assert not record.exists()


async def test_a_zone_for_a_vantage_that_a_flag_makes(training: TrainingRange, tmp_path: Path) -> None:
    given = {"per_node": True, "consent": True, "targets": targets(tmp_path, "10.96.1.10:80")}
    session = Session(settings(training, zones=(("pod:default@n2", Zone.NODE),), **given))
    await session.audit()
    assert {v.spec.text: v.zone for v in session.store.vantages.values()}["pod:default@n2"] is Zone.NODE
    with pytest.raises(SettingsError, match="pod:default@n9"):
        await Session(settings(training, zones=(("pod:default@n9", Zone.NODE),), **given)).audit()


# --- numbers


async def test_four_hundred_targets_from_one_pod_cost_twelve_requests(
    training: TrainingRange, server: Server, tmp_path: Path
) -> None:
    named = targets(tmp_path, *(f"10.96.{number // 200 + 1}.10:{number % 200 + 80}" for number in range(400)))
    for vantage in ("pod:shop", "pod:shop@n2", "pod:shop/web-6d4f9"):
        server.asked.clear()
        session = Session(settings(training, vantage, consent=True, targets=named))
        await session.audit()
        states = Counter(cell.observation.state for cell in session.store.cells.values() if cell.observation)
        assert states.total() == 400
        assert states[State.OPEN] >= 1
        assert len(server.asked) <= 12, server.asked


async def test_eight_are_made_at_once_and_all_of_them_come(
    monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path
) -> None:
    crowd(monkeypatch, partial(add_teams, 16))
    making, most, full = 0, 0, asyncio.Event()

    async def answer(request: web.Request) -> None:
        nonlocal making, most
        if request.method == "POST" and request.path.endswith("/pods"):
            making += 1
            most = max(most, making)
            if making == doors.MOST_CREATING:
                full.set()
            await full.wait()
            making -= 1

    server.answer = answer
    async with TrainingRange() as training:
        before = await ours(training)
        wanted = settings(training, per_namespace=True, consent=True, targets=targets(tmp_path, "10.96.1.10:80"))
        session = Session(wanted)
        await session.audit()
        assert most == doors.MOST_CREATING
        assert len(session.store.vantages) == 20
        assert {v.status for v in session.store.vantages.values()} == {VantageStatus.CLOSED}
        assert await ours(training) == before


REFUSED = {
    "ops": (403, 'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=4', "quota"),
    "kube-system": (403, "unable to create new content in namespace x because it is being terminated", "terminating"),
    "payments": (403, 'pods "x" is forbidden: violates PodSecurity "restricted:v1.31": x', "Pod Security of namespace"),
}


async def test_one_refusal_stops_no_other(training: TrainingRange, server: Server, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response | None:
        namespace = request.path.split("/")[4] if request.path.startswith("/api/v1/namespaces/") else ""
        if request.method == "POST" and request.path.endswith("/pods") and namespace in REFUSED:
            code, message, _ = REFUSED[namespace]
            return status(code, "Forbidden", message)
        return None

    server.answer = answer
    before = await ours(training)
    wanted = settings(training, per_namespace=True, consent=True, targets=targets(tmp_path, "10.96.1.10:80"))
    session = Session(wanted)
    await session.audit()
    of = {vantage.spec.namespace: vantage for vantage in session.store.vantages.values()}
    for namespace, (_, _, word) in REFUSED.items():
        assert of[namespace].status is VantageStatus.FAILED
        assert word in of[namespace].detail
        assert namespace in of[namespace].detail
    assert of["shop"].status is VantageStatus.CLOSED
    assert {cell.observation.state for cell in session.store.cells.values() if cell.observation} == {State.OPEN}
    assert await ours(training) == before


# --- nodes


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
