"""The page of a cell in a full grid: 10,000 endpoints by 20 vantages, a cluster of 5,000 pods with 200 policies."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator

from msgspec.structs import replace

from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import PolicyRecord
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.runtime import tune_collector
from kubeshield_tui.ui.page.cell import cell_page
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.screens.cell import CellScreen
from kubeshield_tui.ui.widgets.pager import Pager
from tests.bench.figure import figure
from tests.ui.stage import FakeSession, app_on, ready
from tests.unit.estate import answer, endpoint, vantage
from tests.unit.policed import inventory, pod, policy

ENDPOINTS, VANTAGES, PODS, POLICIES = 10_000, 20, 5_000, 200
SELECTING = 10
"""Of the policies, those that select every pod: the others name an app."""
OPENED = 40
STATES = (State.OPEN, State.FILTERED, State.CLOSED)


def _policies() -> Iterator[PolicyRecord]:
    ranges = [{"ipBlock": {"cidr": f"192.0.2.{number}/32"}} for number in range(30)]
    for number in range(POLICIES):
        selector = {} if number < SELECTING else {"matchLabels": {"app": f"app{number}"}}
        rule = {"from": [*ranges, {"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 9090}]}
        yield policy(f"policy-{number:03}", "payments", {"podSelector": selector, "ingress": [rule]})


def _estate() -> Store:
    store = Store()
    store.apply(happened.SessionStarted(at=1000, title="bench", version="0"))
    pods = tuple(
        pod("payments", f"app{number % 400}-{number}", f"10.{number >> 8}.{number & 255}.1", f"n{number % 50}")
        for number in range(PODS)
    )
    made = replace(inventory(*_policies()), pods=pods)
    store.apply(happened.ClusterRead(at=1000, inventory=made))
    for number in range(ENDPOINTS):
        host = f"10.{number >> 8}.{number & 255}.1"
        store.apply(happened.EndpointFound(at=1000, endpoint=endpoint(f"svc-{number:05}", host=host, port=8080)))
    for number in range(VANTAGES):
        named = f"pod:payments/app{number}-{number}"
        store.apply(
            happened.VantageAdded(
                at=1000, vantage=vantage(named, node=f"n{number}", addresses=(pods[number].addresses))
            )
        )
    return store


def _fill(store: Store) -> list[CellKey]:
    """Answers in every cell; returns those to open, which are judged with all the others of their rows."""
    rows = list(store.endpoints)
    wanted = [rows[number * 7919 % ENDPOINTS] for number in range(OPENED)]
    judge = Judge(store.endpoints, store.vantages)
    for row, target in enumerate(rows):
        for column, source in enumerate(store.vantages):
            seen = answer(CellKey(target, source), 1001 + row / 100, STATES[(row + column) % 3])
            store.apply(happened.CellObserved(at=1001, observation=seen))
    for target in wanted:
        keys = [CellKey(target, source) for source in store.vantages]
        for key in keys:
            observation = store.cell(key).observation
            assert observation is not None
            judge.tell(observation)
        for outcome in filter(None, map(judge.judge, keys)):
            store.apply(happened.CellJudged(at=1001, judgement=outcome.judgement))
    sources = list(store.vantages)
    return [CellKey(target, sources[number % VANTAGES]) for number, target in enumerate(wanted)]


async def _open(store: Store, keys: list[CellKey]) -> list[float]:
    """Seconds of work from the key to the drawn page, by the thread's own clock."""
    took = []
    session = FakeSession(store)
    session.worlds.of("prod")  # a session has it from its first judgement on
    app = app_on(session)
    async with app.run_test(size=(200, 50)) as pilot:
        await ready(pilot)
        for key in keys:
            began = time.thread_time()
            screen = CellScreen(session, key)
            await app.push_screen(screen)
            drawn = asyncio.Event()
            screen.query_one(Pager).call_after_refresh(drawn.set)
            await drawn.wait()
            took.append(time.thread_time() - began)
            await app.pop_screen()
    return took


def _build(store: Store, keys: list[CellKey]) -> list[float]:
    firewalls, worlds = Firewalls(store), Worlds(store)
    took = []
    for key in (keys[0], *keys):  # once to make the world
        view = CellView(store, firewalls, worlds, key, 1100, 200)
        began = time.thread_time()
        assert len(cell_page(view)) > 20
        took.append(time.thread_time() - began)
    return took[1:]


def main() -> int:
    tune_collector()  # as a session does
    store = _estate()
    keys = _fill(store)
    opened = asyncio.run(_open(store, keys))
    built = _build(store, keys)
    good = figure("page", "open p95", statistics.quantiles(opened, n=20)[-1] * 1000, "ms", 100)
    figure("page", "open median", statistics.median(opened) * 1000, "ms")
    return 0 if figure("page", "built p95", statistics.quantiles(built, n=20)[-1] * 1000, "ms", 25) & good else 1
