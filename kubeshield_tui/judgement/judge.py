"""The one door to judgement: takes answers, gives back what they amount to.

Judging one answer may change what others amount to (a control that answers proves its neighbours' silence), so
`judge` is asked for every cell in `affected`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from msgspec.structs import replace

from kubeshield_tui.judgement.agreement import RECORDED, Agreement, agreement_of
from kubeshield_tui.judgement.authentication import Authentications
from kubeshield_tui.judgement.chain import EMPTY, Chain, Whole
from kubeshield_tui.judgement.comparison import Code
from kubeshield_tui.judgement.comparison import Comparison as Compared
from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.judgement.findings import findings_of
from kubeshield_tui.judgement.ledger import Ledger, Sighting, shows_vantage_alive
from kubeshield_tui.judgement.proof import RESET_GAP, Standing, Want, closed_since, identities, stand
from kubeshield_tui.judgement.sentence import sentence_of
from kubeshield_tui.judgement.verdict import verdict_of
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, State
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Comparison, Judgement, Proof, Verdict

ALIKE = "over SSH forwarding a firewall's reject and a closed port look alike"
_NOT_COMPARED = Agreement(Compared(Code.NOT_COMPARED, "nothing was measured"))
_NO_LAYERS = Whole(())
UNMEASURED = frozenset({Verdict.LOST, Verdict.UNTESTED})
UNPROVEN = Proof()
NOTHING_SHOWN = (0.0, UNPROVEN)
ACTED_ON = frozenset({Verdict.EXPOSED, Verdict.BROKEN})
"""Verdicts of which there is a finding."""
NEGATIVE = frozenset({State.CLOSED, State.FILTERED})


class Outcome(NamedTuple):
    """What judging one cell gave."""

    judgement: Judgement
    findings: tuple[Finding, ...]
    wants: tuple[Want, ...]
    """Cells to ask so that this one can be proven."""


@lru_cache(4096)
def _told(compared: Compared) -> Comparison:
    return Comparison(code=str(compared.code), sentence=compared.sentence)


class Judge:
    """Judges cells from the answers that it was told."""

    def __init__(
        self,
        endpoints: Mapping[EndpointId, Endpoint],
        vantages: Mapping[VantageId, Vantage],
        expectations: Expectations | None = None,
        chain_of: Callable[[CellKey], Chain] = lambda _: EMPTY,
    ) -> None:
        """`expectations`: the baseline alone unless given. `chain_of` tells the layers on a cell's way as known now."""
        self._endpoints = endpoints
        self._vantages = vantages
        self._expectations = expectations or Expectations()
        self._chain_of = chain_of
        self._ledger = Ledger()
        self._authentications = Authentications(self._ledger, vantages)
        self._latest: dict[CellKey, Observation] = {}
        self._unproven: dict[VantageId, set[EndpointId]] = {}
        self._shown: dict[CellKey, tuple[float, Proof]] = {}

    def tell(self, observation: Observation) -> tuple[CellKey, ...]:
        """Take an answer in; returns the cells to judge anew, its own first."""
        endpoint = self._endpoints[observation.endpoint]
        vantage = self._vantages[observation.vantage]
        key = observation.key
        before = self._latest.get(key)
        self._latest[key] = observation
        # Failures are remembered too: a control that can't be asked any more must not be wanted for ever.
        sighting = self._ledger.record(observation, endpoint, vantage)
        self._authentications.forget(endpoint.id)
        affected = {key: None}
        if before is None or State.OPEN in {before.state, observation.state} or before.state is not observation.state:
            affected |= {CellKey(endpoint.id, other): None for other, _ in self._ledger.of_endpoint(endpoint.id)}
        if shows_vantage_alive(sighting):
            affected |= {CellKey(other, vantage.id): None for other in self._unproven.get(vantage.id, ())}
        return tuple(affected)

    def refresh(self, now: float) -> tuple[CellKey, ...]:
        """Look again at what is declared, as clusters changed or time passed; returns the cells to judge anew."""
        moved = self._expectations.refresh(self._endpoints, self._vantages, now)
        if not any(moved):
            return ()
        return tuple(key for key in self._latest if key.endpoint in moved.endpoints or key.vantage in moved.vantages)

    def forget(self, endpoint: EndpointId) -> None:
        """Drop an endpoint that is gone."""
        for vantage, _ in self._ledger.of_endpoint(endpoint):
            self._latest.pop(CellKey(endpoint, vantage), None)
            self._shown.pop(CellKey(endpoint, vantage), None)
            self._note_unproven(CellKey(endpoint, vantage), None)
        self._ledger.forget(endpoint)
        self._authentications.forget(endpoint)

    def judge(self, key: CellKey) -> Outcome | None:
        """Judge a cell from its latest answer; None where there is none."""
        observation = self._latest.get(key)
        endpoint = self._endpoints.get(key.endpoint)
        vantage = self._vantages.get(key.vantage)
        if observation is None or endpoint is None or vantage is None:
            return None
        expectation = self._expectations.expect(endpoint, vantage)
        sightings = self._ledger.sightings(key)
        standing, wants, confirmed = self._weigh(key, observation, sightings, endpoint, vantage)
        verdict = verdict_of(expectation.must, observation, standing, confirmed)
        self._note_unproven(key, verdict)
        proof = standing.proof if standing else UNPROVEN
        measured = verdict not in UNMEASURED
        chain = self._chain_of(key) if measured else EMPTY
        agreement = _compare(chain, observation, sightings, vantage, proof) if measured else _NOT_COMPARED
        whole = chain.ended_by(self._authentications.of(endpoint, vantage)) if measured else _NO_LAYERS
        depth = whole.depth(verdict)
        compared = agreement.comparison
        judgement = Judgement(
            endpoint=key.endpoint,
            vantage=key.vantage,
            verdict=verdict,
            expectation=expectation,
            prediction=chain.prediction,
            comparison=_told(compared),
            proof=proof,
            layers=whole.layers,
            listener=chain.listener_text,
            listens=chain.listener,
            next_decider=whole.next_decider,
            depth=depth.least,
            depth_max=depth.most,
            sentence=sentence_of(verdict, observation, endpoint, expectation, proof),
        )
        ambiguous = observation.state is State.OPEN and len(identities(self._ledger, endpoint)) > 1
        findings: tuple[Finding, ...] = ()
        if ambiguous or compared.severity is not None or verdict in ACTED_ON:
            findings = tuple(findings_of(endpoint, vantage, observation, judgement, ambiguous, compared.severity))
        return Outcome(judgement, findings, (*wants, *agreement.wants))

    def _weigh(
        self,
        key: CellKey,
        observation: Observation,
        sightings: tuple[Sighting, ...],
        endpoint: Endpoint,
        vantage: Vantage,
    ) -> tuple[Standing | None, tuple[Want, ...], bool]:
        if observation.state not in NEGATIVE:
            return None, (), False
        standing = stand(self._ledger, self._vantages, endpoint, vantage, sightings[-1])
        standing = self._remember(key, sightings[-1].at, standing)
        wants = standing.wants
        # Over forwarding alone a reject and a closed port look alike: closed is never a block there.
        can_confirm = observation.state is State.CLOSED and not vantage.forwards_only
        if observation.state is State.CLOSED and vantage.forwards_only and not standing.proof.missing:
            standing = standing._replace(proof=replace(standing.proof, missing=ALIKE))
        confirmed = can_confirm and sightings[-1].at - closed_since(sightings) >= RESET_GAP
        if can_confirm and not confirmed and standing.target_ever:
            wants = (*wants, Want(key, closed_since(sightings) + RESET_GAP))
        return standing, wants, confirmed

    def _remember(self, key: CellKey, at: float, standing: Standing) -> Standing:
        """Keep what was shown about an answer: the sightings that showed it are dropped before it is asked again."""
        shown_at, shown = self._shown.get(key, NOTHING_SHOWN)
        if shown_at == at and shown is standing.proof:
            return standing
        if shown_at == at and not standing.ambiguous:
            proof = standing.proof
            if shown.target_alive and not proof.target_alive:
                proof = replace(proof, target_alive=True, target_by=shown.target_by)
            if shown.vantage_alive and not proof.vantage_alive:
                proof = replace(
                    proof, vantage_alive=True, vantage_basis=shown.vantage_basis, vantage_by=shown.vantage_by
                )
            if proof.target_alive and proof.vantage_alive:
                proof = replace(proof, missing="")
            standing = standing._replace(proof=proof)
        self._shown[key] = (at, standing.proof)
        return standing

    def _note_unproven(self, key: CellKey, verdict: Verdict | None) -> None:
        if verdict is Verdict.UNPROVEN:
            self._unproven.setdefault(key.vantage, set()).add(key.endpoint)
        elif (unproven := self._unproven.get(key.vantage)) is not None:
            unproven.discard(key.endpoint)


def _compare(
    chain: Chain, observation: Observation, sightings: tuple[Sighting, ...], vantage: Vantage, proof: Proof
) -> Agreement:
    if vantage.is_recorded:
        return Agreement(RECORDED)
    return agreement_of(chain, observation, sightings, proof, collapsed=vantage.forwards_only)
