"""What an application asked of strangers, as a layer: by the answers that tell, and as long as they are remembered."""

from __future__ import annotations

import pytest

from kubeshield_tui.judgement.ledger import SIGHTINGS_KEPT
from kubeshield_tui.model.observation import Posture, State
from kubeshield_tui.model.prediction import Predicted
from tests.unit.estate import endpoint, vantage
from tests.unit.judged import World

DB = endpoint("db", port=5432)
OPS = vantage("ssh:ops")


@pytest.mark.parametrize("later", [Posture.UNKNOWN, Posture.PLAIN])
def test_what_the_application_asked_counts_as_it_was_when_it_was_open_last(later: Posture) -> None:
    world = World(DB, OPS)
    world.see(DB, OPS, State.OPEN, posture=Posture.AUTH_REQUIRED)
    world.see(DB, OPS, State.CLOSED, 10)
    assert world.of(DB, OPS).judgement.layers[-1].verdict is Predicted.DENY
    world.see(DB, OPS, State.OPEN, 20, posture=later)
    assert world.of(DB, OPS).judgement.layers[-1].verdict is Predicted.UNKNOWN


def test_what_was_asked_is_forgotten_with_the_answers_that_it_came_with() -> None:
    world = World(DB, OPS)
    world.see(DB, OPS, State.OPEN, posture=Posture.AUTH_REQUIRED)
    for at in range(1, SIGHTINGS_KEPT + 1):
        assert world.of(DB, OPS).judgement.layers[-1].verdict is Predicted.DENY
        world.see(DB, OPS, State.CLOSED, at)
    assert world.of(DB, OPS).judgement.layers[-1].verdict is Predicted.UNKNOWN
