"""Chains in a live session on the range: what policies say is in each cell, and one that comes or goes moves it."""

from __future__ import annotations

import pytest

from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.prediction import Prediction
from kubeshield_tui.model.verdict import Judgement, Layer
from tests.contract.test_live import WEB, Live, Place, live, place

__all__ = ["place"]
SLOW, DB = "range/ops/Service/slow:80/tcp", "range/payments/Service/db:5432/tcp"
LOCKED = {
    "metadata": {"namespace": "ops", "name": "locked", "creationTimestamp": "2020-01-01T00:00:00Z"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}


def judged(running: Live, endpoint: str) -> Judgement:
    judgement = running.session.store.cell(CellKey(EndpointId(endpoint), VantageId(WEB))).judgement
    assert judgement is not None
    return judgement


def ingress(running: Live, endpoint: str) -> Layer:
    (layer,) = [each for each in judged(running, endpoint).layers if each.layer == "ingress-policy"]
    return layer


def predicted(running: Live) -> dict[CellKey, Prediction]:
    cells = running.session.store.cells.items()
    return {key: cell.judgement.prediction for key, cell in cells if cell.judgement is not None}


async def test_a_policy_that_comes_and_goes_is_in_the_cells_that_it_concerns_at_once(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with live(place, monkeypatch, WEB) as running:
        assert judged(running, DB).prediction.layer == "ingress-policy"
        assert "payments/default-deny" in ingress(running, DB).decider
        assert ingress(running, SLOW).verdict == "allow"
        before = predicted(running)
        place.world.put("networkpolicies", LOCKED)
        await running.until(lambda: ingress(running, SLOW).verdict == "deny")
        told = judged(running, SLOW)
        assert "ops/locked" in told.prediction.because
        assert told.comparison.code == "compatible"  # it answers still, but the policy is new to us
        after = predicted(running)
        assert {key for key in before if before[key] != after[key]} <= {
            key for key in before if "/ops/" in key.endpoint
        }
        place.world.remove("networkpolicies", ("ops", "locked"))
        await running.until(lambda: ingress(running, SLOW).verdict == "allow")
