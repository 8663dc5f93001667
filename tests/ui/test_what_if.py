"""What if, in the grid: recoloured at once, never taken for what is, followed while it changes, and put back."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.controls import controls
from kubeshield_tui.session.what_if import OPENING
from kubeshield_tui.ui.screens.audit import AuditScreen
from kubeshield_tui.ui.screens.cell import CellScreen
from kubeshield_tui.ui.screens.drop import DropScreen
from kubeshield_tui.ui.widgets.lens import Lens
from kubeshield_tui.ui.widgets.matrix import Matrix
from tests.ui import walls
from tests.ui.stage import FakeSession, app_on, ready, screen_text, until

SIZES = [(80, 24), (120, 40), (200, 50)]
REAL = "WHAT IF"


def lens_of(pilot: Pilot[str]) -> Lens:
    return pilot.app.screen_stack[1].query_one(Matrix).lens


def row(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if name in line)


async def imagine(pilot: Pilot[str], *keys: str) -> str:
    """Press keys that leave something out; what the screen shows then."""
    await pilot.press(*keys)
    await until(lambda: lens_of(pilot).what_if is not None, "the imagined grid")
    await pilot.pause()
    return screen_text(pilot.app)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
async def test_a_dropped_layer_recolours_the_grid_and_a_key_puts_it_back(size: tuple[int, int]) -> None:
    session = FakeSession(walls.estate())
    async with app_on(session).run_test(size=size) as pilot:
        await ready(pilot)
        await pilot.pause()
        before = screen_text(pilot.app)  # type: ignore[arg-type]
        assert REAL not in before
        for back in ("escape", "d"):
            text = await imagine(pilot, "d", "p")
            banner = " ".join(text.split())
            assert "WHAT IF without policies: 4 cells would open, 2 of which must be blocked" in banner
            assert "1 not known" in banner
            assert "Nothing was changed" in banner
            assert "WHAT IF, not measured" in text
            assert "◆1" in row(text, "kube-apiserver 2")
            assert "◇0" in row(text, "web 10")
            assert "?" in row(text, "kubelet n1")
            assert "◆" not in row(text, "etcd")
            await pilot.press(back)
            await pilot.pause()
            assert lens_of(pilot).what_if is None
            after = screen_text(pilot.app)  # type: ignore[arg-type]
            assert REAL not in after
            assert row(after, "web 10") == row(before, "web 10")
        assert session.asked == []


async def test_ascii_has_signs_of_its_own_for_what_would_be() -> None:
    async with app_on(FakeSession(walls.estate()), ascii_only=True).run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        text = await imagine(pilot, "d", "p")
        assert "@1" in row(text, "kube-apiserver 2")
        assert "&0" in row(text, "web 10")
        assert "%" in row(text, "kubelet n1")


@pytest.mark.parametrize(("key", "words"), [
    ("n", "without node firewalls: 2 cells would open, all of which must be blocked"),
    ("c", "without cloud groups: 0 cells would open"),
    ("a", "without authentication: 2 cells would open, 1 of which must be blocked"),
])  # fmt: skip
async def test_one_key_drops_a_kind_of_layers(key: str, words: str) -> None:
    async with app_on(FakeSession(walls.estate())).run_test(size=(200, 50)) as pilot:
        await ready(pilot)
        assert words in await imagine(pilot, "d", key)


async def test_what_stops_the_cell_is_offered_by_name_and_several_can_be_marked() -> None:
    async with app_on(FakeSession(walls.estate())).run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("down", "right", "d")  # etcd from shop: two walls
        assert isinstance(pilot.app.screen, DropScreen)
        await pilot.pause()
        text = screen_text(pilot.app)  # type: ignore[arg-type]
        for words in ("NetworkPolicy shop/db", "n1: ip filter INPUT rule 3", "3 cells are behind it alone"):
            assert words in text
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, AuditScreen)
        assert lens_of(pilot).what_if is None
        text = await imagine(pilot, "d", "space", "j", "space", "enter")
        assert "without policies and node firewalls" in text
        assert "◆0" in row(text, "etcd")


async def test_a_highlighted_layer_is_dropped_with_enter() -> None:
    async with app_on(FakeSession(walls.estate())).run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        assert "without authentication" in await imagine(pilot, "d", "j", "j", "j", "k", "j", "enter")


async def test_answers_go_on_beneath_it() -> None:
    store = walls.estate()
    async with app_on(FakeSession(store)).run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await imagine(pilot, "d", "p")
        layers = (walls.OPEN_NODE, walls.OPEN_POLICY)
        walls.judge(store, walls.key_of(walls.DB, walls.OPS), Verdict.REACHABLE, Must.ANY, layers)
        banner = pilot.app.screen.query_one("#what-if", Static)
        await until(lambda: "3 cells would open, 1 of which" in str(banner.content), "the count")
        walls.judge(store, walls.key_of(walls.DB, walls.PHONE), Verdict.BLOCKED, Must.BLOCKED, (walls.POLICY,))
        await until(lambda: "4 cells would open, 2 of which" in str(banner.content), "the other count")


async def test_what_layers_are_made_of_may_change_and_all_is_worked_out_anew() -> None:
    store = walls.estate()
    async with app_on(FakeSession(store)).run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await imagine(pilot, "d", "p")
        first = lens_of(pilot).what_if
        store.apply(happened.EndpointGone(at=walls.AT, endpoint=walls.WEB.id))
        await until(lambda: lens_of(pilot).what_if is not first, "another one")
        what_if = lens_of(pilot).what_if
        assert what_if is not None
        assert sum(what_if.counts[effect] for effect in OPENING) == 2


async def test_the_cell_under_the_cursor_is_told_as_it_would_be_and_as_it_is() -> None:
    async with app_on(FakeSession(walls.estate())).run_test(size=(200, 50)) as pilot:
        await ready(pilot)
        await imagine(pilot, "d", "p")
        await pilot.press("n")
        await pilot.pause()
        text = screen_text(pilot.app)  # type: ignore[arg-type]
        assert "kube-apiserver from pod:shop: would be exposed, depth 1; all layers allow: node-firewall." in text
        assert "Now blocked, depth 2." in text
        await pilot.press("n")
        assert pilot.app.screen.query_one(Matrix).cursor_key == walls.key_of(walls.DB, walls.OPS)
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, CellScreen)
        await pilot.pause()
        assert REAL not in screen_text(pilot.app)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
async def test_one_failure_away_shows_these_rows_and_what_they_hang_on(size: tuple[int, int]) -> None:
    async with app_on(FakeSession(walls.estate())).run_test(size=size) as pilot:
        await ready(pilot)
        await pilot.press("1")
        await pilot.pause()
        text = screen_text(pilot.app)  # type: ignore[arg-type]
        assert "ONE FAILURE AWAY  ■1 6 proven blocks" in text
        assert "policies of prod: 3 cells behind this one wall" in text
        assert "firewall of n1: 2 cells behind this one wall" in text
        assert ("observed, not identified: 1 cell" if size[1] >= 30 else "and 1 behind 1 other") in text
        assert "kube-apiserver 2" not in text
        await pilot.press("escape")
        await pilot.pause()
        text = screen_text(pilot.app)  # type: ignore[arg-type]
        assert "kube-apiserver 2" in text
        assert "ONE FAILURE" not in text


async def test_rows_come_and_go_with_their_last_such_cell_and_n_goes_through_them() -> None:
    store = walls.estate()
    async with app_on(FakeSession(store)).run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("1", "n")
        grid = pilot.app.screen.query_one(Matrix)
        one_failure = grid.lens.one_failure
        assert one_failure is not None
        for _ in range(8):
            await pilot.press("n")
            assert grid.cursor_key in one_failure
        key = walls.key_of(walls.DB, walls.OPS)
        walls.judge(store, key, Verdict.BLOCKED, Must.BLOCKED, (walls.NODE, walls.POLICY))
        await until(lambda: walls.DB.id not in {each.endpoint for each in grid.grid.rows}, "the row to go")
        walls.judge(store, key, Verdict.BLOCKED, Must.BLOCKED, (walls.POLICY,))
        await until(lambda: walls.DB.id in {each.endpoint for each in grid.grid.rows}, "the row to come back")


async def test_a_row_tells_its_depth_at_its_weakest_and_the_cell_what_holds() -> None:
    async with app_on(FakeSession(walls.estate())).run_test(size=(200, 50)) as pilot:
        await ready(pilot)
        await pilot.press("down", "right")
        await pilot.pause()
        text = screen_text(pilot.app)  # type: ignore[arg-type]
        assert row(text, "etcd 10").split("│")[0].split() == ["etcd", "10.0.0.4:2379", "1"]
        assert "depth 2: firewall of n1, policies of prod   at its weakest 1" in text


@pytest.mark.parametrize("opened", [False, True])
async def test_p_asks_what_a_block_is_proven_by(opened: bool) -> None:
    session = FakeSession(walls.estate())
    key = walls.key_of(walls.API, walls.PHONE)
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press(*(["enter"] if opened else []), "p")
        assert session.asked == [controls(session.store, key), (key,)]
