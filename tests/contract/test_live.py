"""A live session on the range: what changes in the cluster is in the grid at once, and only that is asked again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from kubeshield_tui.cluster import watch as watch_module
from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.cluster.kinds import KINDS
from kubeshield_tui.cluster.watch import Failed, Gone, Listed, Put, Slowed, Unreadable
from kubeshield_tui.engine.run import Engine
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.range import api as range_api
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.range.world import World
from kubeshield_tui.session.query import lost_clusters
from kubeshield_tui.session.session import Session
from tests.contract import served
from tests.contract.scripted import following

Json = dict[str, Any]
WEB, API = "pod:shop/web-6d4f9", "pod:payments/api-7f8d6"
NEW_ROW = "range/shop/Service/new:443/tcp"
SEEN_SECONDS = 2.0


class Place(TrainingRange):
    """A range whose world is at hand."""

    world: World
    server: served.Server


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    made: list[World] = []
    served.crowd(monkeypatch, made.append)
    server = served.watch(monkeypatch)
    monkeypatch.setattr(watch_module, "BACKOFF", (0.01, 0.05))
    async with Place() as training:
        training.world, training.server = made[0], server
        yield training


def changed(world: World, plural: str, key: tuple[str, str], change: Callable[[Json], None]) -> None:
    """Change an object as a controller does: another body of the same name."""
    body = json.loads(json.dumps(world.objects[plural][key]))
    change(body)
    world.put(plural, body)


def service(address: str) -> Json:
    spec = {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 443, "name": "https"}]}
    return {"metadata": {"namespace": "shop", "name": "new"}, "spec": spec}


class Live:
    """A running session with everything that happened in it."""

    def __init__(self) -> None:
        self.events: list[happened.Event] = []
        self.again: list[set[CellKey]] = []
        """Cells that were asked again because something changed."""
        self.session: Session

    async def until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    async def calm(self) -> None:
        """Wait until nothing is asked any more, and start counting."""
        engine = self.session._engine
        assert engine is not None
        await self.until(lambda: not any(lane.is_busy for lane in engine._lanes.values()))
        self.events.clear()
        self.again.clear()

    def asked(self) -> list[tuple[str, str]]:
        return [(each.endpoint, each.vantage) for each in self.events if isinstance(each, happened.CellAsked)]


@asynccontextmanager
async def live(training: Place, monkeypatch: pytest.MonkeyPatch, *vantages: str, **others: Any) -> AsyncIterator[Live]:
    made = Live()
    real = Engine.put

    def put(self: Engine, keys: Iterable[CellKey], *, urgent: bool = False, anew: bool = False) -> int:
        keys = tuple(keys)
        if anew and keys:
            made.again.append(set(keys))
        return real(self, keys, urgent=urgent, anew=anew)

    monkeypatch.setattr(Engine, "put", put)
    chosen = served.settings(training, *vantages, discovery=True, **others)
    made.session = Session(chosen, local_channel=training.local_channel, listeners=[made.events.append])
    task = asyncio.create_task(made.session.run())
    try:
        store = made.session.store
        await made.until(lambda: task.done() or (store.phase == "watching" and store.answered == store.total > 0))
        await made.calm()
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() or task.exception() is None


# --- the range's watches


@pytest.fixture
async def client(place: Place) -> AsyncIterator[ClusterClient]:
    made = await connect("range", place.kubeconfig)
    yield made
    await made.close()


async def test_every_kind_of_the_range_is_listed_and_followed(place: Place, client: ClusterClient) -> None:
    async with following(client, *KINDS) as follower:
        await follower.until(lambda: len(follower.of(Listed)) == len(KINDS))
        place.world.put("services", service("10.96.1.98"))
        place.world.put("services", service("10.96.1.99"))
        place.world.remove("services", ("shop", "new"))
        await follower.until(lambda: len(follower.of(Gone)) == 1)
        assert [fact.record.addresses for fact in follower.of(Put)] == [("10.96.1.98",), ("10.96.1.99",)]
        assert {fact.kind.name for fact in follower.of(Put, Gone)} == {"services"}
        assert not follower.of(Failed, Slowed, Unreadable)
        # A dozen watches leave room in the pool for everybody else.
        answers = await asyncio.gather(*(client.request("GET", "/version") for _ in range(50)))
        assert len(answers) == 50


async def test_a_watch_goes_on_where_the_last_bookmark_was(
    place: Place, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_api, "BOOKMARK_SECONDS", 0.05)
    monkeypatch.setattr(watch_module, "WATCH_SECONDS", (1, 1))
    begun = noted_watches(monkeypatch)
    async with following(client) as follower:
        await follower.until(lambda: len(begun) == 1)
        place.world.forget("pods")  # no matter: the next bookmark is newer
        await follower.until(lambda: len(begun) == 2)
        assert begun[1] > begun[0]
        served.add_namespace(place.world, "later")
        await follower.until(lambda: ("put", "app") in follower.keys())
        assert len(follower.of(Listed)) == 1


async def test_a_watch_from_what_the_range_forgot_lists_again(
    place: Place, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "SILENCE_SECONDS", 0.2)
    begun = noted_watches(monkeypatch)
    async with following(client) as follower:
        await follower.until(lambda: len(begun) == 1)
        place.world.forget("pods")
        await follower.until(lambda: len(follower.of(Listed)) == 2)
        await follower.until(lambda: len(begun) == 3)
        assert begun[0] == begun[1] < begun[2]
        assert not follower.of(Failed, Slowed)


def noted_watches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From which versions the range is watched."""
    begun: list[int] = []
    real = World.watch

    def noted(self: World, plural: str, since: int | None) -> Any:
        begun.append(since or 0)
        return real(self, plural, since)

    monkeypatch.setattr(World, "watch", noted)
    return begun


# --- a session that follows


async def test_a_service_comes_moves_and_goes_within_two_seconds_and_only_its_cells_are_asked(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live(place, monkeypatch, "local", WEB, API) as running:
        store = running.session.store
        rows = len(store.endpoints)
        place.world.put("services", service("10.96.1.99"))
        await running.until(lambda: NEW_ROW in store.endpoints, SEEN_SECONDS)
        await running.until(lambda: len(running.asked()) == 2)
        await asyncio.sleep(0.3)
        assert sorted(running.asked()) == [(NEW_ROW, API), (NEW_ROW, WEB)]  # from `local` it is another target

        await running.calm()
        place.world.put("services", service("198.51.100.20"))  # where something answers
        await running.until(lambda: store.endpoints[NEW_ROW].host == "198.51.100.20", SEEN_SECONDS)  # type: ignore[index]
        cell = CellKey(NEW_ROW, WEB)  # type: ignore[arg-type]
        await running.until(lambda: store.cell(cell).observation is not None)
        assert store.cell(cell).observation.state is State.OPEN  # type: ignore[union-attr]
        assert [past.state for past in store.cell(cell).history] == [State.FILTERED]
        assert {endpoint for endpoint, _ in running.asked()} == {NEW_ROW}

        await running.calm()
        place.world.remove("services", ("shop", "new"))
        await running.until(lambda: NEW_ROW not in store.endpoints, SEEN_SECONDS)
        await asyncio.sleep(0.3)
        assert running.asked() == []
        assert len(store.endpoints) == rows
        assert not any(finding.endpoint == NEW_ROW for finding in store.findings.values())
        assert not any(key.endpoint == NEW_ROW for key in store.cells)


async def test_churn_asks_nothing_and_a_policy_asks_its_namespace_both_ways(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live(place, monkeypatch, "local", WEB, API) as running:
        store, world = running.session.store, place.world

        def heartbeat(body: Json) -> None:
            body["metadata"]["annotations"] = {"beat": "x" * 1000}
            body["status"]["conditions"] = [{"type": "Ready", "status": "True", "lastHeartbeatTime": "now"}]

        for pod in list(world.objects["pods"]):
            changed(world, "pods", pod, heartbeat)
        for node in list(world.objects["nodes"]):
            changed(world, "nodes", node, heartbeat)
        await asyncio.sleep(0.8)
        assert running.events == []

        policy = {"metadata": {"namespace": "payments", "name": "new"}, "spec": {"podSelector": {}}}
        world.put("networkpolicies", policy)
        await running.until(lambda: bool(running.again), SEEN_SECONDS)
        behind = {
            known
            for known, endpoint in store.endpoints.items()
            if any(pod.namespace == "payments" for pod in endpoint.backends)
        }
        assert len(behind) >= 2
        expected = {CellKey(row, column) for row in behind for column in store.vantages}
        expected |= {CellKey(row, API) for row in store.endpoints}  # type: ignore[arg-type]
        asking = running.session._asking
        assert asking is not None
        assert running.again == [set(filter(asking.is_in_scope, expected))]
        await running.until(lambda: running.again[0] <= {CellKey(*key) for key in running.asked()})  # type: ignore[arg-type]


async def test_an_own_pod_that_starts_is_no_reason_to_ask_its_column_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live(place, monkeypatch, "pod:shop", consent=True) as running:
        assert running.session.store.objects
        await asyncio.sleep(0.8)
        assert running.again == []


async def test_an_api_that_goes_away_leaves_its_rows_and_comes_back_by_itself(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "WATCH_SECONDS", (1, 1))
    async with live(place, monkeypatch, "local") as running:
        store = running.session.store
        rows = set(store.endpoints)

        async def away(_: web.Request) -> web.StreamResponse:
            return range_api.status(503, "ServiceUnavailable", "etcd has no leader")

        place.server.answer = away
        await running.until(lambda: "range" in lost_clusters(store))
        assert set(store.endpoints) == rows
        said = [each for each in running.events if isinstance(each, happened.WatchChanged)]
        assert len(said) == len(KINDS)  # once a kind
        assert all("etcd has no leader" in each.detail for each in said)
        place.world.put("services", service("10.96.1.99"))
        await asyncio.sleep(0.3)
        assert NEW_ROW not in store.endpoints
        place.server.answer = None
        await running.until(lambda: not lost_clusters(store) and NEW_ROW in store.endpoints)
        assert rows < set(store.endpoints)


async def test_what_the_scenario_has_for_later_comes_and_goes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [step.after for step in place.world.scenario.later]
    assert min(steps) > 15  # a headless demo has ended by then
    for number, step in enumerate(place.world.scenario.later):
        msgspec.structs.force_setattr(step, "after", 4.0 * number)
    debug = "range/shop/Service/debug@10.0.0.12:30090/tcp"
    async with live(place, monkeypatch, "local") as running:
        store = running.session.store
        going_on = asyncio.create_task(place.world.go_on())
        await running.until(lambda: store.cell(CellKey(debug, "local")).observation is not None)  # type: ignore[arg-type]
        observation = store.cell(CellKey(debug, "local")).observation  # type: ignore[arg-type]
        assert observation is not None
        assert observation.state is State.OPEN
        await running.until(lambda: debug not in store.endpoints)
        await going_on


async def test_an_audit_reads_once_and_watches_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = noted_watches(monkeypatch)
    session = Session(served.settings(place, "local", discovery=True), local_channel=place.local_channel)
    await session.audit()
    assert session.store.endpoints
    assert session.store.watches == {}
    assert begun == []
