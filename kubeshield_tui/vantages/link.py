"""A running agent at the other end of a channel: bootstrap, hello, many questions at once, heartbeat, end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import Any

from kubeshield_tui.errors import ProbeError, VantageError, VantageLost
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageFacts
from kubeshield_tui.probes import protocol
from kubeshield_tui.vantages.channel import Channel

HELLO_SECONDS = 15.0
"""From the bootstrap to the hello: a login shell and a cold Python included."""
PING_SECONDS = 1.5
SILENCE_SECONDS = 4.5
"""Without a word from the agent for this long the vantage is lost: noticed within 5 s."""
BYE_SECONDS = 1.0
NOISE_LINES = 200
"""Lines of a login shell's greeting that are skipped before the hello."""
BATCH = 500
"""Targets in one job line."""


_NOBODY: tuple[None, None] = (None, None)


class AgentLink:
    """Speaks with one agent. Made by `start`; after VantageLost make a new one."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._buffer = b""
        self._ids = itertools.count()
        self._waiting: dict[str, tuple[Probe, asyncio.Future[Observation]]] = {}
        self._outbox: list[tuple[str, Probe]] = []
        self._cancelled: list[str] = []
        self._send = asyncio.Event()
        self._writing = asyncio.Lock()
        self._heard = time.monotonic()
        self._lost: VantageLost | None = None
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.facts = VantageFacts(runner="")

    @classmethod
    async def start(cls, channel: Channel, *, limit: float = HELLO_SECONDS) -> AgentLink:
        """Send the agent through the bootstrap and wait for its hello.

        Raises VantageError with what the process said where no agent comes up. The channel is closed then.
        """
        link = cls(channel)
        try:
            async with asyncio.timeout(limit):
                await channel.write(protocol.agent_line())
                await link._hello()
        except TimeoutError:
            await channel.close()
            raise VantageError(
                f"no agent came up within {limit:g} s{link._complaint()}", "Is python3 slow there?"
            ) from None
        except VantageError as error:
            await channel.close()
            if isinstance(error, VantageLost):
                raise VantageError(f"no agent came up{link._complaint()}", link._remedy()) from error
            raise
        except BaseException:
            await channel.close()
            raise
        link._heard = time.monotonic()
        link._tasks = [
            asyncio.create_task(link._read(), name="agent reader"),
            asyncio.create_task(link._write(), name="agent writer"),
            asyncio.create_task(link._beat(), name="agent heartbeat"),
        ]
        return link

    async def ask(self, probe: Probe) -> Observation:
        """Ask one probe. Raises VantageLost, or ProbeError where the result can't be read."""
        if self._lost is not None:
            raise self._lost
        key = str(next(self._ids))
        future: asyncio.Future[Observation] = asyncio.get_running_loop().create_future()
        self._waiting[key] = (probe, future)
        self._outbox.append((key, probe))
        self._send.set()
        try:
            if len(self._outbox) >= BATCH:  # thousands of asks in one turn: the agent starts while they come
                try:
                    await self._write_jobs()
                except VantageError as error:
                    self._fail(VantageLost(error.message, error.hint))
            return await future
        except asyncio.CancelledError:
            if self._waiting.pop(key, None) is not None:
                self._cancelled.append(key)
                self._send.set()
            raise

    async def close(self) -> None:
        """Tell the agent to end, then close the channel. Never raises."""
        if self._lost is None:
            with contextlib.suppress(VantageError, TimeoutError):
                async with asyncio.timeout(BYE_SECONDS):
                    await self._channel.write(protocol.line(op="cancel") + protocol.line(op="end"))
                    await self._ended.wait()
        self._fail(VantageLost("the vantage was closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    # --- the hello

    async def _hello(self) -> None:
        for _ in range(NOISE_LINES):
            told = protocol.read_line(await self._line())
            if told is not None and told.get("op") == "hello":
                self._take_hello(told)
                return
        raise VantageError(
            f"the host talks, but not as an agent{self._complaint()}", "Does its shell run other programs?"
        )

    async def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > protocol.LINE_LIMIT:
                self._buffer = b""
            data = await self._channel.read()
            if not data:
                raise VantageLost("the stream ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _take_hello(self, told: dict[str, Any]) -> None:
        if told.get("version") != protocol.PROTOCOL_VERSION:
            raise VantageError(f"the agent speaks version {printable(told.get('version'), 20)}", "Use the same release")
        addresses = told.get("addresses")
        listed = addresses[:200] if isinstance(addresses, list) else []
        self.facts = VantageFacts(
            runner=f"python {printable(told.get('python', '?'), 10)}",
            host_name=printable(told.get("host_name", ""), 64),
            user=printable(told.get("user", ""), 64),
            addresses=tuple(printable(address, 64) for address in listed),
            in_flight=int(told.get("in_flight", 0)),
        )

    def _complaint(self) -> str:
        said = self._channel.complaint().strip()
        return f": {printable(said, 300)}" if said else ""

    def _remedy(self) -> str:
        said = self._channel.complaint().lower()
        if "not found" in said or "no such file" in said or not said:
            return "The agent needs python3 (3.6 or later) there"
        return ""

    # --- three tasks

    async def _read(self) -> None:
        try:
            while True:
                data = await self._channel.read()
                if not data:
                    break
                self._heard = time.monotonic()
                lines = (self._buffer + data).split(b"\n")
                self._buffer = lines.pop()
                if len(self._buffer) > protocol.LINE_LIMIT:
                    self._buffer = b""
                for line in lines:
                    self._take(line)
        except VantageError as error:
            self._fail(VantageLost(error.message, error.hint))
        finally:
            self._ended.set()
            self._fail(VantageLost(f"the agent's stream ended{self._complaint()}"))

    def _take(self, line: bytes) -> None:
        plain = protocol.read_plain(line)
        if plain is not None:
            probe, future = self._waiting.pop(plain.id, _NOBODY)
            if probe is not None and future is not None and not future.done():
                future.set_result(protocol.plain_observation(probe, plain, time.time(), line))
            return
        told = protocol.read_line(line)
        if told is None or told.get("op") != "result":
            if told is not None and told.get("op") == "bye":
                self._ended.set()
            return
        waiting = self._waiting.pop(str(told.get("id")), None)
        if waiting is None or waiting[1].done():
            return
        probe, future = waiting
        try:
            future.set_result(protocol.observation(probe, told, time.time(), line))
        except ProbeError as error:
            future.set_exception(error)

    async def _write(self) -> None:
        try:
            while True:
                await self._send.wait()
                self._send.clear()
                await asyncio.sleep(0)  # let the others of this turn join the batch
                if self._cancelled:
                    cancelled, self._cancelled = self._cancelled, []
                    await self._write_line(protocol.cancel_line(cancelled))
                await self._write_jobs()
        except VantageError as error:
            self._fail(VantageLost(error.message, error.hint))

    async def _write_jobs(self) -> None:
        jobs, self._outbox = self._outbox, []
        shapes: dict[tuple[object, ...], list[tuple[str, Probe]]] = {}
        for key, probe in jobs:
            if key in self._waiting:  # not cancelled meanwhile
                shapes.setdefault(protocol.shape(probe), []).append((key, probe))
        for alike in shapes.values():
            for begin in range(0, len(alike), BATCH):
                await self._write_line(protocol.probe_line(alike[begin : begin + BATCH]))

    async def _write_line(self, line: bytes) -> None:
        async with self._writing:  # a channel may cut a long line into pieces, which must not mix with another's
            if self._lost is not None:
                raise self._lost
            await self._channel.write(line)

    async def _beat(self) -> None:
        with contextlib.suppress(VantageError):
            for number in itertools.count():
                left = self._heard + SILENCE_SECONDS - time.monotonic()
                if left <= 0:
                    self._fail(VantageLost(f"no word from the agent for {SILENCE_SECONDS:g} s"))
                    await self._channel.close()
                    return
                # Writing counts as waiting: a stream that is full because the agent stands still must not hide that.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(PING_SECONDS, left)):
                        await self._write_line(protocol.line(op="ping", seq=number))
                        await asyncio.sleep(PING_SECONDS)

    def _fail(self, lost: VantageLost) -> None:
        if self._lost is None:
            self._lost = lost
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            if not future.done():
                future.set_exception(self._lost)
