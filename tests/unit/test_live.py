"""What a change in a followed cluster asks again, what it leaves alone, and what is said when following fails."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from kubeshield_tui.cluster import watch as watched
from kubeshield_tui.cluster.kinds import KINDS
from kubeshield_tui.discovery.estate import Estate
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import (
    Backend,
    BackendPort,
    BackendRecord,
    Inventory,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    PolicyRecord,
    ServicePort,
    ServiceRecord,
)
from kubeshield_tui.model.event import WatchStatus
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.record import Record
from kubeshield_tui.session import live
from kubeshield_tui.session.objects import difference
from kubeshield_tui.session.query import lost_clusters
from tests.unit.following import CONTEXT, KIND, Bench, FakeClient

# --- what is asked again, and what not

POD = PodRecord(
    cluster="prod", namespace="shop", name="web-0", labels=(("app", "web"),), addresses=("10.244.0.1",), node="n1",
    phase="Running",
)  # fmt: skip
OTHER = replace(POD, name="other-0", addresses=("10.244.0.2",))
WEB = ServiceRecord(namespace="shop", name="web", addresses=("10.96.0.1",), ports=(ServicePort(port=80, target="80"),))
DB = ServiceRecord(namespace="db", name="db", addresses=("10.96.0.2",), ports=(ServicePort(port=5432),))
WEB_SLICE = BackendRecord(
    namespace="shop", name="web-1", service="web", managed=True, ports=(BackendPort(port=80),),
    backends=(Backend(address="10.244.0.1", pod="web-0", namespace="shop", node="n1"),),
)  # fmt: skip
NODE = NodeRecord(cluster="prod", name="n1", addresses=("10.0.0.1",))
SHOP, DB_SPACE = (NamespaceRecord(cluster="prod", name=name) for name in ("shop", "db"))
POLICY = PolicyRecord(cluster="prod", namespace="shop", name="deny", directions=("Ingress",))
NOT_READY = Backend(address="10.244.0.8", ready=False)
WEB_ROW, DB_ROW = "prod/shop/Service/web:80/tcp", "prod/db/Service/db:5432/tcp"
VANTAGES = ("local", "pod:shop/other-0", "pod:db")


@pytest.fixture
async def bench() -> Bench:
    made = Bench(*VANTAGES)
    made.lists(
        nodes=[NODE],
        namespaces=[SHOP, DB_SPACE],
        pods=[POD, OTHER],
        services=[WEB, DB],
        endpointslices=[WEB_SLICE],
        networkpolicies=[POLICY],
    )
    await made.live.publish_first()
    assert {WEB_ROW, DB_ROW} <= made.store.endpoints.keys()
    assert made.asked == []  # the first sweep asks everything anyway
    return made


def row(bench: Bench, *endpoints: str) -> set[CellKey]:
    return {CellKey(known, column) for known in bench.store.endpoints if known in endpoints for column in VANTAGES}  # type: ignore[arg-type]


def column(bench: Bench, spec: str) -> set[CellKey]:
    return {CellKey(known, spec) for known in bench.store.endpoints}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("pods", replace(POD)),
        ("pods", replace(POD, images=("web:2",), service_account="x")),
        ("pods", replace(POD, name="new-0", addresses=(), phase="Pending")),
        ("nodes", replace(NODE, labels=(("zone", "b"),), kernel="6.1")),
        ("services", replace(WEB, labels=(("team", "front"),))),
        (
            "endpointslices",
            replace(WEB_SLICE, backends=(*WEB_SLICE.backends, Backend(address="10.9.9.9", ready=False))),
        ),
        ("namespaces", NamespaceRecord(cluster="prod", name="new")),
    ],
)
async def test_churn_that_changes_no_answer_asks_nothing(bench: Bench, kind: str, record: Record) -> None:
    bench.put(kind, record)
    await bench.published()
    assert [keys for keys in bench.asked if keys] == []


async def test_a_heartbeat_is_no_event_at_all(bench: Bench) -> None:
    bench.put("pods", replace(POD))
    bench.put("nodes", replace(NODE))
    assert await bench.published() == []


async def test_what_is_back_as_it_was_before_anybody_looked_is_no_event(bench: Bench) -> None:
    bench.put("pods", replace(POD, labels=()))
    bench.gone("services", WEB)
    bench.put("pods", POD)
    bench.put("services", WEB)
    assert await bench.published() == []


async def test_each_change_asks_what_it_concerns_and_nothing_else(bench: Bench) -> None:
    async def asked(kind: str, record: Record) -> set[CellKey]:
        bench.asked.clear()
        bench.put(kind, record)
        await bench.published()
        (keys,) = bench.asked
        return keys

    web, db = row(bench, WEB_ROW), row(bench, DB_ROW)
    moved = replace(WEB_SLICE, backends=(Backend(address="10.244.0.9", pod="web-9", namespace="shop"),))
    assert await asked("endpointslices", moved) == web
    assert await asked("endpointslices", WEB_SLICE) == web
    assert await asked("services", replace(WEB, external_traffic_policy="Local")) == web
    assert await asked("pods", replace(POD, labels=(("app", "canary"),))) == web
    assert await asked("pods", replace(OTHER, labels=(("app", "x"),))) == column(bench, "pod:shop/other-0")
    assert await asked("networkpolicies", replace(POLICY, spec="x")) == web | column(bench, "pod:shop/other-0")
    in_db = db | column(bench, "pod:db")
    assert await asked("networkpolicies", replace(POLICY, namespace="db")) == in_db
    assert await asked("namespaces", replace(DB_SPACE, labels=(("team", "x"),))) == in_db
    on_node = {known for known, endpoint in bench.store.endpoints.items() if endpoint.node == "n1"}
    assert on_node
    assert await asked("nodes", replace(NODE, kubelet_port=10260)) >= row(
        bench, *on_node & bench.store.endpoints.keys()
    )


async def test_services_come_move_and_go(bench: Bench) -> None:
    new = ServiceRecord(namespace="shop", name="new", addresses=("10.96.0.9",), ports=(ServicePort(port=80),))
    new_row = "prod/shop/Service/new:80/tcp"
    bench.put("services", new)
    events = await bench.published()
    assert [type(event) for event in events] == [happened.ClusterChanged, happened.EndpointFound]
    assert bench.asked.pop() == row(bench, new_row)
    bench.put("services", replace(new, addresses=("10.96.0.10",)))
    await bench.published()
    assert bench.store.endpoints[new_row].host == "10.96.0.10"  # type: ignore[index]
    assert bench.asked.pop() == row(bench, new_row)
    bench.gone("services", new)
    events = await bench.published()
    assert [type(event) for event in events] == [happened.ClusterChanged, happened.EndpointGone]
    assert bench.asked.pop() == set()
    assert new_row not in bench.store.endpoints


async def test_one_changed_pod_is_one_record_in_the_event(bench: Bench) -> None:
    changed = replace(POD, labels=())
    bench.put("pods", changed)
    (event,) = await bench.published()
    assert isinstance(event, happened.ClusterChanged)
    assert event.inventory == Inventory(cluster=event.inventory.cluster, pods=(changed,))
    assert event.gone == ()
    assert len(happened.encode_event(event)) < 1500


async def test_an_upgrade_of_the_server_is_told_of(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.store.clusters["prod"].cluster.version == "v1.30.0"
    monkeypatch.setattr(FakeClient, "version", "v1.31.2")
    (event,) = await bench.published()
    assert isinstance(event, happened.ClusterChanged)
    assert event.inventory == Inventory(cluster=event.inventory.cluster)
    assert bench.store.clusters["prod"].cluster.version == "v1.31.2"
    assert not any(bench.asked)
    assert await bench.published() == []


def test_nothing_differs_between_equal_readings() -> None:
    facts = Estate(CONTEXT).inventory().cluster
    one, other = (Inventory(cluster=facts, pods=(replace(POD),)) for _ in range(2))
    assert difference(one, other) is None


# --- how closely it is followed


async def test_an_api_that_goes_is_lost_only_when_no_kind_is_followed() -> None:
    bench = Bench()
    for kind in KINDS:
        bench.live.take(watched.Listed(kind, ()))
    await bench.live.publish_first()
    assert {each.status for each in bench.store.watches.values()} == {WatchStatus.FOLLOWED}
    for kind in KINDS[1:]:
        bench.live.take(watched.Failed(kind, "no answer", 1.0))
    assert lost_clusters(bench.store) == {}
    bench.live.take(watched.Failed(KINDS[0], "no answer", 1.0))
    first = min(event.at for event in bench.store.watches.values())
    assert lost_clusters(bench.store) == {"prod": first}
    bench.live.take(watched.Restored(KINDS[3]))
    assert lost_clusters(bench.store) == {}
    bench.live.take(watched.Slowed(KINDS[4], "late"))
    assert bench.store.watches["prod", KINDS[4].resource].detail == "late"


async def test_what_may_not_be_read_is_said_once_a_version() -> None:
    bench = Bench()
    bench.live.take(watched.Unreadable(KIND["pods"], (("pods", "forbidden"),)))
    for _ in range(3):
        bench.live.take(watched.Skipped(KIND["nodes"], "an event of more than 8 MiB is left out"))
    assert [(denied.what, denied.why) for denied in bench.store.denied] == [
        ("list pods", "forbidden"),
        ("watch nodes", "an event of more than 8 MiB is left out"),
    ]


async def test_the_first_picture_does_not_wait_for_ever_and_the_rest_comes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.01)
    bench = Bench(*VANTAGES)

    async def watch(_: object, __: object, tell: watched.Tell) -> None:
        tell(watched.Listed(KIND["services"], (WEB,)))
        await bench.live.started.wait()
        tell(watched.Listed(KIND["services"], (WEB, DB)))
        await asyncio.sleep(10)

    monkeypatch.setattr(watched, "watch", watch)
    task = asyncio.create_task(bench.live.run())
    async with asyncio.timeout(5):
        while DB_ROW not in bench.store.endpoints:
            await asyncio.sleep(0.005)
    assert bench.asked[-1] == row(bench, DB_ROW)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_cluster_that_never_rests_is_told_of_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(live, "LONGEST_SECONDS", 0.06)
    bench, told = Bench("local"), 0

    async def watch(_: object, __: object, tell: watched.Tell) -> None:
        nonlocal told
        while True:  # never quiet for as long as QUIET_SECONDS
            told += 1
            tell(watched.Put(KIND["pods"], replace(POD, labels=(("n", str(told)),))))
            await asyncio.sleep(0.005)

    monkeypatch.setattr(watched, "watch", watch)
    task = asyncio.create_task(bench.live.run())
    async with asyncio.timeout(5):
        while sum(isinstance(event, happened.ClusterChanged) for event in bench.events) < 3:
            await asyncio.sleep(0.005)
    assert told > 2 * sum(isinstance(event, happened.ClusterChanged) for event in bench.events)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
