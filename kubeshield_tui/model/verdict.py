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


class Layer(Record, frozen=True, cache_hash=True):
    """One layer of defence and what it would say if it stood alone."""

    layer: str
    """vantage-egress, egress-policy, source-firewall, cloud-source, cloud-target, node-firewall, ingress-policy,
    authentication."""
    verdict: Predicted
    decider: str = ""
    """The one thing that decides: a rule, a policy, an answer on the wire. Why it is not known where it is not."""
    domain: str = ""
    """What it fails together with: `policies of CLUSTER`, `firewall of HOST`, `authentication`."""
    place: str = ""
    """Where it stands: a pod, a host."""
    how: str = ""
    """How it refuses, as the visitor meets it: drop, reject, no-route, late, several; empty where it does not, or where
    that is not known."""
    answer: str = ""
    """What a reject is answered with: `tcp-reset`, `icmp-admin-prohibited`; empty where that is not known."""
    enforced: bool | None = True
    """Whether it is known to be in force: None for policies where nothing tells that anybody enforces them."""
    defends: bool = True
    """Whether a denial is meant to hold: False where it refuses only as long as nothing is behind it."""
    refs: tuple[str, ...] = ()
    """What bears on its answer, by names that stay: `policy:CLUSTER/KIND/NAMESPACE/NAME`, `host:NAME`,
    `rule:HOST/FAMILY/TABLE/CHAIN/HANDLE`."""
    at: float = 0.0
    """When its source was read, seconds since the epoch; 0 for what is followed as it changes."""
    missing: str = ""
    """What would have to be read to know."""
    assumptions: tuple[str, ...] = ()
    near_miss: str = ""
    """The rule that matches in all but one field, and that field."""
    where: str = ""
    """File and line, where it was read from one."""


class Comparison(Record, frozen=True):
    """Whether rules and wire agree."""

    code: str = "not-compared"
    """As Code of judgement/comparison.py has them: agrees, compatible, not-enforced, bypassed, ..."""
    sentence: str = ""


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


class Judgement(Record, frozen=True, gc=False):
    """What a cell amounts to."""

    endpoint: EndpointId
    vantage: VantageId
    verdict: Verdict
    expectation: Expectation = Expectation()
    prediction: Prediction = Prediction()
    proof: Proof = Proof()
    comparison: Comparison = Comparison()
    layers: tuple[Layer, ...] = ()
    """In the order of the visitor's way."""
    listener: str = ""
    """What is known to listen there, or that nothing does; no layer. Empty where that is not known."""
    listens: bool | None = None
    """Whether something does; None where that is not known."""
    next_decider: str = ""
    """What would decide if the first layer that denies were not there; empty where nothing denies."""
    depth: int | None = None
    """Failure domains that deny; None where nothing was measured (lost, untested)."""
    depth_max: int | None = None
    sentence: str = ""
    """The verdict in one sentence for people."""

    @property
    def key(self) -> CellKey:
        """The cell that this judges."""
        return CellKey(self.endpoint, self.vantage)
