"""The self-test from the dashboard: nothing is made before a yes to what is shown, and what came of it is told."""

from __future__ import annotations

import pytest

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, Recognition
from kubeshield_tui.model.evidence import SelfTest
from kubeshield_tui.model.vantage import Zone
from kubeshield_tui.report.enforced import self_test_line
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.screens.consent import ConsentScreen
from tests.ui.stage import FakeSession, app_on, ready, screen_text, story, until
from tests.unit.estate import endpoint, vantage

HELD = SelfTest(
    cluster="prod", enforced=True, before="open (syn-ack)", after="filtered (no-response)", deny_style="drop", lag=0.5
)
FAILED = SelfTest(cluster="prod", enforced=None, before="", after="", detail="namespaces: forbidden")


def session_in(cluster: str, simulated: str = "") -> FakeSession:
    store = story([endpoint("web", host="10.96.0.1", port=80, cluster=cluster)], [vantage("ssh:phone", Zone.OUTSIDE)])
    store.simulated = simulated
    return FakeSession(store, Settings(pod_image="mirror.example/python:3"))


@pytest.mark.parametrize("opened", [False, True])
async def test_only_a_yes_to_the_list_that_is_shown_makes_anything(opened: bool) -> None:
    session = session_in("prod")
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        if opened:
            await pilot.press("enter")
        for no in ("enter", "escape", "n"):
            await pilot.press("P")
            assert isinstance(app.screen, ConsentScreen)
            text = screen_text(app)
            for words in (
                "prod",
                "Namespace kubeshield-selftest-",
                "mirror.example/python:3",
                "NetworkPolicy deny-all",
            ):
                assert words in text
            await pilot.press(no)
            assert not isinstance(app.screen, ConsentScreen)
            assert session.tested == []
        session.store.apply(happened.SelfTested(at=1004, test=HELD))
        await pilot.press("P", "y")
        await until(lambda: session.tested == ["prod"], "the self-test")
        told = f"prod: {self_test_line(HELD)}"
        await until(lambda: told in {notice.message for notice in app._notifications}, "what came of it")


@pytest.mark.parametrize(("cluster", "simulated"), [("", ""), ("prod", "everything")])
async def test_where_there_is_nothing_to_test_it_is_not_offered(cluster: str, simulated: str) -> None:
    session = session_in(cluster, simulated)
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("P")
        assert not isinstance(app.screen, ConsentScreen)


async def test_what_enforces_and_what_says_so_stands_with_the_vantages() -> None:
    session = session_in("prod")
    calico = Recognition(what="policy-engine", name="calico", evidence="DaemonSet kube-system/calico-node")
    facts = ClusterFacts(id="prod", server="https://10.0.0.1", recognised=(calico,))
    session.store.apply(happened.ClusterRead(at=1003, inventory=Inventory(cluster=facts)))
    session.store.apply(happened.SelfTested(at=1004, test=HELD))
    app = app_on(session)
    async with app.run_test(size=(160, 40)) as pilot:
        await ready(pilot)
        await pilot.press("v")
        await pilot.pause()
        text = screen_text(app)
        for words in ("cluster prod: policies are enforced", "calico-node", "filtered (no-response) under a deny-all"):
            assert words in text


def test_what_came_of_it_is_one_sentence() -> None:
    assert self_test_line(HELD) == (
        "policies are enforced. open (syn-ack) without a policy, filtered (no-response) under a deny-all"
    )
    assert self_test_line(FAILED) == "whether policies are enforced is not known. namespaces: forbidden"
