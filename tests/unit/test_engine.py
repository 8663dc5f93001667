"""The engine against scripted vantages (fakes, named so): limits, order, pause, loss and recovery, cancellation."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from kubeshield_tui.engine.limits import Pacer
from kubeshield_tui.engine.plan import out_of_scope
from kubeshield_tui.engine.run import Engine
from kubeshield_tui.engine.schedule import Schedule
from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.endpoint import Scope
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, State
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.vantage import VantageFacts, VantageStatus, parse_vantage
from kubeshield_tui.settings.schema import Limits
from tests.unit.estate import answer, endpoint, vantage


class ScriptedVantage:
    """A fake vantage: answers as its script says, and counts."""

    def __init__(self, ask: Callable[[Probe], Awaitable[State]] | None = None) -> None:
        self.spec = parse_vantage("local")
        self.script = ask
        self.asked: list[str] = []
        self.opened = 0
        self.closed = 0
        self.now = 0
        self.most = 0
        self.cancelled = 0

    async def open(self) -> VantageFacts:
        self.opened += 1
        return VantageFacts(runner="script")

    async def ask(self, probe: Probe) -> Observation:
        self.asked.append(probe.endpoint)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            state = await self.script(probe) if self.script else State.OPEN
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1
        return answer(probe.key, 1.0, state)

    async def close(self) -> None:
        self.closed += 1


class Rig:
    """An engine with its events."""

    def __init__(self, limits: Limits | None = None, reconnects: int | None = 3) -> None:
        self.events: list[happened.Event] = []
        self.engine = Engine(limits or Limits(rate=1e6), self.probe, self.events.append, reconnects)

    def probe(self, key: CellKey) -> Probe | None:
        return Probe(endpoint=key.endpoint, vantage=key.vantage, host=key.endpoint.partition(":")[0], port=1)

    def observed(self) -> Counter[State]:
        return Counter(event.observation.state for event in self.events if isinstance(event, happened.CellObserved))

    def last_states(self) -> dict[CellKey, State]:
        answers = (event.observation for event in self.events if isinstance(event, happened.CellObserved))
        return {observation.key: observation.state for observation in answers}

    def statuses(self) -> list[VantageStatus]:
        return [event.status for event in self.events if isinstance(event, happened.VantageChanged)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    async def settled(self) -> None:
        await self.until(lambda: not self.engine.is_opening and not self.engine.is_busy)


HERE = VantageId("local")


def keys(count: int, hosts: int = 1000) -> list[CellKey]:
    return [CellKey(EndpointId(f"h{number % hosts}:{number}"), HERE) for number in range(count)]


async def test_every_cell_is_asked_once_within_the_vantages_limit() -> None:
    async def slow(_: Probe) -> State:
        await asyncio.sleep(0.002)
        return State.OPEN

    rig, point = Rig(Limits(rate=1e6, per_vantage=7)), ScriptedVantage(slow)
    rig.engine.add(HERE, point)
    rig.engine.put(keys(100))
    assert rig.engine.put(keys(100)) == 100  # queued already: not asked twice
    await rig.settled()
    await rig.engine.stop()
    assert sorted(point.asked) == sorted({key.endpoint for key in keys(100)})
    assert point.most == 7
    assert rig.observed() == {State.OPEN: 100}


async def test_one_target_is_never_asked_more_often_at_once_than_its_limit() -> None:
    busy: Counter[str] = Counter()
    most = 0

    async def slow(probe: Probe) -> State:
        nonlocal most
        busy[probe.host] += 1
        most = max(most, busy[probe.host])
        await asyncio.sleep(0.001)
        busy[probe.host] -= 1
        return State.OPEN

    rig = Rig(Limits(rate=1e6, per_target=3))
    rig.engine.add(HERE, ScriptedVantage(slow))
    rig.engine.put(keys(60, hosts=2))
    await rig.settled()
    await rig.engine.stop()
    assert most == 3


async def test_the_rate_is_kept_and_a_burst_is_small() -> None:
    """Counted on the pacer's own clock: 60 starts at 400/s take at least (60 - burst) intervals."""
    pacer = Pacer(400)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(60):
        await pacer.start()
    assert loop.time() - begin >= (60 - 400 * 0.05 - 1) / 400


async def test_urgent_cells_go_first() -> None:
    gate = asyncio.Event()

    async def held(probe: Probe) -> State:
        if probe.endpoint == "h0:0":
            await gate.wait()
        return State.OPEN

    rig, point = Rig(Limits(rate=1e6, per_vantage=1)), ScriptedVantage(held)
    rig.engine.add(HERE, point)
    rig.engine.put(keys(50))
    await rig.until(lambda: point.asked == ["h0:0"])
    rig.engine.put([CellKey(EndpointId("h49:49"), HERE)], urgent=True)
    gate.set()
    await rig.settled()
    await rig.engine.stop()
    # The dispatcher holds one cell already while it waits for a place.
    assert point.asked.index("h49:49") <= 2


async def test_pause_stops_new_probes_and_goes_on() -> None:
    rig, point = Rig(), ScriptedVantage()
    rig.engine.pause(True)
    rig.engine.add(HERE, point)
    rig.engine.put(keys(10))
    await rig.until(lambda: VantageStatus.READY in rig.statuses())
    for _ in range(20):
        await asyncio.sleep(0)
    assert point.asked == []
    rig.engine.pause(False)
    await rig.settled()
    await rig.engine.stop()
    assert len(point.asked) == 10


async def test_a_lost_vantage_marks_its_cells_lost_reconnects_and_asks_only_what_is_missing() -> None:
    broken = True

    async def breaks(probe: Probe) -> State:
        if broken and int(probe.endpoint.partition(":")[2]) >= 5:
            await asyncio.sleep(0.01)
            raise VantageLost("connection reset")
        return State.OPEN

    rig, point = Rig(Limits(rate=1e6, per_vantage=8)), ScriptedVantage(breaks)
    rig.engine.add(HERE, point)
    rig.engine.put(keys(20))
    await rig.until(lambda: VantageStatus.LOST in rig.statuses())
    broken = False
    await rig.settled()
    await rig.engine.stop()
    last = {
        event.observation.key: event.observation.state
        for event in rig.events
        if isinstance(event, happened.CellObserved)
    }
    assert set(last.values()) == {State.OPEN}
    assert len(last) == 20
    assert point.opened == 2
    assert Counter(point.asked)["h0:0"] == 1  # answered before: not asked again
    assert State.FILTERED not in rig.observed()


async def test_a_vantage_that_stays_lost_is_given_up_and_nothing_is_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubeshield_tui.engine.lane.BACKOFF", (0.001,))

    class Dying(ScriptedVantage):
        async def open(self) -> VantageFacts:
            if self.opened:
                self.opened += 1
                raise VantageError("no route")
            return await super().open()

    async def lost(_: Probe) -> State:
        raise VantageLost("gone")

    rig, point = Rig(), Dying(lost)
    rig.engine.add(HERE, point)
    rig.engine.put(keys(30))
    await rig.settled()
    await rig.engine.stop()
    last = {
        event.observation.key: event.observation.state
        for event in rig.events
        if isinstance(event, happened.CellObserved)
    }
    assert set(last.values()) == {State.LOST}
    assert len(last) == 30
    assert rig.statuses()[-1] is VantageStatus.FAILED


async def test_a_vantage_that_does_not_open_does_not_hold_up_the_others() -> None:
    class Refusing(ScriptedVantage):
        async def open(self) -> VantageFacts:
            raise VantageError("ssh:there: host key changed", "Check it")

    rig, good = Rig(), ScriptedVantage()
    rig.engine.add(VantageId("ssh:there"), Refusing())
    rig.engine.add(HERE, good)
    rig.engine.put([*keys(3), CellKey(EndpointId("h:1"), VantageId("ssh:there"))])
    await rig.settled()
    await rig.engine.stop()
    assert len(good.asked) == 3
    failed = [event for event in rig.events if isinstance(event, happened.VantageChanged) and event.status == "failed"]
    assert failed[0].detail == "ssh:there: host key changed. Check it"


async def test_stop_cancels_what_is_under_way_and_closes_every_vantage() -> None:
    async def forever(_: Probe) -> State:
        await asyncio.Event().wait()
        return State.OPEN

    rig, point = Rig(), ScriptedVantage(forever)
    rig.engine.add(HERE, point)
    rig.engine.put(keys(25))
    await rig.until(lambda: len(point.asked) == 25)
    await rig.engine.stop()
    assert (point.cancelled, point.closed, point.now) == (25, 1, 0)
    assert rig.observed() == {}
    assert len(asyncio.all_tasks()) == 1


async def test_a_defect_of_ours_shows_in_its_cell() -> None:
    async def broken(_: Probe) -> State:
        raise RuntimeError("surprise")

    rig = Rig()
    rig.engine.add(HERE, ScriptedVantage(broken))
    rig.engine.put(keys(1))
    await rig.settled()
    await rig.engine.stop()
    assert rig.observed() == {State.ERROR: 1}


async def test_cells_put_for_later_are_asked_when_due() -> None:
    rig, point = Rig(), ScriptedVantage()
    rig.engine.add(HERE, point)
    rig.engine.put_later(keys(2)[1], 0.02)
    rig.engine.put_later(keys(2)[0], 0.01)
    rig.engine.put_later(CellKey(EndpointId("later:1"), HERE), 1000)
    await rig.until(lambda: len(point.asked) == 2)
    assert rig.engine.is_busy  # the third is still due
    await rig.engine.stop()
    assert point.asked == ["h0:0", "h1:1"]


def test_the_schedule_keeps_one_time_a_cell() -> None:
    schedule = Schedule()
    first, second = keys(2)
    schedule.put(first, 10)
    schedule.put(first, 5)
    schedule.put(second, 7)
    assert schedule.next_due() == 5
    assert schedule.take(6) == [first]
    schedule.put(first, 20)
    schedule.put(first, 30)
    assert schedule.take(25) == [second]
    assert len(schedule) == 1
    schedule.drop(first)
    assert schedule.next_due() is None


@pytest.mark.parametrize(
    ("scope", "cluster", "spec", "asked"),
    [
        (Scope.GLOBAL, "prod", "local", True),
        (Scope.CLUSTER, "prod", "local", False),
        (Scope.CLUSTER, "prod", "pod:shop", True),
        (Scope.CLUSTER, "other", "pod:shop", False),
        (Scope.NODE, "prod", "ssh:jump", False),
        (Scope.NODE, "prod", "pod:shop", True),
        (Scope.NODE, "", "local", True),  # the user named it
    ],
)
def test_cells_outside_an_endpoints_scope_are_not_asked(scope: Scope, cluster: str, spec: str, asked: bool) -> None:
    target = endpoint("x", scope=scope, cluster=cluster)
    assert (out_of_scope(target, vantage(spec)) == "") is asked
