"""Which cells are asked, and when anew: as endpoints and vantages come, change and go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import time

from kubeshield_tui.engine.plan import out_of_scope
from kubeshield_tui.engine.run import Engine
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.event import CellUntested, Event, VantageChanged
from kubeshield_tui.model.ids import CellKey, EndpointId
from kubeshield_tui.model.observation import Reason
from kubeshield_tui.model.vantage import Vantage, VantageStatus
from kubeshield_tui.session.concern import same_target
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.verdicts import Verdicts

ASKED = frozenset({VantageStatus.READY, VantageStatus.LOST})
"""Vantages that are asked again when something changed: a lost one when it is back."""


class Asking:
    """Puts cells to the engine. Says of those that are not asked why."""

    def __init__(self, store: Store, engine: Engine, verdicts: Verdicts, emit: Callable[[Event], None]) -> None:
        self._store = store
        self._engine = engine
        self._verdicts = verdicts
        self._emit = emit

    def again(self, keys: Iterable[CellKey]) -> int:
        """Ask cells again now, ahead of the others; returns how many can be asked."""
        return self._engine.put(filter(self.is_in_scope, keys), urgent=True)

    def changed(self, keys: Iterable[CellKey]) -> int:
        """Ask cells whose answer may differ since something changed, once more where it is under way."""
        vantages = self._store.vantages.values()
        columns = {vantage.id for vantage in vantages if vantage.status in ASKED and not vantage.is_recorded}
        wanted = [key for key in keys if key.vantage in columns and self.is_in_scope(key)]
        return self._engine.put(wanted, urgent=True, anew=True)

    def endpoint_found(self, endpoint: Endpoint, known: Endpoint | None) -> None:
        """Ask a new endpoint, or one that is elsewhere than the `known` one was."""
        if known is not None and not same_target(known, endpoint):
            self.endpoint_gone(endpoint.id)
        elif known is not None:
            self._verdicts.judge_again(self._row(endpoint.id))
        for vantage in self._store.vantages.values():
            self._plan(endpoint, vantage)

    def endpoint_gone(self, endpoint: EndpointId) -> None:
        """Ask an endpoint no more, or no more where it was; what was concluded from its answers goes too."""
        keys = self._row(endpoint)
        self._engine.forget(keys)
        self._verdicts.gone(endpoint, keys)

    def vantage_changed(self, event: VantageChanged) -> None:
        """Ask everything from a vantage that is ready, nothing from one that failed."""
        vantage = self._store.vantages[event.vantage]
        if event.status in {VantageStatus.READY, VantageStatus.FAILED}:
            for endpoint in tuple(self._store.endpoints.values()):
                self._plan(endpoint, vantage)

    def time_is_up(self, seconds: float) -> None:
        """Say of what is still unanswered that there was no time for it."""
        for key in self._engine.unfinished():
            if self._store.cell(key).observation is None:
                self._leave(key, Reason.TIME_LIMIT, f"no answer within {seconds:g} s")

    def is_in_scope(self, key: CellKey) -> bool:
        """Whether a cell is one that may be asked."""
        endpoint, vantage = self._store.endpoints.get(key.endpoint), self._store.vantages.get(key.vantage)
        return endpoint is not None and vantage is not None and not out_of_scope(endpoint, vantage)

    def _row(self, endpoint: EndpointId) -> tuple[CellKey, ...]:
        return tuple(CellKey(endpoint, vantage) for vantage in self._store.vantages)

    def _plan(self, endpoint: Endpoint, vantage: Vantage) -> None:
        key = CellKey(endpoint.id, vantage.id)
        cell = self._store.cell(key)
        if cell.observation is not None or cell.untested is Reason.OUT_OF_SCOPE:
            return
        if why := out_of_scope(endpoint, vantage):
            self._leave(key, Reason.OUT_OF_SCOPE, why)
        elif vantage.status is VantageStatus.FAILED:
            self._leave(key, Reason.VANTAGE_LOST, vantage.detail)
        elif vantage.status is VantageStatus.READY:
            self._engine.put((key,))

    def _leave(self, key: CellKey, reason: Reason, why: str) -> None:
        self._emit(CellUntested(at=time(), endpoint=key.endpoint, vantage=key.vantage, reason=reason, why=why))
