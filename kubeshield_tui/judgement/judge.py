"""The one door to judgement: takes answers, gives back what they amount to.

Judging one answer may change what others amount to (a control that answers proves its neighbours' silence), so
`judge` is asked for every cell in `affected`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from kubeshield_tui.judgement.agreement import SETTLE_SECONDS, SETTLED, age_of
from kubeshield_tui.judgement.answer import RESET_GAP, Cell
from kubeshield_tui.judgement.authentication import Authentications
from kubeshield_tui.judgement.chain import EMPTY, Chain
from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.judgement.findings import findings_of
from kubeshield_tui.judgement.ledger import Ledger, shows_vantage_alive
from kubeshield_tui.judgement.proof import Standing, Want, is_ambiguous, stand
from kubeshield_tui.judgement.sentence import sentence_of
from kubeshield_tui.judgement.weigh import UNMEASURED, Given, Weighed, weigh
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, State
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Judgement, Layer, Verdict

ALIKE = "over SSH forwarding a firewall's reject and a closed port look alike"
OPEN, FILTERED, UNPROVEN = State.OPEN, State.FILTERED, Verdict.UNPROVEN
"""Looked up for every cell of a grid, which costs more of an enumeration than of a module."""
ACTED_ON = frozenset({Verdict.EXPOSED, Verdict.BROKEN})
"""Verdicts of which there is a finding."""
NEGATIVE = frozenset({State.CLOSED, State.FILTERED})
NO_STANDING = Standing()
"""Of what needs no proof."""


class Outcome(Record, frozen=True, gc=False):
    """What judging one cell gave."""

    judgement: Judgement
    findings: tuple[Finding, ...] = ()
    wants: tuple[Want, ...] = ()
    """Cells to ask so that this one can be proven."""


class _Column(Record, frozen=True):
    """What is asked of a vantage for each of its cells."""

    vantage: Vantage
    collapsed: bool
    recorded: bool


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
        self._rows: dict[EndpointId, dict[VantageId, Cell]] = {}
        self._columns: dict[VantageId, _Column] = {}
        self._unproven: dict[VantageId, set[EndpointId]] = defaultdict(set)

    def tell(self, observation: Observation) -> tuple[CellKey, ...]:
        """Take an answer in; returns the cells to judge anew, its own first."""
        endpoint = self._endpoints[observation.endpoint]
        vantage = self._vantages[observation.vantage]
        # Failures are remembered too: a control that can't be asked any more must not be wanted for ever.
        sighting = self._ledger.record(observation, endpoint, vantage)
        self._authentications.forget(endpoint.id)
        before = self._take(observation)
        affected = {observation.key: None}
        if before is None or OPEN in {before, observation.state} or before is not observation.state:
            affected |= {CellKey(endpoint.id, other): None for other, _ in self._ledger.of_endpoint(endpoint.id)}
        if shows_vantage_alive(sighting):
            affected |= {CellKey(other, vantage.id): None for other in self._unproven.get(vantage.id, ())}
        return tuple(affected)

    def _take(self, observation: Observation) -> State | None:
        """Keep an answer; returns the state that was answered before."""
        row = self._rows.setdefault(observation.endpoint, {})
        cell, sightings = row.get(observation.vantage), self._ledger.sightings(observation.key)
        if cell is None:
            row[observation.vantage] = Cell(observation, sightings)
            return None
        before = cell.answer.state
        cell.take(observation, sightings)
        return before

    def refresh(self, now: float) -> tuple[CellKey, ...]:
        """Look again at what is declared, as clusters changed or time passed; returns the cells to judge anew."""
        moved = self._expectations.refresh(self._endpoints, self._vantages, now)
        if not any(moved):
            return ()
        keys = (CellKey(endpoint, vantage) for endpoint, row in self._rows.items() for vantage in row)
        return tuple(key for key in keys if key.endpoint in moved.endpoints or key.vantage in moved.vantages)

    def forget(self, endpoint: EndpointId) -> None:
        """Drop an endpoint that is gone."""
        for vantage in self._rows.pop(endpoint, ()):
            self._unproven[vantage].discard(endpoint)
        self._ledger.forget(endpoint)
        self._authentications.forget(endpoint)

    def judge(self, key: CellKey) -> Outcome | None:
        """Judge a cell from its latest answer; None where there is none."""
        endpoint_id, vantage_id = key
        row = self._rows.get(endpoint_id)
        cell = row.get(vantage_id) if row is not None else None
        endpoint, vantage = self._endpoints.get(endpoint_id), self._vantages.get(vantage_id)
        if cell is None or endpoint is None or vantage is None:
            return None
        answer = cell.answer
        column = self._columns.get(vantage_id)
        if column is None or column.vantage is not vantage:
            column = self._columns[vantage_id] = _column(vantage)
        expectation = self._expectations.expect(endpoint, vantage)
        standing = self._stand(cell, endpoint, column) if answer.state in NEGATIVE else NO_STANDING
        chain, authentication = EMPTY, None
        if answer.state not in UNMEASURED:
            chain, authentication = self._chain_of(key), self._authentications.of(endpoint, vantage)
        weighed = _weighed(chain, authentication, cell, expectation.must, standing, column)
        proof, verdict = standing.proof, weighed.verdict
        if cell.is_unproven is not (verdict is UNPROVEN):
            self._note_unproven(key, cell)
        judgement = Judgement(
            endpoint=endpoint_id,
            vantage=vantage_id,
            verdict=verdict,
            expectation=expectation,
            prediction=weighed.prediction,
            comparison=weighed.comparison,
            proof=proof,
            layers=weighed.layers,
            listener=weighed.listener,
            listens=weighed.listens,
            next_decider=weighed.next_decider,
            depth=weighed.depth,
            depth_max=weighed.depth_max,
            sentence=sentence_of(verdict, cell, endpoint, vantage_id, expectation, proof),
        )
        ambiguous = endpoint_id in self._ledger.identified and answer.state is OPEN
        ambiguous = ambiguous and is_ambiguous(self._ledger, endpoint)
        findings: tuple[Finding, ...] = ()
        if ambiguous or weighed.severity is not None or verdict in ACTED_ON:
            found = findings_of(endpoint, vantage, cell.observation, judgement, ambiguous, weighed.severity)
            findings = tuple(found)
        wants = standing.wants
        if weighed.again or weighed.later:
            wants = (*wants, *_second_looks(key, cell, chain, weighed))
        return Outcome(judgement=judgement, findings=findings, wants=wants)

    def _stand(self, cell: Cell, endpoint: Endpoint, column: _Column) -> Standing:
        vantage = column.vantage
        standing = stand(self._ledger, self._vantages, endpoint, vantage, cell.at)
        if standing.proof is not cell.shown:
            standing = _with_shown(cell, standing)
        if cell.answer.state is FILTERED:
            return standing
        # Over forwarding alone a reject and a closed port look alike: closed is never a block there.
        if column.collapsed:
            if standing.proof.missing:
                return standing
            return replace(standing, proof=replace(standing.proof, missing=ALIKE))
        if not cell.answer.twice and standing.target_ever:
            second = Want(CellKey(endpoint.id, vantage.id), cell.since + RESET_GAP)
            return replace(standing, wants=(*standing.wants, second))
        return standing

    def _note_unproven(self, key: CellKey, cell: Cell) -> None:
        cell.is_unproven = not cell.is_unproven
        unproven = self._unproven[key.vantage]
        (unproven.add if cell.is_unproven else unproven.discard)(key.endpoint)


def _column(vantage: Vantage) -> _Column:
    return _Column(vantage=vantage, collapsed=vantage.forwards_only, recorded=vantage.is_recorded)


def _weighed(
    chain: Chain, authentication: Layer | None, cell: Cell, must: Must, standing: Standing, column: _Column
) -> Weighed:
    """What a cell amounts to, worked out once for all that are alike."""
    proof = standing.proof
    rules = age_of(chain.changed_at, cell.at) if chain.changed_at else SETTLED
    proven, met = proof.target_alive and proof.vantage_alive, standing.target_ever or proof.target_alive
    # What is weighed holds on to the layer, so nothing else can have its identity.
    kind = (id(authentication), cell.answer, must, proven, met, column.collapsed, column.recorded, rules)
    weighed: Weighed | None = chain.weighed.get(kind)
    if weighed is None:
        weighed = chain.weighed[kind] = weigh(chain, authentication, Given(*kind[1:]))
    return weighed


def _with_shown(cell: Cell, standing: Standing) -> Standing:
    """Add what was shown of the same answer before, and keep what it comes to."""
    proof, shown = standing.proof, cell.shown
    if shown is not None and not standing.ambiguous:
        if shown.target_alive and not proof.target_alive:
            proof = replace(proof, target_alive=True, target_by=shown.target_by)
        if shown.vantage_alive and not proof.vantage_alive:
            proof = replace(proof, vantage_alive=True, vantage_basis=shown.vantage_basis, vantage_by=shown.vantage_by)
        if proof.target_alive and proof.vantage_alive:
            proof = replace(proof, missing="")
    cell.shown = proof
    return standing if proof is standing.proof else replace(standing, proof=proof)


def _second_looks(key: CellKey, cell: Cell, chain: Chain, weighed: Weighed) -> Iterator[Want]:
    if weighed.again:
        yield Want(key, cell.since + RESET_GAP)
    if weighed.later:
        yield Want(key, chain.changed_at + SETTLE_SECONDS)
