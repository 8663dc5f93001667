"""Troubles a running session, one fault after another, and holds every answer meanwhile to the grid without faults.

A fault strikes a vantage while its cells are under way. Then the vantage must be told lost, come back and ask what is
missing; no answer may ever differ from the undisturbed one except by saying `lost`.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.vantage import VantageStatus
from kubeshield_tui.session.session import Session

SEED = int(os.environ.get("KUBESHIELD_FAULTS_SEED", "3"))
NOTICE_SECONDS = 5.5
"""5 s, and the turn of the loop on a busy machine."""
RETURN_SECONDS = 40.0
LOOK_SECONDS = 0.05
Pair = tuple[State, Reason]


def faults_wanted(usual: int) -> int:
    """How many of `usual` (60 over all tests) to inject; KUBESHIELD_FAULTS=200 asks for 200 over all."""
    return round(usual * int(os.environ.get("KUBESHIELD_FAULTS", "60")) / 60)


@dataclass(frozen=True)
class Fault:
    """One way to break a vantage. `strike` breaks it, `mend` repairs what would stay broken.

    With `refuses` it is mended only after an attempt to reconnect has failed.
    """

    name: str
    strike: Callable[[], Awaitable[None]]
    mend: Callable[[], Awaitable[None]] | None = None
    refuses: bool = False
    weight: int = 4


@dataclass
class Trouble:
    """What is seen of a session: statuses as they change, answers as they come."""

    session: Session
    truth: dict[CellKey, Pair] = field(default_factory=dict)
    own: frozenset[Pair] = frozenset()
    """What may be said instead, because it blames the vantage."""
    blamed: Counter[Pair] = field(default_factory=Counter)
    wrong: list[tuple[str, CellKey, Pair, Pair]] = field(default_factory=list)
    statuses: dict[VantageId, list[tuple[float, VantageStatus, str]]] = field(default_factory=dict)
    answers: Counter[VantageId] = field(default_factory=Counter)
    lost: Counter[VantageId] = field(default_factory=Counter)
    noticed: list[tuple[str, str, float, float]] = field(default_factory=list)
    """Vantage, fault, seconds until it was told lost, seconds until it was back."""
    lately: dict[VantageId, str] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, event: happened.Event) -> None:
        """Listen to the session."""
        match event:
            case happened.VantageChanged():
                self.statuses.setdefault(event.vantage, []).append((time.monotonic(), event.status, event.detail))
            case happened.CellObserved():
                self._observed(event.observation)
        self._news.set()

    def _observed(self, seen: Observation) -> None:
        self.answers[seen.vantage] += 1
        pair = (seen.state, seen.reason)
        if seen.state is State.LOST:
            self.lost[seen.vantage] += 1
        elif pair in self.own:
            self.blamed[pair] += 1
        elif self.truth and pair != self.truth[seen.key]:
            self.wrong.append((self.lately.get(seen.vantage, ""), seen.key, self.truth[seen.key], pair))

    async def until(self, done: Callable[[], bool], what: str, limit: float) -> None:
        """Wait until the session's events make `done` true."""
        try:
            async with asyncio.timeout(limit):
                while not done():
                    self._news.clear()
                    with suppress(TimeoutError):  # the engine's own state changes without an event
                        await asyncio.wait_for(self._news.wait(), LOOK_SECONDS)
        except TimeoutError:
            recent = {vantage: told[-3:] for vantage, told in self.statuses.items()}
            raise AssertionError(f"not within {limit:g} s: {what}; {recent}") from None

    def keys(self, vantage: VantageId) -> list[CellKey]:
        return [key for key in self.session.store.cells if key.vantage == vantage]

    def grid(self) -> dict[CellKey, Pair]:
        """State and reason of all cells that were asked."""
        return {
            key: (cell.observation.state, cell.observation.reason)
            for key, cell in self.session.store.cells.items()
            if cell.observation is not None
        }

    def is_calm(self) -> bool:
        """All cells have an answer that is not `lost`, and none is queued or under way."""
        engine = self.session._engine
        cells = [cell for cell in self.session.store.cells.values() if cell.untested is None]
        return (
            engine is not None
            and not engine.unfinished()
            and all(cell.observation is not None and cell.observation.state is not State.LOST for cell in cells)
        )

    async def learn(self, cells: int) -> None:
        """Take the undisturbed grid for true."""
        await self.until(lambda: len(self.session.store.cells) >= cells and self.is_calm(), "the first sweep", 60.0)
        self.truth = self.grid()
        assert len(self.truth) >= cells

    async def strike(self, vantage: VantageId, fault: Fault, after: float) -> None:
        """Break a vantage when the share `after` of a sweep over it is answered; wait until it is back."""
        keys = self.keys(vantage)
        begun = self.answers[vantage]
        self.session.ask_again(keys)
        await self.until(
            lambda: self.answers[vantage] - begun >= after * len(keys), f"{vantage} answers before {fault.name}", 60.0
        )
        self.session.ask_again(keys)  # so that something is under way, however late in the sweep
        told = self.statuses[vantage]
        known = len(told)
        self.lately[vantage] = fault.name
        struck = time.monotonic()
        await fault.strike()
        await self.until(lambda: len(told) > known, f"{vantage} lost by {fault.name}", NOTICE_SECONDS + 5)
        at, status, _ = told[known]
        assert status is VantageStatus.LOST, (fault.name, told[known:])
        assert at - struck < NOTICE_SECONDS, (fault.name, at - struck)
        if fault.refuses:
            await self.until(lambda: len(told) > known + 1, f"{vantage} can't reconnect: {fault.name}", RETURN_SECONDS)
            assert told[known + 1][1] is VantageStatus.LOST, (fault.name, told[known:])
        if fault.mend is not None:
            await fault.mend()
        await self.until(
            lambda: told[-1][1] is VantageStatus.READY, f"{vantage} back after {fault.name}", RETURN_SECONDS
        )
        self.noticed.append((vantage, fault.name, at - struck, told[-1][0] - struck))

    async def rain(self, strikes: Sequence[tuple[VantageId, Fault]], count: int) -> None:
        """Strike `count` times, drawn by a seeded generator, each of `strikes` at least once if there are enough."""
        chance = random.Random(f"{SEED} {strikes[0][0]}")
        drawn = list(strikes[:count])
        weights = [fault.weight for _, fault in strikes]
        drawn += chance.choices(strikes, weights, k=count - len(drawn))
        chance.shuffle(drawn)
        for vantage, fault in drawn:
            await self.strike(vantage, fault, chance.random())

    async def calm(self) -> None:
        """All is asked again and equals the grid without faults."""
        await self.until(self.is_calm, "the last cells", 60.0)
        assert self.wrong == []
        grid = self.grid()
        differing = {key for key in grid.keys() | self.truth.keys() if grid.get(key) != self.truth.get(key)}
        assert not differing, {key: (self.truth.get(key), grid.get(key)) for key in differing}

    def figures(self) -> str:
        """What happened, for people."""
        back: dict[tuple[str, str], list[float]] = {}
        for vantage, fault, _, seconds in self.noticed:
            back.setdefault((vantage, fault), []).append(seconds)
        slowest = max((seconds for _, _, seconds, _ in self.noticed), default=0.0)
        return (
            f"{len(self.noticed)} faults, {sum(self.answers.values())} answers, {sum(self.lost.values())} lost, "
            f"{sum(self.blamed.values())} the vantage's fault, "
            f"{len(self.wrong)} wrong, noticed within {slowest:.1f} s\n"
            + "\n".join(
                f"  {vantage}: {fault} x{len(took)}, back within {max(took):.1f} s"
                for (vantage, fault), took in sorted(back.items())
            )
        )


@asynccontextmanager
async def troubled(make: Callable[[Callable[[happened.Event], None]], Session]) -> AsyncIterator[Trouble]:
    """A live session that is listened to. `make` gets the listener."""
    heard: list[Trouble] = []
    trouble = Trouble(make(lambda event: heard[0].hear(event)))
    heard.append(trouble)
    task = asyncio.create_task(trouble.session.run())
    try:
        yield trouble
        assert not task.done(), task.exception()
    finally:
        print(trouble.figures())
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await trouble.session.close()


class Relay:
    """A TCP relay on loopback: the network between us and a server, which can be cut or fall silent."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._pairs: set[asyncio.Task[None]] = set()

    async def start(self) -> Relay:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def cut(self) -> None:
        """End all connections with a RST."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def freeze(self) -> None:
        """Let nothing through, as a firewall that forgot its connections."""
        self._flows.clear()

    async def thaw(self) -> None:
        """Let things through again; connections of before are ended."""
        await self.cut()
        self._flows.set()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.thaw()
        await asyncio.gather(*self._pairs, return_exceptions=True)
        await self._server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            self._writers.discard(writer)
            self._pairs.discard(task)
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        try:
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        finally:
            for each in (writer, far_writer):
                self._writers.discard(each)
                each.transport.abort()
            self._pairs.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
