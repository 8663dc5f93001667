"""Proof of a negative: was the target alive, and could this vantage reach anything at all?

Without both, silence is not a block. What is missing for proof is said, and asked for where asking can supply it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from kubeshield_tui.judgement.ledger import Ledger, Sighting, same_scope, shows_vantage_alive
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.vantage import Vantage, VantageStatus
from kubeshield_tui.model.verdict import Proof

WINDOW = 30.0
"""Seconds within which a control's answer speaks for the moment of the cell's own answer."""
RESET_GAP = 5.0
"""Seconds between two resets before they count as a reset on the target's behalf."""


class Want(NamedTuple):
    """A cell that should be asked (again) so that another can be proven."""

    key: CellKey
    not_before: float
    """Seconds since the epoch; 0 for at once."""


class Standing(NamedTuple):
    """What the ledger says about one negative answer."""

    proof: Proof
    target_ever: bool
    """Someone in scope saw the target open in its latest answer, whenever that was."""
    wants: tuple[Want, ...]
    ambiguous: bool
    """Two server identities answer at this private address."""


def stand(
    ledger: Ledger, vantages: Mapping[VantageId, Vantage], endpoint: Endpoint, vantage: Vantage, own: Sighting
) -> Standing:
    """Weigh the negative answer `own` of a cell."""
    wants: list[Want] = []
    alive_by, ever, control = _target(ledger, vantages, endpoint, vantage, own)
    if control is not None:
        wants.append(Want(CellKey(endpoint.id, control), 0.0))
    reached, vantage_control = _vantage(ledger, vantage, own)
    if vantage_control is not None:
        wants.append(Want(vantage_control, 0.0))
    ambiguous = len(identities(ledger, endpoint)) > 1
    return Standing(_proof(alive_by, reached, ever, ambiguous, vantage.id), ever, tuple(wants), ambiguous)


@lru_cache(4096)
def _proof(alive_by: str, reached: str, ever: bool, ambiguous: bool, vantage: VantageId) -> Proof:
    """Cells that are alike share it."""
    return Proof(
        vantage_alive=bool(reached),
        vantage_basis="answered" if reached else "",
        vantage_by=reached,
        target_alive=bool(alive_by) and not ambiguous,
        target_by=alive_by,
        missing=_missing(alive_by, reached, ever, ambiguous, vantage),
    )


def _target(
    ledger: Ledger, vantages: Mapping[VantageId, Vantage], endpoint: Endpoint, vantage: Vantage, own: Sighting
) -> tuple[VantageId | str, bool, VantageId | None]:
    """Who saw the target alive, whether anybody's latest answer was open, and which control to ask again."""
    alive: VantageId | str = ""
    latest: tuple[float, VantageId] | None = None
    asked_since = False
    for other_id, sightings in ledger.opened(endpoint.id):
        last = sightings[-1]
        if alive and last.state is not State.OPEN:
            continue
        other = vantages.get(other_id)
        if other is None or other_id == vantage.id or not same_scope(endpoint, vantage, other):
            continue
        if not alive and saw_open_around(sightings, own.at):
            alive = other_id
        if last.state is State.OPEN:
            asked_since = asked_since or last.at >= own.at
            if (
                other.status is VantageStatus.READY
                and not other.is_recorded
                and (latest is None or last.at > latest[0])
            ):
                latest = (last.at, other_id)
    control = latest[1] if latest is not None and not asked_since else None
    return alive, latest is not None or asked_since, control


def saw_open_around(sightings: tuple[Sighting, ...], at: float) -> bool:
    """Whether a vantage saw the target open within the window, or both before and after with nothing else between."""
    if any(seen.state is State.OPEN and abs(seen.at - at) <= WINDOW for seen in sightings):
        return True
    before = [seen for seen in sightings if seen.at <= at]
    after = [seen for seen in sightings if seen.at > at]
    return bool(before and after) and before[-1].state is State.OPEN and after[0].state is State.OPEN


def _vantage(ledger: Ledger, vantage: Vantage, own: Sighting) -> tuple[str, CellKey | None]:
    """By which endpoint this vantage was seen alive around the answer, or which cell to ask to see it."""
    moments = ledger.alive_moments(vantage.id)
    for at, endpoint in reversed(moments):
        if abs(at - own.at) <= WINDOW:
            return endpoint, None
    if vantage.status is VantageStatus.READY and not vantage.is_recorded:
        for _, endpoint in reversed(moments):
            key = CellKey(endpoint, vantage.id)
            last = ledger.sightings(key)
            # One that was asked since, or that did not answer when it was asked last, can't vouch: two such cells would
            # call for each other for ever.
            if last and last[-1].at < own.at and shows_vantage_alive(last[-1]):
                return "", key
    return "", None


def identities(ledger: Ledger, endpoint: Endpoint) -> dict[str, VantageId]:
    """Server identities seen at a private address, each with a vantage that saw it."""
    if not ledger.is_identified(endpoint.id):
        return {}
    try:
        if not ip_address(endpoint.host).is_private:
            return {}
    except ValueError:
        return {}
    found: dict[str, VantageId] = {}
    for vantage, sightings in ledger.opened(endpoint.id):
        if sightings[-1].state is State.OPEN and sightings[-1].identity:
            found.setdefault(sightings[-1].identity, vantage)
    return found


def closed_since(sightings: tuple[Sighting, ...]) -> float:
    """When the run of closed answers at the end began, seconds since the epoch."""
    since = sightings[-1].at
    for seen in reversed(sightings):
        if seen.state is not State.CLOSED:
            break
        since = seen.at
    return since


def _missing(alive_by: str, reached: str, ever: bool, ambiguous: bool, vantage: VantageId) -> str:
    if ambiguous:
        return "two server identities answer at this private address: they may be two targets"
    if not alive_by:
        return (
            "a control is being asked again"
            if ever
            else "no vantage in the same scope saw this target open: it may be down"
        )
    if not reached:
        return f"{vantage} was not seen to reach anything in this time: it may be cut off itself"
    return ""
