"""Cells that would prove a block in another: the same target from elsewhere, and something else from the same vantage.

Those that answered last time come first; where none did, any that could.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kubeshield_tui.judgement.ledger import same_scope
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.vantage import Vantage, VantageStatus
from kubeshield_tui.session.store import Store

EACH = 3
"""Controls of each kind: one that answers is enough."""


def controls(store: Store, key: CellKey) -> tuple[CellKey, ...]:
    """Return the controls to ask; none for a cell whose endpoint or vantage is gone."""
    endpoint, vantage = store.endpoints.get(key.endpoint), store.vantages.get(key.vantage)
    if endpoint is None or vantage is None:
        return ()
    target = _answering_first(store, _of_target(store, endpoint, vantage))
    return tuple(dict.fromkeys((*target, *_of_vantage(store, key, vantage))))


def _of_target(store: Store, endpoint: Endpoint, vantage: Vantage) -> Iterator[CellKey]:
    for other in store.vantages.values():
        is_asked = other.status is VantageStatus.READY and not other.is_recorded
        if other.id != vantage.id and is_asked and same_scope(endpoint, vantage, other):
            yield CellKey(endpoint.id, other.id)


def _of_vantage(store: Store, key: CellKey, vantage: Vantage) -> tuple[CellKey, ...]:
    """What this vantage reached; where it reached nothing yet, what others reach."""
    if vantage.is_recorded:
        return ()
    own = [CellKey(other, vantage.id) for other in store.endpoints if other != key.endpoint]
    reached = [each for each in own if _answered(store, each)]
    if reached:
        return tuple(sorted(reached, key=lambda each: _at(store, each), reverse=True)[:EACH])
    open_elsewhere = {each.endpoint: None for each in store.cells if _answered(store, each)}
    return tuple(CellKey(other, vantage.id) for other in open_elsewhere if other != key.endpoint)[:EACH]


def _answering_first(store: Store, keys: Iterable[CellKey]) -> list[CellKey]:
    return sorted(keys, key=lambda each: not _is_open(store, each))[:EACH]


def _is_open(store: Store, key: CellKey) -> bool:
    observation = store.cell(key).observation
    return observation is not None and observation.state is State.OPEN


def _answered(store: Store, key: CellKey) -> bool:
    observation = store.cell(key).observation
    return observation is not None and (observation.state is State.OPEN or observation.reason is Reason.CONN_REFUSED)


def _at(store: Store, key: CellKey) -> float:
    observation = store.cell(key).observation
    return observation.at if observation is not None else 0.0
