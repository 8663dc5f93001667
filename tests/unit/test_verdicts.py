"""Verdicts follow what the cluster tells: events come of it, findings are cleared, the review is said once."""

from __future__ import annotations

from typing import cast

from kubeshield_tui.engine.run import Engine
from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.verdicts import Verdicts
from kubeshield_tui.settings.expect_file import parse_expectations
from tests.unit.declare import API, CART_POD, NOW, WEB_POD, inventory, rule
from tests.unit.estate import answer


class NoEngine:
    """A fake engine: it is asked for controls and asks nobody."""

    def put(self, keys: object, *, urgent: bool = False) -> int:
        return 0

    def put_later(self, key: object, seconds: float) -> None:
        return None


def test_what_a_cluster_tells_late_changes_verdicts_findings_and_the_review() -> None:
    store = Store()
    for event in (
        happened.EndpointFound(at=NOW, endpoint=API),
        happened.VantageAdded(at=NOW, vantage=WEB_POD),
        happened.VantageAdded(at=NOW, vantage=CART_POD),
    ):
        store.apply(event)
    text = rule("web may", "any", to__component='"kube-apiserver"', **{"from__labels.app": '"web"'})
    declared = parse_expectations(text, "expect.toml", "expect.toml")
    expectations = Expectations(lambda: store.clusters, declared=declared, now=NOW)
    verdicts = Verdicts(store, cast("Engine", NoEngine()), store.apply, False, expectations)
    for vantage in (WEB_POD, CART_POD):
        observation = answer(CellKey(API.id, vantage.id), NOW, State.OPEN)
        store.apply(happened.CellObserved(at=NOW, observation=observation))
        verdicts.observed(observation, changed=False)
    verdicts.review()
    assert store.verdicts[Verdict.EXPOSED] == 2
    assert {finding.vantage for finding in store.findings.values()} == {WEB_POD.id, CART_POD.id}
    assert any("not decidable for 2 cells" in note for line in store.expectations for note in line.notes)
    store.apply(happened.ClusterRead(at=NOW, inventory=inventory()))
    verdicts.refresh()
    verdicts.review()
    assert (store.verdicts[Verdict.EXPOSED], store.verdicts[Verdict.REACHABLE]) == (1, 1)
    assert {finding.vantage for finding in store.findings.values()} == {CART_POD.id}
    assert not any(line.notes for line in store.expectations)
    revision = store.revision
    verdicts.refresh()
    verdicts.review()
    assert store.revision == revision  # nothing is said twice
