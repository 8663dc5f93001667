"""Cells whose endpoint changes while they wait or are under way: no answer of the old one passes for one of the new."""

from __future__ import annotations

import asyncio

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.settings.schema import Limits
from tests.unit.test_engine import HERE, Rig, ScriptedVantage, keys

KEY = keys(1)[0]


class Doors:
    """Holds each probe until it is let through, and notes the host that was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = asyncio.Event()

    async def __call__(self, probe: Probe) -> State:
        self.asked.append(probe.host)
        await self.open.wait()
        return State.OPEN


class Moving(Rig):
    """An engine whose one endpoint is at `host` now."""

    host: str | None = "old"

    def probe(self, key: CellKey) -> Probe | None:
        return Probe(endpoint=key.endpoint, vantage=key.vantage, host=self.host, port=1) if self.host else None


async def test_an_answer_under_way_is_dropped_with_its_endpoint_and_the_cell_asked_where_it_is_now() -> None:
    rig, doors = Moving(), Doors()
    rig.engine.add(HERE, ScriptedVantage(doors))
    rig.engine.put((KEY,))
    await rig.until(lambda: doors.asked == ["old"])
    rig.host = "new"
    rig.engine.forget((KEY,))
    assert rig.engine.put((KEY,)) == 1
    await rig.until(lambda: doors.asked == ["old", "new"])
    doors.open.set()
    await rig.settled()
    assert rig.observed() == {State.OPEN: 1}
    await rig.engine.stop()


async def test_a_cell_that_waits_for_its_turn_is_asked_where_it_is_when_it_comes() -> None:
    rig, doors = Moving(Limits(rate=1e6, per_vantage=1)), Doors()
    rig.engine.add(HERE, ScriptedVantage(doors))
    other = keys(2)[1]
    rig.engine.put((other, KEY))
    await rig.until(lambda: doors.asked == ["old"])
    await asyncio.sleep(0.01)  # KEY was taken from the queue and waits for a place
    rig.host = "new"
    rig.engine.forget((KEY,))
    rig.engine.put((KEY,), urgent=True)
    doors.open.set()
    await rig.settled()
    assert doors.asked == ["old", "new"]  # once, and not where it was
    await rig.engine.stop()


async def test_a_cell_that_is_gone_before_its_turn_is_not_asked_and_leaves_its_place() -> None:
    rig, doors = Moving(Limits(rate=1e6, per_vantage=1)), Doors()
    rig.engine.add(HERE, ScriptedVantage(doors))
    first, gone, last = keys(3)
    rig.engine.put((first, gone, last))
    await rig.until(lambda: len(doors.asked) == 1)
    await asyncio.sleep(0.01)
    rig.engine.forget((gone,))
    doors.open.set()
    await rig.settled()
    asked = [event.endpoint for event in rig.events if isinstance(event, happened.CellAsked)]
    assert asked == [first.endpoint, last.endpoint]
    await rig.engine.stop()


async def test_what_is_under_way_when_something_changes_is_asked_once_more_and_only_once() -> None:
    rig, doors = Moving(), Doors()
    rig.engine.add(HERE, ScriptedVantage(doors))
    rig.engine.put((KEY,))
    await rig.until(lambda: len(doors.asked) == 1)
    assert rig.engine.put((KEY,), urgent=True) == 0
    for _ in range(5):
        assert rig.engine.put((KEY,), urgent=True, anew=True) == 1
    assert rig.engine.is_busy
    doors.open.set()
    await rig.settled()
    assert len(doors.asked) == 2  # it is never starved by changes: the one under way ends
    assert rig.observed() == {State.OPEN: 2}
    await rig.engine.stop()


async def test_once_more_does_not_outlive_its_endpoint() -> None:
    rig, doors = Moving(), Doors()
    rig.engine.add(HERE, ScriptedVantage(doors))
    rig.engine.put((KEY,))
    await rig.until(lambda: len(doors.asked) == 1)
    rig.engine.put((KEY,), anew=True)
    rig.engine.forget((KEY,))
    doors.open.set()
    await rig.settled()
    assert len(doors.asked) == 1
    assert not rig.observed()
    await rig.engine.stop()
