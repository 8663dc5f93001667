"""This machine as a vantage: the agent as a child process, so that the screen's loop never waits for a socket."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageFacts, VantageSpec
from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.link import AgentLink

READ_SIZE = 1 << 16
COMPLAINT_LIMIT = 4_096
END_SECONDS = 2.0
"""What a child may take to end by itself before it is killed."""


class ProcessChannel:
    """Standard input and output of a child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._complaint = b""
        self._errors = asyncio.create_task(self._read_errors(), name="agent errors")

    async def read(self) -> bytes:
        """Return the next piece of output."""
        assert self._process.stdout is not None
        return await self._process.stdout.read(READ_SIZE)

    async def write(self, data: bytes) -> None:
        """Write to the child. Raises VantageLost when it is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (OSError, RuntimeError) as error:
            raise VantageLost(f"the agent's process is gone ({error})") from error

    def complaint(self) -> str:
        """Return what the child said on standard error."""
        return printable(self._complaint, 500)

    async def close(self) -> None:
        """End the child: end-of-file first, then kill. A call that is cut short kills at once."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        finally:
            self._errors.cancel()
            # It closes its pipes on the next turns of the loop, and kills what still runs; without this it complains
            # when it is gone.
            transport = getattr(process, "_transport", None)
            if transport is not None:
                transport.close()
        await asyncio.gather(self._errors, return_exceptions=True)

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(READ_SIZE):
            self._complaint = (self._complaint + data)[:COMPLAINT_LIMIT]


async def spawn_agent() -> ProcessChannel:
    """Start this Python, isolated from the user's site and environment, with the agent's bootstrap.

    Raises VantageError.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            *BOOTSTRAP[1:],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to handle: the agent ends when we close it
        )
    except OSError as error:
        raise VantageError(f"can't start {sys.executable}: {error.strerror}") from error
    return ProcessChannel(process)


class LocalVantage:
    """Asks from this machine. `connect` gives another channel to an agent: the training range uses it."""

    def __init__(self, spec: VantageSpec, *, connect: Callable[[], Awaitable[Channel]] | None = None) -> None:
        self.spec = spec
        self._connect: Callable[[], Awaitable[Channel]] = connect or spawn_agent
        self._link: AgentLink | None = None

    async def open(self) -> VantageFacts:
        """Start the agent. Raises VantageError."""
        await self.close()
        self._link = await AgentLink.start(await self._connect())
        return self._link.facts

    async def ask(self, probe: Probe) -> Observation:
        """Ask one probe. Raises VantageLost."""
        if self._link is None:
            raise VantageLost("the local agent is not running")
        return await self._link.ask(probe)

    async def close(self) -> None:
        """End the agent."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()
