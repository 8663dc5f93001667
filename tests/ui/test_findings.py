"""The list of findings: those of cells lead to their cell, those of clusters and objects say what they are about."""

from __future__ import annotations

from msgspec.structs import replace

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import AggregatedApiRecord, ServiceRecord
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.session.holes import Holes
from kubeshield_tui.ui.screens.audit import AuditScreen
from kubeshield_tui.ui.screens.findings import FindingsScreen
from kubeshield_tui.ui.widgets.cause_list import CauseList
from kubeshield_tui.ui.widgets.matrix import Matrix
from tests.ui.stage import ENDPOINTS, VANTAGES, FakeSession, app_on, ready, screen_text, story, until
from tests.unit.holes_estate import inventory


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
