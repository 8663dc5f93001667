"""Rows that come, go and move under the reader's eyes, and an API that is lost meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import localtime, mktime, strptime

from msgspec.structs import replace
from textual.pilot import Pilot

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import ClusterFacts, Inventory
from kubeshield_tui.model.event import WatchStatus
from kubeshield_tui.model.verdict import Judgement, Verdict
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.screens.audit import AuditScreen
from kubeshield_tui.ui.screens.cell import CellScreen
from kubeshield_tui.ui.screens.vantages import VantagesScreen
from kubeshield_tui.ui.widgets.matrix import HEADER_LINES, Matrix
from kubeshield_tui.ui.widgets.tally import Tally
from tests.ui.stage import ENDPOINTS, FakeSession, app_on, ready, screen_text, story
from tests.unit.estate import endpoint, vantage

CROWD = [replace(endpoint(f"svc-{number:03}", host=f"10.96.1.{number}"), group="shop") for number in range(100)]


class Stage:
    """The grid on a small terminal, with a hundred rows."""

    def __init__(self, pilot: Pilot[str], store: Store) -> None:
        self.pilot = pilot
        self.store = store

    @property
    def matrix(self) -> Matrix:
        return self.pilot.app.screen.query_one(Matrix)

    def happen(self, *events: happened.Event) -> None:
        for event in events:
            self.store.apply(event)
        screen = self.pilot.app.screen
        assert isinstance(screen, AuditScreen)
        screen.tick()

    def line_of_cursor(self) -> int:
        return self.matrix.cursor_row - self.matrix.scroll_offset.y

    def seen(self) -> list[str]:
        grid, size = self.matrix, self.matrix.size
        return [grid.render_line(y).text.split()[0] for y in range(HEADER_LINES, size.height)]


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    store = story(CROWD, [vantage("local"), vantage("ssh:jump")])
    async with app_on(FakeSession(store)).run_test(size=(100, 24)) as pilot:
        await ready(pilot)
        await pilot.pause()
        yield Stage(pilot, store)


def found(*names: str) -> list[happened.EndpointFound]:
    made = [replace(endpoint(name, host="10.96.9.9"), group="control plane") for name in names]
    return [happened.EndpointFound(at=1020, endpoint=each) for each in made]


async def test_the_cursor_and_what_is_in_sight_stay_when_rows_come_and_go() -> None:
    async with stage() as on:
        on.matrix.go_to(happened.CellAsked(at=0, endpoint=CROWD[60].id, vantage=vantage("ssh:jump").id).key)
        key, line, seen = on.matrix.cursor_key, on.line_of_cursor(), on.seen()
        on.happen(*found("a", "b", "c"))  # above, with a heading of their own
        assert (on.matrix.cursor_key, on.line_of_cursor(), on.seen()) == (key, line, seen)
        on.happen(*(happened.EndpointGone(at=1021, endpoint=each.id) for each in CROWD[10:20]))
        assert (on.matrix.cursor_key, on.line_of_cursor(), on.seen()) == (key, line, seen)
        await on.pilot.pause()
        assert (on.line_of_cursor(), on.seen()) == (line, seen)  # nothing was corrected a frame later


async def test_the_cursor_stays_with_an_endpoint_that_moves_and_goes_to_the_next_when_it_is_gone() -> None:
    async with stage() as on:
        on.matrix.go_to(happened.CellAsked(at=0, endpoint=CROWD[60].id, vantage=vantage("local").id).key)
        line = on.line_of_cursor()
        on.happen(happened.EndpointFound(at=1020, endpoint=replace(CROWD[60], host="10.96.9.60")))
        assert on.matrix.cursor_key is not None
        assert on.matrix.cursor_key.endpoint == CROWD[60].id
        assert "10.96.9.60" in on.matrix.render_line(line + HEADER_LINES).text
        on.happen(happened.EndpointGone(at=1021, endpoint=CROWD[60].id))
        assert on.matrix.cursor_key.endpoint == CROWD[61].id
        assert on.line_of_cursor() == line
        on.happen(*(happened.EndpointGone(at=1022, endpoint=each.id) for each in CROWD[61:]))
        assert on.matrix.cursor_key.endpoint == CROWD[59].id


async def test_what_was_scrolled_to_stays_though_the_cursor_is_elsewhere() -> None:
    async with stage() as on:
        on.matrix.scroll_to(0, 40, animate=False)
        seen = on.seen()
        on.happen(*found("a", "b", "c"))
        assert on.seen() == seen
        gone = on.matrix.grid.rows[on.matrix.scroll_offset.y].endpoint
        assert gone is not None
        on.happen(happened.EndpointGone(at=1021, endpoint=gone))
        assert on.seen()[:-1] == seen[1:]


async def test_until_the_cursor_is_moved_it_stays_on_the_first_endpoint() -> None:
    async with stage() as on:
        on.happen(*found("a"))
        assert on.matrix.cursor_key is not None
        assert on.matrix.cursor_key.endpoint == endpoint("a").id
        assert on.matrix.scroll_offset.y == 0


async def test_a_cell_that_is_open_outlives_its_endpoint() -> None:
    store = story()
    app = app_on(FakeSession(store))
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("enter")
        assert isinstance(app.screen, CellScreen)
        store.apply(happened.EndpointGone(at=1020, endpoint=ENDPOINTS[0].id))
        await pilot.pause(0.3)
        await pilot.press("r", "escape")
        assert isinstance(app.screen, AuditScreen)
        assert ENDPOINTS[0].name not in [row.label.partition(" ")[0] for row in app.screen.query_one(Matrix).grid.rows]


def watches(status: WatchStatus, at: float, *kinds: str) -> list[happened.Event]:
    return [
        happened.WatchChanged(at=at, cluster="prod", what=kind, status=status, detail="connection refused")
        for kind in kinds
    ]


async def test_a_lost_api_is_said_with_its_hour_and_its_rows_are_marked() -> None:
    since = mktime(strptime("2024-05-01 03:12:45", "%Y-%m-%d %H:%M:%S"))
    assert localtime(since).tm_hour == 3
    store = story()
    facts = ClusterFacts(id="prod", server="https://203.0.113.10:6443")
    store.apply(happened.ClusterRead(at=1000, inventory=Inventory(cluster=facts)))
    app = app_on(FakeSession(store))
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        screen = app.screen
        assert isinstance(screen, AuditScreen)

        def shown(*events: happened.Event) -> str:
            for event in events:
                store.apply(event)
            screen.tick()
            return "\n".join([screen_text(app), *(screen.query_one(Matrix).render_line(y).text for y in range(9))])

        await pilot.pause()
        kinds = ("pods", "services", "nodes", "endpointslices.discovery.k8s.io")
        assert "watching" in shown(*watches(WatchStatus.FOLLOWED, since - 60, *kinds))
        await pilot.pause()
        shown(*watches(WatchStatus.FAILED, since, *kinds[:1]), *watches(WatchStatus.SLOW, since, kinds[3]))
        await pilot.pause()
        text = shown()
        assert "watching" in text
        assert "out of date: pods" in text
        assert "late: endpointslices" in text
        shown(*watches(WatchStatus.FAILED, since + 1, *kinds[1:]))
        await pilot.pause()
        text = shown()
        assert "API lost since 03:12:45" in text
        assert "watching" not in text
        assert "* kube-apiserver" in text
        assert "out of date" not in text
        await pilot.press("v")
        assert isinstance(app.screen, VantagesScreen)
        await pilot.pause()
        assert "out of date: pods (connection refused)" in screen_text(app)
        await pilot.press("escape")
        shown(*watches(WatchStatus.FOLLOWED, since + 99, *kinds))
        await pilot.pause()
        text = shown()
        assert "watching" in text
        assert "* kube-apiserver" not in text


def test_headings_count_the_same_piece_by_piece_as_at_once() -> None:
    chance = random.Random(7)
    store = Store()
    vantages = [vantage("local"), vantage("ssh:a")]
    for each in vantages:
        store.apply(happened.VantageAdded(at=1, vantage=each))
    tally, names = Tally(store), [f"svc-{number}" for number in range(12)]
    revision = 0
    for _ in range(300):
        target = replace(endpoint(chance.choice(names)), group=chance.choice(["shop", "ops", ""]))
        if chance.random() < 0.3:
            store.apply(happened.EndpointGone(at=1, endpoint=target.id))
        elif chance.random() < 0.5:
            store.apply(happened.EndpointFound(at=1, endpoint=target))
        elif target.id in store.endpoints:
            verdict, source = chance.choice(list(Verdict)), chance.choice(vantages)
            judged = Judgement(endpoint=target.id, vantage=source.id, verdict=verdict)
            store.apply(happened.CellJudged(at=1, judgement=judged))
        changes = store.changes_since(revision)
        revision = changes.revision
        if changes.structure:
            tally.follow()
        tally.update(changes.cells)
        once = Tally(store)
        once.follow()
        for group in ("shop", "ops", "targets"):
            assert +Counter(tally.of(group)) == +Counter(once.of(group))
