"""Keys of a cell's page: scrolling, copying, saving, proving, and remedies that wait for a yes."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from kubeshield_tui.errors import ClusterError
from kubeshield_tui.evidence.netpol.yaml_lines import Document, documents
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.verdict import Comparison
from kubeshield_tui.session.doors import ClusterWait
from kubeshield_tui.session.proposals import Proposal
from kubeshield_tui.session.remedies import Remedies
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.screens.cell import CellScreen
from kubeshield_tui.ui.screens.consent import ConsentScreen
from kubeshield_tui.ui.widgets.pager import Pager
from tests.ui.cells import AT, FINDING, KEY, NOT_ENFORCED, judge, not_enforced, open_page, page_text, text_of
from tests.ui.stage import FakeSession, app_on, screen_text, until
from tests.unit.estate import answer
from tests.unit.policed import API, WEB, estate

SIZES = [(80, 24), (120, 40), (200, 50)]


# --- keys


async def test_y_copies_the_marked_line_whole_and_without_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    session = FakeSession(not_enforced())
    app = app_on(session)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=(80, 24)) as pilot:
        pager = await open_page(pilot, session)
        await pilot.press("slash", *"kubectl", "enter", "y")
        assert copied == ["kubectl --context prod -n payments exec ops-0 -- nc -z -w 3 10.244.1.7 8080"]
        await pilot.press("j", "y")
        assert copied[1] == copied[0]  # the second half of the wrapped line
        await pilot.press("slash", *"app: api", "enter", "y")
        assert copied[2] == "    app: api".rjust(len("      app: api"))
        await pilot.press("Y")
        assert copied[3].splitlines()[0].endswith("EXPOSED  depth 1")
        assert len(copied[3].splitlines()) == len(pager.lines) + 1


async def test_a_key_scrolls_at_once_and_walks_where_there_is_nothing_to_scroll() -> None:
    session = FakeSession(not_enforced())
    app = app_on(session)
    async with app.run_test(size=(80, 24)) as pilot:
        pager = await open_page(pilot, session)
        await until(lambda: pager.max_scroll_y > 0, "a page that is longer than the screen")
        await pilot.press("down", "j")
        assert (pager.marked, pager.scroll_offset.y) == (2, 2)
        await pilot.press("k")
        assert (pager.marked, pager.scroll_offset.y) == (1, 1)
        await pilot.press("G")
        assert (pager.marked, pager.scroll_offset.y) == (len(pager.lines) - 1, pager.max_scroll_y)
        await pilot.press("up")
        assert (pager.marked, pager.scroll_offset.y) == (len(pager.lines) - 2, pager.max_scroll_y - 1)
        await pilot.press("g", "pagedown")
        assert pager.scroll_offset.y == pager.marked == pager.size.height
        await pilot.click(Pager, offset=(5, 3))
        assert pager.marked == pager.scroll_offset.y + 3


async def test_keys_prove_and_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = not_enforced()
    reached = CellKey(API.id, KEY.vantage)
    store.apply(happened.CellObserved(at=AT, observation=answer(reached, AT, State.OPEN)))
    session = FakeSession(store)
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_page(pilot, session)
        await pilot.press("p", "s")
        controls, cell = session.asked
        assert {key.endpoint for key in controls if key.vantage == KEY.vantage} == {API.id}
        assert CellKey(KEY.endpoint, WEB.id) in controls
        assert cell == (KEY,)
        (saved,) = tmp_path.iterdir()
        assert saved.stat().st_mode & 0o777 == 0o600
        assert "must be      blocked" in saved.read_text(encoding="utf-8")


# --- remedies


def exposed() -> Store:
    """A pod that answers all and that no policy isolates, with a finding."""
    store = estate()
    judge(store, replace(NOT_ENFORCED, comparison=Comparison()), answer(KEY, AT, State.OPEN))
    store.apply(happened.FindingRaised(at=AT, finding=replace(FINDING, code="exposed")))
    return store


def applied(store: Store, at: float = AT) -> happened.PolicyApplied:
    made = happened.PolicyApplied(
        at=at, cluster="prod", namespace="payments", name="kubeshield-api", uid="u", text="kind: NetworkPolicy",
        cells=(KEY,),
    )  # fmt: skip
    store.apply(made)
    return made


class FakeRemedies(Remedies):
    """Fake: proposes as a session does; notes what it is told to make and to remove."""

    def __init__(self, session: FakeSession, fails: bool = False) -> None:
        super().__init__(session, lambda: ClusterWait(()), session.store.apply)
        self.store = session.store
        self.fails = fails
        self.made: list[Proposal] = []

    async def apply(self, proposal: Proposal) -> happened.PolicyApplied:
        if self.fails:
            raise ClusterError("it was refused, nothing was made", "ask for the right")
        self.made.append(proposal)
        draft = proposal.remedy.draft
        assert draft is not None
        return applied(self.store)

    async def take_back(self, applied: happened.PolicyApplied) -> None:
        gone = happened.PolicyTakenBack(at=AT, cluster="prod", namespace=applied.namespace, name=applied.name)
        self.store.apply(gone)


def test_the_remedy_is_offered_with_a_key_where_there_is_something_to_close() -> None:
    assert "a proposes a policy that closes it" in page_text(exposed())
    assert "a proposes" not in page_text(estate())


def test_an_applied_policy_is_named_with_the_key_that_takes_it_back() -> None:
    store = exposed()
    applied(store)
    told = "applied      NetworkPolicy payments/kubeshield-api, 12 s ago: u takes it back"
    assert told in page_text(store)
    store.apply(happened.FindingCleared(at=AT, finding=FINDING.id))
    assert told in page_text(store)  # it did what it was made for


@pytest.mark.parametrize("size", SIZES)
async def test_a_policy_is_shown_then_made_after_a_yes_and_taken_back(size: tuple[int, int]) -> None:
    session = FakeSession(exposed())
    session.remedies = remedies = FakeRemedies(session)
    app = app_on(session)
    async with app.run_test(size=size) as pilot:
        await open_page(pilot, session)
        await pilot.press("a")
        shown = text_of(list(app.screen.query_one(Pager).lines))
        assert "proposal     NetworkPolicy payments/" in shown
        assert "closes       ops/ops-0 -> 10.244.1.7:8080/TCP" in shown
        assert "kind: NetworkPolicy" in shown
        for said in ("n", "enter", "y"):
            assert remedies.made == []
            await pilot.press("a")
            await until(lambda: isinstance(app.screen, ConsentScreen), "the question")
            await pilot.pause()
            asked = screen_text(app)
            assert "y applies it, n does not" in asked  # in sight however long the text is
            assert "closes     ops/ops-0 -> 10.244.1.7:8080/TCP" in asked
            await pilot.press(said)
            await until(lambda: isinstance(app.screen, CellScreen), "the cell again")
        await until(lambda: len(remedies.made) == 1, "the policy")
        await pilot.press("u")
        await until(lambda: not session.store.applied, "its removal")


async def test_a_refusal_is_told_with_what_to_do() -> None:
    session = FakeSession(exposed())
    session.remedies = FakeRemedies(session, fails=True)
    app = app_on(session)
    told: list[str] = []
    async with app.run_test(size=(120, 40)) as pilot:
        await open_page(pilot, session)
        app.screen.notify = lambda message, **_: told.append(message)  # type: ignore[method-assign]
        await pilot.press("u", "a", "a")
        await until(lambda: isinstance(app.screen, ConsentScreen), "the question")
        await pilot.press("y")
        await until(lambda: len(told) == 2, "what was said")
    assert told == ["nothing was applied here", "it was refused, nothing was made. ask for the right"]


async def test_the_proposed_yaml_is_saved_as_kubectl_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = FakeSession(exposed())
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_page(pilot, session)
        await pilot.press("S")
        (saved,) = tmp_path.iterdir()
    (document,) = documents(saved.read_text(encoding="utf-8"))
    assert isinstance(document, Document)
    assert document.value["kind"] == "NetworkPolicy"
    assert document.value["metadata"]["namespace"] == "payments"
