"""Proof of a negative: was the target alive, and could this vantage reach anything at all?

Without both, silence is not a block. What is missing for proof is said, and asked for where asking can supply it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from msgspec.structs import replace

from kubeshield_tui.judgement.ledger import Ledger, Sighting, same_scope, shows_vantage_alive
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import Vantage, VantageStatus
from kubeshield_tui.model.verdict import Proof

OPEN, READY = State.OPEN, VantageStatus.READY
WINDOW = 30.0
"""Seconds within which a control's answer speaks for the moment of the cell's own answer."""


class Want(NamedTuple):
    """A cell that should be asked (again) so that another can be proven."""

    key: CellKey
    not_before: float
    """Seconds since the epoch; 0 for at once."""


class Standing(Record, frozen=True):
    """What the ledger says about one negative answer."""

    proof: Proof = Proof()
    target_ever: bool = False
    """Someone in scope saw the target open in its latest answer, whenever that was."""
    wants: tuple[Want, ...] = ()
    ambiguous: bool = False
    """Two server identities answer at this private address."""


class _Met(NamedTuple):
    """What others met at a target."""

    by: str = ""
    """Who saw it open around the answer."""
    ever: bool = False
    """Somebody's latest answer was open, whenever that was."""
    asked_since: bool = False
    """Moreover it is younger than the answer."""
    control: VantageId | None = None
    """Who of them can be asked again."""


_NOBODY = _Met()


def stand(
    ledger: Ledger, vantages: Mapping[VantageId, Vantage], endpoint: Endpoint, vantage: Vantage, at: float
) -> Standing:
    """Weigh a negative answer of a cell, at `at` (seconds since the epoch)."""
    opened = ledger.opened(endpoint.id)
    met = _target(opened, vantages, endpoint, vantage, at) if opened else _NOBODY
    reached, vantage_control = _vantage(ledger, vantage, at)
    ambiguous = endpoint.id in ledger.identified and is_ambiguous(ledger, endpoint)
    is_asked = met.asked_since or met.control is not None
    standing = _standing(met.by, reached, met.ever, is_asked, ambiguous, vantage.id)
    if vantage_control is None and (met.control is None or met.asked_since):
        return standing
    wants = [] if met.control is None or met.asked_since else [Want(CellKey(endpoint.id, met.control), 0.0)]
    if vantage_control is not None:
        wants.append(Want(vantage_control, 0.0))
    return replace(standing, wants=tuple(wants))


@lru_cache(4096)
def _standing(alive_by: str, reached: str, ever: bool, is_asked: bool, ambiguous: bool, vantage: VantageId) -> Standing:
    """Cells that are alike share it."""
    proof = Proof(
        vantage_alive=bool(reached),
        vantage_basis="answered" if reached else "",
        vantage_by=reached,
        target_alive=bool(alive_by) and not ambiguous,
        target_by=alive_by,
        missing=_missing(alive_by, reached, ever, is_asked, ambiguous, vantage),
    )
    return Standing(proof=proof, target_ever=ever, ambiguous=ambiguous)


def _target(
    opened: Mapping[VantageId, tuple[Sighting, ...]],
    vantages: Mapping[VantageId, Vantage],
    endpoint: Endpoint,
    vantage: Vantage,
    at: float,
) -> _Met:
    """Look at what others in the same scope met at a target."""
    alive: str = ""
    control: tuple[float, VantageId] | None = None
    ever = asked_since = False
    for other_id, sightings in opened.items():
        last = sightings[-1]
        if alive and last.state is not OPEN:
            continue
        other = vantages.get(other_id)
        if other is None or other_id == vantage.id or not same_scope(endpoint, vantage, other):
            continue
        if not alive and saw_open_around(sightings, at):
            alive = other_id
        if last.state is OPEN:
            ever = True
            asked_since = asked_since or last.at >= at
            if other.status is READY and not other.is_recorded and (control is None or last.at > control[0]):
                control = (last.at, other_id)
        if alive and asked_since:
            break  # nothing more would be told
    return _Met(alive, ever, asked_since, control[1] if control is not None else None)


def saw_open_around(sightings: tuple[Sighting, ...], at: float) -> bool:
    """Whether a vantage saw the target open within the window, or both before and after with nothing else between."""
    if any(seen.state is OPEN and abs(seen.at - at) <= WINDOW for seen in sightings):
        return True
    before = [seen for seen in sightings if seen.at <= at]
    after = [seen for seen in sightings if seen.at > at]
    return bool(before and after) and before[-1].state is OPEN and after[0].state is OPEN


def _vantage(ledger: Ledger, vantage: Vantage, at: float) -> tuple[str, CellKey | None]:
    """By which endpoint this vantage was seen alive around the answer, or which cell to ask to see it."""
    moments = ledger.alive_moments(vantage.id)
    for moment, endpoint in reversed(moments):
        if abs(moment - at) <= WINDOW:
            return endpoint, None
    if vantage.status is READY and not vantage.is_recorded:
        for _, endpoint in reversed(moments):
            key = CellKey(endpoint, vantage.id)
            last = ledger.sightings(key)
            # One that was asked since, or that did not answer when it was asked last, can't vouch: two such cells would
            # call for each other for ever.
            if last and last[-1].at < at and shows_vantage_alive(last[-1]):
                return "", key
    return "", None


def is_ambiguous(ledger: Ledger, endpoint: Endpoint) -> bool:
    """Whether several servers, by their certificates, answer at a private address."""
    try:
        if not ip_address(endpoint.host).is_private:
            return False
    except ValueError:
        return False
    last = [sightings[-1] for sightings in ledger.opened(endpoint.id).values()]
    return len({seen.identity for seen in last if seen.state is OPEN and seen.identity}) > 1


def _missing(alive_by: str, reached: str, ever: bool, is_asked: bool, ambiguous: bool, vantage: VantageId) -> str:
    if ambiguous:
        return "two server identities answer at this private address: they may be two targets"
    if not alive_by and is_asked:
        return "a control is being asked again"
    if not alive_by and ever:
        return "the vantage that saw this target open before can't be asked again: it may be down by now"
    if not alive_by:
        return "no vantage in the same scope saw this target open: it may be down"
    if not reached:
        return f"{vantage} was not seen to reach anything in this time: it may be cut off itself"
    return ""
