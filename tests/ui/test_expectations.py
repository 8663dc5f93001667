"""What is declared, on screen: the line that decides a cell, by whom and how long; what every line came to."""

from __future__ import annotations

import pytest

from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.judgement.review import review
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.ui.page.cell import cell_page
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.screens.expectations import ExpectationsScreen
from tests.ui.stage import FakeSession, app_on, ready, screen_text
from tests.unit.declare import API, CART_POD, HERE, IN_SHOP, KUBELET, NOW, WEB_POD, declare, rule, waive
from tests.unit.estate import answer

FILE = (
    rule("nobody", "blocked", to__component='"kube-apiserver"', because='"it is the one door"')
    + rule("by account", "any", to__component='"kube-apiserver"', from__service_account='"robot"')
    + rule("\\u001b[2Jtypo", "blocked", to__namespace='"shp"')
    + waive("old agent", "2026-12-31", to__component='"kubelet"')
    + waive("long gone", "2001-01-01", to__component='"kube-apiserver"')
)


def estate() -> Store:
    store = Store()
    store.apply(happened.SessionStarted(at=NOW, title="prod", version="0"))
    for endpoint in (API, KUBELET):
        store.apply(happened.EndpointFound(at=NOW, endpoint=endpoint))
    for vantage in (HERE, IN_SHOP, WEB_POD, CART_POD):
        store.apply(happened.VantageAdded(at=NOW, vantage=vantage))
    expectations = declare(FILE)
    judge = Judge(store.endpoints, store.vantages, expectations)
    for endpoint in store.endpoints:
        for vantage in store.vantages:
            observation = answer(CellKey(endpoint, vantage), NOW, State.OPEN)
            store.apply(happened.CellObserved(at=NOW, observation=observation))
            judge.tell(observation)
            outcome = judge.judge(observation.key)
            assert outcome is not None
            store.apply(happened.CellJudged(at=NOW, judgement=outcome.judgement))
    lines = review(expectations, store.endpoints.values(), store.vantages.values())
    store.apply(happened.ExpectationsReviewed(at=NOW, lines=lines))
    return store


def page(store: Store, key: CellKey) -> str:
    view = CellView(store, Firewalls(store), Worlds(store), key, NOW, 200)
    return "\n".join("".join(text for text, _ in line) for line in cell_page(view))


def test_a_cell_says_what_it_must_be_by_which_line_and_what_is_not_sure() -> None:
    store = estate()
    sure = page(store, CellKey(API.id, IN_SHOP.id))
    assert 'must be      blocked   expect.toml:1 "nobody"' in sure
    assert "reason       it is the one door" in sure
    assert 'expired      expect.toml:21 "long gone" of us held until 2001-01-01' in sure
    assert "undecided" not in sure
    doubtful = page(store, CellKey(API.id, WEB_POD.id))
    assert 'must be      blocked   expect.toml:1 "nobody"' in doubtful
    assert 'undecided    expect.toml:6 "by account": service account of pod:shop/web-0 is not known' in doubtful


def test_an_excepted_cell_says_who_answers_for_it_and_until_when() -> None:
    excepted = page(estate(), CellKey(KUBELET.id, WEB_POD.id))
    assert 'must be      any       expect.toml:15 "old agent"' in excepted
    assert "exception    of us until 2026-12-31: why" in excepted
    assert "REACHABLE" in excepted


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_every_line_is_shown_with_what_it_came_to(size: tuple[int, int]) -> None:
    app = app_on(FakeSession(estate()))
    async with app.run_test(size=size) as pilot:
        await ready(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, ExpectationsScreen)
        lines = [line for line in app.screen.page_lines() if line]
        whole = " ".join("".join(text for text, _ in line).strip() for line in lines)
        assert "\x1b" not in whole
        assert all(len("".join(text for text, _ in line)) <= size[0] for line in lines)
        assert "decides 4 of the 4 cells that it speaks of" in whole
        assert "us, until 2026-12-31: why" in whole
        assert "unused: it speaks of no endpoint and vantage of this run" in whole
        assert "not decidable for 2 cells" in whole
        assert "expired on 2001-01-01" in whole
        text = screen_text(app)
        assert "Expectations: " in text
        assert "to look at" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, ExpectationsScreen)
