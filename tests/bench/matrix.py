"""A full grid under load: 10,000 endpoints by 20 vantages, 5,000 updates a second, on a screen of 200 x 50."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Any

from textual.screen import Screen

from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.vantage import Zone
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.runtime import tune_collector
from kubeshield_tui.ui.screens.audit import AuditScreen
from tests.bench.figure import figure
from tests.ui.stage import FakeSession, app_on, ready
from tests.unit.estate import answer, endpoint, vantage

ENDPOINTS, VANTAGES = 10_000, 20
UPDATES_A_SECOND = 5_000
SECONDS = 6.0
"""Of watching only, which is when CPU is measured; then as long again with ten keys a second."""
KEYS = ("down", "right", "pagedown", "up", "left", "pageup")
STATES = (State.OPEN, State.FILTERED, State.CLOSED)


def _estate() -> Store:
    store = Store()
    store.apply(happened.SessionStarted(at=1000, title="bench", version="0"))
    for number in range(ENDPOINTS):
        host = f"10.{number >> 8}.{number & 255}.1"
        store.apply(happened.EndpointFound(at=1000, endpoint=endpoint(f"svc-{number:05}", host=host, port=80)))
    for number in range(VANTAGES):
        where = (Zone.OUTSIDE,) if number < 3 else ()
        store.apply(happened.VantageAdded(at=1000, vantage=vantage(f"ssh:host-{number:02}", *where)))
    return store


def _updates(store: Store) -> Iterator[happened.Event]:
    """Observations with their judgements, spread over the whole grid, made beforehand: only taking them in counts."""
    judge = Judge(store.endpoints, store.vantages)
    endpoints, vantages = list(store.endpoints), list(store.vantages)
    made: list[happened.Event] = []
    for number in range(20_000):
        key = CellKey(endpoints[number * 7919 % ENDPOINTS], vantages[number % VANTAGES])
        seen = answer(key, 1001 + number / 1000, STATES[number % 3])
        made.append(happened.CellObserved(at=1001, observation=seen))
        judge.tell(seen)
        outcome = judge.judge(key)
        if outcome is not None:
            made.append(happened.CellJudged(at=1001, judgement=outcome.judgement))
    return itertools.cycle(made)


class _Frames:
    """Work from the pull to the end of drawing, by the thread's own clock; and when each drawing ended."""

    def __init__(self) -> None:
        self.work: list[float] = []
        self.ends: list[float] = []
        self._begun: float | None = None
        pull, draw = AuditScreen.tick, Screen._on_timer_update

        def tick(screen: AuditScreen) -> None:
            self._begun = time.thread_time()
            pull(screen)

        def update(screen: Screen[Any]) -> None:
            draw(screen)
            if self._begun is not None:
                self.work.append(time.thread_time() - self._begun)
                self._begun = None
            self.ends.append(time.monotonic())

        AuditScreen.tick, Screen._on_timer_update = tick, update  # type: ignore[method-assign]


async def _load(store: Store, events: Iterator[happened.Event]) -> None:
    begun, done = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begun) * UPDATES_A_SECOND)
        while done < due:
            event = next(events)
            store.apply(event)
            done += isinstance(event, happened.CellObserved)
        await asyncio.sleep(0.005)


async def _measure() -> tuple[list[float], list[float], float]:
    store, frames = _estate(), _Frames()
    events = _updates(store)
    app = app_on(FakeSession(store))
    waits = []
    async with app.run_test(size=(200, 50)) as pilot:
        await ready(pilot)
        load = asyncio.create_task(_load(store, events))
        await asyncio.sleep(1)
        frames.work.clear()
        began, worked = time.monotonic(), time.thread_time()
        await asyncio.sleep(SECONDS)
        share = (time.thread_time() - worked) / (time.monotonic() - began)
        began = time.monotonic()
        for key in itertools.cycle(KEYS):
            if time.monotonic() - began > SECONDS:
                break
            pressed = time.monotonic()
            app.simulate_key(key)
            while not frames.ends or frames.ends[-1] < pressed:
                await asyncio.sleep(0.001)
            waits.append(frames.ends[-1] - pressed)
            await asyncio.sleep(0.05)
        load.cancel()
    return frames.work, waits, share


def main() -> int:
    tune_collector()  # as a session does
    work, waits, share = asyncio.run(_measure())
    good = figure("matrix", "frame p95", statistics.quantiles(work, n=20)[-1] * 1000, "ms", 16)
    good &= figure("matrix", "key p99", statistics.quantiles(waits, n=100)[-1] * 1000, "ms", 50)
    figure("matrix", "frames drawn", len(work) / SECONDS / 2, "1/s")
    return 0 if figure("matrix", "CPU", share * 100, "%", 25) & good else 1
