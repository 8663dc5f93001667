"""One vantage's lane: its queue, its connection, and what is under way there.

A lane that loses its vantage marks what was under way as lost, reconnects with backoff and asks only what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from time import time

from kubeshield_tui.engine.limits import Gate, Pacer
from kubeshield_tui.errors import KubeShieldError, VantageLost
from kubeshield_tui.model.event import CellAsked, CellObserved, Event, VantageChanged
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageFacts, VantageStatus
from kubeshield_tui.vantages.vantage import VantagePoint

BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between attempts to reconnect a lost vantage; the last one repeats."""


class Lane:
    """Asks one vantage. `probe_for` makes the probe of a cell, None where the endpoint is gone."""

    def __init__(
        self,
        vantage: VantageId,
        point: VantagePoint,
        probe_for: Callable[[CellKey], Probe | None],
        emit: Callable[[Event], None],
        gate: Gate,
        pacer: Pacer,
        running: asyncio.Event,
        in_flight: int,
    ) -> None:
        self.id = vantage
        self.point = point
        self.opened = False
        """It was open at least once."""
        self.gave_up = False
        """It failed and is not tried again."""
        self._probe_for = probe_for
        self._emit = emit
        self._gate = gate
        self._pacer = pacer
        self._running = running
        self._places = asyncio.Semaphore(in_flight)
        self._urgent: deque[CellKey] = deque()
        self._waiting: deque[CellKey] = deque()
        self._queued: set[CellKey] = set()
        self._asking: dict[CellKey, asyncio.Task[None]] = {}
        self._once_more: set[CellKey] = set()
        """Under way, and to be asked again at once: the answer may be older than what it is wanted for."""
        self._work = asyncio.Event()
        self._lost = asyncio.Event()
        self._again: list[CellKey] = []

    @property
    def is_busy(self) -> bool:
        """Whether anything is queued or under way."""
        return not self.gave_up and bool(self._queued or self._asking or self._again)

    def put(self, key: CellKey, *, urgent: bool = False, anew: bool = False) -> bool:
        """Queue a cell unless it is queued or under way; urgent ones go first.

        `anew`: one under way does not count, and is asked once more when it is done.
        """
        if self.gave_up:
            return False
        if key in self._asking:
            if anew:
                self._once_more.add(key)
            return anew
        if key in self._queued:
            if urgent:
                self._urgent.append(key)
            return True
        self._queued.add(key)
        (self._urgent if urgent else self._waiting).append(key)
        self._work.set()
        return True

    def unfinished(self) -> tuple[CellKey, ...]:
        """Cells queued or under way."""
        return (*self._queued, *self._asking, *self._again)

    def forget(self, key: CellKey) -> None:
        """Ask a cell no more."""
        self._queued.discard(key)
        self._once_more.discard(key)
        if key in self._again:
            self._again.remove(key)
        if task := self._asking.pop(key, None):
            task.cancel()

    async def run(self, *, tries: int | None) -> None:
        """Open the vantage and ask until cancelled. `tries` limits attempts to reconnect (None: for ever)."""
        try:
            if not await self._open():
                return
            while True:
                await self._ask_until_lost()
                if not await self._reopen(tries):
                    return
        finally:
            await self._cancel_asking()

    async def _open(self) -> bool:
        self._say(VantageStatus.OPENING)
        try:
            facts = await self.point.open()
        except KubeShieldError as error:
            self.gave_up = True
            self._say(VantageStatus.FAILED, str(error))
            return False
        self._ready(facts)
        return True

    def _ready(self, facts: VantageFacts) -> None:
        self.opened = True
        self._emit(
            VantageChanged(at=time(), vantage=self.id, status=VantageStatus.READY, detail=facts.runner, facts=facts)
        )

    async def _ask_until_lost(self) -> None:
        self._lost.clear()
        dispatch = asyncio.create_task(self._dispatch())
        lost = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait((dispatch, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (dispatch, lost):
                task.cancel()
            await asyncio.gather(dispatch, lost, return_exceptions=True)

    async def _dispatch(self) -> None:
        while True:
            await self._running.wait()
            key = self._next()
            if key is None:
                self._work.clear()
                await self._work.wait()
                continue
            try:
                await self._places.acquire()
            except asyncio.CancelledError:
                self._urgent.appendleft(key)
                raise
            try:
                await self._pacer.start()
            except asyncio.CancelledError:
                self._places.release()
                self._urgent.appendleft(key)
                raise
            # Made only now: while it waited for its turn it may have been forgotten, or its endpoint have moved.
            probe = self._probe_for(key) if key in self._queued else None
            self._queued.discard(key)
            if probe is None:
                self._places.release()
                continue
            task = asyncio.create_task(self._ask(key, probe))
            self._asking[key] = task
            task.add_done_callback(lambda done, key=key: self._done(key, done))  # type: ignore[misc]

    def _next(self) -> CellKey | None:
        for queue in (self._urgent, self._waiting):
            while queue:
                key = queue.popleft()
                if key in self._queued:
                    return key
        return None

    async def _ask(self, key: CellKey, probe: Probe) -> None:
        try:
            async with self._gate.target(probe.host):
                self._emit(CellAsked(at=time(), endpoint=key.endpoint, vantage=key.vantage))
                observation = await self.point.ask(probe)
        except VantageLost as error:
            self._again.append(key)
            observation = _failed(key, State.LOST, Reason.VANTAGE_LOST, str(error))
            self._lost.set()
        except KubeShieldError as error:
            observation = _failed(key, State.ERROR, Reason.RESOURCES, str(error))
        except Exception as error:  # a defect of ours must show in its cell, not leave it unanswered for ever
            observation = _failed(
                key, State.ERROR, Reason.RESOURCES, f"internal error: {type(error).__name__}: {error}"
            )
        self._emit(CellObserved(at=observation.at, observation=observation))

    def _done(self, key: CellKey, task: asyncio.Task[None]) -> None:
        self._places.release()
        if not task.cancelled():
            task.exception()
        if self._asking.get(key) is not task:
            return  # forgotten while it was under way; another may be by now
        del self._asking[key]
        if key in self._once_more:
            self._once_more.discard(key)
            self.put(key, urgent=True)

    async def _reopen(self, tries: int | None) -> bool:
        self._say(VantageStatus.LOST, "connection lost; trying again")
        if self._asking:  # all of them are about to end as lost
            await asyncio.wait(self._asking.values(), timeout=5.0)
        attempt = 0
        while tries is None or attempt < tries:
            await asyncio.sleep(BACKOFF[min(attempt, len(BACKOFF) - 1)])
            attempt += 1
            try:
                facts = await self.point.open()
            except KubeShieldError as error:
                self._say(VantageStatus.LOST, f"{error}; trying again")
                continue
            self._ready(facts)
            again, self._again = self._again, []
            for key in again:
                self.put(key, urgent=True)
            return True
        self._give_up()
        return False

    def _give_up(self) -> None:
        missing = [*self._again, *self._queued]
        self._again.clear()
        self._queued.clear()
        self.gave_up = True
        self._say(VantageStatus.FAILED, "connection lost and not regained")
        for key in missing:
            observation = _failed(key, State.LOST, Reason.VANTAGE_LOST, "the vantage was lost before it was asked")
            self._emit(CellObserved(at=observation.at, observation=observation))

    async def _cancel_asking(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    def say_closed(self) -> None:
        """Tell that the vantage was closed by us, unless it had failed before."""
        if not self.gave_up:
            self._say(VantageStatus.CLOSED)

    def _say(self, status: VantageStatus, detail: str = "") -> None:
        self._emit(VantageChanged(at=time(), vantage=self.id, status=status, detail=printable(detail, 500)))


def _failed(key: CellKey, state: State, reason: Reason, detail: str) -> Observation:
    return Observation(
        endpoint=key.endpoint,
        vantage=key.vantage,
        at=time(),
        state=state,
        reason=reason,
        detail=printable(detail, 500),
    )
