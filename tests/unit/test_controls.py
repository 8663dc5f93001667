"""Which cells are asked to prove a block in another."""

from __future__ import annotations

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.endpoint import Endpoint, Scope
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.vantage import Vantage, VantageStatus
from kubeshield_tui.session.controls import EACH, controls
from kubeshield_tui.session.store import Store
from tests.unit.estate import answer, endpoint, vantage

TARGET = endpoint("target", host="203.0.113.10")
OTHERS = [endpoint(f"other-{number}", host=f"203.0.113.{20 + number}") for number in range(5)]
HERE, JUMP, GONE, FILE = (
    vantage("local"),
    vantage("ssh:jump"),
    vantage("ssh:gone", status=VantageStatus.LOST),
    vantage("script:a.ndjson"),
)
KEY = CellKey(TARGET.id, HERE.id)


def estate(*vantages: Vantage, target: Endpoint = TARGET) -> Store:
    store = Store()
    for each in (target, *OTHERS):
        store.apply(happened.EndpointFound(at=1, endpoint=each))
    for source in vantages:
        store.apply(happened.VantageAdded(at=1, vantage=source))
    return store


def see(store: Store, target: Endpoint, source: Vantage, state: State, at: float = 2) -> None:
    store.apply(happened.CellObserved(at=at, observation=answer(CellKey(target.id, source.id), at, state)))


def test_who_saw_the_target_open_is_asked_first_and_none_that_can_not_answer() -> None:
    busy = [vantage(f"ssh:busy-{number}") for number in range(EACH)]
    store = estate(HERE, *busy, GONE, FILE, JUMP)
    for source in (GONE, FILE, JUMP):
        see(store, TARGET, source, State.OPEN)
    found = [each.vantage for each in controls(store, KEY) if each.endpoint == TARGET.id]
    assert found[0] == JUMP.id
    assert len(found) == EACH
    assert not {GONE.id, FILE.id, HERE.id} & set(found)


def test_what_this_vantage_reached_lately_vouches_for_it() -> None:
    store = estate(HERE, JUMP)
    for number, other in enumerate(OTHERS):
        see(store, other, HERE, State.OPEN if number % 2 else State.CLOSED, at=10 + number)
    see(store, OTHERS[4], HERE, State.FILTERED, at=20)
    found = [each.endpoint for each in controls(store, KEY) if each.vantage == HERE.id]
    assert found == [OTHERS[3].id, OTHERS[2].id, OTHERS[1].id]


def test_a_vantage_that_reached_nothing_tries_what_others_reach() -> None:
    store = estate(HERE, JUMP)
    see(store, OTHERS[2], JUMP, State.OPEN)
    assert CellKey(OTHERS[2].id, HERE.id) in controls(store, KEY)


def test_another_target_of_the_same_address_proves_nothing() -> None:
    metadata = endpoint("metadata", host="169.254.169.254", scope=Scope.NODE)
    store = estate(HERE, JUMP, target=metadata)
    assert all(each.endpoint != metadata.id for each in controls(store, CellKey(metadata.id, HERE.id)))


def test_a_cell_that_is_gone_has_no_controls() -> None:
    assert controls(Store(), KEY) == ()
