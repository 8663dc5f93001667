"""Keeps verdicts and findings true as answers come in: asks judgement, turns its outcomes into events and asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import time

from kubeshield_tui.engine.run import Engine
from kubeshield_tui.judgement.chain import EMPTY, Chain
from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.judgement.judge import Judge, Outcome
from kubeshield_tui.judgement.review import review
from kubeshield_tui.model.event import CellJudged, Event, ExpectationsReviewed, FindingCleared, FindingRaised
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, EndpointId, FindingId
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.store import Store

AGE_SECONDS = 300.0
"""A cell is asked again when its answer is this old."""
AUDIT_WAIT_SECONDS = 20.0
"""How long a single audit waits for an answer that would tell more."""
HOT_AGE_SECONDS = 30.0
"""Exposed and lately changed cells are asked again sooner."""


class Verdicts:
    """Judges on each answer. `live`: cells are asked again as they age."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        emit: Callable[[Event], None],
        live: bool,
        expectations: Expectations,
        chain_of: Callable[[CellKey], Chain] = lambda _: EMPTY,
    ) -> None:
        self._store = store
        self._engine = engine
        self._emit = emit
        self._live = live
        self._expectations = expectations
        self._judge = Judge(store.endpoints, store.vantages, expectations, chain_of)
        self._findings: dict[CellKey, dict[FindingId, Finding]] = {}

    def observed(self, observation: Observation, changed: bool) -> None:
        """Judge the cell of an answer and all that it bears on."""
        affected = self._judge.tell(observation)
        for key in affected:
            outcome = self._judge.judge(key)
            if outcome is None:
                continue
            self._publish(key, outcome)
            if key == observation.key and self._live and not self._is_recorded(key):
                hot = changed or outcome.judgement.verdict is Verdict.EXPOSED
                self._engine.put_later(key, HOT_AGE_SECONDS if hot else AGE_SECONDS)
            self._ask_for(outcome)

    def judge_again(self, keys: Iterable[CellKey]) -> None:
        """Judge cells anew of which something is described otherwise now: their endpoint, the rules on their way."""
        for key in keys:
            if (outcome := self._judge.judge(key)) is not None:
                self._publish(key, outcome)
                self._ask_for(outcome)

    def gone(self, endpoint: EndpointId, keys: tuple[CellKey, ...]) -> None:
        """Forget an endpoint and clear its findings."""
        self._judge.forget(endpoint)
        for key in keys:
            for finding in self._findings.pop(key, {}):
                self._emit(FindingCleared(at=time(), finding=finding))

    def refresh(self) -> None:
        """Judge anew what is declared otherwise, since a cluster told more or an exception expired."""
        for key in self._judge.refresh(time()):
            outcome = self._judge.judge(key)
            if outcome is not None:
                self._publish(key, outcome)
                self._ask_for(outcome)

    def review(self) -> None:
        """Say what each line of the expectations comes to, where that changed."""
        lines = review(self._expectations, self._store.endpoints.values(), self._store.vantages.values())
        if lines != self._store.expectations:
            self._emit(ExpectationsReviewed(at=time(), lines=lines))

    def _publish(self, key: CellKey, outcome: Outcome) -> None:
        if self._store.cell(key).judgement != outcome.judgement:
            self._emit(CellJudged(at=time(), judgement=outcome.judgement))
        before = self._findings.get(key, {})
        now = {finding.id: finding for finding in outcome.findings}
        for gone in before.keys() - now.keys():
            self._emit(FindingCleared(at=time(), finding=gone))
        for known, finding in now.items():
            if before.get(known) != finding:
                self._emit(FindingRaised(at=time(), finding=finding))
        if now:
            self._findings[key] = now
        else:
            self._findings.pop(key, None)

    def _is_recorded(self, key: CellKey) -> bool:
        vantage = self._store.vantages.get(key.vantage)
        return vantage is not None and vantage.is_recorded

    def _ask_for(self, outcome: Outcome) -> None:
        for want in outcome.wants:
            if self._is_recorded(want.key):
                continue  # a file says the same each time, for ever
            wait = want.not_before - time()
            if wait > AUDIT_WAIT_SECONDS and not self._live:
                continue  # a single audit does not wait for a young policy
            if wait > 0:
                self._engine.put_later(want.key, wait)
            else:
                self._engine.put((want.key,), urgent=True)
