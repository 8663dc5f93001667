"""What was asked for and could not be measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from kubeshield_tui.cluster.rights import VERSION_READ
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.vantage import VantageStatus
from kubeshield_tui.session.store import Store


class Untested(NamedTuple):
    """A cell without an answer, and why."""

    key: CellKey
    reason: Reason
    why: str


def untested(store: Store) -> Iterator[Untested]:
    """Every cell that has no answer from the network."""
    for endpoint in store.endpoints:
        for vantage in store.vantages:
            key = CellKey(endpoint, vantage)
            cell = store.cell(key)
            if cell.observation is not None and not cell.observation.is_answer:
                yield Untested(key, cell.observation.reason, cell.observation.detail)
            elif cell.observation is None:
                yield Untested(key, cell.untested or Reason.TIME_LIMIT, cell.why or "was not asked")


def incomplete(store: Store) -> tuple[str, ...]:
    """Sentences on each context, vantage and cell that was asked for and not measured; out of scope is not that."""
    lines = [f"cluster {failed.context}: {failed.message}" for failed in store.failed_clusters.values()]
    lines += [f"cluster {cluster}: nothing could be read" for cluster in _unread(store)]
    lines += [
        f"self-test of {test.cluster} told nothing: {test.detail}"
        for test in store.self_tests.values()
        if test.enforced is None
    ]
    failed = set()
    for vantage in store.vantages.values():
        if vantage.facts is None or vantage.status in {VantageStatus.FAILED, VantageStatus.LOST}:
            failed.add(vantage.id)
            lines.append(f"vantage {vantage.id}: {vantage.detail or 'did not open'}")
    counts = Counter(
        (cell.key.vantage, cell.reason)
        for cell in untested(store)
        if cell.reason is not Reason.OUT_OF_SCOPE and cell.key.vantage not in failed
    )
    lines.extend(f"{vantage}: {count} cells not measured ({reason})" for (vantage, reason), count in counts.items())
    return tuple(lines)


def _unread(store: Store) -> Iterator[str]:
    """Clusters that let us read nothing that endpoints come from: an audit of them says nothing of them."""
    for cluster, inventory in store.clusters.items():
        refused = any(denied.cluster == cluster and denied.what != VERSION_READ for denied in store.denied)
        if refused and not (inventory.nodes or inventory.pods or inventory.services):
            yield cluster


def is_lost(store: Store, key: CellKey) -> bool:
    """Whether a cell's last answer was cut off with its vantage."""
    observation = store.cell(key).observation
    return observation is not None and observation.state is State.LOST
