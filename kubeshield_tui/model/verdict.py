"""SO WHAT: the verdict of a cell, its proof and its layers. Definitions are those of docs/concepts/verdicts.md."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.expectation import Expectation
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.prediction import Predicted, Prediction
from kubeshield_tui.model.record import Record


class Verdict(StrEnum):
    """One word a cell."""

    EXPOSED = "exposed"
    BLOCKED = "blocked"
    UNPROVEN = "unproven"
    DEAD = "dead"
    REACHABLE = "reachable"
    BROKEN = "broken"
    LOST = "lost"
    UNTESTED = "untested"


class Layer(Record, frozen=True):
    """One layer of defence and what it would say if it stood alone."""

    layer: str
    """vantage-egress, egress-policy, source-firewall, cloud-source, cloud-target, node-firewall, ingress-policy,
    authentication."""
    verdict: Predicted
    decider: str = ""
    """The one thing that decides: a rule, a policy, an answer on the wire."""


class Proof(Record, frozen=True):
    """Why a negative may be believed."""

    vantage_alive: bool = False
    vantage_basis: str = ""
    """`answered`, `link`, or empty."""
    vantage_by: str = ""
    """The cell that showed it, in words."""
    target_alive: bool = False
    target_by: str = ""
    missing: str = ""
    """What is lacking for proof, one sentence."""


class Judgement(Record, frozen=True):
    """What a cell amounts to."""

    endpoint: EndpointId
    vantage: VantageId
    verdict: Verdict
    expectation: Expectation = Expectation()
    prediction: Prediction = Prediction()
    proof: Proof = Proof()
    layers: tuple[Layer, ...] = ()
    depth: int | None = None
    """Failure domains that deny; None where nothing was measured (lost, untested)."""
    depth_max: int | None = None
    sentence: str = ""
    """The verdict in one sentence for people."""

    @property
    def key(self) -> CellKey:
        """The cell that this judges."""
        return CellKey(self.endpoint, self.vantage)
