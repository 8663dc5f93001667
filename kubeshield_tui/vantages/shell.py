"""A shell at the other end of a channel that does small jobs, many at once: what carries the rungs below the agent.

Invariants: one exec for survey and jobs; a job line holds only what `checked_host` and numbers let through; what
comes back is printed by the shell, never evaluated. The shell ends by an explicit line, for exec v4 can't half-close.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterable
from ipaddress import ip_address

from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable
from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.shell_program import BOOTSTRAP, SURVEY, job_program, one_line

START_SECONDS = 10.0
PING_SECONDS = 1.5
SILENCE_SECONDS = 4.5
"""Without a word for this long the vantage is lost: noticed within 5 s."""
JOBS = 32
"""Jobs under way at once: each is two or three processes there."""
END_SECONDS = 1.0
SLACK_SECONDS = 10.0
"""What a job may take beyond its own limit on a slow host, before it is given up."""
LINE_LIMIT = 65_536
NOISE_LINES = 200
"""Lines of a login shell's greeting that are skipped."""
OUTPUT_LIMIT = 4_000_000
"""Bytes that one job may print."""
PREFIX = b"ks "


class Survey(Record, frozen=True):
    """What a shell found where it runs. All text printable."""

    tools: frozenset[str] = frozenset()
    said: tuple[tuple[str, str], ...] = ()
    """What tools said of themselves, by tool."""
    addresses: tuple[str, ...] = ()

    def word(self, name: str) -> str:
        """What a tool said, empty where it is missing."""
        return dict(self.said).get(name, "")


class Done(Record, frozen=True):
    """How a job ended."""

    status: int
    text: str
    """Standard error of the tool, on one line, printable."""
    seconds: float
    """From sending the line to its answer."""
    output: bytes = b""
    complaints: str = ""
    """All of standard error, printable; jobs that keep it on one line have it in `text`."""


class _Job:
    def __init__(self) -> None:
        self.future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self.begun = time.monotonic()
        self.output: list[bytes] = []
        self.complaints: list[bytes] = []
        self.size = 0


class Shell:
    """One shell. `start` surveys the place, `become` loads the jobs; after VantageLost make a new one."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._buffer = b""
        self._ids = itertools.count()
        self._jobs: dict[str, _Job] = {}
        self._places = asyncio.Semaphore(JOBS)
        self._outbox: list[bytes] = []
        self._send = asyncio.Event()
        self._heard = time.monotonic()
        self._lost: VantageLost | None = None
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._noise = b""
        self.survey = Survey()

    @classmethod
    async def start(cls, channel: Channel) -> Shell:
        """Survey the place. Raises VantageError with what was said where no shell answers; the channel is closed."""
        shell = cls(channel)
        try:
            async with asyncio.timeout(START_SECONDS):
                await channel.write(one_line(SURVEY))
                shell.survey = _survey([words async for words in shell._until(b"done")])
        except BaseException as error:
            await channel.close()
            if isinstance(error, TimeoutError | VantageError):
                raise VantageError(f"no sh{shell._why(error)}") from error
            raise
        return shell

    async def become(self, connect: str, *, once: str = "", interpreter: str = "") -> None:
        """Load the jobs: `connect` is the body that connects to $1 port $2 for $3 seconds, `once` runs before all.

        `interpreter` takes the place of sh. Raises VantageError; the channel is closed then.
        """
        program = job_program(connect, once)
        try:
            async with asyncio.timeout(START_SECONDS):
                if interpreter:
                    await self._channel.write(f"exec {interpreter} -c '{BOOTSTRAP[2]}' {interpreter}\n".encode("ascii"))
                await self._channel.write(program)
                async for _ in self._until(b"ready"):
                    pass
        except BaseException as error:
            await self._channel.close()
            if isinstance(error, TimeoutError | VantageError):
                raise VantageError(f"{interpreter or 'sh'} does not run our jobs{self._why(error)}") from error
            raise
        self._heard = time.monotonic()
        self._tasks = [
            asyncio.create_task(self._read(), name="shell reader"),
            asyncio.create_task(self._write(), name="shell writer"),
            asyncio.create_task(self._beat(), name="shell heartbeat"),
        ]

    async def job(self, operation: str, *words: object, limit: float) -> Done | None:
        """Do a job; None where it was not done within `limit` seconds and some slack. Raises VantageLost.

        A cancelled one keeps its place until the shell is done with it.
        """
        await self._places.acquire()
        key = str(next(self._ids))
        job = self._jobs[key] = _Job()
        job.future.add_done_callback(lambda _: self._places.release())
        if self._lost is not None:
            self._fail(self._lost)
        else:
            self._post(" ".join((operation, key, *map(str, words))).encode("ascii"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit + SLACK_SECONDS):
                return await asyncio.shield(job.future)
        return None

    async def close(self) -> None:
        """Tell the shell to end, then close the channel. Never raises."""
        if self._lost is None and self._tasks:
            self._post(b"q")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_SECONDS):
                    await self._ended.wait()
        self._fail(VantageLost("the vantage was closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    # --- before the jobs

    async def _until(self, last: bytes) -> AsyncIterator[list[bytes]]:
        """Words of each line of ours until one that says only `last`. Raises VantageError where others talk."""
        noise = 0
        while noise < NOISE_LINES:
            line = await self._line()
            if not line.startswith(PREFIX):
                self._noise = (self._noise + line + b" ")[:400]
                noise += 1
                continue
            words = line[len(PREFIX) :].split(maxsplit=1)
            if words == [last]:
                return
            yield words
        raise VantageError("the host talks, but not as a shell")

    async def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            data = await self._channel.read()
            if not data:
                raise VantageLost("the stream ended")
            self._buffer = (self._buffer + data)[-LINE_LIMIT:]
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _why(self, error: BaseException) -> str:
        said = self._channel.complaint().strip() or printable(self._noise, 200).strip()
        if not said and isinstance(error, TimeoutError):
            said = f"nothing came within {START_SECONDS:g} s"
        return f": {printable(said or error, 300)}"

    # --- while it works

    async def _read(self) -> None:
        try:
            while data := await self._channel.read():
                self._heard = time.monotonic()
                lines = (self._buffer + data).split(b"\n")
                self._buffer = lines.pop()[-LINE_LIMIT:]
                for line in lines:
                    self._take(line)
        except VantageError as error:
            self._fail(VantageLost(error.message, error.hint))
        finally:
            self._ended.set()
            said = printable(self._channel.complaint().strip(), 300)
            self._fail(VantageLost(f"the shell's stream ended{f': {said}' if said else ''}"))

    def _take(self, line: bytes) -> None:
        kind, _, rest = line.removeprefix(PREFIX).partition(b" ")
        key, _, rest = rest.partition(b" ")
        job = self._jobs.get(key.decode("ascii", "replace")) if line.startswith(PREFIX) else None
        if job is None:
            return
        if kind in {b"x", b"e"} and job.size < OUTPUT_LIMIT:
            (job.output if kind == b"x" else job.complaints).append(rest)
            job.size += len(rest)
        elif kind == b"r":
            status, _, text = rest.partition(b" ")
            self._finish(key.decode("ascii"), job, int(status) if status.isdigit() else -1, printable(text, 300))

    def _finish(self, key: str, job: _Job, status: int, text: str) -> None:
        del self._jobs[key]
        seconds = time.monotonic() - job.begun
        if not job.future.done():
            complaints = printable(b"\n".join(job.complaints), OUTPUT_LIMIT, lines=True)
            output = b"\n".join(job.output)
            job.future.set_result(Done(status=status, text=text, seconds=seconds, output=output, complaints=complaints))

    async def _beat(self) -> None:
        while time.monotonic() - self._heard <= SILENCE_SECONDS:
            if not self._jobs:
                self._post(b"w")
            self._post(b"p 0")
            await asyncio.sleep(PING_SECONDS)
        self._fail(VantageLost(f"no word from the shell for {SILENCE_SECONDS:g} s"))
        await self._channel.close()

    def _post(self, line: bytes) -> None:
        self._outbox.append(line + b"\n")
        self._send.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._send.wait()
                self._send.clear()
                lines, self._outbox = self._outbox, []
                await self._channel.write(b"".join(lines))
        except VantageError as error:
            self._fail(VantageLost(error.message, error.hint))

    def _fail(self, lost: VantageLost) -> None:
        if self._lost is None:
            self._lost = lost
        jobs, self._jobs = self._jobs, {}
        for job in jobs.values():
            if not job.future.done():
                job.future.set_exception(self._lost)
                job.future.exception()  # looked at: whoever gave it up needs no complaint


def _survey(lines: Iterable[list[bytes]]) -> Survey:
    told = [(words[0], printable(words[1], 400) if len(words) > 1 else "") for words in lines if words]
    return Survey(
        tools=frozenset(value for name, value in told if name == b"have"),
        said=tuple((name.decode("ascii", "replace"), value) for name, value in told if name != b"have"),
        addresses=tuple(dict.fromkeys(filter(None, (_address(name, value) for name, value in told))))[:200],
    )


def _address(name: bytes, value: str) -> str:
    if name not in {b"address", b"address6"}:
        return ""
    with contextlib.suppress(ValueError):
        found = ip_address(value if name == b"address" else bytes.fromhex(value))
        return "" if found.is_loopback else str(found)
    return ""
