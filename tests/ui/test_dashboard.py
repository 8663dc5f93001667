"""The dashboard on a hand-fed store: what it says at each size, what each key does, and what it must never do."""

from __future__ import annotations

import re

import pytest

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, PolicyRecord
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import HttpExchange, Reason, State
from kubeshield_tui.model.opinion import Inspection, SecondOpinion
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import Zone
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.offer import ContextChoice, Offer
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.app import KubeShieldApp
from kubeshield_tui.ui.screens.audit import AuditScreen
from kubeshield_tui.ui.screens.cell import CellScreen
from kubeshield_tui.ui.screens.findings import FindingsScreen
from kubeshield_tui.ui.screens.welcome import WelcomeScreen
from kubeshield_tui.ui.symbols import PLAIN, UNICODE
from kubeshield_tui.ui.themes import load_themes, read_theme
from kubeshield_tui.ui.widgets.cause_list import CauseList
from kubeshield_tui.ui.widgets.matrix import HEADER_LINES, Matrix
from tests.ui.stage import ENDPOINTS, VANTAGES, FakeSession, app_on, ready, screen_text, story, until
from tests.unit.estate import answer, endpoint, vantage

SIZES = [(80, 24), (120, 40), (200, 50)]


def matrix(app: KubeShieldApp) -> Matrix:
    return app.screen.query_one(Matrix)


@pytest.mark.parametrize("size", SIZES)
async def test_the_grid_tells_what_is_wrong_at_every_size(size: tuple[int, int]) -> None:
    store = story()
    async with app_on(FakeSession(store)).run_test(size=size) as pilot:
        await ready(pilot)
        await pilot.pause()
        text = screen_text(pilot.app)  # type: ignore[arg-type]
        assert "prod-eu" in text
        assert "PRODUCTION" in text
        assert f"✖ {store.verdicts[Verdict.EXPOSED]} exposed" in text
        assert "kube-apiserver" in text
        assert "✖1" in text
        if size[0] >= 200:
            assert "✖1 exposed" in text
        assert all(len(line) <= size[0] for line in text.splitlines())


async def test_ascii_draws_the_same_without_a_single_other_character() -> None:
    async with app_on(FakeSession(story()), ascii_only=True).run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.pause()
        lines = [matrix(pilot.app).render_line(y).text for y in range(30)]  # type: ignore[arg-type]
    assert all(line.replace("…", "").isascii() for line in lines)
    assert any("X1" in line for line in lines)


def test_no_two_verdicts_share_a_sign() -> None:
    for alphabet in (UNICODE, PLAIN):
        assert len(set(alphabet.verdicts.values())) == len(Verdict)


async def test_keys_move_open_and_come_back() -> None:
    session = FakeSession(story())
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("down", "right", "enter")
        assert isinstance(app.screen, CellScreen)
        assert app.screen.key == CellKey(ENDPOINTS[1].id, app.screen.key.vantage)
        text = screen_text(app)
        for heading in ("ANSWERS", "PATH", "LAYERS", "PROOF"):
            assert heading in text
        await pilot.press("escape")
        assert isinstance(app.screen, AuditScreen)


async def test_again_asks_the_cell_its_row_and_its_column() -> None:
    session = FakeSession(story())
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("r", "R", "C")
        cell, row, column = session.asked
        assert len(cell) == 1
        assert {key.endpoint for key in row} == {cell[0].endpoint}
        assert len(row) == len(VANTAGES)
        assert {key.vantage for key in column} == {cell[0].vantage}
        assert len(column) == len(ENDPOINTS)


async def test_second_looks_are_asked_for_and_shown() -> None:
    session = FakeSession(story())
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("M")
        assert len({key.vantage for key in session.heard}) == 1
        assert len(session.heard) == len(ENDPOINTS)
        await pilot.press("enter")
        assert isinstance(app.screen, CellScreen)
        key = app.screen.key
        await pilot.press("m")
        assert session.heard == (key,)
        await pilot.press("M")
        assert {each.endpoint for each in session.heard} == {key.endpoint}
        opinion = SecondOpinion(
            endpoint=key.endpoint, vantage=key.vantage, at=1000, by="nmap 7.93 -sS on this machine",
            state=State.CLOSED, reason=Reason.CONN_REFUSED, agreement="DIFFERS: ours is open (syn-ack)", differs=True,
        )  # fmt: skip
        exchange = HttpExchange(method="GET", path="/version", status=401, reason="Unauthorized", body="one\ntwo")
        inspection = Inspection(
            endpoint=key.endpoint, vantage=key.vantage, at=1000, through="this machine", exchanges=(exchange,)
        )
        session.store.apply(happened.OpinionHeard(at=1000, opinion=opinion))
        session.store.apply(happened.Inspected(at=1000, inspection=inspection))
        await pilot.press("i")
        await pilot.pause()
        assert session.inspected == key
        text = screen_text(app)
        for words in ("WITNESSES", "closed (conn-refused); DIFFERS", "GET /version", "401 Unauthorized", "two"):
            assert words in text


async def test_pause_filter_findings_and_next() -> None:
    session = FakeSession(story())
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("space")
        assert session.store.paused
        grid = matrix(app)
        await pilot.press("slash", *"svc-07")
        assert [row.label for row in grid.grid.rows if row.endpoint] == ["svc-07 10.96.0.7:80"]
        await pilot.press("enter", "escape")
        assert len([row for row in grid.grid.rows if row.endpoint]) == len(ENDPOINTS)
        await pilot.press("n")
        assert grid.cursor_key is not None
        assert session.store.cell(grid.cursor_key).verdict in {Verdict.EXPOSED, Verdict.BROKEN}
        await pilot.press("f")
        assert isinstance(app.screen, FindingsScreen)
        causes = app.screen.query_one(CauseList)
        worst = causes.rows[0].cause
        await pilot.press("right", "right", "enter")
        await until(lambda: isinstance(app.screen, AuditScreen), "the grid")
        assert grid.cursor_key == CellKey(worst.endpoint, worst.vantage)


async def test_quit_closes_the_session_once_it_is_over() -> None:
    session = FakeSession(story())
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await until(lambda: session.ran == 1, "the session")
        await pilot.press("q")
        await until(lambda: session.closed >= 1, "the session's end")


async def test_a_terminal_that_is_too_small_is_told_so_and_forgiven() -> None:
    app = app_on(FakeSession(story()))
    async with app.run_test(size=(50, 12)) as pilot:
        await ready(pilot)
        await pilot.pause()
        assert "60 x 15" in screen_text(app)
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert "60 x 15" not in screen_text(app)
        assert "kube-apiserver" in screen_text(app)


async def test_one_changed_cell_repaints_its_row_and_heading_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    store = story()
    app = app_on(FakeSession(store))
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.pause()
        grid = matrix(app)
        painted: list[int] = []
        monkeypatch.setattr(grid, "refresh", lambda *regions, **_: painted.extend(region.y for region in regions))
        app.screen.tick()  # type: ignore[attr-defined]
        assert painted == []  # nothing changed: no frame
        key = CellKey(ENDPOINTS[3].id, VANTAGES[1].id)
        store.apply(happened.CellObserved(at=1020, observation=answer(key, 1020, State.OPEN)))
        app.screen.tick()  # type: ignore[attr-defined]
        row = grid._row_of[key.endpoint]
        assert sorted(painted) == sorted({0 + HEADER_LINES, row + HEADER_LINES})


ATTACKS = [
    "\x1b]0;owned\x07",
    "\x1b[31mred",
    "\x9b31m",
    "\u202egnp.exe",
    "[/x]",
    "[@click=app.quit]x[/]",
    "[b]$error[/b]",
    "[fe80::1]:443",
    "a\r\nb",
]
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def hostile() -> Store:
    nasty = [printable(attack) for attack in ATTACKS]
    store = story(
        [endpoint(f"e{number} {text}", host="10.0.0.1", port=number + 1) for number, text in enumerate(nasty)],
        [vantage("local"), vantage("ssh:jump")],
    )
    policy = PolicyRecord(cluster="prod", namespace="x", name=nasty[4], directions=("Ingress",), spec="\n".join(nasty))
    facts = ClusterFacts(id="prod", server=nasty[5], version=nasty[0])
    store.apply(happened.ClusterRead(at=1012, inventory=Inventory(cluster=facts, policies=(policy,))))
    store.apply(happened.ClusterFailed(at=1012, context=nasty[4], message=nasty[5], hint=nasty[1]))
    store.title = nasty[5]
    return store


@pytest.mark.parametrize("keys", [(), ("enter",), ("f",), ("v",), ("question_mark",), ("slash",)])
async def test_hostile_text_breaks_no_screen_and_reaches_no_terminal(keys: tuple[str, ...]) -> None:
    app = app_on(FakeSession(hostile()))
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press(*keys)
        await pilot.pause()
        text = screen_text(app)
        assert not FORBIDDEN.search(text.replace("\n", ""))
        assert not FORBIDDEN.search(app.export_screenshot().replace("\n", ""))
    assert app.return_code in {0, None}


OFFER = Offer(contexts=(ContextChoice("prod", "https://203.0.113.10", True),), ssh_hosts=("jump",))


async def test_nothing_starts_before_a_yes_and_the_choice_is_what_starts() -> None:
    opened: list[Settings] = []

    def open_session(settings: Settings) -> FakeSession:
        opened.append(settings)
        return FakeSession(story(), settings)

    app = KubeShieldApp(Settings(), open_session, lambda: OFFER)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.pause()
        assert isinstance(app.screen, WelcomeScreen)
        assert "nothing is" in screen_text(app)
        await pilot.press("down", "z", "space")  # ssh:jump: zone admin -> pod -> chosen
        assert opened == []
        await pilot.press("s")
        await until(lambda: isinstance(app.screen, AuditScreen), "the grid")
    (settings,) = opened
    assert settings.contexts == ("prod",)
    assert [spec.text for spec in settings.vantages] == ["local", "ssh:jump"]
    assert dict(settings.zones)["ssh:jump"] is Zone.POD


async def test_an_own_pod_needs_its_tick_and_a_bad_spec_its_correction() -> None:
    opened: list[Settings] = []
    app = KubeShieldApp(Settings(), lambda settings: opened.append(settings) or FakeSession(story()), lambda: OFFER)  # type: ignore[func-returns-value]
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        add = app.screen.query_one("#add")
        add.focus()
        await pilot.press(*"pod:Shop!", "enter")
        assert "is not a vantage spec" in screen_text(app)
        add.value = "pod:shop"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await pilot.pause()
        assert "Pod shop/kubeshield-" in screen_text(app)
        app.screen.action_start()  # type: ignore[attr-defined]
        await pilot.pause()
        assert opened == []
        assert "only after you tick" in screen_text(app)


async def test_the_training_range_is_one_key_away() -> None:
    app = KubeShieldApp(Settings(), lambda _: FakeSession(story()), lambda: OFFER)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("d")
    assert app.return_value == "demo"


async def test_settings_that_can_not_be_used_are_said_not_thrown() -> None:
    class Refusing(FakeSession):
        async def run(self) -> None:
            raise SettingsError("context prod is not in config", "Name another [/x]")

    app = app_on(Refusing(story()))
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await until(lambda: "context prod is not in config" in screen_text(app), "the sentence")
        await pilot.press("enter")


def test_every_theme_that_we_ship_loads_and_a_bad_one_names_its_key(tmp_path) -> None:
    themes = load_themes()
    assert {theme.name for theme in themes.loaded} >= {"night", "paper", "harbour", "contrast"}
    assert themes.failed == ()
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "bad"\nprimary = "no such colour"\n')
    with pytest.raises(ValueError, match="primary"):
        read_theme(bad)
