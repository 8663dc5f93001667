"""The list of findings: those of cells lead to their cell, those of clusters and objects say what they are about."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import AggregatedApiRecord, ServiceRecord
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey, FindingId, VantageId
from kubeshield_tui.model.observation import Posture, State
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.session.holes import Holes
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.screens.audit import AuditScreen
from kubeshield_tui.ui.screens.findings import FindingsScreen
from kubeshield_tui.ui.widgets.cause_list import CauseList
from kubeshield_tui.ui.widgets.matrix import Matrix
from tests.ui.stage import ENDPOINTS, VANTAGES, FakeSession, app_on, ready, screen_text, story, until
from tests.unit.estate import answer, vantage
from tests.unit.holes_estate import inventory, on_node
from tests.unit.test_causes import API, PHONE


def session_with_holes() -> FakeSession:
    store = story()
    claim = ServiceRecord(namespace="shop", name="web[bold]", external_ips=("10.96.0.10",))
    dns = ServiceRecord(namespace="kube-system", name="kube-dns", addresses=("10.96.0.10",))
    metrics = AggregatedApiRecord(name="v1beta1.metrics.k8s.io")
    read = inventory("v1.10.3", services=(claim, dns), aggregated=(metrics,))
    store.apply(happened.ClusterRead(at=1012, inventory=read))
    holes = Holes(store, store.apply)
    holes.look()
    return FakeSession(store)


async def chosen(app: object, pilot: object, code: str) -> str:
    """Go down the list to a finding; returns what the screen shows."""
    screen = app.screen  # type: ignore[attr-defined]
    rows = screen.query_one(CauseList).rows
    number = next(index for index, row in enumerate(rows) if row.cause.code == code)
    await pilot.press(*["down"] * number)  # type: ignore[attr-defined]
    await pilot.pause()  # type: ignore[attr-defined]
    return screen_text(app)  # type: ignore[arg-type]


async def test_a_known_hole_says_who_reaches_it_and_leads_to_the_worst_cell() -> None:
    session = session_with_holes()
    app = app_on(session)
    async with app.run_test(size=(160, 50)) as pilot:
        await ready(pilot)
        await pilot.press("f")
        text = await chosen(app, pilot, "CVE-2018-1002105")
        assert "CVE-2018-1002105 in kube-apiserver v1.10.3" in text
        assert "where     CVE-2018-1002105: prod, kube-apiserver, from ssh:phone, reached from" in text
        assert "kubectl --context prod get --raw /version" in text
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, AuditScreen), "the grid")
        assert app.screen.query_one(Matrix).cursor_key == CellKey(ENDPOINTS[0].id, VANTAGES[0].id)


async def test_a_finding_about_an_object_leads_nowhere_and_says_so() -> None:
    app = app_on(session_with_holes())
    async with app.run_test(size=(160, 50)) as pilot:
        await ready(pilot)
        await pilot.press("f")
        text = await chosen(app, pilot, "external-ips")
        assert "where     external-ips: prod, shop/Service/web[bold], service" in text
        assert "10.96.0.10 is the address of Service kube-system/kube-dns" in text
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, FindingsScreen)
        assert [notice.message for notice in app._notifications] == ["this is about no cell of the grid"]
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, AuditScreen), "the grid")


async def test_a_finding_with_much_to_say_scrolls() -> None:
    session = session_with_holes()
    known = next(finding for finding in session.store.findings.values() if finding.code == "CVE-2018-1002105")
    long = replace(known, because=tuple(f"reason {number}" for number in range(60)))
    session.store.apply(happened.FindingRaised(at=1013, finding=long))
    app = app_on(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot)
        await pilot.press("f")
        assert "reason 59" not in await chosen(app, pilot, "CVE-2018-1002105")
        await pilot.press("tab", "end")
        await until(lambda: "reason 59" in screen_text(app) and "remedy" in screen_text(app), "the end of the text")


def session_with_a_crowd(nodes: int = 40, pods: int = 10) -> FakeSession:
    """Kubelets that pods of two namespaces reach: one cause of `nodes` x `pods` cells; and the API from outside."""
    kubelets = [replace(on_node(f"n{number:02}"), host=f"10.0.0.{number + 10}") for number in range(nodes)]
    places = [vantage(f"pod:{'shop' if number % 2 else 'pay'}/web-{number}") for number in range(pods)]
    store = Store()
    store.apply(happened.SessionStarted(at=1000, title="prod-eu", version="0"))
    for each in (API, *kubelets):
        store.apply(happened.EndpointFound(at=1000, endpoint=each))
    for place in (PHONE, *places):
        store.apply(happened.VantageAdded(at=1000, vantage=place))
    raise_for(store, API, PHONE, 1001)
    for kubelet in kubelets:
        for place in places:
            raise_for(store, kubelet, place, 1002)
    return FakeSession(store)


def raise_for(store: Store, target: Endpoint, source: Vantage, at: float) -> None:
    key = CellKey(target.id, source.id)
    observation = answer(key, at, State.OPEN, posture=Posture.AUTH_REQUIRED)
    judge = Judge(store.endpoints, store.vantages)
    judge.tell(observation)
    outcome = judge.judge(key)
    assert outcome is not None
    store.apply(happened.CellObserved(at=at, observation=observation))
    store.apply(happened.CellJudged(at=at, judgement=outcome.judgement))
    for finding in outcome.findings:
        store.apply(happened.FindingRaised(at=at, finding=finding))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_a_cause_of_four_hundred_cells_is_a_line_and_unfolds_into_them(size: tuple[int, int]) -> None:
    app = app_on(session_with_a_crowd())
    async with app.run_test(size=size) as pilot:
        await ready(pilot)
        await pilot.press("f")
        causes = app.screen.query_one(CauseList)
        await until(lambda: len(causes.rows) == 2, "two causes")
        await pilot.pause()
        text = screen_text(app)
        assert "2 findings" in text
        assert "in 401 cells" in text
        assert "kubelet on 40 nodes open to pods of pay and shop" in text
        assert "400 cells" in text
        await pilot.press("down", "enter")
        assert len(causes.rows) == 402
        await pilot.press("down")
        await pilot.pause()
        text = screen_text(app)
        assert "kubelet n00 10.0.0.10:10250" in text
        assert "is reachable from pod:pay/web-0" in text  # the lower part speaks of this cell now
        await pilot.press("end")
        await pilot.pause()
        assert "kubelet n39 10.0.0.49:10250" in screen_text(app)
        last = causes.rows[-1].key
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, AuditScreen), "the grid")
        assert app.screen.query_one(Matrix).cursor_key == last


async def test_folding_from_inside_a_cause_goes_back_to_its_line() -> None:
    app = app_on(session_with_a_crowd())
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("f", "j", "l", "l", "pagedown", "h")
        causes = app.screen.query_one(CauseList)
        assert len(causes.rows) == 2
        assert causes.cursor == 1
        await pilot.press("h", "g")
        assert causes.cursor == 0


async def test_what_happens_meanwhile_is_shown_and_the_cursor_stays_where_it_was() -> None:
    session = session_with_a_crowd(nodes=3, pods=2)
    etcd = replace(on_node("n1", component="etcd", port=2379), group="control plane")
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("f", "down", "enter", "down", "down")
        causes = app.screen.query_one(CauseList)
        before = causes.row
        assert before is not None
        session.store.apply(happened.EndpointFound(at=1003, endpoint=etcd))
        raise_for(session.store, etcd, session.store.vantages[VantageId("pod:pay/web-0")], 1003)
        await until(lambda: len(causes.rows) == 9, "the new finding")
        assert causes.row is not None
        assert (causes.row.cause.id, causes.row.key) == (before.cause.id, before.key)
        for finding in list(session.store.findings):
            session.store.apply(happened.FindingCleared(at=1004, finding=finding))
        await until(lambda: causes.rows == [], "the last finding's end")
        await pilot.press("down", "enter", "right", "left", "end")
        assert causes.row is None


async def test_objects_of_one_cause_are_listed_and_lead_nowhere() -> None:
    session = session_with_holes()
    known = next(finding for finding in session.store.findings.values() if finding.code == "external-ips")
    more = replace(known, id=FindingId("external-ips:prod:pay:Service/other"), namespace="pay", object="Service/other")
    session.store.apply(happened.FindingRaised(at=1013, finding=more))
    app = app_on(session)
    async with app.run_test(size=(160, 50)) as pilot:
        await ready(pilot)
        await pilot.press("f")
        assert "2 objects" in await chosen(app, pilot, "external-ips")
        await pilot.press("right")
        await pilot.pause()
        text = screen_text(app)
        assert "pay/Service/other" in text
        assert "shop/Service/web[bold]" in text
        await pilot.press("right", "enter")
        await pilot.pause()
        assert isinstance(app.screen, FindingsScreen)
        assert [notice.message for notice in app._notifications] == ["this is about no cell of the grid"]
