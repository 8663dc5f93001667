"""The welcome screen with what --per-namespace and --per-node found: the yes is to that list, in that cluster."""

from __future__ import annotations

from textual.widgets import Checkbox, Input, SelectionList

from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.session.offer import ContextChoice, Offer
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.app import KubeShieldApp
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
