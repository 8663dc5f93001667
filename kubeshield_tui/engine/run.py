"""The engine: one lane a vantage, one schedule, one gate. It folds nothing and judges nothing; it emits events."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from kubeshield_tui.engine.lane import Lane
from kubeshield_tui.engine.limits import Gate, Pacer
from kubeshield_tui.engine.schedule import Schedule
from kubeshield_tui.model.event import Event
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.settings.schema import Limits
from kubeshield_tui.vantages.vantage import VantagePoint

CLOSE_SECONDS = 30.0
"""What closing one vantage may take, removal of its objects included."""


class Engine:
    """Asks cells through their vantages, within limits. Own it in one task: `async with` ends everything it started."""

    def __init__(
        self,
        limits: Limits,
        probe_for: Callable[[CellKey], Probe | None],
        emit: Callable[[Event], None],
        reconnects: int | None,
    ) -> None:
        self._limits = limits
        self._probe_for = probe_for
        self._emit = emit
        self._reconnects = reconnects
        self._gate = Gate(limits)
        self._pacer = Pacer(limits.rate)
        self._running = asyncio.Event()
        self._running.set()
        self._lanes: dict[VantageId, Lane] = {}
        self._tasks: dict[VantageId, asyncio.Task[None]] = {}
        self._schedule = Schedule()
        self._scheduled = asyncio.Event()
        self._clock: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None
        """A defect that ended a lane: whoever waits for the engine raises it."""

    def add(self, vantage: VantageId, point: VantagePoint) -> None:
        """Open a vantage in the background and ask what is put for it."""
        lane = Lane(
            vantage,
            point,
            self._probe_for,
            self._emit,
            self._gate,
            self._pacer,
            self._running,
            self._limits.per_vantage,
        )
        self._lanes[vantage] = lane
        task = asyncio.create_task(lane.run(tries=self._reconnects), name=f"lane {vantage}")
        task.add_done_callback(self._lane_ended)
        self._tasks[vantage] = task
        if self._clock is None:
            self._clock = asyncio.create_task(self._tick(), name="engine clock")

    def _lane_ended(self, task: asyncio.Task[None]) -> None:
        """A lane that died of a defect must not be waited for; the first such error ends the run."""
        if not task.cancelled() and (error := task.exception()) is not None and self.failure is None:
            self.failure = error

    def put(self, keys: Iterable[CellKey], *, urgent: bool = False, anew: bool = False) -> int:
        """Ask these cells now; returns how many are queued. `anew`: those under way are asked once more."""
        count = 0
        for key in keys:
            lane = self._lanes.get(key.vantage)
            if lane is not None and lane.put(key, urgent=urgent, anew=anew):
                self._schedule.drop(key)
                count += 1
        return count

    def put_later(self, key: CellKey, seconds: float) -> None:
        """Ask a cell after a while, unless it is asked before."""
        self._schedule.put(key, time.monotonic() + seconds)
        self._scheduled.set()

    def forget(self, keys: Iterable[CellKey]) -> None:
        """Ask these cells no more."""
        for key in keys:
            self._schedule.drop(key)
            if lane := self._lanes.get(key.vantage):
                lane.forget(key)

    def pause(self, paused: bool) -> None:
        """Stop starting probes, or go on."""
        if paused:
            self._running.clear()
        else:
            self._running.set()

    @property
    def is_busy(self) -> bool:
        """Whether anything is queued, under way or scheduled."""
        return any(lane.is_busy for lane in self._lanes.values()) or any(
            not self._lanes[key.vantage].gave_up for key in self._schedule.keys() if key.vantage in self._lanes
        )

    @property
    def is_opening(self) -> bool:
        """Whether a vantage is still being opened (tasks of lanes that failed have ended)."""
        return any(not task.done() and not self._lanes[key].opened for key, task in self._tasks.items())

    def unfinished(self) -> tuple[CellKey, ...]:
        """Cells queued or under way."""
        return tuple(key for lane in self._lanes.values() for key in lane.unfinished())

    async def stop(self) -> None:
        """Cancel what is under way and close all vantages, each within its limit. Never raises."""
        tasks = [task for task in (*self._tasks.values(), self._clock) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._close(lane) for lane in self._lanes.values()), return_exceptions=True)
        self._tasks.clear()
        self._clock = None

    async def _close(self, lane: Lane) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await lane.point.close()
        lane.say_closed()

    async def _tick(self) -> None:
        while True:
            due = self._schedule.next_due()
            self._scheduled.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(due - time.monotonic(), 0.0)):
                    await self._scheduled.wait()
            self.put(self._schedule.take(time.monotonic()))
