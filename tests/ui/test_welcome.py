"""The welcome screen: a yes is to the list that was shown, in that cluster; rights are reviewed when a key says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Checkbox, Input, SelectionList

from kubeshield_tui.cluster.rights import Right
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.session.offer import ContextChoice, Offer
from kubeshield_tui.session.preflight import ClusterStanding, Standing, wanted_in
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.app import KubeShieldApp
from kubeshield_tui.ui.screens import welcome
from kubeshield_tui.ui.screens.audit import AuditScreen
from kubeshield_tui.ui.screens.welcome import WelcomeScreen
from tests.ui.stage import FakeSession, ready, screen_text, story, until

READ = (
    parse_vantage("pod:shop"),
    parse_vantage("pod:default@n1"),
    parse_vantage("pod:shop", "spare"),
)
OFFER = Offer(
    contexts=(
        ContextChoice("main", "https://203.0.113.10", False),
        ContextChoice("spare", "https://203.0.113.11", True),
    ),
    vantages=READ,
    was_read=True,
)
FLAGS = Settings(contexts=("main", "spare"), vantages=READ)


class Stage:
    """The app on the welcome screen; notes what it starts."""

    def __init__(self, settings: Settings, offer: Offer) -> None:
        self.opened: list[Settings] = []
        self.app = KubeShieldApp(settings, self._open, lambda: offer)

    def _open(self, settings: Settings) -> FakeSession:
        self.opened.append(settings)
        return FakeSession(story(), settings)

    @property
    def screen(self) -> WelcomeScreen:
        assert isinstance(self.app.screen, WelcomeScreen)
        return self.app.screen

    @property
    def consent(self) -> Checkbox:
        return self.screen.query_one("#consent", Checkbox)


async def test_one_namespace_of_two_clusters_is_two_vantages_and_the_order_of_the_flags_stays() -> None:
    stage = Stage(Settings(contexts=("spare", "main"), vantages=READ), OFFER)
    async with stage.app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.pause()
        shown = screen_text(stage.app)
        assert "pod:shop@@spare" in shown
        assert "no probe is sent before" in shown
        stage.consent.value = True
        await pilot.pause()
        stage.screen.action_start()
        await until(lambda: isinstance(stage.app.screen, AuditScreen), "the grid")
    (settings,) = stage.opened
    assert settings.vantages == READ
    assert settings.contexts == ("spare", "main")  # not the kubeconfig's order: the first one is where pods are made
    assert settings.consent


async def test_a_yes_is_to_the_list_that_was_shown() -> None:
    stage = Stage(FLAGS, OFFER)
    async with stage.app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.pause()
        stage.consent.value = True
        await pilot.pause()
        assert stage.consent.value  # telling of the tick itself does not take it back
        add = stage.screen.query_one("#add", Input)
        add.focus()
        add.value = "node:n9"
        await pilot.press("enter")
        await pilot.pause()
        assert "on node n9: hostNetwork" in " ".join(screen_text(stage.app).split())
        assert not stage.consent.value
        stage.screen.action_start()
        await pilot.pause()
        assert stage.opened == []


async def test_what_was_read_in_one_cluster_is_not_made_in_another() -> None:
    stage = Stage(Settings(contexts=("main",), vantages=READ[:2]), OFFER)
    async with stage.app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.pause()
        contexts = stage.screen.query_one("#contexts", SelectionList)
        contexts.deselect("main")
        contexts.select("spare")
        stage.consent.value = True
        await pilot.pause()
        stage.screen.action_start()
        await pilot.pause()
        assert stage.opened == []
        assert "another cluster" in " ".join(screen_text(stage.app).split())
        contexts.select("main")
        await pilot.pause()
        stage.screen.action_start()
        await until(lambda: isinstance(stage.app.screen, AuditScreen), "the grid")
    assert stage.opened[0].contexts == ("main", "spare")


class Reviewer:
    """Stands in for the clusters: notes what is asked, answers what it was told to."""

    def __init__(self, missing: dict[str, tuple[Right, ...]] | None = None, problem: str = "") -> None:
        self.asked: list[tuple[str, ...]] = []
        self._missing = missing or {}
        self._problem = problem

    async def __call__(
        self, settings: Settings, contexts: tuple[str, ...], *, live: bool = False
    ) -> tuple[ClusterStanding, ...]:
        self.asked.append(contexts)
        return tuple(
            ClusterStanding(
                context=context,
                version="" if self._problem else "v1.33.4",
                problem=self._problem,
                standings=tuple(
                    Standing(wanted=each, missing=self._missing.get(each.subject, ()), granted=1)
                    for each in wanted_in(settings, context, contexts[0], live=live)
                ),
            )
            for context in contexts
        )


def flat(app: KubeShieldApp) -> str:
    return " ".join(screen_text(app).split())


async def test_rights_are_reviewed_on_a_key_and_stand_beside_each_vantage(monkeypatch: pytest.MonkeyPatch) -> None:
    reviewer = Reviewer({"pod:shop": (Right(verb="create", resource="pods"),)})
    monkeypatch.setattr(welcome, "check_rights", reviewer)
    stage = Stage(FLAGS, replace(OFFER, was_read=False))
    async with stage.app.run_test(size=(200, 50)) as pilot:
        await ready(pilot)
        await pilot.pause()
        shown = flat(stage.app)
        assert "nothing is connected to and nothing is sent" in shown
        assert "not checked: c asks main, spare for the version" in shown
        assert "may" not in shown.partition("Rights")[0]
        assert reviewer.asked == []
        await pilot.press("c")
        await until(lambda: "rights were reviewed; no probe is sent" in flat(stage.app), "the reviews")
        assert reviewer.asked == [("main", "spare")]
        shown = flat(stage.app)
        assert "pod:shop ✖ may not zone pod" in shown
        assert "pod:default@n1 ● may zone pod" in shown
        assert "pod:shop@@spare ● may zone pod" in shown
        assert "main: v1.33.4" in shown
        assert "pod:shop: not granted in shop: create pods" in shown
        assert "`kubeshield rbac` prints the roles" in shown
        assert "c asks" not in shown
        add = stage.screen.query_one("#add", Input)
        add.focus()
        add.value = "pod:payments"
        await pilot.press("enter")
        await pilot.pause()
        assert "not all checked: c asks main for" in flat(stage.app)
    assert stage.opened == []


async def test_a_cluster_that_can_not_be_asked_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(welcome, "check_rights", Reviewer(problem="main can't be reached: no route. Check the VPN"))
    stage = Stage(FLAGS, OFFER)
    async with stage.app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("c")
        await until(lambda: "no route. Check the VPN" in flat(stage.app), "the reason")
        assert "may not" not in flat(stage.app)


async def test_without_a_cluster_there_is_nothing_to_review(monkeypatch: pytest.MonkeyPatch) -> None:
    reviewer = Reviewer()
    monkeypatch.setattr(welcome, "check_rights", reviewer)
    stage = Stage(Settings(vantages=(parse_vantage("local"),)), Offer())
    async with stage.app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("c")
        await pilot.pause()
        assert "Choose a cluster: rights are rights in one" in flat(stage.app)
    assert reviewer.asked == []
